"""A plotly figure that can change every second without flicker and without losing the person's zoom.

`gr.Plot` (gradio 6.31) rebuilds its element for every new value, so zoom, hover and hidden legend entries are lost.
These areas keep one element and hand new data to `Plotly.react`; the figures carry a constant `uirevision`. They use
the plotly that gradio itself ships, which `load_plotly` makes the page load. Remove them when gr.Plot keeps its
element. Values travel as JSON and never become markup: the templates hold no value. This room must not know what the
figures show.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from bnf_lab.plots import TokenCell, empty_figure
from bnf_lab.ui.theme import ASSETS


def live_plot(**options: Any) -> gr.HTML:
    """Draws the place of a figure where the call stands; its value is what `sent_figure` returns.

    Put each in a `gr.Column(min_width=320)`, so that figures wrap on a narrow screen.
    """
    return _scripted('<div class="lab-plot" role="img"></div>', "plot.js", options)


def sent_figure(figure: go.Figure) -> str:
    """Returns a figure as a `live_plot` takes it."""
    return figure.to_json()  # type: ignore[no-any-return]


def token_strip(**options: Any) -> gr.HTML:
    """Draws the place of coloured tokens with tooltips; its value is what `sent_tokens` returns."""
    return _scripted('<p class="lab-tokens"></p>', "tokens.js", options)


def sent_tokens(cells: Sequence[TokenCell]) -> str:
    """Returns tokens as a `token_strip` takes them."""
    return json.dumps([[cell.text, cell.color, cell.tooltip] for cell in cells])


def load_plotly() -> gr.Plot:
    """Puts a hidden plot on the page, once, so that gradio loads its own plotly for every `live_plot`."""
    return gr.Plot(value=empty_figure(""), visible="hidden", elem_id="plotly-loader")


def _scripted(template: str, script: str, options: dict[str, Any]) -> gr.HTML:
    return gr.HTML(
        html_template=template, js_on_load=(ASSETS / script).read_text(encoding="utf-8"), apply_default_css=False,
        **options,
    )
