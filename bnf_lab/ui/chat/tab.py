"""The Chat tab: base and aligned answers side by side, judged where they stand. Knows `Lab`, no other tab."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab.core.judgements import Verdict
from bnf_lab.lab.conversation import SIDES, adapter_key
from bnf_lab.lab.train_drafts import choose_since
from bnf_lab.ui.chat import words
from bnf_lab.ui.chat.page import ChatPage
from bnf_lab.ui.chat.parts import MAX_ANSWER_CHARS, MAX_MESSAGE_CHARS, MAX_SEED, ChatParts, draw_parts
from bnf_lab.ui.chat.view import TITLES
from bnf_lab.ui.guard import Lane, checked_choice, checked_text, checked_whole, listen
from bnf_lab.ui.latest import Latest
from bnf_lab.ui.markup import fill
from bnf_lab.ui.model_gate import draw_values, wire_gate
from bnf_lab.ui.session import Redraw, Session, show_tab

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab


FOCUS_MESSAGE = "() => { document.querySelector('#chat-message textarea')?.focus({preventScroll: true}); }"


@dataclass(frozen=True)
class ChatTab:
    """What the page needs of this tab."""

    redraw: Redraw


def build(lab: Lab, session: Session) -> ChatTab:
    """Draws the tab where the call stands."""
    page, parts = ChatPage(lab), draw_parts()
    _wire_asking(page, session, parts)
    _wire_asked(page, session, parts)
    _wire_judging(page, session, parts)
    _wire_settings(page, session, parts)
    _wire_list(page, session, parts)

    def redraw(token: str, run_id: str) -> Any:
        owner = lab.owner_of(token)
        chat = lab.chats.reconcile(owner)
        opened = next((a for a in lab.runs.adapters(owner) if a.run_id == run_id != chat.seen_run), None)
        if opened is not None and not chat.turns:
            settings = replace(chat.settings, model=opened.model, adapter=f"{run_id}/")
            chat = lab.chats.keep_settings(owner, settings, seen_run=run_id)
        return (
            *page.offered(owner, chat.settings),
            *page.drawn(owner, is_watching=True),
            *page.other(owner, run_id),
            gr.Timer(active=lab.runs.has_live_run(owner)),
            *draw_values(lab, is_wanted=page.wants_embedded(owner)),
        )

    def train(token: str) -> Any:
        """Chooses the new judgements, exactly these, and goes to Train."""
        owner = lab.owner_of(token)
        names = [count.name for count in lab.judgements.totals(owner).collections]
        choose_since(lab.drafts, owner, lab.runs.last_began(owner), names)
        return show_tab("train")

    listen(parts.train.click, train, [session.token], [session.tabs])
    drawn = (*parts.settings, *parts.drawn, *parts.other, parts.lister, *parts.gate.outputs)
    return ChatTab(redraw=Redraw(redraw, drawn))


def _wire_asking(page: ChatPage, session: Session, parts: ChatParts) -> None:
    lab, chats = page.lab, page.lab.chats

    def send(token: str, message: str, *settings: Any) -> Any:
        owner = lab.owner_of(token)
        asked = checked_text(message, "Message", limit=MAX_MESSAGE_CHARS).strip()
        page.ask(owner, asked, settings)
        return page.chosen(owner), *page.drawn(owner, message="", is_waiting=True)

    def retry(token: str, *settings: Any) -> Any:
        owner = lab.owner_of(token)
        checked = page.checked(owner, settings)
        checked = replace(checked, seed=(checked.seed + 1) % MAX_SEED)
        chats.ask_again(owner, checked)
        return checked.seed, page.chosen(owner), *page.drawn(owner, is_waiting=True)

    def stop(token: str) -> Any:
        owner = lab.owner_of(token)
        chats.stop(owner)
        return page.drawn(owner)

    def clear(token: str) -> Any:
        owner = lab.owner_of(token)
        chats.clear(owner)
        return page.chosen(owner), *page.drawn(owner), *page.other(owner, "")

    for event in (parts.message.submit, parts.send.click):
        asked = listen(event, send, [session.token, parts.message, *parts.settings], [parts.adapter, *parts.drawn])
        _answer_next(asked.success, page, session, parts)
    outputs = [parts.seed, parts.adapter, *parts.drawn]
    again = listen(parts.retry.click, retry, [session.token, *parts.settings], outputs)
    _answer_next(again.success, page, session, parts)
    listen(parts.stop.click, stop, [session.token], parts.drawn)
    listen(parts.clear.click, clear, [session.token], [parts.adapter, *parts.drawn, *parts.other])


def _wire_asked(page: ChatPage, session: Session, parts: ChatParts) -> None:
    """What is asked by a click on an example, and what goes on once the model has come."""
    lab = page.lab

    def ask_example(token: str, event: gr.EventData, *settings: Any) -> Any:
        owner = lab.owner_of(token)
        if event.act != "example":
            return (gr.skip(),) * (2 + len(parts.drawn))
        place = checked_whole(int(event.place), "Example", minimum=0, maximum=len(words.EXAMPLES) - 1)
        page.ask(owner, words.EXAMPLES[place], settings)
        return uuid.uuid4().hex, page.chosen(owner), *page.drawn(owner, is_waiting=True)

    def go_on(token: str) -> Any:
        """Answers what waited for the model."""
        return uuid.uuid4().hex if lab.chats.is_unanswered(lab.owner_of(token)) else gr.skip()

    outputs = [parts.asked, parts.adapter, *parts.drawn]
    listen(parts.turns.turn_action, ask_example, [session.token, *parts.settings], outputs)
    listen(parts.gate.came.change, go_on, [session.token], [parts.asked])
    _answer_next(parts.asked.change, page, session, parts)


def _answer_next(asked: Any, page: ChatPage, session: Session, parts: ChatParts) -> None:
    """An answer waits in the lane of models; that it was asked for shows at once."""
    lab = page.lab

    def answer(token: str) -> Iterator[Any]:
        yield from page.stream(lab.owner_of(token), len(parts.drawn))

    def restore(token: str) -> Any:
        return page.drawn(lab.owner_of(token))

    answered = listen(asked, answer, [session.token], parts.drawn, lane=Lane.CHAT)
    # also after success: gradio (6.31) sends a generator's last values once more when it ends, over a thumb given since
    listen(answered.then, restore, [session.token], parts.drawn)
    answered.success(fn=None, js=FOCUS_MESSAGE, api_visibility="private")


def _wire_judging(page: ChatPage, session: Session, parts: ChatParts) -> None:
    lab, chats = page.lab, page.lab.chats
    closed = (("", ""), gr.Column(visible=False), "", "")
    unchanged = (gr.skip(),) * len(parts.panel)

    def act(token: str, event: gr.EventData) -> Any:
        owner = lab.owner_of(token)
        if event.act == "example":  # `ask_example` asks it
            return (gr.skip(),) * (len(parts.panel) + len(parts.drawn))
        turn_id = checked_text(event.turn, "Answer", limit=64)
        side = checked_choice(event.side, "Side", SIDES)
        if event.act == "edit":
            return *_opened(chats.load(owner), turn_id, side), *page.drawn(owner)
        verdict = checked_choice(event.act, "Verdict", tuple(Verdict))
        chats.mark(owner, turn_id, side, Verdict(verdict))
        return *unchanged, *page.drawn(owner)

    def save(token: str, edited: tuple[str, str], text: str) -> Any:
        owner = lab.owner_of(token)
        turn_id, side = edited
        chats.edit(owner, turn_id, side, checked_text(text, "Your version", limit=MAX_ANSWER_CHARS))
        return *closed, *page.drawn(owner)

    def cancel(token: str) -> Any:
        lab.owner_of(token)
        return closed

    def draw_stored(token: str) -> Any:
        return page.drawn(lab.owner_of(token))

    latest = Latest()
    outputs = [*parts.panel, *parts.drawn]
    latest.listen(parts.turns.turn_action, act, [session.token], outputs, trigger_mode="multiple")
    latest.listen(parts.save.click, save, [session.token, parts.edited, parts.edit_text], outputs)
    latest.draw(draw_stored, [session.token], parts.drawn)
    listen(parts.cancel.click, cancel, [session.token], parts.panel)


def _opened(chat: Any, turn_id: str, side: str) -> Any:
    turn = chat.turns[chat.index(turn_id)]
    answer = turn.answer(side)
    head = fill('<div class="lab-quoted"><span>{} answer to</span>{}</div>', TITLES[side], turn.message[:500])
    return (turn_id, side), gr.Column(visible=True), head, answer.content if answer else ""


def _wire_settings(page: ChatPage, session: Session, parts: ChatParts) -> None:
    lab, chats = page.lab, page.lab.chats

    def change(token: str, run_id: str, *values: Any) -> Any:
        owner = lab.owner_of(token)
        old, settings = chats.load(owner).settings, page.checked(owner, values)
        is_other = (settings.model, settings.adapter) != (old.model, old.adapter)
        chats.keep_settings(owner, settings, seen_run=run_id if is_other else None)
        return (
            page.chosen(owner) if settings.model != old.model else gr.skip(),
            *page.drawn(owner),
            *page.other(owner, run_id),
            *draw_values(lab, is_wanted=page.wants_embedded(owner)),
        )

    def tick(token: str) -> Any:
        return page.drawn(lab.owner_of(token), is_watching=True)

    listen(
        [component.input for component in parts.settings],
        change,
        [session.token, session.run_id, *parts.settings],
        [parts.adapter, *parts.drawn, *parts.other, *parts.gate.outputs],
    )
    listen(parts.timer.tick, tick, [session.token], parts.drawn, lane=Lane.TICK)
    wire_gate(lab, session, parts.gate, page.wants_embedded)


def _wire_list(page: ChatPage, session: Session, parts: ChatParts) -> None:
    """New checkpoints join the list while a run goes on; who answers changes only where somebody asks for it."""
    lab, chats = page.lab, page.lab.chats

    def list_adapters(token: str, run_id: str, listed: str) -> Any:
        owner = lab.owner_of(token)
        choices = page.adapter_choices(owner, chats.load(owner).settings)
        other, is_live = page.other_adapter(owner, run_id), lab.runs.has_live_run(owner)
        found = repr((choices, other))
        if found == listed:
            return (gr.skip(),) * 4 + (gr.Timer(active=is_live),)
        return found, gr.Dropdown(choices), *page.other(owner, run_id), gr.Timer(active=is_live)

    def switch(token: str, run_id: str) -> Any:
        owner = lab.owner_of(token)
        found = page.other_adapter(owner, run_id)
        if found is not None:
            settings = replace(chats.load(owner).settings, model=found.model, adapter=adapter_key(found), weights="")
            chats.keep_settings(owner, settings, seen_run=run_id)
        settings = chats.load(owner).settings
        return *page.offered(owner, settings)[:2], *page.drawn(owner), *page.other(owner, run_id)

    outputs = [parts.listed, parts.adapter, *parts.other, parts.lister]
    listen(parts.lister.tick, list_adapters, [session.token, session.run_id, parts.listed], outputs, lane=Lane.TICK)
    outputs = [*parts.settings[:2], *parts.drawn, *parts.other]
    listen(parts.switch.click, switch, [session.token, session.run_id], outputs)
