"""What a run would be, counted with the model's own tokenizer before anything starts. The torch side of the estimate.

It must not know the store, the queue or pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import LabError, RunRefused
from bnf_lab.core.judgements import Judgement, Unit, group_units
from bnf_lab.core.machine import DeviceInfo
from bnf_lab.core.methods import method_label
from bnf_lab.core.numbers import counted
from bnf_lab.data.splits import Split, build_split
from bnf_lab.losses import LOSSES
from bnf_lab.models.encoding import EncodedResponse
from bnf_lab.models.encoding_cache import EncodingCache
from bnf_lab.models.loading import can_split_head, pick_compute_dtype
from bnf_lab.runs.estimates import (
    Load,
    MemoryNeed,
    Preflight,
    correct_memory,
    estimate_seconds,
    read_shape,
    read_speed,
)
from bnf_lab.training.plan import Reads, count_reads, plan_steps, settle_steps, widest_tokens
from bnf_lab.training.reading import Reading, read_split
from bnf_lab.training.references import locate_reference

FEW_RESPONSES = 8
PLANNED_STEPS = 500  # what a long run is judged by: a plan of 100,000 steps takes 20 s of every thread's time
SLOWER_BUT_FITS = (
    "At full speed this run would need about {:.1f} GiB and {:.1f} GiB are free, so part of each step is computed"
    " twice, which takes about a third longer. 'Responses at once' of 1 or a shorter 'Longest sequence' may avoid it."
)

WHOLE_LOGITS = (
    "This model makes its logits in a way of its own, so those of every token are kept, prompts included: memory grows"
    " with tokens times vocabulary, and that is counted."
)


class Counter:
    """Counts runs before they start. Threads that count at the same time do not wait for each other.

    Args:
        home: The data folder, where measured speeds are kept.
        encodings: What reads the texts; one of its own by default.
    """

    def __init__(self, home: Path, encodings: EncodingCache | None = None) -> None:
        self._home = home
        self._encodings = encodings or EncodingCache()

    def count_tokens(self, model: Path, judgements: Sequence[Judgement]) -> list[int]:
        """Returns the tokens of prompt and response of each judgement, uncut; see `EncodingCache.count_tokens`."""
        return self._encodings.count_tokens(model, judgements)

    def check(
        self, judgements: Sequence[Judgement], config: RunConfig, device: DeviceInfo, model: Path | None
    ) -> Preflight:
        """Counts a run and names what is wrong with it.

        Args:
            judgements: The judgements chosen.
            config: The run's settings.
            device: The machine.
            model: The base model's folder; None while it is not fetched.
        """
        split = build_split(judgements, config)
        problems, reads = (), None
        try:
            config = _settled(split, config)
        except RunRefused as error:
            problems = (str(error),)
        else:
            reads = count_reads(split.train, config)
        found = Preflight(
            n_responses=len(judgements),
            n_pairs=sum(len(unit) == 2 for unit in group_units(judgements)),
            n_train_responses=sum(map(len, split.train)),
            n_probe_pairs=len(split.probe) if split.is_held_out else 0,
            n_steps=config.n_steps if reads else None,
            n_read=reads.n_read if reads else None,
            passes=reads.passes if reads else None,
            is_about=reads is not None and reads.counted_share < 1,
            is_model_here=model is not None,
            free_gib=device.free_gib,
            problems=problems,
            warnings=data_warnings(split, config, reads),
        )
        return self._count(found, split, config, device, model, reads) if model else found

    def _count(
        self, found: Preflight, split: Split, config: RunConfig, device: DeviceInfo, model: Path, reads: Reads | None
    ) -> Preflight:
        """Adds what only the model's tokenizer and sizes tell."""
        problems, warnings = (*found.problems, *self._reference_problems(config, model)), found.warnings
        try:
            read = read_split(split, model, self._encodings, max_tokens=config.max_tokens)
        except LabError as error:
            return replace(found, problems=(*problems, str(error)))
        warnings += read.warnings
        numbers: dict[str, Any] = {
            "n_tokens": read.train_tokens,
            "n_tokens_read": _tokens_read(reads, read) if reads else None,
            "n_truncated": read.n_cut,
            "n_alike": read.n_alike,
            "reading": read.sample,
        }
        if not problems:
            need, seconds = self._estimate(split, config, device, model, read)
            recomputes = need.recomputes(device.free_gib)
            numbers |= {
                "memory_gib": need.recomputing_gib if recomputes else need.plain_gib,
                "is_memory_measured": need.is_recomputing_measured if recomputes else need.is_plain_measured,
                "seconds": seconds,
            }
            if not can_split_head(model):
                warnings += (WHOLE_LOGITS,)
            if recomputes and need.recomputing_gib <= device.free_gib:
                warnings += (SLOWER_BUT_FITS.format(need.plain_gib, device.free_gib),)
            if numbers["memory_gib"] > device.free_gib:
                problems += (
                    f"This run needs about {numbers['memory_gib']:.1f} GiB and {device.free_gib:.1f} GiB are free."
                    " Lower 'Responses at once' or 'Longest sequence', or close other programs.",
                )
        return replace(found, **numbers, problems=problems, warnings=warnings)

    def _reference_problems(self, config: RunConfig, model: Path) -> tuple[str, ...]:
        try:
            locate_reference(config, self._home, model)
        except LabError as error:
            return (str(error),)
        return ()

    def _estimate(
        self, split: Split, config: RunConfig, device: DeviceInfo, model: Path, read: Reading
    ) -> tuple[MemoryNeed, float | None]:
        planned = replace(config, n_steps=min(config.n_steps, PLANNED_STEPS))
        plan = plan_steps(
            split.train,
            planned,
            lambda j: self._encodings.encode(model, [j], max_tokens=config.max_tokens)[0],
            has_gpu=device.has_gpu,
        )
        is_float32 = pick_compute_dtype(torch.device("cuda" if device.has_gpu else "cpu")) is torch.float32
        is_nf4 = config.quantization == "nf4" or (config.quantization == "auto" and device.has_gpu)
        load = Load(widest_tokens(plan), config.lora_rank, is_nf4, is_float32, not can_split_head(model))
        speed = read_speed(self._home, model=config.model, quantization="nf4" if is_nf4 else "none")
        need = correct_memory(read_shape(model), load, speed)
        if speed is None:
            return need, None
        lengths = [(r.judgement_id, r.n_tokens) for m in plan for r in m.responses]
        seconds = estimate_seconds(
            config,
            speed,
            step_tokens=sum(n for _, n in lengths) / planned.n_steps,
            reference_tokens=_reference_tokens(lengths, config.n_steps / planned.n_steps, read.train_tokens),
            probe_tokens=read.probe_tokens,
            has_gpu=device.has_gpu,
        )
        return need, seconds


