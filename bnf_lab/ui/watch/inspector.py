"""The feedback map and the token inspector over one slider of recorded steps. Knows run folders, no tab."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from bnf_lab.core.numbers import signed
from bnf_lab.plots import curves
from bnf_lab.plots.run_figures import RunFigures
from bnf_lab.plots.sentences import say_tokens
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.readings import Mark
from bnf_lab.runs.records import ProbeResponse, TokenHeader
from bnf_lab.ui.live_plot import live_plot, sent_steps, sent_tokens, step_slider, token_strip
from bnf_lab.ui.markup import fill, html_area, joined
from bnf_lab.ui.watch import words
from bnf_lab.ui.watch.glossary import ask_terms

LABEL_CHARS = 70


@dataclass(frozen=True)
class Look:
    """Where a person looks: which response, and which recorded step (None: always the newest)."""

    run_id: str = ""
    step: int | None = None
    response: int = 0


@dataclass(frozen=True)
class Inspector:
    """The components; `look` is written by the person's own clicks only, never by a timer."""

    look: gr.State
    slider: gr.HTML
    response: gr.Dropdown
    heading: gr.HTML
    feedback: gr.HTML
    prompt: gr.HTML
    tokens: gr.HTML
    note: gr.HTML

    @property
    def moment(self) -> tuple[Any, ...]:
        """What depends on step and response."""
        return self.heading, self.feedback, self.prompt, self.tokens, self.note


def build() -> Inspector:
    """Draws the section where the call stands."""
    look = gr.State(Look())
    with gr.Row(elem_id="watch-look", equal_height=True):
        response = gr.Dropdown(
            [], label=words.RESPONSE, filterable=False, scale=2, min_width=260, elem_id="watch-response"
        )
        with gr.Column(scale=3, min_width=260):
            slider = step_slider(words.RECORDED_STEP, elem_id="watch-step")
    heading = html_area(elem_id="watch-at")
    with gr.Row(elem_classes="lab-plots"):
        with gr.Column(min_width=320):
            html_area(fill("<h3>{}</h3>", words.TITLES["tokens"]))
            prompt = html_area(elem_id="watch-prompt")
            tokens = token_strip(words.TOKENS_LABEL, words.HOVER, elem_id="watch-tokens")
            note = html_area()
            html_area(_legend())
        with gr.Column(min_width=320):
            html_area(fill("<h3>{}</h3>", words.TITLES["feedback"]))
            feedback = live_plot(words.TITLES["feedback"], curves.READING["feedback"], elem_id="plot-feedback")
            html_area(ask_terms("feedback"))
    return Inspector(look, slider, response, heading, feedback, prompt, tokens, note)


def draw_inspector(parts: Inspector, figures: RunFigures, folder: RunFolder, mark: Mark, look: Look) -> dict[Any, Any]:
    """Returns the updates of all components but `look`, as (component: value)."""
    record = figures.tokens(folder, mark)
    step, steps = record.reached(look.step), record.steps
    if record.header is None or step is None:
        waiting = fill('<p class="lab-small">{}</p>', words.TOKENS_NONE)
        return {
            parts.slider: sent_steps((), None),
            parts.response: gr.Dropdown([], value=None),
            parts.heading: str(waiting),
            parts.feedback: figures.feedback(folder, mark, None),
            parts.prompt: "",
            parts.tokens: sent_tokens(()),
            parts.note: "",
        }
    return {
        parts.slider: sent_steps(steps, step),
        parts.response: gr.Dropdown(_choices(record.header), value=_index(record.header, look)),
        **draw_moment(parts, figures, folder, mark, look),
    }


def draw_moment(parts: Inspector, figures: RunFigures, folder: RunFolder, mark: Mark, look: Look) -> dict[Any, Any]:
    """Returns what depends on step and response, without touching the two widgets that choose them."""
    record = figures.tokens(folder, mark)
    step = record.reached(look.step)
    if record.header is None or step is None:
        return {}
    index = _index(record.header, look)
    snapshot = record.read(step)
    cells = curves.token_cells(record.header, snapshot, index)
    return {
        parts.heading: str(_heading(record.steps, step)),
        parts.feedback: figures.feedback(folder, mark, step),
        parts.prompt: str(fill('<p class="lab-row-prompt">{}</p>', record.header.responses[index].prompt)),
        parts.tokens: sent_tokens(cells, say_tokens(record.header, snapshot, index)),
        parts.note: str(_note(record.header.responses[index], cells)),
    }


def _note(response: ProbeResponse, cells: Sequence[curves.TokenCell]) -> Markup:
    shift = sum(cell.shift for cell in cells) / max(1, len(cells))
    return fill(
        '<p class="lab-small"><b class="lab-chip {verdict}">{verdict}</b> {shift} nats/token against the base.</p>',
        verdict=response.verdict,
        shift=signed(shift, plus=True),
    )


def _legend() -> Markup:
    keys = joined(
        fill('<li><i style="background:{}"></i>{}</li>', color, words) for color, words in curves.token_legend()
    )
    return fill(
        '<ul class="lab-legend">{}</ul><p class="lab-small">{}</p>{}',
        keys,
        curves.READING["tokens"],
        ask_terms("tokens"),
    )


def _heading(steps: Sequence[int], step: int) -> Markup:
    newest = " (the newest)" if step == steps[-1] else ""
    return fill('<p class="lab-small">Step {}{}, one of {} recorded.</p>', step, newest, len(steps))


def _choices(header: TokenHeader) -> Sequence[tuple[str, int]]:
    return [(_label(place, response), place) for place, response in enumerate(header.responses)]


def _label(place: int, response: ProbeResponse) -> str:
    prompt = " ".join(response.prompt.split())
    short = prompt if len(prompt) <= LABEL_CHARS else prompt[: LABEL_CHARS - 1] + "…"
    return f"{place + 1} · {response.verdict} · {short}"


def _index(header: TokenHeader, look: Look) -> int:
    return look.response if 0 <= look.response < len(header.responses) else 0
