"""The Watch tab: one run, live. Everything it shows is read from the run folder; nothing is kept in the page.

A tick compares the folder's marks with what the page shows and sends only what is new, so figures neither flicker
nor lose their zoom. Knows `Lab`, no other tab.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab import plots
from bnf_lab.errors import NotFound
from bnf_lab.records import RunState
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
    shown: gr.State
    timer: gr.Timer
    empty: gr.Column
    page: gr.Column
    run: gr.Dropdown
    controls: Controls
    status: gr.HTML
    summary: gr.HTML
    held_out: gr.HTML
    figures: dict[str, gr.HTML]
    inspector: Inspector
    answers: gr.HTML

    @property
    def drawn(self) -> tuple[Any, ...]:
        look = self.inspector
        return (
            self.shown, self.timer, self.empty, self.page, self.run, *self.controls.drawn, self.status, self.summary,
            self.held_out, *self.figures.values(), look.slider, look.response, *look.moment, self.answers,
        )


def build(lab: Lab, session: Session) -> WatchTab:
    """Draws the tab where the call stands."""
    parts = _draw(session)
    do = Handlers(lab, parts, RunFigures())
    look = parts.inspector.look
    token, run_id = session.token, session.run_id
    listen(parts.timer.tick, do.tick, [token, parts.shown, look], parts.drawn, lane=Lane.TICK)
    listen(parts.run.input, do.choose, [token, parts.run], [run_id])
    listen(run_id.change, do.follow, [token, run_id, parts.shown, look], parts.drawn)
    look_inputs = [token, parts.shown, look]
    moment = (look, *parts.inspector.moment)
    listen(parts.inspector.slider.input, do.look_at_step, [*look_inputs, parts.inspector.slider], moment,
           trigger_mode="always_last")
    listen(parts.inspector.response.input, do.look_at_response, [*look_inputs, parts.inspector.response], moment)
    run_controls.wire(lab, session, parts.controls, parts.shown, do.redraw, parts.drawn)
    return WatchTab(redraw=Redraw(do.redraw, parts.drawn), handlers=do)


def _draw(session: Session) -> _Parts:
    with gr.Column(visible=False, elem_id="watch-empty") as empty:
        html_area(fill('<div class="lab-empty">{}</div>', texts.NO_RUN_YET))
        to_train = gr.Button(texts.TO_TRAIN, variant="primary", elem_id="watch-to-train")
    listen(to_train.click, lambda: show_tab("train"), [], [session.tabs])
    load_plotly()
    with gr.Column(visible=False, elem_id="watch-page") as page:
        with gr.Row(elem_id="watch-head", equal_height=True):
            run = gr.Dropdown([], label=texts.RUN, filterable=False, scale=1, min_width=240, elem_id="watch-run")
            controls = run_controls.build()
        status = html_area(elem_id="watch-status")
        summary = html_area(elem_id="watch-summary")
        held_out = html_area(visible=False, elem_id="watch-held-out")
        figures = _draw_figures()
        html_area(fill("<h2>{}</h2>", texts.TOKENS_TITLE), elem_classes="lab-section")
        look = inspector.build()
        html_area(fill('<h2>{}</h2><p class="lab-intro">{}</p>', texts.ANSWERS_TITLE, texts.ANSWERS_INTRO),
                  elem_classes="lab-section")
        answers = html_area(elem_id="watch-answers")
    return _Parts(
        shown=gr.State(Shown()), timer=gr.Timer(LIVE_SECONDS, active=False), empty=empty, page=page, run=run,
        controls=controls, status=status, summary=summary, held_out=held_out, figures=figures, inspector=look,
        answers=answers,
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
        """Draws everything afresh: the wanted run, or the newest where that one is gone or none was chosen."""
        owner, parts = self.lab.owner_of(token), self.parts
        runs = self.lab.list_runs(owner)
        if not runs:
            return {parts.empty: gr.Column(visible=True), parts.page: gr.Column(visible=False),
                    parts.timer: gr.Timer(active=False), parts.shown: Shown()}
        known = [run.run_id for run in runs]
        wanted = run_id if run_id in known else known[0]
        choices = [(run_controls.label_run(run), run.run_id) for run in runs]
        return {
            parts.empty: gr.Column(visible=False), parts.page: gr.Column(visible=True),
            parts.run: gr.Dropdown(choices, value=wanted),
            **parts.controls.closed(),
            **self._news(owner, self.lab.run_folder(owner, wanted), Shown(), Look()),
        }

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
        wanted = checked_text(run_id, texts.RUN, limit=100)
        return self.lab.run_folder(self.lab.owner_of(token), wanted).run_id

    def follow(self, token: str, run_id: str, shown: Shown, look: Look) -> Any:
        """Draws the run that was chosen here or started elsewhere."""
        return self.tick(token, shown, look) if run_id == shown.run_id else self.redraw(token, run_id)

    def look_at_step(self, token: str, shown: Shown, look: Look, step: object) -> Any:
        """Moves map and inspector to a recorded step; at the newest they follow the run again."""
        wanted = int(checked_number(step, texts.RECORDED_STEP, minimum=0, maximum=10**6))
        return self._look(token, shown, look, step=wanted)

    def look_at_response(self, token: str, shown: Shown, look: Look, index: object) -> Any:
        """Shows the tokens of another probe response."""
        wanted = int(checked_number(index, texts.RESPONSE, minimum=0, maximum=10**4))
        return self._look(token, shown, look, response=wanted)

    def _look(self, token: str, shown: Shown, look: Look, *, step: int | None = None, response: int | None = None
              ) -> Any:
        folder = self.lab.run_folder(self.lab.owner_of(token), shown.run_id)
        mark = read_marks(folder).tokens
        here = look if look.run_id == shown.run_id else Look(shown.run_id)
        steps = self.figures.tokens(folder, mark).steps
        if step is not None:
            here = Look(here.run_id, None if not steps or step >= steps[-1] else step, here.response)
        if response is not None:
            here = Look(here.run_id, here.step, response)
        part = self.parts.inspector
        return {part.look: here, **inspector.draw_moment(part, self.figures, folder, mark, here)}

    def _news(self, owner: str, folder: RunFolder, shown: Shown, look: Look) -> dict[Any, Any]:
        """Returns what of the run is not shown yet; empty if all of it is."""
        parts, marks = self.parts, read_marks(folder)
        status = folder.read_status()
        is_queued = status.state is RunState.QUEUED
        position = self.lab.queue_position(owner, folder.run_id) if is_queued else None
        old = shown.marks if shown.run_id == folder.run_id else None
        news: dict[Any, Any] = {}
        if old is None or (old.status, shown.position) != (marks.status, position):
            news |= {parts.status: str(draw_status(status, position)),
                     parts.timer: gr.Timer(active=not status.state.is_over),
                     **parts.controls.enabled(status.state)}
        if old is None or (old.metrics, old.status) != (marks.metrics, marks.status):
            news[parts.summary] = str(draw_summary(folder.read_metrics(), status, folder.read_best()))
        if old is None or old.metrics != marks.metrics:
            drawn = self.figures.steps(folder, marks)
            news |= {plot: drawn[name] for name, plot in parts.figures.items()}
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
