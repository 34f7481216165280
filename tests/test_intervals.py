"""Intervals and the paired test, by hand-checked numbers and by how often they hold the truth."""

import doctest
import random
from statistics import fmean

import pytest

from bnf_lab import intervals
from bnf_lab.errors import LabError
from bnf_lab.intervals import (
    bootstrap_difference,
    bootstrap_mean,
    describe_difference,
    mcnemar_exact,
    wilson_interval,
)


def test_examples():
    assert doctest.testmod(intervals).failed == 0


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


def test_bootstrap_of_a_constant_is_that_constant():
    assert bootstrap_mean([0.25] * 7) == (0.25, 0.25)


def test_bootstrap_mean_matches_the_normal_interval():
    generator = random.Random(1)  # noqa: S311
    values = [generator.gauss(3, 2) for _ in range(400)]
    low, high = bootstrap_mean(values)
    mean, half = fmean(values), 1.96 * 2 / 20
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.04)


def test_bootstrap_mean_of_two_values():
    # the mean of two draws from {0, 1} is 0, 0.5 or 1 with 1/4, 1/2, 1/4
    assert bootstrap_mean([0.0, 1.0]) == (0.0, 1.0)
    assert bootstrap_mean([0.0, 1.0], level=0.4) == (0.5, 0.5)


def test_bootstrap_is_seeded():
    values = [0.1, 0.5, 0.9, 0.3, 0.7, 0.2]
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)
    unpaired = [bootstrap_difference(values, values[:4], paired=False, seed=seed) for seed in (3, 3, 4)]
    assert unpaired[0] == unpaired[1] != unpaired[2]


def test_bootstrap_holds_the_truth_as_often_as_it_says():
    generator = random.Random(2)  # noqa: S311
    hits = 0
    for trial in range(200):
        low, high = bootstrap_mean([generator.random() for _ in range(40)], level=0.9, n_resamples=400, seed=trial)
        hits += low <= 0.5 <= high
    assert 0.84 <= hits / 200 <= 0.95


def test_pairing_takes_out_what_both_share():
    generator = random.Random(5)  # noqa: S311
    base = [generator.gauss(0, 10) for _ in range(60)]
    better = [value + 1 + generator.gauss(0, 0.1) for value in base]
    low, high = bootstrap_difference(better, base, paired=True)
    assert 0.9 < low < 1 < high < 1.1
    low, high = bootstrap_difference(better, base, paired=False)
    assert low < 0 < high
    assert 5 < high - low < 10  # 2 * 1.96 * 10 * sqrt(2 / 60) = 7.2


def test_difference_has_the_sign_of_first_minus_second():
    assert bootstrap_difference([3.0, 3.0], [1.0, 1.0], paired=True) == (2.0, 2.0)
    assert bootstrap_difference([1.0], [3.0, 3.0], paired=False) == (-2.0, -2.0)


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
        (lambda: bootstrap_mean([]), "no value"),
        (lambda: bootstrap_mean([1.0, float("nan")]), "nan is not finite"),
        (lambda: bootstrap_mean([1.0], n_resamples=0), "resamples is 0"),
        (lambda: bootstrap_mean([1.0], level=95), "level of an interval is 95"),
        (lambda: bootstrap_difference([1.0, 2.0], [1.0], paired=True), "2 items on one side and 1"),
        (lambda: bootstrap_difference([1.0], [], paired=False), "no value"),
        (lambda: mcnemar_exact([True], []), "1 items on one side and 0"),
        (lambda: describe_difference("A", "B", float("inf"), (0, 1)), "inf is not finite"),
        (lambda: describe_difference("A", "B", 0.5, (1, 0)), "lower end comes first"),
    ],
)
def test_refusals(refused, words):
    with pytest.raises(LabError, match=words):
        refused()
