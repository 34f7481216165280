"""An uploaded file -> rows, whatever its name says: JSON, JSON lines, CSV, Excel, Parquet, and .gz of the texts.

The format is recognised by content, and sizes are checked before anything is decoded. Knows formats; this room must
not know schemas or judgements.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from bnf_lab.core.errors import ImportRefused
from bnf_lab.data.formats.csv import CsvTable
from bnf_lab.data.formats.excel import read_excel
from bnf_lab.data.formats.json import JsonLines, unwrap
from bnf_lab.data.formats.json_documents import read_json_document
from bnf_lab.data.formats.parquet import read_parquet
from bnf_lab.data.formats.rows import Limits, Table, check_part, file_label, megabytes
from bnf_lab.data.formats.text import GZIP, RawFile

_ACCEPTED = "Accepted are JSON lines, JSON, CSV, Excel (.xlsx) and Parquet, the first three also as .gz."
_PARQUET, _ZIP = b"PAR1", b"PK\x03\x04"
_KNOWN_OTHERS = {
    b"PK\x05\x06": "it is an empty zip archive.",
    b"\xd0\xcf\x11\xe0": "it is an old Excel file (.xls), or one with a password. "
    "Save it as .xlsx without a password, or as CSV (UTF-8).",
    b"%PDF": "it is a PDF document. Save the table in it as CSV.",
    b"{\\rtf": "it is a rich text document. Save it as plain text (UTF-8).",
    b"BZh": "it is compressed with bzip2. Unpack it, or use gzip.",
    b"\xfd7zXZ": "it is compressed with xz. Unpack it, or use gzip.",
    b"(\xb5/\xfd": "it is compressed with zstd. Unpack it, or use gzip.",
    b"7z\xbc\xaf\x27\x1c": "it is a 7z archive. Unpack it and give the file in it.",
    b"Rar!": "it is a RAR archive. Unpack it and give the file in it.",
    b"ARROW1": "it is an Arrow (Feather) file. Save it as Parquet, for example with "
    "pyarrow.parquet.write_table(pyarrow.feather.read_table(FILE), 'rows.parquet').",
    b"\xff\xff\xff\xff": "it is an Arrow stream, as `datasets` keeps them. Save the set with to_parquet or to_json.",
    b"SQLite format 3": "it is a database. Export the table as CSV.",
    b"Obj\x01": "it is an Avro file. Save it as Parquet or JSON lines.",
    b"version https://git-lfs": "it is a pointer that Git LFS leaves in place of the file. Download the file itself.",
    b"<?xml": "it is an XML document. Export the table as CSV or JSON.",
    b"<!DOCTYPE": "it is a web page, perhaps one that asks to log in. Download the file itself.",
    b"<!doctype": "it is a web page, perhaps one that asks to log in. Download the file itself.",
    b"<html": "it is a web page, perhaps one that asks to log in. Download the file itself.",
    b"\x80\x04\x95": "it is a Python pickle, which can run code. Save it as JSON lines.",
}


def open_table(path: Path, name: str, limits: Limits, part: str | None = None) -> Table:
    """Recognises the format of a file and returns its rows, readable more than once.

    Args:
        path: The file.
        name: What the person calls the file; it decides nothing that the content can tell.
        limits: What one import may bring.
        part: Which table of a file that holds several: a sheet, a split.

    Raises:
        ImportRefused: If the file is too large, damaged, or of a kind that holds no rows; `SeveralTables` if it holds
            several and none was chosen.
    """
    label = file_label(name)
    _check_file(path, label, limits)
    raw = RawFile(path, label)
    if raw.head.startswith(_ZIP):
        return read_excel(str(path), label, limits, part)
    if raw.head.startswith(_PARQUET):
        check_part(label, part)
        return read_parquet(str(path), label, limits)
    return _read_text(raw, label, limits, part)


def _check_file(path: Path, label: str, limits: Limits) -> None:
    try:
        n_bytes = path.stat().st_size
    except (OSError, ValueError) as error:
        raise ImportRefused(f"{label}: the file cannot be found. Choose it again.") from error
    if path.is_dir():
        raise ImportRefused(f"{label}: it is a folder. Choose one of the files in it. {_ACCEPTED}")
    if not path.is_file():
        raise ImportRefused(f"{label}: it is not a file. {_ACCEPTED}")
    if n_bytes > limits.file_bytes:
        raise ImportRefused(
            f"{label}: it is {megabytes(n_bytes)} large; a file may have {megabytes(limits.file_bytes)}. "
            "Split it, or compress it with gzip if it is a text."
        )


def _read_text(raw: RawFile, label: str, limits: Limits, part: str | None) -> Table:
    raw.inflate(limits)
    if raw.is_gzip and raw.head.startswith((GZIP, _PARQUET, _ZIP)):
        raise ImportRefused(
            f"{label}: a .gz file must hold JSON lines, JSON or CSV. Unpack it once and upload the result."
        )
    for magic, what in _KNOWN_OTHERS.items():
        if raw.head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(magic):
            raise ImportRefused(f"{label}: {what} {_ACCEPTED}")
    text = raw.decode(_ACCEPTED)
    head = text.read(0, 2 * limits.line_bytes)
    if not head.strip():
        raise ImportRefused(f"{label}: the file is empty. {_ACCEPTED}")
    is_lines = _is_json_lines(head, label)
    if not is_lines and head.lstrip().startswith((b"{", b"[")):
        return read_json_document(text, label, limits, part)
    check_part(label, part)
    return unwrap(JsonLines(text, label, limits)) if is_lines else CsvTable(text, label, limits)


def _is_json_lines(head: bytes, label: str) -> bool:
    """Tells whether most of the first lines are one object each, or the name says so and they begin like that."""
    lines = [line.strip() for line in head.split(b"\n")[:50]]
    lines = [line for line in lines if line]
    is_called_so = label.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson"))
    if len(lines) == 1 and is_called_so:  # one row, however many lists it holds
        return lines[0].startswith(b"{") and lines[0].endswith(b"}")
    if len(lines) < 2 or lines[0] == b"[" or lines[0].startswith(b"[{"):
        return False
    n_objects, n_listed = (sum(line.startswith(b"{") and line.endswith(end) for line in lines) for end in (b"}", b"},"))
    if n_listed and n_listed >= n_objects:  # a list without its brackets, which is refused in words
        return False
    if ".jsonl" in label.lower() and any(line.startswith(b"{") for line in lines):
        is_spread = lines[0].startswith(b"{") and lines[0].endswith((b"{", b"[", b","))
        return not (is_spread or lines[0].startswith(b"["))
    return 2 * n_objects >= len(lines)
