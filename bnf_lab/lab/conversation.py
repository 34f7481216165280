"""What a chat is: turns with two answers each, settings, and which answers were judged. Values only, no component.

A chat is one record in the store, so that it survives a refresh, a crash and a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bnf_lab.core.config import EMBEDDED_MODEL
from bnf_lab.core.errors import LabError, NotFound
from bnf_lab.core.judgements import Message, new_id
from bnf_lab.lab.adapter_choices import AdapterChoice
from bnf_lab.lab.chat_records import PaneUpdate
from bnf_lab.lab.thumbs import Markable

SIDES = ("base", "aligned")
ANY_ADAPTER = ""
NO_ADAPTER = "none"
NONE_YET = "none yet"
"""The adapter of a conversation that was begun while there was none."""
MOVING = "best"
"""The adapter of a run that is another one as soon as a later checkpoint is better."""
ADAPTER_GONE = (
    "The adapter of this conversation ({adapter}) is not here any more, or its run has trained it further. Choose one"
    " above under “Aligned by”, then send again."
)


@dataclass(frozen=True)
class Answer(Markable):
    """One side's answer; a version of the person's own takes its place in the conversation.

    Attributes:
        by: What answered, as the pane's header said it then.
        n_tokens: Its tokens.
        tokens_per_second: How fast they came.
        finish: "end", "length", "stopped"; None while it is written or if it was interrupted.
        logp_base: Mean log-likelihood under the base model, nats/token.
        logp_aligned: The same under the aligned model.
    """

    by: str = ""
    n_tokens: int = 0
    tokens_per_second: float = 0.0
    finish: str | None = None
    logp_base: float | None = None
    logp_aligned: float | None = None

    @property
    def content(self) -> str:
        return self.edited or self.text

    def updated(self, update: PaneUpdate) -> Answer:
        """Returns the answer as far as the model has come."""
        return replace(
            self,
            text=update.text,
            n_tokens=update.n_tokens,
            tokens_per_second=update.tokens_per_second,
            finish=update.finish,
            logp_base=update.logp_base,
            logp_aligned=update.logp_aligned,
        )


@dataclass(frozen=True)
class Turn:
    """A message, the system prompt it was asked under, and its answers; a side that was not asked has None."""

    message: str
    system: str = ""
    base: Answer | None = None
    aligned: Answer | None = None
    id: str = field(default_factory=new_id)

    def answer(self, side: str) -> Answer | None:
        return self.base if side == "base" else self.aligned

    def with_answer(self, side: str, answer: Answer | None) -> Turn:
        return replace(self, base=answer) if side == "base" else replace(self, aligned=answer)

    @property
    def has_text(self) -> bool:
        return any(answer.text for side in SIDES if (answer := self.answer(side)))


@dataclass(frozen=True)
class Settings:
    """Who answers and how.

    Attributes:
        adapter: "run/checkpoint", "run/" for the run's final or newest one, `NO_ADAPTER`, `ANY_ADAPTER` for the one
            that is offered first, or `NONE_YET`. From its first message on a conversation keeps what answers it.
        weights: Short hash of that one's weights, so that another one of the same name never takes its place.
    """

    model: str = EMBEDDED_MODEL
    adapter: str = ANY_ADAPTER
    temperature: float = 0.7
    top_p: float = 0.95
    max_new_tokens: int = 256
    seed: int = 0
    system: str = ""
    weights: str = ""

    @property
    def is_gone(self) -> bool:
        """Whether an adapter is meant where `choose_adapter` finds none."""
        return self.adapter not in (ANY_ADAPTER, NO_ADAPTER, NONE_YET)


@dataclass(frozen=True)
class Chat:
    """The whole conversation.

    Attributes:
        turns: From the first to the last.
        settings: Those of the next message.
        replaced: The turn that the last one is a retry of, until that has an answer.
        seen_run: The run last opened elsewhere; when another one is opened before anything is said, its adapter is
            chosen here.
    """

    turns: tuple[Turn, ...] = ()
    settings: Settings = Settings()
    replaced: Turn | None = None
    seen_run: str = ""

    def index(self, turn_id: str) -> int:
        """Returns the place of a turn.

        Raises:
            NotFound: If it is not in this chat.
        """
        for place, turn in enumerate(self.turns):
            if turn.id == turn_id:
                return place
        raise NotFound("This answer is no longer in the chat. Reload the page.")

    def prompt(self, place: int, side: str) -> tuple[Message, ...]:
        """Returns what one side has read when it answers a turn: system prompt, its own history, the message."""
        turn = self.turns[place]
        messages = [Message("system", turn.system)] if turn.system else []
        for earlier in self.turns[:place]:
            answer = earlier.answer(side)
            if answer is not None and answer.content:
                messages += [Message("user", earlier.message), Message("assistant", answer.content)]
        return (*messages, Message("user", turn.message))

    def with_turn(self, turn: Turn) -> Chat:
        """Returns the chat with the turn of the same id put in place."""
        return replace(self, turns=tuple(turn if turn.id == old.id else old for old in self.turns))

    def to_record(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any] | None) -> Chat:
        """Returns the chat of a stored record, a new one for None."""
        if record is None:
            return cls()
        replaced = record["replaced"]
        return cls(
            turns=tuple(_turn(turn) for turn in record["turns"]),
            settings=Settings(**record["settings"]),
            replaced=_turn(replaced) if replaced else None,
            seen_run=record["seen_run"],
        )


def adapter_key(adapter: AdapterChoice) -> str:
    """Returns the value of an adapter in a list of choices."""
    return f"{adapter.run_id}/{adapter.checkpoint}"


def choose_adapter(settings: Settings, adapters: Sequence[AdapterChoice]) -> AdapterChoice | None:
    """Returns the adapter that the settings mean; None if they mean none, or if it is there no longer.

    Args:
        settings: The model counts too: an adapter fits only the model it was trained on.
        adapters: All there are, newest run first, in each its final or newest one first.
    """
    fitting = [adapter for adapter in adapters if adapter.model == settings.model]
    if settings.adapter == ANY_ADAPTER:
        return next(iter(fitting), None)
    run_id, _, checkpoint = settings.adapter.partition("/")
    same_run = [adapter for adapter in fitting if adapter.run_id == run_id]
    named = [adapter for adapter in same_run if checkpoint in ("", adapter.checkpoint)]
    if settings.weights:
        named = [adapter for adapter in (*named, *same_run) if adapter.hash == settings.weights]
    return next(iter(named), None)


def fix_adapter(settings: Settings, adapters: Sequence[AdapterChoice]) -> Settings:
    """Returns settings that name one adapter, whatever runs write later; a "best" one is named by its checkpoint.

    Raises:
        LabError: If the one that they name is there no longer.
    """
    chosen = choose_adapter(settings, adapters)
    if chosen is None:
        if settings.is_gone:
            raise LabError(ADAPTER_GONE.format(adapter=settings.adapter.replace("/", " \N{MIDDLE DOT} ", 1)))
        return replace(settings, adapter=settings.adapter or NONE_YET, weights="")
    same = [a for a in adapters if (a.run_id, a.hash) == (chosen.run_id, chosen.hash) and a.checkpoint != MOVING]
    lasting = chosen if chosen.checkpoint != MOVING else next(iter(same), chosen)
    return replace(settings, adapter=adapter_key(lasting), weights=chosen.hash)


def _turn(record: Mapping[str, Any]) -> Turn:
    return Turn(**{**record, "base": _answer(record["base"]), "aligned": _answer(record["aligned"])})


def _answer(record: Mapping[str, Any] | None) -> Answer | None:
    return None if record is None else Answer(**{**record, "ids": tuple(record["ids"])})
