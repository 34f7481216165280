"""An experiment's groups -> figures: measures along a setting, curves over steps, logit shifts.

Knows experiment records and plotly; knows no page, no file, no tensor.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from bnf_lab.core.numbers import counted, is_number
from bnf_lab.experiments.lines import Line, setting_words, value_label
from bnf_lab.experiments.measures import MEASURES
from bnf_lab.experiments.recipes import Recipe
from bnf_lab.experiments.records import Estimate, Group
from bnf_lab.plots.style import (
    DISPREFERRED,
    GREEN,
    NEUTRAL,
    PREFERRED,
    PURPLE,
    SKY,
    axis_name,
    empty_figure,
    escaped,
    new_figure,
    rounded,
    stacked_figure,
    thin,
)

FLOOR, CEILING = -12.0, 12.0
"""Shifts beyond these, nats/token, are drawn at the edge: a collapsed run at -200 would flatten all others."""
CURVE_POINTS = 50
CURVE_SEEDS = 5
LOG_FROM_RATIO = 10.0
SHIFTS = ("preferred_shift", "dispreferred_shift")
LOGIT_SHIFTS = tuple(name for name in MEASURES if name.endswith(("logit_shift", "logits_shift", "logsumexp_shift")))
COLLAPSED = "#DC3B3B"
_SHORT = {
    "accuracy": "share of pairs",
    "preferred_shift": "preferred",
    "dispreferred_shift": "dispreferred",
    "loss_variance": "variance of loss",
    "grad_norm": "mean gradient norm",
}


def measure_figure(recipe: Recipe, lines: Sequence[Line], measures: Sequence[str], height: int = 460) -> go.Figure:
    """Draws measures with their 95 % intervals along `recipe.along`, a panel each; bars if no line has two values.

    Args:
        recipe: Names what is compared and along which setting.
        lines: Of one data set, or of all where data is one of the two.
        measures: Names of measures, from the top.
        height: Pixels.
    """
    if not any(name in group.estimates for line in lines for group in line.groups for name in measures):
        return empty_figure("Not measured yet.", height)
    along = _Along(recipe, lines)
    figure = stacked_figure([_axis_title(name) for name in measures], height)
    figure.update_layout(xaxis=along.axis(), hovermode="closest", barmode="overlay", bargap=0.35)
    for row, name in enumerate(measures, start=1):
        for k, line in enumerate(lines):
            _add_measure(figure, along, line, k, name, row)
        _add_collapsed(figure, along, name, row)
        figure.update_layout({axis_name("yaxis", row): _value_axis(name, lines)})
    return figure


def logit_shift_figure(recipe: Recipe, lines: Sequence[Line], height: int = 460) -> go.Figure:
    """Draws shifts of target logit, log-sum-exp and other logits as bars, a panel a verdict."""
    figure = stacked_figure(["preferred", "dispreferred"], height)
    along = _Along(recipe, lines)
    marked = [(line, group) for line in lines for group in line.groups]
    names = [line.name if along.is_single else f"{line.name}, {along.label(group)}" for line, group in marked]
    figure.update_layout(barmode="group", hovermode="closest", bargap=0.3, xaxis=_names_axis(names))
    kinds = (
        ("target_logit", "target logit", GREEN, ""),
        ("logsumexp", "log-sum-exp", PURPLE, "/"),
        ("other_logits", "other logits", SKY, "x"),
    )
    for row, verdict in enumerate(("preferred", "dispreferred"), start=1):
        for kind, label, color, pattern in kinds:
            name = f"{verdict}_{kind}_shift"
            found = [group.estimates.get(name) for _, group in marked]
            figure.add_trace(
                go.Bar(
                    x=list(range(len(marked))),
                    y=[_drawn(name, e.mean) if e else None for e in found],
                    name=label,
                    legendgroup=label,
                    showlegend=row == 1,
                    yaxis=axis_name("y", row),
                    marker={
                        "color": color,
                        "pattern": {
                            "shape": pattern,
                            "fillmode": "overlay",
                            "fgcolor": "#FFFFFF",
                            "fgopacity": 0.6,
                            "size": 6,
                        },
                    },
                    customdata=[_hover(along, line, group, name) for line, group in marked],
                    hovertemplate="%{customdata}<extra></extra>",
                )
            )
    return figure


def curve_setting(recipe: Recipe, lines: Sequence[Line]) -> Any:
    """Returns the value of `recipe.along` whose curves are shown: one that a claim names, else the middle one.

    Only values at which most lines have curves are considered; None if there is no curve.
    """
    counts = Counter(
        g.setting(recipe.along) for line in lines for g in line.groups if any(result.curve for result in g.results)
    )
    best = [value for value, n in counts.items() if n == max(counts.values())]
    claimed = [claim.where.get(recipe.along) for claim in recipe.claims]
    return next((value for value in best if value in claimed), best[len(best) // 2] if best else None)


def curve_figures(recipe: Recipe, lines: Sequence[Line], value: Any) -> list[tuple[str, go.Figure]]:
    """Draws shifts of both log-likelihoods over steps, a small figure a line, all on one scale.

    Each seed is a line of its own: an average would hide the one that collapsed.
    """
    is_single = _Along(recipe, lines).is_single
    chosen = [
        (line.name, group)
        for line in lines
        for group in line.groups
        if is_single or group.setting(recipe.along) == value
    ]
    figures = [(name, _draw_curves(group)) for name, group in chosen if any(r.curve for r in group.results)]
    heights = [y for _, figure in figures for trace in figure.data for y in trace.y]
    low, high = min(heights, default=-1.0), max(heights, default=1.0)
    pad = 0.06 * (high - low) or 1.0
    for _, figure in figures:
        figure.update_layout(yaxis_range=[rounded(low - pad), rounded(high + pad)])
    return figures


def is_clipped(name: str, group: Group) -> bool:
    """Returns whether a group's value lies beyond what is drawn."""
    found = group.estimates.get(name)
    return found is not None and _has_edges(name) and not FLOOR <= found.mean <= CEILING


