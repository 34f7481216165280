"""What a list says of a run: what the whole files say, from as few readings of them as there are changes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import RunRefused
from bnf_lab.runs import record_files
from bnf_lab.runs.digests import RunDigests
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import MetricPoint, RunState, RunStatus
from tests.support.counted import CountedJson

LONG_AGO = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder.create(tmp_path / "run", RunConfig(), [])
    settle(made)
    return made


def settle(folder: RunFolder) -> None:
    """Makes the replaced files look as if they were written long ago."""
    for name in ("config.json", "status.json"):
        os.utime(folder.path / name, (LONG_AGO, LONG_AGO))


def record(folder: RunFolder, step: int, source: str = "probe", **values: float) -> None:
    folder.append_metric(MetricPoint(step, float(step), source, **values))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> CountedJson:
    counted = CountedJson()
    monkeypatch.setattr(record_files, "json", counted)
    return counted


def test_the_ends_of_the_probe_are_those_of_all_its_points(folder: RunFolder) -> None:
    digests, rng = RunDigests(), random.Random(0)  # noqa: S311 - the same disorder each time
    assert (digests.read(folder).first, digests.read(folder).last) == (None, None)
    for _ in range(60):  # steps out of order and replayed, read at any moment
        for _ in range(rng.randrange(4)):
            record(folder, rng.randrange(12), rng.choice(("probe", "train")), accuracy=rng.random())
        probe = [p for p in folder.read_metrics() if p.source == "probe"]
        found = digests.read(folder)
        assert (found.first, found.last) == ((probe[0], probe[-1]) if probe else (None, None))


def test_what_has_not_changed_is_not_parsed_again_and_what_grew_only_where_it_grew(
    folder: RunFolder, parsed: CountedJson
) -> None:
    digests = RunDigests()
    for step in range(200):
        record(folder, step, accuracy=0.5)
    digests.read(folder)
    assert parsed.n_parsed == 202  # settings, status, and each point
    for _ in range(50):
        digests.read(folder)
    assert parsed.n_parsed == 202
    record(folder, 200, accuracy=1.0)
    for _ in range(50):
        assert digests.read(folder).last.accuracy == 1.0
    assert parsed.n_parsed == 203
    folder.write_status(RunStatus(RunState.FINISHED))
    settle(folder)
    for _ in range(50):
        assert digests.read(folder).status.state is RunState.FINISHED
    assert parsed.n_parsed == 204


def test_an_unfinished_line_waits_and_another_file_is_read_from_its_start(folder: RunFolder) -> None:
    digests = RunDigests()
    record(folder, 1, accuracy=0.1)
    with open(folder.path / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 2, "sec')
    assert digests.read(folder).last.step == 1
    record(folder, 3, accuracy=0.3)
    assert digests.read(folder).last.step == 3
    (folder.path / "metrics.jsonl").unlink()
    record(folder, 2, accuracy=0.2)
    assert (digests.read(folder).first.step, digests.read(folder).last.step) == (2, 2)


def test_a_request_to_stop_shows_at_once(folder: RunFolder) -> None:
    digests = RunDigests()
    folder.write_status(RunStatus(RunState.TRAINING))
    settle(folder)
    assert digests.read(folder).status.state is RunState.TRAINING
    folder.request_stop()
    assert digests.read(folder).status.state is RunState.STOPPING


def test_a_damaged_folder_is_refused_until_it_is_mended(folder: RunFolder) -> None:
    digests, text = RunDigests(), (folder.path / "config.json").read_text()
    digests.read(folder)
    (folder.path / "config.json").write_text("{")
    with pytest.raises(RunRefused, match=r"config\.json"):
        digests.read(folder)
    (folder.path / "config.json").write_text(text)
    assert digests.read(folder).saved.config == RunConfig()
