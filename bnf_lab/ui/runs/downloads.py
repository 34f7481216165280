"""What can be taken along of a run: its adapter, its model, its figures, its numbers and its report. Knows no table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from bnf_lab.core.errors import NotFound
from bnf_lab.core.paths import ASSETS
from bnf_lab.lab.run_report import FIGURES
from bnf_lab.ui.downloads import build_export
from bnf_lab.ui.guard import Lane, checked_choice, checked_text, listen
from bnf_lab.ui.live_plot import load_plotly
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.runs import words
from bnf_lab.ui.session import Session

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab


def chosen_run(run_id: object) -> str:
    """Returns the run that is chosen.

    Raises:
        NotFound: If there is none.
    """
    if not isinstance(run_id, str) or not run_id:
        raise NotFound(words.RUN_GONE)
    return run_id


def draw_adapters(lab: Lab, session: Session, chosen: gr.State, checkpoint: gr.Dropdown) -> None:
    """Draws the buttons for an adapter and for the model merged with it."""

    def adapter(token: str, run_id: str, which: str) -> Path:
        owner = lab.owner_of(token)
        return lab.runs.export_adapter(owner, chosen_run(run_id), checked_text(which, "Download", limit=100))

    def merged(token: str, run_id: str, which: str) -> Path:
        owner = lab.owner_of(token)
        return lab.runs.export_merged(owner, chosen_run(run_id), checked_text(which, "Download", limit=100))

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


def draw_figures(lab: Lab, session: Session, chosen: gr.State) -> None:
    """Draws the buttons for figures, numbers and report."""

    def metrics(token: str, run_id: str) -> Path:
        return lab.runs.export_metrics(lab.owner_of(token), chosen_run(run_id))

    def report(token: str, run_id: str) -> Path:
        return lab.runs.export_report(lab.owner_of(token), chosen_run(run_id))

    which = gr.Dropdown(
        [(t, n) for n, t in FIGURES.items()], value="likelihood", label=words.FIGURE, elem_id="runs-figure"
    )
    load_plotly()
    drawn = gr.Textbox(elem_classes="lab-hidden", elem_id="runs-drawn", show_label=False, container=False)
    with gr.Row(elem_classes="lab-actions"):
        for label, kind in (("PNG", "png"), ("SVG", "svg")):
            button = gr.Button(label, size="sm", min_width=70, elem_id=f"runs-figure-{kind}")
            made = listen(
                button.click,
                _figure(lab, kind),
                [session.token, chosen, which],
                [drawn],
                lane=Lane.START,
            )
            script = (ASSETS / "figure.js").read_text(encoding="utf-8")
            made.success(fn=None, inputs=[drawn], api_visibility="private", js=script)
        for label, make, name in (
            ("Numbers (CSV)", metrics, "runs-export-metrics"),
            ("Report (HTML)", report, "runs-export-report"),
        ):
            build_export(label, make, [session.token, chosen], name=name, size="sm")
    html_area(fill('<p class="lab-small">{}</p>', words.FIGURES_HELP))


def _figure(lab: Lab, kind: str) -> Callable[[str, str, str], str]:
    def figure(token: str, run_id: str, which: str) -> str:
        name = checked_choice(which, words.FIGURE, list(FIGURES))
        drawn = lab.runs.export_figure(lab.owner_of(token), chosen_run(run_id), name)
        return json.dumps({**drawn, "format": kind})

    return figure
