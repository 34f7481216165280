"""Several processes on one run: two CPUs over gloo train what one trains, stop together and go on together."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.processes import stop_process
from bnf_lab.runs.records import RunState
from tests.training.test_worker import PATIENCE_SECONDS, finish, make_run, start_worker

pytestmark = pytest.mark.slow


def launch_two(folder: RunFolder, home: Path) -> subprocess.Popen[str]:
    """Starts two workers as `accelerate launch` does on two GPUs, where it hands over to torch.distributed.run."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return subprocess.Popen(
        [*command, "-m", "bnf_lab.training.worker", str(folder.path)],
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"BNF_LAB_HOME": str(home), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def train_points(folder: RunFolder) -> list[tuple[float, ...]]:
    return [
        (p.step, p.loss, p.grad_norm, p.train_preferred_logp, p.train_dispreferred_logp)
        for p in folder.read_metrics()
        if p.source == "train"
    ]


# Two processes sum a step's gradient in another order than one. What that changes in float32 was 3e-6 of a number and
# 7e-6 of the adapter at most. bfloat16 keeps 8 bits, so each activation and each gradient of one is off by up to 1 part
# in 512, otherwise in the other order; after two layers and four steps that was 7e-3 of a number and 2e-2 of the
# adapter at most (on AVX2 as on native bfloat16). A share of the data that is lost or counted twice moves both by
# tenths.
NUMBERS_WITHIN = {"float32": 1e-5, "bfloat16": 2**-6}
ADAPTER_WITHIN = {"float32": 1e-4, "bfloat16": 2**-4}


def distance(ours: Path, theirs: Path) -> float:
    """Returns how far apart two adapters moved from the base model, as a share of the second one's way."""
    ways = [
        torch.cat([weight.flatten() for name, weight in sorted(load_file(path).items()) if "lora_B" in name])
        for path in (ours / "adapter_model.safetensors", theirs / "adapter_model.safetensors")
    ]  # A begins at random and hardly moves, B begins at zero
    return float((ways[0] - ways[1]).norm() / ways[1].norm())


@pytest.mark.parametrize("method", ["bnf", "dpo"])
def test_two_processes_train_what_one_trains(
    tiny_model_path: Path, tmp_path: Path, method: str, compute_dtype: str
) -> None:
    one, two = (make_run(tmp_path / name, tiny_model_path, method=method) for name in ("one", "two"))
    outputs = [finish(start_worker(one, tmp_path / "home")), finish(launch_two(two, tmp_path / "other home"))]
    assert [f.read_status().state for f in (one, two)] == [RunState.FINISHED] * 2, outputs
    # of the plan and of the probe each scores its share, and then finds the other's; the probe is one group alone
    assert outputs[1].count("responses to score") == 8
    assert outputs[1].count(" 0 responses to score") == 5
    for ours, theirs in zip(train_points(two), train_points(one), strict=True):
        assert ours == pytest.approx(theirs, abs=NUMBERS_WITHIN[compute_dtype], rel=NUMBERS_WITHIN[compute_dtype])
    steps = [p.step for p in two.read_metrics() if p.source == "train"]
    assert steps == [1, 2, 3, 4]  # written once, by the first process
    assert distance(two.adapter, one.adapter) < ADAPTER_WITHIN[compute_dtype]


@pytest.mark.usefixtures("compute_dtype")
def test_two_processes_stop_together_and_resume_bit_for_bit(tiny_model_path: Path, tmp_path: Path) -> None:
    whole, parts = (
        make_run(tmp_path / name, tiny_model_path, n_steps=60, checkpoint_steps=100, answer_steps=100, lora_dropout=0.1)
        for name in ("whole", "parts")
    )
    first = launch_two(parts, tmp_path)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while parts.read_status().step < 3 and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.01)
    assert stop_process(parts.read_process())  # as the lab stops any worker
    output = finish(first)
    assert (first.returncode, parts.read_status().state) == (0, RunState.STOPPED), output
    assert 3 <= parts.read_status().step < 60
    for folder in (parts, whole):
        output = finish(launch_two(folder, tmp_path))
        assert folder.read_status().state is RunState.FINISHED, output
    assert train_points(parts) == train_points(whole)
    ours, expected = (load_file(f.adapter / "adapter_model.safetensors") for f in (parts, whole))
    assert all(ours[name].equal(expected[name]) for name in expected)
