"""Intervals and the paired test, by hand-checked numbers and by how often they hold the truth."""

from __future__ import annotations

import doctest
import math
import random

import pytest

from bnf_lab.core.errors import LabError
from bnf_lab.evaluation import distributions, intervals
from bnf_lab.evaluation.distributions import (
    binomial_p,
    exact_share,
    holm,
    incomplete_beta,
    student_p,
    student_quantile,
)
from bnf_lab.evaluation.intervals import (
    contrast_means,
    contrast_shares,
    describe_difference,
    mcnemar_exact,
    score_interval,
    student_interval,
    wilson_interval,
)


def test_examples():
    assert doctest.testmod(intervals).failed == doctest.testmod(distributions).failed == 0


@pytest.mark.parametrize(
    ("n_right", "n", "low", "high"),
    [
        (24, 24, 0.8620, 1.0),  # 24 / (24 + 1.96^2)
        (0, 10, 0.0, 0.2775),  # 1.96^2 / (10 + 1.96^2)
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I
    ],
)
def test_wilson(n_right, n, low, high):
    assert wilson_interval(n_right, n) == pytest.approx((low, high), abs=1e-4)


def test_wilson_level():
    assert wilson_interval(5, 10, level=0.9) == pytest.approx((0.2693, 0.7307), abs=1e-4)


@pytest.mark.parametrize(
    ("df", "level", "quantile"),  # tables of Student's t
    [(1, 0.95, 12.706), (2, 0.95, 4.303), (2, 0.99, 9.925), (5, 0.95, 2.571), (30, 0.95, 2.042), (1e6, 0.95, 1.960)],
)
def test_student_against_tables(df, level, quantile):
    assert student_quantile(df, level) == pytest.approx(quantile, abs=6e-4)
    assert student_p(quantile, df) == pytest.approx(1 - level, rel=2e-3)
    assert student_p(-quantile, df) == student_p(quantile, df)


def test_student_has_closed_forms():
    for t in (0.0, 0.3, 1.0, 7.0, 1e6):
        assert student_p(t, 1) == pytest.approx(1 - 2 * math.atan(t) / math.pi, abs=1e-12)
        assert student_p(t, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t), abs=1e-12)
    assert student_p(math.inf, 3) == 0.0


@pytest.mark.parametrize(("n", "share"), [(1, 0.5), (9, 0.1), (36, 0.75), (400, 0.02)])
def test_the_incomplete_beta_is_the_sum_of_a_binomial_tail(n, share):
    for k in range(1, n + 1):
        tail = math.fsum(math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(k, n + 1))
        assert incomplete_beta(share, k, n - k + 1) == pytest.approx(tail, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize(
    ("n_right", "n", "low", "high"),  # the ends for all and none are 0.025^(1/n)
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (5, 10, 0.1871, 0.8129), (81, 263, 0.2527, 0.3676)],
)
def test_exact_share(n_right, n, low, high):
    found = exact_share(n_right, n)
    assert found == pytest.approx((low, high), abs=1e-4)  # Newcombe 1998, table I
    inner = [end for end in found if 0 < end < 1]
    assert [binomial_p(n_right, n, end) for end in inner] == pytest.approx([0.05] * len(inner))


def test_holm():
    assert holm([]) == []
    assert holm([0.04]) == [0.04]
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_words_of_shares_follow_mcnemar():
    """Whatever the counts, the interval leaves out 0 exactly where the test beside it says so."""
    for n in (6, 12, 36):
        for gains in range(n + 1):
            for losses in range(n + 1 - gains):
                first = [True] * gains + [False] * (n - gains)
                second = [False] * gains + [True] * losses + [False] * (n - gains - losses)
                found = contrast_shares(first, second)
                low, high = found.interval
                assert found.p == mcnemar_exact(first, second)
                assert (low > 0 or high < 0) == (found.p < 0.05), (n, gains, losses)
                assert -1 <= low <= found.mean <= high <= 1 and low < high


def test_the_words_of_means_follow_their_test():
    generator = random.Random(3)  # noqa: S311
    for _ in range(300):
        found = contrast_means([generator.gauss(0.7, 1) for _ in range(generator.randrange(2, 9))])
        low, high = found.interval
        assert (low > 0 or high < 0) == (found.p < 0.05)


