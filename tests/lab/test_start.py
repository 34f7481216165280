"""A lab that cannot start says why in one line, with exit code 2, and leaves the disk as it was."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import app
from bnf_lab.core import data_folder
from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, Message, Verdict
from bnf_lab.lab import backups
from bnf_lab.lab.lab import Lab
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import RunState, RunStatus
from tests.support.shells import Shell, open_shell

ROOT = Path(__file__).resolve().parents[2]


def make_lab(home: Path, n: int = 40) -> None:
    """A lab that has been used: judgements in its database, a backup of them, a run beside it."""
    lab = Lab(home)
    prompt = (Message("user", "Why?"),)
    lab.judgements.add("me", "c", [Judgement(prompt, f"Because {i}. " * 40, Verdict.PREFERRED) for i in range(n)])
    run = RunFolder.create(
        home / "runs" / "abc", RunConfig(), [Judgement(prompt, "Yes.", Verdict.PREFERRED)], owner="me"
    )
    run.write_status(RunStatus(RunState.STOPPED))
    lab.close()
    shutil.rmtree(home / "backups", ignore_errors=True)


def contents(home: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(home)): p.read_bytes() if p.is_file() else None for p in sorted(home.rglob("*"))}


def refusal(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line with which the server refuses to start."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        app.main([str(argument) for argument in arguments])
    assert ended.value.code == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    return err.strip()


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(9000))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def without_tables(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as made:
        made.execute("PRAGMA journal_mode=wal")
    made.close()


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9000])


def zeros_inside(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:8192] + bytes(12288) + content[20480:])


def without_a_table(path: Path) -> None:
    with sqlite3.connect(path) as made:
        made.execute("DROP TABLE documents")
    made.close()


DAMAGES = [garbage, emptied, without_tables, cut_off, zeros_inside, without_a_table]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_database_is_told_with_the_way_back_which_works(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    home = tmp_path / "my lab"
    make_lab(home)
    lab = Lab(home)
    lab._upkeep.close()
    backups.Backups(home, lab._database).make_if_due()
    lab.close()
    assert len(backups.list_backups(home)) == 1
    damage(home / "lab.sqlite")
    before = contents(home)
    text = refusal(capfd, "--data-dir", home)
    assert contents(home) == before
    assert "damaged" in text
    command = shlex.split(text.partition("with: ")[2].partition(" (the damaged")[0])
    assert command[:2] == ["python", "app.py"]
    assert app.main(command[2:]) == 0
    (aside,) = home.glob("lab.sqlite.*.damaged")
    assert aside.read_bytes() == before["lab.sqlite"]
    lab = Lab(home)
    assert lab.judgements.count("me") == 40
    lab.close()


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_a_backup_the_text_says_how_to_start_afresh(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    make_lab(tmp_path)
    damage(tmp_path / "lab.sqlite")
    before = contents(tmp_path)
    text = refusal(capfd, "--data-dir", tmp_path)
    assert contents(tmp_path) == before
    assert f"Move {tmp_path / 'lab.sqlite'} away" in text
    assert "no backup" in refusal(capfd, "--data-dir", tmp_path, "--restore-backup")
    assert contents(tmp_path) == before
    (tmp_path / "lab.sqlite").unlink()
    lab = Lab(tmp_path)  # missing is not damaged: somebody moved it away
    assert lab.judgements.count("me") == 0
    lab.close()


def test_an_empty_database_alone_is_a_new_lab(tmp_path: Path) -> None:
    (tmp_path / "lab.sqlite").write_bytes(b"")
    lab = Lab(tmp_path)
    assert lab.judgements.count("me") == 0
    lab.close()


def test_a_newer_and_another_programs_database_are_left_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_lab(tmp_path)
    path = tmp_path / "lab.sqlite"
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version=99")
    newer.close()
    before = contents(tmp_path)
    assert "version 99" in refusal(capfd, "--data-dir", tmp_path)
    assert contents(tmp_path) == before
    path.unlink()
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE bookmarks (url)")
    foreign.close()
    before = contents(tmp_path)
    assert "another program" in refusal(capfd, "--data-dir", tmp_path)
    assert contents(tmp_path) == before


def test_a_locked_database_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_lab(tmp_path)
    monkeypatch.setattr("bnf_lab.lab.database.BUSY_SECONDS", 0.1)
    other = sqlite3.connect(tmp_path / "lab.sqlite")
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    names = {*contents(tmp_path)}
    assert "Another process holds" in refusal(capfd, "--data-dir", tmp_path)
    assert {*contents(tmp_path)} == names
    other.close()


def test_a_log_that_a_crash_left_stays_while_the_lab_refuses(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What was acknowledged may be in the log alone."""
    make_lab(tmp_path)
    path, log = tmp_path / "lab.sqlite", tmp_path / "lab.sqlite-wal"
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA wal_autocheckpoint=0")
    with writer:
        writer.execute("PRAGMA user_version=99")
    kept = {p: p.read_bytes() for p in (path, log)}
    writer.close()
    for p, content in kept.items():
        p.write_bytes(content)
    assert kept[log]
    assert "version 99" in refusal(capfd, "--data-dir", tmp_path)
    assert {p: p.read_bytes() for p in kept} == kept


