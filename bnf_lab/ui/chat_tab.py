"""The Chat tab: base and aligned answers side by side, judged where they stand. Knows `Lab`, no other tab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab.preferences import Verdict
from bnf_lab.ui import chat_texts as words
from bnf_lab.ui.chat_page import ChatPage
from bnf_lab.ui.chat_parts import MAX_ANSWER_CHARS, MAX_MESSAGE_CHARS, MAX_SEED, ChatParts, draw_parts
from bnf_lab.ui.chat_view import TITLES
from bnf_lab.ui.chatting import ANY_ADAPTER, SIDES
from bnf_lab.ui.guard import Lane, checked_choice, checked_number, checked_text, listen
from bnf_lab.ui.markup import fill
from bnf_lab.ui.session import Redraw, Session, show_tab

if TYPE_CHECKING:
    from bnf_lab.lab import Lab

FOCUS_MESSAGE = "() => { document.querySelector('#chat-message textarea')?.focus({preventScroll: true}); }"


@dataclass(frozen=True)
class ChatTab:
    """What the page needs of this tab."""

    redraw: Redraw


def build(lab: Lab, session: Session) -> ChatTab:
    """Draws the tab where the call stands."""
    page, parts = ChatPage(lab), draw_parts()
    _wire_asking(page, session, parts)
    _wire_judging(page, session, parts)
    _wire_settings(page, session, parts)

    def redraw(token: str, run_id: str) -> Any:
        owner = lab.owner_of(token)
        chat = page.desk.reconcile(owner)
        opened = next((a for a in lab.adapters(owner) if a.run_id == run_id != chat.seen_run), None)
        if opened is not None:
            settings = replace(chat.settings, model=opened.model, adapter=f"{run_id}/")
            chat = page.desk.keep_settings(owner, settings, seen_run=run_id)
        return *page.offered(owner, chat.settings), *page.drawn(owner, is_watching=True)

    listen(parts.train.click, lambda token: show_tab("train"), [session.token], [session.tabs])
    return ChatTab(redraw=Redraw(redraw, (*parts.settings, *parts.drawn)))


def _wire_asking(page: ChatPage, session: Session, parts: ChatParts) -> None:
    lab, desk = page.lab, page.desk

    def send(token: str, message: str, *settings: Any) -> Any:
        owner = lab.owner_of(token)
        asked = checked_text(message, "Message", limit=MAX_MESSAGE_CHARS).strip()
        desk.ask(owner, asked, page.checked(owner, settings))
        return page.drawn(owner, message="", is_waiting=True)

    def retry(token: str, *settings: Any) -> Any:
        owner = lab.owner_of(token)
        checked = page.checked(owner, settings)
        checked = replace(checked, seed=(checked.seed + 1) % MAX_SEED)
        desk.ask_again(owner, checked)
        return checked.seed, *page.drawn(owner, is_waiting=True)

    def answer(token: str) -> Iterator[Any]:
        yield from page.stream(lab.owner_of(token), len(parts.drawn))

    def stop(token: str) -> Any:
        owner = lab.owner_of(token)
        desk.stop(owner)
        return page.drawn(owner)

    def clear(token: str) -> Any:
        owner = lab.owner_of(token)
        desk.clear(owner)
        return page.drawn(owner)

    def restore(token: str) -> Any:
        return page.drawn(lab.owner_of(token))

    for event in (parts.message.submit, parts.send.click):
        asked = listen(event, send, [session.token, parts.message, *parts.settings], parts.drawn)
        _answer_next(asked, answer, restore, session, parts)
    again = listen(parts.retry.click, retry, [session.token, *parts.settings], [parts.seed, *parts.drawn])
    _answer_next(again, answer, restore, session, parts)
    listen(parts.stop.click, stop, [session.token], parts.drawn)
    listen(parts.clear.click, clear, [session.token], parts.drawn)


def _answer_next(asked: Any, answer: Any, restore: Any, session: Session, parts: ChatParts) -> None:
    """An answer waits in the lane of models; that it was asked for shows at once."""
    answered = listen(asked.success, answer, [session.token], parts.drawn, lane=Lane.CHAT)
    # also after success: gradio (6.31) sends a generator's last values once more when it ends, over a thumb given since
    listen(answered.then, restore, [session.token], parts.drawn)
    answered.success(fn=None, js=FOCUS_MESSAGE, api_visibility="private")


def _wire_judging(page: ChatPage, session: Session, parts: ChatParts) -> None:
    lab, desk = page.lab, page.desk
    closed = (("", ""), gr.Column(visible=False), "", "")
    unchanged = (gr.skip(),) * len(parts.panel)

    def act(token: str, event: gr.EventData) -> Any:
        owner = lab.owner_of(token)
        if event.act == "example":
            place = int(checked_number(int(event.place), "Example", minimum=0, maximum=len(words.EXAMPLES) - 1))
            return *unchanged, *page.drawn(owner, message=words.EXAMPLES[place])
        turn_id = checked_text(event.turn, "Answer", limit=64)
        side = checked_choice(event.side, "Side", SIDES)
        if event.act == "edit":
            return *_opened(desk.load(owner), turn_id, side), *page.drawn(owner)
        verdict = checked_choice(event.act, "Verdict", tuple(Verdict))
        desk.mark(owner, turn_id, side, Verdict(verdict))
        return *unchanged, *page.drawn(owner)

    def save(token: str, edited: tuple[str, str], text: str) -> Any:
        owner = lab.owner_of(token)
        turn_id, side = edited
        desk.edit(owner, turn_id, side, checked_text(text, "Your version", limit=MAX_ANSWER_CHARS))
        return *closed, *page.drawn(owner)

    def cancel(token: str) -> Any:
        lab.owner_of(token)
        return closed

    listen(parts.turns.turn_action, act, [session.token], [*parts.panel, *parts.drawn])
    listen(parts.save.click, save, [session.token, parts.edited, parts.edit_text], [*parts.panel, *parts.drawn])
    listen(parts.cancel.click, cancel, [session.token], parts.panel)


def _opened(chat: Any, turn_id: str, side: str) -> Any:
    turn = chat.turns[chat.index(turn_id)]
    answer = turn.answer(side)
    head = fill('<div class="lab-quoted"><span>{} answer to</span>{}</div>', TITLES[side], turn.message[:500])
    return (turn_id, side), gr.Column(visible=True), head, answer.content if answer else ""


def _wire_settings(page: ChatPage, session: Session, parts: ChatParts) -> None:
    lab, desk = page.lab, page.desk

    def change(token: str, *values: Any) -> Any:
        owner = lab.owner_of(token)
        settings = page.checked(owner, values)
        if settings.model != desk.load(owner).settings.model:
            settings = replace(settings, adapter=ANY_ADAPTER)
        desk.keep_settings(owner, settings)
        return *page.offered(owner, settings)[:2], *page.drawn(owner)

    def tick(token: str) -> Any:
        return page.drawn(lab.owner_of(token), is_watching=True)

    def fetch(token: str) -> Any:
        owner = lab.owner_of(token)
        lab.start_fetch()
        return page.drawn(owner, is_watching=True)

    for component in parts.settings:
        listen(component.input, change, [session.token, *parts.settings], [*parts.settings[:2], *parts.drawn],
               trigger_mode="always_last")
    listen(parts.timer.tick, tick, [session.token], parts.drawn, lane=Lane.TICK)
    listen(parts.fetch.click, fetch, [session.token], parts.drawn, lane=Lane.START)
