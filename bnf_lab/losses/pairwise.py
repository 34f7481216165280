"""Losses that compare the two responses of a pair; each returns (P,), one value a pair. torch only.

h is a response's summed log-likelihood against the reference, sum_i (log p_i - log q_i), n its length in tokens and l
its mean log-likelihood, (1/n) sum_i log p_i; w marks the preferred and l the dispreferred response. A pair counts with
the mean weight of its two judgements. Only complete pairs count. This room must not know models, files or pages.
"""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from bnf_lab.losses.terms import (
    TokenScores,
    logit,
    mean_logps,
    mean_shifts,
    pair_gaps,
    pair_weights,
    sequence_shifts,
    split_pairs,
)

SUREST = -(2.0**-24)
"""log of the largest probability below 1 in float32, where odds end: p = 1 would make them infinite."""


def dpo_loss(scores: TokenScores, *, beta: float) -> Tensor:
    """Computes Direct Preference Optimization.

        L = -log sigmoid(beta g),   g = h_w - h_l,   dL/dg = -beta sigmoid(-beta g)

    Only the gap g counts, so both likelihoods may fall while the loss does.

    Args:
        scores: See `TokenScores`.
        beta: Strength of the pull towards the reference, > 0; 0.1 in the paper's experiments.

    Source:
        Rafailov et al. 2023 (arXiv 2305.18290), equation 7; no label smoothing.
    """
    return pair_weights(scores) * -F.logsigmoid(beta * pair_gaps(sequence_shifts(scores), scores.pairs))


def ipo_loss(scores: TokenScores, *, beta: float) -> Tensor:
    """Computes Identity Preference Optimization, averaged over length.

        L = (g - 1/(2 beta))^2,   g = h_w/n_w - h_l/n_l,   dL/dg = 2 (g - 1/(2 beta))

    The gap is drawn to 1/(2 beta) nats/token from both sides instead of growing without end.

    Args:
        scores: See `TokenScores`.
        beta: The paper's tau, > 0; the wanted gap is 1/(2 beta).

    Source:
        Azar et al. 2023 (arXiv 2310.12036), equation 17. The division by length is not in the text; the authors
        confirmed it to TRL, whose form this is.
    """
    return pair_weights(scores) * (pair_gaps(mean_shifts(scores), scores.pairs) - 1 / (2 * beta)).square()


def slic_loss(scores: TokenScores, *, beta: float) -> Tensor:
    """Computes the hinge of sequence likelihood calibration (SLiC-HF).

        L = max(0, 1 - beta g),   g = h_w - h_l,   dL/dg = -beta where g < 1/beta, else 0

    Args:
        scores: See `TokenScores`.
        beta: Inverse of the gap beyond which a pair is left alone, > 0; in nats, 1/beta.

    Source:
        Zhao et al. 2023 (arXiv 2305.10425), equation 1, with the likelihoods taken against the reference as in Liu et
        al. 2023 (arXiv 2309.06657, section 3.2) and in TRL; without the paper's second, regularising term, whose part
        the reference plays.
    """
    return pair_weights(scores) * F.relu(1 - beta * pair_gaps(sequence_shifts(scores), scores.pairs))


def simpo_loss(scores: TokenScores, *, simpo_beta: float, simpo_gamma: float) -> Tensor:
    """Computes Simple Preference Optimization: no reference, likelihoods averaged over length.

        L = -log sigmoid(beta g - gamma),   g = l_w - l_l,   dL/dg = -beta sigmoid(gamma - beta g)

    Args:
        scores: See `TokenScores`; the reference is not used.
        simpo_beta: Scale of the gap, > 0; the paper uses 2.0 to 2.5.
        simpo_gamma: Margin the scaled gap has to exceed; the authors advise gamma / beta = 0.5 to begin with.

    Source:
        Meng et al. 2024 (arXiv 2405.14734), equation 6.
    """
    gaps = pair_gaps(mean_logps(scores), scores.pairs)
    return pair_weights(scores) * -F.logsigmoid(simpo_beta * gaps - simpo_gamma)


def orpo_loss(scores: TokenScores, *, orpo_lambda: float) -> Tensor:
    """Computes Odds Ratio Preference Optimization: fine-tuning on the preferred response plus a ratio of odds.

        L = -l_w - lambda log sigmoid(r),   r = logit(exp l_w) - logit(exp l_l)
        dr/dl_w = 1 / (1 - exp l_w),   dr/dl_l = -1 / (1 - exp l_l)

    Args:
        scores: See `TokenScores`; the reference is not used.
        orpo_lambda: Weight of the ratio, >= 0; 0.1 in the paper.

    Source:
        Hong et al. 2024 (arXiv 2403.07691), equations 6 and 7. The fine-tuning term is over response tokens (TRL's
        also counts the prompt). Odds of a response that is sure to the last float32 digit count as 2^24.
    """
    preferred, dispreferred = split_pairs(mean_logps(scores), scores.pairs)
    ratios = logit(preferred.clamp(max=SUREST)) - logit(dispreferred.clamp(max=SUREST))
    return pair_weights(scores) * (-preferred - orpo_lambda * F.logsigmoid(ratios))
