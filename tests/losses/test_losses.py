"""Losses against their oracles: autograd through the full target distribution, a slow loop, hand-worked numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bnf_lab.core.config import field_default, field_specs
from bnf_lab.core.methods import METHODS
from bnf_lab.losses import LOSSES
from bnf_lab.losses.bnf import bnf_loss, bnf_token_weights
from bnf_lab.losses.single import nll_loss
from bnf_lab.losses.terms import TokenScores

VOCABULARY = 11


def make_scores(
    logits: Tensor, reference_logits: Tensor, targets: Tensor, mask: Tensor, **changes: Tensor
) -> TokenScores:
    """Scores of (R, T, V) logits as the trainer would hand them over."""
    logps = torch.log_softmax(logits, dim=-1)
    reference = torch.log_softmax(reference_logits, dim=-1)
    rows = len(targets)
    values = {
        "policy_logps": logps.gather(-1, targets.unsqueeze(-1)).squeeze(-1),
        "reference_logps": reference.gather(-1, targets.unsqueeze(-1)).squeeze(-1).detach(),
        "entropies": -(logps.exp() * logps).sum(-1).detach(),
        "mask": mask,
        "is_preferred": torch.arange(rows) % 2 == 0,
        "weights": torch.ones(rows, dtype=logits.dtype),
        "pairs": torch.arange(rows // 2 * 2).reshape(-1, 2),
    }
    return TokenScores(**values | changes)


def default_settings(name: str) -> dict[str, object]:
    return {setting: field_default(setting) for setting in LOSSES[name].settings}


def random_case(rows: int, length: int, dtype: torch.dtype = torch.float64, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    logits = (2 * torch.randn(rows, length, VOCABULARY, generator=generator, dtype=torch.float64)).to(dtype)
    reference = (logits.double() + torch.randn(logits.shape, generator=generator, dtype=torch.float64)).to(dtype)
    targets = torch.randint(VOCABULARY, (rows, length), generator=generator)
    lengths = torch.randint(1, length + 1, (rows,), generator=generator)
    mask = torch.arange(length) < lengths.unsqueeze(1)
    return logits.requires_grad_(), reference, targets, mask


def full_distribution_loss(logits: Tensor, reference: Tensor, targets: Tensor, mask: Tensor, signs: Tensor) -> Tensor:
    """L_BNF by its definition: the dynamic target distribution written out and held fixed, token by token."""
    losses = []
    for row in range(len(targets)):
        total = logits.new_zeros(())
        for i in range(int(mask[row].sum())):
            logps = torch.log_softmax(logits[row, i], dim=-1)
            p, q = logps.exp().detach(), torch.softmax(reference[row, i], dim=-1)
            y = targets[row, i]
            t = torch.clamp(p[y] / q[y], max=1.0)
            target = (1 - t) / (1 - p[y]) * p
            target[y] = t
            assert abs(target.sum().item() - 1) < 1e-9
            total = total - (target * logps).sum()
        losses.append(signs[row] * total / mask[row].sum())
    return torch.stack(losses)


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (2, 3), (5, 7)])
def test_bnf_equals_autograd_through_the_full_target_distribution(rows: int, length: int) -> None:
    logits, reference, targets, mask = random_case(rows, length)
    scores = make_scores(logits, reference, targets, mask)
    signs = torch.where(scores.is_preferred, 1.0, -1.0).double()
    ours = bnf_loss(scores)
    (our_gradient,) = torch.autograd.grad(ours.sum(), logits)
    oracle = full_distribution_loss(logits, reference, targets, mask, signs)
    (oracle_gradient,) = torch.autograd.grad(oracle.sum(), logits)
    assert torch.allclose(ours, oracle, atol=1e-12)
    assert (our_gradient - oracle_gradient).abs().max() < 1e-12


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)])
def test_bnf_in_lower_precision_stays_near_the_oracle(dtype: torch.dtype, tolerance: float) -> None:
    logits, reference, targets, mask = random_case(4, 5, dtype)
    scores = make_scores(logits.float(), reference.float(), targets, mask)
    exact_logits = logits.detach().double().requires_grad_()
    signs = torch.where(scores.is_preferred, 1.0, -1.0).double()
    oracle = full_distribution_loss(exact_logits, reference.double(), targets, mask, signs)
    losses = bnf_loss(scores)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    (exact_gradient,) = torch.autograd.grad(oracle.sum(), exact_logits)
    assert torch.allclose(losses.double(), oracle, atol=tolerance)
    assert torch.allclose(gradient.double(), exact_gradient, atol=tolerance)


def test_weight_is_the_ratio_of_odds_below_the_reference_and_one_above() -> None:
    p, q = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64), torch.tensor([0.5, 0.5, 0.5], dtype=torch.float64)
    expected = torch.tensor([1 / 9, 1.0, 1.0], dtype=torch.float64)  # odds 1/9 against odds 1
    assert torch.allclose(bnf_token_weights(p.log(), q.log()), expected)


def test_tent_peaks_at_the_reference_and_falls_to_zero_on_both_sides() -> None:
    q = torch.tensor(0.3, dtype=torch.float64)
    p = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    tent = bnf_token_weights(p.log(), q.log().expand_as(p)) * (1 - p)
    assert p[tent.argmax()].item() == pytest.approx(0.3, abs=0.001)
    assert tent.max().item() == pytest.approx(0.7, abs=0.001)
    rising, falling = tent[p < 0.3], tent[p > 0.3]
    assert torch.allclose(rising.diff(), rising.diff().mean(), atol=1e-9)  # linear on the left
    assert torch.allclose(falling.diff(), falling.diff().mean(), atol=1e-9)  # linear on the right


@pytest.mark.parametrize("policy", [0.0, -1e-30, -1e-8, -50.0, -1e4, -math.inf])
@pytest.mark.parametrize("reference", [0.0, -1e-8, -3.0, -1e4, -math.inf])
def test_weights_are_finite_and_in_range_at_the_extremes(policy: float, reference: float) -> None:
    weight = bnf_token_weights(torch.tensor([policy]), torch.tensor([reference])).item()
    assert 0.0 <= weight <= 1.0
    if policy >= reference:
        assert weight == 1.0


def test_weights_refuse_different_shapes() -> None:
    with pytest.raises(ValueError, match="one shape"):
        bnf_token_weights(torch.zeros(2), torch.zeros(3))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_padding_and_batch_mates_never_change_a_loss(name: str) -> None:
    logits, reference, targets, mask = random_case(6, 9, seed=3)

    def compute(scores: TokenScores) -> Tensor:
        return LOSSES[name].compute(scores, **default_settings(name))

    whole = compute(make_scores(logits, reference, targets, mask))
    noise = torch.where(mask.unsqueeze(-1), 0.0, 7.0)
    padded = compute(make_scores(logits + noise, reference - noise, targets, mask))
    assert torch.equal(whole, padded)
    (gradient,) = torch.autograd.grad(whole.sum(), logits)
    assert gradient[~mask].abs().max() == 0
    assert gradient[mask].abs().max() > 0
    alone = compute(make_scores(logits[:2], reference[:2], targets[:2], mask[:2]))
    assert torch.allclose(whole[: len(alone)], alone)


def test_nll_is_the_signed_mean_and_judgement_weights_scale_it() -> None:
    logits, reference, targets, mask = random_case(2, 4)
    scores = make_scores(logits, reference, targets, mask, weights=torch.tensor([1.0, 0.25]).double())
    expected = [
        sign * weight * -scores.policy_logps[row][mask[row]].mean()
        for row, (sign, weight) in enumerate([(1, 1.0), (-1, 0.25)])
    ]
    assert torch.allclose(nll_loss(scores), torch.stack(expected))
    plain = bnf_loss(make_scores(logits, reference, targets, mask))
    assert torch.allclose(bnf_loss(scores), plain * torch.tensor([1.0, 0.25]))


def test_bnf_at_the_reference_is_plain_fine_tuning() -> None:
    logits, _, targets, mask = random_case(3, 4)
    scores = make_scores(logits, logits.detach(), targets, mask)
    assert torch.equal(bnf_loss(scores), nll_loss(scores))


def test_every_method_can_be_chosen_and_every_setting_exists() -> None:
    specs = field_specs()
    assert set(specs["method"].choices) == set(LOSSES) == set(METHODS)
    for name, loss in LOSSES.items():
        assert all(name in specs[setting].methods for setting in loss.settings)
