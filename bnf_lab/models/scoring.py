"""Per-token quantities of responses under a model: the one way in which trainer, probe and chat read likelihoods.

This room must not know losses, runs or pages.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from peft import PeftModel
from torch import Tensor

from bnf_lab.models.encoding import EncodedResponse, order_for_packing
from bnf_lab.models.loading import LoadedModel, compute_context, compute_features, output_head
from bnf_lab.models.packing import Batch, build_batch
from bnf_lab.models.token_stats import TokenStats, compute_token_stats

Group = tuple[EncodedResponse, ...]
"""Responses that one forward pass reads. In bfloat16 a response's last digits depend on who else is in its group."""


def score_batch(loaded: LoadedModel, batch: Batch, *, temperature: float = 1.0) -> TokenStats:
    """Scores a batch under the model as it is now (its active adapter included).

    Args:
        loaded: The model.
        batch: What to score.
        temperature: What the logits are divided by.

    Returns:
        `TokenStats` of (M,), the batch's response tokens row by row.
    """
    head = output_head(loaded).tempered(temperature)
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


def group_responses(responses: Sequence[EncodedResponse], *, size: int = 8) -> list[Group]:
    """Returns groups of at most `size` responses, of similar length and with equal prompts together."""
    ordered = order_for_packing(responses)
    return [tuple(ordered[start : start + size]) for start in range(0, len(ordered), size)]


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
    groups = group_responses(responses, size=size)
    return compute_group_stats(loaded, groups, temperature=temperature, on_progress=on_progress)


def compute_group_stats(
    loaded: LoadedModel,
    groups: Sequence[Group],
    *,
    temperature: float = 1.0,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, TokenStats]:
    """Does what `compute_stats` does, for groups that are given; of a response in several, the first one counts."""
    scored: dict[str, TokenStats] = {}
    n_responses = len({r.judgement_id for group in groups for r in group})
    for group, stats in score_groups(loaded, groups, temperature=temperature):
        for response, values in zip(group, stats, strict=True):
            scored.setdefault(response.judgement_id, values)
        if on_progress:
            on_progress(len(scored), n_responses)
    return scored


def score_groups(
    loaded: LoadedModel, groups: Iterable[Group], *, temperature: float = 1.0
) -> Iterator[tuple[Group, list[TokenStats]]]:
    """Scores groups of responses under the model as it is now, each in one forward pass, without gradients.

    Yields:
        Each group with the `TokenStats` of its responses, (n,) float32 on the CPU.
    """
    for group in groups:
        batch = build_batch(group).to(loaded.device)
        with in_eval(loaded):
            stats = score_batch(loaded, batch, temperature=temperature)
        yield group, stats.split(batch.lengths)


def compute_group_features(loaded: LoadedModel, groups: Iterable[Group]) -> Iterator[tuple[Group, list[Tensor]]]:
    """Yields each group with the features that predict its responses' tokens, (n, D) each, on the CPU."""
    for group in groups:
        batch = build_batch(group).to(loaded.device)
        with in_eval(loaded), compute_context(loaded):
            rows = batch_features(loaded, batch).cpu().split(batch.lengths)
        yield group, [row.clone() for row in rows]


def compute_reference_stats(loaded: LoadedModel, responses: Sequence[EncodedResponse]) -> dict[str, TokenStats]:
    """Scores responses under the frozen reference: `compute_stats` of the model without its adapter."""
    with as_reference(loaded):
        return compute_stats(loaded, responses)


def stack_rows(rows: Iterable[Tensor], width: int) -> Tensor:
    """Stacks (n,) tensors into (R, width), zeros behind each."""
    return torch.stack([torch.nn.functional.pad(row, (0, width - len(row))) for row in rows])
