"""Which run is shown, and stop, resume and delete, each possible only when it applies. Knows `Lab`, no tab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab.core.errors import NotFound
from bnf_lab.core.methods import method_label
from bnf_lab.runs.records import RunState, can_delete, can_resume, can_stop
from bnf_lab.ui.guard import Lane, listen
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.session import Session
from bnf_lab.ui.watch import words

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab
    from bnf_lab.lab.run_summaries import RunSummary


@dataclass(frozen=True)
class Controls:
    """The list of runs, the buttons and the question before deleting."""

    run: gr.Dropdown
    stop: gr.Button
    resume: gr.Button
    delete: gr.Button
    sure: gr.Row
    yes: gr.Button
    no: gr.Button

    @property
    def buttons(self) -> tuple[Any, ...]:
        return self.stop, self.resume, self.delete

    @property
    def listing(self) -> tuple[Any, ...]:
        return self.run, self.sure

    def enabled(self, state: RunState, obstacle: str | None) -> dict[Any, Any]:
        """Returns the updates that enable what applies to a run in this state; with an obstacle it cannot go on."""
        return {
            self.stop: gr.Button(interactive=can_stop(state)),
            self.resume: gr.Button(interactive=can_resume(state) and obstacle is None),
            self.delete: gr.Button(interactive=can_delete(state)),
        }

    def listed(self, runs: Sequence[RunSummary], run_id: str) -> dict[Any, Any]:
        """Returns the updates that list the runs, with one of them chosen and no question open."""
        choices = [(label_run(run), run.run_id) for run in runs]
        return {self.run: gr.Dropdown(choices, value=run_id), self.sure: gr.Row(visible=False)}


def label_run(run: RunSummary) -> str:
    """Returns how a run is called in a list: its name or data, method and when it was made."""
    named = run.name if run.name != run.run_id else ""  # a run without a name is stored under its id
    name = named or ", ".join(run.collections) or run.run_id[:8]
    return f"{name[:60]} · {method_label(run.method)} · {_when(run.created_at)}"


def build() -> Controls:
    """Draws the head of the tab where the call stands."""
    with gr.Row(elem_id="watch-head", equal_height=True):
        run = gr.Dropdown([], label=words.RUN, filterable=False, scale=1, min_width=240, elem_id="watch-run")
        with gr.Row(elem_classes="lab-actions", elem_id="watch-controls"):
            stop = gr.Button(words.STOP, interactive=False, min_width=84, elem_id="watch-stop")
            resume = gr.Button(words.RESUME, interactive=False, min_width=84, elem_id="watch-resume")
            delete = gr.Button(words.DELETE, interactive=False, min_width=84, elem_id="watch-delete")
    with gr.Row(visible=False, elem_classes=["lab-actions", "lab-panel"], elem_id="watch-sure") as sure:
        html_area(fill("<p>{}</p>", words.DELETE_SURE), elem_id="watch-question")
        yes = gr.Button(words.DELETE_YES, size="sm", variant="stop", min_width=84, elem_id="watch-delete-yes")
        no = gr.Button(words.DELETE_NO, size="sm", min_width=84, elem_id="watch-delete-no")
    return Controls(run, stop, resume, delete, sure, yes, no)


def wire(
    lab: Lab,
    session: Session,
    controls: Controls,
    shown: gr.State,
    redraw: Callable[[str, str], Any],
    redrawn: tuple[Any, ...],
) -> None:
    """Connects the buttons; `redraw(token, run_id)` draws the tab (`redrawn`) once something has happened."""

    def act(what: Callable[[str, str], None]) -> Callable[[str, Any], Any]:
        def handler(token: str, at: Any) -> Any:
            owner = lab.owner_of(token)
            if not at.run_id:
                raise NotFound("No run is shown. Choose one from the list.")
            what(owner, at.run_id)
            return redraw(token, at.run_id)

        return handler

    inputs = [session.token, shown]
    listen(controls.stop.click, act(lab.runs.stop), inputs, redrawn)
    listen(controls.resume.click, act(lab.runs.resume), inputs, redrawn, lane=Lane.START)
    listen(controls.yes.click, act(lab.runs.delete), inputs, redrawn)
    listen(controls.delete.click, lambda: gr.Row(visible=True), [], [controls.sure])
    listen(controls.no.click, lambda: gr.Row(visible=False), [], [controls.sure])


def _when(created_at: str) -> str:
    """Returns a moment (ISO 8601, UTC) as the list shows it, in the server's time.

    >>> len(_when("2026-11-23T15:20:00+00:00").split())
    3
    """
    moment = datetime.fromisoformat(created_at).astimezone()
    return f"{moment.day} {moment:%b %H:%M}"
