"""What a run's step 0 shows: the base model's own values, because a fresh adapter changes nothing.

They come from the base model's scores, so no run pays a forward pass for them. This room must not know files or pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bnf_lab.batches import EncodedResponse
from bnf_lab.probe import ResponseScore, rounded
from bnf_lab.records import ProbeResponse, TokenHeader
from bnf_lab.token_stats import TokenStats


@dataclass(frozen=True)
class Baseline:
    """The probe's texts with their reference values, and its scores while policy and reference are the same."""

    header: TokenHeader
    scores: tuple[ResponseScore, ...]


def build_baseline(
    responses: Sequence[EncodedResponse],
    stats: Mapping[str, TokenStats],
    tokenizer: PreTrainedTokenizerBase,
    *,
    is_held_out: bool,
    loss_references: Mapping[str, Tensor] | None = None,
) -> Baseline:
    """Builds the baseline of a probe.

    Args:
        responses: The probe's responses, in its order.
        stats: Judgement id -> the reference's `TokenStats`, (n,) each.
        tokenizer: Spells the tokens.
        is_held_out: Whether training never sees the responses' prompts.
        loss_references: Judgement id -> log q (n,), where the loss compares with something else than the base.
    """
    others = loss_references or {}
    shown = (_probe_response(r, stats[r.judgement_id], tokenizer, others.get(r.judgement_id)) for r in responses)
    header = TokenHeader(tuple(shown), is_held_out=is_held_out)
    scores = tuple(
        ResponseScore(
            r, stats[r.judgement_id], stats[r.judgement_id], torch.zeros(len(r.response_ids)),
            others.get(r.judgement_id),
        )
        for r in responses
    )
    return Baseline(header, scores)


def _probe_response(
    response: EncodedResponse, stats: TokenStats, tokenizer: PreTrainedTokenizerBase, loss_reference: Tensor | None
) -> ProbeResponse:
    return ProbeResponse(
        response.judgement_id,
        "preferred" if response.is_preferred else "dispreferred",
        response.prompt_key[-1].content,
        tuple(tokenizer.decode([token]) for token in response.response_ids),
        rounded(stats.logps if loss_reference is None else loss_reference),
        rounded(stats.target_logits),
    )
