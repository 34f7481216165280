"""An Excel workbook -> rows: what runs inside the process that `excel` starts.

A workbook is a zip archive of XML files, and a small one can inflate to anything: what its directory says is checked
before any of it is. Cells give what Excel shows last: a formula's stored result, no link to another file is followed.
Knows the format only: no schemas.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import repeat
from typing import Any, BinaryIO

import openpyxl
from openpyxl.utils.escape import unescape

from bnf_lab.core.errors import ImportRefused, shown
from bnf_lab.core.numbers import counted
from bnf_lab.data.formats.row_worker import Answer, Order, serve, write_row
from bnf_lab.data.formats.rows import choose_table, megabytes, too_many_rows

_MAX_CELLS = 5_000_000
_MAX_CELL_CHARS, _MAX_WHOLE = 32_767, 1e15
_BLOCK = 1 << 20
_OVERLAP = 16
_REMEDY = "The first filled row must name the columns, for example prompt, chosen, rejected."
_OTHER_DOCUMENTS = {
    "word/document.xml": "it is a Word document. Save the table in it as CSV (UTF-8).",
    "ppt/presentation.xml": "it is a PowerPoint document.",
    "xl/workbook.bin": "it is a binary Excel file (.xlsb). Save it as .xlsx.",
    "content.xml": "it is an OpenDocument file. Save the table as .xlsx or as CSV (UTF-8).",
    "Index/Document.iwa": "it is a Numbers document. Export it as Excel or CSV.",
}


def read(order: Order) -> Answer:
    """Writes down the rows of a sheet; see `excel.read_excel`."""
    with open(order.what["path"], "rb") as file, _open_archive(file, order) as archive:
        marks = _find_marks(archive)
        return _Workbook(file, order, marks).read(order.what["sheet"])


def _open_archive(file: BinaryIO, order: Order) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise ImportRefused(
            f"{order.label}: it is a zip archive or an Excel file that is cut off or damaged. Save it again."
        ) from error
    names = archive.namelist()
    if "xl/workbook.xml" not in names:
        known = next((text for name, text in _OTHER_DOCUMENTS.items() if name in names), None)
        files = [name for name in names if not name.endswith("/")]
        listed = ", ".join(shown(name, 40) for name in files[:4]) + (" ..." if len(files) > 4 else "")
        text = f"it is a zip archive ({listed}). Unpack it and give one of its files."
        raise ImportRefused(f"{order.label}: {known or text}")
    n_bytes = sum(entry.file_size for entry in archive.infolist())
    if n_bytes > order.limits.inflated_bytes:
        raise ImportRefused(
            f"{order.label}: it inflates to {megabytes(n_bytes)}; at most {megabytes(order.limits.inflated_bytes)} are "
            "accepted. Take out pictures and sheets that are not needed, or save the sheet as CSV (UTF-8)."
        )
    return archive


def _find_marks(archive: zipfile.ZipFile) -> dict[str, bool]:
    """Tells what the sheets hold that their values do not show: formulas, hidden parts, pictures."""
    wanted = {"formulas": b"<f", "hidden": b'hidden="1"'}
    found = dict.fromkeys(wanted, False)
    for name in archive.namelist():
        if name.startswith("xl/worksheets/") and name.endswith(".xml"):
            with archive.open(name) as sheet:
                tail = b""
                while block := sheet.read(_BLOCK):
                    for what, mark in wanted.items():
                        found[what] |= mark in tail + block
                    tail = block[-_OVERLAP:]
    return {**found, "pictures": any(name.startswith("xl/media/") for name in archive.namelist())}


class _Workbook:
    def __init__(self, file: BinaryIO, order: Order, marks: dict[str, bool]) -> None:
        self._label, self._limits, self._marks = order.label, order.limits, marks
        self._book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        self._formulas: Any = None
        if marks["formulas"]:
            self._formulas = openpyxl.load_workbook(file, read_only=True, data_only=False, keep_links=False)
        self._found: Counter[str] = Counter()

    def read(self, chosen: str | None) -> Answer:
        """Writes down the rows of the chosen sheet, or of the only one that is filled and shown."""
        sheets = {sheet.title: sheet for sheet in self._book.worksheets}
        filled = [title for title in sheets if any(True for _ in self._rows(title))]
        if not filled:
            raise ImportRefused(f"{self._label}: its sheets are empty. {_REMEDY}")
        hidden = [title for title in filled if sheets[title].sheet_state != "visible"]
        offered = filled if chosen is not None or len(hidden) == len(filled) else [t for t in filled if t not in hidden]
        is_open = chosen is None and len(offered) > 1
        sizes = {title: sum(1 for _ in self._rows(title)) - 1 if is_open else 0 for title in offered}
        title = choose_table(self._label, "sheets", sizes, chosen)
        self._found.clear()
        self._write(title)
        unread = [name for name in hidden if name != title and chosen is None]
        return Answer(f"Excel, sheet {shown(title, 40)}", tuple(self._notes(unread)))

    def _rows(self, title: str) -> Iterator[tuple[int, list[Any]]]:
        """Yields the rows with anything in them, each with its number in the sheet."""
        formulas = repeat(()) if self._formulas is None else _cells(self._formulas[title])
        for at, (cells, told) in enumerate(zip(_cells(self._book[title]), formulas, strict=False), start=1):
            values = [self._plain(cell) for cell in cells]
            written = [cell.data_type == "f" for cell in told]
            self._found["formulas"] += sum(f and v is None for f, v in zip(written, values, strict=False))
            if any(value is not None for value in values):
                yield at, values

    def _plain(self, cell: Any) -> Any:
        """Returns a cell's value as one that JSON has; None for an empty one and for an error."""
        value = cell.value
        if cell.data_type == "e":
            self._found["errors"] += 1
            return None
        if isinstance(value, str):
            self._found["full"] += len(value) == _MAX_CELL_CHARS
            return unescape(value) if value.strip() else None
        if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_WHOLE:
            return int(value)
        if isinstance(value, datetime) and value.time() == time():
            value = value.date()
        if isinstance(value, date | time):
            return value.isoformat()
        return str(value) if isinstance(value, timedelta) else value

    def _write(self, title: str) -> None:
        rows, limits = self._rows(title), self._limits
        names = self._check_names([str(value or "").strip() for value in next(rows)[1]])
        n_cells = 0
        for number, (at, values) in enumerate(rows, start=1):
            n_cells += len(values)
            if number > limits.rows:
                raise ImportRefused(too_many_rows(self._label, limits))
            if len(values) > limits.columns or n_cells > _MAX_CELLS:
                raise ImportRefused(
                    f"{self._label}: sheet row {at} reaches to column {len(values):,};"
                    f" {counted(limits.columns, 'column')} and {_MAX_CELLS:,} cells are"
                    " accepted. Delete what lies beside the table."
                )
            row = dict(zip(names, values, strict=False))
            beside = {
                f"column {i}": v for i, v in enumerate(values[len(names) :], start=len(names) + 1) if v is not None
            }
            named = {name: value for name, value in row.items() if value is not None or name not in self._unnamed}
            write_row(number, json.dumps(named | beside, ensure_ascii=False), f"row {number} (sheet row {at})")

    def _check_names(self, cells: list[str]) -> list[str]:
        while cells and not cells[-1]:
            cells.pop()
        names = [cell or f"column {i}" for i, cell in enumerate(cells, start=1)]
        self._unnamed = {name for name, cell in zip(names, cells, strict=True) if not cell}
        twice = next((name for name in names if names.count(name) > 1), None)
        long = next((n for n in names if len(n) > self._limits.name_chars or not n.isprintable()), None)
        if not 2 <= len(names) <= self._limits.columns:
            raise ImportRefused(
                f"{self._label}: it is no table of preferences: its first row names {counted(len(names), 'column')}; 2 "
                f"to {self._limits.columns:,} are accepted. {_REMEDY}"
            )
        if long is not None:
            raise ImportRefused(f"{self._label}: {shown(long)} cannot be the name of a column. {_REMEDY}")
        if twice is not None:
            raise ImportRefused(f"{self._label}: two columns are called {shown(twice)}. Rename or delete one.")
        return names

    def _notes(self, unread: list[str]) -> Iterator[str]:
        found = self._found
        if unread:
            names = ", ".join(shown(name, 30) for name in unread[:6])
            yield f"{counted(len(unread), 'hidden sheet')} not read: {names}."
        if self._marks["hidden"]:
            yield "Hidden rows and columns are read like the others."
        if found["formulas"]:
            yield (
                f"{counted(found['formulas'], 'formula')} without a stored result read as empty cells. Open the"
                " file in Excel and save it, so that it holds the results."
            )
        if found["errors"]:
            yield f"{counted(found['errors'], 'cell')} with an error such as #N/A read as empty."
        if found["full"]:
            yield (
                f"{counted(found['full'], 'text')} of exactly {_MAX_CELL_CHARS:,} characters, the most that a cell of "
                "Excel holds, so probably cut off. Take them from where they came from."
            )
        if self._marks["pictures"]:
            yield "Pictures are not read."


def _cells(sheet: Any) -> Iterator[tuple[Any, ...]]:
    sheet.reset_dimensions()  # what a file says about its size is no limit, and may be wrong
    rows: Iterator[tuple[Any, ...]] = sheet.iter_rows()
    return rows


if __name__ == "__main__":
    serve(read)
