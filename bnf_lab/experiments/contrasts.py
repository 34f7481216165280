"""How sure a measure is over runs, and how two sides differ in it: the run is the unit.

Pairs of one run share its training, so that however many there are they tell of that run alone. Knows experiment
records; no recipe, no words. Standard library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from bnf_lab.evaluation.distributions import binomial_p, exact_share
from bnf_lab.evaluation.intervals import Contrast, contrast_means, contrast_shares, sample_variance, share_gap_variance
from bnf_lab.experiments.measures import MEASURES
from bnf_lab.experiments.records import CellResult, Estimate

BY_PAIR = ("accuracy", "margin")
COUNTED = ("accuracy", "broken_answers", "collapsed")
"""Measures whose items are right or wrong."""
CHOOSING, REPORTING = 0, 1
"""The halves of a run's held-out pairs: those at even places choose a setting, those at odd places tell of it."""


@dataclass(frozen=True)
class Comparison:
    """How one side's runs differ from another's, and how many runs of common seeds say so."""

    contrast: Contrast
    n_runs: int


def values_of(results: Iterable[CellResult], measure: str, half: int | None = None) -> list[float]:
    """Returns the items that this measure is of: held-out pairs, sample answers or runs."""
    return [item for result in results for item in _items(result, measure, half)]


def _items(result: CellResult, measure: str, half: int | None = None) -> list[float]:
    margins = result.pair_margins if half is None else result.pair_margins[half::2]
    if measure == "accuracy":
        return [float(margin > 0) for margin in margins]
    if measure == "margin":
        return list(margins)
    if measure == "broken_answers":
        return [float(answer.is_broken) for answer in result.answers]
    return [result.values[measure]] if measure in result.values else []


def mean_of_runs(results: Iterable[CellResult], measure: str, half: int | None, otherwise: float) -> float:
    """Returns the mean over runs of each run's mean; `otherwise` where nothing was measured."""
    runs = [items for result in results if (items := _items(result, measure, half))]
    return fmean(map(fmean, runs)) if runs else otherwise


def estimate(results: Iterable[CellResult], measure: str, half: int | None = None) -> Estimate | None:
    """Returns the mean over runs with its interval; None where nothing was measured.

    Of one run the interval is over its pairs or answers and tells of that run alone; None where it has but one number.
    """
    found = [(_items(r, measure, half), len(r.pair_margins)) for r in results]
    runs = [(items, n_pairs) for items, n_pairs in found if items]
    if not runs:
        return None
    mean = fmean(fmean(items) for items, _ in runs)
    contrast = _contrast_bound(runs, measure, 0.0)
    if contrast is None:
        return Estimate(mean, None, None, len(runs))
    low, high = contrast.interval
    if MEASURES[measure].unit.startswith("share"):
        low, high = max(0.0, low), min(1.0, high)
    return Estimate(mean, low, high, len(runs))


def contrast_bound(results: Iterable[CellResult], measure: str, bound: float) -> Contrast | None:
    """Tests whether a measure's mean over runs is `bound`; None where nothing can be tested."""
    found = [(_items(r, measure), len(r.pair_margins)) for r in results]
    return _contrast_bound([(items, n) for items, n in found if items], measure, bound)


def _contrast_bound(runs: Sequence[tuple[Sequence[float], int]], measure: str, bound: float) -> Contrast | None:
    pooled = [item for items, _ in runs for item in items]
    if not pooled:
        return None
    if measure == "collapsed" or (measure in COUNTED and len(runs) == 1):
        n_right = round(sum(pooled))
        return Contrast(fmean(pooled), exact_share(n_right, len(pooled)), binomial_p(n_right, len(pooled), bound), True)
    if len(runs) == 1:
        return contrast_means(pooled, against=bound) if len(pooled) > 1 else None
    least = fmean(_variance(items, measure, n_pairs) for items, n_pairs in runs)
    return contrast_means([fmean(items) for items, _ in runs], least, bound)


