"""What a run would be, counted with the model's own tokenizer before anything starts. The torch side of the estimate.

It must not know the store, the queue or pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from bnf_lab.batches import EncodedResponse, Encoder, plan_steps
from bnf_lab.config import RunConfig
from bnf_lab.errors import LabError, RunRefused
from bnf_lab.estimates import MemoryNeed, estimate_memory, estimate_seconds, read_shape
from bnf_lab.lab_records import DeviceInfo, Preflight
from bnf_lab.losses import LOSSES
from bnf_lab.models import load_tokenizer, pick_compute_dtype
from bnf_lab.preferences import Judgement, Unit, group_units
from bnf_lab.references import locate_reference
from bnf_lab.settings import method_label
from bnf_lab.speeds import read_speed
from bnf_lab.splits import Split, build_split

FEW_RESPONSES = 8
SLOWER_BUT_FITS = (
    "At full speed this run would need about {:.1f} GiB and {:.1f} GiB are free, so part of each step is computed"
    " twice, which takes about a third longer. 'Responses at once' of 1 or a shorter 'Longest sequence' may avoid it."
)


class Counter:
    """Encodes judgements for counting, each text once for each model.

    Args:
        home: The data folder, where measured speeds are kept.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._encoders: dict[tuple[Path, int], Encoder] = {}
        self._encoded: dict[tuple[Path, int, Judgement], EncodedResponse] = {}

    def encode(self, model: Path, max_tokens: int, judgement: Judgement) -> EncodedResponse:
        key = (model, max_tokens)
        if key not in self._encoders:
            self._encoders[key] = Encoder(load_tokenizer(model), max_tokens=max_tokens)
        if (*key, judgement) not in self._encoded:
            self._encoded[*key, judgement] = self._encoders[key].encode(judgement)
        return self._encoded[*key, judgement]

    def count_tokens(self, model: Path, judgements: Sequence[Judgement]) -> list[int]:
        """Returns the tokens of prompt and response of each judgement, uncut."""
        encoder = Encoder(load_tokenizer(model), max_tokens=2**31)
        return [encoder.encode(judgement).n_tokens for judgement in judgements]

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
        counts = {
            "n_responses": len(judgements),
            "n_pairs": sum(len(unit) == 2 for unit in group_units(judgements)),
            "n_train_responses": sum(map(len, split.train)),
            "n_probe_pairs": len(split.probe),
            "free_gib": device.free_gib,
        }
        warnings = data_warnings(split, config)
        if model is None:
            return Preflight(**counts, problems=data_problems(split, config), warnings=warnings)
        return self._count(counts, split, config, device, model, warnings)

    def _count(
        self, counts: dict, split: Split, config: RunConfig, device: DeviceInfo, model: Path, warnings: tuple[str, ...]
    ) -> Preflight:
        def encode(judgement: Judgement) -> EncodedResponse:
            return self.encode(model, config.max_tokens, judgement)

        problems = (*data_problems(split, config), *self._reference_problems(config, model))
        encoded = [encode(j) for unit in split.train for j in unit]
        probe = [encode(j) for unit in split.probe for j in unit]
        n_cut = sum(r.is_cut for r in (*encoded, *probe))
        if n_cut:
            warnings += (
                f"{n_cut} responses with their prompts exceed {config.max_tokens} tokens and are cut."
                " Raise 'Longest sequence' to keep them whole.",
            )
        numbers: dict = {"n_tokens": sum(r.n_tokens for r in encoded), "n_truncated": n_cut}
        if not problems:
            need, seconds = self._estimate(split, config, device, model, sum(r.n_tokens for r in probe))
            recomputes = need.recomputes(device.free_gib)
            numbers |= {"memory_gib": need.recomputing_gib if recomputes else need.plain_gib, "seconds": seconds}
            if recomputes and need.recomputing_gib <= device.free_gib:
                warnings += (SLOWER_BUT_FITS.format(need.plain_gib, device.free_gib),)
            if numbers["memory_gib"] > device.free_gib:
                problems += (
                    f"This run needs about {numbers['memory_gib']:.1f} GiB and {device.free_gib:.1f} GiB are free."
                    " Lower 'Responses at once' or 'Longest sequence', or close other programs.",
                )
        return Preflight(**counts, **numbers, problems=problems, warnings=warnings)

    def _reference_problems(self, config: RunConfig, model: Path) -> tuple[str, ...]:
        try:
            locate_reference(config, self._home, model)
        except LabError as error:
            return (str(error),)
        return ()

    def _estimate(
        self, split: Split, config: RunConfig, device: DeviceInfo, model: Path, probe_tokens: int
    ) -> tuple[MemoryNeed, float | None]:
        plan = plan_steps(
            split.train, config, lambda j: self.encode(model, config.max_tokens, j),
            has_gpu=device.has_gpu,
        )  # fmt: skip
        widest = max(sum(r.n_tokens for r in m.responses) for m in plan)
        is_float32 = pick_compute_dtype(torch.device("cuda" if device.has_gpu else "cpu")) is torch.float32
        is_nf4 = config.quantization == "nf4" or (config.quantization == "auto" and device.has_gpu)
        need = estimate_memory(
            read_shape(model), config, micro_tokens=widest, is_nf4=is_nf4, is_float32=is_float32
        )
        speed = read_speed(self._home, model=config.model, quantization="nf4" if is_nf4 else "none")
        if speed is None:
            return need, None
        planned = {r.judgement_id: r.n_tokens for m in plan for r in m.responses}
        step_tokens = sum(r.n_tokens for m in plan for r in m.responses) / config.n_steps
        seconds = estimate_seconds(
            config, speed, step_tokens=step_tokens, reference_tokens=sum(planned.values()), probe_tokens=probe_tokens,
            has_gpu=device.has_gpu,
        )  # fmt: skip
        return need, seconds


