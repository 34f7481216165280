"""Stop, resume and delete, each possible only when it applies. Knows `Lab`, no tab."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab.errors import NotFound
from bnf_lab.records import RunState
from bnf_lab.ui import train_texts as texts
from bnf_lab.ui.guard import Lane, listen
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.session import Session

if TYPE_CHECKING:
    from bnf_lab.lab import Lab
    from bnf_lab.lab_records import RunSummary


@dataclass(frozen=True)
class Controls:
    """The buttons and the question before deleting."""

    stop: gr.Button
    resume: gr.Button
    delete: gr.Button
    sure: gr.Row
    yes: gr.Button
    no: gr.Button

    @property
    def drawn(self) -> tuple[Any, ...]:
        return self.stop, self.resume, self.delete, self.sure

    def enabled(self, state: RunState) -> dict[Any, Any]:
        """Returns the updates that enable what applies to a run in this state."""
        return {
            self.stop: gr.Button(interactive=can_stop(state)),
            self.resume: gr.Button(interactive=can_resume(state)),
            self.delete: gr.Button(interactive=can_delete(state)),
        }

    def closed(self) -> dict[Any, Any]:
        return {self.sure: gr.Row(visible=False)}


def can_stop(state: RunState) -> bool:
    return state in (RunState.QUEUED, RunState.PREPARING, RunState.TRAINING)


def can_resume(state: RunState) -> bool:
    return state in (RunState.STOPPED, RunState.FAILED)


def can_delete(state: RunState) -> bool:
    return not state.is_live


def label_run(run: RunSummary) -> str:
    """Returns how a run is called in a list: its name or data, method and when it was made."""
    named = run.name if run.name != run.run_id else ""  # a run without a name is stored under its id
    name = named or ", ".join(run.collections) or run.run_id[:8]
    return f"{name[:60]} · {run.method.upper()} · {_when(run.created_at)}"


def build() -> Controls:
    """Draws the buttons where the call stands; the question stands below them."""
    with gr.Column(scale=0, min_width=300, elem_id="watch-controls"):
        with gr.Row(elem_classes="lab-actions"):
            stop = gr.Button(texts.STOP, size="sm", interactive=False, elem_id="watch-stop")
            resume = gr.Button(texts.RESUME, size="sm", interactive=False, elem_id="watch-resume")
            delete = gr.Button(texts.DELETE, size="sm", interactive=False, elem_id="watch-delete")
        with gr.Row(visible=False, elem_classes="lab-actions", elem_id="watch-sure") as sure:
            html_area(fill('<p class="lab-small">{}</p>', texts.DELETE_SURE))
            yes = gr.Button(texts.DELETE_YES, size="sm", variant="stop", elem_id="watch-delete-yes")
            no = gr.Button(texts.DELETE_NO, size="sm", elem_id="watch-delete-no")
    return Controls(stop, resume, delete, sure, yes, no)


def wire(
    lab: Lab, session: Session, controls: Controls, shown: gr.State, redraw: Callable[[str, str], Any],
    drawn: tuple[Any, ...],
) -> None:
    """Connects the buttons; `redraw(token, run_id)` draws the tab (`drawn`) once something has happened."""

    def act(what: Callable[[str, str], None]) -> Callable[[str, Any], Any]:
        def handler(token: str, at: Any) -> Any:
            owner = lab.owner_of(token)
            if not at.run_id:
                raise NotFound("No run is shown. Choose one from the list.")
            what(owner, at.run_id)
            return redraw(token, at.run_id)

        return handler

    inputs = [session.token, shown]
    listen(controls.stop.click, act(lab.stop_run), inputs, drawn)
    listen(controls.resume.click, act(lab.resume_run), inputs, drawn, lane=Lane.START)
    listen(controls.yes.click, act(lab.delete_run), inputs, drawn)
    listen(controls.delete.click, lambda: gr.Row(visible=True), [], [controls.sure])
    listen(controls.no.click, lambda: gr.Row(visible=False), [], [controls.sure])


def _when(created_at: str) -> str:
    """Returns a moment (ISO 8601, UTC) as the list shows it, in the server's time.

    >>> len(_when("2026-11-23T15:20:00+00:00").split())
    3
    """
    moment = datetime.fromisoformat(created_at).astimezone()
    return f"{moment.day} {moment:%b %H:%M}"
