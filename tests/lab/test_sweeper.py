"""Temporary files go when nobody uses them any more, at the start and every hour; what is in use stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bnf_lab.cli.main import main
from bnf_lab.core.config import RunConfig
from bnf_lab.core.files import locked
from bnf_lab.core.judgements import Judgement, Message, Verdict
from bnf_lab.core.scratch import Scratch, is_abandoned, temporary_folder
from bnf_lab.core.sealed_folders import seal_checkpoint
from bnf_lab.lab.lab import Lab
from bnf_lab.lab.sweeper import sweep
from bnf_lab.models.fetch import FETCH_LOCK
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.processes import identify_process

ROOT = Path(__file__).resolve().parents[2]
JUDGEMENT = Judgement((Message("user", "Why?"),), "Yes.", Verdict.PREFERRED)
ENDED = 2**22 + 1  # no process has this id


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "system"))
    (tmp_path / "system").mkdir()
    (tmp_path / "home" / "models").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def own(home: Path) -> Iterator[Path]:
    scratch = Scratch(home / "tmp", "lab-")
    yield scratch.path
    scratch.close()


def put(path: Path, *, hours: float = 0.0) -> Path:
    """Makes a folder with a file in it, both so old."""
    path.mkdir(parents=True)
    (path / "file").write_text("left over")
    for made in (path / "file", path):
        age(made, hours)
    return path


def age(path: Path, hours: float) -> None:
    moment = time.time() - 3600 * hours
    os.utime(path, (moment, moment))


def left_by_a_killed_process(parent: Path, prefix: str) -> Path:
    """Lets a process make a folder of its own, put a file into it and be killed."""
    code = (
        "import os, signal, sys; from pathlib import Path; from bnf_lab.core.scratch import Scratch\n"
        "scratch = Scratch(Path(sys.argv[1]), sys.argv[2]); (scratch.path / 'upload').write_text('half')\n"
        "print(scratch.path, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(parent), prefix]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT).stdout
    path = Path(said.strip())
    assert (path / "upload").exists()
    return path


def run_folder(path: Path, *, pid: int | None = None) -> RunFolder:
    folder = RunFolder.create(path, RunConfig(), [JUDGEMENT])
    if pid is not None:
        process = identify_process(pid)
        assert process is not None
        folder.write_process(process)
    return folder


Case = Callable[[Path, Path], Path]

LEFT_OVER: dict[str, Case] = {
    "an upload that broke off an hour ago": lambda home, own: put(own / "tmpabc", hours=1.1),
    "an export of an hour ago": lambda home, own: put(own / "export-abc", hours=1.1),
    "all of a lab that was killed": lambda home, own: left_by_a_killed_process(home / "tmp", "lab-"),
    "an upload of a lab from before": lambda home, own: put(home / "tmp" / "0123", hours=1.1),
    "an import that was killed": lambda home, own: left_by_a_killed_process(home.parent / "system", "bnf-lab-"),
    "a measurement of a lab from before": lambda home, own: put(home / "measure-abc", hours=1.1),
    "a half-fetched model": lambda home, own: put(home / "models" / "tmp-abc"),
    "a half-written checkpoint": lambda home, own: put(run_folder(home / "runs" / "r").path / "tmp-12"),
    "a half-written checkpoint of an experiment": lambda home, own: put(
        run_folder(home / "experiments" / "e" / "cells" / "c").path / "tmp-adapter"
    ),
    "a file that was not renamed": lambda home, own: (
        put(home / "runs" / "x").joinpath("file").rename(home / "runs" / "x" / f".status.json.{ENDED}.tmp")
    ),
}

IN_USE: dict[str, Case] = {
    "an upload under way": lambda home, own: put(own / "tmpabc"),
    "an export just made": lambda home, own: put(own / "export-abc", hours=0.5),
    "an upload of a lab from before, just made": lambda home, own: put(home / "tmp" / "0123", hours=0.5),
    "a folder of somebody else": lambda home, own: put(home.parent / "system" / "bnf-lab-notes", hours=100),
    "a checkpoint being written": lambda home, own: put(
        run_folder(home / "runs" / "r", pid=os.getpid()).path / "tmp-12", hours=9
    ),
    "a file being written": lambda home, own: (
        put(home / "runs" / "x").joinpath("file").rename(home / "runs" / "x" / f".status.json.{os.getpid()}.tmp")
    ),
    "a checkpoint": lambda home, own: put(run_folder(home / "runs" / "r").path / "checkpoint-12", hours=100),
    "a model": lambda home, own: put(home / "models" / "owner--name", hours=100),
    "a backup": lambda home, own: put(home / "backups", hours=100),
}


@pytest.mark.parametrize("case", LEFT_OVER)
def test_what_is_left_over_goes(home: Path, own: Path, case: str) -> None:
    path = LEFT_OVER[case](home, own)
    assert sweep(home, own) == [path]
    assert not path.exists()
    assert own.exists()


@pytest.mark.parametrize("case", IN_USE)
def test_what_is_in_use_stays(home: Path, own: Path, case: str) -> None:
    path = IN_USE[case](home, own)
    assert sweep(home, own) == []
    assert path.exists()


def test_a_model_stays_while_it_is_fetched(home: Path, own: Path) -> None:
    half = put(home / "models" / "tmp-abc", hours=100)
    with locked(home / "models" / FETCH_LOCK):
        assert sweep(home, own) == []
    assert sweep(home, own) == [half]


def test_folders_of_living_processes_stay_however_old(home: Path, own: Path) -> None:
    other = Scratch(home / "tmp", "lab-")
    age(other.path, 100)
    with temporary_folder() as imported:
        age(imported, 100)
        assert imported.parent == home.parent / "system"
        assert sweep(home, own) == []
        assert not is_abandoned(imported)
        assert not is_abandoned(other.path)
    assert not imported.exists()
    other.close()
    assert not other.path.exists()


def test_what_cannot_be_removed_does_not_keep_the_rest(home: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home / "measure-a", hours=2)
    second = put(home / "measure-b", hours=2)
    from bnf_lab.lab import sweeper

    remove = sweeper.remove

    def refuse_one(path: Path) -> None:
        if path.name == "measure-a":
            raise PermissionError(13, "no")
        remove(path)

    monkeypatch.setattr(sweeper, "remove", refuse_one)
    assert sweep(home, own) == [second]


def test_a_lab_sweeps_at_its_start_and_leaves_nothing_when_it_is_closed(home: Path) -> None:
    killed = left_by_a_killed_process(home / "tmp", "lab-")
    lab = Lab(home)
    assert not killed.exists()
    assert lab.scratch.is_dir()
    lab.close()
    assert list((home / "tmp").iterdir()) == []


def test_an_export_takes_away_what_a_killed_one_left_beside_it(tmp_path: Path) -> None:
    left = left_by_a_killed_process(tmp_path, ".bnf-lab-")
    folder, staging = run_folder(tmp_path / "run"), tmp_path / "tmp-adapter"
    staging.mkdir()
    (staging / "adapter_config.json").write_text("{}", encoding="utf-8")
    seal_checkpoint(staging, folder.adapter)
    with temporary_folder(".bnf-lab-", tmp_path) as other:
        assert main(["export", "--run", str(folder.path), "--output", str(tmp_path / "a.zip")]) == 0
        assert other.exists()
    assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"run", "a.zip"}