def _variance(items: Sequence[float], measure: str, n_pairs: int) -> float:
    """Returns the variance of a run's mean that its own items speak of; 0 where they are unknown.

    Of shares with two items more each way, as an interval by Agresti and Coull has: never 0, whatever was seen.
    """
    n = n_pairs if measure == "accuracy_shift" else len(items)
    if measure in COUNTED or measure == "accuracy_shift":
        share = (fmean(items) * n + 2) / (n + 4)
        return share * (1 - share) / (n + 4)
    return sample_variance(items) / n if n > 1 else 0.0


def compare(
    first: Iterable[CellResult],
    second: Iterable[CellResult],
    measure: str,
    *,
    against: float = 0.0,
    half: int | None = None,
) -> Comparison | None:
    """Returns how much first is above second over the runs of the seeds that both have; None if too little is known.

    A seed's difference is one value, of the same held-out pairs where both sides have the same ones. Their spread is
    not believed to be less than what the items within the runs say: three runs may differ by the same one pair.

    Args:
        first: One side's runs.
        second: The other's.
        measure: One of `MEASURES`.
        against: The difference that `p` speaks of.
        half: Which pairs count; None for all.
    """
    a, b = _by_seed(first, measure, half), _by_seed(second, measure, half)
    seeds = sorted(a.keys() & b.keys())
    sides = [(a[seed], b[seed]) for seed in seeds]
    if len(seeds) < 2:
        found = _compare_within(*sides[0], measure, against) if sides else None
        return None if found is None else Comparison(found, 1)
    if measure == "collapsed" and _are_counted(sides):
        flags = [[bool(side[0][0]) for side in seed] for seed in sides]
        return Comparison(contrast_shares([one for one, _ in flags], [two for _, two in flags]), len(seeds))
    gaps = [fmean(one) - fmean(two) for (one, _), (two, _) in sides]
    least = fmean(_gap_variance(one, two, measure) for one, two in sides)
    return Comparison(contrast_means(gaps, least, against), len(seeds))


_Side = tuple[list[float], int]
"""A seed's items on one side, and the number of its pairs."""


def _by_seed(results: Iterable[CellResult], measure: str, half: int | None) -> dict[int, _Side]:
    """Returns each seed's items; those of several settings are averaged item by item, not counted several times."""
    found: dict[int, list[_Side]] = {}
    for result in results:
        items = _items(result, measure, half)
        if items:
            found.setdefault(result.cell.seed, []).append((items, len(result.pair_margins)))
    return {seed: _average(sides) for seed, sides in found.items()}


def _average(sides: Sequence[_Side]) -> _Side:
    if len({len(items) for items, _ in sides}) == 1:
        return [fmean(values) for values in zip(*(items for items, _ in sides), strict=True)], sides[0][1]
    return [fmean(items) for items, _ in sides], min(n for _, n in sides)


def _are_counted(sides: Iterable[tuple[_Side, _Side]]) -> bool:
    """Returns whether all items are right or wrong, none of them an average."""
    return all(item in (0, 1) for seed in sides for items, _ in seed for item in items)


def _compare_within(one: _Side, two: _Side, measure: str, against: float) -> Contrast | None:
    """Compares two runs by the items that both have."""
    if len(one[0]) != len(two[0]) or len(one[0]) < 2:
        return None
    if measure in COUNTED and not against and _are_counted([(one, two)]):
        return contrast_shares(list(map(bool, one[0])), list(map(bool, two[0])))
    gaps = [x - y for x, y in zip(one[0], two[0], strict=True)]
    return contrast_means(gaps, len(gaps) * _gap_variance(one, two, measure), against)


def _gap_variance(one: _Side, two: _Side, measure: str) -> float:
    """Returns the variance of a seed's difference that the items within its runs speak of."""
    if len(one[0]) != len(two[0]) or measure == "accuracy_shift":
        return sum(_variance(items, measure, n_pairs) for items, n_pairs in (one, two))
    gaps = [x - y for x, y in zip(one[0], two[0], strict=True)]
    if measure in COUNTED:
        gains, losses = sum(max(0.0, gap) for gap in gaps), sum(max(0.0, -gap) for gap in gaps)
        return share_gap_variance(gains, losses, len(gaps))
    return sample_variance(gaps) / len(gaps) if len(gaps) > 1 else 0.0
