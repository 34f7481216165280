"""What the cells of an experiment say together: claims borne out or not, who is best where, and words for it.

Standard library. Claims and comparisons of one report are tested together: at most 5 % of reports in which nothing
differs say that something does. This module must not know files or reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from bnf_lab.core.methods import METHODS, method_label
from bnf_lab.core.numbers import counted
from bnf_lab.core.paths import without_folders
from bnf_lab.evaluation.distributions import ALPHA, exact_share, holm
from bnf_lab.evaluation.intervals import describe_difference
from bnf_lab.experiments.contrasts import (
    BY_PAIR,
    CHOOSING,
    COUNTED,
    REPORTING,
    Comparison,
    compare,
    contrast_bound,
    estimate,
    mean_of_runs,
    values_of,
)
from bnf_lab.experiments.lines import value_label
from bnf_lab.experiments.measures import MEASURES
from bnf_lab.experiments.recipes import Cell, Claim, Recipe
from bnf_lab.experiments.records import CellResult, ClaimVerdict, Estimate, Group

INTERVALS = (
    "The run is the unit. Intervals are 95 % by Student's t over runs, not narrower than the pairs or answers"
    " within the runs allow; for shares of runs by Clopper and Pearson. Differences compare runs of the same"
    " seeds, and in them the same held-out pairs. One run makes no claim about methods: its interval is over its"
    " own pairs (shares by Clopper and Pearson, differences of shares by McNemar's exact test, else Student's t)"
    " and tells of that run alone. What is said to hold, not to hold, to be higher or lower is so at 5 % after"
    " Holm's correction for all claims and comparisons of the report; an interval beside the words is not"
    " corrected. Where one of several settings is named best, the held-out pairs at even places chose it, and"
    " those at odd places tell how it does."
)
MIN_SPLIT = 8
"""Held-out pairs that each run needs, so that one half chooses a setting and the other tells of it."""


def build_groups(cells: Iterable[Cell], results: Iterable[CellResult]) -> tuple[Group, ...]:
    """Puts the cells together that differ in their seed alone, in order of first sight, with what they gave."""
    given = {result.cell.name: result for result in results}
    found: dict[tuple[str, tuple[tuple[str, Any], ...]], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.data, tuple(cell.arm.items())), []).append(cell)
    return tuple(_build_group(members, given) for members in found.values())


def _build_group(cells: Sequence[Cell], given: Mapping[str, CellResult]) -> Group:
    results = tuple(given[cell.name] for cell in cells if cell.name in given)
    return Group(tuple(cells), results, _estimates(results))


def _estimates(results: Sequence[CellResult]) -> dict[str, Estimate]:
    found = {name: estimate(results, name) for name in MEASURES}
    return {name: value for name, value in found.items() if value is not None}


# --- what is tested -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Finding:
    """What a claim or a comparison comes to before its p value is corrected.

    Attributes:
        p: Two-sided; None where nothing is tested.
        is_met: Whether the numbers lie on the claimed side.
        n_runs: Runs of common seeds; of 1, nothing is said about methods.
        words: The numbers in words, given whether they are within noise.
        outcome: Where no test decides it.
    """

    p: float | None
    is_met: bool
    n_runs: int
    words: Callable[[bool], str]
    outcome: str | None = None


def judge(recipe: Recipe, groups: Sequence[Group]) -> tuple[tuple[ClaimVerdict, ...], tuple[str, ...]]:
    """Returns how each claim fared and what else is to be said, all of it corrected together."""
    claims = _find_claims(recipe, groups)
    outcomes = _find_outcomes(recipe, groups)
    findings = [claim.finding for claim in claims] + [f for o in outcomes for _, f in o.comparisons]
    tested = [f for f in findings if f.p is not None]
    corrected = dict(zip(map(id, tested), holm([f.p for f in tested if f.p is not None]), strict=True))
    verdicts = tuple(_to_verdict(claim, corrected.get(id(claim.finding)), len(tested)) for claim in claims)
    return verdicts, tuple(_to_sentence(outcome, corrected) for outcome in outcomes)


def judge_claims(recipe: Recipe, groups: Sequence[Group]) -> tuple[ClaimVerdict, ...]:
    """Returns how each claim fared, one data set at a time; one on a bound must hold in every group that it is on."""
    return judge(recipe, groups)[0]


def describe_outcome(recipe: Recipe, groups: Sequence[Group]) -> tuple[str, ...]:
    """Says of each compared value on each data set where it collapsed, its best setting, and how it does there.

    The first value is the one that the others are compared with, each side at its own best setting.
    """
    return judge(recipe, groups)[1]


# --- claims ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _FoundClaim:
    text: str
    finding: _Finding
    progress: str


def _find_claims(recipe: Recipe, groups: Sequence[Group]) -> list[_FoundClaim]:
    found = []
    for claim in recipe.claims:
        wanted = claim.where.get("data")
        for data in [d for d in recipe.data if wanted in (None, d)]:
            here = [g for g in groups if g.data == data]
            finding = (_find_bound if claim.above is None else _find_difference)(claim, here)
            sides = [side for side in (claim.where, claim.above) if side is not None]
            meant = [g for g in here if any(map(g.has, sides))]
            planned = sum(len(g.cells) for g in meant)
            done = sum("collapsed" in r.values for g in meant for r in g.results)
            progress = f"; so far {done} of {counted(planned, 'run')}" if done < planned else ""
            name = value_label("data", data)
            text = claim.text if len(recipe.data) == 1 or wanted else f"{claim.text} ({name})"
            found.append(_FoundClaim(text, finding, progress))
    return found


def _to_verdict(claim: _FoundClaim, corrected: float | None, n_tests: int) -> ClaimVerdict:
    finding = claim.finding
    is_noise = corrected is not None and corrected >= ALPHA
    detail = finding.words(is_noise)
    if finding.p is not None and corrected is not None:
        detail += f"; p {finding.p:.2g}"
        detail += f", {corrected:.2g} by Holm's correction for {n_tests} tests" if n_tests > 1 else ""
    if finding.outcome is None and finding.n_runs == 1:
        detail += "; this tells of that one run alone, not of methods"
    outcome = finding.outcome
    if outcome is None and finding.n_runs == 1:
        outcome = "one run only"
    outcome = outcome or ("within noise" if is_noise else "holds" if finding.is_met else "does not hold")
    return ClaimVerdict(claim.text, outcome, f"{detail}{claim.progress}")


def _find_bound(claim: Claim, groups: Sequence[Group]) -> _Finding:
    """Finds how a bound fares in the groups that the claim is on: it must be kept in all of them.

    Where all keep it the least sure one decides; where some do not, the surest of those, its p value multiplied by
    their number. That a share is 0 (or 1) cannot be shown, but refuted by one item: then nothing is tested.
    """
    sign = 1 if claim.at_least is not None else -1
    bound = (claim.at_least if claim.at_least is not None else claim.at_most) or 0.0
    chosen = [g for g in groups if g.has(claim.where) and claim.measure in g.estimates]
    if not chosen:
        return _Finding(None, False, 0, lambda _: "no run of these settings is finished", "not measured")
    missed = [g for g in chosen if sign * g.estimates[claim.measure].mean < sign * bound]
    at_edge = claim.measure in COUNTED and bound == (1.0 if sign > 0 else 0.0)
    contrasts = [(g, contrast_bound(g.results, claim.measure, bound)) for g in missed or chosen]
    ps = [(1.0 if c is None else c.p, g) for g, c in contrasts]
    p, worst = (
        min(ps, key=lambda pair: (pair[0], sign * pair[1].estimates[claim.measure].mean))
        if missed
        else max(ps, key=lambda pair: (pair[0], -sign * pair[1].estimates[claim.measure].mean))
    )
    found = worst.estimates[claim.measure]
    others = {name: v for name, v in worst.arm.items() if name not in claim.where}
    at = f" at {name_arm(others)}, the worst of {len(chosen)}" if len(chosen) > 1 else ""
    side = "at least" if sign > 0 else "at most"
    words = f"{describe(found, MEASURES[claim.measure].unit)}{at}; {side} {bound:g} was"
    if at_edge and missed:
        return _Finding(None, False, found.n, lambda _: f"{words} claimed, which one case refutes", "does not hold")
    if at_edge:
        n = min(len(values_of(g.results, claim.measure)) for g in chosen)
        hidden = 1 - exact_share(n, n)[0]
        seen = f"{words} claimed, and none else was seen; a share of up to {hidden:.2f} would not show in {n}"
        return _Finding(None, True, found.n, lambda _: seen, "holds")
    n_runs = found.n if missed else min(g.estimates[claim.measure].n for g in chosen)
    p = min(1.0, p * len(chosen)) if missed else p
    is_tested = any(contrast is not None for _, contrast in contrasts)
    return _Finding(p if is_tested else None, not missed, n_runs, lambda _: f"{words} claimed")


def _find_difference(claim: Claim, groups: Sequence[Group]) -> _Finding:
    above = claim.above or {}
    sides = select(groups, claim.where), select(groups, above)
    found = compare(*sides, claim.measure, against=claim.margin)
    if found is None:
        return _Finding(None, False, 0, lambda _: "too few runs to compare are finished", "not measured")
    contrast, first, second = found.contrast, name_arm(claim.where), name_arm(above)
    unit = MEASURES[claim.measure].unit

    def words(is_noise: bool) -> str:
        if not claim.margin:
            return describe_difference(first, second, contrast.mean, contrast.interval, unit, is_noise=is_noise) + over
        low, high = contrast.interval
        return (
            f"{first} minus {second}: {contrast.mean:+.2f} {unit} (95 % interval {low:.2f} to {high:.2f}){over}; more"
            f" than {claim.margin:+g} was claimed"
        )

    over = f" over {counted(found.n_runs, 'run')}" if found.n_runs > 1 else " over the pairs of one run"
    return _Finding(contrast.p, contrast.mean > claim.margin, found.n_runs, words)


def select(groups: Iterable[Group], where: Mapping[str, Any]) -> list[CellResult]:
    """Returns the results of the groups that have these settings."""
    return [result for group in groups if group.has(where) for result in group.results]


def describe(found: Estimate, unit: str = "") -> str:
    """Returns a mean and its interval in words.

    >>> describe(Estimate(0.5, 0.25, 0.75, 3), "share of pairs")
    '0.500 share of pairs (95 % interval 0.250 to 0.750, 3 runs)'
    """
    interval = "" if found.low is None else f"95 % interval {found.low:.3f} to {found.high:.3f}, "
    return f"{found.mean:.3f} {unit}".rstrip() + f" ({interval}{counted(found.n, 'run')})"


def name_arm(arm: Mapping[str, Any]) -> str:
    """Returns settings in a few words.

    >>> name_arm({"method": "bnf", "learning_rate": 0.001})
    'BNF, learning rate 0.001'
    """
    words = []
    for name, value in without_folders(arm).items():
        if name == "method":
            words.append(method_label(str(value)))
        elif name != "data":
            words.append(
                f"{name.replace('_', ' ')} {value:g}"
                if isinstance(value, float)
                else f"{name.replace('_', ' ')} {value}"
            )
    return ", ".join(words)


def _name(recipe: Recipe, value: Any) -> str:
    is_method = recipe.compare == "method" and value in METHODS
    return method_label(str(value)) if is_method else f"{recipe.compare.replace('_', ' ')} {without_folders(value)}"


def _describe_collapse(recipe: Recipe, groups: Sequence[Group]) -> str:
    found, n_runs = [], 0
    for group in groups:
        flags = values_of(group.results, "collapsed")
        n_runs += len(flags)
        if sum(flags):
            found.append(f"{sum(flags):.0f} of {counted(len(flags), 'run')} at {_place(recipe, group)}")
    return f"collapsed in {', '.join(found)}" if found else f"collapsed in none of {counted(n_runs, 'run')}"


def _place(recipe: Recipe, group: Group) -> str:
    """Returns what tells a group from the others of its compared value."""
    return name_arm({name: value for name, value in group.arm.items() if name != recipe.compare}) or "all settings"


# --- the best of each -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _FoundOutcome:
    """A sentence's parts, and how the leader compares: measure in words, finding."""

    start: str
    leader: str
    comparisons: tuple[tuple[str, _Finding], ...]
    has_too_few: bool = False


