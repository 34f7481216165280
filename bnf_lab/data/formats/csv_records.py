"""CSV text -> records -> cells, and how a file of them is written: its delimiter, line ends and quotes.

Records are cut by a scan over the quotes before any is split into cells, so that a ragged, oversized or badly quoted
record costs that record and not the ones after it, and one open quote cannot swallow a file unseen. A quote opens a
field right behind the delimiter; behind blanks only where a quote closes the field as well, which nobody means to be
part of a text. Knows the format only: no files, no columns.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

from bnf_lab.data.formats.rows import Limits, RowProblem, megabytes, not_text

_DELIMITERS = (b",", b";", b"\t", b"|")
_NAMES = {b",": "", b"\t": ", separated by tabs"}
_SEP_LINE = re.compile(rb'\A"?sep=([\t!#-/:-@\[-^`{-~])"?[ \t]*(?:\r\n|\n|\r)', re.ASCII | re.IGNORECASE)
_QUOTED_TEXT = re.compile(rb'"(?:[^"]|"")*+"')
_LINE_END = re.compile(rb"\r\n|\n|\r")
_N_SAMPLED = 100


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    Attributes:
        delimiter: What stands between two cells.
        line_end: What ends a line outside quotes.
        has_blanks: Whether blanks behind a delimiter belong to no cell.
        has_sep_line: Whether the first line is Excel's "sep=;".
        has_quotes: Whether a quote at the start of a cell opens it; in tables with tabs it may be part of the text.
    """

    delimiter: bytes = b","
    line_end: bytes = b"\n"
    has_blanks: bool = False
    has_sep_line: bool = False
    has_quotes: bool = True

    @property
    def notes(self) -> tuple[str, ...]:
        """What to tell the person about it."""
        notes = []
        if self.has_sep_line:
            notes.append(f"Its first line, sep={self.delimiter.decode()}, says what separates the cells.")
        if not self.has_quotes:
            notes.append("Its quotes do not pair up as those of CSV do, so they are read as parts of the texts.")
        return tuple(notes)

    @property
    def kind(self) -> str:
        """What the report calls it."""
        return "CSV" + _NAMES.get(self.delimiter, f", separated by {self.delimiter.decode()!r}")


@dataclass(frozen=True)
class Record:
    """A record's raw bytes, the line it starts on, and whether a quote is still open at its end."""

    text: bytes
    line: int
    is_open: bool


def find_dialect(head: bytes, is_whole: bool, limits: Limits) -> Dialect:
    """Returns how a file is written, decided over its first records.

    Args:
        head: Its first lines.
        is_whole: Whether this is all of it.
        limits: What one import may bring.
    """
    sep = _SEP_LINE.match(head)
    outside = _QUOTED_TEXT.sub(b"", head)
    end = _LINE_END.search(outside)
    line_end = b"\r" if end is not None and end[0] == b"\r" else b"\n"
    lines = [line + b"\n" for line in (head[sep.end() :] if sep else head).split(line_end)]
    dialect = Dialect(line_end=line_end, has_sep_line=sep is not None)
    delimiters = (sep[1],) if sep else _DELIMITERS
    tried = [_Try(lines, replace(dialect, delimiter=delimiter), is_whole, limits) for delimiter in delimiters]
    best = max(tried, key=lambda one: one.rating)
    if best.dialect.delimiter == b"\t" and best.n_broken > best.n_quoted:
        plain = _Try(lines, replace(best.dialect, has_quotes=False), is_whole, limits)
        best = plain if plain.rating > best.rating else best
    return best.dialect


class _Try:
    """How well a dialect explains the first records of a file.

    Attributes:
        rating: The share of records with as many cells as the first one, and how many these are.
        n_broken: The records whose quotes do not match.
        n_quoted: The others with a cell in quotes.
    """

    def __init__(self, lines: list[bytes], dialect: Dialect, is_whole: bool, limits: Limits) -> None:
        records = list(islice(read_records(lines, dialect, limits), _N_SAMPLED + 1))
        if len(records) > 1 and not is_whole:
            records.pop()  # it may be cut
        self.dialect = dialect = replace(dialect, has_blanks=_has_blanks(records, dialect.delimiter))
        counts = []
        self.n_broken = self.n_quoted = 0
        for record in records:
            try:
                counts.append(len(read_cells(record, dialect, limits)))
                self.n_quoted += any(cell.startswith(b'"') for cell in record.text.split(dialect.delimiter))
            except RowProblem:
                counts.append(0)
                self.n_broken += 1
        is_table = bool(counts) and counts[0] > 1
        self.rating = (counts.count(counts[0]) / len(counts), counts[0]) if is_table else (0.0, 0)


