"""What the watch does beside the steps: when it scores, and what of step 0 it takes from the cache."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from bnf_lab.core.config import RunConfig
from bnf_lab.runs.folder import RunFolder
from bnf_lab.training import observer
from bnf_lab.training.observer import ProbePlan, Watch
from tests.training.test_trainer import make_pairs


class Clock:
    """Time that passes only when something is done."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(observer, "time", clock)
    return clock


def build(tmp_path, clock: Clock, config: RunConfig, *, device: str = "cpu", cost: float = 8.0, build_cost=4.0):
    """A watch whose probe takes `cost` seconds, and the steps at which it was scored."""

    class Probe:
        def score(self):
            clock.now += cost
            return ()

    def build_probe() -> Probe:
        clock.now += build_cost
        return Probe()

    folder = RunFolder.create(tmp_path / "run", config, make_pairs(1))
    loaded = SimpleNamespace(device=torch.device(device))
    watch = Watch(
        folder,
        loaded,
        ProbePlan(build_probe, None, cost / 10.0),
        None,
        prompts=(),
        config=config,
        on_step=lambda step, seconds: None,
        is_stopping=lambda: False,
    )
    scored: list[int] = []
    watch._record = lambda scores, step: scored.append(step)
    watch._guard_likelihood = lambda point: None
    return watch, scored


def train(watch: Watch, clock: Clock, n_steps: int, step_seconds: float = 10.0) -> None:
    for step in range(1, n_steps + 1):
        state = SimpleNamespace(global_step=step)
        watch.on_step_begin(None, state, None)
        clock.now += step_seconds
        watch.on_step_end(None, state, SimpleNamespace(should_save=False, should_training_stop=False))


@pytest.mark.parametrize(
    ("device", "share", "expected"),
    [
        ("cpu", 0.0, 0.2),
        ("cuda", 0.0, 0.05),
        ("cpu", 0.3, 0.3),
        ("cuda", 0.3, 0.3),
    ],
)
def test_scoring_keeps_to_its_share(tmp_path, clock, device, share, expected) -> None:
    config = RunConfig(n_steps=1000, checkpoint_steps=1000, answer_steps=1000, probe_share=share)
    watch, scored = build(tmp_path, clock, config, device=device)
    train(watch, clock, 999)
    probed = 4.0 + 8.0 * len(scored)
    assert probed == watch.probed_seconds
    assert 0.9 * expected < probed / (probed + 9990.0) <= expected


def test_scoring_begins_only_when_it_fits_though_nothing_was_measured(tmp_path, clock) -> None:
    config = RunConfig(n_steps=1000, checkpoint_steps=1000, answer_steps=1000)
    watch, scored = build(tmp_path, clock, config)
    train(watch, clock, 2)
    assert scored == []  # 0.8 of a step's tokens, forward only, for policy and reference: about 5.6 s
    train(watch, clock, 1)
    assert scored == [1]


def test_a_checkpoint_is_scored_and_paid_for_later(tmp_path, clock) -> None:
    config = RunConfig(n_steps=1000, checkpoint_steps=2, answer_steps=1000)
    watch, scored = build(tmp_path, clock, config)
    train(watch, clock, 6)
    assert scored == [2, 4, 6]
