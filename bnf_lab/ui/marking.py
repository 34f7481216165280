"""What is being marked: a list of prompts, the answers to the present one, and the verdicts so far.

Kept in the store as a draft, so that a refresh loses nothing. The answers judged are those the server wrote, never
what a browser sends back. Knows the store's records, no component.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bnf_lab.errors import LabError
from bnf_lab.preferences import Message, Source, Verdict, new_id

if TYPE_CHECKING:
    from bnf_lab.lab import Lab

DRAFT_KEY = "mark"
COLLECTION = "marked"
EDITED = "edited"


@dataclass(frozen=True)
class Candidate:
    """One answer of the model. `mark` is "", a verdict, or "edited"; `ids` are the judgements it led to."""

    text: str
    mark: str = ""
    ids: tuple[str, ...] = ()
    pair_id: str = ""


@dataclass(frozen=True)
class Marking:
    """The whole desk: prompts, which of them is at hand, and its answers."""

    prompts: tuple[str, ...] = ("",)
    index: int = 0
    candidates: tuple[Candidate, ...] = field(default=())

    @property
    def prompt(self) -> str:
        return self.prompts[self.index]

    def with_prompt(self, prompt: str) -> Marking:
        """Returns the desk with the prompt at hand rewritten; its answers go if it changed."""
        if prompt == self.prompt:
            return self
        prompts = (*self.prompts[: self.index], prompt, *self.prompts[self.index + 1 :])
        return replace(self, prompts=prompts, candidates=())

    def moved(self, step: int) -> Marking:
        """Returns the desk with another prompt at hand; beyond the last one a blank page opens."""
        index = self.index + step
        if index >= len(self.prompts):
            prompts = self.prompts if not self.prompts[-1].strip() else (*self.prompts, "")
            return Marking(prompts, len(prompts) - 1)
        return Marking(self.prompts, max(0, index))


def load_marking(lab: Lab, owner: str) -> Marking:
    """Returns the owner's desk, an empty one at first."""
    record = lab.store.load_draft(owner, DRAFT_KEY)
    if record is None:
        return Marking()
    candidates = tuple(Candidate(**{**c, "ids": tuple(c["ids"])}) for c in record["candidates"])
    return Marking(tuple(record["prompts"]), record["index"], candidates)


def save_marking(lab: Lab, owner: str, marking: Marking) -> Marking:
    """Stores the desk and returns it."""
    lab.store.save_draft(owner, DRAFT_KEY, asdict(marking))
    return marking


def with_answers(marking: Marking, texts: Sequence[str]) -> Marking:
    """Returns the desk with fresh, unmarked answers to the prompt at hand."""
    return replace(marking, candidates=tuple(Candidate(text) for text in texts))


def mark(lab: Lab, owner: str, place: int, verdict: Verdict) -> Marking:
    """Judges one answer and stores it at once; the same verdict again takes it back.

    A preferred and a dispreferred answer of the same round share a pair id, each with at most one other.

    Args:
        lab: Holds the store.
        owner: Whose desk.
        place: Which answer, from 0.
        verdict: What the person thinks of it.
    """
    marking = load_marking(lab, owner)
    candidate = _candidate(marking, place)
    marking = _without_judgements(lab, owner, marking, place)
    if candidate.mark != verdict:
        pair_id = _partner(marking, verdict) or new_id()
        judgement = lab.judge(owner, _messages(marking), candidate.text, verdict, source=Source.MARKED,
                              collection=COLLECTION, pair_id=pair_id)
        marked = Candidate(candidate.text, str(verdict), (judgement.id,), pair_id)
        marking = _replaced(marking, place, marked)
    return save_marking(lab, owner, marking)


def edit(lab: Lab, owner: str, place: int, text: str) -> Marking:
    """Stores a rewritten answer as preferred and the original as dispreferred, as a pair."""
    marking = load_marking(lab, owner)
    original = _candidate(marking, place).text
    if text.strip() == original.strip():
        raise LabError("The answer is unchanged. Change it, or mark it as preferred or dispreferred.")
    marking = _without_judgements(lab, owner, marking, place)
    pair = lab.judge_edit(owner, _messages(marking), original, text, source=Source.EDIT, collection=COLLECTION)
    edited = Candidate(original, EDITED, tuple(j.id for j in pair))
    return save_marking(lab, owner, _replaced(marking, place, edited))


def _candidate(marking: Marking, place: int) -> Candidate:
    if not 0 <= place < len(marking.candidates) or not marking.candidates[place].text.strip():
        raise LabError(f"There is no answer {place + 1} to mark. Write answers first.")
    return marking.candidates[place]


def _messages(marking: Marking) -> tuple[Message, ...]:
    return (Message("user", marking.prompt),)


def _without_judgements(lab: Lab, owner: str, marking: Marking, place: int) -> Marking:
    candidate = marking.candidates[place]
    if candidate.ids:
        lab.store.delete_judgements(owner, candidate.ids)
    return _replaced(marking, place, Candidate(candidate.text))


def _replaced(marking: Marking, place: int, candidate: Candidate) -> Marking:
    candidates = (*marking.candidates[:place], candidate, *marking.candidates[place + 1 :])
    return replace(marking, candidates=candidates)


def _partner(marking: Marking, verdict: Verdict) -> str:
    """Returns the pair id of the first answer of the other verdict that still has no partner."""
    taken: dict[str, list[Any]] = {}
    for candidate in marking.candidates:
        if candidate.pair_id:
            taken.setdefault(candidate.pair_id, []).append(candidate.mark)
    return next((pair_id for pair_id, marks in taken.items() if marks == [str(verdict.flipped)]), "")
