"""The Runs tab: every run with its numbers; open, rename, stop, resume, delete and download. Knows `Lab`, no tab."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab.lab.remarks import MAX_NOTE_CHARS, split_tags
from bnf_lab.runs.records import can_delete, can_resume, can_stop
from bnf_lab.ui.guard import Lane, checked_choice, checked_text, listen, tell
from bnf_lab.ui.long_texts import refuse_long
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.runs import words
from bnf_lab.ui.runs.columns import CHOICES, COLUMNS, MAX_SEARCH_CHARS, ROWS, SHOWN, ListView
from bnf_lab.ui.runs.downloads import chosen_run, draw_adapters, draw_figures
from bnf_lab.ui.runs.view import draw_runs, draw_settings, draw_title
from bnf_lab.ui.session import Again, Redraw, Session, show_tab

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab
    from bnf_lab.lab.run_summaries import RunSummary


MAX_NAME_CHARS, MAX_TAGS_CHARS = 80, 400
VIEW = "runs-view"
"""Under which name a person's way of looking at the list is kept."""
LIVE_SECONDS = 2.0
SIGNATURE = -2
"""Place of `shown` in `_Parts.live`."""


@dataclass(frozen=True)
class RunsTab:
    """What the page needs of this tab."""

    redraw: Redraw


