"""The model card of an adapter: what it is, how it was made and the plots' numbers. Standard library."""

from __future__ import annotations

from pathlib import Path

from bnf_lab.core.config import EMBEDDED_HUB_ID, EMBEDDED_MODEL, RunConfig
from bnf_lab.core.files import write_atomically
from bnf_lab.core.methods import method_label
from bnf_lab.core.numbers import counted
from bnf_lab.core.paths import without_folders
from bnf_lab.runs.digests import RunDigests
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.merging import MergeRecord, describe_merge
from bnf_lab.runs.records import MetricPoint
from bnf_lab.runs.verdict import describe_best, describe_history, describe_warnings

ROWS = (
    ("preferred_logp", "log-likelihood of preferred responses", "nats/token"),
    ("dispreferred_logp", "log-likelihood of dispreferred responses", "nats/token"),
    ("accuracy", "held-out accuracy", ""),
    ("margin", "margin", "nats/token"),
    ("accuracy_shift", "accuracy by shift against the base model", ""),
    ("kl", "KL to the base model", "nats/token"),
    ("preferred_gate", "gate of preferred tokens", ""),
    ("dispreferred_gate", "gate of dispreferred tokens", ""),
)


def name_base(config: RunConfig) -> str:
    """Returns what another machine may know the base model by: a hub id, else the bare name of a folder."""
    return EMBEDDED_HUB_ID if config.model == EMBEDDED_MODEL else str(without_folders(config.model))


def write_model_card(path: Path, folder: RunFolder, config: RunConfig, *, merge: MergeRecord | None = None) -> None:
    """Writes the `README.md` of an adapter, or of the model merged with it, from the run's own records."""
    is_merged = merge is not None
    probe, verdict = RunDigests().judge(folder)
    base = name_base(config)
    judgements = folder.read_judgements()
    n_preferred = sum(j.is_preferred for j in judgements)
    lines = [
        "---",
        # a local folder is no hub id; the card then names it in the text alone
        *([f"base_model: {base}"] if not Path(config.model).is_absolute() else []),
        f"library_name: {'transformers' if is_merged else 'peft'}",
        f"tags: [{'' if is_merged else 'lora, '}preference-alignment, bnf]",
        "---",
        "",
        f"# {'Merged model' if is_merged else 'LoRA adapter'}, run {folder.run_id}",
        "",
        f"Made with BNF Lab: {counted(config.n_steps, 'step')} of {method_label(config.method)} on {n_preferred}"
        f" preferred and {counted(len(judgements) - n_preferred, 'dispreferred response')}, base model"
        f" `{base}`.{' The adapter is folded into the weights; load it with transformers alone.' if is_merged else ''}",
        "",
        *(("## The merge", "", *describe_merge(merge), "") if merge else ()),
        "## Held-out responses, before and after",
        "",
        *_table(probe.first, probe.last),
        "",
        *(text for text in (*describe_warnings(verdict), *describe_history(verdict), describe_best(verdict)) if text),
        "",
        "## Settings",
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {n} | {_cell(v)} |" for n, v in without_folders(config.to_dict()).items() if n != "model"),
        "",
        "Loss: Bidirectional Negative Feedback, https://arxiv.org/abs/2410.04834" if config.method == "bnf" else "",
    ]
    write_atomically(path, "\n".join(lines) + "\n")


def _table(first: MetricPoint | None, last: MetricPoint | None) -> list[str]:
    if first is None or last is None:
        return ["Nothing was measured."]
    lines = [f"| quantity | step {first.step} | step {last.step} | unit |", "|---|---|---|---|"]
    for name, label, unit in ROWS:
        before, after = getattr(first, name), getattr(last, name)
        if before is not None and after is not None:
            lines.append(f"| {label} | {before:.3f} | {after:.3f} | {unit} |")
    return lines


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
