"""The bytes of an uploaded file -> its text in UTF-8: inflated, its encoding recognised, in a stream.

What is neither plain nor UTF-8 is written down once, in a file without a name, so that a table can be read any number
of times at the price of a plain file, and memory holds a block of it. Bytes that are no text in the file's own
encoding stay bytes that are none, so only the rows with them are refused. Knows no formats and no schemas.
"""

from __future__ import annotations

import codecs
import gzip
import mmap
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from bnf_lab.core.errors import ImportRefused
from bnf_lab.core.files import read_at
from bnf_lab.data.formats.encodings import Encoding, find_encoding, is_binary, read_mark
from bnf_lab.data.formats.rows import Limits, megabytes

_BLOCK = 1 << 20
GZIP = b"\x1f\x8b"


class Text:
    """A text file in UTF-8, without its byte order mark; several readers may be at different places of it.

    Attributes:
        encoding: What it was before.
        is_gzip: Whether it was compressed.
        n_bytes: Its size in UTF-8.
    """

    def __init__(self, file: BinaryIO, encoding: Encoding, is_gzip: bool, *, is_own: bool) -> None:
        self._file, self._start, self._is_own = file, len(encoding.mark), is_own
        self.encoding, self.is_gzip = encoding, is_gzip
        self.n_bytes = os.fstat(file.fileno()).st_size - self._start

    @property
    def kind(self) -> str:
        """What to add to the name of the format: ", Windows-1252, gzip"."""
        encoding = "" if self.encoding.codec == "utf-8" else f", {self.encoding.name}"
        return encoding + (", gzip" if self.is_gzip else "")

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say about how it was decoded."""
        return (self.encoding.note,) if self.encoding.note else ()

    def read(self, start: int, end: int) -> bytes:
        """Returns a part of it."""
        return read_at(self._file.fileno(), max(0, end - start), self._start + start)

    def blocks(self) -> Iterator[bytes]:
        """Yields all of it, a block at a time."""
        return _blocks(self._file, self._start)

    def lines(self, end: bytes = b"\n", longest: int | None = None) -> Iterator[bytes]:
        r"""Yields its lines, each with a "\n" but perhaps the last.

        Args:
            end: What ends a line.
            longest: Of a line with more bytes at least one more than these is kept, and not much more.
        """
        held = bytearray()
        for block in self.blocks():
            first, *others = block.split(end)
            if longest is None or len(held) <= longest:
                held += first
            if not others:
                continue
            yield bytes(held) + b"\n"
            *whole, last = others
            for line in whole:
                yield line + b"\n"
            held = bytearray(last)
        if held:
            yield bytes(held)

    def all(self) -> bytes | mmap.mmap:
        """Returns the whole of it; what this process has written down stays on the disk."""
        if not self._is_own or not self.n_bytes:  # a file that others can cut short must not be mapped: SIGBUS
            return self.read(0, self.n_bytes)
        return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)


class RawFile:
    """An uploaded file as it comes.

    Attributes:
        head: Its first bytes.
        is_gzip: Whether it is compressed with gzip.

    Raises:
        ImportRefused: If it cannot be opened.
    """

    def __init__(self, path: Path, label: str) -> None:
        self._label = label
        try:
            self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 - lives as long as the table
        except OSError as error:
            raise ImportRefused(f"{label}: the file cannot be opened ({error.strerror}). Choose it again.") from error
        self.head = read_at(self._file.fileno(), 4096, 0)
        self.is_gzip, self._is_inflated = self.head.startswith(GZIP), False

    def inflate(self, limits: Limits) -> None:
        """Replaces a compressed file by its content.

        Raises:
            ImportRefused: If it inflates to more than the limit, or is damaged.
        """
        if self.is_gzip:
            self._file = _write_down(_inflate(self._file, self._label, limits))
            self.head, self._is_inflated = read_at(self._file.fileno(), 4096, 0), True

    def decode(self, accepted: str) -> Text:
        """Returns it as text.

        Args:
            accepted: What to say about the kinds that are read, where it is no text.

        Raises:
            ImportRefused: If it is none, or in no encoding that is recognised.
        """
        head = read_at(self._file.fileno(), 1 << 16, 0)
        encoding = read_mark(head)
        if encoding is None and is_binary(head):
            raise ImportRefused(f"{self._label}: it is a binary file of a kind that is not known. {accepted}")
        encoding = encoding or find_encoding(_blocks(self._file, 0))
        if encoding is None:
            raise ImportRefused(
                f"{self._label}: it is not UTF-8, and no other encoding makes words of its letters. Save it as UTF-8 "
                "(in Excel: 'CSV UTF-8')."
            )
        if encoding.codec == "utf-8":
            return Text(self._file, encoding, self.is_gzip, is_own=self._is_inflated)
        decoded = _write_down(_transcode(_blocks(self._file, len(encoding.mark)), encoding.codec))
        return Text(decoded, Encoding(encoding.codec, note=encoding.note), self.is_gzip, is_own=True)


def _blocks(file: BinaryIO, start: int) -> Iterator[bytes]:
    while block := read_at(file.fileno(), _BLOCK, start):
        yield block
        start += len(block)


def _write_down(blocks: Iterable[bytes]) -> BinaryIO:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the text
    for block in blocks:
        file.write(block)
    file.flush()
    return file


def _inflate(file: BinaryIO, label: str, limits: Limits) -> Iterator[bytes]:
    total = 0
    file.seek(0)
    source = gzip.GzipFile(fileobj=file)
    while True:
        try:
            block = source.read(_BLOCK)
        except (EOFError, gzip.BadGzipFile, zlib.error, OSError) as error:
            raise ImportRefused(
                f"{label}: the file is cut off or damaged, so it cannot be unpacked to its end. "
                "Compress or upload it again."
            ) from error
        if not block:
            return
        total += len(block)
        if total > limits.inflated_bytes:
            raise ImportRefused(
                f"{label}: it inflates to more than {megabytes(limits.inflated_bytes)}, the most that is accepted. "
                "Split it into several files."
            )
        yield block


def _transcode(blocks: Iterable[bytes], codec: str) -> Iterator[bytes]:
    """Yields the text in UTF-8, with a byte that UTF-8 never has for each that is no text in `codec`."""
    decoder = codecs.getincrementaldecoder(codec)("replace")
    for block in blocks:
        yield decoder.decode(block).encode().replace(b"\xef\xbf\xbd", b"\xff")
    yield decoder.decode(b"", final=True).encode().replace(b"\xef\xbf\xbd", b"\xff")
