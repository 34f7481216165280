"""How sure a measured mean, share or difference is: intervals, tests that agree with them, and words for them.

This module knows numbers only and must not know what was measured. Nothing is resampled: the percentile bootstrap calls
too much different on a few items, where Student's t and the exact tests keep to what they say. Standard library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

from bnf_lab.core.errors import LabError, shown
from bnf_lab.core.numbers import counted
from bnf_lab.evaluation.distributions import exact_share, student_p, student_quantile

MAX_DECIMALS = 6
Z975 = NormalDist().inv_cdf(0.975)

Interval = tuple[float, float]


def wilson_interval(n_right: int, n: int, level: float = 0.95) -> Interval:
    """Returns the Wilson score interval of a share.

    (p + z^2/2n ± z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n) with p = n_right / n and z the normal quantile of
    (1 + level) / 2. It stays within [0, 1] and keeps a width where all or none are right.

    Raises:
        LabError: If there is no item, `n_right` is not among 0 to n, or the level is out of range.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    _check_level(level)
    if n < 1 or not 0 <= n_right <= n:
        raise LabError(f"{n_right} right of {n} is no share: at least 1 item and 0 to {n} right are accepted.")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = n_right / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def student_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Returns the interval of the mean of independent values, mean ± t s / sqrt(n).

    For two or three values it is wide, and it should be: resampling so few would hardly leave their range.

    Raises:
        LabError: If there are fewer than two values, one is not finite, or the level is out of range.

    >>> [round(end, 3) for end in student_interval([1.0, 2.0, 3.0])]
    [-0.484, 4.484]
    """
    _check_level(level)
    _check_values(values)
    if len(values) < 2:
        raise LabError("One value has no interval; at least two are needed.")
    half = student_quantile(len(values) - 1, level) * math.sqrt(sample_variance(values) / len(values))
    return fmean(values) - half, fmean(values) + half


def sample_variance(values: Sequence[float]) -> float:
    """Returns the variance of two or more values, by n - 1; `statistics.variance` is exact and a hundred times slower.

    >>> sample_variance([1.0, 2.0, 3.0])
    1.0
    """
    mean = fmean(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def score_interval(scores: Sequence[float]) -> Interval:
    """Returns the 95 % interval of the mean of scores in [0, 1]: Student's, cut to that range.

    Where all are 0 or all are 1 they spread as little as one alone would: then Wilson's.

    Raises:
        LabError: If there is no score or one is not finite.
    """
    _check_values(scores)
    if len(scores) == 1 or set(scores) in ({0.0}, {1.0}):
        return wilson_interval(round(sum(scores)), len(scores))
    low, high = student_interval(scores)
    return max(0.0, low), min(1.0, high)


@dataclass(frozen=True)
class Contrast:
    """By how much one side's mean is above another's.

    Attributes:
        mean: Of the first minus that of the second.
        interval: 95 %; it leaves out 0 exactly where `p` is below 0.05.
        p: Two-sided, that there is no difference.
        is_tested_by_count: True where `p` is McNemar's.
    """

    mean: float
    interval: Interval
    p: float
    is_tested_by_count: bool = False


def contrast_means(differences: Sequence[float], variance: float = 0.0, against: float = 0.0) -> Contrast:
    """Tests by Student's t whether the mean of independent differences is `against`.

    Args:
        differences: At least two.
        variance: Of one difference, the least that is believed: a few differences may be alike by chance, or because
            they are counted in steps.
        against: What `p` speaks of; the interval is the mean's own.

    Raises:
        LabError: If there are fewer than two differences or one is not finite.
    """
    _check_values(differences)
    if len(differences) < 2:
        raise LabError("One difference has no test; at least two are needed.")
    n, mean = len(differences), fmean(differences)
    error = math.sqrt(max(sample_variance(differences), variance) / n)
    half = student_quantile(n - 1) * error
    gap = abs(mean - against)
    p = student_p(gap / error, n - 1) if error else float(gap == 0)
    return Contrast(mean, (mean - half, mean + half), p)


def contrast_shares(first: Sequence[bool], second: Sequence[bool]) -> Contrast:
    """Tests by McNemar's exact test whether both sides are right equally often on the same items.

    The end of the interval next to 0 is that of the test: with b and c items that one side alone has right, the exact
    interval of b / (b + c), turned into a difference. That interval takes b + c for known; so each end is moved out to
    where an interval that does not lies, but not across 0 against the test: mean' ± 1.96 s' with half an item more in
    each of the four cells.

    Raises:
        LabError: If there is no item or the sides differ in length.

    Sources: McNemar 1947; Agresti and Min 2005, Simple improved confidence intervals for comparing matched proportions.
    """
    p = mcnemar_exact(first, second)
    _check_values(first)
    n = len(first)
    gains, losses = _discordant(first, second)
    n_odd = gains + losses
    centre, half = (gains - losses) / (n + 2), Z975 * math.sqrt(share_gap_variance(gains, losses, n))
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    if n_odd:
        exact = [(2 * end - 1) * n_odd / n for end in exact_share(gains, n_odd)]
        low = exact[0] if exact[0] > 0 else min(low, exact[0])
        high = exact[1] if exact[1] < 0 else max(high, exact[1])
    return Contrast((gains - losses) / n, (low, high), p, is_tested_by_count=True)


def share_gap_variance(gains: float, losses: float, n: float) -> float:
    """Returns the variance of a difference of two shares on the same `n` items, never 0.

    Half an item is added to each of the four cells (Agresti and Min 2005): what was not seen in a few items may yet be.
    """
    total = n + 2
    return (gains + losses + 1 - (gains - losses) ** 2 / total) / total**2


def _discordant(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int]:
    """Counts the items that the first alone has right, and those that the second alone has."""
    _check_lengths(first, second)
    return (
        sum(bool(a) and not b for a, b in zip(first, second, strict=True)),
        sum(bool(b) and not a for a, b in zip(first, second, strict=True)),
    )


def mcnemar_exact(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Returns the exact two-sided p value of McNemar's test that both sides are right equally often.

    Only the discordant items speak, those that one side alone has right: with b and c of them,
    p = min(1, 2 sum_{i <= min(b, c)} C(b + c, i) / 2^(b + c)).

    Args:
        first: Whether the one side has each item right.
        second: The same of the other side, in the same order.

    Returns:
        The p value; 1.0 where no item is discordant.

    Raises:
        LabError: If the sides differ in length.

    Source: McNemar 1947; the exact binomial form.
    """
    n_first, n_second = _discordant(first, second)
    n = n_first + n_second
    tail = sum(math.comb(n, i) for i in range(min(n_first, n_second) + 1))
    return min(1.0, 2 * tail / (1 << n))


