"""Training data made worse on purpose, to see what a loss makes of it: lost partners, flipped and contrary verdicts.

Standard library, values only. Everything follows from a seed; the held-out part never comes here.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bnf_lab.core.judgements import Judgement, Unit


@dataclass(frozen=True)
class Change:
    """What happened to one training judgement: "lost" (left out), "alone" (its partner is), "flipped" or "contrary".

    A contrary judgement is new; `of` is the id of the one it contradicts.
    """

    judgement_id: str
    what: str
    of: str | None = None


def perturb(
    units: Sequence[Unit], *, pair_fraction: float, label_noise: float, contradictions: float, seed: int
) -> tuple[tuple[Unit, ...], tuple[Change, ...]]:
    """Takes pairs apart, then turns verdicts round, then adds contradictions; units keep their order.

    Shares are exact up to rounding: of 10 pairs a `pair_fraction` of 0.25 keeps 2 (Python rounds halves to even). A
    larger share changes what a smaller one changed and more, so that settings of one seed can be compared.

    Args:
        units: What a run would train on.
        pair_fraction: Share of the complete pairs that stay; each other pair loses one side at random.
        label_noise: Share of the units whose verdict is turned round, both sides of a pair together.
        contradictions: Share of the units that come once more, at the end, with the opposite verdict.
        seed: Decides which.

    Returns:
        The units, and every change in their order.
    """
    changes: list[Change] = []
    draws = random.Random(f"perturb {seed}")  # noqa: S311 - an experiment's noise, not a secret
    pairs = [i for i, unit in enumerate(units) if len(unit) == 2]
    order = draws.sample(pairs, len(pairs))
    sides = {i: draws.randrange(2) for i in order}
    apart = set(order[round(pair_fraction * len(pairs)) :])
    kept = [_take_apart(unit, sides[i], changes) if i in apart else unit for i, unit in enumerate(units)]
    noisy = set(_some(kept, label_noise, draws))
    found = [_flip(unit, changes) if i in noisy else unit for i, unit in enumerate(kept)]
    found += [_contradict(found[i], changes) for i in sorted(_some(kept, contradictions, draws))]
    return tuple(found), tuple(changes)


def _some(units: Sequence[Unit], share: float, draws: random.Random) -> list[int]:
    return draws.sample(range(len(units)), len(units))[: round(share * len(units))]


def _take_apart(unit: Unit, side: int, changes: list[Change]) -> Unit:
    stays = unit[side]
    changes += [Change(unit[1 - side].id, "lost"), Change(stays.id, "alone")]
    return (replace(stays, pair_id=None),)


def _flip(unit: Unit, changes: list[Change]) -> Unit:
    changes += [Change(judgement.id, "flipped") for judgement in unit]
    return _turned(unit)


def _contradict(unit: Unit, changes: list[Change]) -> Unit:
    contrary = _turned(unit, mark="-contrary")
    changes += [Change(new.id, "contrary", of=new.id.removesuffix("-contrary")) for new in contrary]
    return contrary


def _turned(unit: Unit, *, mark: str = "") -> Unit:
    """Returns the unit with every verdict the other way round, preferred first; `mark` makes new ids."""

    def turn(judgement: Judgement) -> Judgement:
        values: dict[str, Any] = {"verdict": judgement.verdict.flipped, "id": judgement.id + mark}
        if judgement.pair_id:
            values["pair_id"] = judgement.pair_id + mark
        return replace(judgement, **values)

    return tuple(turn(judgement) for judgement in reversed(unit))
