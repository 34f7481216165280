"""Preference losses as pure functions of tensors: what they return depends on their arguments alone. torch only.

A loss is a function `(scores, **settings) -> (U,) float32` with one value a unit (response or pair) and an entry in
`LOSSES`; the caller decides what to average over. The record that a loss reads is in `loss_terms`, the losses that
compare pairs are in `pair_losses`. This room must not know models, tokenizers, files or pages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bnf_lab.loss_terms import TokenScores, mean_logps, sequence_shifts, token_means
from bnf_lab.pair_losses import dpo_loss, ipo_loss, orpo_loss, simpo_loss, slic_loss


@dataclass(frozen=True)
class Loss:
    """An entry of `LOSSES`: the function and what it asks of the data.

    Attributes:
        compute: The loss.
        settings: Names of the `RunConfig` fields handed over as keyword arguments.
        pairs: "ignored", "used" where there are any, or "needed": responses without a partner are left out.
        needs_reference: Whether the loss reads the reference's log-probabilities.
        reads_dispreferred: Whether dispreferred responses count at all.
        needs_reference_point: Whether the loss reads `TokenScores.reference_point`.
    """

    compute: Callable[..., Tensor]
    settings: tuple[str, ...] = ()
    pairs: str = "ignored"
    needs_reference: bool = True
    reads_dispreferred: bool = True
    needs_reference_point: bool = False

    @property
    def needs_pairs(self) -> bool:
        """True if the loss is one value a pair, else one a response."""
        return self.pairs == "needed"

    @property
    def keeps_pairs(self) -> bool:
        """True if the two responses of a pair must be in one batch."""
        return self.pairs != "ignored"


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
    return _signed(scores) * token_means(token_losses, scores.mask)


def nll_loss(scores: TokenScores) -> Tensor:
    """Computes likelihood up / down, one value a response: L = c s (1/n) sum_i -log p_i.

    Its gradient by the target logit is -s (1 - p)/n: for dispreferred text the push grows as the likelihood falls, the
    positive feedback that BNF removes. Kept for contrast.

    Source:
        Unlikelihood in its plain form; the baseline of arXiv 2410.04834.
    """
    return -_signed(scores) * mean_logps(scores)


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


def hybrid_loss(
    scores: TokenScores, *, hybrid_weight: float, hybrid_term: str, beta: float, simpo_beta: float, simpo_gamma: float
) -> Tensor:
    """Computes BNF plus a contrastive term, one value a response: L = L_BNF + c L_pair for each response of a pair.

    Averaged over complete pairs this is mean L_BNF + c mean L_pair; a response without a partner counts with its BNF
    alone.

    Args:
        scores: See `TokenScores`.
        hybrid_weight: c, >= 0.
        hybrid_term: "dpo" or "simpo".
        beta: See `dpo_loss`.
        simpo_beta: See `simpo_loss`.
        simpo_gamma: See `simpo_loss`.

    Source:
        Left open by arXiv 2410.04834; not from a paper.
    """
    if hybrid_term == "dpo":
        term = dpo_loss(scores, beta=beta)
    else:
        term = simpo_loss(scores, simpo_beta=simpo_beta, simpo_gamma=simpo_gamma)
    return bnf_loss(scores).index_add(0, scores.pairs.flatten(), hybrid_weight * term.repeat_interleave(2))


def _signed(scores: TokenScores) -> Tensor:
    """Returns (R,): the judgement weight with the verdict's sign."""
    return torch.where(scores.is_preferred, scores.weights, -scores.weights)


LOSSES: dict[str, Loss] = {
    "bnf": Loss(bnf_loss),
    "sft": Loss(sft_loss, needs_reference=False, reads_dispreferred=False),
    "nll": Loss(nll_loss, needs_reference=False),
    "dpo": Loss(dpo_loss, settings=("beta",), pairs="needed"),
    "ipo": Loss(ipo_loss, settings=("beta",), pairs="needed"),
    "slic": Loss(slic_loss, settings=("beta",), pairs="needed"),
    "simpo": Loss(simpo_loss, settings=("simpo_beta", "simpo_gamma"), pairs="needed", needs_reference=False),
    "orpo": Loss(orpo_loss, settings=("orpo_lambda",), pairs="needed", needs_reference=False),
    "kto": Loss(kto_loss, settings=("beta", "kto_desirable", "kto_undesirable"), needs_reference_point=True),
    "hybrid": Loss(
        hybrid_loss, settings=("hybrid_weight", "hybrid_term", "beta", "simpo_beta", "simpo_gamma"), pairs="used"
    ),
}
