"""The drawn pushes against the losses themselves: autograd through `LOSSES` on a pair of one-token responses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bnf_lab.core.config import RunConfig
from bnf_lab.core.methods import METHODS
from bnf_lab.losses import LOSSES
from bnf_lab.losses.terms import TokenScores
from bnf_lab.plots.push import REFERENCE, compute_push, push_curves

SETTINGS = [
    *(RunConfig(method=name) for name in METHODS),
    RunConfig(method="dpo", beta=0.7),
    RunConfig(method="kto", kto_desirable=1.5, kto_undesirable=0.5),
    RunConfig(method="hybrid", hybrid_term="simpo", hybrid_weight=0.4),
    RunConfig(method="orpo", orpo_lambda=2.0),
    RunConfig(method="slic", beta=2.0),
]


def autograd_push(config: RunConfig, p: float, q: float, place: int) -> float:
    """Returns -dL/dz of the token at a place of the pair (0 preferred), the other one at q, summed over units."""
    logits = torch.logit(torch.tensor([[q], [q]], dtype=torch.float64)).float()
    logits[place] = torch.logit(torch.tensor(p))
    logits.requires_grad_()
    scores = TokenScores(
        policy_logps=torch.nn.functional.logsigmoid(logits),
        reference_logps=torch.full((2, 1), q).log(),
        entropies=torch.zeros(2, 1),
        mask=torch.ones(2, 1, dtype=torch.bool),
        is_preferred=torch.tensor([True, False]),
        weights=torch.ones(2),
        pairs=torch.tensor([[0, 1]]),
    )
    loss = LOSSES[config.method]
    loss.compute(scores, **{name: getattr(config, name) for name in loss.settings}).sum().backward()
    return -float(logits.grad[place])


@pytest.mark.parametrize("config", SETTINGS, ids=lambda c: f"{c.method}-{c.beta:g}-{c.hybrid_term}")
@pytest.mark.parametrize("q", [0.3, 0.8])
def test_a_push_is_the_gradient_of_the_loss(config: RunConfig, q: float) -> None:
    for p in (0.02, 0.15, 0.29, 0.31, 0.6, 0.95):
        expected = [autograd_push(config, p, q, place) for place in (0, 1)]
        assert compute_push(config, p, q) == pytest.approx(expected, rel=1e-4, abs=1e-6), p


def test_curves_reach_one_and_the_tent_stands_on_the_reference() -> None:
    for name in METHODS:
        points = push_curves(RunConfig(method=name))
        assert max(abs(value) for _, *both in points for value in both) == pytest.approx(1)
        assert all(0 < p < 1 for p, _, _ in points)
    tent = push_curves(RunConfig())
    assert max(tent, key=lambda point: point[1])[0] == REFERENCE


def test_a_method_of_a_program_has_no_curve() -> None:
    mine = replace(RunConfig())
    object.__setattr__(mine, "method", "mine")
    assert (push_curves(mine), compute_push(mine, 0.5)) == ((), None)
