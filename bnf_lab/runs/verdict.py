"""What a run came to: one record that words, colours, lists, cards, downloads and reports all draw from.

Metrics, answers and saved steps -> verdict. A checkpoint is praised only if it is *sound*: its sample answers can
be read and preferred responses have not lost their likelihood. What a later step disproved is history. Standard
library; this room must not know pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bnf_lab.core.numbers import counted
from bnf_lab.runs.records import LARGEST_FALL, AnswerPoint, MetricPoint

BROKEN_SHARE = 0.5
"""Share of sample answers that are empty or repeat themselves from which a step is not readable."""


@dataclass(frozen=True)
class StepScore:
    """What is known of one step.

    Attributes:
        step: The step.
        accuracy: Share of held-out pairs in which the preferred answer is the likelier one; None without pairs.
        margin: Mean difference of their log-likelihoods, nats/token.
        n_broken: Sample answers that are empty or repeat themselves, of those that the base model could answer.
        n_answers: Sample answers counted; 0 where none were written at or before this step.
        fall: Nats/token that preferred responses have lost against the base model; negative where they gained.
    """

    step: int
    accuracy: float | None = None
    margin: float | None = None
    n_broken: int = 0
    n_answers: int = 0
    fall: float | None = None

    @property
    def is_readable(self) -> bool:
        return self.n_answers == 0 or self.n_broken < BROKEN_SHARE * self.n_answers

    @property
    def has_fallen(self) -> bool:
        return self.fall is not None and self.fall > LARGEST_FALL

    @property
    def is_sound(self) -> bool:
        return self.is_readable and not self.has_fallen


@dataclass(frozen=True)
class Finding:
    """Something that was wrong at a step.

    Attributes:
        kind: "answers" or "likelihood".
        step: Where it was seen last.
        text: What was seen.
        gone_at: The later step at which it was looked for and not seen; None while it lasts.
    """

    kind: str
    step: int
    text: str
    gone_at: int | None = None


@dataclass(frozen=True)
class RunVerdict:
    """What a run came to.

    Attributes:
        first: Step 0, or the first step that was scored.
        last: The newest step that was scored.
        best: The sound checkpoint with the highest accuracy, then margin; None where none is sound or none is saved.
        saved: The checkpoints that are there and were scored, in order.
        findings: What lasts, and what is history.
        gaps: What of the run's records could not be read, so that all of this may be wrong.
    """

    first: StepScore | None = None
    last: StepScore | None = None
    best: StepScore | None = None
    saved: tuple[StepScore, ...] = ()
    findings: tuple[Finding, ...] = ()
    gaps: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What is still wrong."""
        return tuple(f for f in self.findings if f.gone_at is None)

    @property
    def history(self) -> tuple[Finding, ...]:
        """What was wrong and has gone."""
        return tuple(f for f in self.findings if f.gone_at is not None)

    @property
    def tone(self) -> str:
        """Returns "bad" where something is still wrong, "ok" where nothing is, "wait" before anything is known."""
        if self.warnings or self.gaps:
            return "bad"
        return "ok" if self.last is not None and self.last.step > 0 else "wait"


def score_point(point: MetricPoint) -> StepScore:
    """Returns what a point of the probe says of its step, before any answers."""
    before, now = point.preferred_logp_reference, point.preferred_logp
    fall = None if before is None or now is None else before - now
    return StepScore(point.step, point.accuracy, point.margin, fall=fall)


def judge_run(
    scores: Iterable[StepScore], answers: Sequence[AnswerPoint], saved: Iterable[int] = (), gaps: Iterable[str] = ()
) -> RunVerdict:
    """Returns what a run came to so far.

    Args:
        scores: Of every step that the probe was scored at, see `score_point`; a replayed step counts as it came last.
        answers: All sample answers.
        saved: Steps of the checkpoints that are there.
        gaps: What of the records could not be read; empty texts do not count.

    >>> scores = [StepScore(0, 0.2, -0.3), StepScore(10, 1.0, 0.5), StepScore(20, 0.9, 0.4)]
    >>> empty = [AnswerPoint(10, p, "", 0, is_empty=True) for p in ("a", "b")]
    >>> verdict = judge_run(scores, empty, saved=[10])
    >>> verdict.best is None, verdict.warnings[0].text
    (True, 'Step 10: 2 of 2 sample answers came out empty.')
    """
    by_step, left_out = _answers_by_step(answers), tuple(filter(None, gaps))
    known = {score.step: _with_answers(score, by_step) for score in sorted(scores, key=lambda s: s.step)}
    if not known:
        return RunVerdict(findings=_findings({}, by_step), gaps=left_out)
    there = tuple(known[step] for step in sorted(set(saved) & known.keys()))
    sound = [score for score in there if score.is_sound and score.accuracy is not None]
    # of equals the later one, which has seen more
    best = max(sound, key=lambda s: (s.accuracy or 0.0, s.margin or 0.0, s.step), default=None)
    steps = list(known.values())
    return RunVerdict(steps[0], steps[-1], best, there, _findings(known, by_step), left_out)


