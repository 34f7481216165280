"""From a run folder to what an experiment's cell gave. Standard library; reads the folder as any other reader does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from statistics import fmean, pvariance

from bnf_lab.experiment_records import CellResult, CurvePoint, SampleAnswer
from bnf_lab.recipes import Cell
from bnf_lab.records import AnswerPoint, MetricPoint, RunState, TokenHeader, TokenSnapshot
from bnf_lab.runs import RunFolder
from bnf_lab.text_measures import mean_words, repetition

LARGEST_FALL = 1.0
"""Nats/token by which preferred responses may become less likely than under the base; beyond it a run has collapsed."""
BROKEN_SHARE = 0.5
"""Share of sample answers that are empty or repeat themselves from which a run counts as collapsed."""
COLLAPSE = (
    "A run counts as collapsed if its loss or gradient was no longer finite, if preferred responses became less likely"
    f" than under the base model by more than {LARGEST_FALL:g} nat/token, or if at least half of its sample answers"
    " were empty or repeated themselves."
)


def read_cell(cell: Cell, folder: RunFolder) -> CellResult:
    """Reads a cell's run, as far as it has come.

    Raises:
        RunRefused: If the folder holds no readable run.
    """
    status = folder.read_status()
    metrics = folder.read_metrics()
    probe = [p for p in metrics if p.source == "probe"]
    header, snapshots = folder.read_tokens()
    answers = _sample_answers(folder.read_answers())
    values = _train_values([p for p in metrics if p.source == "train"])
    if probe:
        values |= _probe_values(probe[-1])
    if answers:
        values |= _answer_values(answers)
    if status.started_at and status.ended_at:
        values["seconds"] = round(status.ended_at - status.started_at, 1)
    if status.state is RunState.FINISHED or status.is_diverged:
        values["collapsed"] = float(status.is_diverged or _has_collapsed(values))
    return CellResult(
        cell, str(status.state), status.failure or status.notice, status.step,
        {name: value for name, value in values.items() if value is not None},
        _pair_margins(header, snapshots), probe[0].accuracy if probe else None,
        tuple(_curve_point(p) for p in probe), answers,
    )  # fmt: skip


def _probe_values(point: MetricPoint) -> dict[str, float | None]:
    values = {name: getattr(point, name) for name in ("accuracy", "margin", "accuracy_shift", "margin_shift", "kl")}
    for verdict in ("preferred", "dispreferred"):
        values[f"{verdict}_shift"] = _shift(point, verdict)
        for name in ("target_logit_shift", "logsumexp_shift", "other_logits_shift"):
            values[f"{verdict}_{name}"] = getattr(point, f"{verdict}_{name}")
    return values | {"entropy": point.preferred_entropy}


def _shift(point: MetricPoint, verdict: str) -> float | None:
    now, before = getattr(point, f"{verdict}_logp"), getattr(point, f"{verdict}_logp_reference")
    return None if now is None or before is None else now - before


def _curve_point(point: MetricPoint) -> CurvePoint:
    return CurvePoint(point.step, _shift(point, "preferred"), _shift(point, "dispreferred"), point.accuracy)


def _train_values(points: Sequence[MetricPoint]) -> dict[str, float | None]:
    losses = [p.loss for p in points if p.loss is not None]
    norms = [p.grad_norm for p in points if p.grad_norm is not None]
    return {
        "loss_variance": pvariance(losses) if len(losses) > 1 else None,
        "grad_norm": fmean(norms) if norms else None,
    }


def _sample_answers(points: Sequence[AnswerPoint]) -> tuple[SampleAnswer, ...]:
    before = {p.prompt: p.answer for p in points if p.step == 0}
    after = {p.prompt: p for p in points if p.step > 0}  # in order of step: the last one stays
    return tuple(
        SampleAnswer(prompt, before.get(prompt, ""), p.answer, p.is_empty or p.is_repeating)
        for prompt, p in after.items()
    )


def _answer_values(answers: Sequence[SampleAnswer]) -> dict[str, float | None]:
    texts = [answer.after for answer in answers]
    return {
        "broken_answers": fmean(float(answer.is_broken) for answer in answers),
        "answer_words": mean_words(texts),
        "repetition": fmean(map(repetition, texts)),
    }


def _has_collapsed(values: dict[str, float | None]) -> bool:
    shift, broken = values.get("preferred_shift"), values.get("broken_answers")
    return (shift is not None and shift < -LARGEST_FALL) or (broken is not None and broken >= BROKEN_SHARE)


def _pair_margins(header: TokenHeader | None, snapshots: Sequence[TokenSnapshot]) -> tuple[float, ...]:
    """Returns the margin of every held-out preferred with every dispreferred response of the same prompt at the end."""
    if header is None or not snapshots:
        return ()
    sides: dict[str, list[tuple[str, float]]] = {"preferred": [], "dispreferred": []}
    for response, logps in zip(header.responses, snapshots[-1].logps, strict=True):
        sides[response.verdict].append((response.prompt, fmean(logps)))
    pairs = product(sides["preferred"], sides["dispreferred"])
    return tuple(better - worse for (prompt, better), (other, worse) in pairs if prompt == other)
