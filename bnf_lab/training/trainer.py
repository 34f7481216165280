"""`BNFTrainer`: transformers' Trainer with a preference loss over planned micro-batches.

It knows the loss, the plan and the reference's log-probabilities. It must not know run folders, argv or pages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import TrainingDiverged
from bnf_lab.core.sealed_folders import seal_checkpoint
from bnf_lab.data.splits import build_split
from bnf_lab.losses import LOSSES
from bnf_lab.losses.bnf import bnf_token_weights
from bnf_lab.losses.terms import TokenScores, token_means
from bnf_lab.models.encoding import EncodedResponse, Encoder
from bnf_lab.models.loading import LoadedModel
from bnf_lab.models.packing import Batch, build_batch
from bnf_lab.models.scoring import (
    Group,
    as_reference,
    compute_group_stats,
    compute_stats,
    group_responses,
    score_batch,
    stack_rows,
)
from bnf_lab.models.token_stats import TokenStats
from bnf_lab.runs.records import MetricPoint
from bnf_lab.training import distributed
from bnf_lab.training.plan import MicroBatch, plan_steps, settle_steps


class BNFTrainer(Trainer):
    """Trains the adapter of a loaded model on a fixed plan.

    Args:
        loaded: A model wrapped by `models.add_lora` or a trainable adapter.
        config: The run's settings.
        plan: Every micro-batch in order, from `batches.plan_steps`.
        references: Judgement id -> (n,) float32, log q of its response tokens, scored in `planned_groups`.
        output_dir: Folder for checkpoints.
        on_metric: Called with a "train" `MetricPoint` after every step.
        callbacks: Further transformers callbacks.
    """

    # Each micro-batch's loss is already divided by the units of its whole step.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        config: RunConfig,
        plan: Sequence[MicroBatch],
        references: Mapping[str, Tensor],
        output_dir: str | Path,
        on_metric: Callable[[MetricPoint], None] | None = None,
        callbacks: Iterable[TrainerCallback] = (),
    ) -> None:
        self.loaded = loaded
        self.loss = LOSSES[config.method]
        self.loss_settings = {name: getattr(config, name) for name in self.loss.settings}
        self.references = references
        self.on_metric = on_metric
        self._sums: dict[str, list[float]] = {}
        self._reference_points: dict[int, float] = {}
        super().__init__(
            model=loaded.model,
            args=training_arguments(
                config,
                output_dir,
                n_micro=len(plan) // config.n_steps // distributed.n_processes(),
                device=loaded.device,
            ),
            train_dataset=plan,
            data_collator=_only,
            callbacks=list(callbacks),
        )

    @classmethod
    def from_judgements(
        cls, loaded: LoadedModel, judgements: Iterable[Any], config: RunConfig, *, output_dir: str | Path
    ) -> BNFTrainer:
        """Encodes and plans judgements, scores them once under the reference and returns a trainer ready to `train()`.

        Raises:
            RunRefused: If there is nothing to train on, or the method needs pairs and finds none.
        """
        encoder = Encoder(loaded.tokenizer, max_tokens=config.max_tokens)
        split = build_split(judgements, config)
        config = settle_steps(split.train, config)
        plan = plan_steps(
            split.train,
            config,
            encoder.encode,
            has_gpu=loaded.device.type != "cpu",
            n_processes=distributed.n_processes(),
        )
        with as_reference(loaded):
            stats = compute_group_stats(loaded, planned_groups(plan))
        references = {judgement_id: values.logps for judgement_id, values in stats.items()}
        return cls(loaded, config=config, plan=plan, references=references, output_dir=output_dir)

    def compute_loss(
        self, model: Any, inputs: Mapping[str, MicroBatch], return_outputs: bool = False, **_: Any
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Returns the micro-batch's share of the step's loss: the sum over its units by the units of the step."""
        micro_batch = inputs["micro_batch"]
        batch = build_batch(micro_batch.responses, pairs=micro_batch.pairs).to(self.loaded.device)
        stats = score_batch(self.loaded, batch).spread(batch.response_mask)
        scores = self._token_scores(batch, stats, self._reference_point(micro_batch))
        losses = self.loss.compute(scores, **self.loss_settings)
        self._note(scores)
        loss = losses.sum() / micro_batch.n_units_in_step
        # of several processes all must stop, which they do when they see the sum of their gradients
        if distributed.n_processes() == 1 and not torch.isfinite(loss):
            raise self._diverged(f"The loss became {loss.item()} at")
        return (loss, losses) if return_outputs else loss

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """Adds a micro-batch to the gradient; at the end of a step, refuses one that would spoil the adapter."""
        loss = super().training_step(*args, **kwargs)
        if self.accelerator.sync_gradients:
            distributed.sum_gradients(self.loaded.model.parameters())
            gradients = [p.grad for p in self.loaded.model.parameters() if p.grad is not None]
            if not all(torch.isfinite(gradient).all() for gradient in gradients):
                raise self._diverged("A gradient is not finite at")
        return loss

    def _diverged(self, what: str) -> TrainingDiverged:
        return TrainingDiverged(
            f"{what} step {self.state.global_step + 1}; training stopped before it could spoil the adapter. Lower the"
            " learning rate, or use BNF."
        )

    def _reference_point(self, micro_batch: MicroBatch) -> float:
        """Returns KTO's z0 of the present step, nats: max(0, mean log-ratio of responses under other prompts).

        It belongs to the whole step, so it is computed once and is the same for all of the step's micro-batches.
        """
        if not micro_batch.mismatched:
            return 0.0
        step = self.state.global_step
        if step not in self._reference_points:
            stats = compute_stats(self.loaded, micro_batch.mismatched)
            shifts = [(values.logps - self.references[i]).sum().item() for i, values in stats.items()]
            if not math.isfinite(mean := fmean(shifts)):
                raise self._diverged("KTO's reference point is not finite at")
            self._reference_points = {step: max(0.0, mean)}
        return self._reference_points[step]

    def _token_scores(self, batch: Batch, stats: TokenStats, reference_point: float) -> TokenScores:
        references = stack_rows((self.references[i] for i in batch.ids), batch.response_mask.shape[1])
        return TokenScores(
            stats.logps,
            references.to(stats.logps.device),
            stats.entropies,
            batch.response_mask,
            batch.is_preferred,
            batch.weights,
            batch.pairs,
            reference_point,
        )

    @torch.no_grad()
    def _note(self, scores: TokenScores) -> None:
        """Keeps the batch's own likelihoods and gates until the step is logged."""
        logps = token_means(scores.policy_logps, scores.mask).tolist()
        gates = token_means(bnf_token_weights(scores.policy_logps, scores.reference_logps), scores.mask).tolist()
        for is_preferred, logp, gate in zip(scores.is_preferred.tolist(), logps, gates, strict=True):
            name = "train_preferred" if is_preferred else "train_dispreferred"
            self._sums.setdefault(f"{name}_logp", []).append(logp)
            self._sums.setdefault(f"{name}_gate", []).append(gate)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Hands the step's numbers on as a record besides what the Trainer keeps."""
        if "loss" in logs:
            logs["loss"] *= distributed.n_processes()  # the Trainer logs the mean of the processes' shares
            values = _means(distributed.gather(self._sums))
            values |= {k: float(logs[k]) for k in ("loss", "grad_norm", "learning_rate") if k in logs}
            if self.on_metric:
                self.on_metric(MetricPoint(step=self.state.global_step, seconds=0.0, source="train", **values))
        self._sums = {}
        super().log(logs, start_time)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging)

    @property
    def _staging(self) -> Path:
        return Path(self.args.output_dir) / f"tmp-{self.state.global_step}"

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Lets the Trainer write to a staging folder and seals it, so that a crash never leaves half a checkpoint."""
        name = f"checkpoint-{self.state.global_step}"
        super()._save_checkpoint(model, trial)
        distributed.wait_for_all()  # each process writes the state of its own random numbers
        if distributed.own_rank() == 0:
            seal_checkpoint(self._staging / name, Path(self.args.output_dir) / name)
            self._staging.rmdir()
        distributed.wait_for_all()


def _means(parts: Sequence[Mapping[str, list[float]]]) -> dict[str, float]:
    """Returns the mean of each name's values over all processes."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: fmean(value for part in parts for value in part.get(name, ())) for name in names}


