"""Every loss against numbers worked by hand, and at the extremes: p = 0, p = 1, overflowing sums, an empty side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bnf_lab.core.config import RunConfig, field_default
from bnf_lab.core.errors import TrainingDiverged
from bnf_lab.core.judgements import Message, Source, build_pair
from bnf_lab.losses import LOSSES, hybrid_loss
from bnf_lab.losses.bnf import bnf_loss
from bnf_lab.losses.pairwise import SUREST, dpo_loss, orpo_loss
from bnf_lab.losses.single import kto_loss
from bnf_lab.losses.terms import TokenScores
from bnf_lab.models.adapters import load_adapter
from bnf_lab.models.loading import LoadedModel
from bnf_lab.training.trainer import BNFTrainer

LN2 = math.log(2)
# By hand, for the pair below. Policy: preferred 1/2, 1/8; dispreferred 1/8. Reference: 1/4, 1/8; 1/4.
#   h_w = ln 2, h_l = -ln 2, lengths 2 and 1;  mean log-likelihoods l_w = -2 ln 2, l_l = -3 ln 2
#   BNF's weights: 1 (p > q), 1 (p = q);  odds(1/8) / odds(1/4) = (1/7) / (1/3) = 3/7;  entropies 0.9, 1.1; 1.4
ENTROPIES = (0.9, 1.1, 1.4)
BNF = (2 * LN2, -(3 / 7 * 3 * LN2 + 4 / 7 * 1.4))
# name, settings, losses, gradient of their sum by the three log-probabilities
WORKED = [
    ("bnf", {}, BNF, (-1 / 2, -1 / 2, 3 / 7)),
    ("nll", {}, (2 * LN2, -3 * LN2), (-1 / 2, -1 / 2, 1)),
    ("sft", {}, (2 * LN2, 0), (-1 / 2, -1 / 2, 0)),
    # g = 2 ln 2, beta g = ln 2: sigmoid = 2/3; dL/dg = -beta / 3
    ("dpo", {"beta": 0.5}, (math.log(1.5),), (-1 / 6, -1 / 6, 1 / 6)),
    # g = ln 2 / 2 + ln 2, wanted 1 / (2 beta) = 2; dL/dg = 2 (g - 2), spread over each response's tokens
    ("ipo", {"beta": 0.25}, ((1.5 * LN2 - 2) ** 2,), (1.5 * LN2 - 2, 1.5 * LN2 - 2, -2 * (1.5 * LN2 - 2))),
    # 1 - g / 2 is above 0, 1 - g is not
    ("slic", {"beta": 0.5}, (1 - LN2,), (-1 / 2, -1 / 2, 1 / 2)),
    ("slic", {"beta": 1.0}, (0,), (0, 0, 0)),
    # g = ln 2, beta g - gamma = 2 ln 2 - ln 2: sigmoid = 2/3; dL/dg = -beta / 3
    ("simpo", {"simpo_beta": 2.0, "simpo_gamma": LN2}, (math.log(1.5),), (-1 / 3, -1 / 3, 2 / 3)),
    # odds 1/3 and 1/7: r = ln(7/3), sigmoid = 7/10; dr/dl_w = 4/3, dr/dl_l = -8/7; dL/dr = -lambda 3/10
    ("orpo", {"orpo_lambda": 0.5}, (2 * LN2 - 0.5 * math.log(0.7),), (-0.5 - 0.1, -0.5 - 0.1, 0.15 * 8 / 7)),
    # z0 = 0: both gain ln 2, v = 2/3; dL/dh = -+ lambda beta 2/9
    (
        "kto",
        {"beta": 1.0, "kto_desirable": 0.75, "kto_undesirable": 1.5},
        (0.75 / 3, 1.5 / 3),
        (-0.75 * 2 / 9, -0.75 * 2 / 9, 1.5 * 2 / 9),
    ),
    # each response carries c L_pair, so the sum holds it twice
    (
        "hybrid",
        {"hybrid_weight": 0.3, "hybrid_term": "dpo", "beta": 0.5, "simpo_beta": 9.0, "simpo_gamma": 9.0},
        (BNF[0] + 0.3 * math.log(1.5), BNF[1] + 0.3 * math.log(1.5)),
        (-0.5 - 0.1, -0.5 - 0.1, 3 / 7 + 0.1),
    ),
    (
        "hybrid",
        {"hybrid_weight": 0.3, "hybrid_term": "simpo", "beta": 9.0, "simpo_beta": 2.0, "simpo_gamma": LN2},
        (BNF[0] + 0.3 * math.log(1.5), BNF[1] + 0.3 * math.log(1.5)),
        (-0.5 - 0.2, -0.5 - 0.2, 3 / 7 + 0.4),
    ),
]
NAMES = sorted(LOSSES)


def default_settings(name: str) -> dict[str, object]:
    return {setting: field_default(setting) for setting in LOSSES[name].settings}


def hand_pair(*, weights: Sequence[float] = (1.0, 1.0), reference_point: float = 0.0) -> TokenScores:
    """The pair of the numbers above in float64; the dispreferred row's second position is padding."""
    policy = torch.tensor([[1 / 2, 1 / 8], [1 / 8, 1.0]], dtype=torch.float64).log().requires_grad_()
    reference = torch.tensor([[1 / 4, 1 / 8], [1 / 4, 1.0]], dtype=torch.float64).log()
    entropies = torch.tensor([ENTROPIES[:2], (ENTROPIES[2], 0.0)], dtype=torch.float64)
    mask = torch.tensor([[True, True], [True, False]])
    verdicts, weight = torch.tensor([True, False]), torch.tensor(weights, dtype=torch.float64)
    return TokenScores(policy, reference, entropies, mask, verdicts, weight, torch.tensor([[0, 1]]), reference_point)