def data_problems(split: Split, config: RunConfig) -> tuple[str, ...]:
    """Returns what keeps these units from being trained on, each with its remedy."""
    everything = (*split.train, *split.probe) if split.is_held_out else split.train
    for units in (everything, split.train):  # all of the data first: its counts are those that a person knows
        try:
            plan_steps(units, _one_step(config), _not_encoded)
        except RunRefused as error:
            return (str(error),)
    return ()


def _one_step(config: RunConfig) -> RunConfig:
    return RunConfig(method=config.method, n_steps=1, responses_per_step=1)


def _not_encoded(judgement: Judgement) -> EncodedResponse:
    return EncodedResponse(judgement.id, (), (), judgement.is_preferred, judgement.weight, judgement.prompt, False)


def data_warnings(split: Split, config: RunConfig) -> tuple[str, ...]:
    """Returns what should be known about the data before a run."""
    judgements = [j for unit in split.train for j in unit]
    found: list[str] = []
    if judgements and len({j.verdict for j in judgements}) == 1:
        kind = judgements[0].verdict
        found.append(f"All training responses are {kind}. BNF works, but the model never sees what the other side is.")
    if 0 < len(judgements) < FEW_RESPONSES:
        found.append(f"Only {len(judgements)} responses are left for training; expect it to learn them by heart.")
    if judgements and not split.is_held_out:
        found.append("Fewer than 5 prompts: none are held out, so the plots show the training responses themselves.")
    found += _loss_warnings(split, config)
    passes = config.n_steps * config.responses_per_step / max(1, len(judgements))
    if judgements and passes > 20:
        found.append(f"Each response is seen about {passes:.0f} times; fewer steps may do.")
    return tuple(found)


def _loss_warnings(split: Split, config: RunConfig) -> list[str]:
    """Returns what the method leaves out of the data or of the settings."""
    loss, label, found = LOSSES[config.method], method_label(config.method), []
    if loss.needs_pairs and (singles := count_singles(split.train)):
        n_prompts = len({unit[0].prompt for unit in split.train})
        n_paired = len({unit[0].prompt for unit in split.train if len(unit) == 2})
        found.append(
            f"{singles} responses without a partner are left out: {label} needs pairs, and {n_paired} of {n_prompts}"
            " prompts have one. BNF would use them all."
        )
    n_dispreferred = sum(not j.is_preferred for unit in split.train for j in unit)
    if not loss.reads_dispreferred and n_dispreferred:
        found.append(f"{n_dispreferred} dispreferred responses are left out: {label} does not read them.")
    if loss.needs_reference_point and config.responses_per_step <= 2:
        found.append(f"{label} compares with other prompts of the same step: 4 or more responses a step give it some.")
    if not loss.needs_reference and (config.reference != "base" or config.reference_temperature != 1):
        found.append(f"{label} uses no reference: the one chosen decides only what the plots call the gate.")
    return found


def count_singles(units: Sequence[Unit]) -> int:
    return sum(len(unit) == 1 for unit in units)
