"""Counts of judgements -> histograms. Knows numbers only: no record, no page, no file.

Bars are counted here, so a figure stays small however many judgements there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from bnf_lab.plot_style import DISPREFERRED, NEUTRAL, PREFERRED, empty_figure, new_figure, rounded

N_BINS = 30


def length_histogram(preferred_lengths: Sequence[int], dispreferred_lengths: Sequence[int],
                     unit: str = "characters") -> go.Figure:
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
    figure = _bars(f"length ({unit})", unit)
    for verdict, values in (("preferred", preferred_lengths), ("dispreferred", dispreferred_lengths)):
        _add_bars(figure, verdict, values, low, width, whole=True)
    return figure


def rating_histogram(ratings: Sequence[float], threshold: float) -> go.Figure:
    """Counts ratings, split at `threshold`: at or above it an answer counts as preferred."""
    finite = [rating for rating in ratings if math.isfinite(rating)]
    if not finite:
        return empty_figure("No ratings found.", 260)
    span = max(*finite, threshold) - min(*finite, threshold)
    width = span / (N_BINS - 1) if len(set(finite)) > N_BINS and span > 0 else _smallest_gap([*finite, threshold])
    # The bins start at the threshold, so none of them holds both verdicts.
    low = threshold - width * math.ceil(max(0.0, threshold - min(finite)) / width - 1e-9)
    figure = _bars("rating", "")
    figure.update_layout(barmode="overlay")
    _add_bars(figure, "dispreferred", [r for r in finite if r < threshold], low, width)
    _add_bars(figure, "preferred", [r for r in finite if r >= threshold], threshold, width)
    figure.add_shape(type="line", x0=threshold, x1=threshold, yref="paper", y0=0, y1=1,
                     line={"color": NEUTRAL, "width": 2, "dash": "dash"})
    return figure


def _smallest_gap(values: Sequence[float]) -> float:
    ranked = sorted(set(values))
    gaps = [b - a for a, b in zip(ranked, ranked[1:], strict=False)]
    span = ranked[-1] - ranked[0]
    return max(min(gaps), span / (N_BINS - 1)) if gaps else 1.0


def _bars(x_title: str, unit: str) -> go.Figure:
    figure = new_figure(260, hovermode="closest", bargap=0.08)
    figure.update_layout(xaxis={"title": {"text": x_title}}, yaxis={"title": {"text": "responses"}})
    return figure


def _add_bars(figure: go.Figure, verdict: str, values: Sequence[float], low: float, width: float,
              *, whole: bool = False) -> None:
    counts: dict[int, int] = {}
    for value in values:
        place = math.floor((value - low) / width + 1e-9)
        counts[place] = counts.get(place, 0) + 1
    places = sorted(counts)
    last = width - 1 if whole else width
    labels = [f"{low + k * width:g}" + (f" to {low + k * width + last:g}" if last > 0 else "") for k in places]
    is_preferred = verdict == "preferred"
    figure.add_trace(go.Bar(
        x=[rounded(low + (k + 0.5) * width) for k in places], y=[counts[k] for k in places], customdata=labels,
        width=None if whole else rounded(width * 0.92), uid=verdict, meta=verdict,
        name=f"{verdict} ({len(values)})",
        marker={"color": PREFERRED if is_preferred else DISPREFERRED,
                "pattern": {"shape": "" if is_preferred else "/", "fgopacity": 0.6}},
        hovertemplate="%{customdata}: %{y} responses<extra></extra>"))
