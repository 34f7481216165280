"""The probe: fixed responses scored under policy and reference, which is everything the plots show.

Step 0 shows the base model's own values, because a fresh adapter changes nothing: they come from the base model's
scores, so no run pays a forward pass for them. This room must not know files, processes or pages; it returns records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bnf_lab.core.judgements import compare_by_prompt
from bnf_lab.core.numbers import finite
from bnf_lab.losses.bnf import bnf_token_weights
from bnf_lab.models.encoding import EncodedResponse
from bnf_lab.models.loading import LoadedModel, compute_context, output_head
from bnf_lab.models.packing import build_batch
from bnf_lab.models.scoring import as_reference, batch_features, group_responses, in_eval
from bnf_lab.models.token_stats import TokenStats, compute_stats_and_kl, compute_token_stats
from bnf_lab.runs.records import MetricPoint, ProbeResponse, TokenHeader, TokenSnapshot


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
            r,
            stats[r.judgement_id],
            stats[r.judgement_id],
            torch.zeros(len(r.response_ids)),
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


LOW, HIGH = 0.1, 0.9  # the band of a likelihood curve


@dataclass(frozen=True)
class ResponseScore:
    """One response under policy and base model: token values (n,) on the CPU, natural logarithms.

    `reference` is the base model, from which training starts; `loss_reference` is log q where the run's loss compares
    with something else.
    """

    response: EncodedResponse
    policy: TokenStats
    reference: TokenStats
    kl: Tensor
    loss_reference: Tensor | None = None

    @property
    def mean_logp(self) -> float:
        return self.policy.logps.mean().item()

    @property
    def mean_shift(self) -> float:
        return (self.policy.logps - self.reference.logps).mean().item()

    @property
    def weights(self) -> Tensor:
        q = self.reference.logps if self.loss_reference is None else self.loss_reference
        return bnf_token_weights(self.policy.logps, q)


@dataclass(frozen=True)
class BaseScores:
    """What the base model makes of the probe, by judgement id.

    Attributes:
        stats: `TokenStats` of (n,).
        features: (n, D) at the positions that predict the response's tokens.
    """

    stats: Mapping[str, TokenStats]
    features: Mapping[str, Tensor]


class Probe:
    """Scores fixed responses whenever asked; the reference is scored once, when the probe is made.

    Args:
        loaded: A model with an adapter; without the adapter it is the reference.
        responses: What to score.
        loss_references: Judgement id -> log q of the response's tokens, where the loss's reference is not the base.
        known: What the base model makes of the responses in the same groups, where that was computed before.
        size: Responses in one forward pass.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        responses: Sequence[EncodedResponse],
        *,
        loss_references: Mapping[str, Tensor] | None = None,
        known: BaseScores | None = None,
        size: int = 8,
    ) -> None:
        self.loaded = loaded
        self._loss_references = loss_references or {}
        self.responses = tuple(responses)
        self._batches = [build_batch(group).to(loaded.device) for group in group_responses(self.responses, size=size)]
        if known is not None and loaded.splits_head:
            features = [torch.cat([known.features[i] for i in b.ids]).to(loaded.device) for b in self._batches]
            self._reference = dict(known.stats)
        else:
            features = self._score_reference()
        # The reference's features are small beside its distributions, from which KL is rebuilt a chunk at a time.
        # A head that cannot be split off leaves whole logits as features; those are computed anew instead of kept.
        self._reference_features = features if loaded.splits_head else None

    def _score_reference(self) -> list[Tensor]:
        """Keeps the reference's token statistics and returns its features, batch by batch."""
        loaded = self.loaded
        with in_eval(loaded), as_reference(loaded), compute_context(loaded):
            features = [batch_features(loaded, batch) for batch in self._batches]
            stats = [
                compute_token_stats(f, b.targets, output_head(loaded))
                for f, b in zip(features, self._batches, strict=True)
            ]
        self._reference = self._by_response(stats)
        return features

    def score(self) -> list[ResponseScore]:
        """Scores every response under the present policy, in the order in which they were given."""
        policy, divergences = [], {}
        with in_eval(self.loaded), compute_context(self.loaded):
            for index, batch in enumerate(self._batches):
                stats, kl = compute_stats_and_kl(
                    batch_features(self.loaded, batch),
                    batch.targets,
                    output_head(self.loaded),
                    reference_features=self._features_of_reference(index),
                )
                policy.append(stats)
                divergences |= dict(zip(batch.ids, kl.cpu().split(batch.lengths), strict=True))
        scored = self._by_response(policy)
        return [
            ResponseScore(r, scored[i], self._reference[i], divergences[i], self._loss_references.get(i))
            for i, r in ((r.judgement_id, r) for r in self.responses)
        ]

    def _by_response(self, stats: Sequence[TokenStats]) -> dict[str, TokenStats]:
        """Lays the batches' values out by judgement id."""
        return {
            judgement_id: row
            for batch, values in zip(self._batches, stats, strict=True)
            for judgement_id, row in zip(batch.ids, values.split(batch.lengths), strict=True)
        }

    def _features_of_reference(self, index: int) -> Tensor:
        if self._reference_features is not None:
            return self._reference_features[index]
        with as_reference(self.loaded):
            return batch_features(self.loaded, self._batches[index])


