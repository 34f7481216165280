"""Preference losses as pure functions of tensors: what they return depends on their arguments alone. torch only.

R is the number of responses in a batch and T the longest response, in tokens. All log-probabilities are natural
logarithms in float32, at response tokens only; positions where `mask` is False never count. This room must not know
models, tokenizers, files or pages.

A loss is a function `(scores, **settings) -> LossOutput` with an entry in `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
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
    """

    policy_logps: Tensor
    reference_logps: Tensor
    entropies: Tensor
    mask: Tensor
    is_preferred: Tensor
    weights: Tensor
    pairs: Tensor


@dataclass(frozen=True)
class LossOutput:
    """A loss by unit, so that the caller decides what to average over.

    Attributes:
        losses: (U,) float32 with gradient; one value a unit (response or pair).
        token_weights: (R, T) float32 without gradient, BNF's weight w of each token (0 outside the mask).
    """

    losses: Tensor
    token_weights: Tensor


@dataclass(frozen=True)
class Loss:
    """An entry of `LOSSES`: the function and what it asks of the data.

    Attributes:
        compute: The loss.
        label: Name for people.
        summary: One sentence on what it does to likelihoods.
        unit: "response" if `losses` has one value a response, "pair" if one a pair.
        settings: Names of the `RunConfig` fields handed over as keyword arguments.
    """

    compute: Callable[..., LossOutput]
    label: str
    summary: str
    unit: str = "response"
    settings: tuple[str, ...] = ()

    @property
    def needs_pairs(self) -> bool:
        return self.unit == "pair"


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
    log_weights = torch.where(below, _logit(policy) - _logit(reference), 0.0)
    return log_weights.clamp(max=0.0).exp()


def _logit(logps: Tensor) -> Tensor:
    return logps - torch.log(-torch.expm1(logps))


def bnf_loss(scores: TokenScores) -> LossOutput:
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
        `losses` (R,), each response divided by its own length, so that it never depends on its batch mates.

    Source:
        arXiv 2410.04834. The authors' code divides by the shortest response of the batch and adds 1e-6 in three
        places; we follow the paper.

    A token at p = 0.2 under q = 0.5 in a vocabulary of two, so H = 0.5004 nats and w = 0.25:
    0.25 * 1.6094 + 0.75 * 0.5004 = 0.7777.

    >>> p, q = torch.tensor([[0.2]]), torch.tensor([[0.5]])
    >>> entropy = -(p * p.log() + (1 - p) * (1 - p).log())
    >>> one = torch.ones(1)
    >>> scores = TokenScores(p.log(), q.log(), entropy, p > 0, one > 0, one, torch.empty(0, 2, dtype=torch.long))
    >>> round(bnf_loss(scores).losses.item(), 4)
    0.7777
    """
    weights = bnf_token_weights(scores.policy_logps, scores.reference_logps)
    surrogate = -weights * scores.policy_logps
    token_losses = surrogate + ((1 - weights) * scores.entropies).detach()
    return LossOutput(_signed(scores) * _token_means(token_losses, scores.mask), _inside(weights, scores.mask))


def nll_loss(scores: TokenScores) -> LossOutput:
    """Computes likelihood up / down, one value a response: L = c s (1/n) sum_i -log p_i.

    Its gradient by the target logit is -s (1 - p)/n: for dispreferred text the push grows as the likelihood falls, the
    positive feedback that BNF removes. Kept for contrast.

    Source:
        Unlikelihood in its plain form; the baseline of arXiv 2410.04834.
    """
    weights = bnf_token_weights(scores.policy_logps, scores.reference_logps)
    return LossOutput(
        _signed(scores) * _token_means(-scores.policy_logps, scores.mask), _inside(weights, scores.mask)
    )


def dpo_loss(scores: TokenScores, *, beta: float) -> LossOutput:
    """Computes Direct Preference Optimization, one value a pair.

        L = -log sigmoid(beta (h_preferred - h_dispreferred)),   h = sum_i (log p_i - log q_i)

    The pair counts with the mean weight of its two judgements.

    Args:
        scores: See `TokenScores`; only complete pairs count.
        beta: Strength of the pull towards the reference, > 0.

    Returns:
        `losses` (P,).

    Source:
        Rafailov et al. 2023 (arXiv 2305.18290), equation 7; no label smoothing.
    """
    shifts = ((scores.policy_logps - scores.reference_logps) * scores.mask).sum(dim=1)
    preferred, dispreferred = scores.pairs.unbind(dim=1)
    losses = -F.logsigmoid(beta * (shifts[preferred] - shifts[dispreferred]))
    pair_weights = (scores.weights[preferred] + scores.weights[dispreferred]) / 2
    weights = bnf_token_weights(scores.policy_logps, scores.reference_logps)
    return LossOutput(pair_weights * losses, _inside(weights, scores.mask))


def _signed(scores: TokenScores) -> Tensor:
    """Returns (R,): the judgement weight with the verdict's sign."""
    return torch.where(scores.is_preferred, scores.weights, -scores.weights)


def _token_means(values: Tensor, mask: Tensor) -> Tensor:
    return _inside(values, mask).sum(dim=1) / mask.sum(dim=1)


def _inside(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, values, 0.0)


LOSSES: dict[str, Loss] = {
    "bnf": Loss(
        bnf_loss,
        "BNF",
        "Pushes hardest where the policy still equals the reference and eases off in both directions.",
    ),
    "dpo": Loss(
        dpo_loss,
        "DPO",
        "Widens the gap between the two responses of a pair; both likelihoods may fall.",
        unit="pair",
        settings=("beta",),
    ),
    "nll": Loss(
        nll_loss,
        "Likelihood up / down",
        "Raises preferred and lowers dispreferred likelihood without any brake.",
    ),
}
