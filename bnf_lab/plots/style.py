"""How every figure of the lab looks: colours, axes, thinning, rounding. Knows plotly; knows no record, no page.

Colours are Okabe and Ito's colour-blind-safe ones; each comes with a dash or symbol, so that colour is
never the only cue. Backgrounds are transparent and text is a middle grey, so that a figure is readable on
a light and on a dark page (the page may set `layout.font.color` to its own text colour).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import plotly.graph_objects as go

from bnf_lab.core.numbers import is_number

Item = TypeVar("Item")

POINT_LIMIT = 500
SIGNIFICANT_DIGITS = 5
UIREVISION = "bnf-lab"
"""Constant, so that a live update keeps the person's zoom and hidden traces."""

PREFERRED, DISPREFERRED = "#0072B2", "#D55E00"
GREEN, PURPLE, SKY, NEUTRAL = "#009E73", "#CC79A7", "#56B4E9", "#828791"
GRID = "rgba(130,135,145,0.22)"
CLEAR = "rgba(0,0,0,0)"
SYMBOLS = {PREFERRED: "circle", DISPREFERRED: "diamond", GREEN: "square", PURPLE: "triangle-up", SKY: "x"}


@dataclass(frozen=True)
class Series:
    """One line of a figure: its values against steps, and how it is told from the others."""

    uid: str
    name: str
    steps: Sequence[int]
    values: Sequence[float | None]
    color: str
    unit: str = ""
    dash: str = "solid"
    width: float = 2.0
    opacity: float = 1.0
    has_symbols: bool = True
    row: int = 1
    legend: str | None = None
    """Name shared by lines that switch together; only the first of them is listed."""


def thin(items: Sequence[Item], limit: int = POINT_LIMIT) -> list[Item]:
    """Returns at most `limit` items: every k-th from the first on, and always the last.

    k is a power of two, so a growing sequence keeps the very same items until it doubles, and then
    drops every second one: nothing already drawn moves.

    >>> thin(range(11), limit=4)
    [0, 4, 8, 10]
    >>> thin(range(12), limit=4)
    [0, 4, 8, 11]
    """
    if limit < 2:
        raise ValueError("limit must be at least 2: the first and the last item are always kept")
    if len(items) <= limit:
        return list(items)
    stride = 2
    while (len(items) - 2) // stride + 2 > limit:
        stride *= 2
    return [*items[:-1:stride], items[-1]]


def rounded(value: float) -> float:
    """Returns `value` to five significant digits: enough for a plot, half the bytes on the wire.

    >>> rounded(-0.123456789), rounded(12.0)
    (-0.12346, 12.0)
    """
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def escaped(text: str) -> str:
    r"""Returns a token or name as plain plotly text: no markup, line breaks visible.

    >>> escaped("<b>\n")
    '&lt;b&gt;↵'
    """
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def visible(text: str) -> str:
    r"""Returns a token or name with its line breaks, tabs and what cannot be printed made visible.

    >>> visible("a\n")
    'a↵'
    """
    return "".join(_VISIBLE.get(c, c) if c.isprintable() or c in _VISIBLE else "�" for c in text)


_VISIBLE = {"\n": "↵", "\t": "⇥", "\r": "␍"}


def new_figure(height: int = 320, **layout: Any) -> go.Figure:
    """Returns an empty figure in the lab's style; `layout` goes on top of it."""
    return go.Figure(layout={**_base_layout(height), **layout})


def stacked_figure(titles: Sequence[str], height: int = 420) -> go.Figure:
    """Returns a figure of panels above each other over one shared step axis.

    Args:
        titles: The y-axis title of each panel, from the top, units included.
        height: Height of the whole figure, pixels.
    """
    figure = new_figure(height)
    share = 1 / len(titles)
    gap = 0.04
    for row, title in enumerate(titles, start=1):
        bottom = 1 - row * share + (gap if row < len(titles) else 0)
        name = axis_name("yaxis", row)
        figure.update_layout(
            {name: {"title": {"text": title}, "domain": [bottom, 1 - (row - 1) * share], "anchor": "x"}}
        )
    figure.update_layout(xaxis={**_STEP_AXIS, "anchor": axis_name("y", len(titles))})
    return figure


def add_note(figure: go.Figure, text: str, *, row: int = 1, place: tuple[float, float] = (0.01, 1.0)) -> None:
    """Writes a few words inside panel `row`, at a place given as shares of its width and height."""
    figure.add_annotation(
        text=text,
        xref="paper",
        x=place[0],
        xanchor="left" if place[0] < 0.5 else "right",
        showarrow=False,
        yref=f"{axis_name('y', row)} domain",
        y=place[1],
        yanchor="top" if place[1] > 0.5 else "bottom",
    )


def step_figure(quantity: str, unit: str, height: int = 320) -> go.Figure:
    """Returns a figure of one panel over steps; the hover box names the unit once, in its title."""
    figure = new_figure(height, xaxis=_STEP_AXIS, yaxis={"title": {"text": f"{quantity} ({unit})"}})
    return figure.update_layout(xaxis_unifiedhovertitle_text=f"step %{{x}} ({unit})")


