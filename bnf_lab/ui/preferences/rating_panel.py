"""The panel in which a person says how ratings become verdicts and weights. Components, no lab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bnf_lab.data.ratings import CENTRINGS, WEIGHTINGS, RatingRule
from bnf_lab.data.report import ImportReport
from bnf_lab.plots.histograms import rating_histogram
from bnf_lab.ui.guard import checked_choice, checked_number
from bnf_lab.ui.preferences import words

_STEPS = 100


@dataclass(frozen=True)
class RatingPanel:
    """The panel's components."""

    column: gr.Column
    centring: gr.Radio
    weighting: gr.Radio
    threshold: gr.Slider
    histogram: gr.Plot

    @property
    def inputs(self) -> tuple[Any, ...]:
        return *self.radios, self.threshold

    @property
    def radios(self) -> tuple[gr.Radio, gr.Radio]:
        return self.centring, self.weighting

    @property
    def outputs(self) -> tuple[Any, ...]:
        return self.column, *self.inputs, self.histogram


def draw_rating_panel() -> RatingPanel:
    """Draws the panel, hidden, where the call stands."""
    with gr.Column(visible=False, elem_id="upload-ratings", elem_classes="lab-inset") as column:
        with gr.Row():
            centring = gr.Radio(
                [(words.CENTRINGS[name], name) for name in CENTRINGS],
                value=CENTRINGS[0],
                label=words.CENTRING,
                elem_id="upload-centring",
                min_width=260,
            )
            weighting = gr.Radio(
                [(words.WEIGHTINGS[name], name) for name in WEIGHTINGS],
                value=WEIGHTINGS[0],
                label=words.WEIGHTING,
                elem_id="upload-weighting",
                min_width=260,
            )
        threshold = gr.Slider(0, 1, value=0.5, label=words.THRESHOLD, buttons=[], elem_id="upload-threshold")
        histogram = gr.Plot(show_label=False, container=False)
    return RatingPanel(column, centring, weighting, threshold, histogram)


def show_ratings(panel: RatingPanel, report: ImportReport, rule: RatingRule | None) -> dict[Any, Any]:
    """Returns the updates that show how the ratings of a file are read; hidden where it has none."""
    if not report.ratings:
        return {panel.column: gr.Column(visible=False)}
    chosen, bounds = rule or RatingRule(), _bounds(report)
    updates: dict[Any, Any] = {
        panel.column: gr.Column(visible=True),
        panel.centring: gr.Radio(value=chosen.centring),
        panel.weighting: gr.Radio(value=chosen.weighting),
        panel.threshold: gr.Slider(visible=False),
        panel.histogram: gr.Plot(visible=False),
    }
    if report.threshold is None or bounds is None:
        return updates
    low, high = bounds
    is_whole = all(rating == int(rating) for rating in (*report.ratings, report.threshold))
    step = 1 if is_whole else (high - low) / _STEPS
    updates[panel.threshold] = gr.Slider(low, high, value=report.threshold, step=step, visible=True)
    updates[panel.histogram] = gr.Plot(rating_histogram(report.ratings, report.threshold), visible=True)
    return updates


def read_rule(report: ImportReport, centring: object, weighting: object, threshold: object) -> RatingRule:
    """Returns what a person chose; `report.ratings` bounds the threshold, which only one rating for all has.

    Raises:
        LabError: If a value is none that the panel could hold.
    """
    centre = checked_choice(centring, words.CENTRING, CENTRINGS)
    weights = checked_choice(weighting, words.WEIGHTING, WEIGHTINGS)
    bounds = _bounds(report)
    if centre != "global" or bounds is None:  # it was hidden, so what it holds was not chosen
        return RatingRule(None, centre, weights)
    low, high = bounds
    return RatingRule(checked_number(threshold, words.THRESHOLD, minimum=low, maximum=high), centre, weights)


def _bounds(report: ImportReport) -> tuple[float, float] | None:
    """Returns where the threshold may lie: within the ratings, or as far out as a mapping file has put it.

    None where there is no threshold, or none to choose because all ratings are alike.
    """
    if report.threshold is None:
        return None
    low, high = min(*report.ratings, report.threshold), max(*report.ratings, report.threshold)
    return (low, high) if low < high else None
