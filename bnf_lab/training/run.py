"""One run from its folder to its adapter: model, data, reference pass, probe, trainer.

The torch side of the worker. It must not know pages or the queue.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import TrainingDiverged
from bnf_lab.core.files import write_atomically
from bnf_lab.core.machine import GIB, read_device
from bnf_lab.core.paths import cache_dir, data_home, models_dir
from bnf_lab.core.sealed_folders import seal_checkpoint
from bnf_lab.data.splits import Split, build_split
from bnf_lab.models.adapters import add_lora
from bnf_lab.models.encoding import EncodedResponse, Encoder
from bnf_lab.models.fetch import FetchProgress, fetch_model
from bnf_lab.models.loading import LoadedModel, load_model, pick_device, recompute_activations
from bnf_lab.models.score_cache import ScoreCache
from bnf_lab.models.scoring import Group, group_responses
from bnf_lab.models.token_stats import TokenStats
from bnf_lab.runs.checkpoints import describe_fallback, newest_checkpoint, remove_stale
from bnf_lab.runs.estimates import (
    Load,
    MemoryNeed,
    SpeedRecord,
    correct_memory,
    read_peak_gib,
    read_shape,
    read_speed,
    write_speed,
)
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.model_card import name_base, write_model_card
from bnf_lab.runs.records import RunState
from bnf_lab.training import distributed
from bnf_lab.training.observer import Follower, ProbePlan, Watch
from bnf_lab.training.plan import MicroBatch, plan_steps, widest_tokens
from bnf_lab.training.probe import Baseline, BaseScores, Probe, build_baseline
from bnf_lab.training.references import compute_reference_logps, locate_reference, read_references, write_references
from bnf_lab.training.trainer import BNFTrainer, planned_groups, planned_responses

logger = logging.getLogger(__name__)

N_ANSWER_PROMPTS = 3


class Reporter(Protocol):
    """What training tells while it goes on; `worker.Report` in a process of its own."""

    durations: list[float]

    def set(self, **changes: object) -> None: ...
    def is_stopping(self) -> bool: ...
    def on_phase_progress(self, done: int, total: int) -> None: ...
    def on_step(self, step: int, seconds: float) -> None: ...
    def on_notice(self, text: str) -> None: ...


@dataclass(frozen=True)
class Prepared:
    """Everything a run needs before its first step."""

    loaded: LoadedModel
    cache: ScoreCache
    split: Split
    probe: list[EncodedResponse]
    plan: list[MicroBatch]
    loss_references: dict[str, Tensor] | None = None
    """Judgement id -> log q (n,) of planned and probe responses, where the loss compares with more than the base."""


def train(folder: RunFolder, report: Reporter) -> bool:
    """Trains, or resumes, the run in `folder` and saves its adapter.

    Returns:
        True if all steps were done, False if the run was asked to stop.

    Raises:
        LabError: With words for the person.
    """
    began = time.monotonic()
    config = folder.read_training_config()
    distributed.join(use_cpu=pick_device().type == "cpu")
    if is_first := distributed.own_rank() == 0:
        remove_stale(folder.path)
    prepared = prepare(folder, config, report)
    start_seconds = time.monotonic() - began
    loaded = prepared.loaded
    newest = newest_checkpoint(folder.path)
    if fallback := describe_fallback(folder.path, newest):
        logger.warning("%s", fallback)
        report.on_notice(fallback)
    references, baseline = _score_base(folder, prepared, config, report, is_new=newest is None)
    watch = _build_watch(folder, prepared, baseline, config, report)
    trainer = BNFTrainer(
        loaded,
        config=config,
        plan=prepared.plan,
        references=references,
        output_dir=folder.path,
        on_metric=watch.on_metric if is_first else None,
        callbacks=[watch if is_first else Follower()],
    )
    report.set(state=RunState.TRAINING, phase="training")
    try:
        trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    except TrainingDiverged:
        if is_first:
            save_adapter(folder, loaded, config)
        raise
    if is_first:
        save_adapter(folder, loaded, config)
    if report.durations:
        step_seconds = statistics.median(report.durations)
        _remember_speed(
            prepared, config, step_seconds, start_seconds=start_seconds, answer_seconds=watch.answer_seconds
        )
    return trainer.state.global_step >= config.n_steps


def _build_watch(
    folder: RunFolder, prepared: Prepared, baseline: Baseline | None, config: RunConfig, report: Reporter
) -> Watch:
    return Watch(
        folder,
        prepared.loaded,
        _plan_probe(prepared, baseline, config),
        prepared.cache,
        prompts=answer_prompts(config, prepared.split),
        config=config,
        on_step=report.on_step,
        is_stopping=report.is_stopping,
    )


def prepare(folder: RunFolder, config: RunConfig, report: Reporter) -> Prepared:
    """Fetches and loads the model, encodes the data and plans every step."""

    def on_fetch(progress: FetchProgress) -> None:
        percent = round(100 * progress.fraction) if progress.fraction is not None else 0
        report.set(phase=f"fetching: {progress.detail}")
        report.on_phase_progress(percent, 100)

    report.set(phase="fetching the model", phase_done=0, phase_total=0)
    path = fetch_model(config.model, models_dir(data_home()), on_fetch)
    report.set(phase="loading the model", phase_done=0, phase_total=0)
    free_gib = _read_free_gib()
    base = load_model(path, quantization=config.quantization)
    report.on_phase_progress(0, 0)
    cache = ScoreCache(cache_dir(data_home()), path, base, max_tokens=config.max_tokens)
    judgements = folder.read_judgements()
    split = build_split(judgements, config)
    if split.changes:
        lines = (json.dumps(dataclasses.asdict(change)) + "\n" for change in split.changes)
        write_atomically(folder.path / "changes.jsonl", "".join(lines))
    encode = cache.encode(Encoder(base.tokenizer, max_tokens=config.max_tokens), judgements)
    plan = plan_steps(
        split.train,
        config,
        encode,
        has_gpu=base.device.type != "cpu",
        n_processes=distributed.n_processes(),
    )
    probe = [encode(judgement) for unit in split.probe for judgement in unit]
    cache.keep_encoded()
    loss_references = _score_other_reference(folder, config, base, path, plan, probe, report)
    loaded = add_lora(
        base,
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        dropout=config.lora_dropout,
        targets=config.lora_targets,
        seed=config.seed,
        base_name=name_base(config),
    )
    if _estimate_need(path, loaded, plan, config).recomputes(free_gib):
        logger.info("activations are computed again in backward: %.1f GiB are free", free_gib)
        recompute_activations(loaded)
    return Prepared(loaded, cache, split, probe, plan, loss_references)


def _score_other_reference(
    folder: RunFolder,
    config: RunConfig,
    base: LoadedModel,
    model_dir: Path,
    plan: list[MicroBatch],
    probe: list[EncodedResponse],
    report: Reporter,
) -> dict[str, Tensor] | None:
    """Returns log q under the reference that the settings name, None where it is the base model as it is."""
    if (config.reference, config.reference_temperature) == ("base", 1.0):
        return None
    wanted = {r.judgement_id: r for r in (*planned_responses(plan), *probe)}
    saved = read_references(folder.path)
    if wanted.keys() <= saved.keys():
        return saved
    reference = locate_reference(config, data_home(), model_dir)
    report.set(phase="reference pass", phase_done=0, phase_total=0)
    logps = compute_reference_logps(reference, base, list(wanted.values()), on_progress=report.on_phase_progress)
    if distributed.own_rank() == 0:
        write_references(folder.path, logps)
    return logps


def _read_free_gib() -> float:
    """Returns the memory that this process may take: of its own GPU, or its share of the machine's."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0] / GIB
    return read_device().free_gib / distributed.n_processes()


