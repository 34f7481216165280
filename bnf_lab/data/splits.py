"""Which judgements a run trains on and which it holds out. Standard library, values only.

The probe is split off first, by prompt, and is never changed; what the settings of an experiment do to the data is done
to the training part alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, Message, Unit, group_units
from bnf_lab.data.perturb import Change, perturb

PROBE_LIMIT = 32
MIN_PROMPTS_TO_HOLD_OUT = 5


@dataclass(frozen=True)
class Split:
    """Units to train on and units held out.

    Attributes:
        train: What a run trains on, changed as its settings ask.
        probe: Held out by prompt, never changed.
        is_held_out: False where there were too few prompts to hold any out.
        changes: What was changed in the training part.
    """

    train: tuple[Unit, ...]
    probe: tuple[Unit, ...]
    is_held_out: bool
    changes: tuple[Change, ...] = ()


def build_split(judgements: Iterable[Judgement], config: RunConfig) -> Split:
    """Holds units out, then takes pairs apart and turns verdicts round in the training part as the settings ask."""
    split = split_units(judgements, n_probe=config.n_probe, seed=config.seed)
    train, changes = perturb(
        split.train,
        pair_fraction=config.pair_fraction,
        label_noise=config.label_noise,
        contradictions=config.contradictions,
        seed=config.seed,
    )
    return replace(split, train=train, changes=changes)


def split_units(judgements: Iterable[Judgement], *, n_probe: int, seed: int) -> Split:
    """Holds units out by prompt, so that the probe shares no prompt with the training part.

    Args:
        judgements: All of the run's data.
        n_probe: Pairs wanted in the probe, at most 32; as many single responses of each verdict where there are no
            pairs. At most a fifth of the prompts is held out.
        seed: Decides which.

    Returns:
        The split. With fewer than 5 prompts nothing is held out and the probe repeats training units.
    """
    units = group_units(judgements)
    by_prompt: dict[tuple[Message, ...], list[Unit]] = {}
    for unit in units:
        by_prompt.setdefault(unit[0].prompt, []).append(unit)
    prompts = list(by_prompt)
    random.Random(seed).shuffle(prompts)  # noqa: S311 - a split, not a secret
    held_out = len(prompts) >= MIN_PROMPTS_TO_HOLD_OUT
    budget = max(1, len(prompts) // 5) if held_out else len(prompts)
    probe, used = _fill_probe([by_prompt[p] for p in prompts[:budget]], min(n_probe, PROBE_LIMIT))
    chosen = set(prompts[:used]) if held_out else set()
    train = [unit for unit in units if unit[0].prompt not in chosen]
    return Split(tuple(train), tuple(probe), held_out)


def _fill_probe(groups: list[list[Unit]], wanted: int) -> tuple[list[Unit], int]:
    """Takes whole prompts until each verdict has `wanted` responses; returns the units and the prompts used."""
    probe: list[Unit] = []
    counts = {True: 0, False: 0}
    for used, group in enumerate(groups):
        if min(counts.values()) >= wanted or max(counts.values()) >= PROBE_LIMIT:
            return probe, used
        for unit in group:
            verdicts = [j.is_preferred for j in unit]
            if all(counts[v] < PROBE_LIMIT for v in verdicts):
                probe.append(unit)
                for verdict in verdicts:
                    counts[verdict] += 1
    return probe, len(groups)


def count_judged_both_ways(units: Sequence[Unit]) -> tuple[int, int]:
    """Returns how many prompts have a preferred and a dispreferred response, and how many prompts there are."""
    verdicts: dict[tuple[Message, ...], set[bool]] = {}
    for judgement in (j for unit in units for j in unit):
        verdicts.setdefault(judgement.prompt, set()).add(judgement.is_preferred)
    return sum(len(found) == 2 for found in verdicts.values()), len(verdicts)
