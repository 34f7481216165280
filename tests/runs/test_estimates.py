"""What a run is said to need: more for more, and activations computed again only where it would not fit else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bnf_lab.runs.estimates import (
    Load,
    MemoryNeed,
    SpeedRecord,
    correct_memory,
    estimate_memory,
    read_shape,
    read_speed,
    write_speed,
)


def load(micro_tokens: int = 1000, **other) -> Load:
    return Load(micro_tokens, **{"lora_rank": 16, "is_nf4": False, "is_float32": False, **other})


def test_memory_grows_with_tokens_and_width_and_recomputing_needs_less(tiny_model_path: Path) -> None:
    shape = read_shape(tiny_model_path)

    def need(*args: int, **other: bool) -> MemoryNeed:
        return estimate_memory(shape, load(*args, **other))

    assert need(2000).plain_gib > need().plain_gib > need().recomputing_gib
    assert need(is_float32=True).plain_gib > need().plain_gib > need(is_nf4=True).plain_gib
    assert need(10**6).recomputes(free_gib=2.0)
    assert not need().recomputes(free_gib=2.0)


def test_whole_logits_are_tokens_times_words(tiny_model_path: Path) -> None:
    shape = replace(read_shape(tiny_model_path), words=256_000)
    for width, is_float32 in ((2, False), (4, True)):
        needs = [estimate_memory(shape, load(is_float32=is_float32, has_whole_logits=w)) for w in (True, False)]
        more = 3 * 1000 * 256_000 * width / 2**30
        assert needs[0].plain_gib - needs[1].plain_gib == pytest.approx(more)
        assert needs[0].recomputing_gib - needs[1].recomputing_gib == pytest.approx(more)


@pytest.mark.parametrize("recomputed", [False, True])
def test_a_measured_peak_replaces_the_estimate_of_the_same_load_alone(tiny_model_path: Path, recomputed: bool) -> None:
    shape = read_shape(tiny_model_path)
    speed = SpeedRecord(1e-3, 7.25, load=load(), recomputed=recomputed)
    same = correct_memory(shape, load(), speed)
    assert (same.recomputing_gib if recomputed else same.plain_gib) == pytest.approx(7.25)
    assert (same.is_plain_measured, same.is_recomputing_measured) == (not recomputed, recomputed)
    for other in (load(4000), load(lora_rank=64), load(is_float32=True), load(has_whole_logits=True)):
        need, estimates = correct_memory(shape, other, speed), [estimate_memory(shape, x) for x in (other, load())]
        assert not (need.is_plain_measured or need.is_recomputing_measured)
        name = "recomputing_gib" if recomputed else "plain_gib"
        now, then = (getattr(estimate, name) for estimate in estimates)
        assert getattr(need, name) == pytest.approx(max(7.25 * now / then, 7.25 + now - then))
        assert getattr(need, name) > 7.25


def test_without_a_peak_whose_load_is_known_the_formula_stands(tiny_model_path: Path) -> None:
    shape = read_shape(tiny_model_path)
    for speed in (None, SpeedRecord(1e-3, 7.25)):
        assert correct_memory(shape, load(), speed) == estimate_memory(shape, load())


def test_a_record_is_read_as_it_was_written_and_one_of_an_older_version_too(tmp_path: Path) -> None:
    record = SpeedRecord(1e-3, 7.25, load=load(), recomputed=True)
    write_speed(tmp_path, model="m", quantization="none", record=record)
    assert read_speed(tmp_path, model="m", quantization="none") == record
    old = {"m|none": {"seconds_per_token": 1e-3, "peak_gib": 2.0, "start_seconds": 1.0, "answer_seconds": 1.0}}
    (tmp_path / "speeds.json").write_text(json.dumps(old))
    assert read_speed(tmp_path, model="m", quantization="none").load is None


@pytest.mark.slow
@pytest.mark.usefixtures("compute_dtype")
def test_a_run_that_would_not_fit_recomputes_and_trains_the_same(
    tiny_model_path: Path, tmp_path: Path, monkeypatch
) -> None:
    from bnf_lab.core.machine import read_device
    from bnf_lab.training import run
    from bnf_lab.training.worker import Silence
    from tests.training.test_worker import make_run

    monkeypatch.setenv("BNF_LAB_HOME", str(tmp_path))
    losses = []
    for name, free_gib in (("plain", 64.0), ("tight", 0.1)):
        device = replace(read_device(), free_gib=free_gib)
        monkeypatch.setattr(run, "read_device", lambda device=device: device)
        folder = make_run(tmp_path / name, tiny_model_path, n_steps=2)
        prepared = run.prepare(folder, folder.read_config(), Silence())
        assert prepared.loaded.causal.is_gradient_checkpointing is (name == "tight")
        assert run.train(folder, Silence())
        losses.append([p.loss for p in folder.read_metrics() if p.source == "train"])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"m|none": 3}', '{"m|none": {"seconds_per_token": "fast"}}', "[" * 99_999]
)
def test_a_damaged_memory_of_speeds_is_none_and_is_written_anew(tmp_path, content):
    (tmp_path / "speeds.json").write_text(content)
    assert read_speed(tmp_path, model="m", quantization="none") is None
    record = SpeedRecord(0.1, 2.0)
    write_speed(tmp_path, model="m", quantization="none", record=record)
    assert read_speed(tmp_path, model="m", quantization="none") == record
