"""Backups of the database: whole, few, only of what is new, and made while people go on marking."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bnf_lab.core.errors import LabError, StoreDamaged, StoreError
from bnf_lab.core.judgements import Judgement, Message, Verdict
from bnf_lab.lab import backups
from bnf_lab.lab.backups import Backups, list_backups, restore_backup
from bnf_lab.lab.lab import Lab
from tests.support.records import Records, open_records

HOUR = 3600


@pytest.fixture(params=["wal", "delete"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    opened = open_records(tmp_path / "lab.sqlite", journal=request.param)
    yield opened
    opened.close()


@pytest.fixture
def made(store: Records, tmp_path: Path) -> Backups:
    add(store)
    return Backups(tmp_path, store.database)


def add(store: Records, n: int = 1) -> None:
    judgements = [Judgement((Message("user", "Why?"),), f"Because {i}.", Verdict.PREFERRED) for i in range(n)]
    store.judgements.add("me", "c", judgements)


def count(path: Path) -> int:
    with sqlite3.connect(path) as opened:
        n = int(opened.execute("SELECT COUNT(*) FROM judgements").fetchone()[0])
    opened.close()
    return n


def grow_old(home: Path, hours: float = 1.5) -> None:
    """As if everything that is there had been written so much earlier."""
    for path in (*home.glob("lab.sqlite*"), *list_backups(home)):
        moment = path.stat().st_mtime - hours * HOUR
        os.utime(path, (moment, moment))
    for path in reversed(list_backups(home)):
        path.rename(path.with_name(f"lab-{int(path.stat().st_mtime):012d}.sqlite"))


def test_a_backup_holds_everything_and_is_for_this_user_only(made: Backups, tmp_path: Path) -> None:
    path = made.make_if_due()
    assert path is not None
    assert count(path) == 1
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_there_is_one_an_hour_and_three_in_all(made: Backups, store: Records, tmp_path: Path) -> None:
    for hour in range(5):
        assert made.make_if_due() is not None
        add(store)
        assert made.make_if_due() is None  # the newest is not an hour old
        grow_old(tmp_path)
        add(store)
        assert len(list_backups(tmp_path)) == min(hour + 1, 3)
    assert [count(path) for path in list_backups(tmp_path)] == [9, 7, 5]


def test_none_is_made_where_nothing_was_written(made: Backups, store: Records, tmp_path: Path) -> None:
    made.make_if_due()
    grow_old(tmp_path)
    (before,) = list_backups(tmp_path)
    assert made.make_if_due() is None
    # opened and closed, the file is touched but says the same
    os.utime(tmp_path / "lab.sqlite")
    assert made.make_if_due() is None
    assert list_backups(tmp_path) == [before]
    assert time.time() - before.stat().st_mtime < HOUR


def test_a_clock_that_was_set_back_does_not_end_backups(made: Backups, store: Records, tmp_path: Path) -> None:
    made.make_if_due()
    grow_old(tmp_path, hours=-30)
    os.utime(tmp_path / "lab.sqlite", (time.time() + 40 * HOUR, time.time() + 40 * HOUR))
    add(store)
    os.utime(tmp_path / "lab.sqlite", (time.time() + 40 * HOUR, time.time() + 40 * HOUR))
    assert made.make_if_due() is not None


def test_a_copy_that_is_not_whole_replaces_nothing(
    made: Backups, store: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.make_if_due()
    grow_old(tmp_path)
    add(store)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "backups").iterdir()}

    def copy_badly(path: Path) -> None:
        path.write_bytes(b"SQLite format 3\x00" + bytes(5000))

    monkeypatch.setattr(store.database, "copy_to", copy_badly)
    with pytest.raises(StoreDamaged):
        made.make_if_due()
    assert {path.name: path.read_bytes() for path in (tmp_path / "backups").iterdir()} == kept


def test_a_full_disk_leaves_the_kept_ones(made: Backups, store: Records, tmp_path: Path) -> None:
    from tests.support.disks import full_disk

    made.make_if_due()
    grow_old(tmp_path)
    add(store)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "backups").iterdir()}
    with full_disk(), pytest.raises((StoreError, OSError)):
        made.make_if_due()
    assert {path.name: path.read_bytes() for path in (tmp_path / "backups").iterdir()} == kept


def test_marks_are_stored_while_a_backup_is_made(store: Records, tmp_path: Path) -> None:
    add(store, 20_000)
    made, done, n_meanwhile = Backups(tmp_path, store.database), threading.Event(), 0

    def back_up() -> None:
        made.make_if_due()
        done.set()

    thread = threading.Thread(target=back_up)
    thread.start()
    while not done.is_set():
        add(store)
        n_meanwhile += 1
    thread.join()
    assert n_meanwhile > 1  # had it waited, there would be the last one alone
    (path,) = list_backups(tmp_path)
    assert 20_000 <= count(path) <= 20_000 + n_meanwhile
    assert store.judgements.count("me") == 20_000 + n_meanwhile


def test_a_lab_makes_one_at_its_start_if_the_newest_is_old(tmp_path: Path) -> None:
    for n in (1, 2):
        lab = Lab(tmp_path)
        deadline = time.monotonic() + 60
        while len(list_backups(tmp_path)) < n and time.monotonic() < deadline:
            time.sleep(0.02)
        lab.judgements.add("me", "c", [Judgement((Message("user", "Why?"),), "Yes.", Verdict.PREFERRED)])
        lab.close()
        assert len(list_backups(tmp_path)) == n
        grow_old(tmp_path)


def test_the_newest_whole_backup_is_restored_without_the_log_of_the_damaged_file(tmp_path: Path) -> None:
    store = open_records(tmp_path / "lab.sqlite")
    made = Backups(tmp_path, store.database)
    add(store, 3)
    made.make_if_due()
    grow_old(tmp_path)
    add(store, 4)
    made.make_if_due()
    store.close()
    newest, older = list_backups(tmp_path)
    newest.write_bytes(b"torn")
    (tmp_path / "lab.sqlite").write_bytes(b"garbage")
    (tmp_path / "lab.sqlite-wal").write_bytes(b"its log")
    backup, aside = restore_backup(tmp_path)
    assert (backup, aside and aside.read_bytes()) == (older, b"garbage")
    assert not (tmp_path / "lab.sqlite-wal").exists()
    assert (tmp_path / f"{aside.name}-wal").read_bytes() == b"its log"
    assert count(tmp_path / "lab.sqlite") == 3
    older.unlink()
    with pytest.raises(LabError, match="no backup"):
        restore_backup(tmp_path)
    assert count(tmp_path / "lab.sqlite") == 3
    assert backups.N_KEPT == 3