def _has_blanks(records: list[Record], delimiter: bytes) -> bool:
    """Tells whether the writer puts a blank behind each delimiter, as the names in the first record show."""
    if not records or delimiter not in records[0].text:
        return False
    return all(cell.startswith(b" ") for cell in records[0].text.split(delimiter)[1:])


def read_records(lines: Iterable[bytes], dialect: Dialect, limits: Limits) -> Iterator[Record]:
    """Cuts lines into records; blank lines are none. Of a record over the limit only the beginning is kept."""
    parts: list[bytes] = []
    first, inside, n_bytes = 1, False, 0
    for number, line in enumerate(lines, start=2 if dialect.has_sep_line else 1):
        if not parts:
            line = line.removeprefix(codecs.BOM_UTF8)  # between files put together
            if not line.strip():
                continue
            first, n_bytes = number, 0
        if n_bytes <= limits.line_bytes:
            parts.append(line)
        n_bytes += len(line)
        inside = dialect.has_quotes and _ends_inside_quotes(line, inside, dialect)
        if not inside:
            yield Record(b"".join(parts), first, False)
            parts = []
    if parts:
        yield Record(b"".join(parts), first, True)


def _ends_inside_quotes(line: bytes, inside: bool, dialect: Dialect) -> bool:
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
        elif (start := _opening(line, at, dialect)) is not None:  # only at the start of a field does a quote open one
            inside, at = True, start
            continue
        inside = False
        at = line.find(dialect.delimiter, at)
        if at < 0:
            return False
        at += 1


def _opening(line: bytes, at: int, dialect: Dialect) -> int | None:
    """Returns where the text of the field at `at` begins if a quote opens it, behind blanks too."""
    if line[at : at + 1] == b'"':
        return at + 1
    if line[at : at + 1] != b" ":
        return None
    quote = at + len(line[at:]) - len(line[at:].lstrip(b" "))
    if line[quote : quote + 1] != b'"':
        return None
    is_closed = _patterns(dialect.delimiter)[2].match(line, at) is not None
    return quote + 1 if is_closed or dialect.has_blanks else None


@lru_cache(maxsize=32)
def _patterns(delimiter: bytes) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[bytes]]:
    """Returns the patterns of a quoted cell, of a plain one, and of a quoted one in a line, each with its end."""
    mark = re.escape(delimiter.decode())
    quoted = rf' *+"((?:[^"]|"")*+)" *+({mark}|\Z)'
    plain = rf"([^{mark}]*+)({mark}|\Z)"
    in_line = rf' *+"(?:[^"]|"")*+" *+(?:{mark}|\r?\n|\Z)'
    return re.compile(quoted), re.compile(plain), re.compile(in_line.encode())


def read_cells(record: Record, dialect: Dialect, limits: Limits) -> list[str]:
    """Returns the texts of a record's cells.

    Raises:
        RowProblem: If it is too long, no text, or its quotes do not match.
    """
    if record.is_open and len(record.text) <= limits.line_bytes:
        raise RowProblem(
            f"the quote opened in this row (line {record.line}) is never closed, so everything up to the "
            f"end of the file belongs to it. Close it, and write a quote inside a text twice.{_hint(record)}"
        )
    if len(record.text) > limits.line_bytes:
        raise RowProblem(
            f"it is longer than {megabytes(limits.line_bytes)}, the most that a row may have; perhaps a quote "
            "is never closed. Close it, shorten the row, or delete it."
        )
    try:
        text = record.text.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise RowProblem(not_text(record.text, error.start)) from error
    return list(_split(text, dialect, record)) if dialect.has_quotes else text.split(dialect.delimiter.decode())


def _split(text: str, dialect: Dialect, record: Record) -> Iterator[str]:
    quoted, plain, _ = _patterns(dialect.delimiter)
    at = 0
    while True:
        match = quoted.match(text, at)
        if match is not None:
            yield match[1].replace('""', '"')
        else:
            match = plain.match(text, at)
            if match is None or text.startswith('"', at):
                raise RowProblem(
                    "its quotes do not match. Write a quote inside a quoted text twice, or delete the row."
                    + _hint(record)
                )
            if "\r" in match[1]:
                raise RowProblem("it holds a line end outside quotes. Put the text in quotes, or delete the line end.")
            yield match[1].lstrip(" ") if dialect.has_blanks else match[1]
        if not match[2]:
            return
        at = match.end()


def _hint(record: Record) -> str:
    if b'\\"' not in record.text:
        return ""
    return ' Here \\" stands for a quote inside a text; CSV writes "" for it.'
