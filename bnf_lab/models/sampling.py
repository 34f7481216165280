"""Exact, coupled sampling of the next token. Pure functions of tensors: this room must not know models or texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor

NUCLEUS_GUESS = 256  # most nuclei are smaller than this, and sorting 49,152 words costs as much as half a step


class CoupledSampler(LogitsProcessor):
    """Turns logits into scores whose largest entry is an exact sample (Gumbel-max).

    With E_j independent Exp(1) variables, argmax_j p_j / E_j is distributed as p: it is the Gumbel-max trick
    argmax_j (log p_j + G_j) with G_j = -log E_j, without its logarithms. E depends on the seed, the row's noise key
    and the position alone, never on the device, the batch or the model.
    """

    def __init__(
        self, noise_keys: Sequence[int], prompt_width: int, *, temperature: float, top_p: float, seed: int
    ) -> None:
        self.noise_keys = tuple(noise_keys)
        self.prompt_width = prompt_width
        self.temperature = temperature
        self.top_p = top_p
        self.seed = seed

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        # Prompts are padded on the left, so every row's answer begins at the same column.
        position = input_ids.shape[1] - self.prompt_width
        probabilities = torch.softmax(scores.float() / self.temperature, dim=-1)
        if self.top_p < 1:
            probabilities = keep_nucleus(probabilities, self.top_p)
        noise = {key: race_times(self.seed, key, position, scores.shape[1]) for key in set(self.noise_keys)}
        return probabilities / torch.stack([noise[key] for key in self.noise_keys]).to(scores.device)


def race_times(seed: int, noise_key: int, position: int, size: int) -> Tensor:
    """Returns (size,) float32 Exp(1) variables that depend on the arguments alone."""
    generator = np.random.default_rng([value % 2**64 for value in (seed, noise_key, position)])
    # Drawn in float64: float32 would be exactly zero about once in 2^23 draws and let an impossible token win.
    times = generator.standard_exponential(size)
    return torch.from_numpy(np.maximum(times, 1e-30).astype(np.float32))


def keep_nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Sets to zero all but the fewest most likely tokens that together hold `top_p`; ties at the edge stay.

    >>> keep_nucleus(torch.tensor([[0.5, 0.3, 0.15, 0.05]]), 0.75).tolist()[0][2:]
    [0.0, 0.0]
    """
    n_words = probabilities.shape[-1]
    ordered = probabilities.topk(min(NUCLEUS_GUESS, n_words), dim=-1).values
    if ordered.shape[-1] < n_words and bool((ordered.sum(dim=-1) < top_p).any()):
        ordered = probabilities.sort(dim=-1, descending=True).values
    held_before = ordered.cumsum(dim=-1) - ordered
    last = (held_before < top_p).sum(dim=-1, keepdim=True) - 1
    return torch.where(probabilities >= ordered.gather(-1, last), probabilities, 0.0)
