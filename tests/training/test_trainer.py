"""The trainer: only adapter weights move, accumulation changes nothing, stop and resume is exact."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import TrainingDiverged
from bnf_lab.core.judgements import Judgement, Message, Source, build_pair
from bnf_lab.data.splits import split_units
from bnf_lab.losses import LOSSES
from bnf_lab.models.adapters import add_lora
from bnf_lab.models.encoding import EncodedResponse, Encoder
from bnf_lab.models.loading import LoadedModel, load_model
from bnf_lab.runs.checkpoints import newest_checkpoint
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import RunState
from bnf_lab.training import trainer
from bnf_lab.training.plan import plan_steps
from bnf_lab.training.trainer import BNFTrainer

CONFIG = RunConfig(n_steps=4, responses_per_step=4, micro_batch_size=4, lora_rank=4, lora_alpha=8, checkpoint_steps=2)


def make_pairs(n: int = 12) -> list[Judgement]:
    prompts = [(Message("user", f"What is {i} and {i}?"),) for i in range(n)]
    pairs = [
        build_pair(prompt, f"It is {2 * i}.", f"It may be {i}, I think.", source=Source.DEMO)
        for i, prompt in enumerate(prompts)
    ]
    return [judgement for pair in pairs for judgement in pair]


def fresh(path: Path, config: RunConfig = CONFIG) -> LoadedModel:
    base = load_model(path, quantization="none", dtype=torch.float32)
    return add_lora(base, rank=config.lora_rank, alpha=config.lora_alpha, dropout=config.lora_dropout, seed=config.seed)


def adapter_weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in loaded.model.named_parameters() if "lora_" in n}


@pytest.mark.parametrize("method", sorted(LOSSES))
def test_only_the_adapter_moves(tiny_model_path: Path, tmp_path: Path, method: str) -> None:
    loaded = fresh(tiny_model_path)
    before = {n: p.detach().clone() for n, p in loaded.model.named_parameters()}
    BNFTrainer.from_judgements(loaded, make_pairs(), replace(CONFIG, method=method), output_dir=tmp_path).train()
    moved = {n for n, p in loaded.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved
    assert moved == {n for n in moved if "lora_" in n}
    assert any("lora_A" in n for n in moved)
    assert any("lora_B" in n for n in moved)


def gradient_of_first_step(loaded: LoadedModel, config: RunConfig, tmp_path: Path) -> tuple[float, dict]:
    trainer = BNFTrainer.from_judgements(loaded, make_pairs(), config, output_dir=tmp_path)
    n_micro = len(trainer.train_dataset) // config.n_steps
    total = 0.0
    for micro_batch in trainer.train_dataset[:n_micro]:
        loss = trainer.compute_loss(loaded.model, {"micro_batch": micro_batch})
        loss.backward()
        total += loss.item()
    return total, {n: p.grad.clone() for n, p in loaded.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("method", sorted(LOSSES))
def test_micro_batches_accumulate_to_the_gradient_of_the_whole_step(
    tiny_model_path: Path, tmp_path: Path, method: str
) -> None:
    config = replace(CONFIG, method=method, responses_per_step=8)
    whole_loss, whole = gradient_of_first_step(fresh(tiny_model_path), replace(config, micro_batch_size=8), tmp_path)
    parts_loss, parts = gradient_of_first_step(fresh(tiny_model_path), replace(config, micro_batch_size=2), tmp_path)
    assert parts_loss == pytest.approx(whole_loss, abs=1e-5)
    assert whole.keys() == parts.keys()
    for name, gradient in whole.items():
        assert torch.allclose(gradient, parts[name], atol=1e-6), name


def test_training_with_accumulation_equals_training_without(tiny_model_path: Path, tmp_path: Path) -> None:
    results = []
    for size in (4, 1):
        loaded = fresh(tiny_model_path)
        config = replace(CONFIG, micro_batch_size=size)
        BNFTrainer.from_judgements(loaded, make_pairs(), config, output_dir=tmp_path / str(size)).train()
        results.append(adapter_weights(loaded))
    for name, weight in results[0].items():
        assert torch.allclose(weight, results[1][name], atol=2e-4), name


def test_one_process_trains_on_one_device_although_pytorch_sees_two(
    tiny_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, n_steps=2, micro_batch_size=2)
    alone = fresh(tiny_model_path)
    BNFTrainer.from_judgements(alone, make_pairs(), config, output_dir=tmp_path / "alone").train()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    arguments = trainer.TrainingArguments
    # as on a machine with GPUs, where nothing asks for the CPU: the Trainer then counts what PyTorch sees
    monkeypatch.setattr(trainer, "TrainingArguments", lambda **options: arguments(**options | {"use_cpu": False}))
    beside = fresh(tiny_model_path)
    made = BNFTrainer.from_judgements(beside, make_pairs(), config, output_dir=tmp_path / "beside")
    assert (made.args.n_gpu, made.args.train_batch_size) == (1, 1)
    made.train()
    for name, weight in adapter_weights(alone).items():
        assert torch.equal(weight, adapter_weights(beside)[name]), name


class StopAfter(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            control.should_training_stop = control.should_save = True
        return control


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_stop_and_resume_equals_uninterrupted_bit_for_bit(
    tiny_model_path: Path, tmp_path: Path, dropout: float
) -> None:
    config = replace(CONFIG, n_steps=5, checkpoint_steps=100, schedule="cosine", lora_dropout=dropout)
    whole = fresh(tiny_model_path, config)
    BNFTrainer.from_judgements(whole, make_pairs(), config, output_dir=tmp_path / "whole").train()

    first = fresh(tiny_model_path, config)
    trainer = BNFTrainer.from_judgements(first, make_pairs(), config, output_dir=tmp_path / "parts")
    trainer.add_callback(StopAfter(3))
    trainer.train()
    assert trainer.state.global_step == 3
    checkpoint = newest_checkpoint(tmp_path / "parts")
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-3"

    second = fresh(tiny_model_path, config)
    BNFTrainer.from_judgements(second, make_pairs(), config, output_dir=tmp_path / "parts").train(
        resume_from_checkpoint=str(checkpoint)
    )
    expected, found = adapter_weights(whole), adapter_weights(second)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not all(torch.equal(expected[name], weight) for name, weight in adapter_weights(first).items())


def test_points_of_the_training_batch_are_handed_on(tiny_model_path: Path, tmp_path: Path) -> None:
    points = []
    loaded = fresh(tiny_model_path)
    encoder = Encoder(loaded.tokenizer, max_tokens=CONFIG.max_tokens)
    plan = plan_steps(split_units(make_pairs(), n_probe=2, seed=0).train, CONFIG, encoder.encode)
    trainer = BNFTrainer.from_judgements(loaded, make_pairs(), CONFIG, output_dir=tmp_path)
    trainer.on_metric = points.append
    trainer.train()
    assert [p.step for p in points] == [1, 2, 3, 4]
    assert all(p.source == "train" and p.grad_norm > 0 and p.learning_rate == CONFIG.learning_rate for p in points)
    first = points[0]
    # before the first update policy and reference are the same model: the gate is open and BNF is fine-tuning
    assert first.train_preferred_gate == pytest.approx(1.0, abs=1e-3)
    assert first.loss == pytest.approx((first.train_dispreferred_logp - first.train_preferred_logp) / 2, abs=1e-4)
    assert len(plan) == 4


def test_a_loss_that_is_not_finite_stops_before_the_adapter_is_touched(tiny_model_path: Path, tmp_path: Path) -> None:
    loaded = fresh(tiny_model_path)
    before = adapter_weights(loaded)
    trainer = BNFTrainer.from_judgements(loaded, make_pairs(), CONFIG, output_dir=tmp_path)
    honest = trainer.loss

    def broken(scores, **settings):
        return honest.compute(scores, **settings) * float("nan")

    trainer.loss = replace(honest, compute=broken)
    with pytest.raises(TrainingDiverged, match="step 1"):
        trainer.train()
    assert all(torch.equal(weight, before[name]) for name, weight in adapter_weights(loaded).items())


def test_nf4_weights_train_on_a_cpu_and_stay_frozen(tiny_model_path: Path, tmp_path: Path) -> None:
    base = load_model(tiny_model_path, quantization="nf4", dtype=torch.bfloat16)
    assert base.quantization == "nf4"
    loaded = add_lora(base, rank=4, alpha=8, dropout=0.0)
    packed = [p for n, p in loaded.model.named_parameters() if "base_layer" in n]
    assert packed
    assert all(p.dtype is torch.uint8 for p in packed)
    before, adapter = [p.clone() for p in packed], adapter_weights(loaded)
    trainer = BNFTrainer.from_judgements(loaded, make_pairs(), replace(CONFIG, n_steps=2), output_dir=tmp_path)
    # after the reference pass in eval mode the gradient must still flow through every frozen layer
    trainer.compute_loss(loaded.model.train(), {"micro_batch": trainer.train_dataset[0]}).backward()
    gradients = {n: p.grad for n, p in loaded.model.named_parameters() if "lora_B" in n}
    assert [n for n, gradient in gradients.items() if gradient is None or not gradient.any()] == []
    loaded.model.zero_grad()
    trainer.train()
    assert all(torch.equal(p, old) for p, old in zip(packed, before, strict=True))
    assert not all(torch.equal(weight, adapter[name]) for name, weight in adapter_weights(loaded).items())
    assert all(weight.dtype is torch.float32 for weight in adapter_weights(loaded).values())  # float32 masters


# -- KTO's reference point, and noise in the data


def shift_by_hand(loaded: LoadedModel, response: EncodedResponse) -> float:
    """Returns the summed log-ratio of a response's tokens, one sequence at a time, no packing."""
    ids = torch.tensor([[*response.prompt_ids, *response.response_ids]])
    targets = torch.tensor(response.response_ids).unsqueeze(1)

    def logps() -> torch.Tensor:
        logits = loaded.model(input_ids=ids).logits[0, len(response.prompt_ids) - 1 : -1]
        return torch.log_softmax(logits, dim=-1).gather(1, targets)

    with torch.no_grad():
        policy = logps()
        with loaded.model.disable_adapter():
            return (policy - logps()).sum().item()