@dataclass(frozen=True)
class _Best:
    """A value's best setting, and whether it is one of several."""

    name: str
    group: Group
    is_chosen: bool


def _find_outcomes(recipe: Recipe, groups: Sequence[Group]) -> list[_FoundOutcome]:
    found = []
    for data in recipe.data:
        here = [g for g in groups if g.data == data and g.results]
        leader: _Best | None = None
        for value in dict.fromkeys(g.arm[recipe.compare] for g in here if recipe.compare in g.arm):
            own = [g for g in here if g.arm.get(recipe.compare) == value]
            name, group = _name(recipe, value), pick_best(own)
            parts = [_describe_collapse(recipe, own)]
            best = None if group is None else _Best(name, group, sum(bool(g.estimates) for g in own) > 1)
            if best is not None:
                parts.append(_describe_best(recipe, best))
            comparisons = () if best is None or leader is None else _compare_best(leader, best)
            has_too_few = best is not None and leader is not None and _have_too_few(leader, best)
            start = f"{value_label('data', data)}, {name}: {'; '.join(parts)}"
            found.append(
                _FoundOutcome(start, "" if best is None or leader is None else leader.name, comparisons, has_too_few)
            )
            leader = leader or best
    return found


def _to_sentence(outcome: _FoundOutcome, corrected: Mapping[int, float]) -> str:
    words = [f.words(corrected[id(f)] >= ALPHA).replace("#", label) for label, f in outcome.comparisons]
    if not outcome.leader:
        return f"{outcome.start}."
    runs = {f.n_runs for _, f in outcome.comparisons}
    alone = " in this one run, which tells nothing of methods" if runs == {1} else ""
    few = (
        f"nothing that can be compared yet: its runs have too few pairs for one half to choose and the other to tell"
        f" ({MIN_SPLIT} are needed)"
    )
    told = ", ".join(words) or (few if outcome.has_too_few else "nothing that can be compared yet")
    return f"{outcome.start}; {outcome.leader} at its best has {told}{alone}."


