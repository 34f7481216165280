"""The Train tab: which judgements, which settings, what the run will need, and Start. Knows `Lab`, no other tab.

What a person has set is kept in the workspace (a draft in the store), so a refresh loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab.config import EMBEDDED_MODEL, RunConfig, field_specs
from bnf_lab.errors import ConfigError, LabError
from bnf_lab.store import CollectionCount
from bnf_lab.ui import train_texts as texts
from bnf_lab.ui.fields import collect_config, describe_method, draw_fields, show_for_method
from bnf_lab.ui.guard import Lane, checked_text, listen
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.preflight import draw_preflight, draw_problems, fetch_note, labelled
from bnf_lab.ui.session import Redraw, Session, show_tab

if TYPE_CHECKING:
    from bnf_lab.lab import Lab

DRAFT = "train"
NAME_CHARS = 80


@dataclass(frozen=True)
class TrainTab:
    """What the page needs of this tab; `handlers` is what its events call."""

    redraw: Redraw
    handlers: Handlers


@dataclass(frozen=True)
class _Parts:
    empty: gr.Column
    page: gr.Row
    collections: gr.CheckboxGroup
    name: gr.Textbox
    fields: dict[str, gr.components.Component]
    defaults: gr.Button
    asked: gr.State
    panel: gr.HTML
    measure: gr.Button
    start: gr.Button

    @property
    def inputs(self) -> tuple[Any, ...]:
        return self.name, self.collections, *self.fields.values()

    @property
    def checked(self) -> tuple[Any, ...]:
        """What a check of the settings draws."""
        return self.panel, self.measure, self.start, *(self.fields[name] for name in ("method", *METHOD_FIELDS))

    @property
    def drawn(self) -> tuple[Any, ...]:
        return self.empty, self.page, self.collections, self.asked, *self.fields.values()


METHOD_FIELDS = tuple(name for name, spec in field_specs().items() if spec.methods)
"""The settings that only some methods read."""


def build(lab: Lab, session: Session) -> TrainTab:
    """Draws the tab where the call stands."""
    parts = _draw(session)
    do = Handlers(lab, parts)
    inputs = [session.token, *parts.inputs]
    edits = [component.input for component in (parts.collections, *parts.fields.values())]
    listen(partial(gr.on, edits), do.check, inputs, parts.checked, trigger_mode="always_last")
    listen(parts.asked.change, do.check_kept, [session.token], parts.checked)
    listen(parts.defaults.click, do.reset, [session.token], parts.drawn)
    listen(parts.measure.click, do.measure, inputs, parts.checked, lane=Lane.START)
    listen(parts.start.click, do.start, inputs, [session.run_id, session.tabs, parts.name], lane=Lane.START,
           show_progress="minimal", show_progress_on=[parts.start])
    return TrainTab(redraw=Redraw(do.redraw, parts.drawn), handlers=do)


def _draw(session: Session) -> _Parts:
    with gr.Column(visible=False, elem_id="train-empty") as empty:
        html_area(fill('<div class="lab-empty">{}</div>', texts.NOTHING_TO_TRAIN))
        to_preferences = gr.Button(texts.TO_PREFERENCES, variant="primary", elem_id="train-to-preferences")
    listen(to_preferences.click, lambda: show_tab("preferences"), [], [session.tabs])
    with gr.Row(visible=False, elem_id="train-page") as page:
        with gr.Column(scale=3, min_width=320, elem_id="train-settings"):
            collections = gr.CheckboxGroup([], label=texts.WHICH_JUDGEMENTS, info=texts.WHICH_HELP,
                                           elem_id="train-collections")
            fields = draw_fields("essential", choices={"model": [(texts.EMBEDDED_LABEL, EMBEDDED_MODEL)]})
            with gr.Accordion(texts.ADVANCED, open=False, elem_id="train-advanced"):
                fields |= draw_fields("advanced")
                with gr.Row(elem_classes="lab-actions"):
                    defaults = gr.Button(texts.DEFAULTS, size="sm", elem_id="train-defaults")
        with gr.Column(scale=2, min_width=300, elem_id="train-side", elem_classes="lab-panel"):
            html_area(fill("<h3>{}</h3>", texts.BEFORE_START))
            panel = html_area(fill('<p class="lab-small">{}</p>', texts.CHECKING), elem_id="train-preflight")
            name = gr.Textbox(label=texts.RUN_NAME, placeholder=texts.RUN_NAME_HINT, max_length=NAME_CHARS,
                              elem_id="train-name")
            with gr.Row(elem_classes="lab-actions"):
                start = gr.Button(texts.START, variant="primary", interactive=False, elem_id="train-start")
                measure = gr.Button(texts.MEASURE, visible=False, elem_id="train-measure")
    return _Parts(
        empty=empty, page=page, collections=collections, name=name, fields=fields, defaults=defaults,
        asked=gr.State(0.0), panel=panel, measure=measure, start=start,
    )


@dataclass(frozen=True)
class Handlers:
    """What the tab's events do. Each asks for the owner itself and returns (component: value) for what changes."""

    lab: Lab
    parts: _Parts

    def redraw(self, token: str, run_id: str) -> dict[Any, Any]:
        """Draws judgements and settings as they were left; the check follows by itself."""
        owner, parts = self.lab.owner_of(token), self.parts
        counts = self.lab.store.count_judgements(owner).collections
        if not counts:
            return {parts.empty: gr.Column(visible=True), parts.page: gr.Row(visible=False)}
        config, left_out = self._load_draft(owner)
        offered = [(_label(count), count.name) for count in counts]
        chosen = [count.name for count in counts if count.name not in left_out]
        return {
            parts.empty: gr.Column(visible=False), parts.page: gr.Row(visible=True),
            parts.collections: gr.CheckboxGroup(offered, value=chosen),
            **self._field_updates(owner, config),
            parts.asked: time.time(),
        }

    def reset(self, token: str) -> dict[Any, Any]:
        """Puts every setting back to its default."""
        owner = self.lab.owner_of(token)
        self._save_draft(owner, RunConfig(), self._load_draft(owner)[1])
        return self.redraw(token, "")

    def check(self, token: str, name: object, collections: object, *values: Any) -> dict[Any, Any]:
        """Says what the run would be and what is wrong with it; only a run with nothing wrong can be started."""
        owner = self.lab.owner_of(token)
        chosen = self._chosen(owner, collections)
        try:
            config = self._config(chosen, values)
        except ConfigError as error:
            return {**self._show_fields(dict(zip(self.parts.fields, values, strict=True))["method"]),
                    self.parts.panel: str(draw_problems(error.problems)),
                    self.parts.start: gr.Button(interactive=False), self.parts.measure: gr.Button(visible=False)}
        self._save_draft(owner, config, [name for name in self._collections(owner) if name not in chosen])
        return self._verdict(owner, config, chosen)

    def check_kept(self, token: str) -> dict[Any, Any]:
        """Checks what has just been drawn, which the browser may not hold yet."""
        owner = self.lab.owner_of(token)
        config, left_out = self._load_draft(owner)
        return self._verdict(owner, config, [name for name in self._collections(owner) if name not in left_out])

    def _verdict(self, owner: str, config: RunConfig, chosen: Sequence[str]) -> dict[Any, Any]:
        parts = self.parts
        if not chosen:
            return {parts.panel: str(draw_problems([texts.CHOOSE_COLLECTION])),
                    parts.start: gr.Button(interactive=False), parts.measure: gr.Button(visible=False)}
        found = self.lab.preflight(owner, config, chosen)
        note = fetch_note(config.model, self.lab.models(owner))
        can_start = not found.problems
        can_measure = can_start and not note and found.seconds is None
        return {
            **self._show_fields(config.method),
            parts.panel: str(draw_preflight(found, [note] if note else [])),
            parts.start: gr.Button(interactive=can_start),
            parts.measure: gr.Button(texts.MEASURE, visible=can_measure, interactive=True),
        }

    def _show_fields(self, method: object) -> dict[Any, Any]:
        """Says what the method does and hides the settings that it does not read."""
        updates = show_for_method(METHOD_FIELDS, str(method))
        shown = {self.parts.fields[name]: update for name, update in zip(METHOD_FIELDS, updates, strict=True)}
        return {self.parts.fields["method"]: describe_method(str(method)), **shown}

    def measure(self, token: str, name: object, collections: object, *values: Any) -> Iterator[dict[Any, Any]]:
        """Times one step on these judgements, so that the duration is known."""
        owner = self.lab.owner_of(token)
        chosen = self._chosen(owner, collections)
        config = self._config(chosen, values)
        yield {self.parts.measure: gr.Button(texts.MEASURING, interactive=False)}
        try:
            self.lab.measure_step(owner, config, chosen)
        finally:
            yield self.check(token, name, chosen, *values)

    def start(self, token: str, name: object, collections: object, *values: Any) -> tuple[str, Any, str]:
        """Queues the run, goes to Watch and leaves no name behind for the next run."""
        owner = self.lab.owner_of(token)
        chosen = self._chosen(owner, collections)
        called = checked_text(name, texts.RUN_NAME, limit=NAME_CHARS, required=False).strip()
        return self.lab.start_run(owner, self._config(chosen, values), chosen, called), show_tab("watch"), ""

    def _config(self, chosen: Sequence[str], values: Sequence[Any]) -> RunConfig:
        """Returns the settings, refusing with the names that the page shows."""
        problems = () if chosen else (texts.CHOOSE_COLLECTION,)
        try:
            config = collect_config(self.parts.fields, values)
        except ConfigError as error:
            raise ConfigError((*problems, *map(labelled, error.problems))) from error
        if problems:
            raise ConfigError(problems)
        return config

    def _chosen(self, owner: str, collections: object) -> list[str]:
        if not isinstance(collections, list) or not all(isinstance(name, str) for name in collections):
            raise LabError(f"{texts.WHICH_JUDGEMENTS}: choose among the collections on the page.")
        return [name for name in self._collections(owner) if name in collections]

    def _collections(self, owner: str) -> list[str]:
        return [count.name for count in self.lab.store.count_judgements(owner).collections]

    def _field_updates(self, owner: str, config: RunConfig) -> dict[Any, Any]:
        updates = {component: gr.update(value=getattr(config, name)) for name, component in self.parts.fields.items()}
        models = [(texts.EMBEDDED_LABEL if m.id == EMBEDDED_MODEL else m.label, m.id) for m in self.lab.models(owner)]
        updates[self.parts.fields["model"]] = gr.update(value=config.model, choices=models)
        return updates

    def _load_draft(self, owner: str) -> tuple[RunConfig, list[str]]:
        draft = self.lab.store.load_draft(owner, DRAFT) or {}
        try:
            config = RunConfig.from_dict(draft.get("config", {}))
        except ConfigError:  # an older version of the lab had other settings
            config = RunConfig()
        return config, draft.get("left_out", [])

    def _save_draft(self, owner: str, config: RunConfig, left_out: Sequence[str]) -> None:
        draft = {"config": config.to_dict(), "left_out": list(left_out)}
        if draft != self.lab.store.load_draft(owner, DRAFT):
            self.lab.store.save_draft(owner, DRAFT, draft)


def _label(count: CollectionCount) -> str:
    n_single = count.n_preferred + count.n_dispreferred - 2 * count.n_pairs
    parts = [f"{count.n_pairs:,} pair{'s' if count.n_pairs != 1 else ''}"] if count.n_pairs else []
    parts += [f"{n_single:,} single answer{'s' if n_single != 1 else ''}"] if n_single else []
    return f"{count.name} · {', '.join(parts)}"