def kto_trainer(path: Path, tmp_path: Path, seed: int) -> BNFTrainer:
    """A KTO trainer whose adapter has already moved away from the base, in a direction that the seed decides."""
    config = replace(CONFIG, method="kto", responses_per_step=8, micro_batch_size=2)
    loaded = fresh(path)
    trainer = BNFTrainer.from_judgements(loaded, make_pairs(), config, output_dir=tmp_path)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in loaded.model.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    loaded.model.eval()
    return trainer


def test_the_reference_point_is_the_mean_log_ratio_of_the_whole_step(tiny_model_path: Path, tmp_path: Path) -> None:
    means = []
    for seed in range(8):
        trainer = kto_trainer(tiny_model_path, tmp_path, seed)
        n_micro = len(trainer.train_dataset) // CONFIG.n_steps
        assert n_micro == 4
        for step in (0, 1):
            trainer.state.global_step = step
            micro_batches = trainer.train_dataset[step * n_micro : (step + 1) * n_micro]
            shifts = [shift_by_hand(trainer.loaded, r) for r in micro_batches[0].mismatched]
            assert len(shifts) == 8
            mean = sum(shifts) / len(shifts)
            points = {trainer._reference_point(m) for m in micro_batches}
            assert len(points) == 1
            assert points.pop() == pytest.approx(max(0.0, mean), abs=1e-4)
            means.append(mean)
    assert min(means) < -0.01  # both sides of the maximum were seen
    assert max(means) > 0.01


