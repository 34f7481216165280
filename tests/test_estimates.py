"""What a run is said to need: more for more, and activations computed again only where it would not fit else."""

from __future__ import annotations

from pathlib import Path

from bnf_lab.config import RunConfig
from bnf_lab.estimates import estimate_memory, read_shape


def test_memory_grows_with_tokens_and_width_and_recomputing_needs_less(tiny_model_path: Path) -> None:
    shape = read_shape(tiny_model_path)

    def need(micro_tokens: int = 1000, *, is_nf4: bool = False, is_float32: bool = False):
        return estimate_memory(
            shape, RunConfig(), micro_tokens=micro_tokens, is_nf4=is_nf4, is_float32=is_float32
        )  # fmt: skip

    assert need(2000).plain_gib > need().plain_gib > need().recomputing_gib
    assert need(is_float32=True).plain_gib > need().plain_gib > need(is_nf4=True).plain_gib
    assert need(10**6).recomputes(free_gib=2.0)
    assert not need().recomputes(free_gib=2.0)


def test_a_run_that_would_not_fit_recomputes_and_trains_the_same(
    tiny_model_path: Path, tmp_path: Path, monkeypatch
) -> None:
    from dataclasses import replace

    from test_worker import make_run

    from bnf_lab import training
    from bnf_lab.machine import read_device
    from bnf_lab.worker import Silence

    monkeypatch.setenv("BNF_LAB_HOME", str(tmp_path))
    losses = []
    for name, free_gib in (("plain", 64.0), ("tight", 0.1)):
        device = replace(read_device(), free_gib=free_gib)
        monkeypatch.setattr(training, "read_device", lambda device=device: device)
        folder = make_run(tmp_path / name, tiny_model_path, n_steps=2)
        prepared = training.prepare(folder, folder.read_config(), Silence())
        assert prepared.loaded.causal.is_gradient_checkpointing is (name == "tight")
        assert training.train(folder, Silence())
        losses.append([p.loss for p in folder.read_metrics() if p.source == "train"])
    assert losses[0] == losses[1]
