"""What can be done with a chat: ask, answer, stop, judge, edit, clear. Knows `Lab` and its store, no component.

The judged text is always what the server wrote, never what a browser sends back. A thumb that changes flips its
judgement; the store stays the only truth about verdicts, so that a change made elsewhere shows here too.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bnf_lab.chat_records import ChatRequest, ChatUpdate
from bnf_lab.errors import LabError
from bnf_lab.lab_records import AdapterChoice
from bnf_lab.preferences import Source, Verdict
from bnf_lab.ui import chat_texts as words
from bnf_lab.ui.chatting import EDITED, SIDES, Answer, Chat, Settings, Turn, choose_adapter

if TYPE_CHECKING:
    from bnf_lab.lab import Lab

CHAT_ID = "current"
COLLECTION = "chat"
SAVE_SECONDS = 1.0


@dataclass
class _Live:
    """The answer that a workspace is being given now."""

    turn: Turn
    stop: threading.Event


class ChatDesk:
    """The chats of all workspaces, one each.

    Args:
        lab: Answers, and holds the store.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
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

    def reconcile(self, owner: str) -> Chat:
        """Returns the chat with its marks as the store's judgements are now, and saves it so."""
        with self._lock:
            chat = self._stored(owner)
            if any(answer.ids for _, answer in _answers(chat)):
                found = self._lab.store.list_judgements(owner, collections=[COLLECTION])
                verdicts = {entry.judgement.id: str(entry.judgement.verdict) for entry in found}
                turns = tuple(_reconciled(turn, verdicts) for turn in chat.turns)
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
        """Adds a message to be answered by `answer`."""
        with self._lock:
            chat = self._idle(owner)
            turn = Turn(message, system=settings.system)
            return self._save(owner, replace(chat, turns=(*chat.turns, turn), settings=settings, replaced=None))

    def ask_again(self, owner: str, settings: Settings) -> Chat:
        """Puts the last message again, with the next seed; its old answers stay until there are new ones."""
        with self._lock:
            chat = self._idle(owner)
            if not chat.turns:
                raise LabError(words.NOTHING_TO_RETRY)
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
            adapter = choose_adapter(chat.settings, self._lab.adapters(owner))
            request = build_request(chat, adapter)
            by = self._lab.pane_labels(owner, request.model, request.run_id, request.checkpoint)
            sides = SIDES if adapter else SIDES[:1]
            saved_at = time.monotonic()
            with contextlib.closing(self._lab.chat(owner, request, stop=live.stop)) as updates:
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
        """Empties the chat. Its judgements and settings stay."""
        with self._lock:
            self.stop(owner)
            return self._save(owner, replace(self._stored(owner), turns=(), replaced=None))

    def mark(self, owner: str, turn_id: str, side: str, verdict: Verdict) -> Chat:
        """Judges one answer and stores it at once; another verdict flips that judgement, the same one takes it back."""
        with self._lock:
            chat, place, answer = self._find(owner, turn_id, side)
            if answer.mark == verdict or answer.mark == EDITED:
                self._lab.store.delete_judgements(owner, answer.ids)
                marked = answer.unmarked
            elif answer.mark:
                self._lab.store.set_verdict(owner, answer.ids[0], verdict)
                marked = replace(answer, mark=str(verdict))
            else:
                # Two answers to the same words are a pair as soon as their verdicts differ.
                pair_id = turn_id if chat.prompt(place, SIDES[0]) == chat.prompt(place, SIDES[1]) else None
                judgement = self._lab.judge(
                    owner, chat.prompt(place, side), answer.text, verdict, source=Source.CHAT, collection=COLLECTION,
                    pair_id=pair_id,
                )
                marked = replace(answer, mark=str(verdict), ids=(judgement.id,))
            return self._put_answer(owner, chat, place, side, marked)

    def edit(self, owner: str, turn_id: str, side: str, text: str) -> Chat:
        """Stores the person's version as preferred, the model's as dispreferred; the chat goes on from the former."""
        with self._lock:
            chat, place, answer = self._find(owner, turn_id, side)
            if text.strip() == answer.text.strip():
                raise LabError(words.EDIT_UNCHANGED)
            if answer.ids:
                self._lab.store.delete_judgements(owner, answer.ids)
            pair = self._lab.judge_edit(
                owner, chat.prompt(place, side), answer.text, text, source=Source.EDIT, collection=COLLECTION
            )
            marked = replace(answer, edited=text, mark=EDITED, ids=tuple(judgement.id for judgement in pair))
            return self._put_answer(owner, chat, place, side, marked)

    def _put_answer(self, owner: str, chat: Chat, place: int, side: str, answer: Answer) -> Chat:
        """Saves a marked answer; the other side takes the mark too where it said the very same to the same words."""
        turn = chat.turns[place].with_answer(side, answer)
        other = SIDES[1 - SIDES.index(side)]
        twin = turn.answer(other)
        if twin is not None and twin.text == answer.text and chat.prompt(place, side) == chat.prompt(place, other):
            turn = turn.with_answer(other, replace(twin, edited=answer.edited, mark=answer.mark, ids=answer.ids))
        return self._save(owner, chat.with_turn(turn))

    def _find(self, owner: str, turn_id: str, side: str) -> tuple[Chat, int, Answer]:
        chat = self.reconcile(owner)
        place = chat.index(turn_id)
        live = self._live.get(owner)
        answer = chat.turns[place].answer(side) if side in SIDES else None
        if answer is None or not answer.text.strip() or (live and live.turn.id == turn_id):
            raise LabError("There is no complete answer to judge here. Wait for it, or press Retry.")
        return chat, place, answer

    def _idle(self, owner: str) -> Chat:
        if owner in self._live:
            raise LabError(words.STILL_ANSWERING)
        return self._stored(owner)

    def _begin(self, owner: str) -> tuple[Chat, _Live]:
        with self._lock:
            chat = self._idle(owner)
            if not chat.turns:
                raise LabError(words.NOTHING_TO_RETRY)
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
        return Chat.from_record(self._lab.store.load_chat(owner, CHAT_ID))

    def _save(self, owner: str, chat: Chat) -> Chat:
        self._lab.store.save_chat(owner, CHAT_ID, chat.to_record())
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


def _answers(chat: Chat) -> Iterator[tuple[Turn, Answer]]:
    for turn in chat.turns:
        for side in SIDES:
            if answer := turn.answer(side):
                yield turn, answer


def _reconciled(turn: Turn, verdicts: dict[str, str]) -> Turn:
    for side in SIDES:
        answer = turn.answer(side)
        if answer is None or not answer.ids:
            continue
        if any(i not in verdicts for i in answer.ids):
            turn = turn.with_answer(side, answer.unmarked)
        elif answer.mark != EDITED:
            turn = turn.with_answer(side, replace(answer, mark=verdicts[answer.ids[0]]))
    return turn


def _with_marks_of(turn: Turn, old: Turn | None) -> Turn:
    """Keeps the marks of an answer that is the same text still, or the same answer written further."""
    for side in SIDES if old is not None and old.system == turn.system else ():
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