def test_the_reference_point_stays_for_a_step_and_is_new_in_the_next(tiny_model_path: Path, tmp_path: Path) -> None:
    trainer = kto_trainer(tiny_model_path, tmp_path, seed=0)
    first = trainer.train_dataset[0]
    point = trainer._reference_point(first)
    with torch.no_grad():
        for name, weight in trainer.loaded.model.named_parameters():
            if "lora_B" in name:
                weight.mul_(-1)
    moved = max(0.0, sum(shift_by_hand(trainer.loaded, r) for r in first.mismatched) / len(first.mismatched))
    assert abs(moved - point) > 0.01
    assert trainer._reference_point(first) == point
    trainer.state.global_step = 1
    assert trainer._reference_point(first) == pytest.approx(moved, abs=1e-4)


def test_other_losses_have_no_reference_point(tiny_model_path: Path, tmp_path: Path) -> None:
    trainer = BNFTrainer.from_judgements(fresh(tiny_model_path), make_pairs(), CONFIG, output_dir=tmp_path)
    assert trainer._reference_point(trainer.train_dataset[0]) == 0.0


def test_a_reference_point_that_is_not_finite_stops_the_run(tiny_model_path: Path, tmp_path: Path) -> None:
    trainer = kto_trainer(tiny_model_path, tmp_path, seed=0)
    first = trainer.train_dataset[0]
    name = first.mismatched[0].judgement_id
    trainer.references[name] = torch.full_like(trainer.references[name], float("-inf"))
    with pytest.raises(TrainingDiverged, match="KTO's reference point is not finite at step 1"):
        trainer._reference_point(first)


