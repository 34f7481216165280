"""Counts of judgements -> histograms. Knows numbers only: no record, no page, no file.

Bars are counted here, so a figure stays small however many judgements there are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import plotly.graph_objects as go

from bnf_lab.core.numbers import counted
from bnf_lab.plots.style import DISPREFERRED, NEUTRAL, PREFERRED, empty_figure, new_figure, rounded

N_BINS = 24


def length_histogram(
    preferred_lengths: Sequence[int], dispreferred_lengths: Sequence[int], unit: str = "characters"
) -> go.Figure:
    """Counts responses by length, one bar for each verdict side by side.

    Args:
        preferred_lengths: One length for each preferred response, in `unit`.
        dispreferred_lengths: The same for dispreferred ones.
        unit: "characters" or "tokens".
    """
    lengths = [*preferred_lengths, *dispreferred_lengths]
    if not lengths:
        return empty_figure("No judgements yet. Upload some or mark the model's answers.", 260)
    low, high = min(lengths), max(lengths)
    width = max(1, math.ceil((high - low + 1) / N_BINS))
    figure = _bars(f"length ({unit})")
    for verdict, values in (("preferred", preferred_lengths), ("dispreferred", dispreferred_lengths)):
        _add_bars(figure, verdict, values, low, width, whole=True)
    return figure


def rating_histogram(ratings: Sequence[float], threshold: float) -> go.Figure:
    """Counts ratings, split at `threshold`: at or above it an answer counts as preferred."""
    finite = [rating for rating in ratings if math.isfinite(rating)]
    if not finite:
        return empty_figure("No ratings found.", 260)
    below = [rating for rating in finite if rating < threshold]
    above = [rating for rating in finite if rating >= threshold]
    figure = _bars("rating")
    figure.update_layout(barmode="overlay")
    is_scale = len(set(finite)) <= N_BINS
    edge = (max(below) + min(above)) / 2 if is_scale and below and above else threshold
    if is_scale:
        width = _smallest_gap(finite)
        _add_values(figure, "dispreferred", below, width)
        _add_values(figure, "preferred", above, width)
    else:
        # The bins start at the threshold, so none of them holds both verdicts.
        width = (max(*finite, threshold) - min(*finite, threshold)) / N_BINS
        _add_bars(figure, "dispreferred", below, threshold, width)
        _add_bars(figure, "preferred", above, threshold, width)
    figure.add_shape(
        type="line", x0=edge, x1=edge, yref="paper", y0=0, y1=1, line={"color": NEUTRAL, "width": 2, "dash": "dash"}
    )
    return figure


def _smallest_gap(values: Sequence[float]) -> float:
    return min((b - a for a, b in pairwise(sorted(set(values)))), default=1.0)


def _bars(x_title: str) -> go.Figure:
    figure = new_figure(260, hovermode="closest", bargap=0.08)
    figure.update_layout(xaxis={"title": {"text": x_title}}, yaxis={"title": {"text": "responses"}})
    return figure


def _add_values(figure: go.Figure, verdict: str, values: Sequence[float], width: float) -> None:
    """Adds one bar for each value of a rating scale."""
    counts = Counter(values)
    places = sorted(counts)
    _add_trace(
        figure,
        verdict,
        places,
        [counts[place] for place in places],
        [f"{place:g}" for place in places],
        width=rounded(width * 0.9),
    )


def _add_bars(
    figure: go.Figure, verdict: str, values: Sequence[float], low: float, width: float, *, whole: bool = False
) -> None:
    """Adds one bar for each bin `low + k width` that holds a value."""
    counts = Counter(math.floor((value - low) / width) for value in values)
    places = sorted(counts)
    last = width - 1 if whole else width
    labels = [f"{low + k * width:.4g}" + (f" to {low + k * width + last:.4g}" if last > 0 else "") for k in places]
    _add_trace(
        figure,
        verdict,
        [low + k * width + last / 2 for k in places],
        [counts[k] for k in places],
        labels,
        width=None if whole else rounded(width * 0.9),
    )


def _add_trace(
    figure: go.Figure, verdict: str, x: Sequence[float], y: Sequence[int], labels: Sequence[str], *, width: float | None
) -> None:
    is_preferred = verdict == "preferred"
    figure.add_trace(
        go.Bar(
            x=[rounded(value) for value in x],
            y=list(y),
            customdata=[f"{label}: {counted(n, 'response')}" for label, n in zip(labels, y, strict=True)],
            width=width,
            uid=verdict,
            meta=verdict,
            name=f"{verdict} ({sum(y)})",
            marker={
                "color": PREFERRED if is_preferred else DISPREFERRED,
                "pattern": {
                    "shape": "" if is_preferred else "/",
                    "fillmode": "overlay",
                    "fgcolor": "#FFFFFF",
                    "fgopacity": 0.5,
                    "size": 6,
                },
            },
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
