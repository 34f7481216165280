"""Several processes on one run: two CPUs over gloo train what one trains, stop together and go on together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from test_worker import PATIENCE_SECONDS, finish, make_run, start_worker

from bnf_lab.processes import signal_process
from bnf_lab.records import RunState
from bnf_lab.runs import RunFolder


def launch_two(folder: RunFolder, home: Path) -> subprocess.Popen[str]:
    """Starts two workers as `accelerate launch` does on two GPUs, where it hands over to torch.distributed.run."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return subprocess.Popen(
        [*command, "-m", "bnf_lab.worker", str(folder.path)], text=True, cwd=Path(__file__).parents[1],
        env=os.environ | {"BNF_LAB_HOME": str(home), "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip


def train_points(folder: RunFolder) -> list[tuple[float, ...]]:
    return [
        (p.step, p.loss, p.grad_norm, p.train_preferred_logp, p.train_dispreferred_logp)
        for p in folder.read_metrics() if p.source == "train"
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["bnf", "dpo"])
def test_two_processes_train_what_one_trains(tiny_model_path: Path, tmp_path: Path, method: str) -> None:
    one, two = (make_run(tmp_path / name, tiny_model_path, method=method) for name in ("one", "two"))
    outputs = [finish(start_worker(one, tmp_path / "home")), finish(launch_two(two, tmp_path / "other home"))]
    assert [f.read_status().state for f in (one, two)] == [RunState.FINISHED] * 2, outputs
    assert outputs[1].count("to score") == 4  # each its share, and then each finds the other's
    for ours, theirs in zip(train_points(two), train_points(one), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-4)
    steps = [p.step for p in two.read_metrics() if p.source == "train"]
    assert steps == [1, 2, 3, 4]  # written once, by the first process
    adapters = [load_file(f.adapter / "adapter_model.safetensors") for f in (two, one)]
    assert all(adapters[0][name].allclose(adapters[1][name], atol=1e-4) for name in adapters[1])


def test_two_processes_stop_together_and_resume_bit_for_bit(tiny_model_path: Path, tmp_path: Path) -> None:
    whole, parts = (
        make_run(tmp_path / name, tiny_model_path, n_steps=60, checkpoint_steps=100, answer_steps=100, lora_dropout=0.1)
        for name in ("whole", "parts")
    )
    first = launch_two(parts, tmp_path)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while parts.read_status().step < 3 and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.01)
    assert signal_process(parts.read_process(), signal.SIGTERM)  # as the lab stops any worker
    output = finish(first)
    assert (first.returncode, parts.read_status().state) == (0, RunState.STOPPED), output
    assert 3 <= parts.read_status().step < 60
    for folder in (parts, whole):
        output = finish(launch_two(folder, tmp_path))
        assert folder.read_status().state is RunState.FINISHED, output
    assert train_points(parts) == train_points(whole)
    ours, expected = (load_file(f.adapter / "adapter_model.safetensors") for f in (parts, whole))
    assert all(ours[name].equal(expected[name]) for name in expected)
