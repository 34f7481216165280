"""The desk of marking: its components, drawn where the call stands, and what they show of a `Marking`. Knows no lab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from bnf_lab.core.judgements import Verdict
from bnf_lab.lab.marking import Candidate, Marking
from bnf_lab.ui.field_notes import FieldNotes
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.model_gate import ModelGate, draw_gate
from bnf_lab.ui.preferences import words
from bnf_lab.ui.preferences.differences import compare, draw_pieces

MAX_CANDIDATES = 4
SETTINGS = {
    "Answers": "mark-n",
    "Temperature": "mark-temperature",
    "Longest answer": "mark-length",
    "Model": "mark-model",
}
"""The ids of the fields below the prompt, by their labels."""


@dataclass(frozen=True)
class Card:
    column: gr.Column
    head: gr.HTML
    answer: gr.Textbox
    notes: FieldNotes
    written: gr.HTML
    prefer: gr.Button
    disprefer: gr.Button
    edit: gr.Button
    editing: gr.Row
    save: gr.Button
    cancel: gr.Button

    @property
    def drawn(self) -> tuple[Any, ...]:
        buttons = self.prefer, self.disprefer, self.edit
        return self.column, self.head, self.answer, self.written, *buttons, self.editing


@dataclass(frozen=True)
class Desk:
    prompt: gr.Textbox
    notes: FieldNotes
    place: gr.HTML
    back: gr.Button
    forward: gr.Button
    load: gr.UploadButton
    n: gr.Radio
    temperature: gr.Slider
    model: gr.Dropdown
    length: gr.Slider
    gate: ModelGate
    waiting: gr.Checkbox
    write: gr.Button
    stop: gr.Button
    empty: gr.HTML
    cards: tuple[Card, ...]

    @property
    def drawn(self) -> tuple[Any, ...]:
        cards = (component for card in self.cards for component in card.drawn)
        buttons = self.back, self.forward, self.write, self.stop
        return (self.prompt, self.place, *buttons, self.empty, *cards)

    @property
    def asked(self) -> tuple[Any, ...]:
        """What asking for answers draws."""
        return *self.drawn, self.waiting, *self.gate.outputs

    @property
    def offered(self) -> tuple[Any, ...]:
        """What says which models there are."""
        return self.model, *self.gate.outputs

    @property
    def typed(self) -> tuple[Any, ...]:
        """What a person may be writing in."""
        return self.prompt, *(part for card in self.cards for part in (card.answer, card.editing))


def draw_desk() -> Desk:
    html_area(fill('<p class="lab-intro">{}</p>', words.MARK_INTRO))
    prompt = gr.Textbox(
        label="Prompt",
        placeholder=words.MARK_PROMPT_HINT,
        lines=2,
        max_lines=8,
        elem_id="mark-prompt",
    )
    notes = FieldNotes()
    notes.draw("Prompt", "mark-prompt")
    settings = _draw_settings()
    for name, elem_id in SETTINGS.items():
        notes.draw(name, elem_id)
    with gr.Row(elem_id="mark-actions", equal_height=True):
        write = gr.Button("Write answers", variant="primary", elem_id="mark-write", min_width=150, scale=0)
        stop = gr.Button("Stop", visible=False, elem_id="mark-stop", min_width=90, scale=0)
        back = gr.Button("Previous prompt", interactive=False, min_width=140, scale=0)
        forward = gr.Button("Next prompt", elem_id="mark-next", min_width=120, scale=0)
        load = gr.UploadButton(
            "Import prompts", file_types=[".txt", ".jsonl"], min_width=140, scale=0, elem_id="mark-import"
        )
        place = html_area(elem_id="mark-place")
    gate = draw_gate("mark")
    empty = html_area(fill('<div class="lab-empty">{}</div>', words.MARK_EMPTY))
    with gr.Row(elem_id="mark-cards", elem_classes="lab-cards"):
        cards = tuple(_draw_card(number) for number in range(1, MAX_CANDIDATES + 1))
    html_area(Markup(f'<p class="lab-small lab-keys">{words.MARK_KEYS}</p>'))  # noqa: S704 - the page's own words
    return Desk(
        prompt,
        notes,
        place,
        back,
        forward,
        load,
        *settings,
        gate,
        gr.Checkbox(visible=False),  # no state: a script of the browser reads it
        write,
        stop,
        empty,
        cards,
    )


def _draw_settings() -> tuple[gr.Radio, gr.Slider, gr.Dropdown, gr.Slider]:
    with gr.Row(elem_id="mark-settings", equal_height=True):
        n = gr.Radio([2, 3, 4], value=2, label="Answers", min_width=160, elem_id="mark-n")
        temperature = gr.Slider(
            0.1,
            2.0,
            value=0.9,
            step=0.05,
            label="Temperature",
            min_width=220,
            info="Higher: more varied.",
            buttons=[],
            elem_id="mark-temperature",
        )
        length = gr.Slider(
            16,
            512,
            value=160,
            step=16,
            label="Longest answer",
            min_width=220,
            info="In tokens.",
            buttons=[],
            elem_id="mark-length",
        )
        model = gr.Dropdown(
            [("SmolLM2-135M-Instruct", "embedded")], value="embedded", label="Model", elem_id="mark-model"
        )
    return n, temperature, model, length


def _draw_card(number: int) -> Card:
    with gr.Column(visible=False, min_width=280, elem_classes="lab-card lab-candidate") as column:
        head = html_area()
        answer = gr.Textbox(
            label=f"Answer {number}",
            show_label=False,
            container=False,
            interactive=False,
            lines=4,
            max_lines=14,
            placeholder=words.MARK_WAITING,
            elem_id=f"mark-answer-{number}",
        )
        notes = FieldNotes()
        notes.draw("Answer", f"mark-answer-{number}")
        written = html_area(elem_classes="lab-field-note")
        with gr.Row(elem_classes="lab-verdicts"):
            prefer = gr.Button(
                "Preferred", size="sm", min_width=80, elem_id=f"mark-prefer-{number}", elem_classes="lab-prefer"
            )
            disprefer = gr.Button(
                "Dispreferred",
                size="sm",
                min_width=100,
                elem_id=f"mark-disprefer-{number}",
                elem_classes="lab-disprefer",
            )
            change = gr.Button("Edit", size="sm", min_width=60, elem_id=f"mark-edit-{number}")
        with gr.Row(visible=False) as editing:
            cancel = gr.Button("Cancel", size="sm", min_width=70)
            save = gr.Button("Save as preferred", size="sm", variant="primary", min_width=130)
    return Card(column, head, answer, notes, written, prefer, disprefer, change, editing, save, cancel)


def draw_marking(marking: Marking, *, is_writing: bool = False) -> tuple[Any, ...]:
    n_prompts = len(marking.prompts)
    place = f"Prompt {marking.index + 1} of {n_prompts}" if n_prompts > 1 else ""
    ahead = words.MARK_AHEAD if marking.is_ahead else ""
    cards: list[Any] = []
    for number in range(1, MAX_CANDIDATES + 1):
        has_one = number <= len(marking.candidates)
        cards += _card(number, marking.candidates[number - 1] if has_one else None, is_writing)
    return (
        gr.Textbox(marking.prompt, interactive=not is_writing),
        fill('<p class="lab-small">{} {}</p>', place, ahead),
        gr.Button(interactive=marking.index > 0 and not is_writing),
        gr.Button(interactive=not is_writing),
        gr.Button("Write again" if marking.candidates else "Write answers", interactive=not is_writing),
        gr.Button(visible=is_writing),
        gr.HTML(visible=not marking.candidates),
        *cards,
    )


def _card(number: int, candidate: Candidate | None, is_writing: bool) -> tuple[Any, ...]:
    if candidate is None:
        return (gr.Column(visible=False), *(gr.skip(),) * 7)
    can_mark = not is_writing and bool(candidate.text.strip())
    return (
        gr.Column(visible=True),
        fill('<p class="lab-card-head"><span>Answer {}</span>{}</p>', number, _chip(candidate)),
        gr.Textbox(candidate.judged_text, interactive=False),
        _written(candidate),
        gr.Button(interactive=can_mark, variant="primary" if candidate.mark == Verdict.PREFERRED else "secondary"),
        gr.Button(interactive=can_mark, variant="primary" if candidate.mark == Verdict.DISPREFERRED else "secondary"),
        gr.Button(interactive=can_mark),
        gr.Row(visible=False),
    )


def _chip(candidate: Candidate) -> Markup:
    """Returns what is stored of an answer, as the table has it now."""
    if not candidate.mark:
        return Markup("")
    text = words.OWN_VERSION.format(verdict=candidate.verdict) if candidate.edited else candidate.verdict
    return fill('<b class="lab-chip {}">{}</b>', candidate.verdict, text)


def _written(candidate: Candidate) -> Markup:
    """Returns what the model wrote where a version of the person's own takes its place on the card."""
    if not candidate.edited:
        return Markup("")
    text = draw_pieces(compare(candidate.text, candidate.edited)[0])
    return fill('<p class="lab-written">{}<br>{}</p>', words.MODEL_WROTE, text)
