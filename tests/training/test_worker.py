"""The worker as a process of its own: a whole run, stopping, resuming, failing; everything read from the folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, Message, Source, build_pair
from bnf_lab.core.sealed_folders import verify_checkpoint
from bnf_lab.core.text_measures import is_repeating
from bnf_lab.runs.checkpoints import list_checkpoints
from bnf_lab.runs.digests import RunDigests
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import RunState

PATIENCE_SECONDS = 120

pytestmark = pytest.mark.slow


def make_pairs(n: int = 15) -> list[Judgement]:
    prompts = [(Message("user", f"Name number {i}."),) for i in range(n)]
    pairs = [build_pair(p, f"It is {i}.", "Hm, let me think.", source=Source.DEMO) for i, p in enumerate(prompts)]
    return [judgement for pair in pairs for judgement in pair]


def make_run(path: Path, model_path: Path, **changes: object) -> RunFolder:
    config = RunConfig(
        n_steps=4,
        responses_per_step=4,
        n_probe=2,
        lora_rank=4,
        checkpoint_steps=2,
        answer_steps=2,
        answer_prompts="Name number 3.",
    )
    changes = {"model": str(model_path)} | changes
    return RunFolder.create(path, replace(config, **changes), make_pairs(), owner="somebody")


def start_worker(folder: RunFolder, home: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"BNF_LAB_HOME": str(home), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "bnf_lab.training.worker", str(folder.path)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=Path(__file__).parents[2],
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return output


def test_a_whole_run_leaves_everything_in_its_folder(tiny_model_path: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", tiny_model_path)
    process = start_worker(folder, tmp_path)
    output = finish(process)
    status = folder.read_status()
    assert (process.returncode, status.state) == (0, RunState.FINISHED), output
    assert (status.step, status.total_steps, status.owner) == (4, 4, "somebody")
    assert status.ended_at >= status.started_at
    points = folder.read_metrics()
    assert {p.step for p in points if p.source == "train"} == {1, 2, 3, 4}
    assert {0, 2, 4} <= {p.step for p in points if p.source == "probe"}
    header, snapshots = folder.read_tokens()
    assert len(header.responses) == 4
    assert [s.step for s in snapshots] == sorted({p.step for p in points if p.source == "probe"})
    assert [a.step for a in folder.read_answers()] == [0, 2, 4]
    assert {step for step, _ in list_checkpoints(folder.path)} == {2, 4}
    assert all(verify_checkpoint(path) for _, path in list_checkpoints(folder.path))
    assert verify_checkpoint(folder.adapter)
    assert RunDigests().verdict(folder).best.step in (2, 4)
    card = (folder.adapter / "README.md").read_text(encoding="utf-8")
    assert "held-out accuracy" in card
    assert str(tmp_path) not in card
    assert not list(folder.path.glob("tmp-*"))
    speeds = json.loads((tmp_path / "speeds.json").read_text(encoding="utf-8"))
    assert all(record["seconds_per_token"] > 0 for record in speeds.values())


def references_by_text(folder: RunFolder) -> dict[tuple, Tensor]:
    texts = {j.id: (j.prompt, j.response) for j in folder.read_judgements()}
    return {texts[i]: logps for i, logps in load_file(folder.path / "reference.safetensors").items()}


def test_a_second_run_on_the_same_data_finds_everything_scored(
    tiny_model_path: Path, tmp_path: Path, compute_dtype: str
) -> None:
    # in float32 a response's values are its own; in bfloat16 they are those of its micro-batch, which must be the same
    changes = {"seed": 3, "method": "dpo", "micro_batch_size": 2} if compute_dtype == "float32" else {}
    first = make_run(tmp_path / "first", tiny_model_path, n_steps=40, checkpoint_steps=40, answer_steps=40)
    second = make_run(tmp_path / "second", tiny_model_path, n_steps=8, learning_rate=1e-3, **changes)
    to_score = [
        [int(n) for n in re.findall(r"reference: (\d+) responses to score", finish(start_worker(folder, tmp_path)))]
        for folder in (first, second)
    ]
    assert sum(to_score[0]) >= 30
    assert to_score[1] == [0, 0]
    for ours, theirs in zip(first.read_answers()[:1], second.read_answers()[:1], strict=True):
        assert (ours.step, ours.prompt, ours.answer) == (theirs.step, theirs.prompt, theirs.answer)
    saved, known = (references_by_text(folder) for folder in (first, second))
    both = saved.keys() & known.keys()
    assert both
    assert all(saved[text].equal(known[text]) for text in both)
    (header, snapshots), points = second.read_tokens(), second.read_metrics()
    assert (snapshots[0].step, len(header.responses)) == (0, len(snapshots[0].logps))
    assert list(snapshots[0].logps) == [r.reference_logps for r in header.responses]
    assert (points[0].step, points[0].source, points[0].kl) == (0, "probe", 0.0)


@pytest.mark.usefixtures("compute_dtype")
def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(tiny_model_path: Path, tmp_path: Path) -> None:
    whole = make_run(tmp_path / "whole", tiny_model_path, n_steps=40, checkpoint_steps=100, answer_steps=100)
    parts = make_run(tmp_path / "parts", tiny_model_path, n_steps=40, checkpoint_steps=100, answer_steps=100)
    first = start_worker(parts, tmp_path)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while parts.read_status().step < 3 and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM)
    output = finish(first)
    status = parts.read_status()
    assert status.state is RunState.STOPPED, output
    assert 3 <= status.step < 40
    assert list_checkpoints(parts.path)[-1][0] == status.step
    scored = (parts.path / "reference.safetensors").stat().st_mtime_ns
    for folder in (parts, whole):
        output = finish(start_worker(folder, tmp_path))
        assert folder.read_status().state is RunState.FINISHED, output
    assert (parts.path / "reference.safetensors").stat().st_mtime_ns == scored  # read, not written again
    ours, expected = (load_file(f.adapter / "adapter_model.safetensors") for f in (parts, whole))
    assert ours.keys() == expected.keys()
    assert all(ours[name].equal(expected[name]) for name in expected)
    losses = [[p.loss for p in f.read_metrics() if p.source == "train"] for f in (parts, whole)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 40


def test_a_run_that_goes_on_from_an_earlier_checkpoint_says_so(tiny_model_path: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", tiny_model_path)
    finish(start_worker(folder, tmp_path))
    weights = folder.path / "checkpoint-4" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with open(folder.path / "metrics.jsonl", "ab") as file:
        file.write(b"\0\0\n")
    folder.write_status(replace(folder.read_status(), state=RunState.STOPPED, step=4))
    output = finish(start_worker(folder, tmp_path))
    status = folder.read_status()
    assert status.state is RunState.FINISHED, output
    assert status.notice.startswith("checkpoint-4 is damaged and not used: the run went on from step 2 ")
    assert verify_checkpoint(folder.path / "checkpoint-4")
    card = (folder.adapter / "README.md").read_text(encoding="utf-8")
    assert "metrics.jsonl line" in card


def test_a_second_worker_is_refused_while_the_first_lives(tiny_model_path: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", tiny_model_path, n_steps=400)
    first = start_worker(folder, tmp_path)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while folder.read_process() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    second = start_worker(folder, tmp_path)
    output = finish(second)
    assert second.returncode == 2
    assert "already being trained" in output
    first.terminate()
    finish(first)
    assert folder.read_status().state is RunState.STOPPED


@pytest.mark.parametrize("model", ["/nowhere/at/all", "no-such-model"])
def test_a_failure_is_told_in_words_without_paths(tiny_model_path: Path, tmp_path: Path, model: str) -> None:
    folder = make_run(tmp_path / "run", tiny_model_path, model=model)
    process = start_worker(folder, tmp_path)
    finish(process)
    status = folder.read_status()
    assert process.returncode == 1
    assert status.state is RunState.FAILED
    assert "no model in the folder" in status.failure
    assert str(tmp_path) not in status.failure
    assert "/nowhere" not in status.failure


def test_a_method_that_needs_pairs_fails_in_words_on_single_answers(tiny_model_path: Path, tmp_path: Path) -> None:
    config = RunConfig(model=str(tiny_model_path), method="dpo", n_steps=1)
    singles = [j for j in make_pairs() if j.is_preferred]
    folder = RunFolder.create(tmp_path / "run", config, singles)
    finish(start_worker(folder, tmp_path))
    assert "needs pairs" in folder.read_status().failure


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("firehosefirehosefirehosefirehosefirehose", True),
        ("the the the the the the", True),
        ("It is so. It is so. It is so. It is so. It is so.", True),
        ("ha ha ha, very funny", False),
        ("One, two, three, four, five, six, seven.", False),
        ("", False),
        ("0.0000000001", False),
    ],
)
def test_repetition_is_recognised(text: str, expected: bool) -> None:
    assert is_repeating(text) is expected
