"""Ratings, ranks and scores as they stand in a field -> finite numbers. Standard library; knows one field at a time."""

from __future__ import annotations

import math
import re
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.data.conversations import is_blank
from bnf_lab.data.formats.rows import Literal, RowProblem

MAX_RATING = 1e15
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)


_COMMA = re.compile(r"\s*[+-]?\d+,\d{1,2}\s*", re.ASCII)  # as spreadsheets of many countries write decimals


def read_rating(value: Any, column: str) -> float:
    """Returns a rating.

    Raises:
        RowProblem: If it is no finite number.
    """
    number = read_number(value)
    if not math.isfinite(number):
        raise RowProblem(
            f"found {found_words(value)}; a rating is a finite number below {MAX_RATING:g}, the higher the "
            "better. Correct it or delete the row.",
            column,
        )
    return number


def read_rank(value: Any, column: str) -> float:
    """Returns a rank, from 1 on, with a minus sign: the higher the better.

    Raises:
        RowProblem: If it is none.
    """
    number = read_number(value)
    if not number >= 1:  # nan is not, either
        raise RowProblem(
            f"found {found_words(value)}; a rank is a number from 1, the best, on. Correct it or delete the row.",
            column,
        )
    return -number


def read_number(value: Any) -> float:
    """Returns a field's number, nan if it is none or so large that arithmetic with it would be none.

    >>> read_number("4.5"), read_number("4,5"), read_number("1,234"), read_number(True)
    (4.5, 4.5, nan, nan)
    """
    if isinstance(value, str) and len(value) <= 40:
        value = value.replace(",", ".") if _COMMA.fullmatch(value) else value
        value = value if _NUMBER.fullmatch(value) else None
    try:
        number = math.nan if value is None or isinstance(value, bool) else float(value)
    except (OverflowError, TypeError, ValueError):  # an integer of hundreds of digits; no number at all
        return math.nan
    return number if abs(number) < MAX_RATING else math.nan


def is_number(value: str) -> bool:
    """Tells whether a text spells a number."""
    return bool(_NUMBER.fullmatch(value) or _COMMA.fullmatch(value))


def found_words(value: Any) -> str:
    """Returns what stands in a field, as a message names it."""
    return "nothing" if is_blank(value) else shown(value.text if isinstance(value, Literal) else value)
