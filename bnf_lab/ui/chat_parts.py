"""The components of the Chat tab, as they stand before anything is known. Knows neither lab nor chat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bnf_lab.config import EMBEDDED_MODEL
from bnf_lab.ui import chat_texts as words
from bnf_lab.ui import texts
from bnf_lab.ui.chatting import NO_ADAPTER, Settings
from bnf_lab.ui.markup import html_area

MAX_MESSAGE_CHARS = 8000
MAX_SYSTEM_CHARS = 2000
MAX_ANSWER_CHARS = 20_000
MAX_SEED = 2**31 - 1


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
    notice: gr.HTML
    fetch: gr.Button
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

    @property
    def settings(self) -> tuple[Any, ...]:
        return self.model, self.adapter, self.temperature, self.top_p, self.length, self.seed, self.system

    @property
    def drawn(self) -> tuple[Any, ...]:
        return (self.turns, self.heads, self.notice, self.fetch, self.message, self.send, self.stop, self.retry,
                self.clear, self.train, self.timer)

    @property
    def panel(self) -> tuple[Any, ...]:
        return self.edited, self.edit_panel, self.edit_head, self.edit_text


def draw_parts() -> ChatParts:
    """Draws the tab's components where the call stands."""
    with gr.Row(elem_id="chat-who", equal_height=True):
        model = gr.Dropdown([("SmolLM2-135M-Instruct", EMBEDDED_MODEL)], value=EMBEDDED_MODEL, label="Base model",
                            min_width=240, elem_id="chat-model")
        adapter = gr.Dropdown([(words.ADAPTER_NONE, NO_ADAPTER)], value=NO_ADAPTER, label="Aligned by", min_width=240,
                              elem_id="chat-adapter")
    with gr.Column(elem_id="chat-panes"):
        heads = html_area(elem_id="chat-heads")
        turns = html_area(actions="turn_action", elem_id="chat-log")
    with gr.Column(visible=False, elem_id="chat-edit", elem_classes="lab-panel") as edit_panel:
        edit_head = html_area()
        edit_text = gr.Textbox(label="Your version", lines=4, max_lines=14, max_length=MAX_ANSWER_CHARS)
        with gr.Row(elem_classes="lab-actions"):
            save = gr.Button("Save as preferred", variant="primary", size="sm", elem_id="chat-edit-save")
            cancel = gr.Button("Cancel", size="sm", min_width=80)
    with gr.Row(elem_id="chat-missing", equal_height=True):
        notice = html_area(visible=False, elem_id="chat-notice")
        fetch = gr.Button(texts.FETCH, size="sm", visible=False, scale=0, min_width=150, elem_id="chat-fetch")
    with gr.Row(elem_id="chat-composer", equal_height=True):
        message = gr.Textbox(placeholder=words.MESSAGE_HINT, show_label=False, container=False, lines=1, max_lines=8,
                             max_length=MAX_MESSAGE_CHARS, elem_id="chat-message", scale=1)
        send = gr.Button("Send", variant="primary", scale=0, min_width=90, elem_id="chat-send")
        stop = gr.Button("Stop", variant="stop", visible=False, scale=0, min_width=90, elem_id="chat-stop")
    with gr.Row(elem_id="chat-actions", elem_classes="lab-actions"):
        retry = gr.Button("Retry", size="sm", interactive=False, min_width=80, elem_id="chat-retry")
        clear = gr.Button("Clear", size="sm", interactive=False, min_width=80, elem_id="chat-clear")
        train = gr.Button(visible=False, size="sm", variant="primary", elem_id="chat-train")
    options = _draw_options()
    return ChatParts(
        model, adapter, *options, heads, turns, notice, fetch, gr.State(("", "")), edit_panel, edit_head, edit_text,
        save, cancel, message, send, stop, retry, clear, train, gr.Timer(1.0, active=False),
    )


def _draw_options() -> tuple[Any, ...]:
    standard = Settings()
    with gr.Accordion("How they answer", open=False, elem_id="chat-options"):
        with gr.Row(equal_height=True):
            temperature = gr.Slider(0, 2, value=standard.temperature, step=0.05, label="Temperature", min_width=200,
                                    info="0 takes the most likely token; higher varies more.")
            top_p = gr.Slider(0.05, 1, value=standard.top_p, step=0.05, label="Top-p", min_width=200,
                              info="Samples among the fewest tokens that hold this share.")
            length = gr.Slider(16, 1024, value=standard.max_new_tokens, step=16, label="Longest answer", min_width=200,
                               info="In tokens.")
            seed = gr.Number(standard.seed, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=140,
                             info="Both sides share its random numbers.")
        system = gr.Textbox(label="System prompt", lines=2, max_lines=6, max_length=MAX_SYSTEM_CHARS,
                            placeholder="Empty: none. For example: You answer in one short sentence.")
    return temperature, top_p, length, seed, system
