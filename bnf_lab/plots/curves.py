"""Records of a run -> plotly figures over steps. Knows `MetricPoint`; knows no page, no file, no tensor.

Every float field of `MetricPoint` is drawn by one of these figures or stands in `TABLE_ONLY`; the probe (held-out
responses) and the training batch are never mixed in one line. The token figures are in `feedback_plots`, the
counts of judgements in `count_plots`; this room hands all of them on. On a page, show them with
`ui.live_plot`: gr.Plot would lose the person's zoom with every update.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from bnf_lab.plots.histograms import length_histogram, rating_histogram
from bnf_lab.plots.style import (
    DISPREFERRED,
    GREEN,
    NEUTRAL,
    PREFERRED,
    PURPLE,
    SKY,
    Series,
    add_band,
    add_line,
    add_note,
    empty_figure,
    stacked_figure,
    step_figure,
    thin,
)
from bnf_lab.plots.tokens import TokenCell, feedback_map, token_cells, token_legend
from bnf_lab.runs.records import MetricPoint

__all__ = [
    "READING",
    "TABLE_ONLY",
    "TokenCell",
    "accuracy_figure",
    "distribution_figure",
    "empty_figure",
    "feedback_map",
    "length_histogram",
    "likelihood_figure",
    "logit_figure",
    "rating_histogram",
    "thin",
    "token_cells",
    "token_legend",
    "training_figure",
]

NATS = "nats/token"
VERDICTS = (("preferred", PREFERRED), ("dispreferred", DISPREFERRED))

TABLE_ONLY = frozenset(
    {
        "seconds",
        "learning_rate",
        "preferred_logp_sum",
        "dispreferred_logp_sum",
        "preferred_target_logit",
        "preferred_logsumexp",
        "dispreferred_target_logit",
        "dispreferred_logsumexp",
    }
)
"""Fields shown as numbers only: sums grow with length, absolute logits have no fixed zero."""

READING = {
    "likelihood": "The higher a line, the likelier the model writes such answers; the two solid lines should part, "
    "and the preferred one should not sink far below its dashed reference.",
    "logits": "Log-likelihood moves by the target-logit shift minus the log-sum-exp shift, so a widening gap "
    "between these two lines is what raises or lowers an answer.",
    "distribution": "KL says how far the model has moved from the base on held-out answers; an entropy near zero "
    "means it hardly hesitates any more.",
    "accuracy": "The share of held-out pairs in which the preferred answer is the likelier one, and by how much; "
    "0.5 is chance.",
    "training": "Loss and gradient come from each step's own batch and jump about; a gate near 0 means BNF has "
    "closed its feedback on those tokens, near 1 that it is fully open.",
    "feedback": "Each point is one held-out token: above zero its logit is pushed up, below zero down, and the push "
    "fades where the model has already moved away from the reference.",
    "tokens": "Blue tokens have become likelier than under the base model, orange ones less likely; "
    "the stronger the colour, the larger the change.",
    "lengths": "If one verdict is clearly longer than the other, the model may learn length instead of what you meant.",
    "ratings": "Answers rated at or above the line count as preferred, those below it as dispreferred.",
}
"""One plain sentence under each plot: how to read it."""


def likelihood_figure(points: Sequence[MetricPoint]) -> go.Figure:
    """Mean log-likelihood of preferred and dispreferred responses over steps, nats/token.

    Solid: the probe, with its 10 to 90 % band over responses. Dashed: the reference on the same
    responses. Thin: the training batch.
    """
    probe, train = _split(points)
    if not probe and not train:
        return empty_figure("No measurement yet. The first one comes with the first training step.")
    figure = step_figure("log-likelihood", NATS)
    for verdict, color in VERDICTS:
        field = f"{verdict}_logp"
        add_band(
            figure,
            _series(probe, f"{field}_p10", f"{verdict}, 10 %", color, legend=field),
            _series(probe, f"{field}_p90", f"{verdict}, 90 %", color, legend=field),
        )
    for verdict, color in VERDICTS:
        add_line(figure, _series(probe, f"{verdict}_logp", verdict, color))
    for verdict, color in VERDICTS:
        add_line(
            figure,
            _series(
                probe,
                f"{verdict}_logp_reference",
                f"{verdict}, reference",
                color,
                dash="dash",
                width=1.5,
                has_symbols=False,
                legend="reference (dashed)",
            ),
        )
    for verdict, color in VERDICTS:
        add_line(
            figure,
            _series(
                train,
                f"train_{verdict}_logp",
                f"{verdict}, batch",
                color,
                width=1.0,
                opacity=0.7,
                has_symbols=False,
                legend="training batch (thin)",
            ),
        )
    return figure


def logit_figure(points: Sequence[MetricPoint]) -> go.Figure:
    """Shifts of target logit, log-sum-exp and the other logits against the reference, a panel a verdict."""
    probe, _ = _split(points)
    if not probe:
        return empty_figure("No measurement yet. The held-out responses are scored at the start of the run.", 420)
    figure = stacked_figure(["logit shift", "logit shift"])
    kinds = (
        ("target_logit", "target logit", GREEN, "solid"),
        ("logsumexp", "log-sum-exp", PURPLE, "dash"),
        ("other_logits", "other logits", SKY, "dot"),
    )
    for row, (verdict, _) in enumerate(VERDICTS, start=1):
        add_note(figure, f"<b>{verdict}</b>", row=row)
        for kind, name, color, dash in kinds:
            add_line(figure, _series(probe, f"{verdict}_{kind}_shift", name, color, dash=dash, row=row, legend=name))
    return figure


def distribution_figure(points: Sequence[MetricPoint]) -> go.Figure:
    """KL(policy || reference) in nats/token above, entropy in nats below; both on the probe."""
    probe, _ = _split(points)
    if not probe:
        return empty_figure("No measurement yet. The held-out responses are scored at the start of the run.", 420)
    figure = stacked_figure([f"KL ({NATS})", "entropy (nats)"])
    add_line(figure, _series(probe, "kl", "KL(policy || reference)", GREEN, NATS))
    for verdict, color in VERDICTS:
        add_line(figure, _series(probe, f"{verdict}_entropy", f"{verdict} entropy", color, "nats", row=2))
    figure.update_layout(yaxis_rangemode="tozero", yaxis2_rangemode="tozero")
    return figure


def accuracy_figure(points: Sequence[MetricPoint]) -> go.Figure:
    """Held-out accuracy (share, 0 to 1) above, margin (nats/token) below.

    Solid: by log-likelihood. Dashed: by its shift against the reference.
    """
    probe = [point for point in _split(points)[0] if point.accuracy is not None or point.accuracy_shift is not None]
    if not probe:
        return empty_figure("No held-out pairs scored. Accuracy needs pairs: two answers to one prompt.", 420)
    figure = stacked_figure(["accuracy (share)", f"margin ({NATS})"])
    for row, kind, unit in ((1, "accuracy", ""), (2, "margin", NATS)):
        add_line(figure, _series(probe, kind, f"{kind}, likelihood", GREEN, unit, row=row, legend="by likelihood"))
        add_line(
            figure,
            _series(
                probe,
                f"{kind}_shift",
                f"{kind}, against reference",
                PURPLE,
                unit,
                dash="dash",
                row=row,
                legend="by shift against reference",
            ),
        )
    figure.update_layout(yaxis={"range": [-0.04, 1.04], "tickvals": [0, 0.25, 0.5, 0.75, 1]})
    _add_level(figure, 0.5, "y")
    _add_level(figure, 0.0, "y2")
    return figure


def training_figure(points: Sequence[MetricPoint]) -> go.Figure:
    """Loss, gradient norm and gate (mean BNF weight) over steps, three panels.

    Loss and gradient norm are the training batch's. Gates: solid on the probe, thin on the batch.
    """
    probe, train = _split(points)
    if not probe and not train:
        return empty_figure("No training step yet.", 500)
    figure = stacked_figure(["loss (nats)", "gradient norm", "gate (mean w)"], height=500)
    add_line(figure, _series(train, "loss", "loss", GREEN, "nats", width=1.5, has_symbols=False))
    add_line(
        figure, _series(train, "grad_norm", "gradient norm", PURPLE, dash="dash", width=1.5, has_symbols=False, row=2)
    )
    for verdict, color in VERDICTS:
        add_line(figure, _series(probe, f"{verdict}_gate", f"{verdict} gate", color, row=3))
    for verdict, color in VERDICTS:
        add_line(
            figure,
            _series(
                train,
                f"train_{verdict}_gate",
                f"{verdict} gate, batch",
                color,
                row=3,
                width=1.0,
                opacity=0.7,
                has_symbols=False,
                legend="gate, training batch (thin)",
            ),
        )
    figure.update_layout(yaxis2_rangemode="tozero", yaxis3={"range": [-0.04, 1.04], "tickvals": [0, 0.5, 1]})
    return figure


def _split(points: Sequence[MetricPoint]) -> tuple[list[MetricPoint], list[MetricPoint]]:
    ordered = sorted(points, key=lambda point: point.step)
    probe, train = ([p for p in ordered if p.source == source] for source in ("probe", "train"))
    return thin(probe), thin(train)


def _series(points: Sequence[MetricPoint], field: str, name: str, color: str, unit: str = "", **style: Any) -> Series:
    values = [getattr(point, field) for point in points]
    return Series(field, name, [point.step for point in points], values, color, unit, **style)


def _add_level(figure: go.Figure, level: float, axis: str) -> None:
    figure.add_shape(
        type="line",
        xref="paper",
        x0=0,
        x1=1,
        yref=axis,
        y0=level,
        y1=level,
        line={"color": NEUTRAL, "width": 1, "dash": "dot"},
    )
