"""What counts as a number, and a number as people read it. Standard library."""

from __future__ import annotations

import math
import re
from typing import TypeGuard


def is_number(value: object) -> TypeGuard[float]:
    """Returns whether a value is a finite number; JSON and plots have no other. True and False are none.

    >>> is_number(2), is_number(10**400), is_number(True), is_number(float("nan")), is_number(None)
    (True, True, False, False, False)
    """
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))


def finite(value: float | None) -> float | None:
    """Returns a finite number as it is, None for all else."""
    return value if is_number(value) else None


def signed(value: float, *, plus: bool = False) -> str:
    r"""Returns a number with two decimals and a true minus sign, and with a plus sign where asked.

    >>> signed(-0.851).replace("\N{MINUS SIGN}", "minus "), signed(-0.001), signed(2.0, plus=True)
    ('minus 0.85', '0.00', '+2.00')
    """
    number = round(value, 2) + 0.0  # + 0.0: no "-0.00"
    return f"{number:{'+' if plus else ''}.2f}".replace("-", "\N{MINUS SIGN}")


def counted(n: int, noun: str, one: str = "", many: str = "") -> str:
    """Returns a number with its noun, and what follows for one of it or for any other number.

    >>> counted(0, "row"), counted(1, "whole batch"), counted(1200, "empty reply")
    ('0 rows', '1 whole batch', '1,200 empty replies')
    >>> counted(1, "row", "is", "are"), counted(2, "row", "is", "are")
    ('1 row is', '2 rows are')
    """
    if n == 1:
        return f"1 {noun} {one}".rstrip()
    nouns = re.sub(r"(?<![aeou])y$", "ie", re.sub(r"(s|x|ch|sh)$", r"\1e", noun))
    return f"{n:,} {nouns}s {many}".rstrip()