def describe_difference(
    name_a: str,
    name_b: str,
    difference: float,
    interval: Interval,
    unit: str = "",
    *,
    level: float = 0.95,
    is_noise: bool | None = None,
) -> str:
    """Says in words how a differs from b, and whether that is within noise.

    Args:
        name_a: What is compared.
        name_b: What it is compared with.
        difference: Value of a minus value of b.
        interval: Interval of that difference.
        unit: Stands behind the difference; may be empty.
        level: Level of the interval.
        is_noise: What a test corrected for several says; None where the interval decides (it holds 0).

    Raises:
        LabError: If a number is not finite or the interval's ends are the wrong way round.

    >>> describe_difference("run A", "run B", 0.12, (0.03, 0.21))
    'run A is 0.12 above run B (95 % interval 0.03 to 0.21)'
    """
    low, high = interval
    _check_values((difference, low, high))
    _check_level(level)
    if low > high:
        raise LabError(f"The interval {low} to {high} is no interval: the lower end comes first.")
    if low <= 0 <= high if is_noise is None else is_noise:
        words, sign = "{a} and {b} differ by {size}: within noise", 1
    elif difference > 0:
        words, sign = "{a} is {size} above {b}", 1
    else:
        words, sign, low, high = "{a} is {size} below {b}", -1, -high, -low
    size, start, end = _format_alike(sign * difference, low, high)
    text = words.format(a=name_a, b=name_b, size=f"{size} {unit}".rstrip())
    return f"{text} ({100 * level:g} % interval {start} to {end})"


def _format_alike(size: float, low: float, high: float) -> list[str]:
    """Formats with as many decimals as show two digits of the interval's width, and no end but 0 as 0."""
    width = (high - low) or abs(size) or 1.0
    decimals = min(MAX_DECIMALS, max(0, 1 - math.floor(math.log10(width))))
    while decimals < MAX_DECIMALS and any(end and round(end, decimals) == 0 for end in (low, high)):
        decimals += 1
    return [f"{round(value, decimals) + 0.0:.{decimals}f}" for value in (size, low, high)]  # + 0.0: no "-0.00"


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise LabError(f"The level of an interval is {level}; above 0 and below 1 is accepted, usually 0.95.")


def _check_values(values: Sequence[float]) -> None:
    if not values:
        raise LabError("There is no value to compute an interval of; at least one is needed.")
    odd = next((value for value in values if not math.isfinite(value)), None)
    if odd is not None:
        raise LabError(f"The value {shown(odd)} is not finite; an interval needs finite values. Leave that item out.")


def _check_lengths(first: Sequence[float], second: Sequence[float]) -> None:
    if len(first) != len(second):
        raise LabError(
            f"A paired comparison has {counted(len(first), 'item')} on one side and {len(second)} on the other;"
            " both must have measured the same items in the same order."
        )
