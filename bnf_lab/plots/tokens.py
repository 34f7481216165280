"""Token snapshots -> the feedback map and the token inspector's cells. Knows the tent; knows no page, no tensor.

BNF's gradient on the target logit of a token with policy probability p and reference probability q is, before
the 1/n of its response's length and the judgement's weight,

    |dL/dz| = w (1 - p),    w = min(1, odds(p) / odds(q)),    odds(p) = p / (1 - p)

a tent over p: straight from 0 at p = 0 up to 1 - q at p = q, and straight down to 0 at p = 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import NotFound, RunRefused
from bnf_lab.core.numbers import counted
from bnf_lab.plots.push import sigmoid
from bnf_lab.plots.style import (
    DISPREFERRED,
    NEUTRAL,
    PREFERRED,
    SYMBOLS,
    add_note,
    empty_figure,
    escaped,
    new_figure,
    rgba,
    rounded,
    thin,
)
from bnf_lab.runs.records import TokenHeader, TokenSnapshot

SHIFT_SCALE = 3.0
"""Shift in nats at which a token's colour is full: twenty times likelier or less likely."""
FULL_ALPHA = 0.65
QUANTILES = ((0.1, "dot"), (0.5, "solid"), (0.9, "dash"))
SIGNS = {"preferred": 1.0, "dispreferred": -1.0}
COLORS = {"preferred": PREFERRED, "dispreferred": DISPREFERRED}


@dataclass(frozen=True)
class TokenCell:
    """One token of the inspector; plain data, the page escapes it.

    Attributes:
        text: The token, with line breaks and tabs made visible.
        color: CSS background: blue where likelier than the reference, orange where less likely.
        shift: log p - log q, nats.
        p: Policy probability.
        q: Reference probability.
        weight: BNF's weight w, in [0, 1].
        logit: The token's logit under the policy.
        logit_shift: Policy minus reference logit.
        tooltip: The same in words, several lines.
    """

    text: str
    color: str
    shift: float
    p: float
    q: float
    weight: float
    logit: float
    logit_shift: float
    tooltip: str


@dataclass(frozen=True)
class _Token:
    text: str
    verdict: str
    logp: float
    reference_logp: float
    weight: float
    logit: float
    reference_logit: float


def compute_tent(q: float) -> tuple[tuple[float, float], ...]:
    """Returns the corners (p, push) of the tent of a token with reference probability `q`.

    >>> compute_tent(0.25)
    ((0.0, 0.0), (0.25, 0.75), (1.0, 0.0))
    """
    return (0.0, 0.0), (q, 1.0 - q), (1.0, 0.0)


def feedback_map(header: TokenHeader, snapshot: TokenSnapshot, *, beta: float = RunConfig.beta) -> go.Figure:
    """Draws one point a token: policy probability against the push BNF gives its logit.

    Sign: the y axis is -dL/dz of the token's own logit, so a preferred token lies above zero (descent raises its
    logit) and a dispreferred one below. Without the 1/n of the response's length and the judgement's weight. Under
    the points: the tents at the 10, 50 and 90 % quantiles of the probe's q, and in grey what likelihood up/down
    (every weight 1: the line 1 - p) and DPO (one weight sigma(-margin) for a whole pair, here its mean over the
    probe's pairs; divided by beta to share the scale) would give.

    Args:
        header: The probe's responses with their reference values.
        snapshot: One recorded step of the same responses.
        beta: DPO's beta for the grey line.

    Raises:
        RunRefused: If header and snapshot do not describe the same tokens.
    """
    tokens = [token for row in range(_check(header, snapshot)) for token in _tokens(header, snapshot, row)]
    if not tokens:
        return empty_figure("No token recorded yet.", 400)
    figure = new_figure(400, hovermode="closest")
    figure.update_layout(
        xaxis={"title": {"text": "policy probability p of the token"}, "range": [-0.02, 1.02]},
        yaxis={"title": {"text": "push on its logit, -dL/dz"}, "range": [-1.05, 1.05]},
    )
    add_note(figure, "pushed up", place=(0.99, 1.0))
    add_note(figure, "pushed down", place=(0.99, 0.0))
    dpo = _dpo_weight(header, snapshot, beta)
    _add_straight(figure, "NLL", "nll", 1.0, "longdash")
    _add_straight(figure, "DPO / beta", "dpo", dpo, "dashdot")
    references = [math.exp(token.reference_logp) for token in tokens]
    for share, dash in QUANTILES:
        _add_tent(figure, share, float(np.quantile(references, share)), dash)
    for verdict in SIGNS:
        _add_tokens(figure, verdict, [token for token in tokens if token.verdict == verdict])
    return figure