class _Along:
    """Where the values of the drawn setting lie on the x axis; lines stand side by side, not on each other."""

    def __init__(self, recipe: Recipe, lines: Sequence[Line]) -> None:
        self.recipe, self.lines = recipe, lines
        self.is_single = all(len(line.groups) == 1 for line in lines)
        found = dict.fromkeys(self.value(group) for line in lines for group in line.groups)
        self.is_numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in found)
        self.values = sorted(found) if self.is_numeric else list(found)
        self.is_log = (
            self.is_numeric
            and min(self.values) > 0
            and (recipe.along == "learning_rate" or max(self.values) / min(self.values) >= LOG_FROM_RATIO)
        )
        places = sorted(self._place(value) for value in self.values)
        self.low, self.high = places[0], places[-1]
        self.gap = min((b - a for a, b in pairwise(places)), default=1.0)

    def value(self, group: Group) -> Any:
        return group.setting(self.recipe.along)

    def label(self, group: Group) -> str:
        name = self.recipe.along
        return f"{setting_words(name)} {value_label(name, self.value(group))}"

    def x(self, group: Group, k: int) -> float:
        """Returns the place of a group of line `k`."""
        if self.is_single:
            return k
        dodge = 0.36 * self.gap * (k - (len(self.lines) - 1) / 2) / len(self.lines)
        place = self._place(self.value(group)) + dodge
        return rounded(10**place if self.is_log else place)

    def axis(self) -> dict[str, Any]:
        if self.is_single:
            return _names_axis([line.name for line in self.lines])
        pad = max(0.4 * self.gap, 0.05 * (self.high - self.low))
        return {
            "title": {"text": setting_words(self.recipe.along) + (" (log scale)" if self.is_log else "")},
            "type": "log" if self.is_log else "linear",
            "rangemode": "normal",
            "range": [rounded(self.low - pad), rounded(self.high + pad)],
            "tickvals": self.values if self.is_numeric else list(range(len(self.values))),
            "ticktext": [escaped(value_label(self.recipe.along, value)) for value in self.values],
        }

    def _place(self, value: Any) -> float:
        if not self.is_numeric:
            return float(self.values.index(value))
        return math.log10(value) if self.is_log else float(value)


def _add_measure(figure: go.Figure, along: _Along, line: Line, k: int, name: str, row: int) -> None:
    """Adds one line's values of one measure; a missing one leaves a gap."""
    found = [group.estimates.get(name) for group in line.groups]
    common: dict[str, Any] = {
        "x": [along.x(group, k) for group in line.groups],
        "y": [_drawn(name, e.mean) if e else None for e in found],
        "error_y": _whiskers(name, found),
        "name": escaped(line.name),
        "legendgroup": line.name,
        "yaxis": axis_name("y", row),
        "showlegend": row == 1 and not along.is_single,
        "hovertemplate": "%{customdata}<extra></extra>",
        "customdata": [_hover(along, line, group, name) for group in line.groups],
    }
    if along.is_single:
        common["error_y"]["color"] = NEUTRAL  # plotly's own is too dark for a dark page
        figure.add_trace(go.Bar(marker={"color": line.color, "opacity": 0.85}, **common))
        return
    symbols = ["triangle-down" if is_clipped(name, group) else line.symbol for group in line.groups]
    figure.add_trace(
        go.Scatter(
            mode="lines+markers" if along.is_numeric else "markers",
            marker={"symbol": symbols, "size": 9},
            line={"color": line.color, "dash": line.dash, "width": 2},
            **common,
        )
    )


