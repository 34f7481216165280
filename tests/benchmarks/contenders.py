"""The training steps that are compared: each a real trainer's own loop, held between its steps by a callback.

Runs in child processes, see `children.py`. What differs between contenders is the trainer alone: model, adapter, pairs,
precision, optimiser, learning rate and clipping are the same.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, group_units
from bnf_lab.losses import LOSSES, Loss
from bnf_lab.losses.terms import TokenScores, mean_logps
from bnf_lab.models.adapters import add_lora
from bnf_lab.models.loading import load_model, pick_device
from bnf_lab.training.trainer import BNFTrainer
from tests.benchmarks.children import Channel, give_memory_back, read_peak_gib

RANK, ALPHA, LEARNING_RATE, CLIP = 16, 32, 5e-4, 1.0
CHECKED_STEPS = 2  # LoRA's A has a gradient from the second step on, when B is no longer zero


@dataclass(frozen=True)
class Work:
    """What every contender gets.

    Attributes:
        contender: A name of `step.LABELS`.
        model: Folder of the base model.
        dtype: "float32" or "bfloat16", of weights and matrix products.
        judgements: File with one `Judgement` a line.
        n_pairs: Pairs in a step.
        n_steps: Steps that will be asked for.
        max_tokens: Where a sequence is cut.
        order: Pair ids in the order of training; only for contenders that do not plan themselves.
    """

    contender: str
    model: str
    dtype: str
    judgements: str
    n_pairs: int
    n_steps: int
    max_tokens: int
    order: list[str]

    def read_judgements(self) -> list[Judgement]:
        return [Judgement.from_dict(json.loads(line)) for line in open(self.judgements, encoding="utf-8")]

    @property
    def torch_dtype(self) -> torch.dtype:
        return getattr(torch, self.dtype)


@dataclass(frozen=True)
class Entrant:
    """A trainer that is ready to train.

    Attributes:
        trainer: A transformers Trainer.
        plan: Pair ids of each step.
        tokens: Real tokens of each step: planned ones, or as seen in the batches so far where the trainer plans.
    """

    trainer: Any
    plan: list[list[str]]
    tokens: list[int]


class Finished(Exception):
    """The parent wants no further step."""


class Turns(TrainerCallback):
    """Lets a trainer go on for one step whenever the parent asks, and reports how long that took.

    A step is timed from one `on_step_end` to the next: the trainer's own bookkeeping, fetching and building the batch,
    forward, backward, clipping and the optimiser.
    """

    def __init__(self, channel: Channel, entrant: Entrant) -> None:
        self.channel, self.entrant = channel, entrant
        self.began = self.excluded = 0.0
        self.gradients: list[int] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.channel.send(plan=self.entrant.plan)
        self._wait()

    def on_pre_optimizer_step(self, args: Any, state: Any, *_: Any, model: torch.nn.Module, **__: Any) -> None:
        if state.global_step < CHECKED_STEPS:
            began = _now()
            self.gradients = count_gradients(model)
            self.excluded += _now() - began

    def on_step_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        seconds = _now() - self.began - self.excluded
        self.channel.send(
            seconds=seconds,
            peak_gib=read_peak_gib(),
            gradients=self.gradients,
            tokens=self.entrant.tokens[state.global_step - 1],
        )
        self._wait()

    def _wait(self) -> None:
        order = self.channel.receive()
        while order and "step" not in order:
            self.channel.send(given_back=give_memory_back())
            order = self.channel.receive()
        if order is None:
            raise Finished
        self.began, self.excluded = _now(), 0.0


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def count_gradients(model: torch.nn.Module) -> list[int]:
    """Returns how many adapter matrices have a gradient other than zero, and how many there are."""
    gradients = [p.grad for name, p in model.named_parameters() if "lora_" in name]
    return [sum(g is not None and bool(g.abs().max() > 0) for g in gradients), len(gradients)]


def contend(channel: Channel, **spec: Any) -> None:
    """Builds the contender's trainer and trains as often as it is asked to."""
    work = Work(**spec)
    build = build_ours if work.contender in ("bnf", "sft") else build_trl
    with tempfile.TemporaryDirectory() as folder:
        entrant = build(work, Path(folder))
        entrant.trainer.add_callback(Turns(channel, entrant))
        try:
            entrant.trainer.train()
        except Finished:
            return


