"""The model card of an adapter: what it is, how it was made and the plots' numbers. Standard library."""

from __future__ import annotations

from pathlib import Path

from bnf_lab.config import EMBEDDED_HUB_ID, EMBEDDED_MODEL, RunConfig
from bnf_lab.records import MetricPoint
from bnf_lab.runs import RunFolder
from bnf_lab.settings import method_label

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


def write_model_card(path: Path, folder: RunFolder, config: RunConfig) -> None:
    """Writes `README.md` for an adapter from the run's own records."""
    probe = [p for p in folder.read_metrics() if p.source == "probe"]
    base = EMBEDDED_HUB_ID if config.model == EMBEDDED_MODEL else config.model
    judgements = folder.read_judgements()
    n_preferred = sum(j.is_preferred for j in judgements)
    lines = [
        "---",
        # a local folder is no hub id; the card then names it in the text alone
        *([f"base_model: {base}"] if not Path(base).is_absolute() else []),
        "library_name: peft",
        "tags: [lora, preference-alignment, bnf]",
        "---",
        "",
        f"# LoRA adapter, run {folder.run_id}",
        "",
        f"Made with BNF Lab: {config.n_steps} steps of {method_label(config.method)} on {n_preferred} preferred and"
        f" {len(judgements) - n_preferred} dispreferred responses, base model"
        f" `{Path(base).name if Path(base).is_absolute() else base}`.",
        "",
        "## Held-out responses, before and after",
        "",
        *_table(probe),
        "",
        "## Settings",
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {n} | {_cell(_without_folder(v))} |" for n, v in config.to_dict().items() if n != "model"),
        "",
        "Loss: Bidirectional Negative Feedback, https://arxiv.org/abs/2410.04834" if config.method == "bnf" else "",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _table(probe: list[MetricPoint]) -> list[str]:
    if not probe:
        return ["Nothing was measured."]
    first, last = probe[0], probe[-1]
    lines = [f"| quantity | step {first.step} | step {last.step} | unit |", "|---|---|---|---|"]
    for name, label, unit in ROWS:
        before, after = getattr(first, name), getattr(last, name)
        if before is not None and after is not None:
            lines.append(f"| {label} | {before:.3f} | {after:.3f} | {unit} |")
    return lines


def _without_folder(value: object) -> object:
    """Returns a setting without the folders before a name: a card travels, this machine's folders are nobody's."""
    if not isinstance(value, str) or not Path(value.removeprefix("run:")).is_absolute():
        return value
    return f"run:{Path(value).name}" if value.startswith("run:") else Path(value).name


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