def build_snapshot(scores: Sequence[ResponseScore], step: int) -> TokenSnapshot:
    """Returns the token values of one recorded step for the inspector and the feedback map."""
    return TokenSnapshot(
        step,
        tuple(rounded(s.policy.logps) for s in scores),
        tuple(rounded(s.policy.target_logits) for s in scores),
        tuple(rounded(s.weights) for s in scores),
    )


def summarise(scores: Sequence[ResponseScore], *, step: int, seconds: float) -> MetricPoint:
    """Reduces the scored responses to one point of every probe curve.

    Means are over tokens, then over responses; a verdict without any response leaves its fields None.
    """
    values: dict[str, float | None] = {}
    for name, wanted in (("preferred", True), ("dispreferred", False)):
        chosen = [s for s in scores if s.response.is_preferred is wanted]
        if chosen:
            values |= {f"{name}_{key}": value for key, value in _verdict_values(chosen).items()}
    values["kl"] = _mean([s.kl.mean().item() for s in scores])
    values |= _pair_values(scores)
    return MetricPoint(step=step, seconds=seconds, source="probe", **{k: finite(v) for k, v in values.items()})


def _verdict_values(scores: Sequence[ResponseScore]) -> dict[str, float | None]:
    logps = torch.tensor([s.mean_logp for s in scores], dtype=torch.float64)
    low, high = torch.quantile(logps, torch.tensor([LOW, HIGH], dtype=torch.float64)).tolist()

    def shift(name: str) -> float | None:
        return _mean([(getattr(s.policy, name) - getattr(s.reference, name)).mean().item() for s in scores])

    return {
        "logp": logps.mean().item(),
        "logp_p10": low,
        "logp_p90": high,
        "logp_reference": _mean([s.reference.logps.mean().item() for s in scores]),
        "logp_sum": _mean([s.policy.logps.sum().item() for s in scores]),
        "target_logit": _mean([s.policy.target_logits.mean().item() for s in scores]),
        "target_logit_shift": shift("target_logits"),
        "logsumexp": _mean([s.policy.logsumexps.mean().item() for s in scores]),
        "logsumexp_shift": shift("logsumexps"),
        "other_logits_shift": shift("other_logits"),
        "entropy": _mean([s.policy.entropies.mean().item() for s in scores]),
        "gate": _mean([s.weights.mean().item() for s in scores]),
    }


def _pair_values(scores: Sequence[ResponseScore]) -> dict[str, float | None]:
    pairs = compare_by_prompt((s.response.prompt_key, s.response.is_preferred, s) for s in scores)
    margins = [a.mean_logp - b.mean_logp for a, b in pairs]
    shifts = [a.mean_shift - b.mean_shift for a, b in pairs]
    return {
        "accuracy": _mean([float(m > 0) for m in margins]),
        "accuracy_shift": _mean([float(m > 0) for m in shifts]),
        "margin": _mean(margins),
        "margin_shift": _mean(shifts),
    }


def rounded(values: Tensor) -> tuple[float, ...]:
    """Four decimals are finer than any plot shows and keep the file small."""
    return tuple(round(v, 4) for v in values.tolist())


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
