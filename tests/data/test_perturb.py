"""Data made worse on purpose: exact shares, one seed one outcome, nested shares, and a probe that nothing touches."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, Message, Source, Unit, Verdict, build_pair, group_units
from bnf_lab.data.perturb import Change, perturb
from bnf_lab.data.splits import build_split, split_units

Units = tuple[Unit, ...]
Changes = tuple[Change, ...]
NOTHING: dict[str, Any] = {"pair_fraction": 1.0, "label_noise": 0.0, "contradictions": 0.0}
NOISE: dict[str, Any] = {"pair_fraction": 0.5, "label_noise": 0.4, "contradictions": 0.5}
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
SEEDS = range(5)


def make_units(n_pairs: int = 20, n_single: int = 0) -> Units:
    """Pairs, two to a prompt, and single responses of either verdict among them."""
    pairs = [
        build_pair((Message("user", f"p{i // 2}"),), f"good {i}", f"bad {i}", source=Source.DEMO, weight=0.5)
        for i in range(n_pairs)
    ]
    verdicts = (Verdict.PREFERRED, Verdict.DISPREFERRED)
    singles = [(Judgement((Message("user", f"s{i}"),), f"alone {i}", verdicts[i % 2]),) for i in range(n_single)]
    mixed = [*pairs, *singles]
    return tuple(mixed[::2] + mixed[1::2])


def changed(units: Units, *, seed: int = 0, **settings: float) -> tuple[Units, Changes]:
    return perturb(units, **(NOTHING | settings), seed=seed)


def ids_with(changes: Changes, what: str) -> set[str]:
    return {change.judgement_id for change in changes if change.what == what}


def by_id(units: Units) -> dict[str, Judgement]:
    return {judgement.id: judgement for unit in units for judgement in unit}


def assert_whole(units: Units) -> None:
    """Every unit is what `group_units` makes of its judgements: a complete pair, preferred first, or one alone."""
    assert tuple(group_units(judgement for unit in units for judgement in unit)) == units
    assert all(unit[0].prompt == unit[-1].prompt for unit in units)


@pytest.mark.parametrize("seed", SEEDS)
def test_settings_that_ask_for_nothing_change_nothing(seed: int) -> None:
    units = make_units(7, 5)
    assert changed(units, seed=seed) == (units, ())
    assert perturb((), **NOTHING, seed=seed) == ((), ())


@pytest.mark.parametrize("share", SHARES)
def test_pair_fraction_keeps_an_exact_share_and_one_side_of_every_other_pair(share: float) -> None:
    units = make_units(20, 6)
    found, changes = changed(units, pair_fraction=share)
    n_kept = round(20 * share)
    assert Counter(map(len, found)) == Counter({2: n_kept, 1: 6 + 20 - n_kept})
    assert len(ids_with(changes, "lost")) == len(ids_with(changes, "alone")) == 20 - n_kept
    assert len(changes) == 2 * (20 - n_kept)
    assert_whole(found)
    for before, after in zip(units, found, strict=True):  # units keep their order
        if len(before) == len(after):
            assert after == before
        else:
            (stays,) = after
            (lost,) = (j for j in before if j.id != stays.id)
            assert stays == replace(by_id((before,))[stays.id], pair_id=None)
            assert lost.id in ids_with(changes, "lost")
            assert stays.id in ids_with(changes, "alone")


def test_either_side_of_a_pair_may_be_lost() -> None:
    found, _ = changed(make_units(40), pair_fraction=0.0)
    assert 5 < sum(unit[0].is_preferred for unit in found) < 35


@pytest.mark.parametrize("share", SHARES)
def test_label_noise_turns_an_exact_share_of_units_round_as_a_whole(share: float) -> None:
    units = make_units(12, 8)
    found, changes = changed(units, label_noise=share)
    assert_whole(found)
    n_turned = 0
    for before, after in zip(units, found, strict=True):
        turned = tuple(replace(judgement, verdict=judgement.verdict.flipped) for judgement in reversed(before))
        assert after in (before, turned)
        n_turned += after == turned
        assert all((judgement.id in ids_with(changes, "flipped")) == (after == turned) for judgement in before)
    assert n_turned == round(20 * share)
    assert {change.what for change in changes} <= {"flipped"}


@pytest.mark.parametrize("share", SHARES)
def test_contradictions_come_at_the_end_with_the_opposite_verdict_and_names_of_their_own(share: float) -> None:
    units = make_units(12, 8)
    found, changes = changed(units, contradictions=share)
    assert_whole(found)
    assert found[:20] == units
    added = found[20:]
    assert len(added) == round(20 * share)
    old, new = by_id(units), by_id(added)
    assert not set(old) & set(new)
    assert not {j.pair_id for j in old.values() if j.pair_id} & {j.pair_id for j in new.values()}
    assert [change.judgement_id for change in changes] == [judgement.id for unit in added for judgement in unit]
    for change in changes:
        assert change.what == "contrary"
        judgement, contradicted = new[change.judgement_id], old[change.of or ""]
        same = replace(judgement, verdict=contradicted.verdict, id=contradicted.id, pair_id=contradicted.pair_id)
        assert same == contradicted
        assert judgement.verdict is contradicted.verdict.flipped
    assert len({change.of for change in changes}) == len(changes)


def test_contradictions_contradict_what_the_noise_left() -> None:
    units = make_units(10)
    found, changes = changed(units, label_noise=1.0, contradictions=1.0)
    assert len(found) == 20
    now = by_id(found)
    for change in changes:
        if change.of:
            assert now[change.judgement_id].verdict is now[change.of].verdict.flipped


@pytest.mark.parametrize("seed", SEEDS)
def test_a_larger_share_changes_what_a_smaller_one_changed_and_more(seed: int) -> None:
    units = make_units(20, 10)
    kinds = (
        ("label_noise", "flipped", SHARES),
        ("contradictions", "contrary", SHARES),
        ("pair_fraction", "lost", SHARES[::-1]),
        ("pair_fraction", "alone", SHARES[::-1]),
    )
    for setting, what, shares in kinds:
        found = [ids_with(changed(units, seed=seed, **{setting: share})[1], what) for share in shares]
        assert all(smaller < larger for smaller, larger in pairwise(found)), what
        assert not found[0]


def test_noise_is_the_same_units_whatever_the_pair_fraction() -> None:
    units = make_units(20)
    whole = ids_with(changed(units, label_noise=0.3)[1], "flipped")
    apart, changes = changed(units, label_noise=0.3, pair_fraction=0.0)
    assert ids_with(changes, "flipped") == whole & set(by_id(apart))


def test_a_seed_decides_and_decides_alone() -> None:
    units = make_units(20, 10)
    settings = {"pair_fraction": 0.5, "label_noise": 0.3, "contradictions": 0.2}
    outcomes = [changed(units, seed=seed, **settings) for seed in SEEDS]
    assert outcomes == [changed(units, seed=seed, **settings) for seed in SEEDS]
    assert len(set(outcomes)) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_changes_tell_everything_that_happened(seed: int) -> None:
    units = make_units(20, 10)
    found, changes = changed(units, seed=seed, pair_fraction=0.4, label_noise=0.3, contradictions=0.2)
    assert_whole(found)
    assert len({(change.judgement_id, change.what) for change in changes}) == len(changes)
    stages = [{"lost": 0, "alone": 0, "flipped": 1, "contrary": 2}[change.what] for change in changes]
    assert stages == sorted(stages)
    old, new = by_id(units), by_id(found)
    assert set(old) - set(new) == ids_with(changes, "lost")
    assert set(new) - set(old) == ids_with(changes, "contrary")
    for judgement in new.values():
        before = old.get(judgement.id)
        if before:
            assert (judgement.verdict != before.verdict) == (judgement.id in ids_with(changes, "flipped"))
            assert (judgement.pair_id != before.pair_id) == (judgement.id in ids_with(changes, "alone"))
            assert replace(judgement, verdict=before.verdict, pair_id=before.pair_id) == before


def judgements_of(units: Units) -> list[Judgement]:
    return [judgement for unit in units for judgement in unit]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_probe_is_the_same_with_noise_and_shares_no_prompt_with_training(seed: int) -> None:
    units = make_units(20, 10)
    judgements = judgements_of(units)
    clean = build_split(judgements, RunConfig(seed=seed, n_probe=4))
    noisy = build_split(judgements, RunConfig(seed=seed, n_probe=4, **NOISE))
    assert clean.is_held_out
    assert noisy.is_held_out
    assert clean.probe
    assert noisy.probe == clean.probe
    assert set(judgements_of(clean.probe)) <= set(judgements)
    held_out = {unit[0].prompt for unit in clean.probe}
    assert not held_out & {judgement.prompt for judgement in judgements_of(noisy.train)}
    assert ids_with(noisy.changes, "contrary") <= set(by_id(noisy.train))
    touched = {change.judgement_id for change in noisy.changes} | {c.of for c in noisy.changes}
    assert not touched & set(by_id(noisy.probe))


def test_a_split_without_noise_is_the_plain_one() -> None:
    judgements = judgements_of(make_units(20, 10))
    plain = split_units(judgements, n_probe=4, seed=3)
    assert build_split(judgements, RunConfig(seed=3, n_probe=4)) == plain
    assert plain.changes == ()


def test_a_split_does_to_its_training_part_what_the_settings_ask() -> None:
    judgements = judgements_of(make_units(20, 10))
    plain = split_units(judgements, n_probe=4, seed=3)
    noisy = build_split(judgements, RunConfig(seed=3, n_probe=4, **NOISE))
    assert (noisy.train, noisy.changes) == perturb(plain.train, **NOISE, seed=3)
    assert {change.what for change in noisy.changes} == {"lost", "alone", "flipped", "contrary"}


def test_too_few_prompts_to_hold_any_out_leave_the_probe_untouched_all_the_same() -> None:
    judgements = judgements_of(make_units(4))
    noisy = build_split(judgements, RunConfig(n_probe=4, pair_fraction=1.0, label_noise=1.0, contradictions=1.0))
    assert not noisy.is_held_out
    assert set(judgements_of(noisy.probe)) <= set(judgements)
    assert {j.id for j in judgements} == ids_with(noisy.changes, "flipped")
