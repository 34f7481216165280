"""The strip above the tabs: device, embedded model and the run that trains now. Knows `Lab`, no tab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from bnf_lab.core.machine import read_device
from bnf_lab.runs.records import RunStatus
from bnf_lab.ui import words as common_words
from bnf_lab.ui.guard import Lane, listen
from bnf_lab.ui.markup import fill, html_area

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab


BUSY_SECONDS = 1.0
IDLE_SECONDS = 5.0


@dataclass(frozen=True)
class Header:
    """The strip; `draw(drawn)` gives the values of `outputs`, where `drawn` is what the page shows already."""

    drawn: gr.State
    outputs: tuple[Any, ...]
    draw: Any


def build(lab: Lab, token: gr.BrowserState) -> Header:
    """Makes the strip; it asks every second while something moves, else every five."""
    with gr.Row(elem_id="lab-header", equal_height=True):
        html_area(fill("<h1>{}</h1><p>{}</p>", common_words.TITLE, common_words.TAGLINE), elem_id="lab-brand")
        strip = html_area(elem_id="lab-status")
        fetch = gr.Button(
            common_words.FETCH, size="sm", variant="primary", visible=False, elem_id="lab-fetch", scale=0, min_width=150
        )
    drawn = gr.State("")
    timer = gr.Timer(IDLE_SECONDS)
    outputs = (drawn, strip, fetch, timer)

    def draw(shown: str) -> Any:
        model, run = lab.models.status(), lab.runs.active_status()
        content = _strip(read_device().label, model, run)
        if content == shown:
            return gr.skip()
        is_busy = model.state == "fetching" or run is not None
        return (
            str(content),
            str(content),
            gr.Button(visible=model.state in ("missing", "failed")),
            gr.Timer(BUSY_SECONDS if is_busy else IDLE_SECONDS),
        )

    def start_fetch(secret: str, shown: str) -> Any:
        lab.owner_of(secret)
        lab.models.start_fetch()
        return draw(shown)

    listen(timer.tick, draw, [drawn], outputs, lane=Lane.TICK)
    listen(fetch.click, start_fetch, [token, drawn], outputs, lane=Lane.START)
    return Header(drawn=drawn, outputs=outputs, draw=draw)


def _strip(device: str, model: Any, run: RunStatus | None) -> Markup:
    return fill(
        '<div class="lab-fact"><span>Device</span><b>{device}</b></div>{model}{run}',
        device=device,
        model=_model_fact(model),
        run=_run_fact(run),
    )


def _model_fact(model: Any) -> Markup:
    words = common_words.MODEL_STATES[model.state]
    bar = Markup("")
    if model.state == "fetching" and model.fraction is not None:
        percent = round(100 * model.fraction)
        words = f"{words} {percent} %"
        bar = fill('<i class="lab-bar"><i style="width:{}%"></i></i>', percent)
    kind = {"ready": "ok", "failed": "bad"}.get(model.state, "wait")
    return fill(
        '<div class="lab-fact"><span>Model</span><b class="lab-dot {kind}">{words}</b>{bar}</div>{problem}',
        kind=kind,
        words=words,
        bar=bar,
        problem=fill('<p class="lab-problem">{}</p>', model.detail) if model.state == "failed" else "",
    )


def _run_fact(run: RunStatus | None) -> Markup:
    if run is None:
        return fill('<div class="lab-fact"><span>Run</span><b>{}</b></div>', common_words.NO_RUN)
    percent = round(100 * run.step / run.total_steps) if run.total_steps else 0
    return fill(
        '<div class="lab-fact"><span>Run</span><b class="lab-dot ok">{state} · {step} / {total}</b>'
        '<i class="lab-bar"><i style="width:{percent}%"></i></i></div>',
        state=run.phase or run.state,
        step=run.step,
        total=run.total_steps,
        percent=percent,
    )
