"""The components of the Chat tab, as they stand before anything is known. Knows neither lab nor chat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bnf_lab.core.config import EMBEDDED_MODEL
from bnf_lab.lab.conversation import NO_ADAPTER, Settings
from bnf_lab.ui.chat import words
from bnf_lab.ui.long_texts import refuse_long
from bnf_lab.ui.markup import html_area
from bnf_lab.ui.model_gate import ModelGate, draw_gate

MAX_MESSAGE_CHARS = 8000
MAX_SYSTEM_CHARS = 2000
MAX_ANSWER_CHARS = 20_000
MAX_SEED = 2**31 - 1
LIST_SECONDS = 3.0


@dataclass(frozen=True)
class ChatParts:
    """Everything the tab reads or draws."""

    model: gr.Dropdown
    adapter: gr.Dropdown
    temperature: gr.Slider
    top_p: gr.Slider
    length: gr.Slider
    seed: gr.Number
    system: gr.Textbox
    heads: gr.HTML
    turns: gr.HTML
    other_notice: gr.HTML
    switch: gr.Button
    gate: ModelGate
    edited: gr.State
    edit_panel: gr.Column
    edit_head: gr.HTML
    edit_text: gr.Textbox
    save: gr.Button
    cancel: gr.Button
    message: gr.Textbox
    send: gr.Button
    stop: gr.Button
    retry: gr.Button
    clear: gr.Button
    train: gr.Button
    timer: gr.Timer
    lister: gr.Timer
    listed: gr.State
    asked: gr.State

    @property
    def settings(self) -> tuple[Any, ...]:
        return self.model, self.adapter, self.temperature, self.top_p, self.length, self.seed, self.system

    @property
    def drawn(self) -> tuple[Any, ...]:
        return (
            self.turns,
            self.heads,
            self.message,
            self.send,
            self.stop,
            self.retry,
            self.clear,
            self.train,
            self.timer,
        )

    @property
    def other(self) -> tuple[Any, ...]:
        return self.other_notice, self.switch

    @property
    def panel(self) -> tuple[Any, ...]:
        return self.edited, self.edit_panel, self.edit_head, self.edit_text


def draw_parts() -> ChatParts:
    """Draws the tab's components where the call stands."""
    model, adapter = _draw_models()
    with gr.Row(elem_id="chat-other", elem_classes="lab-gate", equal_height=True):
        other = html_area(visible=False)
        switch = gr.Button(words.SWITCH, size="sm", visible=False, scale=0, min_width=150, elem_id="chat-switch")
    with gr.Column(elem_id="chat-panes"):
        heads = html_area(elem_id="chat-heads")
        turns = html_area(actions="turn_action", elem_id="chat-log")
    with gr.Column(visible=False, elem_id="chat-edit", elem_classes="lab-panel") as edit_panel:
        edit_head = html_area()
        edit_text = gr.Textbox(label="Your version", lines=4, max_lines=14, elem_id="chat-edit-text")
        refuse_long(edit_text, "Your version", MAX_ANSWER_CHARS)
        with gr.Row(elem_classes="lab-actions"):
            save = gr.Button("Save as preferred", variant="primary", size="sm", elem_id="chat-edit-save")
            cancel = gr.Button("Cancel", size="sm", min_width=80)
    gate = draw_gate("chat")
    message, send, stop = _draw_composer()
    with gr.Row(elem_id="chat-actions", elem_classes="lab-actions"):
        retry = gr.Button("Retry", size="sm", interactive=False, min_width=80, elem_id="chat-retry")
        clear = gr.Button("Clear", size="sm", interactive=False, min_width=80, elem_id="chat-clear")
        train = gr.Button(visible=False, size="sm", variant="primary", elem_id="chat-train")
    options = _draw_options()
    return ChatParts(
        model,
        adapter,
        *options,
        heads,
        turns,
        other,
        switch,
        gate,
        gr.State(("", "")),
        edit_panel,
        edit_head,
        edit_text,
        save,
        cancel,
        message,
        send,
        stop,
        retry,
        clear,
        train,
        timer=gr.Timer(1.0, active=False),
        lister=gr.Timer(LIST_SECONDS, active=False),
        listed=gr.State(""),
        asked=gr.State(""),
    )


def _draw_models() -> tuple[gr.Dropdown, gr.Dropdown]:
    with gr.Row(elem_id="chat-who", equal_height=True):
        model = gr.Dropdown(
            [("SmolLM2-135M-Instruct", EMBEDDED_MODEL)],
            value=EMBEDDED_MODEL,
            label="Base model",
            min_width=240,
            elem_id="chat-model",
        )
        adapter = gr.Dropdown(
            [(words.ADAPTER_NONE, NO_ADAPTER)],
            value=NO_ADAPTER,
            label="Aligned by",
            min_width=240,
            elem_id="chat-adapter",
        )
    return model, adapter


def _draw_composer() -> tuple[gr.Textbox, gr.Button, gr.Button]:
    with gr.Row(elem_id="chat-composer", equal_height=True):
        message = gr.Textbox(
            placeholder=words.MESSAGE_HINT,
            label="Message",
            show_label=False,
            container=False,
            lines=1,
            max_lines=8,
            elem_id="chat-message",
            scale=1,
        )
        send = gr.Button("Send", variant="primary", scale=0, min_width=90, elem_id="chat-send")
        stop = gr.Button("Stop", variant="stop", visible=False, scale=0, min_width=90, elem_id="chat-stop")
    refuse_long(message, "Message", MAX_MESSAGE_CHARS)
    return message, send, stop


def _draw_options() -> tuple[Any, ...]:
    standard = Settings()
    with gr.Accordion("How they answer", open=False, elem_id="chat-options"):
        with gr.Row(equal_height=True):
            temperature = gr.Slider(
                0,
                2,
                value=standard.temperature,
                step=0.05,
                label="Temperature",
                min_width=200,
                buttons=[],
                info="0 takes the most likely token; higher varies more.",
            )
            top_p = gr.Slider(
                0.05,
                1,
                value=standard.top_p,
                step=0.05,
                label="Top-p",
                min_width=200,
                buttons=[],
                info="Samples among the fewest tokens that hold this share.",
            )
            length = gr.Slider(
                16,
                1024,
                value=standard.max_new_tokens,
                step=16,
                label="Longest answer",
                min_width=200,
                buttons=[],
                info="In tokens.",
            )
            seed = gr.Number(
                standard.seed,
                label="Seed",
                step=1,
                min_width=140,
                info="Both sides share its random numbers.",
            )
        system = gr.Textbox(
            label="System prompt",
            lines=2,
            max_lines=6,
            placeholder="Empty: none. For example: You answer in one short sentence.",
            elem_id="chat-system",
        )
        refuse_long(system, "System prompt", MAX_SYSTEM_CHARS)
    return temperature, top_p, length, seed, system
