"""Student's t and the binomial by the incomplete beta function, exact intervals of shares, and Holm's correction.

Numbers in, numbers out. Standard library: what is asked of these few functions does not pay for SciPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

ALPHA = 0.05
"""What a report allows itself in false claims, all of them together."""
_TINY = 1e-300
_MAX_TERMS = 10_000


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Returns the regularised incomplete beta function I_x(a, b), the share of a beta distribution below x.

    The continued fraction of DLMF 8.17.22 by Lentz's method, on the side of the mean where it converges fast.

    >>> round(incomplete_beta(0.3, 2, 3), 4)  # 1 - 0.7^4 - 4 * 0.3 * 0.7^3
    0.3483
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    return front * _beta_fraction(x, a, b) / a


def _beta_fraction(x: float, a: float, b: float) -> float:
    upper, lower = 1.0, 1 / _apart(1 - (a + b) * x / (a + 1))
    fraction = lower
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            lower = 1 / _apart(1 + term * lower)
            upper = _apart(1 + term / upper)
            fraction *= lower * upper
        if abs(lower * upper - 1) < 1e-14:
            return fraction
    raise ArithmeticError(f"The incomplete beta function of {x}, {a}, {b} did not converge in {_MAX_TERMS} terms.")


def _apart(value: float) -> float:
    """Keeps a value that is about to divide away from 0."""
    return value if abs(value) > _TINY else _TINY


def student_p(t: float, df: float) -> float:
    """Returns the two-sided p value of Student's t.

    >>> round(student_p(4.303, 2), 3)
    0.05
    """
    return incomplete_beta(df / (df + t * t), df / 2, 0.5) if math.isfinite(t) else 0.0


@lru_cache(maxsize=4096)
def student_quantile(df: float, level: float = 0.95) -> float:
    """Returns the t that a share `level` of Student's distribution lies within, on both sides of 0.

    >>> round(student_quantile(2), 3), round(student_quantile(30), 3)
    (4.303, 2.042)
    """
    return _bisect(lambda share: student_p(share / (1 - share), df) > 1 - level, turned=lambda s: s / (1 - s))


def _bisect(is_below: Callable[[float], bool], turned: Callable[[float], float] = float) -> float:
    """Returns, turned, the point of (0, 1) up to which `is_below` is true."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return turned(low)


def binomial_p(n_right: int, n: int, share: float) -> float:
    """Returns the exact two-sided p value of `n_right` of `n` where `share` is true: twice the smaller tail, at most 1.

    >>> round(binomial_p(0, 5, 0.5), 4), binomial_p(1, 9, 0.0)
    (0.0625, 0.0)
    """
    at_least = 1.0 if n_right == 0 else incomplete_beta(share, n_right, n - n_right + 1)
    at_most = 1.0 if n_right == n else incomplete_beta(1 - share, n - n_right, n_right + 1)
    return min(1.0, 2 * min(at_least, at_most))


@lru_cache(maxsize=4096)
def exact_share(n_right: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Returns the exact interval of a share: those that `binomial_p` does not refute at `1 - level`.

    >>> [round(end, 4) for end in exact_share(0, 10)]
    [0.0, 0.3085]

    Source: Clopper and Pearson 1934, The use of confidence or fiducial limits.
    """
    tail = (1 - level) / 2
    low = 0.0 if n_right == 0 else _bisect(lambda x: incomplete_beta(x, n_right, n - n_right + 1) < tail)
    high = 1.0 if n_right == n else _bisect(lambda x: incomplete_beta(1 - x, n - n_right, n_right + 1) > tail)
    return low, high


def holm(ps: Sequence[float]) -> list[float]:
    """Returns p values corrected for being several: whoever goes by them is wrong anywhere with at most that chance.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    order = sorted(range(len(ps)), key=ps.__getitem__)
    corrected, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        corrected[place] = largest
    return corrected