@pytest.mark.slow
def test_a_run_with_noise_records_it_and_leaves_the_probe_alone(tiny_model_path: Path, tmp_path: Path) -> None:
    config = replace(
        CONFIG,
        model=str(tiny_model_path),
        n_steps=2,
        n_probe=2,
        label_noise=0.5,
        answer_steps=100,
        answer_prompts="What is 3 and 3?",
    )
    judgements = make_pairs()
    folder = RunFolder.create(tmp_path / "run", config, judgements)
    answer = subprocess.run(
        [sys.executable, "-m", "bnf_lab.training.worker", str(folder.path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"BNF_LAB_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    assert folder.read_status().state is RunState.FINISHED, answer.stdout + answer.stderr
    changes = [json.loads(line) for line in (folder.path / "changes.jsonl").read_text().splitlines()]
    assert {change["what"] for change in changes} == {"flipped"}
    flipped = {change["judgement_id"] for change in changes}
    assert len(changes) == len(flipped) == 10  # half of the ten pairs that are trained on
    by_id = {j.id: j for j in judgements}
    sides: dict[str, int] = {}
    for name in flipped:
        sides[by_id[name].pair_id] = sides.get(by_id[name].pair_id, 0) + 1
    assert set(sides.values()) == {2}  # a pair turns as a whole
    header, _ = folder.read_tokens()
    assert len(header.responses) == 4
    assert flipped.isdisjoint(r.judgement_id for r in header.responses)
    assert all(r.verdict == by_id[r.judgement_id].verdict for r in header.responses)
    assert folder.read_judgements() == judgements  # what the person gave stays as it was


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_what_is_trained_on_has_the_verdicts_after_the_noise(
    tiny_model_path: Path, tmp_path: Path, noise: float
) -> None:
    pairs = make_pairs()
    trainer = BNFTrainer.from_judgements(
        fresh(tiny_model_path), pairs, replace(CONFIG, label_noise=noise), output_dir=tmp_path
    )
    given = {j.id: j.is_preferred for j in pairs}
    trained = [r for micro_batch in trainer.train_dataset for r in micro_batch.responses]
    assert len(trained) == 16
    assert all((r.is_preferred != given[r.judgement_id]) == bool(noise) for r in trained)


def test_passes_over_the_data_are_steps(tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    loaded = add_lora(tiny_loaded, rank=4, alpha=8, dropout=0.0)
    config = replace(CONFIG, passes=1.5, n_steps=99, responses_per_step=8)
    pairs = make_pairs()
    trainer = BNFTrainer.from_judgements(loaded, pairs, config, output_dir=tmp_path)
    n_train = sum(map(len, split_units(pairs, n_probe=config.n_probe, seed=config.seed).train))
    assert trainer.args.max_steps == math.ceil(1.5 * n_train / 8)
    trainer.train()
    assert trainer.state.global_step == trainer.args.max_steps
