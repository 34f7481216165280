"""CSV -> rows, keyed by the names in the first line; cells are texts as they stand. Knows CSV only: no schemas."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from bnf_lab.core.errors import ImportRefused, clipped, shown
from bnf_lab.core.numbers import counted
from bnf_lab.data.formats.csv_records import Record, find_dialect, read_cells, read_records
from bnf_lab.data.formats.rows import Limits, Refusal, Row, RowProblem, build_refusal, too_many_rows
from bnf_lab.data.formats.text import Text

_NOTES = {
    "longer": "with empty cells behind the last column; these are left out.",
    "empty": "without a text skipped.",
    "headers": "naming the columns again skipped.",
}
_MARKDOWN = re.compile(rb"[\s|:]*-[\s|:-]*\|[\s|:-]*")
_REMEDY = "The first line must name the columns, for example prompt,chosen,rejected."


class CsvTable:
    """The rows of a CSV file.

    Args:
        text: The file.
        label: How messages call it.
        limits: What one import may bring.

    Raises:
        ImportRefused: If the first line cannot be one of column names.
    """

    def __init__(self, text: Text, label: str, limits: Limits) -> None:
        self._text, self._label, self._limits = text, label, limits
        head = text.read(0, 2 * limits.line_bytes)
        self._dialect = find_dialect(head, len(head) == text.n_bytes, limits)
        self._found: Counter[str] = Counter()
        self._header = self._read_header()
        unnamed = self._find_unused({i for i, cell in enumerate(self._header) if not cell.strip()})
        names = [cell.strip() or f"column {i}" for i, cell in enumerate(self._header, start=1)]
        self._names = [None if i in unnamed else name for i, name in enumerate(names)]
        self._n_unnamed = len(unnamed)
        self._check_names([name for name in self._names if name is not None])

    @property
    def kind(self) -> str:
        return self._dialect.kind + self._text.kind

    @property
    def notes(self) -> tuple[str, ...]:
        notes = [*self._text.notes, *self._dialect.notes]
        if self._n_unnamed:
            notes.append(f"{counted(self._n_unnamed, 'column')} without a name and without a text left out.")
        notes += [f"{counted(self._found[what], 'row')} {said}" for what, said in _NOTES.items() if self._found[what]]
        return tuple(notes)

    def _records(self) -> Iterator[Record]:
        return read_records(self._lines(), self._dialect, self._limits)

    def _lines(self) -> Iterator[bytes]:
        lines = self._text.lines(self._dialect.line_end, self._limits.line_bytes)
        return islice(lines, 1 if self._dialect.has_sep_line else 0, None)

    def _read_header(self) -> list[str]:
        record, second = next(records := self._records(), None), next(records, None)
        if record is None:
            raise ImportRefused(f"{self._label}: the file is empty. {_REMEDY}")
        if second is not None and _MARKDOWN.fullmatch(second.text):
            raise ImportRefused(f"{self._label}: it is a Markdown table. Save the table as CSV (UTF-8) or JSON lines.")
        try:
            return read_cells(record, self._dialect, self._limits)
        except RowProblem as problem:
            raise ImportRefused(
                clipped(f"{self._label}: the first line cannot be read: {problem.text} {_REMEDY}")
            ) from problem

    def _find_unused(self, columns: set[int]) -> set[int]:
        """Returns those of the columns that no row has a text in, such as spreadsheets leave behind the last one."""
        for record in islice(self._records(), 1, None) if columns else ():
            try:
                cells = read_cells(record, self._dialect, self._limits)
            except RowProblem:
                continue  # it is refused when the rows are read
            columns = {i for i in columns if i >= len(cells) or not cells[i].strip()}
        return columns

    def _check_names(self, names: list[str]) -> None:
        if not 2 <= len(names) <= self._limits.columns:
            raise ImportRefused(
                f"{self._label}: it is no table of preferences: the first line names {counted(len(names), 'column')}; "
                f"2 to {self._limits.columns:,} are accepted. {_REMEDY}"
            )
        if all(len(name) > 2 and name[0] == name[-1] == "'" for name in names):
            raise ImportRefused(f"{self._label}: its cells stand in single quotes. CSV has double ones; save it so.")
        for name in names:
            if len(name) > self._limits.name_chars or not name.isprintable():
                raise ImportRefused(
                    f"{self._label}: the first line holds {shown(name)}, which cannot be a column's name. {_REMEDY}"
                )
            if names.count(name) > 1:
                raise ImportRefused(f"{self._label}: two columns are called {shown(name)}. Rename or delete one.")

    def __iter__(self) -> Iterator[Row | Refusal]:
        self._found.clear()
        number = 0
        for record in islice(self._records(), 1, None):
            place = f"row {number + 1} (line {record.line})"
            try:
                cells = read_cells(record, self._dialect, self._limits)
                if self._is_no_row(cells):
                    continue
                row: Row | Refusal = Row(number + 1, self._read_values(cells), place)
            except RowProblem as problem:
                row = build_refusal(number + 1, place, problem)
            number += 1
            if number > self._limits.rows:
                raise ImportRefused(too_many_rows(self._label, self._limits))
            yield row

    def _is_no_row(self, cells: list[str]) -> bool:
        """Tells whether a record is empty, or the first line again, as it stands between files put together."""
        what = "empty" if not any(map(str.strip, cells)) else "headers" if cells == self._header else ""
        if what:
            self._found[what] += 1
        return bool(what)

    def _read_values(self, cells: list[str]) -> dict[str, Any]:
        n_columns = len(self._names)
        if len(cells) > n_columns and not any(cells[n_columns:]):
            self._found["longer"] += 1
            cells = cells[:n_columns]
        elif len(cells) < n_columns and not any(self._names[len(cells) :]):
            cells = cells + [""] * (n_columns - len(cells))
        if len(cells) != n_columns:
            raise RowProblem(
                f"it has {counted(len(cells), 'field')}, the first line names {counted(n_columns, 'column')}. Put"
                " a text that holds delimiters or line breaks in quotes."
            )
        return {name: cell for name, cell in zip(self._names, cells, strict=True) if name is not None}
