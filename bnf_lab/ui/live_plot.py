"""A plotly figure that can change every second without flicker and without losing the person's zoom.

`gr.Plot` (gradio 6.31) rebuilds its element for every new value, so zoom, hover and hidden legend entries are lost.
This component keeps one element and hands new data to `Plotly.react`; the figures carry a constant `uirevision`. It
uses the plotly that gradio itself ships, which `load_plotly` makes the page load. Remove it when gr.Plot keeps its
element. This room must not know what the figures show.
"""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from bnf_lab.plots import TokenCell, empty_figure
from bnf_lab.ui.theme import ASSETS

_PLOT_CSS = "@media (max-width: 600px) { .modebar-container { display: none } }"
_TOKENS_CSS = (
    ".lab-tokens { white-space: pre-wrap; line-height: 2 }"
    " .lab-tokens span { border-radius: 3px; padding: 2px 0 }"
)


class LivePlot(gr.HTML):
    """Shows a `Figure`; None leaves it as it is. Put each in a `gr.Column(min_width=320)`, so that it wraps."""

    def __init__(self, value: go.Figure | None = None, **options: Any) -> None:
        super().__init__(
            value=value,
            html_template='<div class="lab-plot" role="img"></div>',
            css_template=_PLOT_CSS,
            js_on_load=(ASSETS / "plot.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            **options,
        )

    def postprocess(self, value: go.Figure | None) -> str | None:
        return None if value is None else value.to_json()

    def get_block_name(self) -> str:
        return "html"


class TokenStrip(gr.HTML):
    """Shows tokens as coloured text with tooltips; texts reach the page as JSON data, never as markup."""

    def __init__(self, value: tuple[TokenCell, ...] | None = None, **options: Any) -> None:
        super().__init__(
            value=value,
            html_template='<div class="lab-tokens"></div>',
            css_template=_TOKENS_CSS,
            js_on_load=(ASSETS / "tokens.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            **options,
        )

    def postprocess(self, value: tuple[TokenCell, ...] | None) -> str | None:
        return None if value is None else json.dumps([[c.text, c.color, c.tooltip] for c in value])

    def get_block_name(self) -> str:
        return "html"


def load_plotly() -> gr.Plot:
    """Puts a hidden plot on the page, once, so that gradio loads its own plotly for every `LivePlot`."""
    return gr.Plot(value=empty_figure(""), visible="hidden", elem_id="plotly-loader")
