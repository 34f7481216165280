"""The Train tab's components, drawn where the call stands. Knows no lab."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bnf_lab.core.config import BASE_REFERENCE, EMBEDDED_MODEL, RunConfig, field_specs
from bnf_lab.ui.fields import draw_field, draw_fields
from bnf_lab.ui.guard import listen
from bnf_lab.ui.long_texts import refuse_long
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.model_gate import ModelGate, draw_gate
from bnf_lab.ui.session import Session, show_tab
from bnf_lab.ui.train import words
from bnf_lab.ui.train.preflight import draw_checking, draw_reading
from bnf_lab.ui.train.push import draw_push
from bnf_lab.ui.train.settings import PRESETS
from bnf_lab.ui.train.visit import Visit

NAME_CHARS = 80
METHOD_FIELDS = tuple(name for name, spec in field_specs().items() if spec.methods)
"""The settings that only some methods read."""
LENGTH_FIELDS = ("n_steps", "passes")
"""The settings of which one follows from the other."""
FOLLOW_SECONDS = 4.0
SHOW_MORE = """() => {
  const names = NAMES, button = document.querySelector('#train-more-methods');
  const isOpen = document.querySelector('#field-method').classList.toggle('lab-all');
  button.textContent = isOpen ? names.fewer : names.more;
  button.setAttribute('aria-expanded', isOpen);
}"""


@dataclass(frozen=True)
class Parts:
    empty: gr.Column
    page: gr.Row
    collections: gr.CheckboxGroup
    name: gr.Textbox
    fields: dict[str, gr.components.Component]
    presets: dict[str, gr.Button]
    take: gr.Dropdown
    push: gr.HTML
    gate: ModelGate
    yaml: gr.Textbox
    defaults: gr.Button
    asked: gr.State
    visit: gr.State
    stamp: gr.Number
    noted: gr.State
    timer: gr.Timer
    panel: gr.HTML
    reading: gr.HTML
    measure: gr.Button
    start: gr.Button

    @property
    def inputs(self) -> tuple[Any, ...]:
        return self.name, self.collections, *self.fields.values()

    @property
    def asking(self) -> tuple[Any, ...]:
        """Which page asks, and when."""
        return self.visit, self.stamp

    @property
    def checked(self) -> tuple[Any, ...]:
        """What a check of the settings draws."""
        return (
            self.panel,
            self.reading,
            self.measure,
            self.start,
            self.yaml,
            self.noted,
            self.timer,
            *(self.fields[name] for name in ("method", *LENGTH_FIELDS, *METHOD_FIELDS)),
        )

    @property
    def drawn(self) -> tuple[Any, ...]:
        shown = (self.panel, self.reading, self.start, self.measure)
        kept = (self.push, *self.gate.outputs, *self.fields.values())
        return self.empty, self.page, self.collections, self.take, self.asked, *shown, *kept


def draw_parts(session: Session) -> Parts:
    with gr.Column(visible=False, elem_id="train-empty") as empty:
        html_area(fill('<div class="lab-empty">{}</div>', words.NOTHING_TO_TRAIN))
        to_preferences = gr.Button(words.TO_PREFERENCES, variant="primary", elem_id="train-to-preferences")
    listen(to_preferences.click, lambda: show_tab("preferences"), [], [session.tabs])
    with gr.Row(visible=False, elem_id="train-page") as page:
        with gr.Column(scale=3, min_width=320, elem_id="train-settings"):
            collections = gr.CheckboxGroup(
                [], label=words.WHICH_JUDGEMENTS, info=words.WHICH_HELP, elem_id="train-collections"
            )
            presets, take = _draw_sets()
            method, push = _draw_method()
            fields = {"method": method, **_draw_settings()}
            with gr.Row(elem_classes="lab-actions"):
                defaults = gr.Button(words.DEFAULTS, size="sm", elem_id="train-defaults")
            with gr.Accordion(words.YAML, open=False, elem_id="train-yaml"):
                yaml = gr.Textbox(label=words.YAML_LABEL, lines=8, interactive=False, buttons=["copy"])
        with gr.Column(scale=2, min_width=300, elem_id="train-side", elem_classes="lab-panel"):
            html_area(fill("<h3>{}</h3>", words.BEFORE_START))
            panel = html_area(draw_checking(), elem_id="train-preflight")
            gate = draw_gate("train")
            name = gr.Textbox(label=words.RUN_NAME, placeholder=words.RUN_NAME_HINT, elem_id="train-name")
            refuse_long(name, words.RUN_NAME, NAME_CHARS)
            with gr.Row(elem_id="train-bar", elem_classes="lab-actions"):
                start = gr.Button(words.START, variant="primary", interactive=False, elem_id="train-start")
                measure = gr.Button(words.MEASURE, visible=False, elem_id="train-measure")
            with gr.Accordion(words.READING, open=False, elem_id="train-reading"):
                reading = html_area(draw_reading(()))
    return Parts(
        empty=empty,
        page=page,
        collections=collections,
        name=name,
        fields=fields,
        presets=presets,
        take=take,
        push=push,
        gate=gate,
        yaml=yaml,
        defaults=defaults,
        asked=gr.State(0.0),
        visit=gr.State(Visit()),
        stamp=gr.Number(visible=False),
        noted=gr.State(""),
        timer=gr.Timer(FOLLOW_SECONDS, active=False),
        panel=panel,
        reading=reading,
        measure=measure,
        start=start,
    )


def _draw_sets() -> tuple[dict[str, gr.Button], gr.Dropdown]:
    """Draws what puts all settings at once."""
    html_area(fill('<p class="lab-small">{}</p>', words.PRESETS_HELP))
    with gr.Row(elem_id="train-sets", equal_height=True):
        presets = {
            name: gr.Button(preset.label, size="sm", scale=0, min_width=90, elem_id=f"train-preset-{name}")
            for name, preset in PRESETS.items()
        }
    take = gr.Dropdown([], label=words.TAKE, info=words.TAKE_HELP, visible=False, elem_id="train-take")
    return presets, take


def _draw_method() -> tuple[gr.components.Component, gr.HTML]:
    """Draws the choice of the method, the first ones at once, and beside it what the chosen one does."""
    with gr.Row(elem_id="train-method"):
        with gr.Column(scale=3, min_width=260):
            method = draw_field("method")
            more = gr.Button(words.MORE_METHODS, size="sm", elem_id="train-more-methods")
        push = html_area(draw_push(RunConfig()), elem_id="train-push", min_height=0)
    names = {"more": words.MORE_METHODS, "fewer": words.FEWER_METHODS}
    more.click(fn=None, js=SHOW_MORE.replace("NAMES", json.dumps(names)), api_visibility="private")
    return method, push


def _draw_settings() -> dict[str, Any]:
    """Draws every setting by its group and returns its field."""
    fields = draw_fields(
        "essential",
        drawn=["method"],
        choices={"model": [(words.EMBEDDED_LABEL, EMBEDDED_MODEL)]},
        helps={"passes": words.PASSES_HELP},
    )
    with gr.Accordion(words.ADVANCED, open=False, elem_id="train-advanced"):
        fields |= draw_fields("advanced")
    with gr.Accordion(words.EXPERIMENT, open=False, elem_id="train-experiment"):
        html_area(fill('<p class="lab-small">{}</p>', words.EXPERIMENT_HELP))
        fields |= draw_fields(
            "experiment",
            choices={"reference": [(words.BASE_LABEL, BASE_REFERENCE)]},
            helps={"reference": words.REFERENCE_HELP},
        )
    return fields
