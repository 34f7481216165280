"""Files such that a crash, a full disk or a reader in between does no harm; locks by filelock."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bnf_lab.core.numbers import counted

REPLACE_SECONDS = 2.0
LOCK_POLL_SECONDS = 0.02
LOCK_WAIT_SECONDS = 5.0


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a temporary file beside `path`, syncs it and renames it, so that a reader never sees half of it.

    Args:
        path: The file; what it holds stays until all of the new content is on the disk.
        content: Text is written as UTF-8, line ends as they are.

    Raises:
        OSError: If the disk refuses; the file is then what it was.
        UnicodeEncodeError: If the text holds a lone surrogate.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _replace(temporary: Path, path: Path) -> None:
    deadline = time.monotonic() + REPLACE_SECONDS
    while True:
        try:
            os.replace(temporary, path)
        except PermissionError:
            # Windows renames nothing onto a file that somebody reads at this moment; elsewhere it is a refusal
            if sys.platform != "win32" or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def file_lock(path: Path) -> FileLock:
    """Returns a lock file's lock, not held yet; it ends with the process that holds it."""
    # no soft lock where the system has none: that is a mere file, and would outlive a killed holder
    return FileLock(path, mode=0o600, poll_interval=LOCK_POLL_SECONDS, fallback_to_soft=False)


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds a lock file: one thread of one process at a time. A killed holder's lock is free at once.

    Args:
        path: The lock file.
        on_wait: Called every few seconds for as long as somebody else holds it; what it raises ends the wait.

    Raises:
        FileNotFoundError: If the lock's folder is gone; it is not made anew.
        OSError: If the file system knows no such locks.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    lock = file_lock(path)
    while True:
        try:
            lock.acquire(timeout=LOCK_WAIT_SECONDS)
        except Timeout:
            on_wait()
        else:
            break
    try:
        yield
    finally:
        lock.release()


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Appends one JSON line with a single write, first cutting off a torn last line.

    Raises:
        OSError: If the disk took only part of the line (a full disk writes short without an error).
    """
    line = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()
    # without O_BINARY, Windows' own flag, it would write two characters for each newline
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    try:
        end = _whole_lines_end(descriptor)
        os.ftruncate(descriptor, end)
        os.lseek(descriptor, end, os.SEEK_SET)
        written = os.write(descriptor, line)
        if written != len(line):
            os.ftruncate(descriptor, end)
            raise OSError(
                f"{path.name}: only {written} of {counted(len(line), 'byte')} could be written. Free some disk space."
            )
    finally:
        os.close(descriptor)


def _whole_lines_end(descriptor: int, block: int = 65_536) -> int:
    """Returns the offset just after the last newline of the file."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end > 0:
        start = max(0, end - block)
        newline = read_at(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def read_at(descriptor: int, n_bytes: int, offset: int) -> bytes:
    """Returns up to so many bytes from an offset on, and leaves the file's own place as it is."""
    if sys.platform != "win32":
        return os.pread(descriptor, n_bytes, offset)
    place = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, n_bytes)
    finally:
        os.lseek(descriptor, place, os.SEEK_SET)


def remove(path: Path) -> None:
    """Removes a file, a link (never what it leads to) or a folder with all that is in it; nothing if there is none.

    Raises:
        OSError: If the system refuses, even after this user has been given the right.
    """
    if path.is_symlink() or not path.is_dir():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
        return

    try:
        shutil.rmtree(path)
    except OSError:
        _open_up(path)
        with contextlib.suppress(FileNotFoundError):  # somebody else removed it meanwhile
            shutil.rmtree(path)


def _open_up(path: Path) -> None:
    """Gives this user every right to a folder and the folders in it, as far as the system lets it."""
    with contextlib.suppress(OSError):
        os.chmod(path, 0o700)
        for root, folders, _ in os.walk(path):
            for name in folders:
                if not os.path.islink(os.path.join(root, name)):
                    os.chmod(os.path.join(root, name), 0o700)


def hash_texts(parts: Sequence[object]) -> str:
    """Returns the sha256 of JSON values; no two different lists share one.

    >>> hash_texts(["a", "bc"]) == hash_texts(["ab", "c"])
    False
    """
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