def pick_best(groups: Sequence[Group]) -> Group | None:
    """Returns the group that did best: fewest runs collapsed, then accuracy, then margin on the choosing pairs."""

    def key(group: Group) -> tuple[float, ...]:
        def mean(name: str, otherwise: float) -> float:
            return mean_of_runs(group.results, name, CHOOSING if name in BY_PAIR else None, otherwise)

        return -mean("collapsed", 1.0), mean("accuracy", 0.0), mean("margin", float("-inf"))

    return max((g for g in groups if g.estimates), key=key, default=None)


def _have_too_few(*sides: _Best) -> bool:
    return any(side.is_chosen for side in sides) and not all(_can_split(side.group) for side in sides)


def _can_split(group: Group) -> bool:
    return all(len(r.pair_margins) >= MIN_SPLIT for r in group.results if r.pair_margins)


def _describe_best(recipe: Recipe, best: _Best) -> str:
    group, half = best.group, REPORTING if best.is_chosen and _can_split(best.group) else None
    shown = (
        ("accuracy", "accuracy"),
        ("accuracy_shift", "of shifts"),
        ("margin", "margin"),
        ("preferred_shift", "preferred shift"),
    )
    found = [(words, estimate(group.results, name, half if name in BY_PAIR else None)) for name, words in shown]
    numbers = [f"{words} {value.mean:.2f}" for words, value in found if value is not None]
    before = [r.base_accuracy for r in group.results if r.base_accuracy is not None]
    if before:
        numbers.insert(1, f"before training {fmean(before):.2f}")
    chosen = ""
    if best.is_chosen and any(r.pair_margins for r in group.results):
        chosen = ", as every second pair has it; by the others" if half is not None else ", by the pairs that chose it"
    return f"best at {_place(recipe, group)}{chosen} ({', '.join(numbers)})"


