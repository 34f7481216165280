"""The Train tab: which judgements, which settings, what the run will need, and Start. Knows `Lab`, no other tab.

What a person has set is kept in the workspace (a draft in the store), so a refresh loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab.core.config import BASE_REFERENCE, EMBEDDED_MODEL, RunConfig
from bnf_lab.core.errors import ConfigError, LabError
from bnf_lab.core.numbers import counted, is_number
from bnf_lab.lab.judgements import CollectionCount
from bnf_lab.lab.selections import read_since, since_mark
from bnf_lab.lab.train_drafts import TrainDraft, load_draft, save_draft
from bnf_lab.ui.fields import collect_config, describe_method, draw_value, show_for_method
from bnf_lab.ui.guard import Lane, checked_text, listen
from bnf_lab.ui.model_gate import draw_values, wire_gate
from bnf_lab.ui.session import Redraw, Session, show_tab
from bnf_lab.ui.train import words
from bnf_lab.ui.train.parts import LENGTH_FIELDS, METHOD_FIELDS, NAME_CHARS, Parts, draw_parts
from bnf_lab.ui.train.preflight import (
    changed_note,
    draw_checking,
    draw_preflight,
    draw_problems,
    draw_reading,
    draw_unchecked,
    fetch_note,
    labelled,
)
from bnf_lab.ui.train.push import draw_push
from bnf_lab.ui.train.settings import choose_preset, write_yaml
from bnf_lab.ui.train.visit import Find, Visit

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab
    from bnf_lab.runs.estimates import Preflight


@dataclass(frozen=True)
class TrainTab:
    """What the page needs of this tab; `handlers` is what its events call."""

    redraw: Redraw
    handlers: Handlers


STAMP = "(token, visit, stamp, ...rest) => [token, visit, performance.now(), ...rest]"
"""Requests may overtake each other; what was asked last is what the browser's clock says."""


def build(lab: Lab, session: Session) -> TrainTab:
    """Draws the tab where the call stands."""
    parts = draw_parts(session)
    do = Handlers(lab, parts)
    inputs = [session.token, *parts.inputs]
    asking = [session.token, *parts.asking]
    others = [parts.fields[name] for name in parts.fields if name != "n_steps"]
    edits = [component.input for component in (parts.collections, *others)]
    at_once: dict[str, Any] = {"trigger_mode": "multiple", "js": STAMP}  # `Visit` answers the last one alone
    listen(edits, do.edit, [*asking, *parts.inputs], parts.checked, **at_once)
    of_method = [parts.fields[name].input for name in ("method", *METHOD_FIELDS)]
    listen(of_method, do.show_method, [session.token, *parts.fields.values()], [parts.push])
    listen([parts.fields["n_steps"].input], do.edit_steps, [*asking, *parts.inputs], parts.checked, **at_once)
    listen(parts.asked.change, do.draw_kept, asking, parts.checked, **at_once)
    listen(parts.timer.tick, do.follow, [session.token, parts.visit, parts.noted], parts.checked, lane=Lane.TICK)
    listen(parts.defaults.click, do.reset, [session.token], parts.drawn)
    for name, button in parts.presets.items():
        listen(button.click, do.take_preset(name), [session.token], parts.drawn)
    listen([parts.take.input], do.take_run, [session.token, parts.take], parts.drawn)
    listen(
        parts.measure.click,
        do.measure,
        [session.token, parts.visit, *parts.inputs],
        parts.checked,
        lane=Lane.START,
    )
    listen(
        parts.start.click,
        do.start,
        inputs,
        [session.run_id, session.tabs, parts.name],
        lane=Lane.START,
        show_progress="minimal",
        show_progress_on=[parts.start],
    )
    wire_gate(lab, session, parts.gate, do.wants_embedded)
    return TrainTab(redraw=Redraw(do.redraw, parts.drawn), handlers=do)


