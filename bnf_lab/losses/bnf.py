"""The Bidirectional Negative Feedback loss (arXiv 2410.04834). Pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from bnf_lab.losses.terms import TokenScores, logit, signed_weights, token_means


def bnf_token_weights(policy_logps: Tensor, reference_logps: Tensor) -> Tensor:
    """Computes BNF's weight of each token: how open its feedback is.

    With p = exp(policy_logps) and q = exp(reference_logps),

        w = (t - p) / (1 - p) = min(1, odds(p) / odds(q)),   t = min(1, p / q),   odds(p) = p / (1 - p),

    computed as log w = min(0, logit(p) - logit(q)) with logit = lp - log(-expm1(lp)), which needs no epsilon:
    w is exactly 1 where p >= q and lies in [0, 1) where p < q. |dL/dz| = w (1 - p) is a tent over p with its peak
    1 - q at p = q.

    Args:
        policy_logps: Any shape, log-probabilities (<= 0) of tokens under the policy; used without gradient.
        reference_logps: Same shape, of the same tokens under the reference.

    Returns:
        Weights of the same shape, float32 (float64 for float64 input), in [0, 1], without gradient.

    Raises:
        ValueError: If the shapes differ.

    Source:
        "As Simple as Fine-tuning" (arXiv 2410.04834), the dynamic target distribution; the weight is our closed form.

    >>> p, q = torch.tensor([0.2, 0.5, 0.8]), torch.tensor([0.5, 0.5, 0.5])
    >>> bnf_token_weights(p.log(), q.log())
    tensor([0.2500, 1.0000, 1.0000])
    """
    if policy_logps.shape != reference_logps.shape:
        shapes = f"policy_logps {tuple(policy_logps.shape)}, reference_logps {tuple(reference_logps.shape)}"
        raise ValueError(f"{shapes}: both need one shape, one value a token.")
    kind = torch.float64 if policy_logps.dtype is torch.float64 else torch.float32
    policy, reference = policy_logps.detach().to(kind), reference_logps.detach().to(kind)
    below = policy < reference
    # Where p >= q the weight is 1 by definition; leaving those out also avoids inf - inf at probabilities of 0 and 1.
    log_weights = torch.where(below, logit(policy) - logit(reference), 0.0)
    return log_weights.clamp(max=0.0).exp()


def bnf_loss(scores: TokenScores) -> Tensor:
    """Computes the Bidirectional Negative Feedback loss, one value a response.

    For a response of n tokens, s = +1 if preferred and -1 if dispreferred, judgement weight c:

        L = c s (1/n) sum_i CE(sg[target_i], pi_i)
        target_i[y_i] = t_i,   target_i[j] = (1 - t_i) / (1 - p_i) sg[pi_i(j)] for j != y_i

    Because (1 - t)/(1 - p) = 1 - w and t = w + (1 - w) p, the cross-entropy is exactly w (-log p) + (1 - w) H with the
    policy's entropy H, and its gradient with respect to the logits is w (pi - onehot(y)): that of fine-tuning with one
    detached weight a token. The value returned is the exact loss, the gradient that of the weighted form.

    Args:
        scores: See `TokenScores`; pairs are not used.

    Returns:
        (R,), each response divided by its own length, so that it never depends on its batch mates.

    Source:
        arXiv 2410.04834. The authors' code divides by the shortest response of the batch and adds 1e-6 in three
        places; we follow the paper.

    A token at p = 0.2 under q = 0.5 in a vocabulary of two, so H = 0.5004 nats and w = 0.25:
    0.25 * 1.6094 + 0.75 * 0.5004 = 0.7777.

    >>> p, q = torch.tensor([[0.2]]), torch.tensor([[0.5]])
    >>> entropy = -(p * p.log() + (1 - p) * (1 - p).log())
    >>> one = torch.ones(1)
    >>> scores = TokenScores(p.log(), q.log(), entropy, p > 0, one > 0, one, torch.empty(0, 2, dtype=torch.long))
    >>> round(bnf_loss(scores).item(), 4)
    0.7777
    """
    weights = bnf_token_weights(scores.policy_logps, scores.reference_logps)
    # a shut gate gives exactly 0, also where p is 0 and its logarithm infinite
    surrogate = torch.where(weights > 0, -weights * scores.policy_logps, 0.0)
    token_losses = surrogate + ((1 - weights) * scores.entropies).detach()
    return signed_weights(scores) * token_means(token_losses, scores.mask)
