"""The record of one import: rows taken, rows refused, what is asked, and what a person should know. Values only.

This room must not know how any of it was found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bnf_lab.core.judgements import Judgement
from bnf_lab.data.formats.rows import Refusal

CountTokens = Callable[[Sequence[Judgement]], Sequence[int]]


@dataclass(frozen=True)
class Option:
    """One way to answer a question.

    Attributes:
        value: What `ImportChoices` then holds.
        label: What the person reads.
        preview: What the first rows would become.
    """

    value: str
    label: str
    preview: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """What has to be answered before anything is taken.

    Attributes:
        kind: "columns" (no layout is known), "column" (one holds text of its own), "layout", "labels" or "part".
        text: The question, with what was found.
        options: The answers there are; empty where columns have to be mapped.
        sides: The columns of two answers, where the labels say which one is better.
    """

    kind: str
    text: str
    options: tuple[Option, ...] = ()
    sides: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportReport:
    """The row-by-row report of one file or data set.

    Attributes:
        file: Its name, without any folder.
        layout: The recognised layout, for example "SHP: the better of two comments"; None where none is known.
        n_rows: Rows it has; every one is taken, refused, or waits for a mapping.
        taken: Rows taken (a pair is one row and two judgements).
        judgements: What the rows taken became, in their order.
        refused: The others, each with its reason and remedy.
        warnings: What to know about the rows; none was dropped for it unless the text says refused.
        columns: The table's columns.
        sample_rows: The first rows, clipped to short texts, for the mapping panel.
        needs_mapping: True where columns have to be mapped.
        ratings: The ratings that a threshold can split, in their order; empty for ranks.
        threshold: The rating from which an answer counts as preferred; None where no threshold decided.
        how: How verdicts and weights came about, in one line; None where that is plain.
        questions: What has to be answered first; there are no judgements then.
        key: The layout's short name, by which it can be chosen.
        kind: What kind of file it is, with its encoding.
        notes: What reading the file needed: an encoding guessed, rows unwrapped.
        unused: Columns that were not used.
        decides: What decides, first the one chosen, where the layout offers a choice.
        source: Where the layout is described.
        n_contradictions: Pairs whose scores contradict their order.
        layouts: The other layouts that its rows would fit.
        places: Its columns and the paths into them, for mapping.
    """

    file: str
    layout: str | None
    n_rows: int
    taken: int
    judgements: tuple[Judgement, ...]
    refused: tuple[Refusal, ...]
    warnings: tuple[str, ...]
    columns: tuple[str, ...]
    sample_rows: tuple[dict[str, str], ...]
    needs_mapping: bool = False
    ratings: tuple[float, ...] = ()
    threshold: float | None = None
    how: str | None = None
    questions: tuple[Question, ...] = ()
    key: str = ""
    kind: str = ""
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    decides: tuple[str, ...] = ()
    source: str = ""
    n_contradictions: int = 0
    layouts: tuple[Option, ...] = ()
    places: tuple[str, ...] = ()

    @property
    def n_preferred(self) -> int:
        return sum(j.is_preferred for j in self.judgements)

    @property
    def n_dispreferred(self) -> int:
        return len(self.judgements) - self.n_preferred
