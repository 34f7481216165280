"""The Watch tab: one run, live. Everything it shows is read from the run folder; nothing is kept in the page.

A tick compares the folder's marks with what the page shows and sends only what is new, so figures neither flicker
nor lose their zoom. Knows `Lab`, no other tab.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab import plots
from bnf_lab.errors import NotFound, RunRefused
from bnf_lab.records import RunState, RunStatus
from bnf_lab.runs import RunFolder
from bnf_lab.ui import inspector, run_controls
from bnf_lab.ui import train_texts as texts
from bnf_lab.ui.answers import draw_answers
from bnf_lab.ui.guard import Lane, checked_number, checked_text, listen
from bnf_lab.ui.inspector import Inspector, Look
from bnf_lab.ui.live_plot import live_plot, load_plotly
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.progress import draw_status, draw_summary
from bnf_lab.ui.run_controls import Controls
from bnf_lab.ui.run_figures import STEP_FIGURES, Marks, RunFigures, read_marks
from bnf_lab.ui.session import Redraw, Session, show_tab

if TYPE_CHECKING:
    from bnf_lab.lab import Lab

LIVE_SECONDS = 1.0


@dataclass(frozen=True)
class Shown:
    """What the page shows already: which run, and its folder's marks when it was drawn."""

    run_id: str = ""
    marks: Marks | None = None
    position: int | None = None


@dataclass(frozen=True)
class WatchTab:
    """What the page needs of this tab; `handlers` is what its events call."""

    redraw: Redraw
    handlers: Handlers


@dataclass(frozen=True)
class _Parts:
    asked: gr.State
    shown: gr.State
    timer: gr.Timer
    empty: gr.Column
    page: gr.Column
    controls: Controls
    status: gr.HTML
    summary: gr.HTML
    held_out: gr.HTML
    measured: gr.Column
    figures: dict[str, gr.HTML]
    inspector: Inspector
    answers: gr.HTML

    @property
    def redrawn(self) -> tuple[Any, ...]:
        """What says which run is shown; what is shown of it follows."""
        return self.asked, self.shown, self.timer, self.empty, self.page, *self.controls.listing

    @property
    def drawn(self) -> tuple[Any, ...]:
        look = self.inspector
        return (
            self.shown, self.timer, self.status, self.summary, self.held_out, self.measured, self.answers,
            *self.figures.values(), *self.controls.buttons, look.slider, look.response, *look.moment,
        )


def build(lab: Lab, session: Session) -> WatchTab:
    """Draws the tab where the call stands."""
    parts = _draw(session)
    do = Handlers(lab, parts, RunFigures())
    token, look = session.token, parts.inspector.look
    look_inputs = [token, parts.shown, look]
    everything = tuple(dict.fromkeys((*parts.drawn, *parts.redrawn)))
    ticked = listen(parts.timer.tick, do.tick, look_inputs, everything, lane=Lane.TICK)
    listen(ticked.failure, lambda: gr.Timer(active=False), [], [parts.timer])  # one message, not one a second
    listen(parts.controls.run.input, do.choose, [token, parts.controls.run], [session.run_id])
    listen(session.run_id.change, do.redraw, [token, session.run_id], parts.redrawn)
    listen(parts.asked.change, do.draw, [token, parts.asked, parts.shown, look], parts.drawn)
    moment = (look, *parts.inspector.moment)
    listen(parts.inspector.slider.input, do.look_at_step, [*look_inputs, parts.inspector.slider], moment,
           trigger_mode="always_last")
    listen(parts.inspector.slider.release, do.snap, [*look_inputs, parts.inspector.slider],
           (*moment, parts.inspector.slider))
    listen(parts.inspector.response.input, do.look_at_response, [*look_inputs, parts.inspector.response], moment)
    run_controls.wire(lab, session, parts.controls, parts.shown, do.redraw, parts.redrawn)
    return WatchTab(redraw=Redraw(do.redraw, parts.redrawn), handlers=do)


