"""From a workspace's chat to the values of the Chat tab's components, and back from what a browser sends."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab.core.config import EMBEDDED_MODEL
from bnf_lab.core.errors import LabError
from bnf_lab.core.numbers import counted
from bnf_lab.lab.conversation import ANY_ADAPTER, NO_ADAPTER, Settings, adapter_key, choose_adapter
from bnf_lab.ui.chat import words
from bnf_lab.ui.chat.parts import MAX_SEED, MAX_SYSTEM_CHARS
from bnf_lab.ui.chat.view import draw_heads, draw_turns
from bnf_lab.ui.guard import checked_choice, checked_number, checked_text, checked_whole
from bnf_lab.ui.markup import fill

if TYPE_CHECKING:
    from bnf_lab.lab.adapter_choices import AdapterChoice
    from bnf_lab.lab.lab import Lab


FRAME_SECONDS = 0.12


class ChatPage:
    """Turns the state of a workspace's chat into the values of the components."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def labels(self, owner: str, settings: Settings) -> tuple[tuple[str, str], bool]:
        """Returns what answers in each pane, and whether anything answers in the aligned one."""
        adapter = choose_adapter(settings, self.lab.runs.adapters(owner))
        run_id, checkpoint = (adapter.run_id, adapter.checkpoint) if adapter else (None, "final")
        return self.lab.runs.pane_labels(owner, settings.model, run_id, checkpoint), adapter is not None

    def drawn(self, owner: str, *, message: Any = None, is_waiting: bool = False, is_watching: bool = False) -> Any:
        """Returns the values of `ChatParts.drawn`.

        Args:
            owner: Whose chat.
            message: New content of the message box; None leaves it.
            is_waiting: An answer was asked for and has not begun.
            is_watching: Look again every second while something moves that this page does not stream itself.
        """
        chat = self.lab.chats.load(owner)
        labels, has_adapter = self.labels(owner, chat.settings)
        is_live = is_waiting or self.lab.chats.is_live(owner)
        n_new = self.lab.runs.count_new_judgements(owner)
        box = {} if message is None else {"value": message}
        return (
            draw_turns(
                chat,
                is_live=is_live,
                labels=labels,
                has_adapter=has_adapter,
                has_model=self.has_model(chat.settings),
            ),
            draw_heads(labels, chat.settings, has_adapter=has_adapter),
            gr.Textbox(interactive=not is_live, **box),
            gr.Button(visible=not is_live),
            gr.Button(visible=is_live),
            gr.Button(interactive=bool(chat.turns) and not is_live),
            gr.Button(interactive=bool(chat.turns) and not is_live),
            gr.Button(f"Train on {counted(n_new, 'new judgement')}", visible=n_new > 0),
            gr.Timer(active=self.lab.chats.is_live(owner)) if is_watching else gr.skip(),
        )

    def has_model(self, settings: Settings) -> bool:
        """Returns whether the base model is here; only the embedded one is offered before it is."""
        return settings.model != EMBEDDED_MODEL or self.lab.models.status().state == "ready"

    def wants_embedded(self, owner: str) -> bool:
        """Returns whether the conversation is with the embedded model."""
        return self.lab.chats.load(owner).settings.model == EMBEDDED_MODEL

    def ask(self, owner: str, message: str, values: Sequence[Any]) -> None:
        """Adds a message to be answered by `stream`, with the settings that the browser sent.

        Raises:
            LabError: If it cannot be asked now.
        """
        settings = self.checked(owner, values)
        if self.lab.chats.is_unanswered(owner) and not self.has_model(settings):
            raise LabError(words.STILL_WAITS)
        self.lab.chats.ask(owner, message, settings)

    def stream(self, owner: str, n_drawn: int) -> Iterator[Any]:
        """Has the last message answered; yields the `n_drawn` values of `ChatParts.drawn` as the words come.

        Where the model has to be fetched first, the message waits in its place. Where none waits nothing happens: a new
        page sends the event of its first value, too.

        Raises:
            LabError: If it cannot be answered; the message is then back in its box.
        """
        chat = self.lab.chats.load(owner)
        if not self.lab.chats.is_unanswered(owner) or not self.has_model(chat.settings):
            yield self.drawn(owner)
            return
        labels, has_adapter = self.labels(owner, chat.settings)
        drawn_at = 0.0
        try:
            for _ in self.lab.chats.answer(owner):
                if time.monotonic() - drawn_at > FRAME_SECONDS:
                    drawn_at = time.monotonic()
                    turns = draw_turns(
                        self.lab.chats.load(owner),
                        is_live=self.lab.chats.is_live(owner),
                        labels=labels,
                        has_adapter=has_adapter,
                    )
                    yield turns, *(gr.skip(),) * (n_drawn - 1)
        except LabError:
            asked = chat.turns[-1].message if chat.turns and chat.replaced is None else None
            yield self.drawn(owner, message=asked)
            raise
        yield self.drawn(owner)

    def offered(self, owner: str, settings: Settings) -> tuple[Any, ...]:
        """Returns the values of `ChatParts.settings`, with the models and adapters there are now."""
        return (
            gr.Dropdown([(model.label, model.id) for model in self.lab.models.choices()], value=settings.model),
            gr.Dropdown(self.adapter_choices(owner, settings), value=self._shown(owner, settings)),
            settings.temperature,
            settings.top_p,
            settings.max_new_tokens,
            settings.seed,
            settings.system,
        )

    def adapter_choices(self, owner: str, settings: Settings) -> list[tuple[str, str]]:
        """Returns (label, value) of the adapters that fit the model; the chosen one stays among them if it is gone."""
        fitting = [adapter for adapter in self.lab.runs.adapters(owner) if adapter.model == settings.model]
        choices = [(adapter.label, adapter_key(adapter)) for adapter in fitting]
        shown = self._shown(owner, settings)
        if shown not in (NO_ADAPTER, *(value for _, value in choices)):
            choices.append((words.ADAPTER_GONE.format(adapter=shown), shown))
        return [*choices, (words.ADAPTER_NONE, NO_ADAPTER)]

    def chosen(self, owner: str) -> Any:
        """Returns the list of adapters with the one that the conversation has."""
        settings = self.lab.chats.load(owner).settings
        return gr.Dropdown(self.adapter_choices(owner, settings), value=self._shown(owner, settings))

    def _shown(self, owner: str, settings: Settings) -> str:
        """Returns the value that the list of adapters shows for these settings."""
        chosen = choose_adapter(settings, self.lab.runs.adapters(owner))
        if chosen is not None:
            return adapter_key(chosen)
        return settings.adapter if settings.is_gone else NO_ADAPTER

    def other_adapter(self, owner: str, run_id: str) -> AdapterChoice | None:
        """Returns what a conversation under way could go on with instead; it never changes to it by itself.

        Args:
            owner: Whose conversation.
            run_id: The run that is opened elsewhere on the page.
        """
        chat, adapters = self.lab.chats.load(owner), self.lab.runs.adapters(owner)
        if not chat.turns or chat.settings.adapter == NO_ADAPTER:
            return None
        chosen = choose_adapter(chat.settings, adapters)
        opened = [a for a in adapters if a.run_id == run_id != chat.seen_run]
        if chosen is not None:
            return next((a for a in opened if a.run_id != chosen.run_id), None)
        fitting = [adapter for adapter in adapters if adapter.model == chat.settings.model]
        return next(iter((*opened, *fitting)), None)

    def other(self, owner: str, run_id: str) -> tuple[Any, ...]:
        """Returns the values of `ChatParts.other`: the offer to go on with another adapter."""
        found = self.other_adapter(owner, run_id)
        if found is None:
            return gr.HTML("", visible=False), gr.Button(visible=False)
        text = fill('<p class="lab-hint">{}</p>', words.OTHER_ADAPTER.format(adapter=found.label))
        return gr.HTML(str(text), visible=True), gr.Button(visible=True)

    def checked(self, owner: str, values: Sequence[Any]) -> Settings:
        """Returns the settings that the browser sent, refusing what cannot be used."""
        model, adapter, temperature, top_p, length, seed, system = values
        old = self.lab.chats.load(owner).settings
        model = checked_choice(model, "Base model", [choice.id for choice in self.lab.models.choices()])
        is_kept = model == old.model and adapter == self._shown(owner, old)
        chosen = old.adapter if is_kept else checked_text(adapter, "Adapter", limit=200)
        if model != old.model and not self._fits(owner, chosen, model):
            chosen = ANY_ADAPTER
        return Settings(
            model=model,
            adapter=chosen,
            weights=old.weights if is_kept else "",
            temperature=checked_number(temperature, "Temperature", minimum=0, maximum=2),
            top_p=checked_number(top_p, "Top-p", minimum=0.05, maximum=1),
            max_new_tokens=checked_whole(length, "Longest answer", minimum=16, maximum=1024),
            seed=checked_whole(seed, "Seed", minimum=0, maximum=MAX_SEED),
            system=checked_text(system, "System prompt", limit=MAX_SYSTEM_CHARS, required=False).strip(),
        )

    def _fits(self, owner: str, key: str, model: str) -> bool:
        return any(adapter_key(a) == key and a.model == model for a in self.lab.runs.adapters(owner))
