"""What is being marked: a list of prompts, the answers to the present one, and the verdicts so far.

Kept as a draft, so that a refresh loses nothing. Knows the rule of a thumb and drafts, no component.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from bnf_lab.core.errors import LabError
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, new_id
from bnf_lab.lab.drafts import Drafts
from bnf_lab.lab.judgements import Judgements
from bnf_lab.lab.queues import Queues
from bnf_lab.lab.thumbs import Markable, Thumbs

DRAFT = "mark"
COLLECTION = "marked"


@dataclass(frozen=True)
class Candidate(Markable):
    """One answer of the model to the prompt at hand.

    Attributes:
        edited: The text that is judged where it is not the model's: a version of the person's own.
        verdict: What the stored judgement of that text says now; not kept with the desk.
    """

    verdict: str = ""

    @property
    def judged_text(self) -> str:
        return self.edited or self.text

    def as_stored(self, stored: Mapping[str, Judgement]) -> Self:
        """Returns the answer as its judgements stand, which may have been turned or rewritten in the table since."""
        known = super().as_stored(stored)
        if not known.mark:
            return replace(known, verdict="")
        judgement = stored[known.ids[0]]
        own = judgement.response if judgement.response != known.text else ""
        return replace(known, edited=own, verdict=str(judgement.verdict))


@dataclass(frozen=True)
class AnswerSettings:
    """How answers are asked for: how many, how varied, how long at most (in tokens), of which base model."""

    n: int
    temperature: float
    max_new_tokens: int
    model: str


@dataclass(frozen=True)
class Marking:
    """The whole desk: prompts, which of them is at hand, and its answers.

    Attributes:
        prompts: All of them.
        index: Which one is at hand.
        candidates: Its answers.
        writing: Names the writing whose answers these are, until something else happens at the desk.
        asked: How answers were asked for last in this list of prompts; None before that.
        is_ahead: Whether these answers were written before anybody asked for them.
    """

    prompts: tuple[str, ...] = ("",)
    index: int = 0
    candidates: tuple[Candidate, ...] = field(default=())
    writing: str = ""
    asked: AnswerSettings | None = None
    is_ahead: bool = False

    @property
    def prompt(self) -> str:
        return self.prompts[self.index]

    @property
    def has_answers(self) -> bool:
        return any(candidate.text for candidate in self.candidates)

    def with_prompt(self, prompt: str) -> Marking:
        """Returns the desk with the prompt at hand rewritten; its answers go if it changed."""
        if prompt == self.prompt:
            return self
        prompts = (*self.prompts[: self.index], prompt, *self.prompts[self.index + 1 :])
        return replace(self, prompts=prompts).with_answers(())

    def with_answers(self, texts: Sequence[str]) -> Marking:
        """Returns the desk with fresh, unmarked answers to the prompt at hand."""
        return replace(self, candidates=tuple(map(Candidate, texts)), is_ahead=False)

    def moved(self, step: int) -> Marking:
        """Returns the desk with another prompt at hand; beyond the last one a blank page opens."""
        prompts, index = self.prompts, max(0, self.index + step)
        if index >= len(prompts):
            prompts = prompts if not prompts[-1].strip() else (*prompts, "")
            index = len(prompts) - 1
        return Marking(prompts, index, asked=self.asked)


class MarkingDesks:
    """The desks of all workspaces, one each.

    Args:
        drafts: Where they are kept.
        judgements: Where verdicts go.
    """

    def __init__(self, drafts: Drafts, judgements: Judgements) -> None:
        self._drafts = drafts
        self._thumbs = Thumbs(judgements, source=Source.MARKED, collection=COLLECTION)
        self._queues = Queues()  # a desk is read, changed and written in turn

    def load(self, owner: str) -> Marking:
        """Returns the owner's desk, an empty one at first, with its marks as the judgements are now."""
        record = self._drafts.load(owner, DRAFT)
        if record is None:
            return Marking()
        answers = self._as_stored(owner, record["candidates"])
        asked = AnswerSettings(**record["asked"]) if record.get("asked") else None
        is_ahead = record.get("is_ahead", False)
        return Marking(tuple(record["prompts"]), record["index"], answers, record.get("writing", ""), asked, is_ahead)

    def save(self, owner: str, marking: Marking) -> Marking:
        """Stores the desk and returns it."""
        with self._queues.waiting(owner):
            return self._save(owner, marking)

    def turn(self, owner: str, prompt: str, step: int) -> Marking:
        """Goes to another prompt, keeping what was typed as the present one; see `Marking.moved`.

        The answers to each prompt, and what was said of them, come back with it.
        """
        with self._queues.waiting(owner):
            desk = self.load(owner)
            self._keep_answers(owner, desk)
            moved = desk.with_prompt(prompt).moved(step)
            return self._save(owner, self._with_kept_answers(owner, moved))

    def begin_writing(self, owner: str, prompt: str, asked: AnswerSettings) -> Marking:
        """Clears the desk for new answers to a prompt; `keep_written` takes them."""
        with self._queues.waiting(owner):
            desk = self.load(owner)
            self._keep_answers(owner, desk)
            begun = desk.with_prompt(prompt).with_answers([""] * asked.n)
            return self._save(owner, replace(begun, writing=new_id(), asked=asked))

    def keep_written(self, owner: str, desk: Marking) -> None:
        """Stores answers as far as they are written, unless something else happened at the desk meanwhile.

        A writing that is stopped ends some time later; by then a mark may be on its answers, which must not be lost.
        """
        with self._queues.waiting(owner):
            if self.load(owner).writing == desk.writing:
                self._save(owner, desk)

    def next_unanswered(self, owner: str) -> tuple[str, AnswerSettings] | None:
        """Returns the coming prompt, and how answers were asked for, if it has none and the one at hand has some."""
        desk = self.load(owner)
        coming = desk.moved(1)
        if desk.asked is None or not desk.has_answers or not coming.prompt.strip() or coming.prompt == desk.prompt:
            return None
        return None if self._with_kept_answers(owner, coming).has_answers else (coming.prompt, desk.asked)

    def keep_ahead(self, owner: str, prompt: str, texts: Sequence[str]) -> None:
        """Keeps complete answers to a prompt that is not at hand yet, or has just come; there must be none so far."""
        with self._queues.waiting(owner):
            desk = self.load(owner)
            ahead = replace(Marking((prompt,)).with_answers(texts), is_ahead=True)
            if self._with_kept_answers(owner, ahead.with_answers(())).has_answers:
                return
            self._keep_answers(owner, ahead)
            if desk.prompt == prompt and not desk.candidates:
                self._save(owner, self._with_kept_answers(owner, desk))

    def _keep_answers(self, owner: str, desk: Marking) -> None:
        """Keeps the answers of a desk that goes on to others, under the words of its prompt."""
        if desk.has_answers:
            record = {"candidates": [asdict(candidate) for candidate in desk.candidates], "is_ahead": desk.is_ahead}
            self._drafts.save(owner, _answers_name(desk.prompt), record)

    def _with_kept_answers(self, owner: str, desk: Marking) -> Marking:
        """Returns a desk with the answers that are kept for its prompt."""
        record = self._drafts.load(owner, _answers_name(desk.prompt)) or {"candidates": []}
        answers = self._as_stored(owner, record["candidates"])
        return replace(desk, candidates=answers, is_ahead=record.get("is_ahead", False))

    def _as_stored(self, owner: str, records: Sequence[Mapping[str, Any]]) -> tuple[Candidate, ...]:
        candidates = [_candidate(values) for values in records]
        stored = self._thumbs.find(owner, candidates)
        return tuple(candidate.as_stored(stored) for candidate in candidates)

    def _save(self, owner: str, marking: Marking) -> Marking:
        self._drafts.save(owner, DRAFT, asdict(marking))
        return marking

    def mark(self, owner: str, place: int, verdict: Verdict) -> Marking:
        """Judges one answer and stores it at once; see `Thumbs`.

        Args:
            owner: Whose desk.
            place: Which answer, from 0.
            verdict: What the person thinks of it.
        """
        with self._queues.waiting(owner):
            marking = self._with_answer(owner, place)
            candidates = self._thumbs.press(owner, _messages(marking), marking.candidates, place, verdict)
            self._save(owner, replace(marking, candidates=candidates, writing=""))
            return self.load(owner)

    def edit(self, owner: str, place: int, text: str) -> Marking:
        """Stores a rewritten answer as preferred and the original as dispreferred, as a pair."""
        with self._queues.waiting(owner):
            marking = self._with_answer(owner, place)
            candidates = self._thumbs.rewrite(owner, _messages(marking), marking.candidates, place, text)
            self._save(owner, replace(marking, candidates=candidates, writing=""))
            return self.load(owner)

    def _with_answer(self, owner: str, place: int) -> Marking:
        marking = self.load(owner)
        if not 0 <= place < len(marking.candidates) or not marking.candidates[place].text.strip():
            raise LabError(f"There is no answer {place + 1} to mark. Write answers first.")
        return marking


def _candidate(values: Mapping[str, Any]) -> Candidate:
    """Reads an answer that may be an older lab's, which knew a pair id and no version of the person's own."""
    return Candidate(values["text"], values["mark"], tuple(values["ids"]), values.get("edited", ""))


def _answers_name(prompt: str) -> str:
    return f"{DRAFT} {hashlib.sha256(prompt.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _messages(marking: Marking) -> tuple[Message, ...]:
    return (Message("user", marking.prompt),)