def _draw(session: Session) -> _Parts:
    with gr.Column(visible=False, elem_id="watch-empty") as empty:
        html_area(fill('<div class="lab-empty">{}</div>', texts.NO_RUN_YET))
        to_train = gr.Button(texts.TO_TRAIN, variant="primary", elem_id="watch-to-train")
    listen(to_train.click, lambda: show_tab("train"), [], [session.tabs])
    load_plotly()
    with gr.Column(visible=False, elem_id="watch-page") as page:
        controls = run_controls.build()
        status = html_area(elem_id="watch-status")
        summary = html_area(elem_id="watch-summary")
        held_out = html_area(visible=False, elem_id="watch-held-out")
        with gr.Column(visible=False, elem_id="watch-measured") as measured:
            figures = _draw_figures()
            html_area(fill("<h2>{}</h2>", texts.TOKENS_TITLE), elem_classes="lab-section")
            look = inspector.build()
            html_area(fill('<h2>{}</h2><p class="lab-intro">{}</p>', texts.ANSWERS_TITLE, texts.ANSWERS_INTRO),
                      elem_classes="lab-section")
            answers = html_area(elem_id="watch-answers")
    return _Parts(
        asked=gr.State(("", 0.0)), shown=gr.State(Shown()), timer=gr.Timer(LIVE_SECONDS, active=False),
        empty=empty, page=page, controls=controls, status=status, summary=summary, held_out=held_out,
        measured=measured, figures=figures, inspector=look, answers=answers,
    )


def _draw_figures() -> dict[str, gr.HTML]:
    figures = {}
    with gr.Row(elem_classes="lab-plots"):
        for name in STEP_FIGURES:
            with gr.Column(min_width=320):
                html_area(fill("<h3>{}</h3>", texts.TITLES[name]))
                figures[name] = live_plot(elem_id=f"plot-{name}")
                html_area(fill('<p class="lab-small">{}</p>', plots.READING[name]))
    return figures