def gradient_of(losses: Tensor, scores: TokenScores) -> Tensor:
    return torch.autograd.grad(losses.sum(), scores.policy_logps)[0]


@pytest.mark.parametrize(("name", "settings", "losses", "gradient"), WORKED, ids=[case[0] for case in WORKED])
def test_value_and_gradient_are_those_worked_by_hand(
    name: str, settings: dict[str, object], losses: Sequence[float], gradient: Sequence[float]
) -> None:
    scores = hand_pair()
    found = LOSSES[name].compute(scores, **settings)
    assert found.tolist() == pytest.approx(losses, abs=1e-12)
    assert gradient_of(found, scores).flatten().tolist() == pytest.approx([*gradient, 0], abs=1e-12)


def test_every_loss_has_numbers_worked_by_hand() -> None:
    assert {name for name, *_ in WORKED} == set(LOSSES)
    assert all(set(settings) == set(LOSSES[name].settings) for name, settings, *_ in WORKED)


@pytest.mark.parametrize(("name", "settings", "losses", "gradient"), WORKED, ids=[case[0] for case in WORKED])
def test_a_pair_counts_with_its_mean_weight_and_a_response_with_its_own(
    name: str, settings: dict[str, object], losses: Sequence[float], gradient: Sequence[float]
) -> None:
    found = LOSSES[name].compute(hand_pair(weights=(1.0, 0.2)), **settings)
    if name == "hybrid":
        expected = [BNF[0] + 0.6 * 0.3 * math.log(1.5), 0.2 * BNF[1] + 0.6 * 0.3 * math.log(1.5)]
    elif LOSSES[name].needs_pairs:
        expected = [0.6 * losses[0]]
    else:
        expected = [losses[0], 0.2 * losses[1]]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_hybrid_without_a_contrastive_weight_is_bnf_exactly() -> None:
    for term in ("dpo", "simpo"):
        settings = default_settings("hybrid") | {"hybrid_weight": 0.0, "hybrid_term": term}
        scores = hand_pair()
        plain, found = bnf_loss(scores), hybrid_loss(scores, **settings)
        assert torch.equal(found, plain)
        assert torch.equal(gradient_of(found, scores), gradient_of(plain, scores))


def test_hybrid_gives_each_response_its_own_pair_and_one_without_a_partner_its_bnf_alone() -> None:
    pair = hand_pair()
    rows = torch.tensor([0, 0, 1, 0, 1])  # one alone, the pair, and a pair at which policy and reference agree
    reference = torch.cat((pair.reference_logps[rows[:3]], pair.policy_logps.detach()))
    scores = TokenScores(
        pair.policy_logps[rows],
        reference,
        pair.entropies[rows],
        pair.mask[rows],
        pair.is_preferred[rows],
        pair.weights[rows],
        torch.tensor([[1, 2], [3, 4]]),
    )
    settings = default_settings("hybrid") | {"beta": 0.5, "hybrid_weight": 0.3}
    expected = [BNF[0], BNF[0] + 0.3 * math.log(1.5), BNF[1] + 0.3 * math.log(1.5), 2.3 * LN2, -2.7 * LN2]
    assert hybrid_loss(scores, **settings).tolist() == pytest.approx(expected, abs=1e-12)


def test_kto_measures_gains_from_its_reference_point() -> None:
    scores = hand_pair(reference_point=LN2)
    found = kto_loss(scores, beta=1.0, kto_desirable=0.75, kto_undesirable=1.5)
    # h_w - z0 = 0, z0 - h_l = 2 ln 2: sigmoids 1/2 and 4/5
    assert found.tolist() == pytest.approx([0.75 / 2, 1.5 / 5], abs=1e-12)
    expected = [-0.75 / 4, -0.75 / 4, 1.5 * 4 / 25, 0]
    assert gradient_of(found, scores).flatten().tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if LOSSES[name].needs_pairs])
def test_pairs_are_told_by_their_rows_and_the_rest_is_left_out(name: str) -> None:
    pair = hand_pair()
    rows = torch.tensor([1, 0, 0, 1])  # dispreferred first, and two responses without a partner
    scores = TokenScores(
        pair.policy_logps[rows],
        pair.reference_logps[rows],
        pair.entropies[rows],
        pair.mask[rows],
        pair.is_preferred[rows],
        pair.weights[rows],
        torch.tensor([[2, 0]]),
    )
    settings = default_settings(name)
    found, expected = LOSSES[name].compute(scores, **settings), LOSSES[name].compute(pair, **settings)
    assert torch.allclose(found, expected, atol=1e-15)
    assert torch.allclose(gradient_of(found, pair), gradient_of(expected, pair), atol=1e-15)