def _compare_best(leader: _Best, other: _Best) -> tuple[tuple[str, _Finding], ...]:
    """Finds how the leader stands against the other, by pairs that chose neither's setting.

    What a run has but one number of, like the preferred likelihood, has no second half: it is compared where nothing
    was chosen.
    """
    if _have_too_few(leader, other):
        return ()
    is_chosen = leader.is_chosen or other.is_chosen
    shown = [("accuracy", "accuracy"), ("margin", "margin")]
    shown += [] if is_chosen else [("preferred_shift", "preferred likelihood")]
    found = []
    for name, label in shown:
        half = REPORTING if is_chosen else None
        comparison = compare(leader.group.results, other.group.results, name, half=half)
        if comparison is not None:
            found.append((label, _find_comparison(comparison)))
    return tuple(found)


def _find_comparison(found: Comparison) -> _Finding:
    mean, (low, high) = found.contrast.mean, found.contrast.interval

    def words(is_noise: bool) -> str:
        if is_noise and mean == 0:
            return f"the same # on average ({low:.2f} to {high:.2f})"
        if is_noise:
            return f"# within noise ({mean:+.2f}, {low:.2f} to {high:.2f})"
        return f"# {abs(mean):.2f} {'higher' if mean > 0 else 'lower'} ({low:.2f} to {high:.2f})"

    return _Finding(found.contrast.p, mean > 0, found.n_runs, words)
