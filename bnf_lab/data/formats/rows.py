"""One row of an uploaded table, the limits it keeps to, and how it is refused. Values only, standard library.

This room must not know formats, schemas or judgements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bnf_lab.core.errors import ImportRefused, clipped, shown
from bnf_lab.core.numbers import counted


@dataclass(frozen=True)
class Limits:
    """How much one import may bring.

    Attributes:
        file_bytes: Size of the file as it comes.
        inflated_bytes: Size after decompression.
        line_bytes: Size of one line (JSON, CSV: of one row).
        rows: Rows of the file.
        field_chars: Characters of one text.
        nesting: Lists and objects inside one another.
        columns: Columns of a table.
        name_chars: Characters of a column's name.
    """

    file_bytes: int = 20_000_000
    inflated_bytes: int = 200_000_000
    line_bytes: int = 1_000_000
    rows: int = 100_000
    field_chars: int = 100_000
    nesting: int = 32
    columns: int = 1_000
    name_chars: int = 200


@dataclass(frozen=True)
class Row:
    """A row as read: `number` counts from 1 (for JSONL the line), `place` is what a message calls it."""

    number: int
    values: dict[str, Any]
    place: str


@dataclass(frozen=True)
class Refusal:
    """A row that was not taken: its number, the column at fault if one is, and a text with reason and remedy."""

    row: int
    column: str | None
    reason: str


class RowProblem(Exception):
    """Why a row cannot be taken.

    Attributes:
        column: The column at fault, None where it is the row as a whole.
        kind: "empty" and "same" are counted in the report's warnings; "" is anything else.
    """

    def __init__(self, text: str, column: str | None = None, kind: str = "") -> None:
        self.text, self.column, self.kind = text, column, kind
        super().__init__(text)


class Literal(float):
    """A number that remembers how the file spells it, for where it turns out to be a text.

    >>> Literal("1.50"), Literal("1.50") == 1.5, f"{Literal('1.50'):g}"
    (1.50, True, '1.5')

    Attributes:
        text: The characters of the file.
    """

    __slots__ = ("text",)

    def __new__(cls, text: str) -> Literal:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __repr__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[type[Literal], tuple[str]]:
        return Literal, (self.text,)


class Table(Protocol):
    """Rows that can be read more than once; what cannot be read as a row comes as a `Refusal`.

    Attributes:
        kind: What the file is, for the report: "CSV, separated by ';', Windows-1252".
        notes: What a person should know about how it was read, a sentence each; complete once all rows were read.
    """

    @property
    def kind(self) -> str: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    def __iter__(self) -> Iterator[Row | Refusal]: ...


class SeveralTables(ImportRefused):
    """A file that holds more than one table, where none was chosen.

    Attributes:
        parts: Their names, any of which `open_table` takes as `part`.
        what: What they are called: "sheets".
        sizes: The rows of each.
    """

    def __init__(self, label: str, what: str, sizes: Mapping[str, int]) -> None:
        self.parts, self.what, self.sizes = tuple(sizes), what, dict(sizes)
        named = ", ".join(f"{shown(name, 30)} ({counted(n, 'row')})" for name, n in list(sizes.items())[:6])
        more = f" and {len(sizes) - 6:,} more" if len(sizes) > 6 else ""
        super().__init__(
            clipped(f"{label}: it holds {len(sizes):,} {what}: {named}{more}. Choose the one that is meant.")
        )


def choose_table(label: str, what: str, sizes: Mapping[str, int], part: str | None) -> str:
    """Returns the name of the table to read.

    Args:
        label: How messages call the file.
        what: What its tables are called there: "sheets", "lists of rows".
        sizes: The rows of each table.
        part: The one that the person chose.

    Raises:
        SeveralTables: If none was chosen and there is more than one.
        ImportRefused: If there is none of that name.
    """
    if part is not None and part not in sizes:
        named = ", ".join(shown(name, 30) for name in list(sizes)[:8])
        raise ImportRefused(
            clipped(f"{label}: it has no part {shown(part, 40)}. It holds {named}. Choose one of these.")
        )
    if part is None and len(sizes) != 1:
        raise SeveralTables(label, what, sizes)
    return next(iter(sizes)) if part is None else part


def check_part(label: str, part: str | None) -> None:
    """Refuses the choice of a table in a file that holds one only.

    Raises:
        ImportRefused: If one was chosen.
    """
    if part is not None:
        raise ImportRefused(f"{label}: it has no part {shown(part, 40)}. It holds one table only; choose none.")


def not_text(data: bytes, start: int) -> str:
    r"""Returns the message for bytes that are no text, from `start` on, in what became UTF-8.

    >>> not_text(b"caf\xe9", 3)
    "what follows 'caf' is no text in the file's encoding. Save the file as UTF-8 (in Excel: 'CSV UTF-8')."
    """
    before = data[max(0, start - 40) : start].decode("utf-8", "ignore")
    where = f"what follows {shown(before[-20:])}" if before else "its beginning"
    return f"{where} is no text in the file's encoding. Save the file as UTF-8 (in Excel: 'CSV UTF-8')."


def build_refusal(number: int, place: str, problem: RowProblem) -> Refusal:
    """Returns the refusal whose text names the row and the column.

    >>> build_refusal(17, "row 17", RowProblem("it is empty. Fill it or delete the row.", "rejected")).reason
    "row 17, column 'rejected': it is empty. Fill it or delete the row."
    """
    where = place if problem.column is None else f"{place}, column {shown(problem.column, 40)}"
    return Refusal(number, problem.column, clipped(f"{where}: {problem.text}"))


def file_label(name: str) -> str:
    """Returns the name of a file as messages show it: no folder, one line, short.

    >>> file_label("/srv/uploads/pairs.jsonl")
    'pairs.jsonl'
    """
    base = name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    clean = "".join(c if c.isprintable() else "?" for c in base) or "file"
    return clean if len(clean) <= 60 else clean[:40] + "…" + clean[-15:]


def megabytes(n_bytes: int) -> str:
    """Returns a size as people read it.

    >>> megabytes(20_000_000)
    '20 MB'
    """
    return f"{n_bytes / 1e6:,.0f} MB" if n_bytes >= 10_000_000 else f"{n_bytes / 1e6:,.3g} MB"


def too_many_rows(label: str, limits: Limits) -> str:
    """Returns the message for a table with more rows than one import may bring."""
    return (
        f"{label}: it has more than {counted(limits.rows, 'row')}, the most that one import may bring. "
        "Split it into several files, or keep only a part."
    )
