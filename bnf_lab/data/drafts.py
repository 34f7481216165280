"""What reading a row gives, and what is said about it on the way. Values only, standard library.

This room must not know files, layouts or judgements' storage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bnf_lab.core.judgements import Message, Verdict

Prompt = tuple[Message, ...]
Answer = tuple[str, Verdict | float]
"""An answer with its verdict, or still with its rating (a rank is a rating with a minus sign)."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One prompt and its answers.

    Attributes:
        prompt: The conversation before the answers.
        answers: Each with a verdict or a rating; one preferred and one dispreferred answer are a pair.
        weight: How much its verdicts count, in (0, 1].
        is_ranked: Whether its ratings are ranks with a minus sign.
    """

    prompt: Prompt
    answers: tuple[Answer, ...]
    weight: float = 1.0
    is_ranked: bool = False

    @property
    def is_judged(self) -> bool:
        return isinstance(self.answers[0][1], Verdict)

    @property
    def verdicts(self) -> list[tuple[str, Verdict]]:
        """Its answers with verdicts."""
        return [(text, found) for text, found in self.answers if isinstance(found, Verdict)]

    @property
    def texts(self) -> list[str]:
        """Its answers and all turns before them."""
        return [*(message.content for message in self.prompt), *(text for text, _ in self.answers)]

    @property
    def is_pair(self) -> bool:
        return len(self.answers) == 2 and {verdict for _, verdict in self.answers} == set(Verdict)


@dataclass
class Reading:
    """What readers know besides the row, and where they leave what should be said about it.

    Attributes:
        field_chars: Characters that one text may have.
        transcripts: Columns whose texts are transcripts with a preamble.
        spoken: Columns whose texts have a speaker's name before each turn.
        conversations: Columns whose texts are conversations written as JSON or as Python prints them.
        decides: What decides where a layout offers a choice.
        labels: Normalised label -> verdict; a label that is left out is missing.
        turns_round: Whether a pair whose scores contradict its order is turned round.
        said: Sentence -> numbers of the rows it is true of.
        row: The number of the row being read.
    """

    field_chars: int
    transcripts: frozenset[str] = frozenset()
    spoken: frozenset[str] = frozenset()
    conversations: frozenset[str] = frozenset()
    decides: str = ""
    labels: Mapping[str, Verdict] = field(default_factory=dict)
    turns_round: bool = False
    said: dict[str, list[int]] = field(default_factory=dict)
    row: int = 0

    def say(self, sentence: str) -> None:
        """Notes a sentence for the report, once a row."""
        rows = self.said.setdefault(sentence, [])
        if not rows or rows[-1] != self.row:
            rows.append(self.row)