def _estimate_need(path: Path, loaded: LoadedModel, plan: list[MicroBatch], config: RunConfig) -> MemoryNeed:
    speed = read_speed(data_home(), model=config.model, quantization=loaded.quantization)
    load = memory_load(loaded, plan, config)
    if not loaded.packs and (speed is None or speed.load is None):  # a measured peak holds its padding already
        padded = (len(m.responses) * max(r.n_tokens for r in m.responses) for m in plan)
        load = dataclasses.replace(load, micro_tokens=max(padded))
    return correct_memory(read_shape(path), load, speed)


def memory_load(loaded: LoadedModel, plan: list[MicroBatch], config: RunConfig) -> Load:
    """Returns what of a run decides its memory, as the preflight counts it."""
    is_nf4, is_float32 = loaded.quantization == "nf4", loaded.compute_dtype is torch.float32
    return Load(widest_tokens(plan), config.lora_rank, is_nf4, is_float32, not loaded.splits_head)


def _score_base(
    folder: RunFolder, prepared: Prepared, config: RunConfig, report: Reporter, *, is_new: bool
) -> tuple[dict[str, Tensor], Baseline | None]:
    """Scores under the base model what no run has scored before.

    Returns:
        Judgement id -> the reference's log-probabilities of the planned responses, which a resumed run finds in its
        folder; and what the probe says at step 0, None where that is recorded already.
    """
    groups, others = planned_groups(prepared.plan), prepared.loss_references
    saved = read_references(folder.path) if others is None else others
    is_saved = all(r.judgement_id in saved for group in groups for r in group)
    report.set(phase="reference pass", phase_done=0, phase_total=0)
    if not is_saved:
        planned = _share_scoring(prepared, groups, report)
        saved = {judgement_id: values.logps.clone() for judgement_id, values in planned.items()}
        if distributed.own_rank() == 0:
            write_references(folder.path, saved)
    if not is_new:
        return saved, None
    stats = _share_scoring(prepared, group_responses(prepared.probe), report)
    return saved, build_baseline(
        prepared.probe, stats, prepared.loaded.tokenizer, is_held_out=prepared.split.is_held_out, loss_references=others
    )