def fine_tuning_loss(scores: TokenScores) -> torch.Tensor:
    """Plain fine-tuning on every response, whatever its verdict: mean -log p, one value a response."""
    return -mean_logps(scores)


def build_ours(work: Work, folder: Path) -> Entrant:
    """Returns the lab's trainer; it plans its steps itself."""
    LOSSES["fine-tuning"] = Loss(fine_tuning_loss)
    config = RunConfig(
        method="fine-tuning" if work.contender == "sft" else work.contender,
        learning_rate=LEARNING_RATE,
        n_steps=work.n_steps,
        responses_per_step=2 * work.n_pairs,
        n_probe=1,
        max_tokens=work.max_tokens,
        lora_rank=RANK,
        lora_alpha=ALPHA,
        max_grad_norm=CLIP,
        checkpoint_steps=100_000,
    )
    loaded = load_model(Path(work.model), quantization="none", dtype=work.torch_dtype)
    loaded = add_lora(loaded, rank=RANK, alpha=ALPHA, dropout=0.0, targets="all-linear", seed=0)
    judgements = work.read_judgements()
    trainer = BNFTrainer.from_judgements(loaded, judgements, config, output_dir=folder)
    pair_of = {j.id: j.pair_id for j in judgements}
    plan, n_micro = list(trainer.train_dataset), trainer.args.gradient_accumulation_steps
    steps = [[r for micro in plan[i : i + n_micro] for r in micro.responses] for i in range(0, len(plan), n_micro)]
    pairs = [list(dict.fromkeys(pair_of[r.judgement_id] for r in step)) for step in steps]
    return Entrant(trainer, pairs, [sum(r.n_tokens for r in step) for step in steps])


def build_trl(work: Work, folder: Path) -> Entrant:
    """Returns a trainer of TRL with its own defaults: padding, collator, gradient checkpointing, reference pass."""
    import trl
    from datasets import Dataset

    is_sft = work.contender == "trl-sft"
    base, settings = (trl.SFTTrainer, trl.SFTConfig) if is_sft else (trl.DPOTrainer, trl.DPOConfig)
    own = {} if is_sft else {"precompute_ref_log_probs": work.contender == "trl-precomputed"}
    args = settings(
        output_dir=str(folder),
        per_device_train_batch_size=work.n_pairs * (2 if is_sft else 1),
        max_steps=work.n_steps,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        max_grad_norm=CLIP,
        max_length=work.max_tokens,
        bf16=work.dtype == "bfloat16",
        train_sampling_strategy="sequential",
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
        use_cpu=pick_device().type == "cpu",
        use_liger_kernel=work.contender == "trl-liger",
        **own,
    )
    loaded = load_model(Path(work.model), quantization="none", dtype=work.torch_dtype)
    loaded.model.requires_grad_(True)  # as `from_pretrained` gives it; peft freezes what is not the adapter
    tokens: list[int] = []

    class Counting(base):
        def training_step(self, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            tokens.append(int(inputs["attention_mask"].sum()))
            return super().training_step(model, inputs, *rest, **named)

    units = {unit[0].pair_id: unit for unit in group_units(work.read_judgements())}
    rows = [row for pair_id in work.order for row in _trl_rows(units[pair_id], is_sft=is_sft)]
    trainer = Counting(
        loaded.model,
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=loaded.tokenizer,
        peft_config=lora_config(),
    )
    n = work.n_pairs
    return Entrant(trainer, [work.order[i : i + n] for i in range(0, len(work.order), n)], tokens)


def lora_config() -> Any:
    """Returns peft's description of the adapter that `models.add_lora` makes."""
    from peft import LoraConfig

    return LoraConfig(
        r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules="all-linear", bias="none", task_type="CAUSAL_LM"
    )


def _trl_rows(unit: tuple[Judgement, ...], *, is_sft: bool) -> list[dict[str, Any]]:
    prompt = [{"role": m.role, "content": m.content} for m in unit[0].prompt]
    preferred, dispreferred = ([{"role": "assistant", "content": j.response}] for j in unit)
    if is_sft:
        return [{"prompt": prompt, "completion": preferred}, {"prompt": prompt, "completion": dispreferred}]
    return [{"prompt": prompt, "chosen": preferred, "rejected": dispreferred}]
