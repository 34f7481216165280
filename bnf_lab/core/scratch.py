"""Folders for temporary files, each of one process: a lock that ends with the process says whether it is in use.

A process id would not do: ids are used again, and two containers that share a data folder do not see each other's.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from bnf_lab.core.files import file_lock

LOCK = ".in-use.lock"
PREFIX = "bnf-lab-"
"""Of the folders that verbs and helpers make in the system's own folder for temporary files."""

MAKING_SECONDS = 60.0  # between a folder and its lock, at the very most


class Scratch:
    """A new folder of this process, readable by this user only; it goes when it is closed or, later, by a sweep.

    Args:
        parent: Where it is made; made if missing, readable by this user only.
        prefix: What its name begins with.
    """

    def __init__(self, parent: Path, prefix: str = PREFIX) -> None:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()
        self._lock = file_lock(self.path / LOCK)
        self._lock.acquire()

    def close(self) -> None:
        """Removes the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()


@contextmanager
def temporary_folder(prefix: str = PREFIX, parent: Path | None = None) -> Iterator[Path]:
    """Lends a `Scratch` for the length of a block, by default in the system's folder for temporary files."""
    scratch = Scratch(parent or Path(tempfile.gettempdir()), prefix)
    try:
        yield scratch.path
    finally:
        scratch.close()


def is_abandoned(folder: Path) -> bool:
    """Returns whether a folder is a `Scratch` that no living process holds."""
    with contextlib.suppress(OSError):
        if not (folder / LOCK).exists():
            # made a moment ago, or left before its lock was there
            return not any(folder.iterdir()) and time.time() - folder.stat().st_mtime > MAKING_SECONDS
        try:
            with file_lock(folder / LOCK).acquire(timeout=0):
                return True
        except Timeout:
            return False
    return False
