"""From a run folder to what an experiment's cell gave. Standard library; reads the folder as any other reader does."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pvariance

from bnf_lab.core.errors import RunRefused
from bnf_lab.core.judgements import compare_by_prompt
from bnf_lab.core.numbers import is_number
from bnf_lab.core.text_measures import mean_words, repetition
from bnf_lab.experiments.recipes import Cell
from bnf_lab.experiments.records import CellResult, CurvePoint, SampleAnswer
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import LARGEST_FALL, AnswerPoint, MetricPoint, RunState
from bnf_lab.runs.verdict import BROKEN_SHARE

COLLAPSE = (
    "A run counts as collapsed if its loss or gradient was no longer finite, if preferred responses became less likely"
    f" than under the base model by more than {LARGEST_FALL:g} nat/token, or if at least half of its sample answers"
    " were empty or repeated themselves."
)


def read_cell(cell: Cell, folder: RunFolder) -> CellResult:
    """Reads a cell's run. A run that has not come to its end has no values: it would pass for one that barely moved.

    Of a run whose loss was no longer finite only the training's own numbers count, because nothing was scored since.

    Raises:
        RunRefused: If the folder holds no readable run.
    """
    status = folder.read_status()
    is_finished, metrics = status.state is RunState.FINISHED, folder.read_metrics()
    probe = [p for p in metrics if p.source == "probe"]
    values: dict[str, float | None] = {}
    answers: tuple[SampleAnswer, ...] = ()
    margins: tuple[float, ...] = ()
    if is_finished or status.is_diverged:
        values = _train_values([p for p in metrics if p.source == "train"])
        values["collapsed"] = 1.0
    if is_finished:
        answers, margins = _sample_answers(folder.read_answers()), _pair_margins(folder)
        values |= _probe_values(probe[-1]) if probe else {}
        values |= _answer_values(answers) if answers else {}
        values["collapsed"] = float(_has_collapsed(values, probe))
    if status.started_at and status.ended_at:
        values["seconds"] = round(status.ended_at - status.started_at, 1)
    return CellResult(
        cell,
        str(status.state),
        status.failure or status.notice,
        status.step,
        {name: value for name, value in values.items() if value is not None},
        margins,
        probe[0].accuracy if probe else None,
        tuple(_curve_point(p) for p in probe),
        answers,
    )


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


def _has_collapsed(values: dict[str, float | None], probe: Sequence[MetricPoint]) -> bool:
    shift, broken = values.get("preferred_shift"), values.get("broken_answers")
    was_scored = bool(probe) and probe[0].preferred_logp is not None
    if shift is None and was_scored:
        return True  # no longer a finite number
    return (shift is not None and shift < -LARGEST_FALL) or (broken is not None and broken >= BROKEN_SHARE)


def _pair_margins(folder: RunFolder) -> tuple[float, ...]:
    """Returns the margins of the held-out pairs at the end."""
    header, snapshots = folder.read_tokens()
    if header is None or not snapshots:
        return ()
    prompts = {judgement.id: judgement.prompt for judgement in folder.read_judgements()}
    if not all(response.judgement_id in prompts for response in header.responses):
        raise RunRefused(f"Run {folder.run_id}: tokens.jsonl names judgements that dataset.jsonl does not have.")
    pairs = compare_by_prompt(
        (prompts[response.judgement_id], response.verdict == "preferred", fmean(logps))
        for response, logps in zip(header.responses, snapshots[-1].logps, strict=True)
    )
    margins = (better - worse for better, worse in pairs)
    return tuple(filter(is_number, margins))