def _answers_by_step(answers: Sequence[AnswerPoint]) -> dict[int, list[AnswerPoint]]:
    """Returns the answers of each step, without those to prompts that the base model could not answer either."""
    hopeless = {a.prompt for a in answers if a.step == 0 and _is_broken(a)}
    by_step: dict[int, dict[str, AnswerPoint]] = {}
    for answer in answers:
        if answer.step > 0 and answer.prompt not in hopeless:
            by_step.setdefault(answer.step, {})[answer.prompt] = answer
    return {step: list(found.values()) for step, found in sorted(by_step.items())}


def _is_broken(answer: AnswerPoint) -> bool:
    return answer.is_empty or answer.is_repeating


def _with_answers(score: StepScore, by_step: Mapping[int, Sequence[AnswerPoint]]) -> StepScore:
    """Adds the answers written at a step, else the last ones before it."""
    at = max((step for step in by_step if step <= score.step), default=None)
    said = by_step[at] if at is not None and score.step > 0 else []
    return replace(score, n_broken=sum(map(_is_broken, said)), n_answers=len(said))


def _findings(scores: Mapping[int, StepScore], by_step: Mapping[int, Sequence[AnswerPoint]]) -> tuple[Finding, ...]:
    broken = {step: _describe_broken(step, found) for step, found in by_step.items()}
    fallen = {step: _describe_fall(score) if score.has_fallen else "" for step, score in scores.items() if step > 0}
    return tuple(f for kind, seen in (("answers", broken), ("likelihood", fallen)) if (f := _last_seen(kind, seen)))


def _last_seen(kind: str, seen: Mapping[int, str]) -> Finding | None:
    """Returns the newest sighting, and the first later step without one."""
    at = max((step for step, text in seen.items() if text), default=None)
    if at is None:
        return None
    return Finding(kind, at, seen[at], min((step for step in seen if step > at), default=None))


def _describe_broken(step: int, answers: Sequence[AnswerPoint]) -> str:
    broken = ["empty" if a.is_empty else "repeating itself" for a in answers if _is_broken(a)]
    if not broken:
        return ""
    kinds = " or ".join(dict.fromkeys(broken))
    return f"Step {step}: {len(broken)} of {counted(len(answers), 'sample answer')} came out {kinds}."


def _describe_fall(score: StepScore) -> str:
    return (
        f"Step {score.step}: preferred responses are less likely than before training by {score.fall:.1f} nats/token:"
        " the model drifts away from them."
    )


ADVICE = {
    "answers": "Take an earlier checkpoint, or train with a lower learning rate or with more responses a step.",
    "likelihood": "Take an earlier checkpoint, or train with a lower learning rate.",
}


def describe_best(verdict: RunVerdict) -> str:
    """Returns one sentence on the best checkpoint, or why there is none to recommend."""
    best = verdict.best
    if best is not None and best.accuracy is not None:
        n_read = best.n_answers - best.n_broken
        readable = f", and {n_read} of {counted(best.n_answers, 'sample answer')} can be read" if best.n_answers else ""
        known = ", as far as the run's records can be read" if verdict.gaps else ""
        return f"Best checkpoint: step {best.step}, with accuracy {best.accuracy:.0%}{readable}{known}."
    if any(score.accuracy is not None for score in verdict.saved):
        return "No saved checkpoint can be recommended: at each, sample answers are broken or preferred responses fell."
    return ""


def describe_warnings(verdict: RunVerdict) -> tuple[str, ...]:
    """Returns what is still wrong, with advice, and what could not be read."""
    return (*(f"{f.text} {ADVICE[f.kind]}" for f in verdict.warnings), *verdict.gaps)


def describe_history(verdict: RunVerdict) -> tuple[str, ...]:
    """Returns what was wrong and has gone."""
    return tuple(f"{f.text} Gone since step {f.gone_at}." for f in verdict.history)


def describe_flaw(score: StepScore | None) -> str:
    """Returns what is wrong with a step, to stand behind its name in a list; "" if nothing is known to be."""
    if score is None or score.is_sound:
        return ""
    return ", answers broken" if not score.is_readable else ", preferred responses fell"
