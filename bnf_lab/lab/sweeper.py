"""Takes away the temporary files that crashes, aborted uploads and closed pages leave, and nothing that is in use.

What is swept, all of it by `PLACES`: each finds what may go by looking at the disk alone, since whoever left it is
gone. This room must not know the database or pages.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from filelock import Timeout

from bnf_lab.core.errors import LabError
from bnf_lab.core.files import file_lock, remove
from bnf_lab.core.paths import experiments_dir, models_dir, runs_dir
from bnf_lab.core.scratch import LOCK, PREFIX, is_abandoned
from bnf_lab.core.sealed_folders import STAGING_PREFIX
from bnf_lab.models.fetch import FETCH_LOCK
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.processes import process_alive

logger = logging.getLogger(__name__)

OLD_SECONDS = 3600.0
"""Of a file that a page may still ask for, or whose writer cannot be known: from this age on nobody does."""


def sweep(home: Path, own: Path) -> list[Path]:
    """Removes what is left over; what cannot be removed stays for the next time.

    Args:
        home: The data folder.
        own: This process's own folder for temporary files, of which only what is old goes.

    Returns:
        What is gone.
    """
    gone = []
    for find in PLACES:
        with contextlib.suppress(OSError):  # it goes at this moment, or may not be looked at
            for path in find(home, own):
                with contextlib.suppress(OSError):
                    remove(path)
                    gone.append(path)
    if gone:
        logger.info("%d temporary files or folders of earlier visits removed", len(gone))
    return gone


def _own_files(home: Path, own: Path) -> Iterator[Path]:
    """Uploads, also those that broke off, exports and merges of pages that have long had them, or been closed."""
    return (path for path in own.iterdir() if path.name != LOCK and _is_old(path))


def _folders_of_labs(home: Path, own: Path) -> Iterator[Path]:
    """Those of labs that have ended, and what labs without such folders left in their place."""
    for path in (home / "tmp").iterdir():
        if path != own and (is_abandoned(path) if (path / LOCK).exists() else _is_old(path)):
            yield path


def _folders_of_verbs(home: Path, own: Path) -> Iterator[Path]:
    """Those of imports, evaluations and measurements, in the system's own folder for temporary files."""
    found = Path(tempfile.gettempdir()).glob(f"{PREFIX}*")
    return (path for path in found if path.is_dir() and not path.is_symlink() and is_abandoned(path))


def _measurements(home: Path, own: Path) -> Iterator[Path]:
    """Earlier labs measured here."""
    return (path for path in home.glob("measure-*") if path.is_dir() and _is_old(path))


def _fetches(home: Path, own: Path) -> Iterator[Path]:
    """Half-fetched models, while nobody fetches."""
    found = list(models_dir(home).glob(f"{STAGING_PREFIX}*"))
    if not found:
        return
    # who fetches holds this lock; while it is held here, nobody begins
    with contextlib.suppress(Timeout), file_lock(models_dir(home) / FETCH_LOCK).acquire(timeout=0):
        yield from found


def _unfinished_checkpoints(home: Path, own: Path) -> Iterator[Path]:
    """Checkpoints and adapters that were being written when their worker ended."""
    folders = (*runs_dir(home).glob("*"), *experiments_dir(home).glob("*/cells/*"))
    for folder in folders:
        found = [path for path in folder.glob(f"{STAGING_PREFIX}*") if path.is_dir()]
        if found and not _has_worker(RunFolder(folder)):
            yield from found


def _unrenamed_files(home: Path, own: Path) -> Iterator[Path]:
    """Files that `core.files.write_atomically` did not get to rename: `.NAME.PID.tmp`."""
    for parent, folders, names in os.walk(home):
        folders[:] = [name for name in folders if Path(parent, name) != home / "tmp"]
        for path in (Path(parent, name) for name in names if name.startswith(".") and name.endswith(".tmp")):
            pid = path.name.split(".")[-2]
            if pid.isdigit() and (_is_old(path) or not psutil.pid_exists(int(pid))):
                yield path


PLACES: tuple[Callable[[Path, Path], Iterator[Path]], ...] = (
    _own_files,
    _folders_of_labs,
    _folders_of_verbs,
    _measurements,
    _fetches,
    _unfinished_checkpoints,
    _unrenamed_files,
)


def _has_worker(folder: RunFolder) -> bool:
    try:
        worker = folder.read_process()
    except (LabError, OSError, ValueError, LookupError, TypeError):
        return True  # who it is cannot be read: then it may be alive
    return worker is not None and process_alive(worker)


def _is_old(path: Path) -> bool:
    """Returns whether nothing in a file or folder was written for an hour."""
    inner = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    newest = max(float(p.lstat().st_mtime) for p in (path, *inner))
    return time.time() - newest > OLD_SECONDS
