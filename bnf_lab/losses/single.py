"""Preference losses as pure functions of tensors: what they return depends on their arguments alone. torch only.

A loss is a function `(scores, **settings) -> (U,) float32` with one value a unit (response or pair) and an entry in
`LOSSES`; the caller decides what to average over. The record that a loss reads is in `terms`, the losses that
compare pairs are in `pairwise`. This room must not know models, tokenizers, files or pages.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bnf_lab.losses.terms import TokenScores, mean_logps, sequence_shifts, signed_weights


def nll_loss(scores: TokenScores) -> Tensor:
    """Computes likelihood up / down, one value a response: L = c s (1/n) sum_i -log p_i.

    Its gradient by the target logit is -s (1 - p)/n: for dispreferred text the push grows as the likelihood falls, the
    positive feedback that BNF removes. Kept for contrast.

    Source:
        Unlikelihood in its plain form; the baseline of arXiv 2410.04834.
    """
    return -signed_weights(scores) * mean_logps(scores)


def sft_loss(scores: TokenScores) -> Tensor:
    """Computes supervised fine-tuning on the preferred responses, one value a response: L = c (1/n) sum_i -log p_i.

    dL/dz = -c (1 - p)/n for the target logit: the push fades as the likelihood nears 1. A dispreferred response gives
    0 and no gradient.

    Source:
        The usual first stage before preference optimization; the baseline "SFT" of arXiv 2410.04834.
    """
    return torch.where(scores.is_preferred, -scores.weights * mean_logps(scores), 0.0)


def kto_loss(scores: TokenScores, *, beta: float, kto_desirable: float, kto_undesirable: float) -> Tensor:
    """Computes Kahneman-Tversky Optimization, one value a response; no pairs.

        L = c lambda_D (1 - sigmoid(beta (h - z0)))   preferred,    h = sum_i (log p_i - log q_i)
        L = c lambda_U (1 - sigmoid(beta (z0 - h)))   dispreferred
        dL/dh = -+ c lambda beta v (1 - v),   v the sigmoid

    z0 is the reference point, max(0, mean log-ratio of other prompts' responses), estimated from the whole step and
    without gradient.

    Args:
        scores: See `TokenScores`; pairs are not used.
        beta: How soon gains and losses saturate, > 0; 0.1 in the paper.
        kto_desirable: lambda_D, weight of preferred responses; 1 where both verdicts are about equally frequent.
        kto_undesirable: lambda_U, weight of dispreferred responses.

    Source:
        Ethayarajh et al. 2024 (arXiv 2402.01306), equations 7 and 8.
    """
    gains = torch.where(scores.is_preferred, 1.0, -1.0) * (sequence_shifts(scores) - scores.reference_point)
    factors = torch.where(scores.is_preferred, kto_desirable, kto_undesirable)
    return scores.weights * factors * (1 - torch.sigmoid(beta * gains))
