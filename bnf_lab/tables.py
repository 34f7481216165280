"""An uploaded file -> rows, whatever its name says: JSON, JSON lines, CSV, Parquet, and .gz of the first three.

Knows bytes and formats: the format is recognised by content, sizes are checked before anything is decoded, and a
.gz file is inflated in a stream. This room must not know schemas or judgements.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bnf_lab.csv_rows import CsvTable
from bnf_lab.errors import ImportRefused
from bnf_lab.json_rows import read_json_document, read_json_lines
from bnf_lab.parquet_process import read_parquet
from bnf_lab.rows import Limits, Table, file_label, megabytes

_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_ACCEPTED = "Accepted are JSON lines, JSON, CSV and Parquet, the first three also as .gz."
_KNOWN_OTHERS = {
    b"PK\x03\x04": "it is a zip archive or an Excel file. Unpack it, or save it as CSV.",
    b"\xd0\xcf\x11\xe0": "it is an old Excel file. Save it as CSV (UTF-8).",
    b"%PDF": "it is a PDF document.",
    b"BZh": "it is compressed with bzip2. Unpack it, or use gzip.",
    b"\xfd7zXZ": "it is compressed with xz. Unpack it, or use gzip.",
    b"(\xb5/\xfd": "it is compressed with zstd. Unpack it, or use gzip.",
    b"\xff\xfe": "its encoding is UTF-16, not UTF-8. Save it as UTF-8.",
    b"\xfe\xff": "its encoding is UTF-16, not UTF-8. Save it as UTF-8.",
    b"ARROW1": "it is an Arrow file. Save it as Parquet.",
}


class _Lines:
    """The lines of a file, read anew at every pass, without the byte order mark."""

    def __init__(self, content: _Content) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        rest: list[bytes] = []
        is_first = True
        for block in self._content.blocks():
            if is_first:
                block, is_first = block.removeprefix(_BOM), False
            *lines, tail = block.split(b"\n")
            for line in lines:
                rest.append(line)
                yield b"".join(rest) + b"\n"
                rest = []
            rest.append(tail)
        last = b"".join(rest)
        if last:
            yield last


class _Content:
    """The bytes of a file, inflated where they are gzip, never more than the limit."""

    def __init__(self, path: Path, label: str, limits: Limits) -> None:
        self._path, self._label, self._limits = path, label, limits
        with self._open() as file:
            self.is_gzip = file.read(2) == b"\x1f\x8b"

    def _open(self) -> BinaryIO:
        try:
            return open(self._path, "rb")
        except OSError as error:
            raise ImportRefused(f"{self._label}: the file cannot be opened ({error.strerror}). Choose it "
                                "again.") from error

    def blocks(self) -> Iterator[bytes]:
        """Yields the content a block at a time.

        Raises:
            ImportRefused: If it inflates to more than the limit, or the compressed data is damaged.
        """
        total = 0
        with self._open() as file:
            source: BinaryIO = gzip.GzipFile(fileobj=file) if self.is_gzip else file  # type: ignore[assignment]
            while block := self._read(source):
                total += len(block)
                if total > self._limits.inflated_bytes:
                    raise ImportRefused(f"{self._label}: it inflates to more than "
                                        f"{megabytes(self._limits.inflated_bytes)}, "
                                        "the most that is accepted. Split it into several files.")
                yield block

    def _read(self, source: BinaryIO) -> bytes:
        try:
            return source.read(_BLOCK)
        except (EOFError, gzip.BadGzipFile, zlib.error, OSError) as error:
            raise ImportRefused(f"{self._label}: the file is cut off or damaged, so it cannot be unpacked to its end. "
                                "Compress or upload it again.") from error

    def head(self) -> bytes:
        """Returns enough of the content to see a few whole lines."""
        head = b""
        for block in self.blocks():
            head += block
            if len(head) > 2 * self._limits.line_bytes:
                break
        return head

    def whole(self) -> bytes:
        return b"".join(self.blocks()).removeprefix(_BOM)


def open_table(path: Path, name: str, limits: Limits) -> Table:
    """Recognises the format of a file and returns its rows, readable more than once.

    Args:
        path: The file.
        name: What the person calls the file; it decides nothing that the content can tell.
        limits: What one import may bring.

    Raises:
        ImportRefused: If the file is too large, damaged, or of a kind that holds no rows.
    """
    label = file_label(name)
    try:
        n_bytes = path.stat().st_size
    except (OSError, ValueError) as error:
        raise ImportRefused(f"{label}: the file cannot be found. Choose it again.") from error
    if not path.is_file():
        raise ImportRefused(f"{label}: it is not a file. {_ACCEPTED}")
    if n_bytes > limits.file_bytes:
        raise ImportRefused(f"{label}: it is {megabytes(n_bytes)} large; a file may have "
                            f"{megabytes(limits.file_bytes)}. "
                            "Split it, or compress it with gzip.")
    content = _Content(path, label, limits)
    head = content.head()
    _check_kind(head, content.is_gzip, label)
    if head.startswith(b"PAR1"):
        return read_parquet([str(path)], label, limits)
    head = head.removeprefix(_BOM)
    if _is_json_lines(head, label):
        return read_json_lines(_Lines(content), label, limits)
    if head.lstrip().startswith((b"{", b"[")):
        return read_json_document(content.whole(), label, limits)
    return CsvTable(_Lines(content), label, limits)


def _check_kind(head: bytes, is_gzip: bool, label: str) -> None:
    if not head.removeprefix(_BOM).strip():
        raise ImportRefused(f"{label}: the file is empty. {_ACCEPTED}")
    if is_gzip and head.startswith((b"\x1f\x8b", b"PAR1")):
        raise ImportRefused(f"{label}: a .gz file must hold JSON lines, JSON or CSV. Unpack it once and upload the "
                            "result.")
    for magic, text in _KNOWN_OTHERS.items():
        if head.startswith(magic):
            raise ImportRefused(f"{label}: {text} {_ACCEPTED}")
    is_binary = head[:4096].count(0) > len(head[:4096]) // 8
    if is_binary and not head.startswith(b"PAR1"):
        raise ImportRefused(f"{label}: it is not text in UTF-8 (it may be UTF-16, or a binary file). {_ACCEPTED}")


def _is_json_lines(head: bytes, label: str) -> bool:
    """Tells whether most of the first lines are one object each, or the name says so and they begin like that."""
    lines = [line.strip() for line in head.split(b"\n")[:50]]
    lines = [line for line in lines if line]
    n_objects = sum(line.startswith(b"{") and line.endswith(b"}") for line in lines)
    if len(lines) < 2:
        return False
    if ".jsonl" in label.lower() and any(line.startswith(b"{") for line in lines):
        return not (lines[0].startswith(b"[") or lines[0].endswith((b"{", b"[", b",")))
    return 2 * n_objects >= len(lines)
