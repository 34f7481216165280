"""What `train` says: how far a run is, what it would be and how it ended. Values and the run folder alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bnf_lab.cli.output import Output
from bnf_lab.core.config import EMBEDDED_DOWNLOAD, EMBEDDED_MODEL, RunConfig
from bnf_lab.core.durations import in_words
from bnf_lab.core.numbers import counted
from bnf_lab.models.fetch import EMBEDDED_NAME
from bnf_lab.runs.checkpoints import newest_checkpoint
from bnf_lab.runs.digests import RunDigests
from bnf_lab.runs.estimates import describe_passes, elide
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import MetricPoint, RunState, RunStatus
from bnf_lab.runs.verdict import describe_best, describe_history, describe_warnings

NUMBERS = {
    "accuracy": "held-out accuracy",
    "margin": "margin (nats/token)",
    "preferred_logp": "preferred log-likelihood (nats/token)",
    "dispreferred_logp": "dispreferred log-likelihood (nats/token)",
}

BEGIN, END = ">>>", "<<<"


def describe_status(status: RunStatus) -> str:
    """Returns the progress line of a run.

    >>> describe_status(RunStatus(RunState.TRAINING, "training", step=3, total_steps=30, seconds_left=81.2))
    'training: step 3 of 30, 1 min 21 s left'
    """
    if status.state is RunState.TRAINING or (status.state is RunState.STOPPING and status.step):
        left = f", {in_words(status.seconds_left)} left" if status.seconds_left is not None else ""
        return f"{status.state}: step {status.step} of {status.total_steps}{left}"
    counted = f" {status.phase_done} of {status.phase_total}" if status.phase_total else ""
    return f"{status.phase}{counted}"


def report_end(folder: RunFolder, output: Output) -> int:
    """Writes the run's end; code 1 if it failed."""
    status = folder.read_status()
    if status.state is RunState.FAILED:
        if output.as_json:
            output.result({"error": status.failure, "state": str(status.state), "output": str(folder.path)}, "")
        output.complain(f"The run failed: {status.failure}")
        return 1
    probe, verdict = RunDigests().judge(folder)
    before, after = (point and _numbers(point) for point in (probe.first, probe.last))
    record = {
        "run": folder.run_id,
        "state": str(status.state),
        "step": status.step,
        "total_steps": status.total_steps,
        "output": str(folder.path),
        "adapter": str(folder.adapter) if folder.adapter.is_dir() else None,
        "before": before,
        "after": after,
        "notice": status.notice,
        "best": asdict(verdict.best) if verdict.best else None,
        "warnings": list(describe_warnings(verdict)),
        "history": list(describe_history(verdict)),
    }
    output.result(record, _describe_end(record, folder, describe_best(verdict)))
    return 0


def _numbers(point: MetricPoint) -> dict[str, float | int | None]:
    return {"step": point.step, **{name: getattr(point, name) for name in NUMBERS}}


def _describe_end(record: dict[str, Any], folder: RunFolder, best: str) -> str:
    lines = [f"Run {record['run']} is {record['state']} at step {record['step']} of {record['total_steps']}."]
    if record["before"]:
        lines.append(f"{'':40}{'before':>9}{'after':>9}")
        for name, label in NUMBERS.items():
            pair = (record["before"][name], record["after"][name])
            lines.append(f"{label:40}" + "".join("      n/a" if v is None else f"{v:9.3f}" for v in pair))
    lines += [f"Note: {text}" for text in (record["notice"], *record["warnings"], *record["history"], best) if text]
    if record["adapter"]:
        lines.append(f"Adapter: {record['adapter']}")
    if record["state"] == RunState.STOPPED and newest_checkpoint(folder.path):
        lines.append("Go on with --resume.")
    return "\n".join(lines)


def _describe_missing(model: str) -> str:
    what, command = model, f"fetch-model {model}"
    if model == EMBEDDED_MODEL:
        what, command = f"{EMBEDDED_NAME} ({EMBEDDED_DOWNLOAD}, about a minute)", "fetch-model"
    return (
        f"not on this machine yet: {what}. `python -m bnf_lab {command}` fetches it, and so does the start of a run;"
        " then tokens, memory and time are known."
    )


def describe_check(record: dict[str, Any], config: RunConfig) -> str:
    """Returns a preflight, with what was measured, as lines for a person."""
    lines = []
    if record["n_responses"] is not None:
        lines.append(
            f"{counted(record['n_responses'], 'response')} ({counted(record['n_pairs'], 'pair')}):"
            f" {record['n_train_responses']} to train on, {record['n_probe_pairs']} units held out"
        )
    if record["n_read"] is not None:
        passes = describe_passes(record["passes"], is_about=record["is_about"])
        lines.append(
            f"{counted(record['n_steps'], 'step')} read {record['n_read']} of"
            f" {counted(record['n_train_responses'], 'response')}, {passes}"
        )
    if record["n_tokens_read"] is not None:
        lines.append(
            f"{'about ' if record['is_about'] else ''}{counted(record['n_tokens_read'], 'token')} read,"
            f" {counted(record['n_truncated'], 'response')} cut, {counted(record['n_alike'], 'pair')} alike"
        )
    if not record["is_model_here"]:
        lines.append(_describe_missing(config.model))
    if record["memory_gib"] is not None:
        needed = f"{record['memory_gib']:.1f} GiB"
        needed = f"{needed} measured" if record["is_memory_measured"] else f"about {needed} estimated"
        lines.append(f"memory: {needed}, {record['free_gib']:.1f} GiB free")
    if record["step_seconds"] is not None:
        lines.append(f"time: {record['step_seconds']:.2f} s a step, about {in_words(record['seconds'])} in all")
    lines += [f"warning: {text}" for text in record["warnings"]]
    lines += [f"problem: {text}" for text in record["problems"]]
    return "\n".join([*lines, *_describe_reading(record["reading"])])


def _describe_reading(reading: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the exact text of one pair, each line behind a bar and the response between brackets."""
    lines = [f"what the model reads, the response between {BEGIN} and {END}:"] if reading else []
    for read in reading:
        prompt, response = (
            "".join(_printable(piece["text"]) for piece in read["pieces"] if piece["is_response"] is is_response)
            for is_response in (False, True)
        )
        lines += [
            f"  {read['verdict']}: {counted(read['n_prompt_tokens'], 'token')} of the prompt"
            f" ({read['n_prompt_cut']} before them"
            f" cut), {read['n_response_tokens']} of the response ({read['n_response_cut']} behind them cut)",
            *(f"  | {line}" for line in f"{prompt}{BEGIN}{response}{END}".split("\n")),
        ]
    return lines


def _printable(text: str) -> str:
    """Shortens a long text and spells out what would move a terminal's cursor."""
    head, n_left_out, tail = elide(text)
    whole = f"{head}[... {counted(n_left_out, 'character')} ...]{tail}" if n_left_out else head
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in whole)
