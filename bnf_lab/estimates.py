"""How much memory and time a run will take. Standard library; the model is read by its `config.json` alone.

The memory formula counts what a LoRA step keeps: weights, adapter with AdamW's two moments, the activations of one
micro-batch and one chunk of float32 logits. It is an estimate of the order, stated as such on the page; a measured peak
of an earlier run on this machine replaces it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bnf_lab.config import RunConfig, pick_probe_share
from bnf_lab.speeds import SpeedRecord

GIB = 2**30
PROCESS_GIB = 0.6  # Python with torch and transformers, before any model
LOGITS_GIB = 0.2  # a chunk of float32 logits, its probabilities and what follows from them; see token_stats
SCORING_SHARE = 0.35  # a forward pass alone, of the time of a training step on the same tokens


@dataclass(frozen=True)
class ModelShape:
    """The sizes that decide memory; `weight_bytes` is the size of the safetensors files."""

    hidden: int
    intermediate: int
    layers: int
    weight_bytes: int


def read_shape(folder: Path) -> ModelShape:
    """Reads a model's sizes from its `config.json`; sizes it does not name are derived as the Llama family does."""
    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    values = values | values.get("text_config", {})
    hidden = int(values.get("hidden_size") or values.get("n_embd") or 1024)
    return ModelShape(
        hidden,
        int(values.get("intermediate_size") or 4 * hidden),
        int(values.get("num_hidden_layers") or values.get("n_layer") or 24),
        sum(path.stat().st_size for path in folder.glob("*.safetensors")),
    )


@dataclass(frozen=True)
class MemoryNeed:
    """Estimated peak memory of training, GiB: as it is fastest, and with activations computed again in backward."""

    plain_gib: float
    recomputing_gib: float

    def recomputes(self, free_gib: float) -> bool:
        """Returns whether a run in this much memory computes activations again: only where it would not fit else.

        >>> MemoryNeed(10.0, 4.0).recomputes(16.0), MemoryNeed(10.0, 4.0).recomputes(8.0)
        (False, True)
        """
        return self.plain_gib > free_gib


def estimate_memory(
    shape: ModelShape, config: RunConfig, *, micro_tokens: int, is_nf4: bool, is_float32: bool
) -> MemoryNeed:
    """Estimates the peak memory of training.

    Args:
        shape: The base model's sizes.
        config: The run's settings.
        micro_tokens: Tokens of the largest micro-batch.
        is_nf4: Whether the base weights are quantised to four bits.
        is_float32: Whether the model computes in float32 rather than bfloat16, in which its files are.
    """
    width = 4 if is_float32 else 2
    weights = shape.weight_bytes * (0.35 if is_nf4 else width / 2)
    widths = 2 * shape.hidden * 4 + (shape.hidden + shape.intermediate) * 3  # inputs plus outputs of the seven layers
    adapter = config.lora_rank * widths * shape.layers * 4 * 4  # float32: weight, gradient and two moments
    block = micro_tokens * width * (14 * shape.hidden + 7 * shape.intermediate)
    inputs = micro_tokens * width * shape.hidden * shape.layers
    always = PROCESS_GIB + LOGITS_GIB + (weights + adapter) / GIB
    return MemoryNeed(always + block * shape.layers / GIB, always + (inputs + block) / GIB)


def estimate_seconds(
    config: RunConfig, speed: SpeedRecord, *, step_tokens: float, reference_tokens: int, probe_tokens: int,
    has_gpu: bool,
) -> float:
    """Returns the estimated duration of a run, seconds.

    Args:
        config: The run's settings.
        speed: What an earlier run, or `measure`, found on this machine.
        step_tokens: Mean tokens of one optimiser step.
        reference_tokens: Tokens scored once under the reference.
        probe_tokens: Tokens of the held-out responses.
        has_gpu: Whether the run trains on a GPU.
    """
    training = config.n_steps * step_tokens * speed.seconds_per_token
    scoring = speed.seconds_per_token * SCORING_SHARE
    rounds = 1 + config.n_steps // config.answer_steps
    share = pick_probe_share(config, has_gpu=has_gpu)
    # the end is scored whatever its share of the time
    probing = max(probe_tokens * scoring, min(config.n_steps * probe_tokens * scoring, training * share / (1 - share)))
    answering = rounds * speed.answer_seconds
    return speed.start_seconds + training + probing + reference_tokens * scoring + answering


def describe_duration(seconds: float) -> str:
    """Returns a time in words.

    >>> describe_duration(90), describe_duration(7200)
    ('2 minutes', '2.0 hours')
    """
    return f"{seconds / 3600:.1f} hours" if seconds >= 5400 else f"{max(1, round(seconds / 60))} minutes"