@dataclass(frozen=True)
class _Parts:
    tools: gr.Column
    search: gr.Textbox
    columns: gr.CheckboxGroup
    rows: gr.Dropdown
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
    tags: gr.Textbox
    note: gr.Textbox
    save: gr.Button
    settings: gr.HTML
    downloads: gr.Column
    checkpoint: gr.Dropdown
    nothing: gr.HTML
    view: gr.State
    chosen: gr.State
    shown: gr.State
    picked: gr.State
    timer: gr.Timer

    @property
    def live(self) -> tuple[Any, ...]:
        """What changes by itself while a run is under way."""
        return (
            self.table,
            self.title,
            self.chat,
            self.stop,
            self.resume,
            self.delete,
            self.downloads,
            self.checkpoint,
            self.nothing,
            self.shown,
            self.timer,
        )

    @property
    def drawn(self) -> tuple[Any, ...]:
        asked = (self.settings, self.sure, self.question)
        return *self.live, self.tools, self.panel, *self.typed, *asked, self.chosen

    @property
    def typed(self) -> tuple[Any, ...]:
        """What a person may be writing in."""
        return self.name, self.tags, self.note

    def without_typed(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns values of `drawn` that leave alone what a person may be writing of the same run."""
        return tuple(gr.skip() if part in self.typed else value for part, value in zip(self.drawn, values, strict=True))

    @property
    def viewed(self) -> tuple[Any, ...]:
        """What says how the person looks at the list."""
        return self.view, self.search, self.columns, self.rows


def build(lab: Lab, session: Session) -> RunsTab:
    """Draws the tab where the call stands."""
    parts = _draw(lab, session)
    _wire_list(lab, session, parts)
    _wire_view(lab, session, parts)
    _wire_panel(lab, session, parts)

    def redraw(token: str, run_id: str) -> Any:
        owner = lab.owner_of(token)
        view = ListView.from_dict(lab.drafts.load(owner, VIEW) or {})
        return *_drawn(lab, owner, run_id, view), view, view.text, list(view.columns), view.rows

    def show_again(token: str, run_id: str, chosen: str, view: ListView) -> Any:
        values = _drawn(lab, lab.owner_of(token), run_id, view)
        return parts.without_typed(values) if values[-1] == chosen else values

    again = Again(show_again, (session.token, session.run_id, parts.chosen, parts.view), parts.drawn)
    return RunsTab(redraw=Redraw(redraw, (*parts.drawn, *parts.viewed), again))


def _draw(lab: Lab, session: Session) -> _Parts:
    chosen, shown = gr.State(""), gr.State("")
    found: dict[str, Any] = {"chosen": chosen, "shown": shown, "picked": gr.State(""), "view": gr.State(ListView())}
    with gr.Column(visible=False, elem_id="runs-tools") as found["tools"]:
        found["search"] = gr.Textbox(label=words.SEARCH, placeholder=words.SEARCH_HELP, elem_id="runs-search")
        refuse_long(found["search"], words.SEARCH, MAX_SEARCH_CHARS)
        with gr.Accordion(words.COLUMNS, open=False, elem_id="runs-choose"), gr.Row():
            found["columns"] = gr.CheckboxGroup(
                CHOICES, value=list(SHOWN), show_label=False, container=False, scale=4, elem_id="runs-columns"
            )
            rows = [(str(n), n) for n in ROWS]
            found["rows"] = gr.Dropdown(rows, value=25, label=words.ROWS, min_width=110, elem_id="runs-rows")
    found["table"] = html_area(actions="run_action", elem_id="runs-table")
    with gr.Column(visible=False, elem_id="runs-panel", elem_classes="lab-panel") as found["panel"]:
        found["title"] = html_area(elem_id="runs-title")
        found |= _draw_actions()
        found |= _draw_words()
        with gr.Accordion(words.SETTINGS, open=False, elem_id="runs-settings"):
            found["settings"] = html_area()
        draw_figures(lab, session, chosen)
        with gr.Column(visible=False, elem_id="runs-downloads") as found["downloads"]:
            found["checkpoint"] = gr.Dropdown([], label="Download", elem_id="runs-checkpoint")
            draw_adapters(lab, session, chosen, found["checkpoint"])
        nothing = fill('<p class="lab-small">{}</p>', words.NO_ADAPTER_TO_EXPORT)
        found["nothing"] = html_area(nothing, visible=False)
    return _Parts(**found, timer=gr.Timer(LIVE_SECONDS, active=False))


def _draw_actions() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with gr.Row(elem_classes="lab-actions"):
        found["open"] = gr.Button("Open in Watch", variant="primary", size="sm", elem_id="runs-open")
        found["chat"] = gr.Button("Chat with it", size="sm", min_width=110, elem_id="runs-chat")
        found["stop"] = gr.Button("Stop", size="sm", min_width=80, elem_id="runs-stop")
        found["resume"] = gr.Button("Resume", size="sm", min_width=80, elem_id="runs-resume")
        found["delete"] = gr.Button("Delete", size="sm", min_width=80, elem_id="runs-delete")
    with gr.Row(visible=False, elem_classes="lab-actions", elem_id="runs-sure") as found["sure"]:
        found["question"] = html_area()
        found["yes"] = gr.Button("Delete it", size="sm", variant="stop", min_width=80, elem_id="runs-delete-yes")
        found["no"] = gr.Button("Keep it", size="sm", min_width=80, elem_id="runs-delete-no")
    return found


def _draw_words() -> dict[str, Any]:
    """Draws what a person says about a run: its name, tags and note."""
    found: dict[str, Any] = {}
    with gr.Row(equal_height=True, elem_id="runs-naming"):
        found["name"] = gr.Textbox(label=words.NAME, min_width=200, elem_id="runs-name")
        found["tags"] = gr.Textbox(
            label=words.TAGS,
            placeholder=words.TAGS_HELP,
            min_width=200,
            elem_id="runs-tags",
        )
    with gr.Row(elem_id="runs-noting"):
        found["note"] = gr.Textbox(
            label=words.NOTE,
            placeholder=words.NOTE_HELP,
            lines=2,
            max_lines=8,
            min_width=200,
            elem_id="runs-note",
        )
        for box, what, limit in (
            ("name", words.NAME, MAX_NAME_CHARS),
            ("tags", words.TAGS, MAX_TAGS_CHARS),
            ("note", words.NOTE, MAX_NOTE_CHARS),
        ):
            refuse_long(found[box], what, limit)
        found["save"] = gr.Button(words.SAVE, size="md", scale=0, min_width=100, elem_id="runs-save")
    return found


def _wire_list(lab: Lab, session: Session, parts: _Parts) -> None:
    def act(token: str, chosen: str, view: ListView, event: gr.EventData) -> Any:
        owner = lab.owner_of(token)
        if event.act == "sort":
            return (
                gr.skip(),
                gr.skip(),
                *_look(lab, owner, chosen, _sorted_by(view, event.key)),
                *(gr.skip(),) * (len(parts.drawn) - 1),
            )
        run_id = chosen_run(checked_text(event.run, "Run", limit=64))
        lab.runs.folder(owner, run_id)
        if event.act == "open":
            return run_id, show_tab("watch"), gr.skip(), *(gr.skip(),) * len(parts.drawn)
        return run_id, gr.skip(), gr.skip(), *_drawn(lab, owner, run_id, view)

    def follow(token: str, run_id: str, chosen: str, view: ListView) -> Any:
        """Chooses the run that was chosen elsewhere on the page, or by going back."""
        values = _drawn(lab, lab.owner_of(token), run_id, view)
        return (gr.skip(),) * len(values) if values[-1] == chosen else values

    def pick(run_id: str, which: object) -> str:
        return f"{run_id}/{checked_text(which, 'Download', limit=100)}"

    def tick(token: str, run_id: str, picked: str, shown: str, view: ListView) -> Any:
        owner = lab.owner_of(token)
        values = _live(lab.runs.summaries(owner), lab, owner, run_id, view, which=picked.removeprefix(f"{run_id}/"))
        return (gr.skip(),) * len(values) if values[SIGNATURE] == shown else values

    looked_at = [session.token, parts.chosen, parts.view]
    outputs = [session.run_id, session.tabs, parts.view, *parts.drawn]
    listen(parts.table.run_action, act, looked_at, outputs, trigger_mode="multiple")
    opened = [session.token, session.run_id, parts.chosen, parts.view]
    listen(session.run_id.change, follow, opened, parts.drawn)
    asked = [session.token, parts.chosen, parts.picked, parts.shown, parts.view]
    listen(parts.timer.tick, tick, asked, parts.live, lane=Lane.TICK)
    # a tick does not ask the box itself: gradio refuses, with a toast, what was chosen for the run shown before
    listen([parts.checkpoint.input], pick, [parts.chosen, parts.checkpoint], [parts.picked])


def _wire_view(lab: Lab, session: Session, parts: _Parts) -> None:
    def look(token: str, run_id: str, view: ListView, text: object, columns: object, rows: object) -> Any:
        owner = lab.owner_of(token)
        names = [checked_choice(name, words.COLUMNS, list(COLUMNS)) for name in columns or ()]
        checked_choice(str(rows), words.ROWS, [str(n) for n in ROWS])
        searched = checked_text(text, words.SEARCH, limit=MAX_SEARCH_CHARS, required=False)
        changed = replace(view, text=searched, columns=tuple(names), rows=int(rows))
        return _look(lab, owner, run_id, changed)

    fields = [parts.search.change, parts.columns.input, parts.rows.input]
    listen(fields, look, [session.token, parts.chosen, *parts.viewed], [parts.view, parts.table])


def _look(lab: Lab, owner: str, run_id: str, view: ListView) -> tuple[ListView, str]:
    """Keeps how a person looks at the list and draws it so."""
    lab.drafts.save(owner, VIEW, asdict(view))
    return view, str(draw_runs(lab.runs.summaries(owner), run_id, view))


def _sorted_by(view: ListView, key: object) -> ListView:
    """Returns the view sorted by a column, the other way round if it was already."""
    name = checked_choice(key, "Column", list(COLUMNS))
    return replace(view, sort=name, is_falling=not view.is_falling if name == view.sort else COLUMNS[name].is_falling)


def _wire_panel(lab: Lab, session: Session, parts: _Parts) -> None:
    def go(tab: str) -> Callable[[str, str], Any]:
        def leave(token: str, run_id: str) -> Any:
            lab.runs.folder(lab.owner_of(token), chosen_run(run_id))
            return run_id, show_tab(tab)

        return leave

    def change(what: Callable[[str, str], None]) -> Callable[[str, str, ListView], Any]:
        def handler(token: str, run_id: str, view: ListView) -> Any:
            owner = lab.owner_of(token)
            what(owner, chosen_run(run_id))
            return parts.without_typed(_drawn(lab, owner, run_id, view))

        return handler

    def delete(token: str, run_id: str, view: ListView, opened: str) -> Any:
        owner = lab.owner_of(token)
        lab.runs.delete(owner, chosen_run(run_id))
        return "" if opened == run_id else opened, *_drawn(lab, owner, "", view)

    def save(token: str, run_id: str, view: ListView, name: str, tags: str, note: str) -> Any:
        owner = lab.owner_of(token)
        called = checked_text(name, words.NAME, limit=MAX_NAME_CHARS).strip()
        filed = split_tags(checked_text(tags, words.TAGS, limit=MAX_TAGS_CHARS, required=False))
        noted = checked_text(note, words.NOTE, limit=MAX_NOTE_CHARS, required=False).strip()
        lab.runs.remark(owner, chosen_run(run_id), called, noted, filed)
        tell(words.SAVED)
        return _drawn(lab, owner, run_id, view)

    which = [session.token, parts.chosen]
    listen(parts.open.click, go("watch"), which, [session.run_id, session.tabs])
    listen(parts.chat.click, go("chat"), which, [session.run_id, session.tabs])
    viewed = [*which, parts.view]
    listen(parts.stop.click, change(lab.runs.stop), viewed, parts.drawn)
    listen(parts.resume.click, change(lab.runs.resume), viewed, parts.drawn, lane=Lane.START)
    listen(parts.delete.click, lambda: gr.Row(visible=True), [], [parts.sure])
    listen(parts.no.click, lambda: gr.Row(visible=False), [], [parts.sure])
    listen(parts.yes.click, delete, [*viewed, session.run_id], [session.run_id, *parts.drawn])
    for event in (parts.save.click, parts.name.submit, parts.tags.submit):
        listen(event, save, [*viewed, parts.name, parts.tags, parts.note], parts.drawn)


def _drawn(lab: Lab, owner: str, run_id: str, view: ListView) -> tuple[Any, ...]:
    """Returns the values of `_Parts.drawn` with a run chosen: the one asked for, else the newest."""
    runs = lab.runs.summaries(owner)
    run = _find(runs, run_id)
    return (
        *_live(runs, lab, owner, run.run_id if run else "", view, which=None),
        gr.Column(visible=run is not None),
        gr.Column(visible=run is not None),
        run.title if run else "",
        ", ".join(run.tags) if run else "",
        run.note if run else "",
        str(draw_settings(run)),
        gr.Row(visible=False),
        fill("<p>{}</p>", words.DELETE_RUN.format(name=run.title)) if run else "",
        run.run_id if run else "",
    )


def _live(
    runs: list[RunSummary], lab: Lab, owner: str, run_id: str, view: ListView, *, which: str | None
) -> tuple[Any, ...]:
    """Returns the values of `_Parts.live`; one of them is a signature of all, to tell whether anything is new."""
    table = str(draw_runs(runs, run_id, view))
    run = _find(runs, run_id)
    is_moving = any(not r.status.state.is_over for r in runs)
    choices = [(a.label, a.checkpoint) for a in lab.runs.adapters(owner) if run and a.run_id == run.run_id]
    checkpoints = [value for _, value in choices]
    models = {model.id: model.label for model in lab.models.choices()}
    state = run.status.state if run else None
    return (
        table,
        draw_title(run, models.get(run.model, run.model)) if run else "",
        gr.Button(interactive=bool(choices)),
        gr.Button(interactive=state is not None and can_stop(state)),
        gr.Button(interactive=run is not None and can_resume(run.status.state) and run.obstacle is None),
        gr.Button(interactive=state is not None and can_delete(state)),
        gr.Column(visible=bool(choices)),
        gr.Dropdown(choices, value=which if which in checkpoints else next(iter(checkpoints), None)),
        gr.HTML(visible=not choices),
        f"{table}{choices}{is_moving}",
        gr.Timer(active=is_moving),
    )


def _find(runs: list[RunSummary], run_id: str) -> RunSummary | None:
    return next((run for run in runs if run.run_id == run_id), runs[0] if runs else None)
