"""What several annotators said of one row: the majority, with the disagreement noted. Values only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bnf_lab.core.judgements import Verdict
from bnf_lab.data.drafts import Draft, Prompt, Reading
from bnf_lab.data.formats.rows import RowProblem
from bnf_lab.data.labels import read_labels
from bnf_lab.data.numbers import read_number
from bnf_lab.data.survey import normalise_value

DISAGREED = "the annotators disagreed; the majority decided"
ORDERED_APART = "the annotators put the answers in different orders; the mean place counts"
RATED_APART = "the annotators rated differently; their mean counts"
UNDECIDED = (
    "the annotators disagree without a majority, so nothing is decided. Leave it out, or have one more judge it."
)
NOBODY = "nobody has judged it. Leave it out, or have it judged."
_BLAMING = re.compile(r"harm|toxic|unsafe|offen[sc]|hallucinat|error|flag|refus|bad|wrong|spam|nsfw|reject", re.I)


def vote(values: Sequence[str], column: str, reading: Reading) -> str:
    """Returns what most annotators said; that they disagreed is noted.

    Raises:
        RowProblem: If nobody has said anything, or no answer has more votes than every other.
    """
    if not values:
        raise RowProblem(NOBODY, column, "unjudged")
    counts = Counter(values).most_common()
    if len(counts) > 1 and counts[0][1] == counts[1][1]:
        raise RowProblem(UNDECIDED, column, "tie")
    if len(counts) > 1:
        reading.say(DISAGREED)
    return counts[0][0]


def mean(values: Sequence[float], reading: Reading, sentence: str = RATED_APART) -> float:
    """Returns the mean of what annotators gave; that they differ is noted."""
    if len(set(values)) > 1:
        reading.say(sentence)
    return sum(values) / len(values)


def read_numbers(values: Sequence[Any]) -> list[float]:
    """Returns the ratings that annotators gave; nothing if one of them is none."""
    numbers = [read_number(value) for value in values]
    return numbers if all(number == number for number in numbers) else []  # no nan among them


def is_blaming(question: str) -> bool:
    """Tells whether a "yes" to a question speaks against an answer ("is it harmful?")."""
    return bool(_BLAMING.search(question))


def judge_alone(
    prompt: Prompt,
    answer: str,
    given: Sequence[Any],
    question: str,
    labels: Mapping[str, Verdict],
    reading: Reading,
) -> Draft | None:
    """Returns what annotators' ratings or labels say of one answer; None if they are neither.

    Args:
        prompt: What the answer replies to.
        answer: The answer.
        given: What each of them said.
        question: What they were asked.
        labels: Normalised label -> verdict, where the person said it.
        reading: Where notes go.

    Raises:
        RowProblem: If their labels are undecided.
    """
    numbers = read_numbers(given)
    if numbers:
        return Draft(prompt, ((answer, mean(numbers, reading)),))
    words = [word for value in given if (word := normalise_value(value))]
    found = read_labels(Counter(words), question, labels) if words and not is_blaming(question) else None
    if found is None or not found.meaning:
        return None
    return Draft(prompt, ((answer, found.meaning[vote(words, question, reading)]),))
