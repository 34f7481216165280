"""A file is what it was or what it should become, whatever breaks between; locks; and what Windows does otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bnf_lab.core import files, sealed_folders
from bnf_lab.core.files import append_line, locked, read_at, write_atomically
from bnf_lab.core.sealed_folders import seal_checkpoint, verify_checkpoint
from tests.support.disks import full_disk

ROOT = Path(__file__).resolve().parents[2]
HOLDER = (
    "import sys; from pathlib import Path; from bnf_lab.core.files import locked\n"
    "with locked(Path(sys.argv[1])): print('held', flush=True); input()"
)


@pytest.mark.parametrize(
    ("content", "found"), [("Größe\r\nline\n", "Größe\r\nline\n".encode()), (b"\x00\xff", b"\x00\xff")]
)
def test_texts_and_bytes_are_written_as_they_are(tmp_path: Path, content: str | bytes, found: bytes) -> None:
    write_atomically(tmp_path / "a", "old")
    write_atomically(tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == found
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "old")
    with full_disk(), pytest.raises(OSError, match="too large"):
        write_atomically(tmp_path / "a", "new" * 100)
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_text_that_is_none_leaves_the_old_content(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(tmp_path / "a", "new \ud800")
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_content_is_on_the_disk_before_the_name_is_its(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    real_sync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (events.append("sync"), real_sync(file))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("replace"), real_replace(a, b))[1])
    write_atomically(tmp_path / "a", "new")
    assert events == ["sync", "replace"]


def is_free(path: Path) -> bool:
    """Returns whether another process can have the lock now."""
    code = "import sys; from filelock import FileLock, Timeout\ntry: FileLock(sys.argv[1]).acquire(timeout=0)\n"
    code += "except Timeout: sys.exit(3)"
    return subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 0


def test_a_lock_is_one_holder_s_and_a_killed_holder_s_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as holder:
        assert holder.stdout.readline() == "held\n"
        assert not is_free(path)
        holder.kill()
        holder.wait()
    with locked(path):
        assert not is_free(path)
    assert is_free(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_lock_is_let_go_by_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / ".lock"):
        raise ZeroDivisionError
    assert is_free(tmp_path / ".lock")


def test_one_thread_at_a_time(tmp_path: Path) -> None:
    inside, seen = 0, []
    barrier = threading.Barrier(4)

    def work() -> None:
        nonlocal inside
        barrier.wait()
        for _ in range(5):
            with locked(tmp_path / ".lock"):
                inside += 1
                seen.append(inside)
                time.sleep(0.001)  # lets the others in, if anything does
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 20


def test_a_lock_does_not_bring_back_a_folder_that_was_deleted(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(tmp_path / "deleted" / ".lock"):
        pytest.fail("locked")
    assert not (tmp_path / "deleted").exists()


def test_a_file_system_without_locks_is_an_error_and_not_a_lock_that_outlives_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="not implemented"), locked(tmp_path / ".lock"):
        pytest.fail("locked")


@pytest.mark.parametrize(("platform", "refusals", "is_written"), [("win32", 3, True), ("linux", 1, False)])
def test_windows_replaces_a_file_once_its_reader_has_closed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, refusals: int, is_written: bool
) -> None:
    path, honest, left = tmp_path / "status.json", os.replace, [refusals]
    write_atomically(path, "old")

    def replace(source: Path, target: Path) -> None:
        if left[0]:
            left[0] -= 1
            raise PermissionError(13, "Access is denied")
        honest(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    monkeypatch.setattr(files.sys, "platform", platform)
    if is_written:
        write_atomically(path, "new")
    else:
        with pytest.raises(PermissionError):
            write_atomically(path, "new")
    assert path.read_text() == ("new" if is_written else "old")
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]


def test_a_reader_that_never_closes_ends_in_the_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(files.os, "replace", refuse)
    monkeypatch.setattr(files.sys, "platform", "win32")
    monkeypatch.setattr(files, "REPLACE_SECONDS", -1.0)
    with pytest.raises(PermissionError):
        write_atomically(tmp_path / "status.json", "new")


def test_lines_are_written_as_bytes_on_windows_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags, honest = [], os.open
    binary = 1 << 30  # no flag here, so it is taken out again before the system sees it
    monkeypatch.setattr(os, "O_BINARY", binary, raising=False)
    monkeypatch.setattr(
        os, "open", lambda path, flag, *rest: (flags.append(flag), honest(path, flag & ~binary, *rest))[1]
    )
    append_line(tmp_path / "metrics.jsonl", {"step": 1})
    assert flags[0] & binary
    assert (tmp_path / "metrics.jsonl").read_bytes() == b'{"step": 1}\n'


def test_windows_opens_no_folder_and_syncs_files_that_are_open_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = tmp_path / "tmp-1"
    (staging / "rng").mkdir(parents=True)
    (staging / "rng" / "state").write_bytes(b"state")
    opened, honest = [], os.open
    monkeypatch.setattr(sealed_folders.sys, "platform", "win32")
    monkeypatch.setattr(
        os, "open", lambda path, flag, *rest: (opened.append((path, flag)), honest(path, flag, *rest))[1]
    )
    seal_checkpoint(staging, tmp_path / "checkpoint-1")
    monkeypatch.undo()
    assert verify_checkpoint(tmp_path / "checkpoint-1")
    assert opened == [(staging / "rng" / "state", os.O_RDWR)]


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_reading_at_an_offset_leaves_the_file_s_own_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    """On Windows there is no `pread`; a library that reads the same file on must not notice."""
    (tmp_path / "a").write_bytes(b"0123456789")
    monkeypatch.setattr(files.sys, "platform", platform)
    if platform == "win32":
        monkeypatch.delattr(os, "pread")
    with open(tmp_path / "a", "rb", buffering=0) as file:
        assert file.read(2) == b"01"
        assert (read_at(file.fileno(), 3, 5), read_at(file.fileno(), 9, 8), read_at(file.fileno(), 3, 20)) == (
            b"567",
            b"89",
            b"",
        )
        assert file.read(2) == b"23"


def test_who_waits_for_a_lock_is_asked_now_and_then_and_may_give_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOCK_WAIT_SECONDS", 0.01)
    asked: list[int] = []

    def wait() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise InterruptedError

    with locked(tmp_path / "lock"), pytest.raises(InterruptedError), locked(tmp_path / "lock", wait):
        pytest.fail("two held it")
    with locked(tmp_path / "lock", wait):
        assert len(asked) == 3


def test_what_is_removed_takes_nothing_else_with_it(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    gone = tmp_path / "gone"
    (gone / "inner").mkdir(parents=True)
    (gone / "inner" / "link").symlink_to(tmp_path / "kept")
    (gone / "file").touch()
    for path in (gone, tmp_path / "link", tmp_path / "nowhere", tmp_path / "kept" / "file" / "below"):
        if path.name == "link":
            path.symlink_to(tmp_path / "kept")
        files.remove(path)
        files.remove(path)  # nothing is there any more
    assert (tmp_path / "kept" / "file").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="becomes another user")
def test_folders_without_rights_are_removed_by_their_owner(tmp_path: Path) -> None:
    for path in tmp_path.parents:
        if path.stat().st_mode & 0o005 != 0o005:
            pytest.skip("the other user cannot get here")
    tmp_path.chmod(0o777)
    os.seteuid(65534)
    try:
        (tmp_path / "gone" / "inner").mkdir(parents=True)
        (tmp_path / "gone" / "inner" / "file").touch()
        (tmp_path / "gone" / "inner").chmod(0)
        (tmp_path / "gone").chmod(0)
        files.remove(tmp_path / "gone")
        assert not (tmp_path / "gone").exists()
    finally:
        os.seteuid(0)