def _tokens_read(reads: Reads, read: Reading) -> int:
    """Returns the tokens that a run reads, as often as it reads them."""
    n_tokens = sum(n * read.train_lengths[judgement_id] for judgement_id, n in reads.counts.items())
    return round(n_tokens / reads.counted_share)


def _reference_tokens(lengths: Sequence[tuple[str, int]], scale: float, most: int) -> int:
    """Returns the tokens of all responses that a run reads, each once.

    >>> _reference_tokens([("a", 5), ("b", 7)], 1.0, 99), _reference_tokens([("a", 5), ("b", 7)], 4.0, 40)
    (12, 40)
    >>> _reference_tokens([("a", 5), ("b", 7), ("a", 5)], 4.0, 99)
    12

    Args:
        lengths: Id and tokens of each response of the planned steps, in order.
        scale: How many times longer the run is than what was planned.
        most: Tokens of all training data.
    """
    distinct = dict(lengths)
    # nothing comes twice before everything has come once
    has_all = len(distinct) < len(lengths)
    return sum(distinct.values()) if has_all else min(most, round(scale * sum(distinct.values())))


def data_problems(split: Split, config: RunConfig) -> tuple[str, ...]:
    """Returns what keeps these units from being trained on as often as wanted, each with its remedy."""
    try:
        _settled(split, config)
    except RunRefused as error:
        return (str(error),)
    return ()


