"""Which values of a label column mean preferred: told by the set of values that the whole column holds.

A column of one vocabulary is read; one that mixes vocabularies or holds a third value is asked about, never guessed.
Standard library; knows values only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bnf_lab.core.errors import shown
from bnf_lab.core.judgements import Verdict

_PAIRS = (
    "true false",
    "1 0",
    "1 -1",
    "yes no",
    "y n",
    "t f",
    "good bad",
    "chosen rejected",
    "accepted rejected",
    "accept reject",
    "approved rejected",
    "preferred dispreferred",
    "preferred rejected",
    "preferred non_preferred",
    "up down",
    "thumbs_up thumbs_down",
    "thumb_up thumb_down",
    "thumbsup thumbsdown",
    "upvote downvote",
    "upvoted downvoted",
    "👍 👎",
    ":thumbsup: :thumbsdown:",
    "like dislike",
    "liked disliked",
    "positive negative",
    "pos neg",
    "better worse",
    "win lose",
    "won lost",
    "win loss",
    "winner loser",
    "correct incorrect",
    "correct wrong",
    "right wrong",
    "pass fail",
    "passed failed",
    "safe unsafe",
    "helpful unhelpful",
    "desirable undesirable",
    "satisfied unsatisfied",
    "acceptable unacceptable",
)
VOCABULARIES = tuple(tuple(pair.split()) for pair in _PAIRS)
_ALIKE = {"1": "true", "0": "false"}  # a table library writes true and false as 1 and 0 when a value is missing


@dataclass(frozen=True)
class Labels:
    """What a column's values mean, or that it has to be asked.

    Attributes:
        meaning: Normalised value -> verdict; empty where it has to be asked.
        counts: Normalised value -> rows.
        question: Why it has to be asked; None where it is clear.
    """

    meaning: Mapping[str, Verdict]
    counts: Mapping[str, int]
    question: str | None = None

    @property
    def how(self) -> str:
        """What each value was taken for, with its count."""
        words = [
            f"{shown(value)} is {self.meaning[value]} ({n:,})"
            if value in self.meaning
            else f"{shown(value)} left out ({n:,})"
            for value, n in self.counts.items()
        ]
        return f"labels: {', '.join(words)}"


def read_labels(values: Counter[str] | None, column: str, chosen: Mapping[str, Verdict] | None = None) -> Labels | None:
    """Returns what a label column's values mean; None if the column holds no labels at all.

    Args:
        values: Normalised value -> rows, of the whole column; None where there are too many different ones.
        column: Its name, for the question.
        chosen: What the person said of the values.

    >>> read_labels(Counter({"good": 3, "bad": 2}), "label").meaning["bad"]
    <Verdict.DISPREFERRED: 'dispreferred'>
    >>> read_labels(Counter({"yes": 3, "bad": 2}), "label").question[:72]
    "column 'label' holds 'yes' (3), 'bad' (2), which are not the two values "
    """
    if not values:
        return None
    if chosen:
        return Labels({value: chosen[value] for value in values if value in chosen}, dict(values))
    fits = [pair for pair in VOCABULARIES if values.keys() <= set(pair)]
    if not fits and values.keys() <= {"true", "false", "1", "0"}:
        return Labels({v: _verdict(_ALIKE.get(v, v) == "true") for v in values}, dict(values))
    meanings = {tuple(sorted((v, v == pair[0]) for v in values)) for pair in fits}
    if len(meanings) == 1:
        return Labels({value: _verdict(is_first) for value, is_first in meanings.pop()}, dict(values))
    found = ", ".join(f"{shown(value)} ({n:,})" for value, n in values.most_common(12))
    return Labels(
        {},
        dict(values),
        f"column {shown(column, 40)} holds {found}, which are not the two values of one vocabulary. Say which of them "
        "mean preferred and which dispreferred.",
    )


def _verdict(is_preferred: bool) -> Verdict:
    return Verdict.PREFERRED if is_preferred else Verdict.DISPREFERRED


def is_label_like(values: Counter[str] | None) -> bool:
    """Tells whether a column's values could be labels: at least one of them is a known word or number for a verdict."""
    known = {word for pair in VOCABULARIES for word in pair}
    return any(value in known for value in values or ())
