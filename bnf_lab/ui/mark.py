"""Marking: the model answers a prompt several times, the person says which answers are good. Knows `Lab`, no tab.

The desk itself (prompts, answers, verdicts) is in `marking.py`; this room draws it and wires it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.events import Dependency
from markupsafe import Markup

from bnf_lab.preferences import Message, Verdict
from bnf_lab.ui import texts
from bnf_lab.ui.guard import Lane, checked_choice, checked_number, checked_text, listen, tell
from bnf_lab.ui.marking import Candidate, Marking, edit, load_marking, mark, save_marking, with_answers
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.prompt_list import MAX_PROMPT_CHARS, load_prompts
from bnf_lab.ui.session import Redraw, Session

if TYPE_CHECKING:
    from bnf_lab.lab import Lab

MAX_CANDIDATES = 4
SAVE_SECONDS = 1.0


@dataclass(frozen=True)
class MarkSection:
    """What the tab needs: how to draw the desk again, and the events after which judgements changed."""

    redraw: Redraw
    changes: tuple[Dependency, ...]


@dataclass(frozen=True)
class _Card:
    column: gr.Column
    head: gr.HTML
    answer: gr.Textbox
    prefer: gr.Button
    disprefer: gr.Button
    edit: gr.Button
    editing: gr.Row
    save: gr.Button
    cancel: gr.Button

    @property
    def drawn(self) -> tuple[Any, ...]:
        return self.column, self.head, self.answer, self.prefer, self.disprefer, self.edit, self.editing


@dataclass(frozen=True)
class _Desk:
    prompt: gr.Textbox
    place: gr.HTML
    back: gr.Button
    forward: gr.Button
    load: gr.UploadButton
    n: gr.Radio
    temperature: gr.Slider
    model: gr.Dropdown
    length: gr.Slider
    write: gr.Button
    stop: gr.Button
    empty: gr.HTML
    cards: tuple[_Card, ...]

    @property
    def drawn(self) -> tuple[Any, ...]:
        cards = (component for card in self.cards for component in card.drawn)
        return (self.prompt, self.place, self.back, self.write, self.stop, self.empty, *cards)


def build(lab: Lab, session: Session) -> MarkSection:
    """Draws the desk where the call stands."""
    desk = _draw()
    changes = _wire_cards(lab, session, desk)
    _wire_prompts(lab, session, desk)
    _wire_writing(lab, session, desk)

    def redraw(token: str, run_id: str) -> Any:
        owner = lab.owner_of(token)
        choices = [(model.label, model.id) for model in lab.models(owner)]
        return gr.Dropdown(choices), *_drawn(load_marking(lab, owner))

    return MarkSection(redraw=Redraw(redraw, (desk.model, *desk.drawn)), changes=changes)


def _draw() -> _Desk:
    html_area(fill('<p class="lab-intro">{}</p>', texts.MARK_INTRO))
    prompt = gr.Textbox(label="Prompt", placeholder=texts.MARK_PROMPT_HINT, lines=2, max_lines=8,
                        max_length=MAX_PROMPT_CHARS, elem_id="mark-prompt")
    with gr.Row(elem_id="mark-settings", equal_height=True):
        n = gr.Radio([2, 3, 4], value=2, label="Answers", min_width=160, elem_id="mark-n")
        temperature = gr.Slider(0.1, 2.0, value=0.9, step=0.05, label="Temperature", min_width=220,
                                info="Higher: more varied.")
        length = gr.Slider(16, 512, value=160, step=16, label="Longest answer", min_width=220, info="In tokens.",
                           elem_id="mark-length")
        model = gr.Dropdown([("SmolLM2-135M-Instruct", "embedded")], value="embedded", label="Model", min_width=200)
    with gr.Row(elem_id="mark-actions", equal_height=True):
        write = gr.Button("Write answers", variant="primary", elem_id="mark-write", min_width=150, scale=0)
        stop = gr.Button("Stop", visible=False, elem_id="mark-stop", min_width=90, scale=0)
        back = gr.Button("Previous prompt", interactive=False, min_width=140, scale=0)
        forward = gr.Button("Next prompt", elem_id="mark-next", min_width=120, scale=0)
        load = gr.UploadButton("Import prompts", file_types=[".txt", ".jsonl"], min_width=140, scale=0,
                               elem_id="mark-import")
        place = html_area(elem_id="mark-place")
    empty = html_area(fill('<div class="lab-empty">{}</div>', texts.MARK_EMPTY))
    with gr.Row(elem_id="mark-cards", elem_classes="lab-cards"):
        cards = tuple(_draw_card(number) for number in range(1, MAX_CANDIDATES + 1))
    html_area(Markup(f'<p class="lab-small lab-keys">{texts.MARK_KEYS}</p>'))  # noqa: S704 - the page's own words
    return _Desk(prompt, place, back, forward, load, n, temperature, model, length, write, stop, empty, cards)


def _draw_card(number: int) -> _Card:
    with gr.Column(visible=False, min_width=280, elem_classes="lab-card lab-candidate") as column:
        head = html_area()
        answer = gr.Textbox(show_label=False, container=False, interactive=False, lines=4, max_lines=14,
                            placeholder=texts.MARK_WAITING,
                            elem_id=f"mark-answer-{number}", max_length=MAX_PROMPT_CHARS)
        with gr.Row(elem_classes="lab-verdicts"):
            prefer = gr.Button("Preferred", size="sm", min_width=80, elem_id=f"mark-prefer-{number}",
                               elem_classes="lab-prefer")
            disprefer = gr.Button("Dispreferred", size="sm", min_width=100, elem_id=f"mark-disprefer-{number}",
                                  elem_classes="lab-disprefer")
            change = gr.Button("Edit", size="sm", min_width=60, elem_id=f"mark-edit-{number}")
        with gr.Row(visible=False) as editing:
            cancel = gr.Button("Cancel", size="sm", min_width=70)
            save = gr.Button("Save as preferred", size="sm", variant="primary", min_width=130)
    return _Card(column, head, answer, prefer, disprefer, change, editing, save, cancel)


def _wire_cards(lab: Lab, session: Session, desk: _Desk) -> tuple[Dependency, ...]:
    changes = []
    for place, card in enumerate(desk.cards):
        def judge(token: str, verdict: Verdict, place: int = place) -> Any:
            return _drawn(mark(lab, lab.owner_of(token), place, verdict))

        def prefer(token: str, judge: Any = judge) -> Any:
            return judge(token, Verdict.PREFERRED)

        def disprefer(token: str, judge: Any = judge) -> Any:
            return judge(token, Verdict.DISPREFERRED)

        def open_edit() -> Any:
            return gr.Textbox(interactive=True), gr.Row(visible=True)

        def save(token: str, text: str, place: int = place) -> Any:
            owner = lab.owner_of(token)
            return _drawn(edit(lab, owner, place, checked_text(text, "Answer", limit=MAX_PROMPT_CHARS)))

        def cancel(token: str) -> Any:
            return _drawn(load_marking(lab, lab.owner_of(token)))

        changes += [
            listen(card.prefer.click, prefer, [session.token], desk.drawn),
            listen(card.disprefer.click, disprefer, [session.token], desk.drawn),
            listen(card.save.click, save, [session.token, card.answer], desk.drawn),
        ]
        listen(card.edit.click, open_edit, [], [card.answer, card.editing])
        listen(card.cancel.click, cancel, [session.token], desk.drawn)
    return tuple(changes)


def _wire_prompts(lab: Lab, session: Session, desk: _Desk) -> None:
    def move(step: int) -> Any:
        def turn(token: str, prompt: str) -> Any:
            owner = lab.owner_of(token)
            typed = checked_text(prompt, "Prompt", limit=MAX_PROMPT_CHARS, required=False)
            return _drawn(save_marking(lab, owner, load_marking(lab, owner).with_prompt(typed).moved(step)))

        return turn

    def import_list(token: str, path: str | None) -> Any:
        owner = lab.owner_of(token)
        prompts = load_prompts(Path(checked_text(path, "File", limit=4000)), Path(path or "").name)
        tell(f"{len(prompts):,} prompts imported.")
        return _drawn(save_marking(lab, owner, Marking(tuple(prompts))))

    listen(desk.back.click, move(-1), [session.token, desk.prompt], desk.drawn)
    listen(desk.forward.click, move(1), [session.token, desk.prompt], desk.drawn)
    listen(desk.load.upload, import_list, [session.token, desk.load], desk.drawn, lane=Lane.UPLOAD)


def _wire_writing(lab: Lab, session: Session, desk: _Desk) -> None:
    def write(token: str, prompt: str, *settings: Any) -> Iterator[Any]:
        owner = lab.owner_of(token)
        asked = checked_text(prompt, "Prompt", limit=MAX_PROMPT_CHARS)
        options = _writing_options(settings, [model.id for model in lab.models(owner)])
        marking = with_answers(load_marking(lab, owner).with_prompt(asked), [""] * options["n"])
        yield _drawn(marking, is_writing=True)
        saved_at = time.monotonic()
        try:
            for answers in lab.write_candidates(owner, (Message("user", asked),), **options):
                marking = with_answers(marking, answers)
                yield _drawn(marking, is_writing=True)
                if time.monotonic() - saved_at > SAVE_SECONDS:
                    save_marking(lab, owner, marking)
                    saved_at = time.monotonic()
        finally:  # also when stopped: what was written so far can be judged
            save_marking(lab, owner, marking)

    def redraw(token: str) -> Any:
        return _drawn(load_marking(lab, lab.owner_of(token)))

    settings = [desk.n, desk.temperature, desk.length, desk.model]
    writing = listen(desk.write.click, write, [session.token, desk.prompt, *settings], desk.drawn, lane=Lane.CHAT)
    # The buttons wake only now: gradio (6.31) sends a generator's last values once more when it ends, which would paint
    # over a mark made in between.
    listen(writing.then, redraw, [session.token], desk.drawn)
    listen(desk.stop.click, redraw, [session.token], desk.drawn, cancels=[writing])


def _writing_options(settings: tuple[Any, ...], models: list[str]) -> dict[str, Any]:
    n, temperature, length, model = settings
    return {
        "n": int(checked_number(n, "Answers", minimum=2, maximum=MAX_CANDIDATES)),
        "temperature": checked_number(temperature, "Temperature", minimum=0.1, maximum=2.0),
        "max_new_tokens": int(checked_number(length, "Longest answer", minimum=16, maximum=512)),
        "model": checked_choice(model, "Model", models),
    }


def _drawn(marking: Marking, *, is_writing: bool = False) -> tuple[Any, ...]:
    n_prompts = len(marking.prompts)
    place = f"Prompt {marking.index + 1} of {n_prompts}" if n_prompts > 1 else ""
    cards: list[Any] = []
    for number in range(1, MAX_CANDIDATES + 1):
        has_one = number <= len(marking.candidates)
        cards += _card(number, marking.candidates[number - 1] if has_one else None, is_writing)
    return (
        gr.Textbox(marking.prompt, interactive=not is_writing),
        fill('<p class="lab-small">{}</p>', place),
        gr.Button(interactive=marking.index > 0 and not is_writing),
        gr.Button("Write again" if marking.candidates else "Write answers", interactive=not is_writing),
        gr.Button(visible=is_writing),
        gr.HTML(visible=not marking.candidates),
        *cards,
    )


def _card(number: int, candidate: Candidate | None, is_writing: bool) -> tuple[Any, ...]:
    if candidate is None:
        return (gr.Column(visible=False), *(gr.skip(),) * 6)
    chip = fill('<b class="lab-chip {}">{}</b>', candidate.mark, texts.MARKS[candidate.mark]) if candidate.mark else ""
    can_mark = not is_writing and bool(candidate.text.strip())
    return (
        gr.Column(visible=True),
        fill('<p class="lab-card-head"><span>Answer {}</span>{}</p>', number, chip),
        gr.Textbox(candidate.text, interactive=False),
        gr.Button(interactive=can_mark, variant="primary" if candidate.mark == Verdict.PREFERRED else "secondary"),
        gr.Button(interactive=can_mark, variant="primary" if candidate.mark == Verdict.DISPREFERRED else "secondary"),
        gr.Button(interactive=can_mark),
        gr.Row(visible=False),
    )
