"""JSON -> rows, without ever holding more than one parsed row. Knows JSON only: no schemas."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bnf_lab.core.errors import ImportRefused, shown
from bnf_lab.core.numbers import counted
from bnf_lab.data.formats.json_scan import Spans
from bnf_lab.data.formats.json_values import BLANK, JsonReader
from bnf_lab.data.formats.rows import (
    Limits,
    Refusal,
    Row,
    RowProblem,
    Table,
    build_refusal,
    too_many_rows,
)
from bnf_lab.data.formats.text import Text


class _JsonTable:
    """What the tables here have in common."""

    def __init__(self, text: Text, kind: str, limits: Limits, notes: Sequence[str] = ()) -> None:
        self._text, self._limits, self._notes = text, limits, tuple(notes)
        self.kind = kind + text.kind
        self._reader = JsonReader(limits)

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._text.notes, *self._notes, *self._reader.notes)

    def _read(self, span: tuple[int, int]) -> bytes:
        return self._text.read(*span).strip(BLANK)


class JsonLines(_JsonTable):
    """Rows of JSON lines: an object a line; blank lines are no rows."""

    def __init__(self, text: Text, label: str, limits: Limits) -> None:
        super().__init__(text, "JSON lines", limits)
        self._label = label

    def __iter__(self) -> Iterator[Row | Refusal]:
        self._reader = reader = JsonReader(self._limits)
        n_rows = 0
        for number, line in enumerate(self._text.lines(longest=self._limits.line_bytes), start=1):
            if not line.strip():
                continue
            n_rows += 1
            if n_rows > self._limits.rows:
                raise ImportRefused(too_many_rows(self._label, self._limits))
            yield reader.read_row(line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n"), number)  # of files put together


class JsonElements(_JsonTable):
    """Rows that are values of a document."""

    def __init__(self, text: Text, spans: Spans, limits: Limits, kind: str = "JSON", notes: Sequence[str] = ()) -> None:
        super().__init__(text, kind, limits, notes)
        self._spans = spans

    def __len__(self) -> int:
        return len(self._spans)

    def __iter__(self) -> Iterator[Row | Refusal]:
        self._reader = reader = JsonReader(self._limits)
        for index in range(len(self._spans)):
            yield reader.read_row(self._read(self._spans[index]), index + 1)


class JsonColumns(_JsonTable):
    """Rows across the columns of a document: {"prompt": [...], "chosen": [...]}."""

    def __init__(self, text: Text, columns: Mapping[str, Spans], limits: Limits) -> None:
        super().__init__(text, "JSON, column by column", limits)
        self._columns = columns

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __iter__(self) -> Iterator[Row | Refusal]:
        self._reader = reader = JsonReader(self._limits)
        for index in range(len(self)):
            place = f"row {index + 1}"
            try:
                values = {name: reader.read(self._read(spans[index])) for name, spans in self._columns.items()}
                yield Row(index + 1, values, place)
            except RowProblem as problem:
                yield build_refusal(index + 1, place, problem)


class JsonNamedLists(_JsonTable):
    """Rows that are lists, with the columns' names beside them: {"columns": [...], "data": [[...], ...]}."""

    def __init__(self, text: Text, names: list[str], spans: Spans, limits: Limits) -> None:
        super().__init__(text, "JSON, columns and data (pandas, orient='split')", limits)
        self._names, self._spans = names, spans

    def __len__(self) -> int:
        return len(self._spans)

    def __iter__(self) -> Iterator[Row | Refusal]:
        self._reader = reader = JsonReader(self._limits)
        for index in range(len(self)):
            place = f"row {index + 1}"
            try:
                yield Row(index + 1, self._name(reader.read(self._read(self._spans[index]))), place)
            except RowProblem as problem:
                yield build_refusal(index + 1, place, problem)

    def _name(self, values: Any) -> dict[str, Any]:
        if not isinstance(values, list) or len(values) != len(self._names):
            found = counted(len(values), "value") if isinstance(values, list) else "no list"
            raise RowProblem(
                f"found {found} for the {counted(len(self._names), 'name')} in 'columns'. Correct it or delete the row."
            )
        return dict(zip(self._names, values, strict=True))


class ServerRows:
    """The rows inside those of the data set server: {"row_idx": 0, "row": {...}, "truncated_cells": []}."""

    def __init__(self, table: Table) -> None:
        self._table = table

    @property
    def kind(self) -> str:
        return f"{self._table.kind}, from the data set server"

    @property
    def notes(self) -> tuple[str, ...]:
        return (
            *self._table.notes,
            "Its rows are those that the data set server showed, which may be a part of the set.",
        )

    def __iter__(self) -> Iterator[Row | Refusal]:
        for row in self._table:
            yield row if isinstance(row, Refusal) else self._unwrap(row)

    def _unwrap(self, row: Row) -> Row | Refusal:
        inner, cut = row.values.get("row"), row.values.get("truncated_cells")
        if not isinstance(inner, dict):
            return build_refusal(row.number, row.place, RowProblem("it has no row. Correct it or delete it.", "row"))
        if cut:
            names = ", ".join(shown(name, 30) for name in cut[:4]) if isinstance(cut, list) else shown(cut)
            problem = (
                f"the data set server cut the texts of {names}. Get the set's Parquet file instead, or delete the row."
            )
            return build_refusal(row.number, row.place, RowProblem(problem))
        return Row(row.number, inner, row.place)


def unwrap(table: Table) -> Table:
    """Returns the rows inside, where a table's rows are those of the data set server, else the table itself."""
    first = next((row for row in table if isinstance(row, Row)), None)
    is_server = (
        first is not None and {"row_idx", "row"} <= first.values.keys() and isinstance(first.values["row"], dict)
    )
    return ServerRows(table) if is_server else table
