"""A plotly figure that can change every second without flicker and without losing the person's zoom.

`gr.Plot` (gradio 6.31) rebuilds its element for every new value, so zoom, hover and hidden legend entries are lost.
These areas keep one element and hand new data to `Plotly.react`; the figures carry a constant `uirevision`. They use
the plotly that gradio itself ships, which `load_plotly` makes the page load. Remove them when gr.Plot keeps its
element. Values travel as JSON and never become markup: the templates hold no value. Beside the figure: coloured tokens
with their values, and a slider over recorded steps. This room must not know what any of them show.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr
from markupsafe import Markup

from bnf_lab.core.paths import ASSETS
from bnf_lab.plots.style import empty_figure
from bnf_lab.plots.tokens import TokenCell
from bnf_lab.ui.markup import fill


def live_plot(title: str, reading: str, **options: Any) -> gr.HTML:
    """Draws the place of a figure where the call stands; its value is a figure's JSON.

    Below it stand how to read it and the sentence on its data (the figure's `layout.meta.says`), which together with
    the title is also its text alternative. Put each in a `gr.Column(min_width=320)`, so that figures wrap on a narrow
    screen.
    """
    template = fill(
        '<div class="lab-plot" role="figure" aria-label="{title}" data-title="{title}"></div>'
        '<p class="lab-small">{reading}</p><p class="lab-data"></p>',
        title=title,
        reading=reading,
    )
    return _scripted(template, "plot.js", options)


def token_strip(label: str, hint: str, **options: Any) -> gr.HTML:
    """Draws the place of coloured tokens and, below them, of the values of the one that is pointed at or chosen.

    Its value is what `sent_tokens` returns. One stop for the Tab key; arrows, Home and End go from token to token, a
    tap or click chooses one too, and the chosen place is kept when the tokens change.
    """
    template = fill(
        '<div class="lab-tokens" role="listbox" aria-orientation="horizontal" aria-label="{}" hidden></div>'
        '<p class="lab-token-values" data-hint="{}" hidden></p><p class="lab-data"></p>',
        label,
        hint,
    )
    return _scripted(template, "tokens.js", options)


def sent_tokens(cells: Sequence[TokenCell], says: str = "") -> str:
    """Returns tokens, and the sentence on them, as a `token_strip` takes them."""
    return json.dumps({"cells": [[cell.text, cell.color, cell.tooltip] for cell in cells], "says": says})


CHOSEN_STEP = """(...values) => {
  const at = document.querySelector('.lab-steps input').dataset.step;
  return [...values.slice(0, -1), at ? Number(at) : null];
}"""
"""Read when the event is sent: gradio (6.31) sends one that had to wait with the data of the one it waited for."""


def step_slider(label: str, **options: Any) -> gr.HTML:
    """Draws a slider with one position a recorded step; its value is what `sent_steps` returns.

    A move fires `input`. The chosen step is no value of the component: an event that lists it last among its inputs and
    has `CHOSEN_STEP` as its `js` receives it, None for the newest.
    """
    template = fill(
        '<label class="lab-steps"><span>{label}: <output>none yet</output></span>'
        '<input type="range" min="0" max="0" step="1" value="0" aria-label="{label}" disabled></label>',
        label=label,
    )
    return _scripted(template, "steps.js", options)


def sent_steps(steps: Sequence[int], step: int | None) -> str:
    """Returns the recorded steps and the shown one as a `step_slider` takes them."""
    return json.dumps({"steps": list(steps), "step": step})


def load_plotly() -> gr.Plot:
    """Puts a hidden plot on a tab: gradio loads its own plotly once the tab is shown. Each tab needs its own."""
    return gr.Plot(value=empty_figure(""), visible="hidden", elem_classes="lab-hidden")


def _scripted(template: Markup, script: str, options: dict[str, Any]) -> gr.HTML:
    return gr.HTML(
        html_template=str(template),
        js_on_load=(ASSETS / script).read_text(encoding="utf-8"),
        apply_default_css=False,
        **options,
    )
