"""What can be done with a chat: ask, answer, stop, judge, edit, clear. Knows no component.

What a thumb means is `thumbs`; a verdict that was changed elsewhere shows here too.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bnf_lab.core.errors import LabError
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict
from bnf_lab.lab.adapter_choices import AdapterChoice
from bnf_lab.lab.chat_records import ChatRequest, ChatUpdate
from bnf_lab.lab.conversation import (
    ANY_ADAPTER,
    NONE_YET,
    SIDES,
    Answer,
    Chat,
    Settings,
    Turn,
    choose_adapter,
    fix_adapter,
)
from bnf_lab.lab.drafts import Drafts
from bnf_lab.lab.judgements import Judgements
from bnf_lab.lab.runs import Runs
from bnf_lab.lab.thumbs import Thumbs
from bnf_lab.lab.writer import Writer

CHAT_ID = "current"
COLLECTION = "chat"
SAVE_SECONDS = 1.0

STILL_ANSWERING = "An answer is still being written. Wait for it or press Stop, then send again."
NOTHING_TO_RETRY = "There is no message to answer again. Type one and press Send."


@dataclass
class _Live:
    """The answer that a workspace is being given now."""

    turn: Turn
    stop: threading.Event


@dataclass(frozen=True)
class _Judged:
    """An answer that is judged.

    Attributes:
        chat: Where it stands.
        turn: Its turn.
        side: Its side.
        prompt: What it replies to.
        answers: By side, the answers that reply to the very same words; the judged one is among them.
    """

    chat: Chat
    turn: Turn
    side: str
    prompt: tuple[Message, ...]
    answers: dict[str, Answer]

    @property
    def arguments(self) -> tuple[tuple[Message, ...], tuple[Answer, ...], int]:
        """What `Thumbs` asks for: the prompt, the answers to it, and which of them is judged."""
        return self.prompt, tuple(self.answers.values()), list(self.answers).index(self.side)


class Chats:
    """The chats of all workspaces, one each.

    Args:
        records: Where they are kept.
        judgements: Where verdicts go.
        runs: Whose adapters answer.
        writer: Answers.
    """

    def __init__(self, records: Drafts, judgements: Judgements, runs: Runs, writer: Writer) -> None:
        self._records, self._runs, self._writer = records, runs, writer
        self._thumbs = Thumbs(judgements, source=Source.CHAT, collection=COLLECTION)
        self._lock = threading.RLock()  # a chat is read, changed and written under it
        self._live: dict[str, _Live] = {}

    def load(self, owner: str) -> Chat:
        """Returns the chat as it stands, an answer being written included."""
        with self._lock:
            chat = self._stored(owner)
            live = self._live.get(owner)
            return chat.with_turn(live.turn) if live else chat

    def is_live(self, owner: str) -> bool:
        return owner in self._live

    def is_unanswered(self, owner: str) -> bool:
        """Returns whether the last message has no answer and none is being written."""
        with self._lock:
            turns = self._stored(owner).turns
            return owner not in self._live and bool(turns) and not turns[-1].has_text

    def reconcile(self, owner: str) -> Chat:
        """Returns the chat with its marks as the judgements are now, and saves it so."""
        with self._lock:
            chat = self._stored(owner)
            stored = self._thumbs.find(owner, _answers(chat.turns))
            turns = tuple(_reconciled(turn, stored) for turn in chat.turns)
            if turns != chat.turns:
                self._save(owner, replace(chat, turns=turns))
            return self.load(owner)

    def keep_settings(self, owner: str, settings: Settings, seen_run: str | None = None) -> Chat:
        """Stores who answers and how from the next message on."""
        with self._lock:
            chat = self._stored(owner)
            seen = chat.seen_run if seen_run is None else seen_run
            self._save(owner, replace(chat, settings=settings, seen_run=seen))
            return self.load(owner)

    def ask(self, owner: str, message: str, settings: Settings) -> Chat:
        """Adds a message to be answered by `answer`; the adapter that answers it answers from then on."""
        adapters = self._runs.adapters(owner)  # looks into folders, for which nobody else need wait
        with self._lock:
            chat, settings = self._idle(owner), fix_adapter(settings, adapters)
            turn = Turn(message, system=settings.system)
            return self._save(owner, replace(chat, turns=(*chat.turns, turn), settings=settings, replaced=None))

    def ask_again(self, owner: str, settings: Settings) -> Chat:
        """Puts the last message again, with the next seed; its old answers stay until there are new ones."""
        adapters = self._runs.adapters(owner)
        with self._lock:
            chat = self._idle(owner)
            if not chat.turns:
                raise LabError(NOTHING_TO_RETRY)
            settings = fix_adapter(settings, adapters)
            old = chat.turns[-1]
            turn = Turn(old.message, system=settings.system)
            chat = replace(chat, turns=(*chat.turns[:-1], turn), settings=settings, replaced=old)
            return self._save(owner, chat)

    def answer(self, owner: str) -> Iterator[ChatUpdate]:
        """Has the last message answered, and keeps what was written however that ends.

        Yields:
            Each step; the chat with its words in place is what `load` returns.

        Raises:
            LabError: If nothing could be answered; the message is then taken back out of the chat.
        """
        chat, live = self._begin(owner)
        try:
            adapters = self._runs.adapters(owner)
            adapter = choose_adapter(fix_adapter(chat.settings, adapters), adapters)
            request = build_request(chat, adapter)
            by = self._runs.pane_labels(owner, request.model, request.run_id, request.checkpoint)
            sides = SIDES if adapter else SIDES[:1]
            saved_at = time.monotonic()
            with contextlib.closing(self._writer.reply(owner, request, stop=live.stop)) as updates:
                for update in updates:
                    for side, label in zip(sides, by, strict=False):
                        answer = live.turn.answer(side) or Answer(by=label)
                        live.turn = live.turn.with_answer(side, answer.updated(getattr(update, side)))
                    if time.monotonic() - saved_at > SAVE_SECONDS:
                        self._keep(owner, live.turn)
                        saved_at = time.monotonic()
                    yield update
        except LabError:
            self._take_back(owner, live.turn)
            raise
        finally:
            live.turn = _with_marks_of(live.turn, chat.replaced)
            self._end(owner, live)

    def stop(self, owner: str) -> Chat:
        """Ends the answer after its present step; what is written stays."""
        with self._lock:
            live = self._live.get(owner)
            if live:
                live.stop.set()
                live.turn = _stopped(live.turn)
                self._end(owner, live)
            return self.load(owner)

    def clear(self, owner: str) -> Chat:
        """Empties the chat. Its judgements and settings stay; if it had no adapter yet, the next one may have one."""
        with self._lock:
            self.stop(owner)
            chat = self._stored(owner)
            adapter = chat.settings.adapter if chat.settings.adapter != NONE_YET else ANY_ADAPTER
            settings = replace(chat.settings, adapter=adapter)
            return self._save(owner, replace(chat, turns=(), replaced=None, settings=settings))

    def mark(self, owner: str, turn_id: str, side: str, verdict: Verdict) -> Chat:
        """Judges one answer and stores it at once; see `Thumbs`."""
        with self._lock:
            judged = self._find(owner, turn_id, side)
            return self._put(owner, judged, self._thumbs.press(owner, *judged.arguments, verdict))

    def edit(self, owner: str, turn_id: str, side: str, text: str) -> Chat:
        """Stores the person's version as preferred, the model's as dispreferred; the chat goes on from the former."""
        with self._lock:
            judged = self._find(owner, turn_id, side)
            return self._put(owner, judged, self._thumbs.rewrite(owner, *judged.arguments, text))

    def _put(self, owner: str, judged: _Judged, answers: Sequence[Answer]) -> Chat:
        turn = judged.turn
        for side, answer in zip(judged.answers, answers, strict=True):
            turn = turn.with_answer(side, answer)
        return self._save(owner, judged.chat.with_turn(turn))

    def _find(self, owner: str, turn_id: str, side: str) -> _Judged:
        chat = self.reconcile(owner)
        place = chat.index(turn_id)
        turn, live = chat.turns[place], self._live.get(owner)
        answer = turn.answer(side) if side in SIDES else None
        if answer is None or not answer.text.strip() or (live and live.turn.id == turn_id):
            raise LabError("There is no complete answer to judge here. Wait for it, or press Retry.")
        prompt = chat.prompt(place, side)
        beside = {s: a for s in SIDES if (a := turn.answer(s)) is not None and chat.prompt(place, s) == prompt}
        return _Judged(chat, turn, side, prompt, beside)

    def _idle(self, owner: str) -> Chat:
        if owner in self._live:
            raise LabError(STILL_ANSWERING)
        return self._stored(owner)

    def _begin(self, owner: str) -> tuple[Chat, _Live]:
        with self._lock:
            chat = self._idle(owner)
            if not chat.turns:
                raise LabError(NOTHING_TO_RETRY)
            live = _Live(chat.turns[-1], threading.Event())
            self._live[owner] = live
            return chat, live

    def _end(self, owner: str, live: _Live) -> None:
        with self._lock:
            self._keep(owner, live.turn)
            if self._live.get(owner) is live:
                del self._live[owner]

    def _keep(self, owner: str, turn: Turn) -> None:
        """Saves a turn in its place, unless the chat was cleared or the turn taken back meanwhile."""
        with self._lock:
            chat = self._stored(owner)
            if any(turn.id == old.id for old in chat.turns):
                replaced = None if turn.has_text else chat.replaced
                marked = _with_marks_of(turn, chat.turns[chat.index(turn.id)])
                self._save(owner, replace(chat.with_turn(marked), replaced=replaced))

    def _take_back(self, owner: str, turn: Turn) -> None:
        with self._lock:
            chat = self._stored(owner)
            if not turn.has_text and chat.turns and chat.turns[-1].id == turn.id:
                restored = (chat.replaced,) if chat.replaced else ()
                self._save(owner, replace(chat, turns=(*chat.turns[:-1], *restored), replaced=None))

    def _stored(self, owner: str) -> Chat:
        return Chat.from_record(self._records.load(owner, CHAT_ID))

    def _save(self, owner: str, chat: Chat) -> Chat:
        self._records.save(owner, CHAT_ID, chat.to_record())
        return chat


def build_request(chat: Chat, adapter: AdapterChoice | None) -> ChatRequest:
    """Returns what is asked of the models for the last message of a chat."""
    settings, last = chat.settings, len(chat.turns) - 1
    return ChatRequest(
        base_history=chat.prompt(last, "base"),
        aligned_history=chat.prompt(last, "aligned"),
        model=settings.model,
        run_id=adapter.run_id if adapter else None,
        checkpoint=adapter.checkpoint if adapter else "final",
        temperature=settings.temperature,
        top_p=settings.top_p,
        max_new_tokens=settings.max_new_tokens,
        seed=settings.seed,
    )


def _answers(turns: Iterable[Turn]) -> list[Answer]:
    return [answer for turn in turns for side in SIDES if (answer := turn.answer(side)) is not None]


def _reconciled(turn: Turn, stored: Mapping[str, Judgement]) -> Turn:
    for side in SIDES:
        if (answer := turn.answer(side)) is not None:
            turn = turn.with_answer(side, answer.as_stored(stored))
    return turn


def _with_marks_of(turn: Turn, old: Turn | None) -> Turn:
    """Keeps the marks of an answer that is the same text still, or the same answer written further."""
    if old is None or old.system != turn.system:
        return turn
    for side in SIDES:
        answer, before = turn.answer(side), old.answer(side)
        if answer and before and before.mark and (turn.id == old.id or answer.text == before.text):
            turn = turn.with_answer(side, replace(answer, edited=before.edited, mark=before.mark, ids=before.ids))
    return turn


def _stopped(turn: Turn) -> Turn:
    for side in SIDES:
        answer = turn.answer(side)
        if answer and answer.finish is None:
            turn = turn.with_answer(side, replace(answer, finish="stopped"))
    return turn
