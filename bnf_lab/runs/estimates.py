"""How much memory and time a run will take; the model is read by its `config.json` alone.

The memory formula counts what a LoRA step keeps: weights, adapter with AdamW's two moments, the activations of one
micro-batch and one chunk of float32 logits (or all logits, where a model leaves no choice). It is an estimate of the
order, stated as such on the page; a peak measured on this machine replaces it for the same settings, and corrects it
for others. `speeds.json` in the data home remembers how fast this machine trained: one `SpeedRecord` for each model and
kind of weights.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from bnf_lab.core.automatic import pick_probe_share
from bnf_lab.core.config import RunConfig
from bnf_lab.core.files import write_atomically
from bnf_lab.core.machine import GIB
from bnf_lab.runs.record_files import Damaged, build_record, read_object

PROCESS_GIB = 0.6  # Python with torch and transformers, before any model
LOGITS_GIB = 0.2  # a chunk of float32 logits, its probabilities and what follows from them; see token_stats
WHOLE_LOGITS = (
    3  # the model's logits, their gradient and one more: 2.0 measured for a scaled head, 3.0 for a capped one
)
SCORING_SHARE = 0.35  # a forward pass alone, of the time of a training step on the same tokens


@dataclass(frozen=True)
class ModelShape:
    """The sizes that decide memory; `weight_bytes` is the size of the safetensors files, `words` the vocabulary."""

    hidden: int
    intermediate: int
    layers: int
    weight_bytes: int
    words: int


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
        int(values.get("vocab_size") or 0),
    )


@dataclass(frozen=True)
class MemoryNeed:
    """Peak memory of training, GiB: as it is fastest, and with activations computed again in backward."""

    plain_gib: float
    recomputing_gib: float
    is_plain_measured: bool = False
    is_recomputing_measured: bool = False

    def recomputes(self, free_gib: float) -> bool:
        """Returns whether a run in this much memory computes activations again: only where it would not fit else.

        >>> MemoryNeed(10.0, 4.0).recomputes(16.0), MemoryNeed(10.0, 4.0).recomputes(8.0)
        (False, True)
        """
        return self.plain_gib > free_gib


@dataclass(frozen=True)
class Load:
    """What of a run decides its memory, besides the model.

    Attributes:
        micro_tokens: Tokens (prompt and response) of the largest micro-batch.
        lora_rank: Width of the adapter.
        is_nf4: Whether the base weights are quantised to four bits.
        is_float32: Whether the model computes in float32 rather than bfloat16, in which its files are.
        has_whole_logits: Whether every token's logits are built, because the model's output head cannot be split off.
    """

    micro_tokens: int
    lora_rank: int
    is_nf4: bool
    is_float32: bool
    has_whole_logits: bool = False


def estimate_memory(shape: ModelShape, load: Load) -> MemoryNeed:
    """Estimates the peak memory of training from the base model's sizes."""
    width = 4 if load.is_float32 else 2
    weights = shape.weight_bytes * (0.35 if load.is_nf4 else width / 2)
    widths = 2 * shape.hidden * 4 + (shape.hidden + shape.intermediate) * 3  # inputs plus outputs of the seven layers
    adapter = load.lora_rank * widths * shape.layers * 4 * 4  # float32: weight, gradient and two moments
    block = load.micro_tokens * width * (14 * shape.hidden + 7 * shape.intermediate)
    inputs = load.micro_tokens * width * shape.hidden * shape.layers
    logits = WHOLE_LOGITS * load.micro_tokens * width * shape.words if load.has_whole_logits else 0
    always = PROCESS_GIB + LOGITS_GIB + (weights + adapter + logits) / GIB
    return MemoryNeed(always + block * shape.layers / GIB, always + (inputs + block) / GIB)


def correct_memory(shape: ModelShape, load: Load, speed: SpeedRecord | None) -> MemoryNeed:
    """Returns the memory of training: as measured where this load was, else as estimated and corrected by what was.

    A measured peak stands for its own way of computing (plainly, or with activations computed again) and load. Others
    are scaled by what the formula says of both, and by no less than what it adds between them: a peak that is mostly
    weights says little about many tokens.
    """
    need = estimate_memory(shape, load)
    if speed is None or speed.load is None:
        return need
    before = estimate_memory(shape, speed.load)
    known = before.recomputing_gib if speed.recomputed else before.plain_gib

    def corrected(estimate: float) -> float:
        return max(speed.peak_gib * estimate / known, speed.peak_gib + estimate - known)

    return MemoryNeed(
        corrected(need.plain_gib),
        corrected(need.recomputing_gib),
        is_plain_measured=speed.load == load and not speed.recomputed,
        is_recomputing_measured=speed.load == load and speed.recomputed,
    )


