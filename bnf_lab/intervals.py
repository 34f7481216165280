"""How sure a measured mean, share or difference is: intervals, a paired test, and words for them.

This room knows numbers only and must not know what was measured. Standard library. Every resample is seeded, so that
the same numbers give the same interval.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from statistics import NormalDist, fmean, stdev

from bnf_lab.errors import LabError, shown

MAX_DECIMALS = 6

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


def bootstrap_mean(
    values: Sequence[float], *, level: float = 0.95, n_resamples: int = 2000, seed: int = 0
) -> Interval:
    """Returns the percentile bootstrap interval of the mean of independent values.

    Raises:
        LabError: If there is no value, one is not finite, or a setting is out of range.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    _check_values(values)
    generator = _build_generator(seed)
    return _percentile_interval(lambda: _resampled_mean(generator, values), level, n_resamples)


STUDENT_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t at 97.5 % for 1 to 30 degrees of freedom."""


def student_interval(values: Sequence[float]) -> Interval:
    """Returns the 95 % interval of the mean of a few independent values, mean ± t s / sqrt(n).

    For two or three values it is wide, and it should be: a bootstrap of so few would hardly leave their range.

    Raises:
        LabError: If there are fewer than two values or one is not finite.

    >>> [round(end, 3) for end in student_interval([1.0, 2.0, 3.0])]
    [-0.484, 4.484]
    """
    _check_values(values)
    if len(values) < 2:
        raise LabError("One value has no interval; at least two are needed.")
    t = STUDENT_975[len(values) - 2] if len(values) - 2 < len(STUDENT_975) else 1.96
    mean, half = fmean(values), t * stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def bootstrap_difference(
    first: Sequence[float],
    second: Sequence[float],
    *,
    paired: bool,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Returns the percentile bootstrap interval of mean(first) - mean(second).

    Args:
        first: Values of the one side.
        second: Values of the other.
        paired: True where both sides measured the same items in the same order: items are drawn, each with both of
            its values. False where they are independent: each side is drawn by itself.
        level: Share of such intervals that hold the true difference, in (0, 1).
        n_resamples: How often the values are drawn anew.
        seed: Decides the draws.

    Raises:
        LabError: If a side has no value, a value is not finite, paired sides differ in length, or a setting is out of
            range.
    """
    _check_values(first)
    _check_values(second)
    if paired:
        _check_lengths(first, second)
        differences = [a - b for a, b in zip(first, second, strict=True)]
        return bootstrap_mean(differences, level=level, n_resamples=n_resamples, seed=seed)
    generator = _build_generator(seed)
    return _percentile_interval(
        lambda: _resampled_mean(generator, first) - _resampled_mean(generator, second), level, n_resamples
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
    _check_lengths(first, second)
    n_first = sum(bool(a) and not b for a, b in zip(first, second, strict=True))
    n_second = sum(bool(b) and not a for a, b in zip(first, second, strict=True))
    n = n_first + n_second
    tail = sum(math.comb(n, i) for i in range(min(n_first, n_second) + 1))
    return min(1.0, 2 * tail / (1 << n))


def describe_difference(
    name_a: str, name_b: str, difference: float, interval: Interval, unit: str = "", *, level: float = 0.95
) -> str:
    """Says in words how a differs from b, and whether that is within noise (the interval holds 0).

    Args:
        name_a: What is compared.
        name_b: What it is compared with.
        difference: Value of a minus value of b.
        interval: Interval of that difference.
        unit: Stands behind the difference; may be empty.
        level: Level of the interval.

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
    if low <= 0 <= high:
        words, sign = "{a} and {b} differ by {size}: within noise", 1
    elif low > 0:
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


def _resampled_mean(generator: random.Random, values: Sequence[float]) -> float:
    return fmean(generator.choices(values, k=len(values)))


def _percentile_interval(draw: Callable[[], float], level: float, n_resamples: int) -> Interval:
    _check_level(level)
    if n_resamples < 1:
        raise LabError(f"The number of resamples is {n_resamples}; at least 1 is accepted.")
    draws = sorted(draw() for _ in range(n_resamples))
    return _percentile(draws, (1 - level) / 2), _percentile(draws, (1 + level) / 2)


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Returns the value at a share of the way through ordered values, linear between neighbours."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _build_generator(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - resamples, not secrets


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
            f"A paired comparison has {len(first)} items on one side and {len(second)} on the other; both must have"
            " measured the same items in the same order."
        )
