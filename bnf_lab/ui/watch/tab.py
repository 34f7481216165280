"""The Watch tab: one run, live. Everything it shows is read from the run folder; nothing is kept in the page.

A tick compares the folder's marks with what the page shows and sends only what is new, so figures neither flicker
nor lose their zoom. Knows `Lab`, no other tab.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab.core.errors import LabError, NotFound, RunRefused
from bnf_lab.plots import curves
from bnf_lab.plots.run_figures import STEP_FIGURES, Marks, RunFigures, read_marks
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import RunState, RunStatus
from bnf_lab.ui.address import Address, sent, title_of
from bnf_lab.ui.guard import Lane, checked_text, checked_whole, listen
from bnf_lab.ui.live_plot import CHOSEN_STEP, live_plot, load_plotly
from bnf_lab.ui.markup import fill, html_area, joined
from bnf_lab.ui.session import Redraw, Session, show_tab
from bnf_lab.ui.watch import controls, inspector, words
from bnf_lab.ui.watch.answers import draw_answers
from bnf_lab.ui.watch.controls import Controls
from bnf_lab.ui.watch.glossary import ask_terms, draw_glossary
from bnf_lab.ui.watch.inspector import Inspector, Look
from bnf_lab.ui.watch.progress import draw_status, draw_summary

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab
    from bnf_lab.lab.run_summaries import RunSummary


logger = logging.getLogger(__name__)

FIRST_FIGURES = ("likelihood", "accuracy")
"""The figures over steps that stand open; the others are folded."""


@dataclass(frozen=True)
class Shown:
    """What the page shows already: which run, and its folder's marks when it was drawn."""

    run_id: str = ""
    marks: Marks | None = None
    position: int | None = None
    stillness: str = ""


@dataclass(frozen=True)
class WatchTab:
    """What the page needs of this tab; `handlers` is what its events call, `placed` what `handlers.place` sets."""

    redraw: Redraw
    handlers: Handlers
    placed: tuple[Any, ...]


@dataclass(frozen=True)
class _Parts:
    address: gr.HTML
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
        return self.asked, self.shown, self.timer, self.empty, self.page, self.address, *self.controls.listing

    @property
    def drawn(self) -> tuple[Any, ...]:
        look = self.inspector
        return (
            self.shown,
            self.timer,
            self.address,
            self.status,
            self.summary,
            self.held_out,
            self.measured,
            self.answers,
            *self.figures.values(),
            *self.controls.buttons,
            look.slider,
            look.response,
            *look.moment,
        )


def build(lab: Lab, session: Session) -> WatchTab:
    """Draws the tab where the call stands."""
    parts = _draw(session)
    do = Handlers(lab, parts, RunFigures())
    token, look = session.token, parts.inspector.look
    ticking = [token, parts.shown, look]
    everything = tuple(dict.fromkeys((*parts.drawn, *parts.redrawn)))
    ticked = listen(parts.timer.tick, do.tick, ticking, everything, lane=Lane.TICK)
    listen(ticked.failure, lambda: gr.Timer(active=False), [], [parts.timer])  # one message, not one a second
    listen([parts.controls.run.input], do.choose, [token, parts.controls.run], [session.run_id])
    listen(session.run_id.change, do.redraw, [token, session.run_id], parts.redrawn)
    asked = [token, session.run_id, parts.asked, parts.shown, look]
    listen(parts.asked.change, do.draw_chosen, asked, everything, trigger_mode="always_last")
    moment = (look, parts.address, *parts.inspector.moment)
    response, slider = parts.inspector.response, parts.inspector.slider
    looking = [token, parts.shown, response, slider]
    listen([response.input, slider.input], do.look_at, looking, moment, js=CHOSEN_STEP)
    controls.wire(lab, session, parts.controls, parts.shown, do.redraw, parts.redrawn)
    return WatchTab(redraw=Redraw(do.redraw, parts.redrawn), handlers=do, placed=(look, parts.shown))


