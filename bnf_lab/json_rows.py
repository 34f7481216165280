"""JSON and JSON lines -> rows, strictly and without ever holding more than one parsed row.

Knows JSON text only: no files, no schemas. A document is cut into its elements by a flat scan over its brackets,
so deep nesting, huge arrays and one broken element cost neither the stack, nor the memory, nor the good rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bnf_lab.errors import ImportRefused, shown
from bnf_lab.rows import Limits, Refusal, Row, RowProblem, build_refusal, megabytes, too_many_rows

_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]', re.DOTALL)
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_MAX_TOKENS = 20_000_000
_BLANK = b" \t\r\n"
_CLOSING = {b"[": b"]", b"{": b"}"}


class _Lines:
    """Rows of JSON lines; `lines` is read anew at every pass."""

    def __init__(self, lines: Iterable[bytes], label: str, limits: Limits) -> None:
        self._lines, self._label, self._limits = lines, label, limits

    def __iter__(self) -> Iterator[Row | Refusal]:
        n_rows = 0
        for number, line in enumerate(self._lines, start=1):
            if not line.strip():
                continue
            n_rows += 1
            if n_rows > self._limits.rows:
                raise ImportRefused(too_many_rows(self._label, self._limits))
            yield read_row(line, number, self._limits)


def read_json_lines(lines: Iterable[bytes], label: str, limits: Limits) -> _Lines:
    """Returns the rows of JSON lines, one object a line; blank lines are no rows. `lines` must be re-iterable."""
    return _Lines(lines, label, limits)


def read_row(text: bytes, number: int, limits: Limits) -> Row | Refusal:
    """Reads one JSON object as a row, or says why it is none."""
    place = f"row {number}"
    try:
        return Row(number, read_object(text, limits), place)
    except RowProblem as problem:
        return build_refusal(number, place, problem)


def read_object(text: bytes, limits: Limits) -> dict[str, Any]:
    """Parses one JSON object under the limits.

    Raises:
        RowProblem: If it is too long, too deep, not UTF-8, not JSON, or not an object.
    """
    value = read_value(text, limits)
    if not isinstance(value, dict):
        raise RowProblem(f"it is {_kind(value)}, not an object. A row looks like "
                         '{"prompt": ..., "chosen": ..., "rejected": ...}. Correct it or delete the row.')
    if len(value) > limits.columns or any(len(key) > limits.name_chars for key in value):
        raise RowProblem(f"it has {len(value):,} columns; at most {limits.columns:,} are accepted, with names of at "
                         f"most {limits.name_chars} characters. Keep the columns that are needed.")
    return value


def read_value(text: bytes, limits: Limits) -> Any:
    """Parses one JSON value under the limits, refusing what `json.loads` lets through.

    Raises:
        RowProblem: If it is too long, too deep, not UTF-8 or not JSON.
    """
    if len(text) > limits.line_bytes:
        raise RowProblem(f"it is {megabytes(len(text))} long; a line or row may have {megabytes(limits.line_bytes)}. "
                         "Shorten it or delete it.")
    if text.count(b"[") + text.count(b"{") > limits.nesting and _is_deep(text, limits.nesting):
        raise RowProblem(f"lists and objects are nested more than {limits.nesting} deep. Flatten it or delete the row.")
    try:
        return _DECODER.decode(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RowProblem(f"it is not UTF-8 text (byte 0x{text[error.start]:02X} at position {error.start + 1}). "
                         "Save the file as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise RowProblem(f"it is not JSON ({error.msg} at character {error.pos + 1}). Each row must be one JSON "
                         "object with double quotes. Correct it or delete the row.") from error
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits; never deep (checked above)
        raise RowProblem("it holds a number that is too long. Shorten it or delete the row.") from error


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
    for match in _TOKENS.finditer(text):
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


def _no_constant(name: str) -> Any:
    raise RowProblem(f"it holds {name}, which is not JSON. Give a number or null.")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "true or false", str: "a text", list: "a list", int: "a number", float: "a number", dict: "an "
                                                                                                             "object"}
    return kinds[type(value)]


@dataclass(frozen=True)
class _Member:
    """One element of an array or one value of an object, as the span of its text."""

    key: bytes | None
    start: int
    end: int


def _members(data: bytes, start: int, label: str) -> Iterator[_Member]:
    """Cuts the array or object that opens at `start` into its members; the last item yielded ends the container."""
    depth, begin, key = 0, start + 1, None
    for count, match in enumerate(_TOKENS.finditer(data, start)):
        if count > _MAX_TOKENS:
            raise ImportRefused(f"{label}: it has more than {_MAX_TOKENS:,} JSON values. Split it into several files.")
        token = match[0]
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
            if depth == 0 and token == _CLOSING[data[start : start + 1]]:
                if data[begin : match.start()].strip(_BLANK) or key is not None:
                    yield _Member(key, begin, match.start())
                yield _Member(None, match.end(), match.end())
                return
        elif depth == 1 and token == b",":
            yield _Member(key, begin, match.start())
            begin, key = match.end(), None
        elif depth == 1 and token == b":" and key is None:
            key, begin = data[begin : match.start()].strip(_BLANK), match.end()
    raise ImportRefused(f"{label}: the JSON ends too early: a bracket or a quote is never closed. "
                        "Export the file again, or save it as JSON lines.")


class _Elements:
    """Rows that are spans of a JSON document."""

    def __init__(self, data: bytes, spans: list[_Member], limits: Limits) -> None:
        self._data, self._spans, self._limits = data, spans, limits

    def __iter__(self) -> Iterator[Row | Refusal]:
        for number, span in enumerate(self._spans, start=1):
            yield read_row(self._data[span.start : span.end].strip(_BLANK), number, self._limits)


class _Columns:
    """Rows across the columns of a JSON document: {"prompt": [...], "chosen": [...], ...}."""

    def __init__(self, data: bytes, columns: dict[str, list[_Member]], limits: Limits) -> None:
        self._data, self._columns, self._limits = data, columns, limits

    def __iter__(self) -> Iterator[Row | Refusal]:
        for index in range(len(next(iter(self._columns.values())))):
            place = f"row {index + 1}"
            try:
                yield Row(index + 1, {name: self._read(name, index) for name in self._columns}, place)
            except RowProblem as problem:
                yield build_refusal(index + 1, place, problem)

    def _read(self, name: str, index: int) -> Any:
        span = self._columns[name][index]
        return read_value(self._data[span.start : span.end].strip(_BLANK), self._limits)


def read_json_document(data: bytes, label: str, limits: Limits) -> _Elements | _Columns:
    """Returns the rows of one JSON document: a list of objects, an object that holds such a list, columns, or one row.

    Raises:
        ImportRefused: If it is none of these, or has too many rows.
    """
    start = len(data) - len(data.lstrip(_BLANK))
    if data[start : start + 1] not in (b"[", b"{"):
        raise ImportRefused(f"{label}: it is not JSON: it starts with {shown(data[start:start + 20])}. "
                            "Give a list of objects, or one object a line.")
    members = _list_members(data, start, label, limits)
    if data[start : start + 1] == b"[":
        return _Elements(data, members, limits)
    names = [_name(member, label, limits) for member in members]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ImportRefused(f"{label}: the name {shown(twice)} appears twice in one object. Keep one of them.")
    return _read_outer_object(data, dict(zip(names, members, strict=True)), start, label, limits)


def _read_outer_object(
    data: bytes, members: dict[str, _Member], start: int, label: str, limits: Limits
) -> _Elements | _Columns:
    lists = {name: inner for name, m in members.items() if (inner := _inner(data, m, label, limits)) is not None}
    shapes = {tuple(m.key for m in inner) for inner in lists.values()}
    firsts = {name: data[inner[0].start : inner[0].end].strip(_BLANK) for name, inner in lists.items() if inner}
    objects = [name for name, first in firsts.items() if first.startswith(b"{")]
    is_table = len(members) >= 2 or not any(lists.values())
    if is_table and len(lists) == len(members) and len(shapes) == 1 and not objects:
        return _Columns(data, lists, limits)
    tables = {name: lists[name] for name in objects if b'"role"' not in firsts[name] and b'"from"' not in firsts[name]}
    if len(tables) > 1:
        raise ImportRefused(f"{label}: it holds several lists of rows "
                            f"({', '.join(shown(n, 30) for n in islice(tables, 6))})."
                            " Save the one that is meant as a file of its own.")
    if tables:
        return _Elements(data, next(iter(tables.values())), limits)
    end = list(_members(data, start, label))[-1].end
    return _Elements(data, [_Member(None, start, end)], limits)


def _list_members(data: bytes, start: int, label: str, limits: Limits) -> list[_Member]:
    """Returns the members of the outermost container, after which nothing else may follow."""
    *members, end = islice(_members(data, start, label), limits.rows + 2)
    if end.start != end.end or len(members) > limits.rows:
        raise ImportRefused(too_many_rows(label, limits))
    if data[end.end :].strip(_BLANK):
        raise ImportRefused(f"{label}: more text follows after the JSON ends. Give one list of objects, "
                            "or one object a line.")
    return members


def _name(member: _Member, label: str, limits: Limits) -> str:
    try:
        name = json.loads((member.key or b"null")[: 8 * limits.name_chars])
    except ValueError:
        name = None
    if not isinstance(name, str) or len(name) > limits.name_chars:
        raise ImportRefused(f"{label}: it is not JSON: an object has a value without a proper name. "
                            "Give a list of objects, or one object a line.")
    return name


def _inner(data: bytes, member: _Member, label: str, limits: Limits) -> list[_Member] | None:
    """Returns the elements if the member is a list, or an object numbered "0", "1", ... (as pandas writes columns)."""
    start = member.start + len(data[member.start : member.end]) - len(data[member.start : member.end].lstrip(_BLANK))
    if data[start : start + 1] not in (b"[", b"{"):
        return None
    *inner, end = islice(_members(data, start, label), limits.rows + 2)
    if end.start != end.end or len(inner) > limits.rows:
        raise ImportRefused(too_many_rows(label, limits))
    is_numbered = all((m.key or b"")[1:-1].isdigit() for m in inner)
    return inner if data[start : start + 1] == b"[" or (inner and is_numbered) else None

