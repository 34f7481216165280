"""Counting a run before it starts: cheap when asked again, for long runs too, and for many people at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, Message, Source, build_pair
from bnf_lab.core.machine import DeviceInfo
from bnf_lab.data.splits import build_split
from bnf_lab.models.encoding import Encoder, Turn
from bnf_lab.models.loading import load_tokenizer
from bnf_lab.runs.estimates import Load, MemoryNeed, ModelShape, Preflight, SpeedRecord, correct_memory, write_speed
from bnf_lab.training import preflight, references
from bnf_lab.training.plan import plan_steps
from bnf_lab.training.preflight import Counter

CONFIG = RunConfig(model="tiny", n_steps=5, responses_per_step=4, n_probe=2, quantization="none")
DEVICE = DeviceInfo("CPU", has_gpu=False, free_gib=4.0, total_gib=8.0)


def make_pairs(n: int = 20, text: str = "Answer") -> list[Judgement]:
    return [
        judgement
        for i in range(n)
        for judgement in build_pair(
            (Message("user", f"Question {i}?"),), f"{text} {i}.", "No " * (i % 7 + 1), source=Source.UPLOAD
        )
    ]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder in which a step was measured."""
    write_speed(tmp_path, model="tiny", quantization="none", record=SpeedRecord(1e-3, 1.0))
    return tmp_path


def check(counter: Counter, model: Path, config: RunConfig = CONFIG, text: str = "Answer") -> Preflight:
    return counter.check(make_pairs(text=text), config, DEVICE, model)


@pytest.mark.parametrize("max_tokens", [16, 24, 512])
def test_the_numbers_are_those_of_the_runs_own_encoder(tiny_model_path: Path, home: Path, max_tokens: int) -> None:
    config = replace(CONFIG, max_tokens=max_tokens)
    judgements = make_pairs()
    found = Counter(home).check(judgements, config, DEVICE, tiny_model_path)
    encoder, split = Encoder(load_tokenizer(tiny_model_path), max_tokens=max_tokens), build_split(judgements, config)
    train, probe = ([encoder.encode(j) for unit in units for j in unit] for units in (split.train, split.probe))
    assert found.n_tokens == sum(r.n_tokens for r in train)
    assert found.n_truncated == sum(r.is_cut for r in (*train, *probe))


