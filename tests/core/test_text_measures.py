"""Measures of answers, by hand-counted texts."""

from __future__ import annotations

import doctest

import pytest

from bnf_lab.core import text_measures
from bnf_lab.core.errors import LabError
from bnf_lab.core.text_measures import distinct_n, distinct_share, is_empty, mean_words, repetition


def test_examples():
    assert doctest.testmod(text_measures).failed == 0


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        ("yes yes", 0.0),  # two words hold no 3-gram
        ("no no no", 0.0),
        ("a b c d e", 0.0),
        ("no no no no", 0.5),  # 2 grams, 1 distinct
        ("a b c a b c a", 0.4),  # abc bca cab abc bca: 5 grams, 3 distinct
        ("a  b\nc a b c a", 0.4),
        ("loop " * 102, 0.99),
    ],
)
def test_repetition(text, share):
    assert repetition(text) == pytest.approx(share)


def test_distinct_share():
    assert distinct_share(["yes", " yes\n", "no", "y es"]) == 0.75
    assert distinct_share(["", "  "]) == 0.5
    assert distinct_share(["Yes", "yes"]) == 1.0


def test_distinct_n():
    assert distinct_n(["a b a b"]) == pytest.approx(2 / 3)  # ab ba ab
    assert distinct_n(["a b", "a b", "b a"], n=2) == pytest.approx(2 / 3)  # grams do not cross texts
    assert distinct_n(["a b", "b c"], n=1) == 0.75
    assert distinct_n(["a", ""]) == 0.0


def test_mean_words():
    assert mean_words(["one two  three", "", "four"]) == pytest.approx(4 / 3)


def test_is_empty():
    assert [is_empty(text) for text in ("", " \n\t", ".", "a")] == [True, True, False, False]


@pytest.mark.parametrize("measure", [distinct_share, distinct_n, mean_words])
def test_no_text_is_refused(measure):
    with pytest.raises(LabError, match="no text to measure"):
        measure([])


def test_n_is_checked():
    with pytest.raises(LabError, match="n-grams is 0"):
        distinct_n(["a b"], n=0)
