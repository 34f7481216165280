"""What the cells of an experiment say together: means with intervals, claims borne out or not, and words.

Standard library. A difference whose interval holds 0 is called noise. This room must not know files or reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from bnf_lab.experiment_records import MEASURES, CellResult, ClaimVerdict, Estimate, Group
from bnf_lab.intervals import (
    bootstrap_difference,
    bootstrap_mean,
    describe_difference,
    student_interval,
    wilson_interval,
)
from bnf_lab.recipes import Claim, Recipe, has_settings
from bnf_lab.settings import METHODS, method_label

INTERVALS = (
    "95 % intervals: for shares by Wilson's method, over the held-out pairs of all seeds for accuracy, over answers or"
    " runs else; for the margin by a bootstrap over held-out pairs; for other means by Student's t over runs. Intervals"
    " over pairs say how sure a number is of its pairs, not how much runs differ (the CSV has every run), and a prompt"
    " that several seeds hold out counts more than once. Differences compare the same held-out pairs, or the runs of"
    " the same seeds, with each other."
)
BY_PAIR = ("accuracy", "margin")
SHARES = ("accuracy", "broken_answers", "collapsed")


def group_results(results: Iterable[CellResult]) -> tuple[Group, ...]:
    """Puts the results together that differ in their seed alone, in order of first sight."""
    found: dict[tuple[str, tuple[tuple[str, Any], ...]], list[CellResult]] = {}
    for result in results:
        found.setdefault((result.cell.data, tuple(result.cell.arm.items())), []).append(result)
    return tuple(
        Group(data, dict(arm), tuple(members), _estimates(members)) for (data, arm), members in found.items()
    )


def _estimates(results: Sequence[CellResult]) -> dict[str, Estimate]:
    found = {name: estimate(values_of(results, name), name) for name in MEASURES}
    return {name: value for name, value in found.items() if value is not None}


def values_of(results: Iterable[CellResult], measure: str) -> list[float]:
    """Returns what a mean of this measure is taken over: held-out pairs, sample answers or runs."""
    results = list(results)
    if measure == "accuracy":
        return [float(margin > 0) for r in results for margin in r.pair_margins]
    if measure == "margin":
        return [margin for r in results for margin in r.pair_margins]
    if measure == "broken_answers":
        return [float(answer.is_broken) for r in results for answer in r.answers]
    return [r.values[measure] for r in results if measure in r.values]


def estimate(values: Sequence[float], measure: str) -> Estimate | None:
    """Returns the mean with its interval; None where nothing was measured."""
    if not values:
        return None
    mean = fmean(values)
    if measure in SHARES:
        return Estimate(mean, *wilson_interval(round(sum(values)), len(values)), len(values))
    if len(values) == 1:
        return Estimate(mean, None, None, 1)
    low, high = bootstrap_mean(values) if measure in BY_PAIR else student_interval(values)
    if MEASURES[measure].unit.startswith("share"):
        low, high = max(0.0, low), min(1.0, high)
    return Estimate(mean, low, high, len(values))


def judge_claims(recipe: Recipe, groups: Sequence[Group]) -> tuple[ClaimVerdict, ...]:
    """Returns how each claim fared, one data set at a time; one on a bound must hold in every group that it is on."""
    verdicts = []
    for claim in recipe.claims:
        wanted = claim.where.get("data")
        for data in [d for d in recipe.data if wanted in (None, d)]:
            here = [g for g in groups if g.data == data]
            judge = _judge_bound if claim.above is None else _judge_difference
            outcome, detail = judge(claim, here)
            sides = [side for side in (claim.where, claim.above) if side is not None]
            planned = sum(cell.data == data and any(map(cell.has, sides)) for cell in recipe.cells())
            done = len({r.cell.name for side in sides for r in select(here, side) if "collapsed" in r.values})
            if done < planned:
                detail += f"; so far {done} of {planned} runs"
            name = data.removeprefix("demo:")
            text = claim.text if len(recipe.data) == 1 or wanted else f"{claim.text} ({name})"
            verdicts.append(ClaimVerdict(text, outcome, detail))
    return tuple(verdicts)


def _judge_bound(claim: Claim, groups: Sequence[Group]) -> tuple[str, str]:
    sign = 1 if claim.at_least is not None else -1
    bound = (claim.at_least if claim.at_least is not None else claim.at_most) or 0.0
    chosen = [g for g in groups if has_settings(g.data, g.arm, claim.where) and claim.measure in g.estimates]
    found = [(g, g.estimates[claim.measure]) for g in chosen]
    if not found:
        return "not measured", "no run of these settings is finished"

    def outcome_of(value: Estimate) -> str:
        if value.low is not None and value.high is not None and value.low < bound < value.high:
            return "within noise"
        return "holds" if sign * value.mean >= sign * bound else "does not hold"

    order = ("does not hold", "within noise", "holds")
    worst, value = min(found, key=lambda pair: (order.index(outcome_of(pair[1])), sign * pair[1].mean))
    outcome = outcome_of(value)
    others = {name: v for name, v in worst.arm.items() if name not in claim.where}
    at = f" at {name_arm(others)}, the worst of {len(found)}" if len(found) > 1 else ""
    words = "at least" if sign > 0 else "at most"
    return outcome, f"{describe(value, MEASURES[claim.measure].unit)}{at}; {words} {bound:g} was claimed"


def _judge_difference(claim: Claim, groups: Sequence[Group]) -> tuple[str, str]:
    above = claim.above or {}
    difference = compare(select(groups, claim.where), select(groups, above), claim.measure)
    if difference is None:
        return "not measured", "too few runs to compare are finished"
    mean, (low, high) = difference
    outcome = "within noise"
    if low > claim.margin:
        outcome = "holds"
    elif high < claim.margin:
        outcome = "does not hold"
    unit, first, second = MEASURES[claim.measure].unit, name_arm(claim.where), name_arm(above)
    if not claim.margin:
        return outcome, describe_difference(first, second, mean, (low, high), unit)
    return outcome, (
        f"{first} minus {second}: {mean:+.2f} {unit} (95 % interval {low:.2f} to {high:.2f}); more than"
        f" {claim.margin:+g} was claimed"
    )


def select(groups: Iterable[Group], where: Mapping[str, Any]) -> list[CellResult]:
    """Returns the results of the groups that have these settings."""
    return [result for group in groups if has_settings(group.data, group.arm, where) for result in group.results]


def compare(
    first: Sequence[CellResult], second: Sequence[CellResult], measure: str
) -> tuple[float, tuple[float, float]] | None:
    """Returns the mean of first minus that of second, with its interval; None where too little was measured.

    Only seeds that both sides have count. Held-out pairs are compared one by one where both sides have the same ones;
    of all else a seed's mean is one value, and two seeds are needed.
    """
    a, b = _by_seed(first, measure), _by_seed(second, measure)
    seeds = sorted(a.keys() & b.keys())
    if not seeds or (measure not in BY_PAIR and len(seeds) < 2):
        return None
    if measure not in BY_PAIR:
        differences = [fmean(a[seed]) - fmean(b[seed]) for seed in seeds]
        return fmean(differences), student_interval(differences)
    ours, theirs = ([value for seed in seeds for value in side[seed]] for side in (a, b))
    is_paired = all(len(a[seed]) == len(b[seed]) for seed in seeds)
    return fmean(ours) - fmean(theirs), bootstrap_difference(ours, theirs, paired=is_paired)


def _by_seed(results: Sequence[CellResult], measure: str) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for result in results:
        found.setdefault(result.cell.seed, []).extend(values_of([result], measure))
    return {seed: values for seed, values in found.items() if values}


def describe(found: Estimate, unit: str = "") -> str:
    """Returns a mean and its interval in words.

    >>> describe(Estimate(0.5, 0.25, 0.75, 10), "share of pairs")
    '0.500 share of pairs (95 % interval 0.250 to 0.750, n = 10)'
    """
    interval = "" if found.low is None else f"95 % interval {found.low:.3f} to {found.high:.3f}, "
    return f"{found.mean:.3f} {unit}".rstrip() + f" ({interval}n = {found.n})"


def name_arm(arm: Mapping[str, Any]) -> str:
    """Returns settings in a few words.

    >>> name_arm({"method": "bnf", "learning_rate": 0.001})
    'BNF, learning rate 0.001'
    """
    words = []
    for name, value in arm.items():
        if name == "method":
            words.append(method_label(str(value)))
        elif name != "data":
            words.append(f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float) else
                         f"{name.replace('_', ' ')} {value}")
    return ", ".join(words)


def describe_outcome(recipe: Recipe, groups: Sequence[Group]) -> tuple[str, ...]:
    """Says of each compared value on each data set where it collapsed, its best setting, and how it does there.

    The first value is the one that the others are compared with, each side at its own best setting.
    """
    sentences = []
    for data in recipe.data:
        here = [g for g in groups if g.data == data]
        leader: tuple[str, Group] | None = None
        for value in dict.fromkeys(g.arm[recipe.compare] for g in here if recipe.compare in g.arm):
            own = [g for g in here if g.arm.get(recipe.compare) == value]
            name, best = _name(recipe, value), pick_best(own)
            parts = [_describe_collapse(recipe, own)]
            if best is not None:
                parts.append(_describe_best(recipe, best))
            if best is not None and leader is not None:
                parts.append(f"{leader[0]} at its best has {_compare_best(leader[1], best)}")
            sentences.append(f"{data.removeprefix('demo:')}, {name}: {'; '.join(parts)}.")
            leader = leader or ((name, best) if best is not None else None)
    return tuple(sentences)


def _name(recipe: Recipe, value: Any) -> str:
    is_method = recipe.compare == "method" and value in METHODS
    return method_label(str(value)) if is_method else f"{recipe.compare.replace('_', ' ')} {value}"


def _describe_collapse(recipe: Recipe, groups: Sequence[Group]) -> str:
    found, n_runs = [], 0
    for group in groups:
        flags = values_of(group.results, "collapsed")
        n_runs += len(flags)
        if sum(flags):
            found.append(f"{sum(flags):.0f} of {len(flags)} runs at {_place(recipe, group)}")
    return f"collapsed in {', '.join(found)}" if found else f"collapsed in none of {n_runs} runs"


def _place(recipe: Recipe, group: Group) -> str:
    """Returns what tells a group from the others of its compared value."""
    return name_arm({name: value for name, value in group.arm.items() if name != recipe.compare}) or "all settings"


def pick_best(groups: Sequence[Group]) -> Group | None:
    """Returns the group that did best: fewest runs collapsed, then accuracy, then margin."""

    def key(group: Group) -> tuple[float, ...]:
        def mean(name: str, otherwise: float) -> float:
            return group.estimates[name].mean if name in group.estimates else otherwise

        return -mean("collapsed", 1.0), mean("accuracy", 0.0), mean("margin", float("-inf"))

    return max((g for g in groups if g.estimates), key=key, default=None)


def _describe_best(recipe: Recipe, best: Group) -> str:
    shown = (
        ("accuracy", "accuracy"), ("accuracy_shift", "of shifts"), ("margin", "margin"),
        ("preferred_shift", "preferred shift"),
    )  # fmt: skip
    numbers = [f"{words} {best.estimates[name].mean:.2f}" for name, words in shown if name in best.estimates]
    before = [r.base_accuracy for r in best.results if r.base_accuracy is not None]
    if before:
        numbers.insert(1, f"before training {fmean(before):.2f}")
    return f"best at {_place(recipe, best)} ({', '.join(numbers)})"


def _compare_best(leader: Group, other: Group) -> str:
    """Says how the leader's accuracy, margin and likelihood stand against the other's."""
    words = []
    for name, label in (("accuracy", "accuracy"), ("margin", "margin"), ("preferred_shift", "preferred likelihood")):
        difference = compare(leader.results, other.results, name)
        if difference is None:
            continue
        mean, (low, high) = difference
        if low == high == 0:
            words.append(f"the same {label}")
        elif low <= 0 <= high:
            words.append(f"{label} within noise ({mean:+.2f}, {low:.2f} to {high:.2f})")
        else:
            words.append(f"{label} {abs(mean):.2f} {'higher' if mean > 0 else 'lower'} ({low:.2f} to {high:.2f})")
    return ", ".join(words) or "nothing to compare yet"
