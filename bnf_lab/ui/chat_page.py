"""From a workspace's chat to the values of the Chat tab's components, and back from what a browser sends."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from bnf_lab.config import EMBEDDED_MODEL
from bnf_lab.errors import LabError
from bnf_lab.lab_records import ModelStatus
from bnf_lab.ui import chat_texts as words
from bnf_lab.ui.chat_desk import ChatDesk
from bnf_lab.ui.chat_parts import MAX_SEED, MAX_SYSTEM_CHARS
from bnf_lab.ui.chat_view import draw_heads, draw_turns
from bnf_lab.ui.chatting import NO_ADAPTER, Settings, adapter_key, choose_adapter
from bnf_lab.ui.guard import checked_choice, checked_number, checked_text
from bnf_lab.ui.markup import fill

if TYPE_CHECKING:
    from bnf_lab.lab import Lab


FRAME_SECONDS = 0.12


class ChatPage:
    """Turns the state of a workspace's chat into the values of the components."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.desk = ChatDesk(lab)

    def labels(self, owner: str, settings: Settings) -> tuple[tuple[str, str], bool]:
        """Returns what answers in each pane, and whether anything answers in the aligned one."""
        adapter = choose_adapter(settings, self.lab.adapters(owner))
        run_id, checkpoint = (adapter.run_id, adapter.checkpoint) if adapter else (None, "final")
        return self.lab.pane_labels(owner, settings.model, run_id, checkpoint), adapter is not None

    def drawn(self, owner: str, *, message: Any = None, is_waiting: bool = False, is_watching: bool = False) -> Any:
        """Returns the values of `ChatParts.drawn`.

        Args:
            owner: Whose chat.
            message: New content of the message box; None leaves it.
            is_waiting: An answer was asked for and has not begun.
            is_watching: Look again every second while something moves that this page does not stream itself.
        """
        chat = self.desk.load(owner)
        labels, has_adapter = self.labels(owner, chat.settings)
        is_live = is_waiting or self.desk.is_live(owner)
        model = self.lab.model_status()
        is_missing = chat.settings.model == EMBEDDED_MODEL and model.state != "ready"
        n_new = self.lab.new_judgements(owner)
        is_moving = (is_missing and model.state == "fetching") or self.desk.is_live(owner)
        box = {} if message is None else {"value": message}
        return (
            draw_turns(chat, is_live=is_live, labels=labels, has_adapter=has_adapter),
            draw_heads(labels, chat.settings, has_adapter=has_adapter),
            gr.HTML(str(_model_notice(model)), visible=is_missing),
            gr.Button(visible=is_missing and model.state != "fetching"),
            gr.Textbox(interactive=not is_live, **box),
            gr.Button(visible=not is_live),
            gr.Button(visible=is_live),
            gr.Button(interactive=bool(chat.turns) and not is_live),
            gr.Button(interactive=bool(chat.turns) and not is_live),
            gr.Button(f"Train on {n_new:,} new judgement{'s' if n_new != 1 else ''}", visible=n_new > 0),
            gr.Timer(active=is_moving) if is_watching else gr.skip(),
        )

    def stream(self, owner: str, n_drawn: int) -> Iterator[Any]:
        """Has the last message answered; yields the `n_drawn` values of `ChatParts.drawn` as the words come.

        Raises:
            LabError: If it cannot be answered; the message is then back in its box.
        """
        chat = self.desk.load(owner)
        labels, has_adapter = self.labels(owner, chat.settings)
        drawn_at = 0.0
        try:
            for _ in self.desk.answer(owner):
                if time.monotonic() - drawn_at > FRAME_SECONDS:
                    drawn_at = time.monotonic()
                    turns = draw_turns(
                        self.desk.load(owner), is_live=self.desk.is_live(owner), labels=labels, has_adapter=has_adapter
                    )
                    yield turns, *(gr.skip(),) * (n_drawn - 1)
        except LabError:
            asked = chat.turns[-1].message if chat.turns and chat.replaced is None else None
            yield self.drawn(owner, message=asked)
            raise
        yield self.drawn(owner)

    def offered(self, owner: str, settings: Settings) -> tuple[Any, ...]:
        """Returns the values of `ChatParts.settings`, with the models and adapters there are now."""
        fitting = [adapter for adapter in self.lab.adapters(owner) if adapter.model == settings.model]
        chosen = choose_adapter(settings, fitting)
        choices = [(adapter.label, adapter_key(adapter)) for adapter in fitting]
        return (
            gr.Dropdown([(model.label, model.id) for model in self.lab.models(owner)], value=settings.model),
            gr.Dropdown([*choices, (words.ADAPTER_NONE, NO_ADAPTER)],
                        value=adapter_key(chosen) if chosen else NO_ADAPTER),
            settings.temperature, settings.top_p, settings.max_new_tokens, settings.seed, settings.system,
        )

    def checked(self, owner: str, values: Sequence[Any]) -> Settings:
        """Returns the settings that the browser sent, refusing what cannot be used."""
        model, adapter, temperature, top_p, length, seed, system = values
        old = self.desk.load(owner).settings
        model = checked_choice(model, "Base model", [choice.id for choice in self.lab.models(owner)])
        chosen = choose_adapter(old, self.lab.adapters(owner))
        is_unchanged = adapter == (adapter_key(chosen) if chosen else NO_ADAPTER)
        return Settings(
            model=model,
            adapter=old.adapter if is_unchanged else checked_text(adapter, "Adapter", limit=200),
            temperature=checked_number(temperature, "Temperature", minimum=0, maximum=2),
            top_p=checked_number(top_p, "Top-p", minimum=0.05, maximum=1),
            max_new_tokens=int(checked_number(length, "Longest answer", minimum=16, maximum=1024)),
            seed=int(checked_number(seed, "Seed", minimum=0, maximum=MAX_SEED)),
            system=checked_text(system, "System prompt", limit=MAX_SYSTEM_CHARS, required=False).strip(),
        )


def _model_notice(model: ModelStatus) -> Markup:
    if model.state == "fetching":
        percent = f" {round(100 * model.fraction)} %" if model.fraction is not None else ""
        return fill('<p class="lab-hint">{}{}</p>', words.MODEL_FETCHING, percent)
    if model.state == "failed":
        return fill('<p class="lab-hint">{}</p>', model.detail)
    return fill('<p class="lab-hint">{}</p>', words.MODEL_MISSING)