def token_cells(header: TokenHeader, snapshot: TokenSnapshot, index: int) -> tuple[TokenCell, ...]:
    """Returns the tokens of probe response `index` as the inspector shows them.

    Raises:
        NotFound: If there is no such response.
        RunRefused: If header and snapshot do not describe the same tokens.
    """
    n_responses = _check(header, snapshot)
    if not 0 <= index < n_responses:
        raise NotFound(
            f"Token inspector: response {index + 1} was asked for; this run recorded {n_responses}. "
            "Choose one of those."
        )
    return tuple(_cell(place, token) for place, token in enumerate(_tokens(header, snapshot, index), start=1))


def token_legend() -> tuple[tuple[str, str], ...]:
    """Returns the inspector's colour key as (CSS colour, words), from less to more likely."""
    return tuple(
        (shift_color(shift), words)
        for shift, words in (
            (-SHIFT_SCALE, f"-{SHIFT_SCALE:g} nats or less: less likely than under the base"),
            (-SHIFT_SCALE / 3, f"-{SHIFT_SCALE / 3:g} nat"),
            (0.0, "unchanged"),
            (SHIFT_SCALE / 3, f"+{SHIFT_SCALE / 3:g} nat"),
            (SHIFT_SCALE, f"+{SHIFT_SCALE:g} nats or more: likelier"),
        )
    )


def shift_color(shift: float) -> str:
    """Returns the background of a token whose log-probability moved by `shift` nats.

    The alpha channel carries the size, so the page's own text stays readable on a light and a dark ground.

    >>> shift_color(3.0), shift_color(-1.5), shift_color(0.0)
    ('rgba(0,114,178,0.65)', 'rgba(213,94,0,0.325)', 'rgba(0,114,178,0)')
    """
    return rgba(PREFERRED if shift >= 0 else DISPREFERRED, FULL_ALPHA * min(1.0, abs(shift) / SHIFT_SCALE))


def _check(header: TokenHeader, snapshot: TokenSnapshot) -> int:
    expected = [len(response.tokens) for response in header.responses]
    for name in ("logps", "logits", "weights"):
        found = [len(row) for row in getattr(snapshot, name)]
        if found != expected:
            raise RunRefused(
                f"tokens.jsonl, step {snapshot.step}: {name} has {counted(sum(found), 'value')} in "
                f"{counted(len(found), 'response')}; the header lists {counted(sum(expected), 'token')} in"
                f" {len(expected)}. The file is damaged: start the run again to record its tokens."
            )
    return len(expected)


def _tokens(header: TokenHeader, snapshot: TokenSnapshot, row: int) -> Iterator[_Token]:
    response = header.responses[row]
    columns = zip(
        response.tokens,
        snapshot.logps[row],
        response.reference_logps,
        snapshot.weights[row],
        snapshot.logits[row],
        response.reference_logits,
        strict=True,
    )
    for text, logp, reference_logp, weight, logit, reference_logit in columns:
        yield _Token(text, response.verdict, logp, reference_logp, weight, logit, reference_logit)