@dataclass(frozen=True)
class Handlers:
    """What the tab's events do. Each asks for the owner itself and returns (component: value) for what is new."""

    lab: Lab
    parts: _Parts
    figures: RunFigures

    def redraw(self, token: str, run_id: str) -> dict[Any, Any]:
        """Asks for the wanted run, or the newest where that one is gone or none was chosen."""
        owner, parts = self.lab.owner_of(token), self.parts
        runs = self.lab.list_runs(owner)
        if not runs:
            return {parts.empty: gr.Column(visible=True), parts.page: gr.Column(visible=False),
                    parts.timer: gr.Timer(active=False), parts.shown: Shown()}
        known = [run.run_id for run in runs]
        wanted = run_id if run_id in known else known[0]
        return {
            parts.empty: gr.Column(visible=False), parts.page: gr.Column(visible=True),
            **parts.controls.listed(runs, wanted), parts.asked: (wanted, time.time()),
        }

    def draw(self, token: str, asked: tuple[str, float], shown: Shown, look: Look) -> Any:
        """Draws what of the asked run is not shown yet."""
        owner = self.lab.owner_of(token)
        if not asked[0]:  # gradio (6.31) also reports a change when a new page meets the first value
            return gr.skip()
        return self._news(owner, self.lab.run_folder(owner, asked[0]), shown, look) or gr.skip()

    def tick(self, token: str, shown: Shown, look: Look) -> Any:
        """Draws what has changed since `shown`; nothing if nothing has."""
        owner = self.lab.owner_of(token)
        if not shown.run_id:
            return {self.parts.timer: gr.Timer(active=False)}
        try:
            folder = self.lab.run_folder(owner, shown.run_id)
        except NotFound:  # deleted in another window
            return self.redraw(token, "")
        return self._news(owner, folder, shown, look) or gr.skip()

    def choose(self, token: str, run_id: object) -> str:
        """Makes another of the person's runs the one that is shown, here and in Chat."""
        owner = self.lab.owner_of(token)
        return self.lab.run_folder(owner, checked_text(run_id, texts.RUN, limit=100)).run_id

    def look_at_step(self, token: str, shown: Shown, look: Look, step: object) -> Any:
        """Moves map and inspector to a recorded step; at the newest they follow the run again."""
        self.lab.owner_of(token)
        wanted = int(checked_number(step, texts.RECORDED_STEP, minimum=0, maximum=10**6))
        return self._look(token, shown, look, step=wanted)

    def look_at_response(self, token: str, shown: Shown, look: Look, index: object) -> Any:
        """Shows the tokens of another probe response."""
        self.lab.owner_of(token)
        wanted = int(checked_number(index, texts.RESPONSE, minimum=0, maximum=10**4))
        return self._look(token, shown, look, response=wanted)

    def snap(self, token: str, shown: Shown, look: Look, step: object) -> dict[Any, Any]:
        """Moves the released slider onto the recorded step that is shown."""
        drawn = self.look_at_step(token, shown, look, step)
        folder = self.lab.run_folder(self.lab.owner_of(token), shown.run_id)
        record = self.figures.tokens(folder, read_marks(folder).tokens)
        return {**drawn, self.parts.inspector.slider: record.reached(int(step))}  # type: ignore[call-overload]

    def _look(self, token: str, shown: Shown, look: Look, **change: int) -> dict[Any, Any]:
        folder = self.lab.run_folder(self.lab.owner_of(token), shown.run_id)
        mark = read_marks(folder).tokens
        steps = self.figures.tokens(folder, mark).steps
        here = replace(look if look.run_id == shown.run_id else Look(shown.run_id), **change)
        if here.step is not None and steps and here.step >= steps[-1]:
            here = replace(here, step=None)
        part = self.parts.inspector
        return {part.look: here, **inspector.draw_moment(part, self.figures, folder, mark, here)}

    def _news(self, owner: str, folder: RunFolder, shown: Shown, look: Look) -> dict[Any, Any]:
        """Returns what of the run is not shown yet; empty if all of it is."""
        parts, marks, status = self.parts, read_marks(folder), _read_status(folder)
        is_queued = status.state is RunState.QUEUED
        position = self.lab.queue_position(owner, folder.run_id) if is_queued else None
        old = shown.marks if shown.run_id == folder.run_id else None
        news: dict[Any, Any] = {}
        if old is None or (old.status, shown.position) != (marks.status, position):
            news |= {parts.status: str(draw_status(status, position)),
                     parts.timer: gr.Timer(active=not status.state.is_over),
                     **parts.controls.enabled(status.state)}
        if old is None or (old.metrics, old.status) != (marks.metrics, marks.status):
            curves = self.figures.curves(folder, marks)
            news[parts.summary] = str(draw_summary(curves.first, curves.last, status, folder.read_best()))
            if old is None or old.metrics != marks.metrics:
                news[parts.measured] = gr.Column(visible=curves.first is not None)
                news |= {plot: curves.figures[name] for name, plot in parts.figures.items()}
        if old is None or old.tokens != marks.tokens:
            here = look if look.run_id == folder.run_id else Look(folder.run_id)
            news |= inspector.draw_inspector(parts.inspector, self.figures, folder, marks.tokens, here)
            news[parts.held_out] = self._held_out_note(folder, marks)
        if old is None or old.answers != marks.answers:
            news[parts.answers] = str(draw_answers(folder.read_answers()))
        return {**news, parts.shown: Shown(folder.run_id, marks, position)} if news else {}

    def _held_out_note(self, folder: RunFolder, marks: Marks) -> Any:
        header = self.figures.tokens(folder, marks.tokens).header
        note = fill('<p class="lab-note wait">{}</p>', texts.NOT_HELD_OUT)
        return gr.HTML(str(note), visible=header is not None and not header.is_held_out)


def _read_status(folder: RunFolder) -> RunStatus:
    """Returns the run's status; a folder that cannot be read is a failed run, which can be deleted."""
    try:
        return folder.read_status()
    except RunRefused as error:
        return RunStatus(RunState.FAILED, failure=str(error))
