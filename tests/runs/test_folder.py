"""The run folder under crashes: torn tails, short writes, replays, damaged files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bnf_lab.core import files
from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair
from bnf_lab.runs.folder import VERSION, RunFolder, claim_run
from bnf_lab.runs.records import (
    AnswerPoint,
    MetricPoint,
    ProbeResponse,
    RunState,
    RunStatus,
    TokenHeader,
    TokenSnapshot,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    judgements = build_pair((Message("user", "Hé?\n\u2028"),), "Ja 🙂", "Nein", source=Source.MARKED)
    return RunFolder.create(tmp_path / "run", RunConfig(n_steps=7), judgements, owner="o")


def point(step: int, **values: float) -> MetricPoint:
    return MetricPoint(step=step, seconds=0.5, source="train", **values)


def save_config(folder: RunFolder, values: dict[str, object]) -> None:
    (folder.path / "config.json").write_text(json.dumps(values), encoding="utf-8")


def test_what_is_written_is_read_back(folder: RunFolder) -> None:
    assert folder.read_config() == RunConfig(n_steps=7)
    preferred, dispreferred = folder.read_judgements()
    assert (preferred.response, dispreferred.verdict) == ("Ja 🙂", Verdict.DISPREFERRED)
    assert preferred.prompt == (Message("user", "Hé?\n\u2028"),)
    status = folder.read_status()
    assert (status.state, status.total_steps, status.owner) == (RunState.QUEUED, 7, "o")
    answer = AnswerPoint(2, "Q", "A", 1)
    folder.append_answer(answer)
    assert folder.read_answers() == [answer]
    response = ProbeResponse("i", "preferred", "Q", ("A", "b"), (-1.0, -2.0), (3.0, 4.0))
    header = TokenHeader((response,), is_held_out=False)
    snapshot = TokenSnapshot(0, ((-1.0, -2.0),), ((3.0, 4.0),), ((1.0, 0.5),))
    folder.append_tokens(header)
    folder.append_tokens(snapshot)
    assert folder.read_tokens() == (header, [snapshot])


def test_a_second_run_in_the_same_folder_is_refused(folder: RunFolder) -> None:
    with pytest.raises(RunRefused, match="already holds a run"):
        RunFolder.create(folder.path, RunConfig(), [])


def test_a_replayed_step_overwrites_and_sources_stay_apart(folder: RunFolder) -> None:
    folder.append_metric(point(1, loss=1.0))
    folder.append_metric(point(2, loss=2.0))
    folder.append_metric(MetricPoint(step=2, seconds=0.5, source="probe", kl=0.1))
    folder.append_metric(point(2, loss=3.0))
    assert [(p.source, p.step, p.loss) for p in folder.read_metrics()] == [
        ("train", 1, 1.0),
        ("probe", 2, None),
        ("train", 2, 3.0),
    ]


@pytest.mark.parametrize("tail", [b'{"step": 3, "sec', b"\x00\x00\x00", b"{", b'{"step": 9}' * 20_000])
def test_a_torn_tail_is_ignored_by_readers_and_cut_by_the_next_writer(folder: RunFolder, tail: bytes) -> None:
    folder.append_metric(point(1, loss=1.0))
    path = folder.path / "metrics.jsonl"
    with open(path, "ab") as file:
        file.write(tail)
    assert [p.step for p in folder.read_metrics()] == [1]
    folder.append_metric(point(2, loss=2.0))
    assert [p.step for p in folder.read_metrics()] == [1, 2]
    assert path.read_bytes().count(b"\n") == 2
    assert [json.loads(line)["step"] for line in path.read_bytes().splitlines()] == [1, 2]


def test_a_full_disk_is_noticed_and_leaves_whole_lines(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.append_metric(point(1, loss=1.0))
    honest = os.write
    monkeypatch.setattr(files.os, "write", lambda descriptor, data: honest(descriptor, data[:10]))
    with pytest.raises(OSError, match="10 of"):
        folder.append_metric(point(2, loss=2.0))
    monkeypatch.undo()
    assert (folder.path / "metrics.jsonl").read_bytes().endswith(b"}\n")
    folder.append_metric(point(3, loss=3.0))
    assert [p.step for p in folder.read_metrics()] == [1, 3]


def test_values_that_are_no_numbers_never_reach_the_file(folder: RunFolder) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.append_metric(point(1, loss=float("nan")))
    assert folder.read_metrics() == []


def test_a_later_version_s_fields_are_passed_over(folder: RunFolder) -> None:
    files.append_line(folder.path / "metrics.jsonl", {"step": 1, "seconds": 0.0, "source": "probe", "new_curve": 1.0})
    assert [p.step for p in folder.read_metrics()] == [1]


def test_a_folder_says_its_version_and_one_without_is_of_the_first(folder: RunFolder) -> None:
    values = json.loads((folder.path / "config.json").read_text())
    assert (values["version"], folder.read_saved().version) == (VERSION, VERSION)
    assert not folder.is_newer
    assert folder.read_saved().obstacle is None
    save_config(folder, {k: v for k, v in values.items() if k != "version"})
    assert folder.read_saved().version == 1
    assert folder.read_training_config() == folder.read_config() == RunConfig(n_steps=7)


def test_settings_that_changed_since_can_be_looked_at_and_not_trained_by(folder: RunFolder) -> None:
    save_config(folder, RunConfig(n_steps=7, method="ppo").to_dict() | {"momentum": 0.9})
    config = folder.read_config()
    assert (config.n_steps, config.method) == (7, "ppo")
    assert folder.read_saved().settings.unknown == {"momentum": 0.9}
    with pytest.raises(
        RunRefused, match=r"method is 'ppo'; it must be one of: bnf.*'momentum' \(0\.9 here\)"
    ) as caught:
        folder.read_training_config()
    assert str(caught.value) == folder.read_saved().obstacle
    claim_run(folder)  # a worker may begin; it then says in the status what is wrong


def test_a_newer_version_is_looked_at_and_says_so(folder: RunFolder) -> None:
    save_config(folder, RunConfig(n_steps=7).to_dict() | {"version": VERSION + 1, "momentum": 0.9})
    assert folder.is_newer
    assert folder.read_config() == RunConfig(n_steps=7)
    for read in (folder.read_training_config, folder.refuse_newer):
        with pytest.raises(RunRefused, match=rf"version {VERSION + 1}; this lab knows {VERSION}"):
            read()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"version": "2"}', '{"version": null}', '{"version": true}']
)
def test_a_damaged_config_is_refused_in_words(folder: RunFolder, content: str) -> None:
    (folder.path / "config.json").write_text(content, encoding="utf-8")
    assert not folder.is_newer
    for read in (folder.read_saved, folder.read_config, folder.read_training_config):
        with pytest.raises(RunRefused, match=r"config\.json cannot be read"):
            read()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "asleep"}', "{}"])
def test_a_damaged_status_is_refused_in_words(folder: RunFolder, content: str) -> None:
    (folder.path / "status.json").write_text(content, encoding="utf-8")
    with pytest.raises(RunRefused, match=r"status\.json cannot be read") as caught:
        folder.read_status()
    assert str(folder.path.parent) not in str(caught.value)


def test_a_reader_never_sees_half_a_status(folder: RunFolder) -> None:
    """A writer in another process replaces the status without pause; every read is whole."""
    code = (
        "import sys, pathlib; from bnf_lab.runs.folder import RunFolder; from bnf_lab.runs.records import *\n"
        "folder = RunFolder(pathlib.Path(sys.argv[1]))\n"
        "for step in range(300):\n"
        "    folder.write_status(RunStatus(RunState.TRAINING, phase='x' * (step % 7) * 1000, step=step))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder.path)], cwd=ROOT) as writer:
        seen = 0
        while writer.poll() is None:
            status = folder.read_status()
            assert isinstance(status, RunStatus)
            seen += 1
    assert writer.returncode == 0
    assert seen > 0
    assert folder.read_status().step == 299


def test_judgements_survive_their_own_json() -> None:
    judgement = Judgement((Message("user", "a"),), "b", Verdict.PREFERRED, 0.25, source=Source.VOTE)
    assert Judgement.from_dict(json.loads(json.dumps(judgement.to_dict()))) == judgement


@pytest.mark.parametrize(("weight", "prompt"), [(0.0, True), (1.1, True), (1.0, False)])
def test_impossible_judgements_are_refused(weight: float, prompt: bool) -> None:
    with pytest.raises(ValueError, match="must be|needs"):
        Judgement((Message("user", "a"),) if prompt else (), "b", Verdict.PREFERRED, weight)
