"""What the curves and tokens of a run say, one sentence a figure: data -> words. Pure; knows no page, no figure.

The sentence stands under its figure and is the figure's text alternative, so it names the numbers that a person would
read off: where each line began, where it stands, and at which step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bnf_lab.core.numbers import counted, is_number, signed
from bnf_lab.plots.style import visible
from bnf_lab.runs.records import MetricPoint, TokenHeader, TokenSnapshot

NATS = "nats/token"
VERDICTS = ("preferred", "dispreferred")
NOT_YET = "Nothing has been measured yet."
NO_PAIRS = "No held-out pair has been scored."
NO_TOKENS = "No token has been recorded yet."


@dataclass(frozen=True)
class _Ends:
    """Where a line begins and where it stands."""

    first_step: int
    first: float
    last_step: int
    last: float

    @property
    def has_begun(self) -> bool:
        return self.last_step > self.first_step


def say_likelihood(points: Sequence[MetricPoint]) -> str:
    """Returns how likely preferred and dispreferred responses were and are.

    >>> probe = [MetricPoint(0, 0.0, "probe", preferred_logp=-1.0), MetricPoint(30, 9.0, "probe", preferred_logp=-0.5)]
    >>> say_likelihood(probe).replace("\N{MINUS SIGN}", "minus ")
    'Preferred went from minus 1.00 to minus 0.50 nats/token by step 30.'
    """
    lines = {verdict: _ends(points, f"{verdict}_logp") for verdict in VERDICTS}
    return _told(_moves({name: ends for name, ends in lines.items() if ends}, NATS))


def say_accuracy(points: Sequence[MetricPoint]) -> str:
    """Returns in how many held-out pairs the preferred answer is the likelier one, and by how much."""
    accuracy, margin = _ends(points, "accuracy"), _ends(points, "margin")
    if not accuracy and not margin:
        return NO_PAIRS
    said = []
    if accuracy:
        before = f", {accuracy.first:.0%} at step {accuracy.first_step:,}" if accuracy.has_begun else ""
        said.append(
            f"at step {accuracy.last_step:,} the preferred answer is the likelier one in {accuracy.last:.0%} of the "
            f"held-out pairs{before}"
        )
    if margin:
        said.append(_moves({"the margin": margin}, NATS, plus=True))
    return _told("; ".join(said))


def say_logits(points: Sequence[MetricPoint]) -> str:
    """Returns by what likelihood moved: the shift of the target logit less that of the log-sum-exp."""
    said = []
    for verdict in VERDICTS:
        target, total = (_ends(points, f"{verdict}_{kind}_shift") for kind in ("target_logit", "logsumexp"))
        if target and total:
            said.append(
                f"on {verdict} answers at step {target.last_step:,} the target logit has moved by "
                f"{signed(target.last, plus=True)} and the log-sum-exp by {signed(total.last, plus=True)}, which makes "
                f"{signed(target.last - total.last, plus=True)} {NATS}"
            )
    return _told("; ".join(said))


def say_training(points: Sequence[MetricPoint]) -> str:
    """Returns where loss and gradient norm began and stand, and how open the gates are."""
    loss, norm = _ends(points, "loss", "train"), _ends(points, "grad_norm", "train")
    said = [_moves({"the loss": loss}, "nats")] if loss else []
    if norm:
        said.append(_moves({"the gradient norm": norm}, ""))
    gates = [(verdict, ends) for verdict in VERDICTS if (ends := _ends(points, f"{verdict}_gate"))]
    if gates:
        each = " and ".join(f"{ends.last:.2f} on {verdict}" for verdict, ends in gates)
        said.append(f"the gate at step {gates[0][1].last_step:,} is {each} tokens")
    return _told("; ".join(said))


def say_distribution(points: Sequence[MetricPoint]) -> str:
    """Returns how far the model is from the base, and how its entropy changed."""
    distance = _ends(points, "kl")
    said = [f"at step {distance.last_step:,} the model is {distance.last:.2f} {NATS} from the base"] if distance else []
    lines = {f"entropy on {verdict} answers": _ends(points, f"{verdict}_entropy") for verdict in VERDICTS}
    known = {name: ends for name, ends in lines.items() if ends}
    return _told("; ".join([*said, _moves(known, "nats")] if known else said))


STEP_SENTENCES: dict[str, Callable[[Sequence[MetricPoint]], str]] = {
    "likelihood": say_likelihood,
    "accuracy": say_accuracy,
    "logits": say_logits,
    "training": say_training,
    "distribution": say_distribution,
}
"""The sentence under each figure over steps."""


def say_feedback(header: TokenHeader, snapshot: TokenSnapshot) -> str:
    """Returns how strongly the tokens of each verdict are pushed at a recorded step, on average."""
    said = []
    for verdict, way in zip(VERDICTS, ("up", "down"), strict=True):
        pushes = [
            weight * (1 - math.exp(logp))
            for response, logps, weights in zip(header.responses, snapshot.logps, snapshot.weights, strict=True)
            for logp, weight in zip(logps, weights, strict=True)
            if response.verdict == verdict and is_number(logp) and is_number(weight)
        ]
        if pushes:
            many = counted(len(pushes), f"{verdict} token", "is", "are")
            said.append(f"{many} pushed {way} by {sum(pushes) / len(pushes):.2f} on average")
    return f"At step {snapshot.step:,}, {' and '.join(said)}." if said else NO_TOKENS


def say_tokens(header: TokenHeader, snapshot: TokenSnapshot, index: int) -> str:
    """Returns how many tokens of probe response `index` became likelier, and which one changed most."""
    response = header.responses[index]
    shifts = [
        (logp - reference, place)
        for place, (logp, reference) in enumerate(zip(snapshot.logps[index], response.reference_logps, strict=True))
        if is_number(logp) and is_number(reference)
    ]
    if not shifts:
        return NO_TOKENS
    n_up, n_down = sum(shift > 0 for shift, _ in shifts), sum(shift < 0 for shift, _ in shifts)
    largest, place = max(shifts, key=lambda one: abs(one[0]))
    return (
        f"At step {snapshot.step:,}, of {counted(len(shifts), 'token')} {n_up:,} became "
        f"likelier than under the base and {n_down:,} less likely; the largest change is "
        f"{signed(largest, plus=True)} nats, at token {place + 1:,} (“{visible(response.tokens[place])}”)."
    )


def _ends(points: Sequence[MetricPoint], field: str, source: str = "probe") -> _Ends | None:
    """Returns the ends of a line; None where nothing of it was measured."""
    known = [
        (point.step, value) for point in points if point.source == source and is_number(value := getattr(point, field))
    ]
    return _Ends(*min(known, key=_step), *max(known, key=_step)) if known else None


def _step(place: tuple[int, float]) -> int:
    return place[0]


def _moves(lines: dict[str, _Ends], unit: str, *, plus: bool = False) -> str:
    """Returns what lines did; unit and step are named once where they are those of the line before."""
    said, told = [], None
    unit = f" {unit}" if unit else ""
    for name, ends in lines.items():
        before, now = signed(ends.first, plus=plus), signed(ends.last, plus=plus)
        if not ends.has_begun:
            move, moment = f"{name} is {now}", ("at", ends.last_step)
        else:
            move = f"{name} stayed at {now}" if before == now else f"{name} went from {before} to {now}"
            moment = ("by", ends.last_step)
        said.append(move if moment == told else f"{move}{unit} {moment[0]} step {moment[1]:,}")
        told = moment
    return ", ".join(said)


def _told(said: str) -> str:
    return f"{said[0].upper()}{said[1:]}." if said else NOT_YET