def estimate_seconds(
    config: RunConfig,
    speed: SpeedRecord,
    *,
    step_tokens: float,
    reference_tokens: int,
    probe_tokens: int,
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


@dataclass(frozen=True)
class TextPiece:
    """Text that a model reads: the whole prompt, or one token of a response (a few where they spell one character)."""

    text: str
    is_response: bool


def elide(text: str, limit: int = 1_200) -> tuple[str, int, str]:
    """Returns a long text's beginning, how many characters in its middle are left out, and its end.

    >>> elide("abcdefgh", limit=4)
    ('ab', 4, 'gh')
    """
    half = limit // 2
    return (text, 0, "") if len(text) <= limit else (text[:half], len(text) - 2 * half, text[-half:])


@dataclass(frozen=True)
class ReadResponse:
    """A judged response as a run reads it, every control token included.

    Attributes:
        verdict: "preferred" or "dispreferred".
        pieces: The prompt, then the response.
        n_prompt_tokens: Tokens of the prompt that are read.
        n_response_tokens: Tokens of the response that are read, its end of turn included.
        n_prompt_cut: Tokens that the prompt loses at its beginning.
        n_response_cut: Tokens that the response loses at its end.
    """

    verdict: str
    pieces: tuple[TextPiece, ...]
    n_prompt_tokens: int
    n_response_tokens: int
    n_prompt_cut: int = 0
    n_response_cut: int = 0


@dataclass(frozen=True)
class Preflight:
    """What a run would be, before it starts. None is what has not been computed.

    Attributes:
        n_responses: Judged responses chosen.
        n_pairs: Complete pairs among them.
        n_train_responses: Responses left for training.
        n_probe_pairs: Units held out for the plots; 0 where there are too few prompts to hold any out.
        n_steps: Optimiser steps: those set, or as many as the passes set take; None while something is wrong.
        n_read: Training responses that the steps read, each counted once.
        passes: How often the steps read each response that the method can use, in the mean.
        is_about: Whether `passes` and `n_tokens_read` of a very long run are estimates.
        is_model_here: Whether the model's folder was looked at.
        n_tokens: Prompt and response tokens of the training responses; None until the model is fetched.
        n_tokens_read: Tokens that the steps read, as often as they read them; None until the model is fetched.
        n_truncated: Training and held-out responses that are cut; None until the model is fetched.
        n_alike: Pairs whose two responses are read as the same tokens; None until the model is fetched.
        memory_gib: Peak memory of the run; None until the model is fetched.
        is_memory_measured: Whether this machine measured it with the same settings; else it is an estimate.
        free_gib: Free memory of the device now, GiB.
        seconds: Estimated duration of the whole run; None until a step was measured.
        problems: What keeps the run from starting, each with its remedy.
        warnings: What should be known before it starts.
        reading: What the model reads of one pair, or of one response alone; empty until the model is fetched.
    """

    n_responses: int | None = None
    n_pairs: int | None = None
    n_train_responses: int | None = None
    n_probe_pairs: int | None = None
    n_steps: int | None = None
    n_read: int | None = None
    passes: float | None = None
    is_about: bool = False
    is_model_here: bool = False
    n_tokens: int | None = None
    n_tokens_read: int | None = None
    n_truncated: int | None = None
    n_alike: int | None = None
    memory_gib: float | None = None
    is_memory_measured: bool = False
    free_gib: float | None = None
    seconds: float | None = None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    reading: tuple[ReadResponse, ...] = ()


def describe_passes(passes: float, *, is_about: bool = False) -> str:
    """Returns passes over the data in words.

    >>> describe_passes(0.805), describe_passes(1), describe_passes(0.004)
    ('0.8 passes over the data', '1 pass over the data', '0.004 passes over the data')
    >>> describe_passes(2684.4, is_about=True)
    'about 2,684 passes over the data'
    """
    number = f"{passes:,.0f}" if passes == 1 or passes >= 100 else f"{passes:.1f}" if passes >= 0.1 else f"{passes:.1g}"
    return f"{'about ' if is_about else ''}{number} pass{'es' if number != '1' else ''} over the data"


@dataclass(frozen=True)
class SpeedRecord:
    """What one run measured.

    Attributes:
        seconds_per_token: Duration of a training step by the tokens (prompt and response) in it.
        peak_gib: Largest memory of the process, or of the GPU where there is one, GiB.
        start_seconds: From the worker's first line to the loaded model, seconds.
        answer_seconds: A round of sample answers, seconds.
        load: What decided the peak; None in records of older versions, whose peak is then not used.
        recomputed: Whether activations were computed again in backward.
    """

    seconds_per_token: float
    peak_gib: float
    start_seconds: float = 15.0
    answer_seconds: float = 6.0
    load: Load | None = None
    recomputed: bool = False


def read_speed(home: Path, *, model: str, quantization: str) -> SpeedRecord | None:
    """Returns what was measured for this model here; None if it never ran."""
    values = _read(home).get(f"{model}|{quantization}")
    try:
        return build_record(values, SpeedRecord) if values else None
    except Damaged:
        return None


def write_speed(home: Path, *, model: str, quantization: str, record: SpeedRecord) -> None:
    speeds = _read(home) | {f"{model}|{quantization}": asdict(record)}
    write_atomically(home / "speeds.json", json.dumps(speeds, indent=2))


def _read(home: Path) -> dict[str, Any]:
    try:
        return read_object(home / "speeds.json")
    except (FileNotFoundError, Damaged):  # it only remembers: the next run measures again
        return {}


def read_peak_gib(device: Any) -> float:
    """Returns the peak memory of this process (or of a torch CUDA device), GiB."""
    if device.type == "cuda":
        return float(sys.modules["torch"].cuda.max_memory_allocated(device)) / GIB
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / GIB
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii", errors="replace").splitlines() if status.exists() else []
    for line in lines:  # getrusage, on Linux, starts a child with the peak of the process that started it
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20
    import resource  # noqa: PLC0415 - Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / GIB if sys.platform == "darwin" else peak / 2**20
