"""What losses are made of: their input record and the sums and means that several of them share. torch only.

R is the number of responses in a batch and T the longest response, in tokens. All log-probabilities are natural
logarithms in float32, at response tokens only; positions where `mask` is False never count. This room must not know
models, tokenizers, files or pages.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenScores:
    """What a loss may see of one batch.

    Attributes:
        policy_logps: (R, T) float32, log p_i of each response token under the policy; carries the gradient.
        reference_logps: (R, T) float32, log q_i of the same tokens under the frozen reference.
        entropies: (R, T) float32, entropy of the policy's distribution at each position, nats; no gradient.
        mask: (R, T) bool, True at response tokens; every row has at least one.
        is_preferred: (R,) bool.
        weights: (R,) float32 in (0, 1], how much each judgement counts.
        pairs: (P, 2) long, rows of the preferred and the dispreferred response of each complete pair.
        reference_point: KTO's z0 of the whole step, nats; 0 for every other loss.
    """

    policy_logps: Tensor
    reference_logps: Tensor
    entropies: Tensor
    mask: Tensor
    is_preferred: Tensor
    weights: Tensor
    pairs: Tensor
    reference_point: float = 0.0


def logit(logps: Tensor) -> Tensor:
    """Returns log(p / (1 - p)) of log-probabilities lp of any shape, as lp - log(-expm1(lp)); infinite at p = 1.

    >>> logit(torch.tensor([0.5, 0.75]).log())
    tensor([0.0000, 1.0986])
    """
    return logps - torch.log(-torch.expm1(logps))


def signed_weights(scores: TokenScores) -> Tensor:
    """Returns (R,): each judgement's weight with its verdict's sign."""
    return torch.where(scores.is_preferred, scores.weights, -scores.weights)


def token_means(values: Tensor, mask: Tensor) -> Tensor:
    """Returns (R,): the mean over each response's own tokens of (R, T) values."""
    return token_sums(values, mask) / mask.sum(dim=1)


def token_sums(values: Tensor, mask: Tensor) -> Tensor:
    """Returns (R,): the sum over each response's own tokens of (R, T) values, whatever stands outside the mask."""
    return torch.where(mask, values, 0.0).sum(dim=1)


def sequence_shifts(scores: TokenScores) -> Tensor:
    """Returns (R,): h = sum_i (log p_i - log q_i), the response's log-likelihood against the reference, nats."""
    return token_sums(scores.policy_logps - scores.reference_logps, scores.mask)


def mean_shifts(scores: TokenScores) -> Tensor:
    """Returns (R,): h / n, nats/token."""
    return token_means(scores.policy_logps - scores.reference_logps, scores.mask)


def mean_logps(scores: TokenScores) -> Tensor:
    """Returns (R,): (1/n) sum_i log p_i, nats/token."""
    return token_means(scores.policy_logps, scores.mask)


def split_pairs(values: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (P,) and (P,): the (R,) values of each pair's preferred and of its dispreferred response."""
    preferred, dispreferred = pairs.unbind(dim=1)
    return values[preferred], values[dispreferred]


def pair_gaps(values: Tensor, pairs: Tensor) -> Tensor:
    """Returns (P,): (R,) values of each pair, preferred minus dispreferred.

    >>> pair_gaps(torch.tensor([-1.0, -3.0]), torch.tensor([[0, 1]]))
    tensor([2.])
    """
    preferred, dispreferred = split_pairs(values, pairs)
    return preferred - dispreferred


def pair_weights(scores: TokenScores) -> Tensor:
    """Returns (P,): the mean weight of each pair's two judgements."""
    preferred, dispreferred = split_pairs(scores.weights, scores.pairs)
    return (preferred + dispreferred) / 2
