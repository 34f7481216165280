"""One row of an uploaded table, the limits it keeps to, and how it is refused. Values only, standard library.

This room must not know formats, schemas or judgements.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from bnf_lab.errors import clipped, shown


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


class Table(Protocol):
    """Rows that can be read more than once; what cannot be read as a row comes as a `Refusal`."""

    def __iter__(self) -> Iterator[Row | Refusal]: ...


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
    return (f"{label}: it has more than {limits.rows:,} rows, the most that one import may bring. "
            "Split it into several files, or keep only a part.")