def _draw(session: Session) -> _Parts:
    with gr.Column(visible=False, elem_id="watch-empty") as empty:
        html_area(fill('<div class="lab-empty">{}</div>', words.NO_RUN_YET))
        to_train = gr.Button(words.TO_TRAIN, variant="primary", elem_id="watch-to-train")
    listen(to_train.click, lambda: show_tab("train"), [], [session.tabs])
    load_plotly()
    with gr.Column(visible=False, elem_id="watch-page") as page:
        buttons = controls.build()
        status = html_area(elem_id="watch-status")
        summary = html_area(elem_id="watch-summary")
        held_out = html_area(visible=False, elem_id="watch-held-out")
        answers = html_area(elem_id="watch-answers", elem_classes="lab-section")
        with gr.Column(visible=False, elem_id="watch-measured") as measured:
            html_area(fill("<h2>{}</h2>", words.CURVES_TITLE), elem_classes="lab-section")
            figures = _draw_figures(FIRST_FIGURES)
            html_area(fill("<h2>{}</h2>", words.TOKENS_TITLE), elem_classes="lab-section")
            look = inspector.build()
            with gr.Accordion(words.MORE_CURVES, open=False, elem_id="watch-more"):
                html_area(fill("<h2>{}</h2>", words.MORE_TITLE), elem_classes="lab-section")
                figures |= _draw_figures([name for name in STEP_FIGURES if name not in FIRST_FIGURES])
        html_area(draw_glossary(), elem_id="watch-glossary")
    return _Parts(
        address=session.address,
        asked=gr.State(("", 0.0)),
        shown=gr.State(Shown()),
        timer=session.beat,
        empty=empty,
        page=page,
        controls=buttons,
        status=status,
        summary=summary,
        held_out=held_out,
        measured=measured,
        figures=figures,
        inspector=look,
        answers=answers,
    )