def _only(items: Sequence[MicroBatch]) -> dict[str, MicroBatch]:
    """The plan already holds whole micro-batches, so a "batch" of the data loader is one of them."""
    (item,) = items
    return {"micro_batch": item}


def planned_responses(plan: Sequence[MicroBatch]) -> list[EncodedResponse]:
    """Returns each response that the plan scores once, in order of first use."""
    return list({r.judgement_id: r for group in planned_groups(plan) for r in group}.values())


def planned_groups(plan: Sequence[MicroBatch]) -> list[Group]:
    """Returns the groups in which the policy first reads each response: there the reference is to be scored, too.

    In bfloat16 and NF4 a response's probabilities depend in their last digits on the others of its micro-batch. Scored
    in the same company, policy and reference differ by training alone, and BNF's weights are exactly 1 at step 0.
    """
    seen: set[str] = set()
    found: list[Group] = []
    for micro_batch in plan:
        for group in (micro_batch.responses, *group_responses(micro_batch.mismatched)):
            if new := {r.judgement_id for r in group} - seen:
                seen |= new
                found.append(group)
    return found


def training_arguments(
    config: RunConfig, output_dir: str | Path, *, n_micro: int, device: torch.device
) -> TrainingArguments:
    """Translates the run's settings; `n_micro` is the number of micro-batches in a step."""
    arguments = TrainingArguments(
        output_dir=str(output_dir),
        max_steps=config.n_steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=n_micro,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant_with_warmup" if config.schedule == "constant" else config.schedule,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        save_strategy="steps",
        save_steps=config.checkpoint_steps,
        logging_steps=1,
        # By default the Trainer would replace a non-finite loss by an average and nobody would see it.
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        train_sampling_strategy="sequential",
        dataloader_pin_memory=False,
        use_cpu=device.type == "cpu",
    )
    # One process computes on one device. Where PyTorch sees several GPUs the Trainer would spread each batch over them
    # (nn.DataParallel) and make it as many times as large; it has no other switch (transformers 5.23).
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments
