"""The vocabulary's statistics: any chunk, head and way to the gradient give what a plain computation gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bnf_lab.models import token_stats
from bnf_lab.models.heads import OutputHead
from bnf_lab.models.token_stats import TokenStats, compute_stats_and_kl, compute_token_stats

N_WORDS, WIDTH, N_TOKENS = 97, 12, 11


class Recomputed(nn.Module):
    """A head that is no plain linear layer, as one with an adapter is not: its logits are computed twice."""

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, features: Tensor) -> Tensor:
        return self.inner(features)


def make_head(
    *, bias: bool = False, dtype: torch.dtype = torch.float32, scale: float = 1.0, cap: float | None = None
) -> OutputHead:
    torch.manual_seed(3)
    linear = nn.Linear(WIDTH, N_WORDS, bias=bias, dtype=dtype).requires_grad_(False)
    return OutputHead(linear, scale=scale, cap=cap)


SHAPES = {"plain": {}, "scaled": {"scale": 0.3}, "capped": {"cap": 2.5}, "both": {"scale": 1.7, "cap": 4.0}}


def make_features(dtype: torch.dtype = torch.float32, seed: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = (3 * torch.randn(N_TOKENS, WIDTH, generator=generator)).to(dtype).requires_grad_()
    return features, torch.randint(0, N_WORDS, (N_TOKENS,), generator=generator)


def plain_logits(features: Tensor, head: OutputHead) -> Tensor:
    logits = head.linear(features).float() * head.scale
    return logits if head.cap is None else head.cap * torch.tanh(logits / head.cap)


def plain_stats(features: Tensor, targets: Tensor, head: OutputHead) -> TokenStats:
    """The slow twin: whole logits, one definition a line."""
    logits = plain_logits(features, head)
    logps = torch.log_softmax(logits, dim=1)
    rows = torch.arange(len(targets))
    is_target = nn.functional.one_hot(targets, N_WORDS).bool()
    return TokenStats(
        logps[rows, targets],
        logits[rows, targets],
        torch.logsumexp(logits, dim=1),
        -(logps.exp() * logps).sum(dim=1),
        logits[~is_target].reshape(len(targets), -1).mean(dim=1),
    )


@pytest.mark.parametrize("chunk", [1, 3, 10**6])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("wrap", [lambda linear: linear, Recomputed], ids=["frozen", "recomputed"])
def test_values_and_gradients_equal_the_slow_twin(monkeypatch: pytest.MonkeyPatch, chunk, bias, shape, wrap) -> None:
    monkeypatch.setattr(token_stats, "CHUNK_BYTES", chunk * 4 * N_WORDS)
    head = make_head(bias=bias, **SHAPES[shape])
    features, targets = make_features()
    upstream = torch.linspace(-2, 2, N_TOKENS)  # every token has a weight of its own
    found = compute_token_stats(features, targets, replace(head, linear=wrap(head.linear)))
    (found.logps * upstream).sum().backward()
    gradient, features.grad = features.grad, None
    expected = plain_stats(features, targets, head)
    (expected.logps * upstream).sum().backward()
    for name, values in vars(expected).items():
        assert torch.allclose(getattr(found, name), values, atol=1e-5), name
        assert getattr(found, name).requires_grad is (name == "logps")
    assert torch.allclose(gradient, features.grad, atol=1e-5)


def test_a_head_that_trains_gets_its_gradient() -> None:
    head = make_head()
    head.linear.requires_grad_(True)
    features, targets = make_features()
    compute_token_stats(features, targets, head).logps.sum().backward()
    found, head.linear.weight.grad = head.linear.weight.grad, None
    plain_stats(features, targets, head).logps.sum().backward()
    assert torch.allclose(found, head.linear.weight.grad, atol=1e-5)


def test_a_sure_token_keeps_its_small_gradient_in_bfloat16() -> None:
    head = nn.Linear(2, 3, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[8.0, 0.0], [0.0, 8.0], [0.0, 0.0]]))
    features = torch.tensor([[1.0, 0.0]], dtype=torch.bfloat16, requires_grad=True)
    compute_token_stats(features, torch.tensor([0]), OutputHead(head)).logps.sum().backward()
    p = torch.softmax(torch.tensor([8.0, 0.0, 0.0]), dim=0)
    assert features.grad[0, 0].item() == pytest.approx(8 * (1 - p[0]).item(), rel=0.02)  # 0.0054, not 0


def test_without_gradients_none_are_made() -> None:
    features, targets = make_features()
    with torch.no_grad():
        stats = compute_token_stats(features, targets, make_head())
    assert not stats.logps.requires_grad


@pytest.mark.parametrize("chunk", [2, 10**6])
@pytest.mark.parametrize("shape", SHAPES)
def test_divergence_equals_its_definition_and_is_zero_for_equal_models(monkeypatch, chunk, shape) -> None:
    monkeypatch.setattr(token_stats, "CHUNK_BYTES", chunk * 4 * N_WORDS)
    head = make_head(**SHAPES[shape])
    (ours, targets), (theirs, _) = make_features(), make_features(seed=5)
    stats, kl = compute_stats_and_kl(ours, targets, head, reference_features=theirs)
    p, q = (torch.log_softmax(plain_logits(features, head), dim=1) for features in (ours, theirs))
    assert torch.allclose(kl, (p.exp() * (p - q)).sum(dim=1), atol=1e-5)
    for name, values in vars(plain_stats(ours, targets, head)).items():
        assert torch.allclose(getattr(stats, name), values, atol=1e-5), name
    assert torch.equal(compute_stats_and_kl(ours, targets, head, reference_features=ours)[1], torch.zeros(N_TOKENS))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_tempered_head_divides_its_logits(shape) -> None:
    head, (features, _) = make_head(**SHAPES[shape]), make_features()
    assert torch.allclose(head.tempered(0.7)(features), plain_logits(features, head) / 0.7, atol=1e-5)


def test_features_that_are_logits_stay_as_they_are() -> None:
    logits = torch.randn(N_TOKENS, N_WORDS, requires_grad=True)
    kept = logits.detach().clone()
    compute_token_stats(logits, make_features()[1], OutputHead(nn.Identity())).logps.sum().backward()
    assert torch.equal(logits, kept)
