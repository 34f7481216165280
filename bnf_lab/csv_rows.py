"""CSV -> rows. Knows the format only: no files, no schemas.

Records are cut by a scan over the quotes before the `csv` module sees them, so that a ragged, oversized or badly
quoted record costs that record and not the ones after it, and so that one open quote cannot swallow a file unseen.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bnf_lab.errors import ImportRefused, shown
from bnf_lab.json_rows import read_value
from bnf_lab.rows import Limits, Refusal, Row, RowProblem, build_refusal, megabytes, too_many_rows

_DELIMITERS = (b",", b";", b"\t")
_MESSAGE_MARKS = ("'role':", '"role":', "'from':", '"from":')


@dataclass(frozen=True)
class _Record:
    """A record's raw bytes, the line it starts on, and whether a quote is still open at its end."""

    text: bytes
    line: int
    is_open: bool


def _ends_inside_quotes(line: bytes, inside: bool, delimiter: bytes) -> bool:
    """Tells whether a quoted field is still open after `line`, given whether one was open before it."""
    at = 0
    while True:
        if inside:
            at = line.find(b'"', at)
            if at < 0:
                return True
            if line[at + 1 : at + 2] == b'"':  # a doubled quote stands for one quote
                at += 2
                continue
        elif line[at : at + 1] == b'"':  # only at the start of a field does a quote open one
            inside, at = True, at + 1
            continue
        inside = False
        at = line.find(delimiter, at)
        if at < 0:
            return False
        at += 1


def _read_records(lines: Iterable[bytes], delimiter: bytes) -> Iterator[_Record]:
    parts: list[bytes] = []
    first, inside = 1, False
    for number, line in enumerate(lines, start=1):
        if not parts:
            if not line.strip():
                continue
            first = number
        parts.append(line)
        inside = _ends_inside_quotes(line, inside, delimiter)
        if not inside:
            yield _Record(b"".join(parts), first, False)
            parts = []
    if parts:
        yield _Record(b"".join(parts), first, True)


def _read_cells(record: _Record, delimiter: bytes, limits: Limits) -> list[str]:
    if record.is_open:
        raise RowProblem(f"the quote opened in this row (line {record.line}) is never closed, so everything up to the "
                         "end of the file belongs to it. Close it, and write a quote inside a text twice.")
    if len(record.text) > limits.line_bytes:
        raise RowProblem(f"it is {megabytes(len(record.text))} long; a row may have {megabytes(limits.line_bytes)}. "
                         "Shorten it or delete it.")
    try:
        text = record.text.decode("utf-8").rstrip("\r\n")
        return next(csv.reader([text], delimiter=delimiter.decode(), strict=True))
    except UnicodeDecodeError as error:
        raise RowProblem(f"it is not UTF-8 text (byte 0x{record.text[error.start]:02X}). Save the file as UTF-8 "
                         "(in Excel: 'CSV UTF-8').") from error
    except csv.Error as error:
        if "field limit" in str(error):
            raise RowProblem(f"a field has more than {limits.field_chars:,} characters. Shorten it.") from error
        raise RowProblem("its quotes do not match. Write a quote inside a quoted text twice, or delete the row."
                         ) from error


class CsvTable:
    """The rows of a CSV file, keyed by the names in its first line.

    Args:
        lines: The file's lines with their ends, re-iterable.
        label: How messages call the file.
        limits: What one import may bring.

    Raises:
        ImportRefused: If the first line cannot be one of column names.
    """

    def __init__(self, lines: Iterable[bytes], label: str, limits: Limits) -> None:
        self._lines, self._label, self._limits = lines, label, limits
        first = next((line for line in lines if line.strip()), b"")
        self._delimiter = max(_DELIMITERS, key=lambda d: first[: limits.line_bytes].count(d))
        self._names = self._read_names()

    def _read_names(self) -> list[str]:
        record = next(_read_records(self._lines, self._delimiter), None)
        remedy = "The first line must name the columns, for example prompt,chosen,rejected."
        if record is None:
            raise ImportRefused(f"{self._label}: the file is empty. {remedy}")
        try:
            cells = _read_cells(record, self._delimiter, self._limits)
        except RowProblem as problem:
            raise ImportRefused(f"{self._label}: the first line cannot be read: {problem.text} {remedy}") from problem
        names = [cell.strip() or f"column {i}" for i, cell in enumerate(cells, start=1)]
        if not 2 <= len(names) <= self._limits.columns:
            raise ImportRefused(f"{self._label}: it is no table of preferences: the first line has {len(names):,} "
                                f"columns; 2 to {self._limits.columns:,} are accepted. {remedy}")
        for name in names:
            if len(name) > self._limits.name_chars or not name.isprintable():
                raise ImportRefused(f"{self._label}: the first line holds {shown(name)}, which cannot be the name of a "
                                    f"column. {remedy}")
            if names.count(name) > 1:
                raise ImportRefused(f"{self._label}: two columns are called {shown(name)}. Rename or delete one.")
        return names

    def __iter__(self) -> Iterator[Row | Refusal]:
        records = _read_records(self._lines, self._delimiter)
        next(records)
        for number, record in enumerate(records, start=1):
            if number > self._limits.rows:
                raise ImportRefused(too_many_rows(self._label, self._limits))
            place = f"row {number} (line {record.line})"
            try:
                yield Row(number, self._read_values(record), place)
            except RowProblem as problem:
                yield build_refusal(number, place, problem)

    def _read_values(self, record: _Record) -> dict[str, Any]:
        cells = _read_cells(record, self._delimiter, self._limits)
        if len(cells) != len(self._names):
            raise RowProblem(f"it has {len(cells):,} fields, the first line names {len(self._names):,} columns. Put a "
                             "text that holds commas or line breaks in quotes.")
        return {name: _read_cell(cell, name, self._limits) for name, cell in zip(self._names, cells, strict=True)}


def _read_cell(cell: str, name: str, limits: Limits) -> Any:
    """Returns the text, or the conversation that was written into the cell as JSON."""
    is_conversation = cell.startswith(("[{", "{")) and any(mark in cell for mark in _MESSAGE_MARKS)
    if not is_conversation:
        return cell
    try:
        return read_value(cell.encode(), limits)
    except RowProblem as problem:
        raise RowProblem("it looks like a list of messages but is not JSON. Write it with json.dumps, or use JSON "
                         "lines.",
                         name) from problem
