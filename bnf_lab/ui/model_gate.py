"""What a page shows while the embedded model is not here: a button that fetches it, progress, and going on by itself.

How a tab uses it::

    gate = draw_gate("chat")
    wire_gate(lab, session, gate)                            # the button and the progress
    listen(gate.came.change, go_on, [session.token], [...])  # does what was asked before, once the model has come
    ...
    Redraw(lambda token, run_id: (..., *draw_values(lab)), (..., *gate.outputs))

This room must not know any tab.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from bnf_lab.ui import words as common_words
from bnf_lab.ui.guard import Lane, listen
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.session import Session

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab
    from bnf_lab.lab.models import ModelStatus

BUSY_SECONDS = 1.0
IDLE_SECONDS = 5.0


@dataclass(frozen=True)
class ModelGate:
    """Its components; `came` changes once when the model has come while the page was open."""

    notice: gr.HTML
    fetch: gr.Button
    timer: gr.Timer
    shown: gr.State
    came: gr.State

    @property
    def outputs(self) -> tuple[Any, ...]:
        return self.notice, self.fetch, self.timer, self.shown, self.came


def draw_gate(name: str) -> ModelGate:
    """Draws the gate where the call stands, with nothing to be seen yet.

    Args:
        name: Begins the ids of its elements: `NAME-missing`, `NAME-notice`, `NAME-fetch`.
    """
    with gr.Row(elem_id=f"{name}-missing", elem_classes="lab-gate"):
        notice = html_area(visible=False, elem_id=f"{name}-notice")
        fetch = gr.Button(
            common_words.FETCH,
            size="sm",
            variant="primary",
            visible=False,
            scale=0,
            min_width=150,
            elem_id=f"{name}-fetch",
        )
    return ModelGate(notice, fetch, gr.Timer(IDLE_SECONDS, active=False), gr.State(""), gr.State(""))


def wire_gate(
    lab: Lab, session: Session, gate: ModelGate, is_wanted: Callable[[str], bool] = lambda owner: True
) -> None:
    """Wires the button and the progress.

    Args:
        lab: Fetches.
        session: Whose page it is.
        gate: What was drawn.
        is_wanted: Whether what an owner has chosen needs the embedded model at all.
    """

    def look(token: str, shown: str) -> Any:
        return draw_values(lab, shown, is_wanted=is_wanted(lab.owner_of(token)))

    def fetch_model(token: str, shown: str) -> Any:
        lab.owner_of(token)
        lab.models.start_fetch()
        return look(token, shown)

    listen(gate.timer.tick, look, [session.token, gate.shown], gate.outputs, lane=Lane.TICK)
    listen(gate.fetch.click, fetch_model, [session.token, gate.shown], gate.outputs, lane=Lane.START)


def draw_values(lab: Lab, shown: str | None = None, *, is_wanted: bool = True) -> tuple[Any, ...]:
    """Returns the values of `ModelGate.outputs`.

    Args:
        lab: Knows how it stands with the model.
        shown: What the page shows already, "" for nothing; None where that is not known.
        is_wanted: Whether the model is needed.
    """
    status = lab.models.status()
    is_missing = is_wanted and status.state != "ready"
    content = str(_notice(status)) if is_missing else ""
    if content == shown:
        return (gr.skip(),) * 5
    is_fetching = status.state == "fetching"
    return (
        gr.HTML(content, visible=is_missing),
        gr.Button(
            common_words.FETCH_AGAIN if status.state == "failed" else common_words.FETCH,
            visible=is_missing and not is_fetching,
        ),
        gr.Timer(BUSY_SECONDS if is_fetching else IDLE_SECONDS, active=is_missing),
        content,
        uuid.uuid4().hex if shown and status.state == "ready" else gr.skip(),
    )


def _notice(status: ModelStatus) -> Markup:
    if status.state == "fetching":
        percent = round(100 * (status.fraction or 0))
        return fill(
            '<div class="lab-hint" role="status">{words} <b>{percent} %</b> <i class="lab-bar" role="progressbar"'
            ' aria-label="{words}" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}">'
            '<i style="width:{percent}%"></i></i></div>',
            words=common_words.MODEL_COMING,
            percent=percent,
        )
    words = status.detail if status.state == "failed" else common_words.MODEL_MISSING
    return fill('<p class="lab-hint {}" role="status">{}</p>', status.state, words)
