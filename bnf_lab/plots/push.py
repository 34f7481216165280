"""The push that each method gives a token's logit, over the token's probability p. Formulas of numbers, no tensors.

The setting is the smallest one: a pair of responses of one token each, whose reference probability is q; where a method
compares the two, the other one still stands at q. Then -dL/dz of the token's logit z is (1 - p) (-dL/d log p), with
dL/d log p as the docstrings of `bnf_lab.losses` give it. A test holds each formula against autograd through the losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from bnf_lab.core.config import RunConfig

REFERENCE = 0.3
"""The reference probability q at which pushes are drawn."""
N_POINTS = 60

Push = Callable[[RunConfig, float, float], tuple[float, float]]


def compute_push(config: RunConfig, p: float, q: float = REFERENCE) -> tuple[float, float] | None:
    """Returns -dL/dz of a preferred and of a dispreferred token.

    Args:
        config: Its method and the settings that the method reads.
        p: The policy's probability of the token, in (0, 1).
        q: The reference's probability of the token, in (0, 1).

    Returns:
        (preferred, dispreferred), up to a factor common to both; positive raises the likelihood. None for a method that
        only a program registered.
    """
    push = _PUSHES.get(config.method)
    return None if push is None else push(config, p, q)


def push_curves(config: RunConfig) -> tuple[tuple[float, float, float], ...]:
    """Returns points (p, preferred, dispreferred) over p, where the largest push of the two is 1; empty if unknown."""
    places = sorted({(k + 0.5) / N_POINTS for k in range(N_POINTS)} | {REFERENCE})
    points = [(p, *both) for p in places if (both := compute_push(config, p)) is not None]
    largest = max((abs(value) for _, *both in points for value in both), default=0.0) or 1.0
    return tuple((p, up / largest, down / largest) for p, up, down in points)


def _bnf(config: RunConfig, p: float, q: float) -> tuple[float, float]:
    tent = p * (1 - q) / q if p < q else 1 - p
    return tent, -tent


def _nll(config: RunConfig, p: float, q: float) -> tuple[float, float]:
    return 1 - p, p - 1


def _sft(config: RunConfig, p: float, q: float) -> tuple[float, float]:
    return 1 - p, 0.0


def _by_gap(slope: Callable[[RunConfig, float], float]) -> Push:
    """Returns the push of a loss of the gap alone; `slope` is -dL/dg at a gap g, nats."""

    def push(config: RunConfig, p: float, q: float) -> tuple[float, float]:
        gap = math.log(p / q)
        return slope(config, gap) * (1 - p), -slope(config, -gap) * (1 - p)

    return push


def _orpo(config: RunConfig, p: float, q: float) -> tuple[float, float]:
    ratio = _logit(p) - _logit(q)
    return 1 - p + config.orpo_lambda * sigmoid(-ratio), -config.orpo_lambda * sigmoid(ratio)


def _kto(config: RunConfig, p: float, q: float) -> tuple[float, float]:
    value = sigmoid(config.beta * math.log(p / q))
    fading = config.beta * value * (1 - value) * (1 - p)
    return config.kto_desirable * fading, -config.kto_undesirable * fading


def _hybrid(config: RunConfig, p: float, q: float) -> tuple[float, float]:
    pair = _PUSHES[config.hybrid_term](config, p, q)
    first, second = (
        own + 2 * config.hybrid_weight * other  # a pair's term counts for each of its two responses
        for own, other in zip(_bnf(config, p, q), pair, strict=True)
    )
    return first, second


def sigmoid(x: float) -> float:
    """Returns the logistic function of x, without overflow."""
    return 0.5 * (1 + math.tanh(x / 2))


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


_PUSHES: dict[str, Push] = {
    "bnf": _bnf,
    "sft": _sft,
    "nll": _nll,
    "dpo": _by_gap(lambda config, gap: config.beta * sigmoid(-config.beta * gap)),
    "ipo": _by_gap(lambda config, gap: 2 * (1 / (2 * config.beta) - gap)),
    "slic": _by_gap(lambda config, gap: config.beta if gap < 1 / config.beta else 0.0),
    "simpo": _by_gap(lambda config, gap: config.simpo_beta * sigmoid(config.simpo_gamma - config.simpo_beta * gap)),
    "orpo": _orpo,
    "kto": _kto,
    "hybrid": _hybrid,
}
