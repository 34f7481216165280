"""The Runs tab: every run with its numbers; open, rename, stop, resume, delete and download. Knows `Lab`, no tab."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab.errors import NotFound
from bnf_lab.ui import chat_texts as words
from bnf_lab.ui.downloads import build_export
from bnf_lab.ui.guard import Lane, checked_text, listen, tell
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.run_controls import can_delete, can_resume, can_stop
from bnf_lab.ui.runs_view import draw_runs, draw_title, run_name
from bnf_lab.ui.session import Redraw, Session, show_tab

if TYPE_CHECKING:
    from bnf_lab.lab import Lab
    from bnf_lab.lab_records import RunSummary

MAX_NAME_CHARS = 80
LIVE_SECONDS = 2.0
SIGNATURE = -2
"""Place of `shown` in `_Parts.live`."""


@dataclass(frozen=True)
class RunsTab:
    """What the page needs of this tab."""

    redraw: Redraw


@dataclass(frozen=True)
class _Parts:
    table: gr.HTML
    panel: gr.Column
    title: gr.HTML
    open: gr.Button
    chat: gr.Button
    stop: gr.Button
    resume: gr.Button
    delete: gr.Button
    sure: gr.Row
    question: gr.HTML
    yes: gr.Button
    no: gr.Button
    name: gr.Textbox
    rename: gr.Button
    downloads: gr.Column
    checkpoint: gr.Dropdown
    nothing: gr.HTML
    chosen: gr.State
    shown: gr.State
    timer: gr.Timer

    @property
    def live(self) -> tuple[Any, ...]:
        """What changes by itself while a run is under way."""
        return (self.table, self.title, self.chat, self.stop, self.resume, self.delete, self.downloads, self.checkpoint,
                self.nothing, self.shown, self.timer)

    @property
    def drawn(self) -> tuple[Any, ...]:
        return *self.live, self.panel, self.name, self.sure, self.question, self.chosen


def build(lab: Lab, session: Session) -> RunsTab:
    """Draws the tab where the call stands."""
    parts = _draw(lab, session)
    _wire_list(lab, session, parts)
    _wire_panel(lab, session, parts)

    def redraw(token: str, run_id: str) -> Any:
        return _drawn(lab, lab.owner_of(token), run_id)

    return RunsTab(redraw=Redraw(redraw, parts.drawn))


def _draw(lab: Lab, session: Session) -> _Parts:
    chosen, shown = gr.State(""), gr.State("")
    table = html_area(actions="run_action", elem_id="runs-table")
    with gr.Column(visible=False, elem_id="runs-panel", elem_classes="lab-panel") as panel:
        title = html_area(elem_id="runs-title")
        with gr.Row(elem_classes="lab-actions"):
            open_run = gr.Button("Open in Watch", variant="primary", size="sm", elem_id="runs-open")
            chat = gr.Button("Chat with it", size="sm", min_width=110, elem_id="runs-chat")
            stop = gr.Button("Stop", size="sm", min_width=80, elem_id="runs-stop")
            resume = gr.Button("Resume", size="sm", min_width=80, elem_id="runs-resume")
            delete = gr.Button("Delete", size="sm", min_width=80, elem_id="runs-delete")
        with gr.Row(visible=False, elem_classes="lab-actions", elem_id="runs-sure") as sure:
            question = html_area()
            yes = gr.Button("Delete it", size="sm", variant="stop", min_width=80, elem_id="runs-delete-yes")
            no = gr.Button("Keep it", size="sm", min_width=80, elem_id="runs-delete-no")
        with gr.Row(equal_height=True, elem_id="runs-naming"):
            name = gr.Textbox(label="Name", max_length=MAX_NAME_CHARS, min_width=200, elem_id="runs-name")
            rename = gr.Button("Rename", size="md", scale=0, min_width=100, elem_id="runs-rename")
        with gr.Column(visible=False, elem_id="runs-downloads") as downloads:
            checkpoint = gr.Dropdown([], label="Download", elem_id="runs-checkpoint")
            _draw_exports(lab, session, chosen, checkpoint)
        nothing = html_area(fill('<p class="lab-small">{}</p>', words.NO_ADAPTER_TO_EXPORT), visible=False)
    return _Parts(
        table, panel, title, open_run, chat, stop, resume, delete, sure, question, yes, no, name, rename, downloads,
        checkpoint, nothing, chosen, shown, gr.Timer(LIVE_SECONDS, active=False),
    )


def _draw_exports(lab: Lab, session: Session, chosen: gr.State, checkpoint: gr.Dropdown) -> None:
    def adapter(token: str, run_id: str, which: str) -> Path:
        return lab.export_adapter(lab.owner_of(token), _run(run_id), checked_text(which, "Download", limit=100))

    def merged(token: str, run_id: str, which: str) -> Path:
        return lab.export_merged(lab.owner_of(token), _run(run_id), checked_text(which, "Download", limit=100))

    inputs = [session.token, chosen, checkpoint]
    status = html_area(elem_id="runs-working", render=False)
    with gr.Row(elem_classes="lab-actions"):
        for label, make, name, text in (
            ("Adapter (zip)", adapter, "runs-export-adapter", words.PACKING),
            ("Merged model (zip)", merged, "runs-export-merged", words.MERGING),
        ):
            working = (status, fill('<p class="lab-hint">{}</p>', text))
            build_export(label, make, inputs, name=name, working=working, size="sm")
    status.render()
    html_area(fill('<p class="lab-small">{}</p>', words.EXPORT_HELP))


def _wire_list(lab: Lab, session: Session, parts: _Parts) -> None:
    def act(token: str, event: gr.EventData) -> Any:
        owner = lab.owner_of(token)
        run_id = _run(checked_text(event.run, "Run", limit=64))
        lab.run_folder(owner, run_id)
        if event.act == "open":
            return run_id, show_tab("watch"), *(gr.skip(),) * len(parts.drawn)
        return gr.skip(), gr.skip(), *_drawn(lab, owner, run_id)

    def tick(token: str, run_id: str, which: str | None, shown: str) -> Any:
        owner = lab.owner_of(token)
        values = _live(lab.list_runs(owner), lab, owner, run_id, which=which)
        return (gr.skip(),) * len(values) if values[SIGNATURE] == shown else values

    listen(parts.table.run_action, act, [session.token], [session.run_id, session.tabs, *parts.drawn])
    listen(parts.timer.tick, tick, [session.token, parts.chosen, parts.checkpoint, parts.shown], parts.live,
           lane=Lane.TICK)


def _wire_panel(lab: Lab, session: Session, parts: _Parts) -> None:
    def go(tab: str) -> Callable[[str, str], Any]:
        def leave(token: str, run_id: str) -> Any:
            lab.run_folder(lab.owner_of(token), _run(run_id))
            return run_id, show_tab(tab)

        return leave

    def change(what: Callable[[str, str], None]) -> Callable[[str, str], Any]:
        def handler(token: str, run_id: str) -> Any:
            owner = lab.owner_of(token)
            what(owner, _run(run_id))
            return _drawn(lab, owner, run_id)

        return handler

    def delete(token: str, run_id: str, opened: str) -> Any:
        owner = lab.owner_of(token)
        lab.delete_run(owner, _run(run_id))
        return "" if opened == run_id else opened, *_drawn(lab, owner, "")

    def rename(token: str, run_id: str, name: str) -> Any:
        owner = lab.owner_of(token)
        lab.store.rename_run(owner, _run(run_id), checked_text(name, "Name", limit=MAX_NAME_CHARS).strip())
        tell("Renamed.")
        return _drawn(lab, owner, run_id)

    which = [session.token, parts.chosen]
    listen(parts.open.click, go("watch"), which, [session.run_id, session.tabs])
    listen(parts.chat.click, go("chat"), which, [session.run_id, session.tabs])
    listen(parts.stop.click, change(lab.stop_run), which, parts.drawn)
    listen(parts.resume.click, change(lab.resume_run), which, parts.drawn, lane=Lane.START)
    listen(parts.delete.click, lambda: gr.Row(visible=True), [], [parts.sure])
    listen(parts.no.click, lambda: gr.Row(visible=False), [], [parts.sure])
    listen(parts.yes.click, delete, [*which, session.run_id], [session.run_id, *parts.drawn])
    for event in (parts.rename.click, parts.name.submit):
        listen(event, rename, [*which, parts.name], parts.drawn)


def _run(run_id: object) -> str:
    if not isinstance(run_id, str) or not run_id:
        raise NotFound(words.RUN_GONE)
    return run_id


def _drawn(lab: Lab, owner: str, run_id: str) -> tuple[Any, ...]:
    """Returns the values of `_Parts.drawn` with a run chosen: the one asked for, else the newest."""
    runs = lab.list_runs(owner)
    run = _find(runs, run_id)
    return (
        *_live(runs, lab, owner, run.run_id if run else "", which=None),
        gr.Column(visible=run is not None),
        run_name(run) if run else "",
        gr.Row(visible=False),
        fill("<p>{}</p>", words.DELETE_RUN.format(name=run_name(run))) if run else "",
        run.run_id if run else "",
    )


def _live(runs: list[RunSummary], lab: Lab, owner: str, run_id: str, *, which: str | None) -> tuple[Any, ...]:
    """Returns the values of `_Parts.live`; one of them is a signature of all, to tell whether anything is new."""
    table = str(draw_runs(runs, run_id))
    run = _find(runs, run_id)
    is_moving = any(not r.status.state.is_over for r in runs)
    choices = [(a.label, a.checkpoint) for a in lab.adapters(owner) if run and a.run_id == run.run_id]
    checkpoints = [value for _, value in choices]
    models = {model.id: model.label for model in lab.models(owner)}
    state = run.status.state if run else None
    return (
        table,
        draw_title(run, models.get(run.model, run.model)) if run else "",
        gr.Button(interactive=bool(choices)),
        gr.Button(interactive=state is not None and can_stop(state)),
        gr.Button(interactive=state is not None and can_resume(state)),
        gr.Button(interactive=state is not None and can_delete(state)),
        gr.Column(visible=bool(choices)),
        gr.Dropdown(choices, value=which if which in checkpoints else next(iter(checkpoints), None)),
        gr.HTML(visible=not choices),
        f"{table}{choices}{is_moving}",
        gr.Timer(active=is_moving),
    )


def _find(runs: list[RunSummary], run_id: str) -> RunSummary | None:
    return next((run for run in runs if run.run_id == run_id), runs[0] if runs else None)