# --- the data folder


@pytest.fixture(params=["", "deep/er"])
def in_the_way(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "home").write_text("a file")
    return tmp_path / "home" / request.param


@pytest.fixture
def shell(in_the_way: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with open_shell(in_the_way, capfd, makes_home=False) as run:
        yield run


VERBS = [
    ("fetch-model",),
    ("check", "x.jsonl"),
    ("train", "--data", "demo:short_answers", "--output", "out"),
    ("score", "--data", "demo:short_answers"),
    ("chat", "--prompt", "Hello?"),
    ("export", "--run", "x", "--output", "y.zip"),
    ("experiment", "stability"),
]


def test_a_data_folder_that_is_a_file_is_told_by_server_and_verbs(
    tmp_path: Path, in_the_way: Path, shell: Shell, capfd: pytest.CaptureFixture[str]
) -> None:
    before = contents(tmp_path)
    assert "is a file" in refusal(capfd, "--data-dir", in_the_way)
    assert "is a file" in refusal(capfd)  # by BNF_LAB_HOME
    for verb in VERBS:
        text = shell(*verb).refusal
        assert "is a file" in text, verb
        assert "Details" not in text, verb
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "full disk"),
        (errno.EDQUOT, "used up"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "may not be written"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_disk_that_refuses_is_told_and_left_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(data_folder, "_write_probe", refuse)
    assert words in refusal(capfd, "--data-dir", tmp_path / "new" / "home")
    assert contents(tmp_path) == {}
    with open_shell(tmp_path / "elsewhere", capfd, makes_home=False) as run:
        for verb in (verb for verb in VERBS if verb[0] in ("fetch-model", "train", "experiment")):
            assert words in run(*verb).refusal
    assert contents(tmp_path) == {}


def test_a_full_disk_is_found_by_writing_to_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from tests.support.disks import full_disk

    with full_disk(room=40_000):
        assert "cannot be used" in refusal(capfd, "--data-dir", tmp_path / "home")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("name", ["~nobody-of-this-name/lab", "loop"])
def test_a_data_folder_that_leads_nowhere_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "leads nowhere" in refusal(capfd, "--data-dir", name)
    monkeypatch.setenv("BNF_LAB_HOME", name)
    assert "leads nowhere" in refusal(capfd)


def test_one_does_not_restore_under_a_running_lab(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_lab(tmp_path)
    lab = Lab(tmp_path)
    lab._upkeep.close()
    assert "is running" in refusal(capfd, "--data-dir", tmp_path, "--restore-backup")
    assert lab.judgements.count("me") == 40
    lab.close()
    assert app.main(["--data-dir", str(tmp_path), "--restore-backup"]) == 0


@pytest.mark.slow
def test_the_process_itself_ends_in_one_line_whose_command_works_in_a_shell(tmp_path: Path) -> None:
    home = tmp_path / "my lab's"
    make_lab(home)
    lab = Lab(home)
    lab._upkeep.close()
    backups.Backups(home, lab._database).make_if_due()
    lab.close()
    garbage(home / "lab.sqlite")
    start = [sys.executable, "app.py", "--data-dir", str(home)]
    answer = subprocess.run(start, capture_output=True, text=True, cwd=ROOT, check=False, timeout=300)
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (2, "", 1), answer.stderr
    command = answer.stderr.partition("with: python ")[2].partition(" (the damaged")[0]
    line = f"{shlex.quote(sys.executable)} {command}"
    restored = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (restored.returncode, restored.stderr) == (0, "")
    lab = Lab(home)
    assert lab.judgements.count("me") == 40
    lab.close()
