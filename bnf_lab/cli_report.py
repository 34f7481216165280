"""What `train` says: how far a run is, what it would be and how it ended. Values and the run folder alone."""

from __future__ import annotations

from typing import Any

from bnf_lab.checkpoints import newest_checkpoint
from bnf_lab.cli_output import Output
from bnf_lab.config import RunConfig
from bnf_lab.records import MetricPoint, RunState, RunStatus
from bnf_lab.runs import RunFolder

NUMBERS = {
    "accuracy": "held-out accuracy",
    "margin": "margin (nats/token)",
    "preferred_logp": "preferred log-likelihood (nats/token)",
    "dispreferred_logp": "dispreferred log-likelihood (nats/token)",
}


def describe_status(status: RunStatus) -> str:
    """Returns the progress line of a run.

    >>> describe_status(RunStatus(RunState.TRAINING, "training", step=3, total_steps=30, seconds_left=81.2))
    'training: step 3 of 30, 81 s left'
    """
    if status.state is RunState.TRAINING or (status.state is RunState.STOPPING and status.step):
        left = f", {status.seconds_left:.0f} s left" if status.seconds_left is not None else ""
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
    probe = [p for p in folder.read_metrics() if p.source == "probe"]
    before, after = (_numbers(probe[0]), _numbers(probe[-1])) if probe else (None, None)
    record = {
        "run": folder.run_id, "state": str(status.state), "step": status.step, "total_steps": status.total_steps,
        "output": str(folder.path), "adapter": str(folder.adapter) if folder.adapter.is_dir() else None,
        "before": before, "after": after, "notice": status.notice,
    }  # fmt: skip
    output.result(record, _describe_end(record, folder))
    return 0


def _numbers(point: MetricPoint) -> dict[str, float | int | None]:
    return {"step": point.step, **{name: getattr(point, name) for name in NUMBERS}}


def _describe_end(record: dict[str, Any], folder: RunFolder) -> str:
    lines = [f"Run {record['run']} is {record['state']} at step {record['step']} of {record['total_steps']}."]
    if record["before"]:
        lines.append(f"{'':40}{'before':>9}{'after':>9}")
        for name, label in NUMBERS.items():
            pair = (record["before"][name], record["after"][name])
            lines.append(f"{label:40}" + "".join("      n/a" if v is None else f"{v:9.3f}" for v in pair))
    if record["notice"]:
        lines.append(f"Note: {record['notice']}")
    if record["adapter"]:
        lines.append(f"Adapter: {record['adapter']}")
    if record["state"] == RunState.STOPPED and newest_checkpoint(folder.path):
        lines.append("Go on with --resume.")
    return "\n".join(lines)


def describe_check(record: dict[str, Any], config: RunConfig) -> str:
    """Returns a preflight, with what was measured, as lines for a person."""
    lines = [
        f"{record['n_responses']} responses ({record['n_pairs']} pairs): {record['n_train_responses']} to train on,"
        f" {record['n_probe_pairs']} units held out"
    ]
    if record["n_tokens"] is None:
        lines.append(f"{config.model} is not on this machine yet; after `fetch-model` the tokens and times are known.")
    else:
        lines.append(f"{record['n_tokens']:,} training tokens, {record['n_truncated']} responses cut")
    if record["memory_gib"] is not None:
        lines.append(f"memory: about {record['memory_gib']:.1f} GiB needed, {record['free_gib']:.1f} GiB free")
    if record["step_seconds"] is not None:
        lines.append(f"time: {record['step_seconds']:.2f} s a step, about {record['seconds']:.0f} s in all")
    lines += [f"warning: {text}" for text in record["warnings"]]
    return "\n".join([*lines, *(f"problem: {text}" for text in record["problems"])])
