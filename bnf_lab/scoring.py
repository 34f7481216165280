"""Per-token quantities of responses under a model: the one way in which trainer, probe and chat read likelihoods.

Only response positions meet the vocabulary projection, a chunk at a time, in float32. This room must not know losses,
runs or pages.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from peft import PeftModel
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bnf_lab.batches import Batch, EncodedResponse, build_batch
from bnf_lab.models import LoadedModel, compute_context, compute_features, output_head

CHUNK_TOKENS = 1024  # 1024 positions x 49,152 words in float32 are 192 MiB


@dataclass(frozen=True)
class TokenStats:
    """What the model says of each response token; every tensor (N,) float32 over N tokens, or (R, T) after `spread`.

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
        """Lays (N,) values out as (R, T) at the True places of `mask`, zero elsewhere."""
        return TokenStats(*(_spread(value, mask) for value in vars(self).values()))


def _spread(values: Tensor, mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape, dtype=values.dtype, device=values.device).masked_scatter(mask, values)


def compute_token_stats(features: Tensor, targets: Tensor, head: Callable[[Tensor], Tensor]) -> TokenStats:
    """Projects features to the vocabulary and reduces, a chunk at a time.

    Args:
        features: (N, D) at the positions that predict the targets.
        targets: (N,) long.
        head: From features to logits (N, V).

    Returns:
        `TokenStats` of (N,). Only `logps` carries a gradient; with more than one chunk the logits are recomputed in
        backward, so that the logits of all positions never exist together.
    """
    chunks = list(zip(features.split(CHUNK_TOKENS), targets.split(CHUNK_TOKENS), strict=True))
    recompute = len(chunks) > 1 and torch.is_grad_enabled()
    parts = [
        checkpoint(_chunk_stats, f, t, head, use_reentrant=False) if recompute else _chunk_stats(f, t, head)
        for f, t in chunks
    ]
    return TokenStats(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _chunk_stats(features: Tensor, targets: Tensor, head: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    logits = head(features).float()
    target_logits = logits.gather(1, targets.unsqueeze(1)).squeeze(1)
    logsumexps = torch.logsumexp(logits, dim=1)
    with torch.no_grad():
        probabilities = (logits - logsumexps.unsqueeze(1)).exp_()
        entropies = logsumexps - (probabilities * logits).sum(dim=1)
        others = (logits.sum(dim=1) - target_logits) / (logits.shape[1] - 1)
    return target_logits - logsumexps, target_logits.detach(), logsumexps.detach(), entropies, others


def score_batch(loaded: LoadedModel, batch: Batch) -> TokenStats:
    """Scores a batch under the model as it is now (its active adapter included).

    Returns:
        `TokenStats` of (R, T), zero outside `batch.response_mask`.
    """
    with compute_context(loaded):
        features = batch_features(loaded, batch)
        stats = compute_token_stats(features, batch.targets[batch.response_mask], output_head(loaded))
    return stats.spread(batch.response_mask)


def batch_features(loaded: LoadedModel, batch: Batch) -> Tensor:
    """Returns (N, D): the features that predict the batch's N response tokens, row by row."""
    features = compute_features(loaded, batch.input_ids, batch.attention_mask)
    rows = torch.arange(len(features), device=features.device).unsqueeze(1).expand_as(batch.positions)
    return features[rows[batch.response_mask], batch.positions[batch.response_mask]]


@contextlib.contextmanager
def as_reference(loaded: LoadedModel) -> Iterator[None]:
    """Turns the adapter off, so that the base model answers."""
    if isinstance(loaded.model, PeftModel):
        with loaded.model.disable_adapter():
            yield
    else:
        yield


@contextlib.contextmanager
def in_eval(loaded: LoadedModel) -> Iterator[None]:
    """Turns dropout and gradients off for a while."""
    was_training = loaded.model.training
    loaded.model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        loaded.model.train(was_training)


def batches_by_length(
    responses: Sequence[EncodedResponse], *, size: int, pad_id: int, device: torch.device
) -> Iterator[Batch]:
    """Yields padded batches of at most `size` responses, of similar length."""
    ordered = sorted(responses, key=lambda r: r.n_tokens)
    for start in range(0, len(ordered), size):
        yield build_batch(ordered[start : start + size], pad_id=pad_id).to(device)


def compute_logps(
    loaded: LoadedModel,
    responses: Sequence[EncodedResponse],
    *,
    size: int = 8,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Tensor]:
    """Scores responses under the model as it is now, without gradients.

    Args:
        loaded: The model.
        responses: Each judgement at most once.
        size: Responses in one forward pass.
        on_progress: Called with (responses done, responses in all).

    Returns:
        Judgement id -> (n,) float32 on the CPU: log p of each response token, nats.
    """
    logps: dict[str, Tensor] = {}
    with in_eval(loaded):
        for batch in batches_by_length(responses, size=size, pad_id=pad_id(loaded), device=loaded.device):
            rows = score_batch(loaded, batch).logps.cpu()
            lengths = batch.response_mask.sum(dim=1).tolist()
            logps.update({i: row[:n].clone() for i, row, n in zip(batch.ids, rows, lengths, strict=True)})
            if on_progress:
                on_progress(len(logps), len(responses))
    return logps


def compute_reference_logps(
    loaded: LoadedModel,
    responses: Sequence[EncodedResponse],
    *,
    size: int = 8,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Tensor]:
    """Scores responses once under the frozen reference: `compute_logps` of the model without its adapter."""
    with as_reference(loaded):
        return compute_logps(loaded, responses, size=size, on_progress=on_progress)


def pad_id(loaded: LoadedModel) -> int:
    """Returns the id that fills up rows; it is masked everywhere."""
    return loaded.tokenizer.pad_token_id


def stack_rows(rows: Iterable[Tensor], width: int) -> Tensor:
    """Stacks (n,) tensors into (R, width), zeros behind each."""
    return torch.stack([torch.nn.functional.pad(row, (0, width - len(row))) for row in rows])