@dataclass(frozen=True)
class Handlers:
    """What the tab's events do. Each asks for the owner itself and returns (component: value) for what changes."""

    lab: Lab
    parts: Parts

    def redraw(self, token: str, run_id: str) -> dict[Any, Any]:
        """Draws judgements and settings as they were left; the check follows by itself."""
        owner, parts = self.lab.owner_of(token), self.parts
        counts = self.lab.judgements.totals(owner).collections
        if not counts:
            return {parts.empty: gr.Column(visible=True), parts.page: gr.Row(visible=False)}
        draft = load_draft(self.lab.drafts, owner)
        offered = [*self._new_ones(owner, draft.since), *((_label(count), count.name) for count in counts)]
        return {
            parts.empty: gr.Column(visible=False),
            parts.page: gr.Row(visible=True),
            parts.collections: gr.CheckboxGroup(offered, value=self._drafted(owner, draft)),
            parts.take: self._runs_to_take(owner),
            **dict(zip(parts.gate.outputs, draw_values(self.lab, is_wanted=self.wants_embedded(owner)), strict=True)),
            **self._field_updates(owner, draft.config),
            parts.push: str(draw_push(draft.config)),
            **self._show_checking(),
            parts.asked: time.time(),
        }

    def wants_embedded(self, owner: str) -> bool:
        """Returns whether the run that is being set up needs the embedded model."""
        return load_draft(self.lab.drafts, owner).config.model == EMBEDDED_MODEL

    def reset(self, token: str) -> dict[Any, Any]:
        """Puts every setting back to its default."""
        owner = self.lab.owner_of(token)
        save_draft(self.lab.drafts, owner, replace(load_draft(self.lab.drafts, owner), config=RunConfig()))
        return self.redraw(token, "")

    def take_preset(self, name: str) -> Callable[[str], dict[Any, Any]]:
        """Returns what puts the settings of a preset."""

        def take(token: str) -> dict[Any, Any]:
            choose_preset(name, self.lab.drafts, self.lab.owner_of(token))
            return self.redraw(token, "")

        return take

    def take_run(self, token: str, run_id: object) -> dict[Any, Any]:
        """Puts the settings of one of the owner's runs."""
        owner = self.lab.owner_of(token)
        folder = self.lab.runs.folder(owner, checked_text(run_id, words.TAKE, limit=200))
        # an older lab may have trained with what this one refuses
        return self._take(token, RunConfig.from_dict(folder.read_config().to_dict()))

    def _take(self, token: str, config: RunConfig) -> dict[Any, Any]:
        owner = self.lab.owner_of(token)
        save_draft(self.lab.drafts, owner, replace(load_draft(self.lab.drafts, owner), config=config))
        return self.redraw(token, "")

    def edit(
        self, token: str, visit: Visit, stamp: object, name: object, collections: object, *values: Any
    ) -> Iterator[dict[Any, Any]]:
        """Checks what has just been changed."""
        self.lab.owner_of(token)
        yield from self._answer(visit, stamp, partial(self.check, token, name, collections, *values))

    def edit_steps(
        self, token: str, visit: Visit, stamp: object, name: object, collections: object, *values: Any
    ) -> Iterator[dict[Any, Any]]:
        """Checks with the steps that have just been typed: passes that were set before do not count any longer."""
        self.lab.owner_of(token)
        yield {self.parts.fields["passes"]: gr.update(value=None)}
        given = dict(zip(self.parts.fields, values, strict=True)) | {"passes": None}
        yield from self.edit(token, visit, stamp, name, collections, *given.values())

    def draw_kept(self, token: str, visit: Visit, stamp: object) -> Iterator[dict[Any, Any]]:
        """Checks what has just been drawn, which the browser may not hold yet."""
        self.lab.owner_of(token)
        yield from self._answer(visit, stamp, partial(self.check_kept, token))

    def follow(self, token: str, visit: Visit, noted: str) -> Iterator[dict[Any, Any]]:
        """Checks again when a model that is missing has been fetched, or its fetch begins or fails."""
        config = load_draft(self.lab.drafts, self.lab.owner_of(token)).config
        if fetch_note(config.model, self.lab.models.missing(config.model)) == noted:
            yield gr.skip()
        else:
            yield from self._answer(visit, None, partial(self.check_kept, token))

    def _answer(self, visit: Visit, stamp: object, find: Find) -> Iterator[dict[Any, Any]]:
        """Yields "checking", then the answer to what the page asked last; nothing while another event is at it.

        Args:
            visit: The page's questions.
            stamp: When it was asked, as the browser says; None to ask the last question again.
            find: What answers this one.
        """
        is_mine = visit.ask(stamp, find) if is_number(stamp) else visit.ask_again(find)
        if not is_mine:
            yield gr.skip()  # an event that yields nothing would blank every component
            return
        try:
            while (asked := visit.take()) is not None:
                yield self._show_checking()
                drawn = asked()
                if not visit.has_newer():
                    yield drawn
        except Exception:
            visit.leave()
            yield {self.parts.panel: str(draw_unchecked())}
            raise
        except BaseException:  # the page is gone
            visit.leave()
            raise

    def _show_checking(self) -> dict[Any, Any]:
        parts = self.parts
        return {
            parts.panel: str(draw_checking()),
            parts.reading: str(draw_reading(())),
            parts.start: gr.Button(interactive=True),  # which checks by itself
            parts.measure: gr.Button(visible=False),
        }

    def check(self, token: str, name: object, collections: object, *values: Any) -> dict[Any, Any]:
        """Says what the run would be and what is wrong with it; only a run with nothing wrong can be started."""
        owner = self.lab.owner_of(token)
        chosen = self._chosen(owner, collections)
        try:
            config = self._config(chosen, values)
        except ConfigError as error:
            method = dict(zip(self.parts.fields, values, strict=True))["method"]
            return {**self._show_fields(method), **self._refuse(error.problems)}
        left_out = tuple(name for name in self._collections(owner) if name not in chosen)
        save_draft(self.lab.drafts, owner, TrainDraft(config, left_out, read_since(chosen)))
        return self._verdict(owner, config, chosen)

    def check_kept(self, token: str) -> dict[Any, Any]:
        """Checks the settings that are kept."""
        owner = self.lab.owner_of(token)
        draft = load_draft(self.lab.drafts, owner)
        return self._verdict(owner, draft.config, self._drafted(owner, draft))

    def _refuse(self, problems: Sequence[str]) -> dict[Any, Any]:
        parts = self.parts
        return {
            parts.panel: str(draw_problems(problems)),
            parts.reading: str(draw_reading(())),
            parts.start: gr.Button(interactive=False),
            parts.measure: gr.Button(visible=False),
            parts.fields["passes"]: gr.update(placeholder=""),
            **self._follow(""),
        }

    def _verdict(self, owner: str, config: RunConfig, chosen: Sequence[str]) -> dict[Any, Any]:
        parts = self.parts
        if not chosen:
            return self._refuse([words.CHOOSE_COLLECTION])
        found = self.lab.runs.preflight(owner, config, chosen)
        note = fetch_note(config.model, self.lab.models.missing(config.model))
        can_start = not found.problems
        can_measure = can_start and not note and found.seconds is None
        notes = [text for text in (changed_note(config),) if text]
        return {
            **self._show_fields(config.method),
            **self._show_length(config, found),
            parts.panel: str(
                draw_preflight(found, notes, model=_model_name(config.model), missing=note, can_measure=can_measure)
            ),
            parts.reading: str(draw_reading(found.reading)),
            parts.start: gr.Button(interactive=can_start),
            parts.yaml: write_yaml(config),
            parts.measure: gr.Button(words.MEASURE, visible=can_measure, interactive=True),
            **self._follow(note),
        }

    def _runs_to_take(self, owner: str) -> Any:
        runs = [(run.name, run.run_id) for run in self.lab.runs.summaries(owner) if not run.is_damaged]
        return gr.Dropdown(runs, value=None, visible=bool(runs))

    def _follow(self, note: str) -> dict[Any, Any]:
        """While a model is missing, the page looks now and then whether it has come."""
        return {self.parts.noted: note, self.parts.timer: gr.Timer(active=bool(note))}

    def _show_length(self, config: RunConfig, found: Preflight) -> dict[Any, Any]:
        """Shows the steps that the passes set take, or in grey the passes that the steps set come to."""
        steps, passes = (self.parts.fields[name] for name in LENGTH_FIELDS)
        if config.passes:
            taken = {} if found.n_steps is None else {steps: gr.update(value=found.n_steps)}
            return {passes: gr.update(placeholder=""), **taken}
        return {passes: gr.update(placeholder="" if found.passes is None else f"{found.passes:.3g}")}

    def _show_fields(self, method: object) -> dict[Any, Any]:
        """Says what the method does and hides the settings that it does not read."""
        updates = show_for_method(METHOD_FIELDS, str(method))
        shown = {self.parts.fields[name]: update for name, update in zip(METHOD_FIELDS, updates, strict=True)}
        return {self.parts.fields["method"]: describe_method(str(method)), **shown}

    def show_method(self, token: str, *values: Any) -> dict[Any, Any]:
        """Says at once what the method does; settings that will be refused leave its picture as it is."""
        self.lab.owner_of(token)
        try:
            config = collect_config(self.parts.fields, values)
        except ConfigError:
            return {self.parts.push: gr.skip()}
        return {self.parts.push: str(draw_push(config))}

    def measure(
        self, token: str, visit: Visit, name: object, collections: object, *values: Any
    ) -> Iterator[dict[Any, Any]]:
        """Times one step on these judgements, so that the duration is known."""
        owner = self.lab.owner_of(token)
        chosen = self._chosen(owner, collections)
        config = self._config(chosen, values)
        yield {self.parts.measure: gr.Button(words.MEASURING, interactive=False)}
        try:
            self.lab.runs.measure(owner, config, chosen)
        finally:
            yield from self._answer(visit, None, partial(self.check, token, name, chosen, *values))

    def start(self, token: str, name: object, collections: object, *values: Any) -> tuple[str, Any, str]:
        """Queues the run, goes to Watch and leaves no name behind for the next run."""
        owner = self.lab.owner_of(token)
        chosen = self._chosen(owner, collections)
        called = checked_text(name, words.RUN_NAME, limit=NAME_CHARS, required=False).strip()
        run_id = self.lab.runs.start(owner, self._config(chosen, values), chosen, called)
        draft = load_draft(self.lab.drafts, owner)
        if draft.since is not None:  # which were new: the next run takes all again, until somebody chooses
            save_draft(self.lab.drafts, owner, TrainDraft(draft.config))
        return run_id, show_tab("watch"), ""

    def _config(self, chosen: Sequence[str], values: Sequence[Any]) -> RunConfig:
        """Returns the settings, refusing with the names that the page shows."""
        problems = () if chosen else (words.CHOOSE_COLLECTION,)
        try:
            config = collect_config(self.parts.fields, values)
        except ConfigError as error:
            raise ConfigError((*problems, *map(labelled, error.problems))) from error
        if problems:
            raise ConfigError(problems)
        return config

    def _chosen(self, owner: str, collections: object) -> list[str]:
        if not isinstance(collections, list) or not all(isinstance(name, str) for name in collections):
            raise LabError(f"{words.WHICH_JUDGEMENTS}: choose among the collections on the page.")
        since = read_since(collections)
        marks = [] if since is None else [since_mark(since)]
        return [*marks, *(name for name in self._collections(owner) if name in collections)]

    def _drafted(self, owner: str, draft: TrainDraft) -> list[str]:
        """Returns the selection that is kept."""
        marks = [] if draft.since is None else [since_mark(draft.since)]
        return [*marks, *(name for name in self._collections(owner) if name not in draft.left_out)]

    def _new_ones(self, owner: str, kept: str | None) -> list[tuple[str, str]]:
        """Returns (label, value) of the judgements made since a moment: the one that is kept, else the last run's."""
        began = self.lab.runs.last_began(owner)
        since = kept if kept is not None else began
        n = self.lab.judgements.count_since(owner, since)
        if kept is None and not (n and began):
            return []
        since_when = (
            words.SINCE_LAST if since == began and began else words.SINCE_BEGINNING if not since else words.SINCE
        )
        return [(f"{counted(n, 'new judgement')}{since_when.format(moment=since[:16])}", since_mark(since))]

    def _collections(self, owner: str) -> list[str]:
        return [count.name for count in self.lab.judgements.totals(owner).collections]

    def _field_updates(self, owner: str, config: RunConfig) -> dict[Any, Any]:
        updates = {
            component: gr.update(value=draw_value(name, getattr(config, name)))
            for name, component in self.parts.fields.items()
        }
        models = [
            (words.EMBEDDED_LABEL if m.id == EMBEDDED_MODEL else m.label, m.id) for m in self.lab.models.choices()
        ]
        updates[self.parts.fields["model"]] = gr.update(value=config.model, choices=models)
        references = self._references(owner, config.reference)
        updates[self.parts.fields["reference"]] = gr.update(value=config.reference, choices=references)
        return updates

    def _references(self, owner: str, kept: str) -> list[tuple[str, str]]:
        """Returns (label, value) of what may be chosen; `kept` stays among them if it is gone, for the check to say."""
        offered = [(choice.label, choice.value) for choice in self.lab.runs.references(owner)]
        offered = [(words.BASE_LABEL, BASE_REFERENCE), *offered]
        if kept not in (value for _, value in offered):
            offered.append((words.REFERENCE_GONE.format(value=kept), kept))
        return offered


def _model_name(model: str) -> str:
    return words.EMBEDDED_LABEL.partition(" ")[0] if model == EMBEDDED_MODEL else model


def _label(count: CollectionCount) -> str:
    n_single = count.n_preferred + count.n_dispreferred - 2 * count.n_pairs
    parts = [counted(count.n_pairs, "pair")] if count.n_pairs else []
    parts += [counted(n_single, "single answer")] if n_single else []
    return f"{count.name} · {', '.join(parts)}"
