"""One JSON document -> the table in it: which of the usual forms it has, by its outline alone.

A document is a list of objects, objects one after the other, columns, one of the forms that pandas writes, an answer
of the data set server, an object that holds one of these or several, or one row. Knows no schemas, but the names that
tell a row from an object around rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bnf_lab.core.errors import ImportRefused, shown
from bnf_lab.data.formats.json import JsonColumns, JsonElements, JsonNamedLists, unwrap
from bnf_lab.data.formats.json_scan import Member, Outline, Spans
from bnf_lab.data.formats.json_values import BLANK, JsonReader
from bnf_lab.data.formats.rows import Limits, RowProblem, Table, check_part, choose_table, too_many_rows
from bnf_lab.data.formats.text import Text

_MESSAGE_NAMES = frozenset({"role", "from", "speaker"})
_ROW_NAMES = frozenset(
    """
    prompt instruction question query input context system history messages conversation conversations text
    chosen rejected response responses completion completions answer answers output label rating score
    """.split()  # noqa: SIM905 - a list to read
)
"""Names that a row has, and no object around a list of rows."""
_LISTS = (
    "its rows are lists without names. Give each row as an object with names, such as "
    '{"prompt": ..., "chosen": ..., "rejected": ...}, or save the table as CSV with a first line of names.'
)

_Inner = JsonElements | JsonColumns | JsonNamedLists


def read_json_document(text: Text, label: str, limits: Limits, part: str | None = None) -> Table:
    """Returns the rows of one JSON document.

    Args:
        text: The document.
        label: How messages call it.
        limits: What one import may bring.
        part: Which table, where it holds several.

    Raises:
        ImportRefused: If it holds none or too many rows; `SeveralTables` if it holds several and none was chosen.
    """
    return unwrap(_Document(text, label, limits).find(part))


class _Document:
    def __init__(self, text: Text, label: str, limits: Limits) -> None:
        self._text, self._label, self._limits = text, label, limits
        self._outline = Outline(text.all(), label, limits)

    def find(self, part: str | None) -> _Inner:
        outline = self._outline
        start = outline.skip_blanks(0)
        opening = outline.opening(start)
        if not opening:
            raise ImportRefused(
                f"{self._label}: it is not JSON: it starts with {shown(outline.data[start : start + 20])}. "
                "Give a list of objects, or one object a line."
            )
        spans, members = Spans(), dict[str, Member]()
        if opening == b"[":
            spans, end = outline.elements(start)
        else:
            members, end = outline.named(start)
        is_stream = outline.skip_blanks(end) < len(outline.data)
        table = self._find_in_object(members, part) if opening == b"{" and not is_stream else None
        if table is not None:
            return table
        check_part(self._label, part)
        if is_stream:
            return self._elements(self._find_stream(start), "JSON, objects one after the other")
        return self._elements(spans) if opening == b"[" else self._one_row(start, end)

    def _find_stream(self, start: int) -> Spans:
        spans = Spans()
        for first, end in self._outline.values(start):
            if len(spans) >= self._limits.rows:
                raise ImportRefused(too_many_rows(self._label, self._limits))
            spans.add(first, end)
        return spans

    def _elements(self, spans: Spans, kind: str = "JSON") -> JsonElements:
        openings = {self._outline.opening(spans[i][0]) for i in range(min(20, len(spans)))}
        if openings == {b"["}:
            raise ImportRefused(f"{self._label}: {_LISTS}")
        return JsonElements(self._text, spans, self._limits, kind)

    def _one_row(self, start: int, end: int) -> JsonElements:
        spans = Spans()
        spans.add(start, end)
        return JsonElements(self._text, spans, self._limits, "JSON, one object")

    def _find_in_object(self, members: Mapping[str, Member], part: str | None) -> _Inner | None:
        """Returns the table that an object is or holds; None if the object is a row itself."""
        table = self._find_as_object(members)
        if table is not None:
            check_part(self._label, part)
            return table
        openings = {name: self._outline.opening(member.start) for name, member in members.items()}
        inner = {name: self._find_at(members[name].start) for name, opening in openings.items() if opening}
        tables = {name: table for name, table in inner.items() if table is not None}
        if any(name.lower() in _ROW_NAMES for name in members if name not in tables):
            return None
        if tables:
            name = choose_table(self._label, "lists of rows", {name: len(t) for name, t in tables.items()}, part)
            return tables[name]
        if self._are_alike(members):
            check_part(self._label, part)
            return self._values(members)
        objects = [name for name, opening in openings.items() if opening == b"{"]
        if len(objects) == 1:  # {"data": {"train": [...], "test": [...]}}
            return self._find_in_object(self._outline.named(self._at(members[objects[0]]))[0], part)
        return None

    def _find_at(self, at: int) -> _Inner | None:
        """Returns the table that is the value at `at`, without looking into what it holds."""
        at = self._outline.skip_blanks(at)
        if self._outline.opening(at) == b"{":
            return self._find_as_object(self._outline.named(at)[0])
        spans, _ = self._outline.elements(at)
        is_table = len(spans) > 0 and self._outline.opening(spans[0][0]) == b"{" and not self._is_message(spans[0][0])
        return JsonElements(self._text, spans, self._limits) if is_table else None

    def _find_as_object(self, members: Mapping[str, Member]) -> _Inner | None:
        if {"columns", "data"} <= members.keys():
            table = self._find_named_lists(members)
            if table is not None:
                return table
        if "rows" in members and "features" in members and self._outline.opening(members["rows"].start) == b"[":
            return JsonElements(self._text, self._outline.elements(self._at(members["rows"]))[0], self._limits)
        columns = self._find_columns(members)
        if columns is not None:
            return JsonColumns(self._text, columns, self._limits)
        return self._values(members) if members and _are_numbered(members) and self._are_objects(members) else None

    def _find_named_lists(self, members: Mapping[str, Member]) -> JsonNamedLists | None:
        outline, places = self._outline, [self._at(members[name]) for name in ("columns", "data")]
        if not all(outline.opening(place) == b"[" for place in places):
            return None
        names, (rows, _) = self._read(members["columns"]), outline.elements(places[1])
        if len(rows) == 0 or outline.opening(rows[0][0]) != b"[" or not all(isinstance(name, str) for name in names):
            return None
        if len(set(names)) < len(names) or len(names) > self._limits.columns:
            raise ImportRefused(f"{self._label}: a name in 'columns' appears twice, or there are too many. Correct it.")
        return JsonNamedLists(self._text, names, rows, self._limits)

    def _find_columns(self, members: Mapping[str, Member]) -> dict[str, Spans] | None:
        """Returns the columns where every value is a list, or an object numbered "0", "1", ..., of the same length."""
        outline, columns = self._outline, dict[str, Spans]()
        shapes = set[int | tuple[str, ...]]()  # lists of one length, or objects of the same numbers
        for name, member in members.items():
            at = self._at(member)
            if outline.opening(at) == b"[":
                columns[name] = outline.elements(at)[0]
                shapes.add(len(columns[name]))
                continue
            inner = outline.named(at)[0] if outline.opening(at) == b"{" else {}
            if not inner or not _are_numbered(inner):
                return None
            columns[name] = _spans(inner)
            shapes.add(tuple(inner))
        if len(shapes) != 1 or (len(columns) < 2 and any(map(len, columns.values()))):
            return None
        firsts = [spans[0][0] for spans in columns.values() if len(spans)]
        return None if any(outline.opening(first) == b"{" for first in firsts) else columns

    def _values(self, members: Mapping[str, Member]) -> JsonElements:
        kind = "JSON, an object for each row (pandas, orient='index')"
        return JsonElements(self._text, _spans(members), self._limits, kind)

    def _are_objects(self, members: Mapping[str, Member]) -> bool:
        return all(self._outline.opening(member.start) == b"{" for member in members.values())

    def _are_alike(self, members: Mapping[str, Member]) -> bool:
        """Tells whether all values are objects of the same names, which are no messages."""
        if len(members) < 2 or not self._are_objects(members):
            return False
        first, *others = (frozenset(self._outline.named(self._at(member))[0]) for member in members.values())
        return bool(first) and not first & _MESSAGE_NAMES and all(other == first for other in others)

    def _is_message(self, at: int) -> bool:
        names, _ = self._outline.named(self._outline.skip_blanks(at))
        return not _MESSAGE_NAMES.isdisjoint(names)

    def _at(self, member: Member) -> int:
        return self._outline.skip_blanks(member.start)

    def _read(self, member: Member) -> list[Any]:
        try:
            value = JsonReader(self._limits).read(self._outline.data[member.start : member.end].strip(BLANK))
        except RowProblem as problem:
            raise ImportRefused(f"{self._label}: 'columns' cannot be read: {problem.text}") from problem
        return list(value)


def _are_numbered(members: Mapping[str, Member]) -> bool:
    return all(name.isdecimal() and name.isascii() for name in members)


def _spans(members: Mapping[str, Member]) -> Spans:
    spans = Spans()
    for member in members.values():
        spans.add(member.start, member.end)
    return spans
