"""From hidden states to what the vocabulary says of each response token, without the whole batch's logits.

The projection to the vocabulary and its reductions run over a few positions at a time, in float32. torch only: this
room must not know models, losses or batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bnf_lab.models.heads import OutputHead

CHUNK_BYTES = 48 * 2**20  # float32 logits of one chunk: 256 positions of 49,152 words


@dataclass(frozen=True)
class TokenStats:
    """What the model says of each response token; every tensor (M,) float32 over M tokens, or (R, T) after `spread`.

    Attributes:
        logps: log p of the token, nats; carries the gradient.
        target_logits: The token's logit.
        logsumexps: log of the sum of exp over all logits.
        entropies: Entropy of the distribution, nats.
        other_logits: Mean of all logits but the token's.
    """

    logps: Tensor
    target_logits: Tensor
    logsumexps: Tensor
    entropies: Tensor
    other_logits: Tensor

    def spread(self, mask: Tensor) -> TokenStats:
        """Lays (M,) values out as (R, T) at the True places of `mask`, zero elsewhere."""
        return TokenStats(*(_spread(value, mask) for value in vars(self).values()))

    def split(self, lengths: list[int]) -> list[TokenStats]:
        """Cuts (M,) values into those of single responses, float32 on the CPU."""
        columns = [value.float().cpu().split(lengths) for value in vars(self).values()]
        return [TokenStats(*row) for row in zip(*columns, strict=True)]


def _spread(values: Tensor, mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape, dtype=values.dtype, device=values.device).masked_scatter(mask, values)


def compute_token_stats(features: Tensor, targets: Tensor, head: OutputHead) -> TokenStats:
    """Projects features to the vocabulary and reduces, a chunk at a time.

    Args:
        features: (M, D) at the positions that predict the targets.
        targets: (M,) long.
        head: From features to logits.

    Returns:
        `TokenStats` of (M,). Only `logps` carries a gradient. The logits of all positions never exist together: where
        the head's linear layer is frozen the gradient is made with the values, else the logits are made again in
        backward.
    """
    if type(head.linear) is nn.Linear and not any(p.requires_grad for p in head.linear.parameters()):
        return TokenStats(*_FrozenHead.apply(features, targets, head))
    size = _chunk_size(head, features)
    recompute = torch.is_grad_enabled()
    parts = [
        checkpoint(_chunk_stats, f, t, head, use_reentrant=False) if recompute else _chunk_stats(f, t, head)
        for f, t in zip(features.split(size), targets.split(size), strict=True)
    ]
    return TokenStats(*(torch.cat(values) for values in zip(*parts, strict=True)))


@torch.no_grad()
def compute_stats_and_kl(
    features: Tensor, targets: Tensor, head: OutputHead, *, reference_features: Tensor
) -> tuple[TokenStats, Tensor]:
    """Computes token statistics and KL(policy || reference) in one pass over the vocabulary, without gradients.

    Args:
        features: (M, D) of the policy, at the positions that predict the targets.
        targets: (M,) long.
        head: From features to logits, the same for both models.
        reference_features: (M, D) of the reference.

    Returns:
        `TokenStats` of (M,), and the divergence (M,) float32, nats.
    """
    size = _chunk_size(head, features)
    parts, divergences = [], []
    for f, r, t in zip(features.split(size), reference_features.split(size), targets.split(size), strict=True):
        logits, theirs = head(f), head(r)
        values, probabilities = _reduce(logits, t)
        parts.append(values)
        shifts = values[2] - torch.logsumexp(theirs, dim=1)
        # the difference first: two sums of the size of a logit would leave little of a small divergence
        divergences.append(_row_dots(probabilities, logits.sub_(theirs)) - shifts)
    return TokenStats(*(torch.cat(values) for values in zip(*parts, strict=True))), torch.cat(divergences)


def _chunk_size(head: OutputHead, features: Tensor) -> int:
    n_words = getattr(head.linear, "out_features", features.shape[-1])
    return max(1, CHUNK_BYTES // (4 * n_words))


def _chunk_stats(features: Tensor, targets: Tensor, head: OutputHead) -> tuple[Tensor, ...]:
    logits = head(features)
    logps = logits.gather(1, targets.unsqueeze(1)).squeeze(1) - torch.logsumexp(logits, dim=1)
    (_, *others), _ = _reduce(logits.detach(), targets)
    return logps, *others


def _reduce(logits: Tensor, targets: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """Reduces (C, V) float32 logits to the five values (C,) of `TokenStats`; also returns the probabilities."""
    target_logits = logits.gather(1, targets.unsqueeze(1)).squeeze(1)
    logsumexps = torch.logsumexp(logits, dim=1)
    others = (logits.sum(dim=1) - target_logits) / (logits.shape[1] - 1)
    probabilities = (logits - logsumexps.unsqueeze(1)).exp_()
    entropies = logsumexps - _row_dots(probabilities, logits)
    return (target_logits - logsumexps, target_logits, logsumexps, entropies, others), probabilities


def _row_dots(left: Tensor, right: Tensor) -> Tensor:
    """Returns (C,): the scalar product of each pair of rows, without a (C, V) tensor of products."""
    return torch.bmm(left.unsqueeze(1), right.unsqueeze(2)).flatten()


class _FrozenHead(torch.autograd.Function):
    """Token statistics under a frozen linear head with weight W, with their gradient made on the way.

    d log p_i / d feature_i = ((onehot(y_i) - softmax(z_i)) dz_i / draw_i) W depends on nothing that comes later, so the
    forward pass computes this (M, D) matrix while a chunk's probabilities exist, and backward only scales its rows: no
    logits are kept and none are computed twice. (Fused linear cross-entropies do the same for a mean loss; here each
    token keeps its own row, so any loss of the log-probabilities may follow.)
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, targets: Tensor, head: OutputHead) -> tuple[Tensor, ...]:
        size = _chunk_size(head, features)
        parts, gradients = [], []
        for chunk, target in zip(features.split(size), targets.split(size), strict=True):
            raw = head.linear(chunk)
            logits = head.finish(raw)
            values, probabilities = _reduce(logits, target)
            parts.append(values)
            if features.requires_grad:
                column = target.unsqueeze(1)
                # subtracted in float32: a sure token's small 1 - p would be lost in bfloat16
                excess = probabilities.scatter_add_(1, column, torch.full_like(column, -1, dtype=torch.float32))
                head.apply_slopes_(excess, logits)
                gradients.append(excess.to(raw.dtype) @ head.linear.weight.to(raw.dtype))
        if gradients:
            ctx.save_for_backward(torch.cat(gradients))
        outputs = tuple(torch.cat(values) for values in zip(*parts, strict=True))
        ctx.mark_non_differentiable(*outputs[1:])
        ctx.kind = features.dtype
        return outputs

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (excesses,) = ctx.saved_tensors
        return (-upstream[0].unsqueeze(1) * excesses).to(ctx.kind), None, None
