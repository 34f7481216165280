"""Pure functions of tensors. The catalogue `LOSSES`: every loss by its method's name, and what it asks of the data.

Doors: this module, bnf, single, pairwise, terms.
Must not know: any other room; torch only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from bnf_lab.losses.bnf import bnf_loss
from bnf_lab.losses.pairwise import dpo_loss, ipo_loss, orpo_loss, simpo_loss, slic_loss
from bnf_lab.losses.single import kto_loss, nll_loss, sft_loss
from bnf_lab.losses.terms import TokenScores


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
