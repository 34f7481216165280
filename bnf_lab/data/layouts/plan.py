"""What a recognised layout is: how certain it is, its name, how a row is read, which columns that uses.

Values only; this room must not know any one layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bnf_lab.core.judgements import Verdict
from bnf_lab.data.drafts import Draft, Reading
from bnf_lab.data.fields import Parts
from bnf_lab.data.formats.rows import Row, RowProblem
from bnf_lab.data.survey import Survey

TRL = "https://huggingface.co/docs/trl/dataset_formats"

ReadRow = Callable[[Mapping[str, Any], Reading], Iterable[Draft]]
ReadTable = Callable[[Sequence[Row], Reading], Iterable[tuple[Row, Draft | RowProblem | None]]]


@dataclass(frozen=True)
class Plan:
    """How a table is read.

    Attributes:
        name: What the report calls it, for example "UltraFeedback (binarized): pairs with scores".
        read: A row's values -> drafts.
        used: Columns (as the table spells them) that reading uses.
        n_fit: Rows that have what the layout needs, for telling whether it fits at all.
        column: The column that decides, for refusals; None where each row carries its verdict by its shape.
        decides: What may decide, the first being chosen; empty where there is no choice.
        explained: Columns that belong to the layout and are left out knowingly.
        labels: What the values of the label column mean.
        question: What has to be asked before anything is taken; None if nothing.
        values: Normalised value -> rows of the column that is asked about.
        sides: The columns of two answers, where those values say which one is better.
        how: How verdicts came about, in one sentence; "" where that is plain.
        source: Where the layout is described.
        read_table: Reads all rows together, where one row says nothing without others (a tree spread over rows);
            then `read` gives nothing. Every row is yielded once, with its draft, the problem that it has, or None where
            it stands in another row's prompt.
    """

    name: str
    read: ReadRow
    used: frozenset[str]
    n_fit: int
    column: str | None = None
    decides: tuple[str, ...] = ()
    explained: frozenset[str] = frozenset()
    labels: Mapping[str, Verdict] = field(default_factory=dict)
    question: str | None = None
    values: Mapping[str, int] = field(default_factory=dict)
    sides: tuple[str, ...] = ()
    how: str = ""
    source: str = ""
    read_table: ReadTable | None = None


@dataclass(frozen=True)
class Wishes:
    """What a person may say about reading, as far as layouts ask for it.

    Attributes:
        decides: What decides, of `Plan.decides`; "" takes the first.
        labels: Normalised label -> verdict; where it chooses between two answers, "preferred" means the first.
    """

    decides: str = ""
    labels: Mapping[str, Verdict] = field(default_factory=dict)


Recognise = Callable[[Survey, Wishes], Plan | None]


@dataclass(frozen=True)
class Layout:
    """One entry of the catalogue.

    Attributes:
        key: Its short name, by which a person chooses it.
        certainty: Higher is surer: a layout that only one source writes stands before one that many do.
        recognise: Tells the layout by the facts of the columns; None if it is not this one.
    """

    key: str
    certainty: int
    recognise: Recognise


def gather(values: Mapping[str, Any], columns: Mapping[str, str]) -> Parts:
    """Returns the parts of a row, given which column plays which part."""
    return Parts({part: values.get(name) for part, name in columns.items()}, columns)


def reader(read: Callable[[Parts, Reading], Draft], columns: Mapping[str, str]) -> ReadRow:
    """Returns the function that reads a row of one draft."""

    def read_row(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        return (read(gather(values, columns), reading),)

    return read_row