def reach_to(figure: go.Figure, total_steps: int) -> go.Figure:
    """Lets the step axis of a figure reach to the last planned step from the start, with room for the end symbols.

    A line then grows into the room it will need, and how much of the run is still to come can be seen. Steps beyond
    the plan are shown too. A figure without lines, or a run whose plan is unknown (0), is left as it is.
    """
    last = max((x for trace in figure.data for x in trace.x if x is not None), default=0)
    if figure.data and total_steps:
        end = max(total_steps, last)
        figure.update_layout(xaxis_range=[rounded(-0.02 * end), rounded(1.02 * end)])
    return figure


def empty_figure(text: str, height: int = 320) -> go.Figure:
    """Returns a figure that only says why there is nothing to see yet, in the page's own words."""
    note = {"text": escaped(text), "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "showarrow": False}
    hidden = {"visible": False, "fixedrange": True}
    return new_figure(height, annotations=[note], xaxis=hidden, yaxis=hidden)


def add_line(figure: go.Figure, series: Series) -> None:
    """Adds one line; unmeasured moments are bridged. A line without values is added too, so order is stable."""
    points = [(x, rounded(y)) for x, y in zip(series.steps, series.values, strict=True) if is_number(y)]
    mode = "lines+markers" if series.has_symbols or len(points) == 1 else "lines"
    is_first = not any(trace.legendgroup == series.legend for trace in figure.data) if series.legend else True
    unit = f" {series.unit}" if series.unit else ""
    figure.add_trace(
        go.Scatter(
            # plotly.js (3.x) drops a trace of no points and its panel with it; drawn later, that panel gets axes at NaN
            x=[x for x, _ in points] if points else [None],
            y=[y for _, y in points] if points else [None],
            uid=series.uid,
            meta=series.uid,
            name=series.legend or series.name,
            mode=mode,
            line={"color": series.color, "dash": series.dash, "width": series.width},
            opacity=series.opacity,
            marker={"symbol": SYMBOLS.get(series.color, "circle"), "size": 7, "maxdisplayed": 12},
            legendgroup=series.legend or series.uid,
            showlegend=is_first,
            yaxis=axis_name("y", series.row),
            hovertemplate=f"{series.name} %{{y:.4~g}}{unit}<extra></extra>",
        )
    )


def add_band(figure: go.Figure, low: Series, high: Series) -> None:
    """Adds the shaded band between two series; it switches with the line whose uid is their legend name."""
    both = [
        (step, a, b)
        for step, a, b in zip(low.steps, low.values, high.values, strict=True)
        if is_number(a) and is_number(b)
    ]
    for series, place, fill in ((low, 1, None), (high, 2, "tonexty")):
        figure.add_trace(
            go.Scatter(
                x=[row[0] for row in both],
                y=[rounded(row[place]) for row in both],
                uid=series.uid,
                meta=series.uid,
                name=series.name,
                mode="lines",
                line={"width": 0, "color": series.color},
                fill=fill,
                fillcolor=rgba(series.color, 0.16),
                legendgroup=series.legend,
                showlegend=False,
                hoverinfo="skip",
                yaxis=axis_name("y", series.row),
            )
        )


def rgba(color: str, alpha: float) -> str:
    """Returns a #rrggbb colour as a CSS rgba text.

    >>> rgba("#0072B2", 0.5)
    'rgba(0,114,178,0.5)'
    """
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{round(alpha, 3):g})"


def axis_name(letter: str, row: int) -> str:
    """Returns what plotly calls the axis of a row: "y", "y2", "y3" and so on.

    >>> axis_name("y", 1), axis_name("yaxis", 2)
    ('y', 'yaxis2')
    """
    return letter if row == 1 else f"{letter}{row}"


# No spike line: plotly.js draws a white halo around it on a transparent ground, glaring on a dark page.
_STEP_AXIS = {
    "title": {"text": "step"},
    "rangemode": "tozero",
    "unifiedhovertitle": {"text": "step %{x}"},
    "showspikes": False,
}


def _base_layout(height: int) -> dict[str, Any]:
    axis = {
        "gridcolor": GRID,
        "zerolinecolor": GRID,
        "linecolor": GRID,
        "showline": True,
        "ticks": "",
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 12}},
        "tickfont": {"size": 11},
    }
    return {
        "template": go.layout.Template(layout={"xaxis": axis, "yaxis": axis}),
        "height": height,
        "autosize": True,
        "uirevision": UIREVISION,
        "margin": {"l": 56, "r": 12, "t": 8, "b": 44},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"color": NEUTRAL, "size": 12, "family": "system-ui, sans-serif"},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "bgcolor": CLEAR,
            "font": {"size": 12},
        },
        "modebar": {"bgcolor": CLEAR, "color": NEUTRAL, "activecolor": PREFERRED},
        "hovermode": "x unified",
        "dragmode": "zoom",
        "hoverlabel": {"bgcolor": "rgba(28,30,36,0.94)", "bordercolor": GRID, "font": {"color": "#F4F4F5"}},
    }
