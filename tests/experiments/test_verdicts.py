"""What cells say together: means and intervals, claims borne out or not, and the words for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.evaluation.distributions import exact_share, student_quantile
from bnf_lab.evaluation.intervals import student_interval
from bnf_lab.experiments.contrasts import compare, estimate, values_of
from bnf_lab.experiments.measures import MEASURES
from bnf_lab.experiments.recipes import Cell, Claim, Recipe
from bnf_lab.experiments.records import CellResult, Group, SampleAnswer
from bnf_lab.experiments.verdicts import (
    build_groups,
    describe,
    describe_outcome,
    judge_claims,
    name_arm,
    pick_best,
    select,
)

DATA = "demo:short_answers"


def make_result(
    arm: dict[str, Any],
    seed: int = 0,
    *,
    data: str = DATA,
    margins: Sequence[float] = (),
    broken: Sequence[bool] = (),
    collapsed: float | None = 0.0,
    **values: float,
) -> CellResult:
    """A finished run; None for `collapsed` makes it one that is not."""
    values |= {} if collapsed is None else {"collapsed": collapsed}
    cell = Cell(data, arm, RunConfig.from_dict({**arm, "seed": seed}))
    answers = tuple(SampleAnswer(str(i), "", "", is_broken) for i, is_broken in enumerate(broken))
    return CellResult(cell, "finished", None, 4, values, tuple(margins), answers=answers)


def groups_of(results: Sequence[CellResult]) -> tuple[Group, ...]:
    """The groups of an experiment that has no other cells."""
    return build_groups([result.cell for result in results], results)


def make_recipe(*claims: Claim, data: Sequence[str] = (DATA,), **changes: Any) -> Recipe:
    grid = {"method": ("bnf", "dpo"), "learning_rate": (1e-4, 1e-3)}
    values = {"arms": (grid,), "compare": "method", "along": "learning_rate"} | changes
    return Recipe("own", "Own", "What?", tuple(data), claims=claims, **values)


def arm(method: str, rate: float = 1e-4) -> dict[str, Any]:
    return {"method": method, "learning_rate": rate}


# -- groups and estimates


def test_results_that_differ_in_their_seed_alone_are_one_group() -> None:
    results = [
        make_result(arm(method, rate), seed, data=data, margins=(float(seed), -1.0), kl=seed + rate)
        for seed in (0, 1)
        for data in (DATA, "demo:small_code")
        for method in ("bnf", "dpo")
        for rate in (1e-4, 1e-3)
    ]
    groups = groups_of(results)
    assert [(g.data, g.arm) for g in groups] == [
        (data, arm(method, rate))
        for data in (DATA, "demo:small_code")
        for method in ("bnf", "dpo")
        for rate in (1e-4, 1e-3)
    ]
    assert all([r.cell.seed for r in g.results] == [0, 1] for g in groups)
    first = groups[0].estimates
    assert set(first) == {"accuracy", "margin", "kl", "collapsed"}
    assert first["accuracy"].mean == 0.25  # margins 0, -1, 1, -1: a tie is not right
    assert first["accuracy"].n == first["margin"].n == 2
    assert first["margin"].mean == -0.25
    assert (first["kl"].mean, first["kl"].n) == (pytest.approx(0.5001), 2)
    assert groups_of([]) == ()


def test_groups_come_in_the_order_of_the_recipe_whatever_has_begun() -> None:
    recipe = make_recipe()
    begun = [make_result(arm("dpo", 1e-3), 0, kl=1.0), make_result(arm("bnf"), 2, kl=3.0), make_result(arm("bnf"), 1)]
    groups = build_groups(recipe.cells(), begun)
    arms = [arm(method, rate) for method in ("bnf", "dpo") for rate in (1e-4, 1e-3)]
    assert [g.arm for g in groups] == arms
    assert all([cell.seed for cell in g.cells] == [0, 1, 2] for g in groups)
    assert [[r.cell.seed for r in g.results] for g in groups] == [[1, 2], [], [], [0]]
    assert groups[0].estimates["kl"].mean == 3.0
    assert groups[1].estimates == {}


def test_each_measure_is_averaged_over_its_own_items() -> None:
    results = [
        make_result(arm("bnf"), 0, margins=(1.0, -2.0), broken=(True, False, False), kl=0.5, collapsed=1.0),
        make_result(arm("bnf"), 1, margins=(3.0,), broken=(), preferred_shift=-1.0, collapsed=None),
    ]
    assert values_of(results, "accuracy") == [1.0, 0.0, 1.0]
    assert values_of(results, "margin") == [1.0, -2.0, 3.0]
    assert values_of(results, "broken_answers") == [1.0, 0.0, 0.0]
    assert values_of(results, "kl") == [0.5]
    assert values_of(results, "collapsed") == [1.0]
    assert values_of(results, "entropy") == []


@pytest.mark.parametrize(("n_right", "n"), [(0, 2), (9, 12), (12, 12)])
def test_shares_of_one_run_and_shares_of_runs_are_exact(n_right: int, n: int) -> None:
    flags = [True] * n_right + [False] * (n - n_right)
    one = [make_result(arm("bnf"), margins=[1.0 if flag else -1.0 for flag in flags], broken=flags)]
    for measure in ("accuracy", "broken_answers"):
        found = estimate(one, measure)
        assert (found.mean, found.low, found.high, found.n) == (n_right / n, *exact_share(n_right, n), 1)
    found = estimate([make_result(arm("bnf"), s, collapsed=float(flag)) for s, flag in enumerate(flags)], "collapsed")
    assert (found.mean, found.low, found.high, found.n) == (n_right / n, *exact_share(n_right, n), n)


def test_the_run_is_the_unit() -> None:
    """However many pairs say the same in each run, three runs are three values."""
    levels = (1.0, 2.0, 4.0)
    for n_pairs in (6, 60, 600):
        results = [make_result(arm("bnf"), s, margins=[x] * n_pairs) for s, x in enumerate(levels)]
        found = estimate(results, "margin")
        assert (found.low, found.high, found.n) == (*map(pytest.approx, student_interval(levels)), 3)
        rivals = [make_result(arm("dpo"), s, margins=[0.0] * n_pairs) for s in range(3)]
        assert compare(results, rivals, "margin").contrast.interval == pytest.approx(student_interval(levels))


def test_runs_that_are_alike_by_chance_are_not_surer_than_their_pairs() -> None:
    """Three runs that have the same one pair more of six: no spread between runs, and no claim."""
    first = [make_result(arm("bnf"), s, margins=[1.0] * 4 + [-1.0] * 2) for s in range(3)]
    second = [make_result(arm("dpo"), s, margins=[1.0] * 3 + [-1.0] * 3) for s in range(3)]
    low, high = compare(first, second, "accuracy").contrast.interval
    assert low < 0 < 1 / 6 < high
    found = estimate(first, "accuracy")
    assert found.low < 0.6 and found.high > 0.75
    apart = [make_result(arm("dpo"), s, margins=[-1.0] * 36) for s in range(3)]
    together = [make_result(arm("bnf"), s, margins=[1.0] * 36) for s in range(3)]
    assert compare(together, apart, "accuracy").contrast.p < 0.05, "what all pairs of all runs say is still said"
    shifts = [make_result(arm(m), s, margins=[1.0] * 12, accuracy_shift=x) for s in range(3) for m, x in SHIFTS]
    assert compare(shifts[::2], shifts[1::2], "accuracy_shift").contrast.p > 0.05


SHIFTS = (("bnf", 7 / 12), ("dpo", 6 / 12))


def test_the_least_spread_is_that_of_the_pairs() -> None:
    margins = [0.0, 1.0, 2.0, 3.0]
    found = estimate([make_result(arm("bnf"), s, margins=margins) for s in range(3)], "margin")
    half = student_quantile(2) * (5 / 3 / 4 / 3) ** 0.5  # t sqrt(variance of pairs / pairs / runs)
    assert (found.low, found.high) == pytest.approx((1.5 - half, 1.5 + half))


def test_a_number_of_one_run_has_no_interval() -> None:
    single = estimate([make_result(arm("bnf"), kl=2.0)], "kl")
    assert (single.mean, single.low, single.high, single.n) == (2.0, None, None, 1)
    assert estimate([make_result(arm("bnf"), margins=[2.0])], "margin").low is None
    assert estimate([make_result(arm("bnf"))], "kl") is None
    assert estimate([], "accuracy") is None


def test_a_mean_in_words() -> None:
    kl = [make_result(arm("bnf"), s, kl=3.0) for s in range(2)]
    assert describe(estimate(kl[:1], "kl"), "nats/token") == "3.000 nats/token (1 run)"
    assert describe(estimate(kl, "kl")) == "3.000 (95 % interval 3.000 to 3.000, 2 runs)"
    pairs = [make_result(arm("bnf"), margins=(1.0, -1.0))]
    words = describe(estimate(pairs, "accuracy"), "share of pairs")
    assert words == "0.500 share of pairs (95 % interval 0.013 to 0.987, 1 run)"


def test_select_takes_what_has_the_settings() -> None:
    results = [make_result(arm(m, r), data=d) for d in (DATA, "b") for m in ("bnf", "dpo") for r in (1e-4, 1e-3)]
    groups = groups_of([*results, make_result({"method": "kto"})])
    assert select(groups, {}) == [*results, groups[-1].results[0]]
    assert [r.cell.arm for r in select(groups, {"method": "bnf", "data": "b"})] == [arm("bnf"), arm("bnf", 1e-3)]
    assert [r.cell.data for r in select(groups, arm("dpo", 1e-3))] == [DATA, "b"]
    assert select(groups, {"learning_rate": 5.0}) == []
    assert select(groups, {"beta": 0.1}) == []


# -- claims


def judge(claim: Claim, results: Sequence[CellResult], data: Sequence[str] = (DATA,)) -> list[tuple[str, str]]:
    found = judge_claims(make_recipe(claim, data=data), groups_of(results))
    return [(verdict.text, verdict.outcome) for verdict in found]


def outcome(results: Sequence[CellResult], measure: str = "accuracy", **bounds: Any) -> str:
    ((_, found),) = judge(Claim("c", {"method": "bnf"}, measure, **bounds), results)
    return found


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"at_least": 0.74}, "holds"),
        ({"at_least": 0.75}, "within noise"),
        ({"at_least": 0.76}, "does not hold"),
        ({"at_least": 0.0}, "holds"),
        ({"at_most": 0.76}, "holds"),
        ({"at_most": 0.74}, "does not hold"),
        ({"at_most": 0.0}, "does not hold"),
    ],
)
def test_a_bound_is_kept_or_not(bounds: dict[str, float], expected: str) -> None:
    results = [make_result(arm(m), s, preferred_shift=x) for m, x in (("bnf", 0.75), ("dpo", -1.0)) for s in range(3)]
    assert outcome(results, "preferred_shift", **bounds) == expected


@pytest.mark.parametrize(("bound", "expected"), [(0.2, "holds"), (0.7, "within noise"), (0.99, "does not hold")])
def test_a_bound_within_the_interval_is_within_noise(bound: float, expected: str) -> None:
    results = [make_result(arm("bnf"), s, margins=([1.0] * 3 + [-1.0]) * 9) for s in range(3)]
    assert outcome(results, at_least=bound) == expected
    opposite = {"holds": "does not hold", "does not hold": "holds"}
    assert outcome(results, at_most=bound) == opposite.get(expected, expected)


def test_one_run_makes_no_claim_about_methods() -> None:
    pair = [make_result(arm(m), margins=[x] * 36, kl=x) for m, x in (("bnf", 1.0), ("dpo", -1.0))]
    for bounds in ({"at_least": 0.5}, {"at_most": 0.5}, {"above": {"method": "dpo"}}):
        ((verdict),) = judge_claims(make_recipe(Claim("c", arm("bnf"), "accuracy", **bounds)), groups_of(pair))
        assert verdict.outcome == "one run only"
        assert verdict.detail.endswith("; this tells of that one run alone, not of methods")
    assert outcome(pair, "kl", at_least=0.5) == "one run only"
    (_, sentence) = describe_outcome(make_recipe(), groups_of(pair))
    assert "BNF at its best has accuracy 1.00 higher" in sentence
    assert sentence.endswith(" in this one run, which tells nothing of methods.")


def test_claims_are_corrected_for_being_several() -> None:
    results = rivals(1.0, 0.09)  # p 0.003 or so
    claim = Claim("c", arm("bnf"), "preferred_shift", above=arm("dpo"))
    (alone,) = judge_claims(make_recipe(claim), groups_of(results))
    assert alone.outcome == "holds"
    others = [Claim(str(i), arm("bnf"), "kl", above=arm("dpo")) for i in range(20)]
    noisy = [make_result(r.cell.arm, r.cell.seed, kl=float(i % 3), **r.values) for i, r in enumerate(results)]
    first, *_ = judge_claims(make_recipe(claim, *others), groups_of(noisy))
    assert first.outcome == "within noise"
    assert "within noise" in first.detail and "by Holm's correction for 22 tests" in first.detail


def test_a_bound_is_told_with_the_number_found() -> None:
    results = [make_result(arm("bnf"), seed, preferred_shift=0.25) for seed in range(3)]
    for bounds, words in (({"at_least": 0.5}, "at least 0.5"), ({"at_most": 0.0}, "at most 0")):
        recipe = make_recipe(Claim("It rises", arm("bnf"), "preferred_shift", **bounds))
        (verdict,) = judge_claims(recipe, groups_of(results))
        assert (verdict.text, verdict.outcome) == ("It rises", "does not hold")
        assert verdict.detail.startswith("0.250 nats/token (95 % interval 0.250 to 0.250, 3 runs)")
        assert f"; {words} was claimed; p 0" in verdict.detail


def rivals(shift: float, noise: float = 0.01, n: int = 3) -> list[CellResult]:
    """BNF ahead of DPO by `shift` in every seed, give or take `noise`."""
    found = []
    for seed in range(n):
        base = 10.0 * seed
        found.append(make_result(arm("bnf"), seed, preferred_shift=base + shift + noise * (-1) ** seed))
        found.append(make_result(arm("dpo"), seed, preferred_shift=base))
    return found


@pytest.mark.parametrize(
    ("shift", "noise", "margin", "expected"),
    [
        (1.0, 0.01, 0.0, "holds"),
        (1.0, 0.01, 0.5, "holds"),
        (1.0, 0.01, 2.0, "does not hold"),
        (1.0, 5.0, 0.0, "within noise"),
        (0.0, 0.01, 0.0, "within noise"),
        (0.0, 0.01, -0.5, "holds"),  # no worse than half a nat below
        (-1.0, 0.01, 0.0, "does not hold"),
        (-1.0, 0.01, -2.0, "holds"),
        (1.0, 0.01, 1.0, "within noise"),
    ],
)
def test_being_above_others_is_judged_by_the_interval(shift: float, noise: float, margin: float, expected: str) -> None:
    found = outcome(rivals(shift, noise), "preferred_shift", above={"method": "dpo"}, margin=margin)
    assert found == expected


def test_a_comparison_is_told_in_words() -> None:
    claim = Claim("BNF is ahead", arm("bnf"), "preferred_shift", above=arm("dpo"))
    (verdict,) = judge_claims(make_recipe(claim), groups_of(rivals(1.0)))
    assert verdict.outcome == "holds"
    assert verdict.detail.startswith("BNF, learning rate 0.0001 is 1.00")
    assert " nats/token above DPO, learning rate 0.0001 (95 % interval " in verdict.detail
    (verdict,) = judge_claims(make_recipe(claim), groups_of(rivals(0.0)))
    assert verdict.outcome == "within noise"
    assert "within noise" in verdict.detail


def test_what_was_not_measured_is_said_to_be_so() -> None:
    results = [make_result(arm("bnf"), kl=1.0), make_result(arm("dpo"), preferred_shift=1.0)]
    assert outcome(results, at_least=0.5) == "not measured"
    assert outcome([], at_least=0.5) == "not measured"
    assert outcome(results, "kl", above={"method": "dpo"}) == "not measured"
    assert outcome(results, "preferred_shift", above={"method": "dpo"}) == "not measured"
    assert outcome(rivals(1.0, n=1), "preferred_shift", above={"method": "dpo"}) == "not measured"  # no interval


def test_a_claim_is_judged_on_each_data_set_by_itself() -> None:
    data = (DATA, "/mine/own.jsonl")
    signs = zip(data, (1.0, -1.0), strict=True)
    results = [make_result(arm("bnf"), s, data=d, margins=(m,) * 40) for d, m in signs for s in range(3)]
    claim = Claim("BNF is right", {"method": "bnf"}, "accuracy", at_least=0.5)
    assert judge(claim, results, data) == [
        ("BNF is right (short_answers)", "holds"),
        ("BNF is right (own.jsonl)", "does not hold"),
    ]
    narrow = Claim("BNF is right", {"method": "bnf", "data": DATA}, "accuracy", at_least=0.5)
    assert judge(narrow, results, data) == [("BNF is right", "holds")]
    elsewhere = Claim("BNF is right", {"method": "bnf", "data": "demo:other"}, "accuracy", at_least=0.5)
    assert judge(elsewhere, results, data) == []
    assert judge(claim, results) == [("BNF is right", "holds")]


def test_a_bound_must_be_kept_at_every_setting_that_the_claim_leaves_open() -> None:
    results = [make_result(arm("bnf", r), s, kl=k) for r, k in ((1e-4, 1.0), (1e-3, -1.0)) for s in range(3)]
    assert outcome(results, "kl", at_least=-1.5) == "holds"
    for bounds, rate in (({"at_least": 0.0}, "0.001"), ({"at_most": 0.0}, "0.0001")):
        recipe = make_recipe(Claim("c", {"method": "bnf"}, "kl", **bounds))
        (verdict,) = judge_claims(recipe, groups_of(results))
        assert verdict.outcome == "does not hold"
        assert f" at learning rate {rate}, the worst of 2; at " in verdict.detail


def test_a_single_collapse_refutes_that_there_is_none() -> None:
    results = [make_result(arm("bnf", r), s) for r in (1e-4, 1e-3) for s in range(3)]
    assert outcome(results, "collapsed", at_most=0.0) == "holds"
    results[-1] = make_result(arm("bnf", 1e-3), 2, collapsed=1.0)
    assert outcome(results, "collapsed", at_most=0.0) == "does not hold"


def test_a_verdict_on_part_of_the_runs_says_so() -> None:
    claims = Claim("c", {"method": "bnf"}, "kl", at_least=0.0), Claim("d", arm("bnf"), "kl", above=arm("dpo"))
    recipe = make_recipe(*claims)
    results = [make_result(arm(m), s, kl=1.0) for m in ("bnf", "dpo") for s in range(2)]
    details = [v.detail for v in judge_claims(recipe, build_groups(recipe.cells(), results))]
    assert details[0].endswith("; so far 2 of 6 runs")
    assert details[1].endswith("; so far 4 of 6 runs")
    results = [make_result(arm(m, r), s, kl=1.0) for m in ("bnf", "dpo") for r in (1e-4, 1e-3) for s in range(3)]
    details = [v.detail for v in judge_claims(recipe, build_groups(recipe.cells(), results))]
    assert not any("so far" in detail for detail in details)


# -- comparing


def contrast_of(first: Sequence[CellResult], second: Sequence[CellResult], measure: str = "margin") -> tuple[Any, ...]:
    found = compare(first, second, measure)
    return found.contrast.mean, found.contrast.interval, found.n_runs


def test_the_same_items_are_compared_with_themselves() -> None:
    first = [make_result(arm("bnf"), s, margins=[10.0 * i + 1.0 for i in range(6)]) for s in range(2)]
    second = [make_result(arm("dpo"), s, margins=[10.0 * i for i in range(6)]) for s in range(2)]
    found = contrast_of(first, second)
    assert found == (1.0, (1.0, 1.0), 2)  # each pair with itself: no noise is left
    assert contrast_of(first[::-1], second) == found  # in whatever order the seeds came


def test_only_seeds_that_both_sides_have_are_compared() -> None:
    first = [make_result(arm("bnf"), s, margins=[10.0 * i + 1.0 + 100.0 * s for i in range(6)]) for s in range(2)]
    fewer = [make_result(arm("dpo"), 0, margins=[10.0 * i for i in range(6)])]
    assert contrast_of(first, fewer) == (1.0, (1.0, 1.0), 1)
    others = [make_result(arm("dpo"), s, margins=r.pair_margins) for s, r in zip((5, 6), first, strict=True)]
    assert compare(first, others, "margin") is None
    assert compare(first, [make_result(arm("dpo"))], "margin") is None
    assert compare([], fewer, "margin") is None


def test_other_pairs_are_compared_as_wholes() -> None:
    first = [make_result(arm("bnf"), s, margins=[10.0 * i + 1.0 for i in range(6)]) for s in range(2)]
    second = [make_result(arm("dpo"), s, margins=[10.0 * i for i in range(5)]) for s in range(2)]
    mean, (low, high), _ = contrast_of(first, second)
    assert mean == pytest.approx(6.0)
    assert high - low > 5
    assert compare(first[:1], second[:1], "margin") is None


def test_settings_that_a_claim_leaves_open_do_not_multiply_the_pairs() -> None:
    """The same twelve pairs at three learning rates are twelve pairs."""
    sides = [
        [
            make_result(arm(m, r), margins=[x * (-1.0 if i > 6 else 1.0) + 0.5 for i in range(12)])
            for r in (1e-4, 2e-4, 3e-4)
        ]
        for m, x in (("bnf", 1.0), ("dpo", 0.5))
    ]
    for measure in ("margin", "accuracy"):
        once, thrice = compare(sides[0][:1], sides[1][:1], measure), compare(*sides, measure)
        assert thrice.contrast.interval == pytest.approx(once.contrast.interval)


def test_runs_are_compared_seed_by_seed() -> None:
    mean, (low, high), _ = contrast_of(rivals(1.0)[::2], rivals(1.0)[1::2], "preferred_shift")
    assert mean == pytest.approx(1.0, abs=0.01)
    assert 0.9 < low < 1 < high < 1.1  # although seeds lie 10 apart
    assert compare(rivals(1.0, n=1)[:1], rivals(1.0, n=1)[1:], "preferred_shift") is None


# -- the best, and sentences


def group(method: str, rate: float, margins: Sequence[float], collapsed: Sequence[float] = (0.0, 0.0)) -> Group:
    results = [make_result(arm(method, rate), s, margins=margins, collapsed=c) for s, c in enumerate(collapsed)]
    (found,) = groups_of(results)
    return found


def test_the_best_setting_did_not_collapse_was_right_and_then_wide() -> None:
    healthy, wrong, wide = (
        group("bnf", rate, [margin for margin in margins for _ in "ab"])
        for rate, margins in ((1e-4, [1.0, -1.0]), (1e-3, [9.0, -9.0]), (2e-3, [5, -1]))
    )
    collapsed, half = group("bnf", 3e-3, [9.0, 9.0], (1.0, 1.0)), group("bnf", 4e-3, [8.0, 8.0], (0.0, 1.0))
    assert pick_best([collapsed, healthy]) is healthy
    assert pick_best([healthy, collapsed, half]) is healthy
    assert pick_best([collapsed, half]) is half
    assert pick_best([collapsed]) is collapsed
    assert pick_best([wrong, healthy, wide]) is wide
    right = group("bnf", 5e-3, [0.1, 0.1])
    assert pick_best([wide, right]) is right
    assert pick_best([Group((healthy.cells[0],))]) is None
    assert pick_best([]) is None
    unfinished = groups_of([make_result(arm("bnf", 6e-3), margins=[9.0], collapsed=None)])[0]
    assert pick_best([unfinished, half]) is half


def test_names_of_settings() -> None:
    assert name_arm({"data": DATA, "method": "slic", "hybrid_weight": 0.0}) == "SLiC-HF, hybrid weight 0"
    assert name_arm({"reference": "prepared:tuned", "n_steps": 3}) == "reference prepared:tuned, n steps 3"
    assert name_arm({}) == ""


def sentences_of(results: Sequence[CellResult], **changes: Any) -> tuple[str, ...]:
    return describe_outcome(make_recipe(**changes), groups_of(results))


def grid(data: str = DATA) -> list[CellResult]:
    return [
        make_result(
            arm(method, rate),
            seed,
            data=data,
            margins=([1.0] * 12 + [3.0] * 12) if method == "bnf" else ([-1.0] * 12 + [1.0] * 12),
            collapsed=float(method == "dpo" and rate == 1e-3 and seed > 0),
            preferred_shift=0.5 + seed,
        )
        for method in ("bnf", "dpo")
        for rate in (1e-4, 1e-3)
        for seed in range(3)
    ]


def test_the_outcome_says_where_each_value_collapsed_and_where_it_is_best() -> None:
    first, second = sentences_of(grid())
    assert first.startswith("short_answers, BNF: collapsed in none of 6 runs; best at learning rate ")
    assert ", as every second pair has it; by the others (accuracy 1.00, margin 2.00" in first
    assert second.startswith("short_answers, DPO: collapsed in 2 of 3 runs at learning rate 0.001; best at ")
    assert (
        "best at learning rate 0.0001, as every second pair has it; by the others (accuracy 0.50, margin 0.00" in second
    )
    assert "BNF at its best has accuracy 0.50 higher" in second
    assert "margin 2.00 higher" in second
    assert "preferred likelihood" not in second  # it has no half that did not choose
    assert first.endswith(".")
    assert second.endswith(".")


def test_a_setting_is_chosen_by_one_half_and_told_by_the_other() -> None:
    lucky, steady = [1.0, -1.0] * 6, [1.0, 1.0, -1.0, 1.0] * 3
    results = [make_result(arm("bnf", r), s, margins=m) for r, m in ((1e-3, lucky), (1e-4, steady)) for s in range(3)]
    (told,) = sentences_of(results)
    assert "best at learning rate 0.001, as every second pair has it; by the others (accuracy 0.00" in told


def test_too_few_pairs_to_choose_by_compare_nothing() -> None:
    results = [make_result(arm(m, r), s, margins=[x] * 7) for m, x in SIDES for r in (1e-4, 1e-3) for s in range(3)]
    assert sentences_of(results)[1].endswith(
        "best at learning rate 0.0001, by the pairs that chose it (accuracy 0.00, margin -1.00); BNF at its best has"
        " nothing that can be compared yet: its runs have too few pairs for one half to choose and the other to tell"
        " (8 are needed)."
    )


SIDES = (("bnf", 1.0), ("dpo", -1.0))


def test_the_outcome_speaks_of_every_data_set_and_of_nothing_that_is_missing() -> None:
    data = (DATA, "/mine/own.jsonl", "demo:none")
    told = sentences_of([*grid(), *grid(data[1])], data=data)
    assert [text.partition(":")[0] for text in told] == [
        "short_answers, BNF",
        "short_answers, DPO",
        "own.jsonl, BNF",
        "own.jsonl, DPO",
    ]
    assert sentences_of([]) == ()
    (alone,) = sentences_of([r for r in grid() if r.cell.arm["method"] == "dpo"])
    assert "at its best has" not in alone
    (unscored,) = sentences_of([make_result(arm("bnf"), collapsed=None)])
    assert unscored == "short_answers, BNF: collapsed in none of 0 runs."


def test_values_other_than_methods_are_named_with_their_setting() -> None:
    results = [
        make_result({"hybrid_term": term, "hybrid_weight": w}, s, margins=[w, 1.0] * 6, collapsed=0.0)
        for term in ("dpo", "simpo")
        for w in (0.0, 0.3)
        for s in range(2)
    ]
    told = sentences_of(results, compare="hybrid_term", along="hybrid_weight")
    assert told[0].startswith("short_answers, hybrid term dpo: collapsed in none of 4 runs; best at ")
    assert "best at hybrid weight 0.3, as every second pair has it; by the others (" in told[0]
    assert told[1].startswith("short_answers, hybrid term simpo: ")
    assert "hybrid term dpo at its best has the same accuracy on average (" in told[1]


def test_every_measure_has_words() -> None:
    assert all(measure.label and measure.better in ("more", "less", "") for measure in MEASURES.values())
