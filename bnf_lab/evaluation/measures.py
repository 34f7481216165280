"""What was measured of several models side by side: how sure it is, how they differ, and the table and words for it.

A side is the base model or the base model with an adapter. This room knows numbers by side and must not know models,
judgements or runs. Standard library.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Any

from bnf_lab.core.numbers import counted
from bnf_lab.evaluation.distributions import ALPHA, holm
from bnf_lab.evaluation.intervals import (
    Interval,
    contrast_means,
    contrast_shares,
    describe_difference,
    student_interval,
    wilson_interval,
)

BASE, ALIGNED, AGAINST = "base", "aligned", "against"
NAMES = {BASE: "base", ALIGNED: "aligned", AGAINST: "the other adapter"}
COMPARISONS = ((ALIGNED, BASE), (AGAINST, BASE), (ALIGNED, AGAINST))
MIN_ITEMS = 6  # with fewer, not even McNemar's test can reach p < 0.05
TOLD = ((ALIGNED, BASE), (ALIGNED, AGAINST))  # of the comparisons, those with a sentence
COMPARED = ("accuracy", "margin", "problems", "choices")
TOTALS = ("problems", "choices")
LABEL_WIDTH, CELL_WIDTH = 43, 25


@dataclass(frozen=True)
class Difference:
    """How one side differs from another in one measure.

    Attributes:
        of: The side.
        to: What it is compared with.
        n: Independent items that both were measured on.
        difference: Mean of `of` minus mean of `to`.
        interval: 95 % interval of the difference; None where too few items would make it a promise.
        p: Of the test that the interval agrees with: it leaves out 0 where p is below 0.05.
        test: "McNemar" where independent items are right or wrong, else "Student".
        p_corrected: By Holm's method, for all differences that sentences are made of; None for the others.
    """

    of: str
    to: str
    n: int
    difference: float
    interval: Interval | None
    p: float | None
    test: str = "Student"
    p_corrected: float | None = None

    @property
    def is_within_noise(self) -> bool:
        p = self.p if self.p_corrected is None else self.p_corrected
        return p is None or p >= ALPHA


@dataclass(frozen=True)
class Measure:
    """One quantity of every side that has it.

    Attributes:
        key: Its name for machines.
        label: Its name for people.
        unit: May be empty.
        n: Independent items; 0 where one number of all of them is known.
        values: Side -> mean; None where a value is not finite.
        intervals: Side -> 95 % interval of the mean; missing where there are too few items.
        stderrs: Side -> standard error, where somebody else computed it.
        differences: Between the sides, on the same items.
    """

    key: str
    label: str
    unit: str = ""
    n: int = 0
    values: Mapping[str, float | None] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    stderrs: Mapping[str, float | None] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()

    def find_difference(self, of: str, to: str) -> Difference | None:
        return next((d for d in self.differences if (d.of, d.to) == (of, to)), None)

    def to_dict(self) -> dict[str, Any]:
        sides = {
            side: {"value": value, "interval": self.intervals.get(side)}
            | ({"stderr": self.stderrs[side]} if side in self.stderrs else {})
            for side, value in self.values.items()
        }
        differences = [asdict(d) | {"is_within_noise": d.is_within_noise} for d in self.differences]
        return {"label": self.label, "unit": self.unit, "n": self.n, "sides": sides, "differences": differences}


@dataclass(frozen=True)
class Section:
    """Measures that belong together."""

    title: str
    measures: tuple[Measure, ...]


def build_measure(
    key: str,
    label: str,
    items: Mapping[str, Sequence[float]],
    *,
    groups: Sequence[Hashable] | None = None,
    unit: str = "",
    is_share: bool = False,
) -> Measure:
    """Builds a measure from its items with intervals and differences.

    Args:
        key: Its name for machines.
        label: Its name for people.
        items: Side -> value of each item, the same items in the same order for every side.
        groups: Each item's group; items of one group are not independent and count as one. None for groups of one.
        unit: May be empty.
        is_share: True where an item is right or wrong: the interval is Wilson's, and McNemar's test is made.
    """
    n_items = max(map(len, items.values()), default=0)
    groups = range(n_items) if groups is None else groups
    n = len(set(groups))
    is_tested = is_share and n == n_items
    finite = {side: v for side, v in items.items() if v and all(map(math.isfinite, v))}
    independent = {side: gather_groups(v, groups) for side, v in finite.items()}
    intervals = {
        side: wilson_interval(sum(map(bool, finite[side])), n) if is_tested else _interval(v)
        for side, v in independent.items()
    }
    return Measure(
        key,
        label,
        unit,
        n,
        {side: fmean(finite[side]) if side in finite else None for side in items},
        {side: interval for side, interval in intervals.items() if interval is not None},
        differences=tuple(
            _difference(of, to, n, finite, independent, is_tested=is_tested)
            for of, to in COMPARISONS
            if of in finite and to in finite
        ),
    )


def _difference(
    of: str,
    to: str,
    n: int,
    items: Mapping[str, Sequence[float]],
    independent: Mapping[str, Sequence[float]],
    *,
    is_tested: bool,
) -> Difference:
    mean = fmean(items[of]) - fmean(items[to])
    if n < MIN_ITEMS:
        return Difference(of, to, n, mean, None, None, "McNemar" if is_tested else "Student")
    if is_tested:
        found = contrast_shares([bool(v) for v in items[of]], [bool(v) for v in items[to]])
        return Difference(of, to, n, mean, found.interval, found.p, "McNemar")
    found = contrast_means([a - b for a, b in zip(independent[of], independent[to], strict=True)])
    return Difference(of, to, n, mean, found.interval, found.p)


def _interval(values: Sequence[float]) -> Interval | None:
    """Returns Student's interval of the mean; None where a handful of values would look surer than it is."""
    return student_interval(values) if len(values) >= MIN_ITEMS else None