def _add_collapsed(figure: go.Figure, along: _Along, name: str, row: int) -> None:
    """Crosses out the values of which at least one run collapsed."""
    crossed = [
        (along.x(group, k), _drawn(name, group.estimates[name].mean))
        for k, line in enumerate(along.lines)
        for group in line.groups
        if group.n_collapsed and name in group.estimates
    ]
    if not crossed:
        return
    x, y = zip(*crossed, strict=True)
    is_first = not any(trace.legendgroup == "collapsed" for trace in figure.data)
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="markers",
            name="some runs collapsed",
            legendgroup="collapsed",
            showlegend=is_first,
            yaxis=axis_name("y", row),
            hoverinfo="skip",
            marker={"symbol": "x-thin", "size": 11, "line": {"color": COLLAPSED, "width": 2.5}, "color": COLLAPSED},
        )
    )


def _draw_curves(group: Group) -> go.Figure:
    figure = new_figure(210, hovermode="closest", showlegend=False)
    figure.update_layout(xaxis={"title": {"text": "step"}, "rangemode": "tozero"}, margin={"l": 44, "t": 6, "b": 36})
    for result in group.results[:CURVE_SEEDS]:
        points = thin(result.curve, CURVE_POINTS)
        for name, color, dash in (("preferred", PREFERRED, "solid"), ("dispreferred", DISPREFERRED, "dash")):
            measured = [(p.step, v) for p in points if is_number(v := getattr(p, f"{name}_shift"))]
            figure.add_trace(
                go.Scatter(
                    x=[step for step, _ in measured],
                    y=[_drawn(f"{name}_shift", value) for _, value in measured],
                    mode="lines" if len(measured) > 1 else "markers",
                    line={"color": color, "dash": dash, "width": 1.6},
                    customdata=[f"{value:.4g}" for _, value in measured],
                    hovertemplate=f"{name}, seed {result.cell.seed}, step %{{x}}: %{{customdata}}<extra></extra>",
                )
            )
    return figure


def _whiskers(name: str, found: Sequence[Estimate | None]) -> dict[str, Any]:
    """Returns the error bars of drawn values, cut where the values are."""

    def length(estimate: Estimate | None, end: float | None) -> float:
        mean = _drawn(name, estimate.mean) if estimate else None
        drawn = _drawn(name, end) if end is not None else None
        return 0.0 if mean is None or drawn is None else rounded(abs(drawn - mean))

    return {
        "type": "data",
        "symmetric": False,
        "thickness": 1.5,
        "width": 4,
        "array": [length(e, e.high if e else None) for e in found],
        "arrayminus": [length(e, e.low if e else None) for e in found],
    }


def _drawn(name: str, value: float) -> float | None:
    """Returns where a value is drawn: shifts and margins in nats/token at the edge if they are beyond it."""
    if not is_number(value):
        return None
    return rounded(min(CEILING, max(FLOOR, value)) if _has_edges(name) else value)


def _has_edges(name: str) -> bool:
    return name.endswith("_shift") and name != "accuracy_shift"


def _hover(along: _Along, line: Line, group: Group, name: str) -> str:
    found, n = group.estimates.get(name), len(group.results)
    if found is None:
        return "not measured"
    interval = "" if found.low is None or found.high is None else f" ({found.low:.4g} to {found.high:.4g})"
    collapsed = f", {group.n_collapsed} collapsed" if group.n_collapsed else ""
    return (
        f"<b>{escaped(line.name)}</b>, {escaped(along.label(group))}<br>{MEASURES[name].label}"
        f" {found.mean:.4g}{interval}<br>{counted(n, 'run')}{collapsed}"
    )


def _value_axis(name: str, lines: Sequence[Line]) -> dict[str, Any]:
    if MEASURES[name].unit.startswith("share"):
        return {"range": [-0.04, 1.04], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    means = [group.estimates[name].mean for line in lines for group in line.groups if name in group.estimates]
    positive = all(is_number(mean) and mean > 0 for mean in means)
    is_wide = not _has_edges(name) and positive and max(means, default=1) > 30 * min(means, default=1)
    return {"type": "log", "tickformat": "~g"} if is_wide else {}


def _names_axis(names: Sequence[str]) -> dict[str, Any]:
    """Returns an axis with a name at each whole number; many are slanted to the left, so that none is cut off."""
    return {
        "title": {"text": ""},
        "rangemode": "normal",
        "tickvals": list(range(len(names))),
        "ticktext": [escaped(name) for name in names],
        "tickangle": -40 if len(names) > 4 else 0,
    }


def _axis_title(name: str) -> str:
    measure = MEASURES[name]
    return _SHORT.get(name) or f"{measure.label.lower()}{f' ({measure.unit})' if measure.unit else ''}"