def test_differences_that_are_alike_by_chance_are_not_believed():
    assert contrast_means([1 / 12] * 3).p == 0.0
    assert contrast_means([1 / 12] * 3, variance=1 / 144).p == pytest.approx(student_p(math.sqrt(3), 2))
    assert contrast_means([0.0] * 3).p == 1.0
    assert contrast_means([2.0, 4.0], against=3.0).p == 1.0


def test_student_is_surer_of_many_values_than_of_few_and_keeps_what_it_says():
    generator = random.Random(2)  # noqa: S311
    for n in (3, 6, 12):
        hits = 0
        for _ in range(2000):
            low, high = student_interval([generator.gauss(1, 1) for _ in range(n)])
            hits += low <= 1 <= high
        assert 0.935 <= hits / 2000 <= 0.965


def test_scores_stay_in_their_range():
    assert score_interval([0.5] * 4) == (0.5, 0.5)
    assert score_interval([1.0] * 6) == wilson_interval(6, 6)
    assert score_interval([0.0]) == wilson_interval(0, 1)
    low, high = score_interval([1.0, 1.0, 0.5])
    assert 0 < low < 0.84 < high == 1.0


def test_mcnemar():
    first = [True] + [False] * 9 + [True] * 5 + [False] * 4
    second = [False] + [True] * 9 + [True] * 5 + [False] * 4
    assert mcnemar_exact(first, second) == pytest.approx(22 / 1024)
    assert mcnemar_exact(second, first) == mcnemar_exact(first, second)
    assert mcnemar_exact([True, False], [False, True]) == 1.0
    assert mcnemar_exact([True] * 5, [False] * 5) == pytest.approx(2 / 32)
    assert mcnemar_exact([True, False], [True, False]) == 1.0
    assert mcnemar_exact([], []) == 1.0
    assert mcnemar_exact([True] * 3000, [False] * 3000) == 0.0  # too small for a float, and no overflow


@pytest.mark.parametrize(
    ("difference", "interval", "unit", "words"),
    [
        (0.12, (0.03, 0.21), "", "A is 0.12 above B (95 % interval 0.03 to 0.21)"),
        (-0.12, (-0.21, -0.03), "", "A is 0.12 below B (95 % interval 0.03 to 0.21)"),
        (0.02, (-0.05, 0.09), "", "A and B differ by 0.02: within noise (95 % interval -0.05 to 0.09)"),
        (-0.02, (-0.09, 0.05), "nats", "A and B differ by -0.02 nats: within noise (95 % interval -0.09 to 0.05)"),
        (12.4, (3.1, 21.0), "%", "A is 12 % above B (95 % interval 3 to 21)"),
        (0.0, (0.0, 0.0), "", "A and B differ by 0.0: within noise (95 % interval 0.0 to 0.0)"),
        (0.1, (0.0, 0.2), "", "A and B differ by 0.10: within noise (95 % interval 0.00 to 0.20)"),
        (0.1, (0.0004, 0.2), "", "A is 0.1000 above B (95 % interval 0.0004 to 0.2000)"),
        (-0.001, (-0.2, 0.2), "", "A and B differ by 0.00: within noise (95 % interval -0.20 to 0.20)"),
    ],
)
def test_words(difference, interval, unit, words):
    assert describe_difference("A", "B", difference, interval, unit) == words


def test_words_name_the_level():
    assert "(90 % interval" in describe_difference("A", "B", 1.0, (0.5, 1.5), level=0.9)
    assert "(99.9 % interval" in describe_difference("A", "B", 1.0, (0.5, 1.5), level=0.999)


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda: wilson_interval(0, 0), "0 right of 0"),
        (lambda: wilson_interval(4, 3), "4 right of 3"),
        (lambda: wilson_interval(1, 3, level=1.0), "level of an interval is 1.0"),
        (lambda: student_interval([]), "no value"),
        (lambda: student_interval([1.0]), "at least two"),
        (lambda: student_interval([1.0, float("nan")]), "nan is not finite"),
        (lambda: student_interval([1.0, 2.0], level=95), "level of an interval is 95"),
        (lambda: contrast_means([1.0]), "at least two"),
        (lambda: contrast_shares([], []), "no value"),
        (lambda: score_interval([]), "no value"),
        (lambda: mcnemar_exact([True], []), "1 item on one side and 0"),
        (lambda: describe_difference("A", "B", float("inf"), (0, 1)), "inf is not finite"),
        (lambda: describe_difference("A", "B", 0.5, (1, 0)), "lower end comes first"),
    ],
)
def test_refusals(refused, words):
    with pytest.raises(LabError, match=words):
        refused()