def _settled(split: Split, config: RunConfig) -> RunConfig:
    """Returns the settings with their number of steps, see `settle_steps`.

    Raises:
        RunRefused: If these units cannot be trained on as often as wanted.
    """
    everything = (*split.train, *split.probe) if split.is_held_out else split.train
    for units in (everything, split.train):  # all of the data first: its counts are those that a person knows
        plan_steps(units, _one_step(config), _not_encoded)
    return settle_steps(split.train, config)


def _one_step(config: RunConfig) -> RunConfig:
    return RunConfig(method=config.method, n_steps=1, responses_per_step=1)


def _not_encoded(judgement: Judgement) -> EncodedResponse:
    return EncodedResponse(judgement.id, (), (), judgement.is_preferred, judgement.weight, judgement.prompt, False)


def settle_config(config: RunConfig, judgements: Sequence[Judgement]) -> RunConfig:
    """Returns the settings with the number of steps that their passes over these judgements take."""
    return settle_steps(build_split(judgements, config).train, config) if config.passes else config


def data_warnings(split: Split, config: RunConfig, reads: Reads | None) -> tuple[str, ...]:
    """Returns what should be known about the data before a run; `reads` is None where it cannot be trained on."""
    judgements = [j for unit in split.train for j in unit]
    found: list[str] = []
    if judgements and len({j.verdict for j in judgements}) == 1:
        kind = judgements[0].verdict
        found.append(f"All training responses are {kind}. BNF works, but the model never sees what the other side is.")
    if 0 < len(judgements) < FEW_RESPONSES:
        found.append(
            f"Only {counted(len(judgements), 'response', 'is', 'are')} left for training; expect it to learn them"
            " by heart."
        )
    if judgements and not split.is_held_out:
        found.append("Fewer than 5 prompts: none are held out, so the plots show the training responses themselves.")
    found += _loss_warnings(split, config)
    if reads is not None and reads.passes > 20:
        found.append(f"Each response is read about {reads.passes:,.0f} times; fewer steps may do.")
    return tuple(found)


def _loss_warnings(split: Split, config: RunConfig) -> list[str]:
    """Returns what the method leaves out of the data or of the settings."""
    loss, label, found = LOSSES[config.method], method_label(config.method), []
    if loss.needs_pairs and (singles := count_singles(split.train)):
        n_prompts = len({unit[0].prompt for unit in split.train})
        n_paired = len({unit[0].prompt for unit in split.train if len(unit) == 2})
        found.append(
            f"{counted(singles, 'response')} without a partner {'is' if singles == 1 else 'are'} left out: {label}"
            f" needs pairs, and {n_paired} of {counted(n_prompts, 'prompt', 'has', 'have')} one. BNF would use"
            " them all."
        )
    n_dispreferred = sum(not j.is_preferred for unit in split.train for j in unit)
    if not loss.reads_dispreferred and n_dispreferred:
        found.append(
            f"{counted(n_dispreferred, 'dispreferred response', 'is', 'are')} left out: {label} reads preferred"
            " ones only."
        )
    if loss.needs_reference_point and config.responses_per_step <= 2:
        found.append(f"{label} compares with other prompts of the same step: 4 or more responses a step give it some.")
    if not loss.needs_reference and (config.reference != "base" or config.reference_temperature != 1):
        found.append(f"{label} uses no reference: the one chosen decides only what the plots call the gate.")
    return found


def count_singles(units: Sequence[Unit]) -> int:
    return sum(len(unit) == 1 for unit in units)
