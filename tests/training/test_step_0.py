"""At step 0 the policy is the reference: BNF's weights are exactly 1 and KL exactly 0, whatever dtype computes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from bnf_lab.core.config import RunConfig
from bnf_lab.losses.bnf import bnf_token_weights
from bnf_lab.models.adapters import add_lora
from bnf_lab.models.encoding import Encoder
from bnf_lab.models.loading import LoadedModel, load_model
from bnf_lab.models.packing import build_batch
from bnf_lab.models.score_cache import ScoreCache
from bnf_lab.models.scoring import group_responses, score_batch
from bnf_lab.runs.folder import RunFolder
from bnf_lab.training import run
from bnf_lab.training.probe import BaseScores, Probe
from bnf_lab.training.trainer import BNFTrainer
from bnf_lab.training.worker import Silence
from tests.training.test_trainer import make_pairs

PRECISIONS = (("none", torch.float32), ("none", torch.bfloat16), ("nf4", torch.float32), ("nf4", torch.bfloat16))
CONFIG = RunConfig(n_steps=2, responses_per_step=6, lora_rank=4, lora_alpha=8, lora_dropout=0.1, warmup_steps=0)


@pytest.fixture(params=PRECISIONS, ids=lambda p: f"{p[0]}-{p[1]}")
def loaded(request: pytest.FixtureRequest, tiny_model_path: Path) -> LoadedModel:
    quantization, dtype = request.param
    base = load_model(tiny_model_path, quantization=quantization, dtype=dtype)
    return add_lora(base, rank=4, alpha=8, dropout=0.1)


@pytest.mark.parametrize("micro_batch_size", [1, 2, 3, 0])
@pytest.mark.parametrize("method", ["bnf", "dpo"])
def test_every_weight_is_one(loaded: LoadedModel, tmp_path: Path, method: str, micro_batch_size: int) -> None:
    config = dataclasses.replace(CONFIG, method=method, micro_batch_size=micro_batch_size)
    trainer = BNFTrainer.from_judgements(loaded, make_pairs(8), config, output_dir=tmp_path)
    loaded.model.train()
    for micro_batch in trainer.train_dataset:
        batch = build_batch(micro_batch.responses)
        logps = score_batch(loaded, batch).logps
        references = torch.cat([trainer.references[i] for i in batch.ids])
        assert torch.equal(logps.detach().float(), references)
        assert (bnf_token_weights(logps, references) == 1).all()


def test_a_probe_begins_without_divergence(loaded: LoadedModel, tiny_model_path: Path, tmp_path: Path) -> None:
    responses = [Encoder(loaded.tokenizer, max_tokens=128).encode(judgement) for judgement in make_pairs(5)]
    cache = ScoreCache(tmp_path, tiny_model_path, loaded, max_tokens=128)
    is_exact = loaded.compute_dtype is torch.float32 and loaded.quantization == "none"
    for part in (responses[:3], responses):  # the first three are known of other company, which float32 may take
        groups = group_responses(part)
        stats, features = cache.reference_stats(loaded, groups), cache.reference_features(loaded, groups)
        scores = Probe(loaded, part, known=BaseScores(stats, features)).score()
        limit = 1e-5 if is_exact else 0.0
        assert max(s.kl.abs().max().item() for s in scores) <= limit
        assert min(s.weights.min().item() for s in scores) >= 1 - 10 * limit


@pytest.mark.slow
def test_a_run_records_open_gates(tiny_model_path: Path, tmp_path: Path, monkeypatch, compute_dtype: str) -> None:
    monkeypatch.setenv("BNF_LAB_HOME", str(tmp_path / "home"))
    config = dataclasses.replace(CONFIG, model=str(tiny_model_path), micro_batch_size=1, checkpoint_steps=2)
    folder = RunFolder.create(tmp_path / "run", config, make_pairs(12))
    assert run.train(folder, Silence())
    points = {p.key: p for p in folder.read_metrics()}
    probe, first = points["probe", 0], points["train", 1]
    assert (probe.preferred_gate, probe.dispreferred_gate, probe.kl) == (1.0, 1.0, 0.0)
    assert (first.train_preferred_gate, first.train_dispreferred_gate) == (1.0, 1.0)