def gather_groups(values: Sequence[float], groups: Sequence[Hashable]) -> list[float]:
    """Returns one value a group, independent of the others, whose mean is the mean of all values.

    With the sum S_g and the count C_g of a group, mean + (S_g - mean C_g) / mean(C): the mean of all values is a ratio
    of two sums over groups, here made linear in the groups. Groups of one give the values themselves.

    >>> gather_groups([1.0, 0.0, 1.0], ["a", "a", "b"])
    [0.4444444444444444, 0.8888888888888888]
    """
    sums: dict[Hashable, float] = {}
    counts: dict[Hashable, int] = {}
    for value, group in zip(values, groups, strict=True):
        sums[group] = sums.get(group, 0.0) + value
        counts[group] = counts.get(group, 0) + 1
    if len(sums) == len(values):
        return [float(value) for value in values]
    mean, size = fmean(values), len(values) / len(sums)
    return [mean + (sums[group] - mean * counts[group]) / size for group in sums]


def draw_table(sections: Sequence[Section], sides: Sequence[str]) -> str:
    """Returns all measures as text, one column a side, with what is known of how sure each is."""
    lines = []
    for section in sections:
        lines.append(f"{section.title:{LABEL_WIDTH}}" + "".join(f"{side:>{CELL_WIDTH}}" for side in sides))
        for measure in section.measures:
            label = f"  {measure.label} ({measure.unit})" if measure.unit else f"  {measure.label}"
            cells = "".join(f"{_cell(measure, side):>{CELL_WIDTH}}" for side in sides)
            lines.append(f"{label:{LABEL_WIDTH}}{cells}")
    return "\n".join(lines)


def _cell(measure: Measure, side: str) -> str:
    value = measure.values.get(side)
    if value is None:
        return "n/a" if side in measure.values else ""
    if side in measure.intervals:
        low, high = measure.intervals[side]
        return f"{value:.3f} ({low:.2f} to {high:.2f})"
    error = measure.stderrs.get(side)
    return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"


def correct_differences(measures: Sequence[Measure]) -> list[Measure]:
    """Corrects, by Holm's method, the differences that sentences are made of for being several."""
    told = [
        (measure.key, d)
        for measure in measures
        if measure.key in COMPARED
        for d in measure.differences
        if (d.of, d.to) in TOLD and d.p is not None
    ]
    corrected = holm([d.p for _, d in told if d.p is not None])
    known = {(key, d.of, d.to): p for (key, d), p in zip(told, corrected, strict=True)}
    return [
        replace(m, differences=tuple(replace(d, p_corrected=known.get((m.key, d.of, d.to))) for d in m.differences))
        for m in measures
    ]


