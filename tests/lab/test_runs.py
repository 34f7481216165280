"""Lists of runs and adapters: as the folders are now, read once for all who look. Starting real runs: test_lab.py."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import NotFound
from bnf_lab.core.judgements import Message, Source, build_pair, now
from bnf_lab.core.sealed_folders import has_all_files, seal_checkpoint
from bnf_lab.lab import runs as runs_module
from bnf_lab.lab.lab import Lab
from bnf_lab.models.encoding import Encoder
from bnf_lab.models.fetch import EMBEDDED_NAME
from bnf_lab.runs import record_files
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.record_files import Place
from bnf_lab.runs.records import MetricPoint, RunState, RunStatus
from tests.support.counted import CountedJson
from tests.support.pages import idle_lab

ME = "me"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with idle_lab(tmp_path / "home") as lab:
        yield lab


def make_run(lab: Lab, run_id: str, *, n_points: int = 3, owner: str = ME) -> RunFolder:
    folder = RunFolder.create(lab.home / "runs" / run_id, RunConfig(model="tiny"), [], owner=owner)
    folder.write_status(RunStatus(RunState.FINISHED, owner=owner))
    for step in range(n_points):
        folder.append_metric(MetricPoint(step, 0.0, "probe", accuracy=step / 10, preferred_logp=-1.0 - step))
        folder.append_metric(MetricPoint(step, 0.0, "train", loss=1.0))
    for name in ("config.json", "status.json"):
        os.utime(folder.path / name, (10**9, 10**9))
    lab.runs.register.add(owner, run_id, run_id, now())
    return folder


def seal(folder: RunFolder, name: str) -> Path:
    staging = folder.path / "tmp-1"
    staging.mkdir()
    (staging / "adapter_model.safetensors").write_text(f"{folder.run_id} {name}")
    seal_checkpoint(staging, folder.path / name)
    return folder.path / name


def names(lab: Lab) -> list[str]:
    return [choice.checkpoint for choice in lab.runs.adapters(ME)]


def test_the_list_is_parsed_once_however_many_people_look(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    folders, counted = [make_run(lab, f"run{k}", n_points=40) for k in range(3)], CountedJson()
    monkeypatch.setattr(record_files, "json", counted)
    for _ in range(30):
        lab.runs.summaries(ME)
    assert counted.n_parsed == 3 * (2 + 2 * 40)  # settings, status and every line of the metrics, once
    folders[1].append_metric(MetricPoint(40, 0.0, "probe", accuracy=0.9))
    for _ in range(30):
        assert [run.accuracy for run in lab.runs.summaries(ME)] == [3.9, 0.9, 3.9]
    assert counted.n_parsed == 3 * (2 + 2 * 40) + 1
    assert [run.accuracy_before for run in lab.runs.summaries(ME)] == [0.0, 0.0, 0.0]


def test_people_who_look_at_once_share_one_reading(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(lab, "run1", n_points=200)
    reads, honest = [], RunFolder.read_new_metrics

    def read(self: RunFolder, place: Place):
        reads.append(place.end)
        return honest(self, place)

    monkeypatch.setattr(RunFolder, "read_new_metrics", read)
    with ThreadPoolExecutor(8) as people:
        lists = list(people.map(lambda _: lab.runs.summaries(ME), range(40)))
    assert all(found == lists[0] for found in lists)
    assert reads == [0]


def test_adapters_are_looked_for_again_only_when_one_came_or_went(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    monkeypatch.setattr(runs_module, "has_all_files", lambda path: looked.append(path) or has_all_files(path))
    folder = make_run(lab, "run1")
    assert names(lab) == []
    for step, accuracy in ((2, 0.9), (4, 0.8)):
        folder.append_metric(MetricPoint(step, 0.0, "probe", accuracy=accuracy, margin=0.1))
        seal(folder, f"checkpoint-{step}")
    assert names(lab) == ["best", "checkpoint-4", "checkpoint-2"]
    looked.clear()
    for _ in range(20):
        assert names(lab) == ["best", "checkpoint-4", "checkpoint-2"]
        folder.write_status(RunStatus(RunState.TRAINING, owner=ME))
    assert looked == []
    seal(folder, "adapter")
    assert names(lab) == ["final", "best", "checkpoint-4", "checkpoint-2"]
    shutil.rmtree(folder.path / "checkpoint-2")
    assert names(lab) == ["final", "best", "checkpoint-4"]
    (folder.path / "adapter" / "adapter_model.safetensors").unlink()
    assert names(lab) == ["best", "checkpoint-4"]


def test_a_checkpoint_that_goes_while_the_list_is_made_is_left_out(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(lab, "run1")
    pruned, kept = seal(folder, "checkpoint-2"), seal(folder, "checkpoint-4")
    honest = runs_module.checkpoint_hash

    def hash_or_prune(path: Path) -> str:
        if path == kept and pruned.exists():
            shutil.rmtree(pruned)
        return honest(path)

    monkeypatch.setattr(runs_module, "checkpoint_hash", hash_or_prune)
    assert "checkpoint-2" not in names(lab)
    assert names(lab) == ["checkpoint-4"]


def test_an_adapter_is_named_by_its_run_as_it_is_called_now(lab: Lab) -> None:
    seal(make_run(lab, "run1"), "adapter")
    assert [choice.label for choice in lab.runs.adapters(ME)] == ["run1 · final"]
    lab.runs.rename(ME, "run1", "Better")
    (choice,) = lab.runs.adapters(ME)
    assert (choice.label, choice.run_id, choice.model) == ("Better · final", "run1", "tiny")


def test_a_rewritten_adapter_has_another_hash(lab: Lab) -> None:
    folder = make_run(lab, "run1")
    seal(folder, "adapter")
    first = lab.runs.adapters(ME)[0].hash
    shutil.rmtree(folder.adapter)
    folder = RunFolder(folder.path)
    staging = folder.path / "tmp-2"
    staging.mkdir()
    (staging / "adapter_model.safetensors").write_text("other weights")
    seal_checkpoint(staging, folder.adapter)
    assert lab.runs.adapters(ME)[0].hash != first
    assert lab.runs.adapters(ME)[0].hash in lab.runs.pane_labels(ME, "tiny", "run1", "final")[1]


def test_an_export_of_nothing_is_refused_and_the_newest_is_taken_else(lab: Lab) -> None:
    folder = make_run(lab, "run1")
    with pytest.raises(NotFound, match="no adapter yet"):
        lab.runs.export_adapter(ME, "run1")
    seal(folder, "checkpoint-2")
    assert lab.runs.export_adapter(ME, "run1").name == "run1-bnf-checkpoint-2-adapter.zip"
    with pytest.raises(NotFound, match="not in your workspace"):
        lab.runs.export_adapter("somebody else", "run1")


def add_pairs(lab: Lab, owner: str, text: str) -> None:
    for k in range(8):
        prompt = (Message("user", f"{text} {k}?"),)
        lab.judgements.add(owner, "mine", build_pair(prompt, f"{text}.", f"No {text}.", source=Source.UPLOAD))


def test_one_persons_preflight_does_not_wait_for_another_ones(lab: Lab, tiny_model_path: Path, monkeypatch) -> None:
    (lab.home / "models").mkdir()
    (lab.home / "models" / "tiny").symlink_to(tiny_model_path)
    add_pairs(lab, "ada", "slow")
    add_pairs(lab, "bob", "quick")
    reading, may_end, honest = threading.Event(), threading.Event(), Encoder.encode_responses

    def encode_responses(self, turns):
        if any("slow" in response for _, response in turns):
            reading.set()
            assert may_end.wait(60)
        return honest(self, turns)

    monkeypatch.setattr(Encoder, "encode_responses", encode_responses)
    config = RunConfig(model="tiny", n_steps=2, n_probe=2, quantization="none")
    with ThreadPoolExecutor(2) as people:
        ada = people.submit(lab.runs.preflight, "ada", config, None)
        assert reading.wait(60)
        assert people.submit(lab.runs.preflight, "bob", config, None).result(timeout=60).n_tokens
        assert not ada.done()
        may_end.set()
        assert ada.result(timeout=60).n_tokens


def test_a_text_that_was_counted_at_its_import_is_not_read_again_for_a_run(
    lab: Lab, tiny_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lab.models.token_counter() is None
    staging = lab.home / "models" / "tmp-model"
    shutil.copytree(tiny_model_path, staging)
    seal_checkpoint(staging, staging.with_name(EMBEDDED_NAME))
    file = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Why {k}?", "chosen": "Because.", "rejected": f"No {k}."} for k in range(12)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    lab.judgements.keep(ME, lab.judgements.check_file(file, "pairs.jsonl"))

    def refuse(*_: object) -> None:
        raise AssertionError("a text was read again")

    monkeypatch.setattr(Encoder, "encode_responses", refuse)
    config = RunConfig(n_steps=2, n_probe=2, quantization="none")
    for max_tokens in (512, 16):
        found = lab.runs.preflight(ME, RunConfig.from_dict({**config.to_dict(), "max_tokens": max_tokens}), None)
        assert found.n_tokens
        assert found.problems == ()
