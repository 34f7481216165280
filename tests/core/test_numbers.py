"""One meaning of "a number", and one way to write it, for settings, pages, plots and reports."""

from __future__ import annotations

import math

import pytest

from bnf_lab.core.judgements import compare_by_prompt
from bnf_lab.core.numbers import finite, is_number, signed


@pytest.mark.parametrize("value", [0, -3, 2.5, 10**400])
def test_numbers(value: object) -> None:
    assert is_number(value)
    assert finite(value) == value


@pytest.mark.parametrize("value", [None, True, math.nan, math.inf, -math.inf, "3", [1]])
def test_what_is_no_number(value: object) -> None:
    assert not is_number(value)
    assert finite(value) is None


def test_signs() -> None:
    assert [signed(v) for v in (-1.005, -0.004, 0.0, 3.14159)] == ["\N{MINUS SIGN}1.00", "0.00", "0.00", "3.14"]
    assert [signed(v, plus=True) for v in (-2.0, -0.0, 0.3)] == ["\N{MINUS SIGN}2.00", "+0.00", "+0.30"]


def test_every_preferred_meets_every_dispreferred_of_its_prompt_in_the_order_of_the_preferred() -> None:
    scored = [("q", False, 1), ("p", True, 2), ("q", True, 3), ("p", False, 4), ("q", True, 5), ("q", False, 6)]
    assert compare_by_prompt(scored) == [(2, 4), (3, 1), (3, 6), (5, 1), (5, 6)]
    assert compare_by_prompt([("p", True, 1), ("q", False, 2)]) == []
    assert compare_by_prompt([]) == []
