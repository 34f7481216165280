"""JSON text of one value -> Python values, strictly: nothing is repaired, dropped or taken from two of a name.

Knows one value at a time: no files, no documents.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from bnf_lab.core.numbers import counted
from bnf_lab.data.formats.rows import (
    Limits,
    Literal,
    Refusal,
    Row,
    RowProblem,
    build_refusal,
    megabytes,
    not_text,
)

TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]', re.DOTALL)
BLANK = b" \t\r\n"
_PYTHON = (b"{'", b"[{'")
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_MAX_INTEGER_CHARS = 4_000


class JsonReader:
    """Reads values under the limits.

    Attributes:
        n_missing: How many NaN and infinities it has read as None: Python and pandas write these where a number is
            missing or none came out, and one of them in a column that nobody needs is no reason to lose a row.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits, self.n_missing = limits, 0
        self._decoder = json.JSONDecoder(
            object_pairs_hook=_unique,
            parse_constant=self._read_constant,
            parse_float=self._read_float,
            parse_int=_read_integer,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say about the values that were missing."""
        if not self.n_missing:
            return ()
        return (f"{counted(self.n_missing, 'value')} NaN or Infinity, which are no numbers, read as missing.",)

    def _read_constant(self, name: str) -> None:
        self.n_missing += 1

    def _read_float(self, text: str) -> Literal | None:
        number = Literal(text)
        if math.isfinite(number):
            return number
        self.n_missing += 1
        return None

    def read_row(self, text: bytes, number: int, place: str | None = None) -> Row | Refusal:
        """Reads one object as a row, or says why it is none."""
        place = place or f"row {number}"
        try:
            return Row(number, self.read_object(text), place)
        except RowProblem as problem:
            return build_refusal(number, place, problem)

    def read_object(self, text: bytes) -> dict[str, Any]:
        """Reads one object.

        Raises:
            RowProblem: If it is too long, too deep, no text, not JSON, or not an object.
        """
        value = self.read(text)
        if not isinstance(value, dict):
            raise RowProblem(
                f"it is {_kind(value)}, not an object. A row looks like "
                '{"prompt": ..., "chosen": ..., "rejected": ...}. Correct it or delete the row.'
            )
        self.check_names(value)
        return value

    def check_names(self, row: dict[str, Any]) -> None:
        """Refuses a row with more or longer names than a table may have.

        Raises:
            RowProblem: If it has.
        """
        limits = self._limits
        if len(row) > limits.columns or any(len(key) > limits.name_chars for key in row):
            raise RowProblem(
                f"it has {counted(len(row), 'column')}; at most {limits.columns:,} are accepted, with names of at "
                f"most {limits.name_chars} characters. Keep the columns that are needed."
            )

    def read(self, text: bytes) -> Any:
        """Reads one value, refusing what `json.loads` lets through.

        Raises:
            RowProblem: If it is too long, too deep, no text or not JSON.
        """
        limits = self._limits
        if len(text) > limits.line_bytes:
            raise RowProblem(
                f"it is longer than {megabytes(limits.line_bytes)}, the most that a line or row may have. "
                "Shorten it or delete it."
            )
        if text.count(b"[") + text.count(b"{") > limits.nesting and _is_deep(text, limits.nesting):
            raise RowProblem(
                f"lists and objects are nested more than {limits.nesting} deep. Flatten it or delete the row."
            )
        try:
            return self._decoder.decode(text.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise RowProblem(not_text(text, error.start)) from error
        except json.JSONDecodeError as error:
            remedy = "Correct it or delete the row."
            if text.startswith(_PYTHON):
                remedy = "This is Python's own notation; write the file with json.dumps."
            raise RowProblem(
                f"it is not JSON ({error.msg} at character {error.pos + 1}). Each row must be one JSON "
                f"object with double quotes. {remedy}"
            ) from error


def _is_deep(text: bytes, nesting: int) -> bool:
    """Tells whether brackets are nested deeper, by taking the innermost ones away level by level."""
    brackets = _STRINGS.sub(b"", text).translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(nesting):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return _depth(text) > nesting  # too deep, or brackets that do not match


def _depth(text: bytes) -> int:
    deepest = depth = 0
    for match in TOKENS.finditer(text):
        token = match[0]
        if token in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in record if keys.count(key) > 1)
        raise RowProblem("the name appears twice in one object, so one value would be lost. Keep one of them.", twice)
    return record


def _read_integer(text: str) -> int | Literal:
    if len(text) > _MAX_INTEGER_CHARS:
        raise RowProblem("it holds a number that is too long. Shorten it or delete the row.")
    return Literal(text) if text == "-0" else int(text)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "true or false", str: "a text", list: "a list", int: "a number", Literal: "a number"}
    return kinds[type(value)]
