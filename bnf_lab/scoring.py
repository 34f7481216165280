"""Per-token quantities of responses under a model: the one way in which trainer, probe and chat read likelihoods.

This room must not know losses, runs or pages.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from peft import PeftModel
from torch import Tensor

from bnf_lab.batches import EncodedResponse, order_for_packing
from bnf_lab.models import LoadedModel, compute_context, compute_features, output_head
from bnf_lab.packing import Batch, build_batch
from bnf_lab.token_stats import TemperedHead, TokenStats, compute_token_stats


def score_batch(loaded: LoadedModel, batch: Batch, *, temperature: float = 1.0) -> TokenStats:
    """Scores a batch under the model as it is now (its active adapter included).

    Args:
        loaded: The model.
        batch: What to score.
        temperature: What the logits are divided by.

    Returns:
        `TokenStats` of (M,), the batch's response tokens row by row.
    """
    head = output_head(loaded) if temperature == 1.0 else TemperedHead(output_head(loaded), temperature)
    with compute_context(loaded):
        return compute_token_stats(batch_features(loaded, batch), batch.targets, head)


def batch_features(loaded: LoadedModel, batch: Batch) -> Tensor:
    """Returns (M, D): the features that predict the batch's response tokens, row by row."""
    return compute_features(loaded, batch.packed)[batch.predictors]


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


def pack_batches(responses: Sequence[EncodedResponse], *, size: int, device: torch.device) -> Iterator[Batch]:
    """Yields batches of at most `size` responses, of similar length and with equal prompts together."""
    ordered = order_for_packing(responses)
    for start in range(0, len(ordered), size):
        yield build_batch(ordered[start : start + size]).to(device)


def compute_stats(
    loaded: LoadedModel,
    responses: Sequence[EncodedResponse],
    *,
    size: int = 8,
    temperature: float = 1.0,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, TokenStats]:
    """Scores responses under the model as it is now, without gradients.

    Args:
        loaded: The model.
        responses: Each judgement at most once.
        size: Responses in one forward pass.
        temperature: What the logits are divided by.
        on_progress: Called with (responses done, responses in all).

    Returns:
        Judgement id -> `TokenStats` of its n response tokens, (n,) float32 on the CPU.
    """
    scored: dict[str, TokenStats] = {}
    with in_eval(loaded):
        for batch in pack_batches(responses, size=size, device=loaded.device):
            stats = score_batch(loaded, batch, temperature=temperature)
            scored |= dict(zip(batch.ids, stats.split(batch.lengths), strict=True))
            if on_progress:
                on_progress(len(scored), len(responses))
    return scored


def compute_reference_stats(
    loaded: LoadedModel,
    responses: Sequence[EncodedResponse],
    *,
    size: int = 8,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, TokenStats]:
    """Scores responses under the frozen reference: `compute_stats` of the model without its adapter."""
    with as_reference(loaded):
        return compute_stats(loaded, responses, size=size, on_progress=on_progress)


def compute_reference_features(
    loaded: LoadedModel, responses: Sequence[EncodedResponse], *, size: int = 8
) -> dict[str, Tensor]:
    """Returns judgement id -> (n, D) on the CPU: the reference's features that predict the response's n tokens."""
    found: dict[str, Tensor] = {}
    with in_eval(loaded), as_reference(loaded), compute_context(loaded):
        for batch in pack_batches(responses, size=size, device=loaded.device):
            rows = batch_features(loaded, batch).cpu().split(batch.lengths)
            found |= {i: row.clone() for i, row in zip(batch.ids, rows, strict=True)}
    return found


def stack_rows(rows: Iterable[Tensor], width: int) -> Tensor:
    """Stacks (n,) tensors into (R, width), zeros behind each."""
    return torch.stack([torch.nn.functional.pad(row, (0, width - len(row))) for row in rows])