def test_another_setting_reads_no_text_again(
    tiny_model_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter(home)
    first = check(counter, tiny_model_path)

    def refuse(*_: object) -> None:
        raise AssertionError("a text was read again")

    for name in ("encode_prompts", "encode_responses"):
        monkeypatch.setattr(Encoder, name, refuse)
    for changes in ({}, {"learning_rate": 1e-3}, {"max_tokens": 16}, {"seed": 4}, {"method": "dpo"}, {"n_probe": 4}):
        found = check(counter, tiny_model_path, replace(CONFIG, **changes))
        assert found.problems == ()
        assert (found.n_tokens < first.n_tokens) == (not {"max_tokens", "n_probe"}.isdisjoint(changes))


def test_a_persons_check_does_not_wait_for_another_persons(tiny_model_path: Path, home: Path, monkeypatch) -> None:
    reading, may_end = threading.Event(), threading.Event()
    original = Encoder.encode_responses

    def encode_responses(self: Encoder, turns: list[Turn]) -> list[list[int]]:
        if any("slow" in text for _, text in turns):
            reading.set()
            assert may_end.wait(60)
        return original(self, turns)

    monkeypatch.setattr(Encoder, "encode_responses", encode_responses)
    counter = Counter(home)
    with ThreadPoolExecutor(2) as people:
        slow = people.submit(check, counter, tiny_model_path, CONFIG, "slow")
        assert reading.wait(60)
        assert people.submit(check, counter, tiny_model_path).result(timeout=60).n_tokens
        assert not slow.done()
        may_end.set()
        assert slow.result(timeout=60).n_tokens


@pytest.mark.parametrize(("n_steps", "n_pairs"), [(3, 20), (40, 300), (400, 20), (90, 60)])
def test_a_long_run_is_judged_by_its_first_steps(
    tiny_model_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, n_steps: int, n_pairs: int
) -> None:
    judgements, config, counter = make_pairs(n_pairs), replace(CONFIG, n_steps=n_steps), Counter(home)
    whole = counter.check(judgements, config, DEVICE, tiny_model_path)
    planned = []

    def plan(units, config, encode, **options):
        planned.append(config.n_steps)
        return plan_steps(units, config, encode, **options)

    monkeypatch.setattr(preflight, "plan_steps", plan)
    monkeypatch.setattr(preflight, "PLANNED_STEPS", 20)
    short = counter.check(judgements, config, DEVICE, tiny_model_path)
    assert max(planned) == min(n_steps, 20)
    assert short.seconds == pytest.approx(whole.seconds, rel=0.02)
    assert short.memory_gib == pytest.approx(whole.memory_gib, rel=0.02)
    assert short.n_tokens == whole.n_tokens


def test_two_tokenizers_are_compared_once(tiny_model_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = home / "models" / "other"
    other.parent.mkdir()
    other.symlink_to(tiny_model_path)
    loaded = []

    def load(path: Path):
        loaded.append(path)
        return load_tokenizer(path)

    monkeypatch.setattr(references, "load_tokenizer", load)
    counter = Counter(home)
    for learning_rate in (1e-4, 2e-4, 3e-4):
        config = replace(CONFIG, reference=str(other), learning_rate=learning_rate)
        assert check(counter, tiny_model_path, config).problems == ()
    assert len(loaded) == 2


def load_counted(model: Path, home: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Returns what a preflight takes for what decides the memory."""
    counted: list[Load] = []

    def correct(shape: ModelShape, load: Load, speed: SpeedRecord | None) -> MemoryNeed:
        counted.append(load)
        return correct_memory(shape, load, speed)

    with monkeypatch.context() as patch:
        patch.setattr(preflight, "correct_memory", correct)
        check(Counter(home), model, config)
    return counted[0]


def test_a_measured_peak_stands_for_the_same_settings_and_corrects_the_others(
    tiny_model_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not check(Counter(home), tiny_model_path).is_memory_measured  # its record does not say of what
    load = load_counted(tiny_model_path, home, CONFIG, monkeypatch)
    write_speed(home, model="tiny", quantization="none", record=SpeedRecord(1e-3, 3.25, load=load))
    found = check(Counter(home), tiny_model_path)
    assert (found.memory_gib, found.is_memory_measured) == (pytest.approx(3.25), True)
    assert check(Counter(home), tiny_model_path, replace(CONFIG, n_steps=7)).is_memory_measured
    for other in ({"lora_rank": 64}, {"responses_per_step": 8, "micro_batch_size": 8}):
        found = check(Counter(home), tiny_model_path, replace(CONFIG, **other))
        assert not found.is_memory_measured
        assert found.memory_gib > 3.25
    elsewhere = check(Counter(home), tiny_model_path, replace(CONFIG, model="other"))
    assert elsewhere.memory_gib < 3.25


def test_logits_that_must_be_whole_are_counted_and_said(
    tiny_model_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = check(Counter(home), tiny_model_path)
    monkeypatch.setattr(preflight, "can_split_head", lambda path: False)
    whole = check(Counter(home), tiny_model_path)
    assert preflight.WHOLE_LOGITS in whole.warnings
    assert preflight.WHOLE_LOGITS not in split.warnings
    assert whole.memory_gib > split.memory_gib


@pytest.mark.slow
@pytest.mark.usefixtures("compute_dtype")
def test_what_is_measured_is_what_the_preflight_counts(
    tiny_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bnf_lab.training.measure import measure_data

    monkeypatch.setenv("BNF_LAB_HOME", str(tmp_path))
    config = replace(CONFIG, model=str(tiny_model_path), n_steps=3)  # as many as are measured: the same micro-batches
    peak = measure_data(config, make_pairs())["peak_gib"]
    found = check(Counter(tmp_path), tiny_model_path, config)
    assert (found.memory_gib, found.is_memory_measured) == (pytest.approx(peak), True)
