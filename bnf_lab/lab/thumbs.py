"""What a thumb on an answer means, wherever the answer stands: one rule for chat and marking. Knows no page, no model.

The judged text is always what the server wrote, never what a browser sends back. The stored judgements are the only
truth about verdicts: a change made elsewhere counts from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

from bnf_lab.core.errors import LabError
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair, group_units, new_id
from bnf_lab.lab.judgements import Judgements

EDITED = "edited"
UNCHANGED = "The answer is unchanged. Change it, or give it a thumb."


@dataclass(frozen=True)
class Markable:
    """A text that a model wrote, and what a person said of it.

    Attributes:
        text: What the model wrote.
        mark: "", a verdict, or `EDITED`.
        ids: The judgements that the mark led to; for an edit the preferred one first.
        edited: The person's own version, where there is one.
    """

    text: str = ""
    mark: str = ""
    ids: tuple[str, ...] = ()
    edited: str = ""

    @property
    def unmarked(self) -> Self:
        return replace(self, mark="", ids=(), edited="")

    def as_stored(self, stored: Mapping[str, Judgement]) -> Self:
        """Returns the answer with the mark that its judgements, of all those stored, give it now."""
        if any(i not in stored for i in self.ids):
            return self.unmarked
        return self if self.mark in ("", EDITED) else replace(self, mark=str(stored[self.ids[0]].verdict))


Answer = TypeVar("Answer", bound=Markable)


@dataclass(frozen=True)
class _Case(Generic[Answer]):
    """The answers to one prompt as they are stored, and the one that is judged."""

    owner: str
    answers: tuple[Answer, ...]
    place: int
    stored: Mapping[str, Judgement]

    @property
    def judged(self) -> Answer:
        return self.answers[self.place]

    @property
    def twins(self) -> tuple[Answer, ...]:
        """All answers with the words of the judged one, which comes first."""
        others = self.answers[: self.place] + self.answers[self.place + 1 :]
        return (self.judged, *(answer for answer in others if answer.text == self.judged.text))


class Thumbs:
    """Judges answers to one prompt at a time.

    - The same verdict again takes the judgement back; so does any verdict on an answer that the person has rewritten.
    - The other verdict turns the judgement round: it keeps its id and its moment.
    - Answers with the same words share one mark and one judgement.
    - Preferred and dispreferred answers pair up, each with at most one other; a pair that holds stays.

    Args:
        judgements: Where verdicts are kept.
        source: How judgements come to be here.
        collection: What they are kept under.
    """

    def __init__(self, judgements: Judgements, *, source: Source, collection: str) -> None:
        self._judgements, self._source, self._collection = judgements, source, collection

    def find(self, owner: str, answers: Iterable[Markable]) -> dict[str, Judgement]:
        """Returns the judgements that these answers led to and that are still there, by id; see `as_stored`."""
        ids = [i for answer in answers for i in answer.ids]
        return self._judgements.get(owner, ids) if ids else {}

    def press(
        self, owner: str, prompt: tuple[Message, ...], answers: Sequence[Answer], place: int, verdict: Verdict
    ) -> tuple[Answer, ...]:
        """Judges one answer, on the disk when it returns.

        Args:
            owner: Whose verdict.
            prompt: What all these answers reply to.
            answers: All answers to it that stand side by side.
            place: Which one is judged, from 0.
            verdict: What the person thinks of it.

        Returns:
            The answers with their new marks.
        """
        case = self._case(owner, answers, place)
        if case.judged.mark in (verdict, EDITED):
            return self._settle(case, "", ())
        known = next((twin for twin in case.twins if twin.mark and twin.mark != EDITED), None)
        if known is None:
            judgement = Judgement(prompt, case.judged.text, verdict, source=self._source)
        else:
            judgement = replace(case.stored[known.ids[0]], verdict=verdict)
        return self._settle(case, str(verdict), (judgement,))

    def rewrite(
        self, owner: str, prompt: tuple[Message, ...], answers: Sequence[Answer], place: int, text: str
    ) -> tuple[Answer, ...]:
        """Stores the person's version of an answer as preferred and the model's as dispreferred, as a pair.

        Args:
            owner: Whose version.
            prompt: As for `press`.
            answers: As for `press`.
            place: Which one is rewritten, from 0.
            text: The person's version.

        Returns:
            The answers with their new marks.

        Raises:
            LabError: If the version changes nothing.
        """
        case = self._case(owner, answers, place)
        if text.strip() == case.judged.text.strip():
            raise LabError(UNCHANGED)
        return self._settle(case, EDITED, build_pair(prompt, text, case.judged.text, source=Source.EDIT), text)

    def _case(self, owner: str, answers: Sequence[Answer], place: int) -> _Case[Answer]:
        stored = self.find(owner, answers)
        return _Case(owner, tuple(answer.as_stored(stored) for answer in answers), place, stored)

    def _settle(
        self, case: _Case[Answer], mark: str, judged: tuple[Judgement, ...], edited: str = ""
    ) -> tuple[Answer, ...]:
        """Gives the judged words their new mark and judgements, and the disk what follows from it, all or nothing."""
        ids = tuple(judgement.id for judgement in judged)
        answers = tuple(
            replace(a, mark=mark, ids=ids, edited=edited) if a.text == case.judged.text else a for a in case.answers
        )
        known = {**case.stored, **{judgement.id: judgement for judgement in judged}}
        thumbs = dict.fromkeys(a.ids[0] for a in answers if a.mark and a.mark != EDITED)
        known |= {judgement.id: judgement for judgement in pair_up([known[i] for i in thumbs])}
        gone = {i for twin in case.twins for i in twin.ids} - set(ids)
        self._judgements.revise(
            case.owner,
            self._collection,
            added=[j for j in known.values() if j.id not in case.stored],
            changed=[j for j in known.values() if j.id not in gone and case.stored.get(j.id, j) != j],
            deleted=sorted(gone),
        )
        return answers


def pair_up(judgements: Sequence[Judgement]) -> list[Judgement]:
    """Returns judgements of one prompt with as many preferred-dispreferred pairs among them as there can be.

    Pairs that hold stay; who is left alone keeps its pair id, so that a half which comes back finds it.

    >>> prompt = (Message("user", "Why?"),)
    >>> judged = [Judgement(prompt, text, Verdict(verdict)) for text, verdict in
    ...           (("a", "preferred"), ("b", "preferred"), ("c", "dispreferred"))]
    >>> [[j.response for j in unit] for unit in group_units(pair_up(judged))]
    [['a', 'c'], ['b']]
    """
    alone = [unit[0] for unit in group_units(judgements) if len(unit) == 1]
    preferred, dispreferred = ([j for j in alone if j.is_preferred is side] for side in (True, False))
    paired: dict[str, Judgement] = {}
    for pair in zip(preferred, dispreferred, strict=False):
        pair_id = new_id()
        paired |= {judgement.id: replace(judgement, pair_id=pair_id) for judgement in pair}
    return [paired.get(judgement.id, judgement) for judgement in judgements]
