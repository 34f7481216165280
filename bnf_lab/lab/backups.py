"""Copies of the database in `DATA/backups/`, and the way back from one. Standard library.

A copy is written under a name of its own, looked through, and only then takes its place among the kept ones. This room
must not know what the database holds.
"""

from __future__ import annotations

import filecmp
import logging
import os
import shlex
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from bnf_lab.core.errors import LabError, StoreDamaged, StoreError
from bnf_lab.core.scratch import LOCK, is_abandoned
from bnf_lab.lab.database import Database, require_whole
from bnf_lab.lab.database_file import SIDE_FILES
from bnf_lab.lab.statements import MIGRATIONS

logger = logging.getLogger(__name__)

DATABASE = "lab.sqlite"
EVERY_SECONDS = 3600.0
N_KEPT = 3
_NAME = "lab-%Y%m%dT%H%M%SZ.sqlite"


def backups_dir(home: Path) -> Path:
    return home / "backups"


def list_backups(home: Path) -> list[Path]:
    """Returns the kept copies, newest first."""
    return sorted(backups_dir(home).glob("lab-*.sqlite"), reverse=True)


class Backups:
    """Copies the database once an hour where something was written.

    Args:
        home: The data folder.
        database: What is copied.
    """

    def __init__(self, home: Path, database: Database) -> None:
        self._home, self._database = home, database

    def make_if_due(self) -> Path | None:
        """Makes a copy if the newest is older than an hour and no longer holds everything; returns it.

        Raises:
            StoreError: If the database cannot be copied, or the copy is not whole; the kept ones stay.
            OSError: If the disk refuses.
        """
        newest = next(iter(list_backups(self._home)), None)
        if newest is not None and not self._is_due(newest):
            return None
        folder = backups_dir(self._home)
        folder.mkdir(mode=0o700, exist_ok=True)
        written = time.time()
        # the form of `core.files`, so that a sweep knows whose it is
        copy = folder / f".{DATABASE}.{os.getpid()}.tmp"
        copy.unlink(missing_ok=True)
        try:
            self._database.copy_to(copy)
            require_whole(copy, MIGRATIONS, is_expected=True)
            if newest is not None and filecmp.cmp(copy, newest, shallow=False):
                os.utime(newest, (written, written))  # true for all that was written until now
                return None
            with open(copy, "rb+") as file:
                os.fsync(file.fileno())
            os.utime(copy, (written, written))
            path = folder / datetime.fromtimestamp(written, UTC).strftime(_NAME)
            os.replace(copy, path)
        finally:
            copy.unlink(missing_ok=True)
        for old in list_backups(self._home)[N_KEPT:]:
            old.unlink(missing_ok=True)
        return path

    def _is_due(self, newest: Path) -> bool:
        made = newest.stat().st_mtime
        files = (self._home / f"{DATABASE}{end}" for end in ("", "-wal"))
        written = max((file.stat().st_mtime for file in files if file.exists()), default=0.0)
        # a time to come is that of a clock which has been set back since
        return written > made and not 0 <= time.time() - made < EVERY_SECONDS


def say_damaged(home: Path, error: StoreDamaged) -> StoreDamaged:
    """Returns the refusal of a damaged database with the way back, for who starts the lab in a shell."""
    backups = list_backups(home)
    if not backups:
        way = f"There is no backup. Move {home / DATABASE} away to start afresh; the runs stay in {home / 'runs'}."
        return StoreDamaged(f"{error} {way}")
    made = datetime.fromtimestamp(backups[0].stat().st_mtime, UTC)
    command = shlex.join(["python", "app.py", "--data-dir", str(home), "--restore-backup"])
    return StoreDamaged(
        f"{error} The newest backup is of {made:%Y-%m-%d %H:%M} UTC. Put it in place with: {command} (the damaged file"
        " is kept beside it)."
    )


def restore_backup(home: Path) -> tuple[Path, Path | None]:
    """Puts the newest backup that is whole in the database's place.

    Returns:
        The backup, and under which name the database that was there is kept; None if there was none.

    Raises:
        LabError: If a lab is running on this data folder, or no backup is whole.
    """
    if any((folder / LOCK).exists() and not is_abandoned(folder) for folder in (home / "tmp").glob("*")):
        raise LabError("A lab is running on this data folder. Stop it, then restore the backup.")
    whole = next((backup for backup in list_backups(home) if _is_whole(backup)), None)
    if whole is None:
        raise LabError(f"There is no backup that can be restored in {backups_dir(home)}. Nothing was changed.")
    database = home / DATABASE
    copy = home / f".{DATABASE}.{os.getpid()}.tmp"
    try:
        shutil.copyfile(whole, copy)
        copy.chmod(0o600)
        with open(copy, "rb+") as file:
            os.fsync(file.fileno())
        aside = database.with_name(f"{DATABASE}.{datetime.now(UTC):%Y%m%dT%H%M%SZ}.damaged")
        # the log beside a database is that very file's: over another one it would be the next damage
        for end in ("", *SIDE_FILES):
            file_of_it = database.with_name(database.name + end)
            if file_of_it.exists():
                os.replace(file_of_it, aside.with_name(aside.name + end))
        os.replace(copy, database)
    finally:
        copy.unlink(missing_ok=True)
    return whole, aside if aside.exists() else None


def _is_whole(backup: Path) -> bool:
    try:
        require_whole(backup, MIGRATIONS, is_expected=True)
    except StoreError as error:
        logger.warning("backup %s cannot be restored: %s", backup.name, error)
        return False
    return True
