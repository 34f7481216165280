"""Text on a disk such that a crash, a full disk or a reader in between does no harm. Standard library."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_atomically(path: Path, text: str) -> None:
    """Writes a temporary file beside `path`, syncs it and renames it, so that a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock file: one thread of one process at a time. A killed holder's lock is free at once."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Appends one JSON line with a single write, first cutting off a torn last line.

    Raises:
        OSError: If the disk took only part of the line (a full disk writes short without an error).
    """
    line = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        end = _whole_lines_end(descriptor)
        os.ftruncate(descriptor, end)
        os.lseek(descriptor, end, os.SEEK_SET)
        written = os.write(descriptor, line)
        if written != len(line):
            os.ftruncate(descriptor, end)
            raise OSError(f"{path.name}: only {written} of {len(line)} bytes could be written. Free some disk space.")
    finally:
        os.close(descriptor)


def _whole_lines_end(descriptor: int, block: int = 65_536) -> int:
    """Returns the offset just after the last newline of the file."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end > 0:
        start = max(0, end - block)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the JSON objects of a file, ignoring an unfinished last line; nothing if there is no file."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def hash_texts(parts: Sequence[object]) -> str:
    """Returns the sha256 of JSON values; no two different lists share one.

    >>> hash_texts(["a", "bc"]) == hash_texts(["ab", "c"])
    False
    """
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