def _cell(place: int, token: _Token) -> TokenCell:
    p, q, shift = math.exp(token.logp), math.exp(token.reference_logp), token.logp - token.reference_logp
    logit_shift = token.logit - token.reference_logit
    tooltip = (
        f"token {place}\np {p:.3g}, reference q {q:.3g} ({shift:+.2f} nats)\n"
        f"BNF weight w {token.weight:.2f}\nlogit {token.logit:.2f} ({logit_shift:+.2f})"
    )
    return TokenCell(
        token.text.replace("\r", "␍").replace("\n", "↵\n").replace("\t", "⇥\t"),
        shift_color(shift),
        shift,
        p,
        q,
        token.weight,
        token.logit,
        logit_shift,
        tooltip,
    )


def _dpo_weight(header: TokenHeader, snapshot: TokenSnapshot, beta: float) -> float:
    """Returns the mean over the probe's pairs of sigma(-beta (shift preferred - shift dispreferred)).

    Responses to one prompt are paired in order; without any pair the weight is that of an untrained policy, 1/2.
    """
    shifts: dict[tuple[str, str], list[float]] = {}
    for response, logps in zip(header.responses, snapshot.logps, strict=True):
        shifts.setdefault((response.prompt, response.verdict), []).append(sum(logps) - sum(response.reference_logps))
    weights = [
        sigmoid(-beta * (up - down))
        for (prompt, verdict), row in shifts.items()
        if verdict == "preferred"
        for up, down in zip(row, shifts.get((prompt, "dispreferred"), ()), strict=False)
    ]
    return sum(weights) / len(weights) if weights else 0.5


def _add_straight(figure: go.Figure, name: str, uid: str, weight: float, dash: str) -> None:
    height = rounded(weight)
    _add_grey(figure, uid, name, [0, 1, None, 0, 1], [height, 0, None, -height, 0], dash)


def _add_tent(figure: go.Figure, share: float, q: float, dash: str) -> None:
    corners = compute_tent(q)
    x = [rounded(p) for p, _ in corners]
    y = [rounded(push) for _, push in corners]
    _add_grey(
        figure,
        f"tent_{share:g}",
        f"tent q={q:.2g}",
        [*x, None, *x],
        [*y, None, *(-v for v in y)],
        dash,
        color=rgba(NEUTRAL, 1.0),
        width=2.0,
    )


def _add_grey(
    figure: go.Figure,
    uid: str,
    name: str,
    x: Sequence[Any],
    y: Sequence[Any],
    dash: str,
    *,
    color: str = rgba(NEUTRAL, 0.75),
    width: float = 1.0,
) -> None:
    figure.add_trace(
        go.Scatter(
            x=list(x),
            y=list(y),
            uid=uid,
            meta=uid,
            name=name,
            mode="lines",
            hoverinfo="name",
            line={"color": color, "dash": dash, "width": width},
        )
    )


def _add_tokens(figure: go.Figure, verdict: str, tokens: Sequence[_Token]) -> None:
    drawn = thin(tokens)
    p = [math.exp(token.logp) for token in drawn]
    figure.add_trace(
        go.Scatter(
            x=[rounded(value) for value in p],
            y=[rounded(SIGNS[verdict] * token.weight * (1 - value)) for token, value in zip(drawn, p, strict=True)],
            uid=verdict,
            meta=verdict,
            name=verdict,
            mode="markers",
            legendrank=1,
            marker={
                "color": COLORS[verdict],
                "symbol": SYMBOLS[COLORS[verdict]],
                "size": 7,
                "opacity": 0.6,
                "line": {"width": 0},
            },
            customdata=[
                [escaped(token.text), rounded(math.exp(token.reference_logp)), rounded(token.weight)] for token in drawn
            ],
            hovertemplate="<b>%{customdata[0]}</b><br>p %{x:.3g}, q %{customdata[1]:.3g}<br>w %{customdata[2]:.2f}"
            "<br>push %{y:.3f}<extra></extra>",
        )
    )