def _draw_figures(names: Sequence[str]) -> dict[str, gr.HTML]:
    figures = {}
    with gr.Row(elem_classes="lab-plots"):
        for name in names:
            with gr.Column(min_width=320):
                html_area(fill("<h3>{}</h3>", words.TITLES[name]))
                figures[name] = live_plot(words.TITLES[name], curves.READING[name], elem_id=f"plot-{name}")
                html_area(ask_terms(name))
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
        runs = self.lab.runs.summaries(owner)
        if not runs:
            return {
                parts.empty: gr.Column(visible=True),
                parts.page: gr.Column(visible=False),
                parts.timer: gr.Timer(active=False),
                parts.shown: Shown(),
                parts.address: sent(Address()),
            }
        wanted = _wanted(runs, run_id)
        return {
            parts.empty: gr.Column(visible=False),
            parts.page: gr.Column(visible=True),
            **parts.controls.listed(runs, wanted),
            parts.asked: (wanted, time.time()),
        }

    def place(self, address: Address) -> tuple[Look, Shown]:
        """Returns where to look as the address asks, and that nothing of it is drawn yet."""
        return Look(address.run_id, address.step, address.response), Shown()

    def draw_chosen(self, token: str, run_id: str, asked: tuple[str, float], shown: Shown, look: Look) -> Any:
        """Draws the asked run, or asks for the chosen one: of two events at a time either may have asked last."""
        runs = self.lab.runs.summaries(self.lab.owner_of(token)) if run_id and asked[0] else []
        is_overtaken = bool(runs) and asked[0] != _wanted(runs, run_id)
        return self.redraw(token, run_id) if is_overtaken else self.draw(token, asked, shown, look)

    def draw(self, token: str, asked: tuple[str, float], shown: Shown, look: Look) -> Any:
        """Draws what of the asked run is not shown yet."""
        owner = self.lab.owner_of(token)
        if not asked[0]:  # gradio (6.31) also reports a change when a new page meets the first value
            return gr.skip()
        return self._news_or_damage(owner, self.lab.runs.folder(owner, asked[0]), shown, look) or gr.skip()

    def tick(self, token: str, shown: Shown, look: Look) -> Any:
        """Draws what has changed since `shown`; nothing if nothing has."""
        owner = self.lab.owner_of(token)
        if not shown.run_id:
            return {self.parts.timer: gr.Timer(active=False)}
        try:
            folder = self.lab.runs.folder(owner, shown.run_id)
        except NotFound:  # deleted in another window
            return self.redraw(token, "")
        return self._news_or_damage(owner, folder, shown, look) or gr.skip()

    def choose(self, token: str, run_id: object) -> str:
        """Makes another of the person's runs the one that is shown, here and in Chat."""
        owner = self.lab.owner_of(token)
        return self.lab.runs.folder(owner, checked_text(run_id, words.RUN, limit=100)).run_id

    def look_at(self, token: str, shown: Shown, response: object, step: object) -> Any:
        """Shows the tokens of a probe response at a recorded step; at the newest, None, they follow the run."""
        owner = self.lab.owner_of(token)
        which = checked_whole(response, words.RESPONSE, minimum=0, maximum=10**4)
        at = None if step is None else checked_whole(step, words.RECORDED_STEP, minimum=0, maximum=10**6)
        folder = self.lab.runs.folder(owner, shown.run_id)
        mark, here = read_marks(folder).tokens, Look(shown.run_id, at, which)
        part = self.parts.inspector
        address = _address(folder, _read_status(folder)[0], here)
        return {
            part.look: here,
            self.parts.address: address,
            **inspector.draw_moment(part, self.figures, folder, mark, here),
        }

    def _news_or_damage(self, owner: str, folder: RunFolder, shown: Shown, look: Look) -> dict[Any, Any]:
        """Returns what is new, or that the run cannot be drawn: the page and its buttons are about this run still."""
        try:
            return self._news(owner, folder, shown, look)
        except NotFound:
            raise
        except Exception as error:  # a damaged folder can be deleted here, whatever is wrong with it
            logger.exception("Run %s cannot be shown", folder.run_id)
            what = str(error) if isinstance(error, LabError) else words.CANNOT_SHOW.format(kind=type(error).__name__)
            status, parts = _read_status(folder)[0], self.parts
            return {
                parts.status: str(draw_status(status, None, damage=what)),
                parts.summary: "",
                parts.answers: "",
                parts.measured: gr.Column(visible=False),
                parts.timer: gr.Timer(active=False),
                parts.shown: Shown(folder.run_id),
                parts.address: sent(Address(folder.run_id)),
                **parts.controls.enabled(status.state, what),
            }

    def _news(self, owner: str, folder: RunFolder, shown: Shown, look: Look) -> dict[Any, Any]:
        """Returns what of the run is not shown yet; empty if all of it is."""
        parts, marks, (status, damage) = self.parts, read_marks(folder), _read_status(folder)
        is_queued = status.state is RunState.QUEUED
        position = self.lab.runs.queue_position(owner, folder.run_id) if is_queued else None
        stillness = self.lab.runs.stillness(owner, folder.run_id) if status.state.is_live else ""
        old = shown.marks if shown.run_id == folder.run_id else None
        news: dict[Any, Any] = {}
        if old is None or (old.status, shown.position, shown.stillness) != (marks.status, position, stillness):
            obstacle, config_damage = _read_obstacle(folder)
            damage = damage or config_damage
            news |= {
                parts.status: str(draw_status(status, position, obstacle, damage=damage, stillness=stillness)),
                parts.timer: gr.Timer(active=not status.state.is_over),
                parts.address: _address(folder, status, look),
                **parts.controls.enabled(status.state, obstacle or damage or None),
            }
        if old is None or (old.metrics, old.status, old.answers) != (marks.metrics, marks.status, marks.answers):
            curves = self.figures.curves(folder, marks, status.total_steps)
            verdict = self.lab.runs.verdict(owner, folder.run_id)
            news[parts.summary] = str(draw_summary(curves.first, curves.last, status, verdict))
            if old is None or old.metrics != marks.metrics:
                news[parts.measured] = gr.Column(visible=curves.first is not None)
                news |= {plot: curves.figures[name] for name, plot in parts.figures.items()}
        if old is None or old.tokens != marks.tokens:
            here = look if look.run_id == folder.run_id else Look(folder.run_id)
            news |= inspector.draw_inspector(parts.inspector, self.figures, folder, marks.tokens, here)
            news[parts.held_out] = self._token_notes(folder, marks)
        if old is None or old.answers != marks.answers or (status.state.is_over and parts.status in news):
            answers = folder.index_answers().answers
            news[parts.answers] = str(draw_answers(answers, is_over=status.state.is_over))
        return {**news, parts.shown: Shown(folder.run_id, marks, position, stillness)} if news else {}

    def _token_notes(self, folder: RunFolder, marks: Marks) -> Any:
        index = self.figures.tokens(folder, marks.tokens).index
        is_shown = index.header is not None and not index.header.is_held_out
        notes = (("wait", words.NOT_HELD_OUT if is_shown else ""), ("bad", index.damage))
        drawn = joined(fill('<p class="lab-note {}">{}</p>', kind, text) for kind, text in notes if text)
        return gr.HTML(str(drawn), visible=bool(drawn))


def _wanted(runs: Sequence[RunSummary], run_id: str) -> str:
    """Returns the id of the run to show: the one asked for, else the newest."""
    return run_id if any(run.run_id == run_id for run in runs) else runs[0].run_id


def _address(folder: RunFolder, status: RunStatus, look: Look) -> str:
    """Returns what the browser's address and title say of a run."""
    here = look if look.run_id == folder.run_id else Look()
    return sent(Address(folder.run_id, here.step, here.response), title_of(status))


def _read_status(folder: RunFolder) -> tuple[RunStatus, str]:
    """Returns the run's status and what is wrong with it; one that cannot be read is a failed run's."""
    try:
        return folder.read_status(), ""
    except RunRefused as error:
        return RunStatus(RunState.FAILED), str(error)


def _read_obstacle(folder: RunFolder) -> tuple[str | None, str]:
    """Returns why this lab cannot train the run on, and what is wrong with its settings."""
    try:
        return folder.read_saved().obstacle, ""
    except RunRefused as error:
        return None, str(error)