def even_scores(policy: Tensor, *, reference: float = -1.0) -> TokenScores:
    """float32 scores of (R, T) log-probabilities, preferred and dispreferred in turn, as many pairs as there are."""
    n = len(policy)
    policy = policy.clone().requires_grad_()
    even = torch.arange(n) % 2 == 0
    pairs = torch.arange(n // 2 * 2).reshape(-1, 2)
    entropies, mask = torch.full(policy.shape, 0.5), torch.ones(policy.shape, dtype=torch.bool)
    return TokenScores(policy, torch.full(policy.shape, reference), entropies, mask, even, torch.ones(n), pairs)


EVERY = frozenset(LOSSES)
# Log-probability of each of four tokens, which row has it (the other has -1.5), the losses that are not finite there.
EXTREMES = [
    (0.0, "both", frozenset()),
    (0.0, "preferred", frozenset()),
    (0.0, "dispreferred", frozenset()),
    # the square overflows
    (-1e30, "both", frozenset()),
    (-1e30, "preferred", {"ipo"}),
    (-1e30, "dispreferred", {"ipo"}),
    # the sum over tokens overflows; BNF's feedback is shut there and KTO's saturates
    (-1e38, "both", EVERY - {"bnf", "kto"}),
    (-1e38, "preferred", EVERY - {"bnf", "kto"}),
    (-1e38, "dispreferred", {"nll", "ipo"}),
    # a probability of exactly 0
    (-math.inf, "both", EVERY - {"bnf", "kto"}),
    (-math.inf, "preferred", EVERY - {"bnf", "kto"}),
    (-math.inf, "dispreferred", {"nll", "ipo"}),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("logp", "side", "not_finite"), EXTREMES)
@pytest.mark.parametrize("reference", [-1.0, 0.0, -1e4])
def test_at_the_extremes_a_loss_is_finite_with_its_gradient_or_says_so(
    name: str, logp: float, side: str, not_finite: frozenset[str], reference: float
) -> None:
    policy = torch.full((2, 4), -1.5)
    policy[{"both": [0, 1], "preferred": [0], "dispreferred": [1]}[side]] = logp
    scores = even_scores(policy, reference=reference)
    losses = LOSSES[name].compute(scores, **default_settings(name))
    total = losses.sum()  # what the trainer looks at
    assert torch.isfinite(total).item() == (name not in not_finite)
    if torch.isfinite(total):
        assert torch.isfinite(losses).all()
        assert torch.isfinite(gradient_of(losses, scores)).all()


@pytest.mark.parametrize("is_preferred", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_an_empty_side_gives_no_pair_and_a_defined_sum(name: str, is_preferred: bool) -> None:
    scores = even_scores(torch.full((3, 4), -1.5))
    scores = replace(scores, is_preferred=torch.full((3,), is_preferred), pairs=torch.empty(0, 2, dtype=torch.long))
    losses = LOSSES[name].compute(scores, **default_settings(name))
    gradient = gradient_of(losses, scores)
    assert torch.isfinite(losses).all()
    assert torch.isfinite(gradient).all()
    assert losses.shape == ((0,) if LOSSES[name].needs_pairs else (3,))
    learns = not LOSSES[name].needs_pairs and (is_preferred or LOSSES[name].reads_dispreferred)
    assert (losses.sum().item() != 0) == learns
    assert gradient.any().item() == learns
    if name == "hybrid":
        assert torch.equal(losses, bnf_loss(scores))


def test_dpo_and_orpo_do_not_overflow_where_their_sigmoids_would() -> None:
    for gap in (-1e4, 1e4):
        scores = even_scores(torch.tensor([[min(gap, 0.0)], [min(-gap, 0.0)]]))
        assert dpo_loss(scores, beta=1.0).item() == pytest.approx(max(-gap, 0.0))
        assert orpo_loss(scores, orpo_lambda=1.0).item() == pytest.approx(
            2 * max(-gap, 0.0) + (-math.log(-SUREST) if gap < 0 else 0.0), rel=1e-6
        )


def build_trainer(loaded: LoadedModel, adapter_path: Path, folder: Path, method: str) -> BNFTrainer:
    loaded = load_adapter(loaded, adapter_path, "default", trainable=True)
    prompts = [(Message("user", f"What is {i} and {i}?"),) for i in range(4)]
    pairs = [build_pair(p, "It is so.", "No, it is not so.", source=Source.DEMO) for p in prompts]
    config = RunConfig(method=method, n_steps=1, responses_per_step=8, micro_batch_size=8)
    return BNFTrainer.from_judgements(loaded, [j for pair in pairs for j in pair], config, output_dir=folder)


def weights_of(trainer: BNFTrainer) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in trainer.loaded.model.named_parameters() if "lora_" in n}


@pytest.mark.parametrize("name", NAMES)
def test_no_loss_hides_a_policy_that_overflows(
    tiny_loaded: LoadedModel, tiny_adapter_path: Path, tmp_path: Path, name: str
) -> None:
    trainer = build_trainer(tiny_loaded, tiny_adapter_path, tmp_path, name)
    with torch.no_grad():
        for parameter, weight in trainer.loaded.model.named_parameters():
            if "lora_B" in parameter:
                weight.mul_(1e30)
    before = weights_of(trainer)
    with pytest.raises(TrainingDiverged, match=r"(The loss became (nan|inf|-inf)|not finite) at step 1; .* Lower the"):
        trainer.train()
    assert all(torch.equal(weight, before[n]) for n, weight in weights_of(trainer).items())


def test_a_gradient_that_is_not_finite_stops_a_loss_that_is(
    tiny_loaded: LoadedModel, tiny_adapter_path: Path, tmp_path: Path
) -> None:
    trainer = build_trainer(tiny_loaded, tiny_adapter_path, tmp_path, "dpo")
    parameter = next(p for n, p in trainer.loaded.model.named_parameters() if "lora_A" in n)
    parameter.register_hook(lambda gradient: gradient * math.inf)
    before = weights_of(trainer)
    with pytest.raises(TrainingDiverged, match="A gradient is not finite at step 1"):
        trainer.train()
    assert all(torch.equal(weight, before[n]) for n, weight in weights_of(trainer).items())