def describe_all(measures: Sequence[Measure]) -> list[str]:
    """Returns a sentence for each comparison that matters, then one about what the alignment cost.

    What is called different is so after Holm's correction for all of them.
    """
    known = {measure.key: measure for measure in correct_differences(measures)}
    chosen = [known[key] for key in COMPARED if key in known]
    sentences = [
        _describe(measure, of, to)
        for of, to in TOLD
        for measure in chosen
        if of in measure.values and to in measure.values
    ]
    totals = [known[key] for key in TOTALS if key in known and ALIGNED in known[key].values]
    return sentences + ([describe_tax(totals)] if totals else [])


def _describe(measure: Measure, of: str, to: str) -> str:
    label, found = measure.label[:1].upper() + measure.label[1:], measure.find_difference(of, to)
    if measure.n == 0:
        return f"{label}: there is nothing to compare {NAMES[of]} and {NAMES[to]} on."
    if found is None:
        return f"{label}: {NAMES[of]} and {NAMES[to]} cannot be compared, a value is not finite."
    if found.interval is None or found.p is None:
        return f"{label}: {NAMES[of]} and {NAMES[to]} cannot be told apart on so few items ({found.n})."
    if found.difference == 0 and found.p == 1:
        return (
            f"{label}: {NAMES[of]} and {NAMES[to]} are equal on average over {counted(found.n, 'item')}: within noise."
        )
    words = describe_difference(
        NAMES[of], NAMES[to], found.difference, found.interval, measure.unit, is_noise=found.is_within_noise
    )
    corrected = found.p if found.p_corrected is None else found.p_corrected
    holm_words = "" if f"{corrected:.2g}" == f"{found.p:.2g}" else f", {corrected:.2g} by Holm's correction"
    return f"{label}: {words}, {found.test} p {found.p:.2g}{holm_words}."


def describe_tax(totals: Sequence[Measure]) -> str:
    """Says what the alignment cost or gained in skills; where nothing is seen, how large a loss could still hide."""
    pairs = [(m.label, m.find_difference(ALIGNED, BASE)) for m in totals]
    known = [(label, d, d.interval) for label, d in pairs if d is not None and d.interval is not None]
    if len(known) < len(totals):
        return "Alignment tax: not known, too few items or values that are not finite."
    seen = [(label, d.difference) for label, d, _ in known if not d.is_within_noise]
    lost = [f"{-size:.2f} lost in {label}" for label, size in seen if size < 0]
    gained = [f"{size:.2f} gained in {label}" for label, size in seen if size > 0]
    if lost or gained:
        return f"Alignment tax, as a share of all questions: {', '.join(lost + gained)}."
    # The rule of three: what never happened in n items may still happen in 3 of n.
    hidden = " and ".join(f"{min(1.0, max(3 / d.n, -low)):.2f} in {label}" for label, d, (low, _) in known)
    return f"Alignment tax: no measurable cost in these skills; a loss of up to {hidden} would not show."


def describe_judge(name: str, first: str, second: str, score: float, interval: Interval, n: int, n_odd: int) -> str:
    """Says what an outside judge thinks of the second side's answers against the first's.

    Args:
        name: The judge's.
        first: A side.
        second: The side whose score it is.
        score: Share of prompts it won, ties counted half.
        interval: 95 % interval of the score.
        n: Number of prompts.
        n_odd: Prompts on which the judge changed its mind with the order.
    """
    low, high = interval
    noise = ", too few to tell" if n < MIN_ITEMS else ", within noise" if low <= 0.5 <= high else ""
    return (
        f"Judge {name}: {NAMES[second]} scores {score:.2f} against {NAMES[first]} (0.5 is as good; 95 % interval"
        f" {low:.2f} to {high:.2f}; {counted(n, 'prompt')}, {n_odd} judged either way{noise})."
    )