def _share_scoring(prepared: Prepared, groups: list[Group], report: Reporter) -> dict[str, TokenStats]:
    """Scores the groups under the reference, each process its share; the others' it then finds in the cache."""
    own, cache = groups[distributed.own_rank() :: distributed.n_processes()], prepared.cache
    stats = cache.reference_stats(prepared.loaded, own, on_progress=report.on_phase_progress)
    if distributed.n_processes() == 1:
        return stats
    distributed.wait_for_all()
    return cache.reference_stats(prepared.loaded, groups)


def _plan_probe(prepared: Prepared, baseline: Baseline | None, config: RunConfig) -> ProbePlan:
    probe_tokens = sum(r.n_tokens for r in prepared.probe)
    cost_in_steps = probe_tokens / _step_tokens(prepared, config)

    def build() -> Probe:
        loaded, cache, known = prepared.loaded, prepared.cache, None
        groups = group_responses(prepared.probe)
        if loaded.splits_head:
            if baseline is not None:
                stats = {score.response.judgement_id: score.reference for score in baseline.scores}
            else:
                stats = cache.reference_stats(loaded, groups)
            known = BaseScores(stats, cache.reference_features(loaded, groups))
        return Probe(loaded, prepared.probe, loss_references=prepared.loss_references, known=known)

    return ProbePlan(build, baseline, cost_in_steps)


def answer_prompts(config: RunConfig, split: Split) -> list[str]:
    """Returns the prompts to answer during the run: the person's own, else held-out ones of a single turn."""
    own = [line.strip() for line in config.answer_prompts.splitlines() if line.strip()]
    if own:
        return own[:N_ANSWER_PROMPTS]
    single_turn = [unit[0].prompt for unit in split.probe if len(unit[0].prompt) == 1]
    return list(dict.fromkeys(prompt[0].content for prompt in single_turn))[:N_ANSWER_PROMPTS]


def save_adapter(folder: RunFolder, loaded: LoadedModel, config: RunConfig) -> Path:
    """Writes `adapter/` in PEFT's layout with a model card; a crash leaves either the old one or the new one."""
    staging = folder.path / "tmp-adapter"
    shutil.rmtree(staging, ignore_errors=True)
    loaded.model.save_pretrained(staging)
    write_model_card(staging / "README.md", folder, config)
    seal_checkpoint(staging, folder.adapter)
    return folder.adapter


def _remember_speed(prepared: Prepared, config: RunConfig, step_seconds: float, **measured: float) -> None:
    """Keeps how fast this machine trained this model, for the next run's estimate."""
    seconds_per_token = step_seconds / _step_tokens(prepared, config)
    record_speed(prepared, config, seconds_per_token, **measured)


def record_speed(prepared: Prepared, config: RunConfig, seconds_per_token: float, **measured: float) -> SpeedRecord:
    """Writes what was measured to the data home, with the process's peak memory and what decided it."""
    loaded = prepared.loaded
    record = SpeedRecord(
        seconds_per_token,
        read_peak_gib(loaded.device),
        load=memory_load(loaded, prepared.plan, config),
        recomputed=loaded.causal.is_gradient_checkpointing,
        **measured,
    )
    write_speed(data_home(), model=config.model, quantization=loaded.quantization, record=record)
    return record


def _step_tokens(prepared: Prepared, config: RunConfig) -> float:
    """Returns the mean tokens (prompt and response) of an optimiser step."""
    return sum(r.n_tokens for micro_batch in prepared.plan for r in micro_batch.responses) / config.n_steps
