"""Whether the data folder can be used, found before anything is written to it. Standard library."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from bnf_lab.core.errors import DataFolderRefused

PROBE_BYTES = 2**20  # less than this free is a full disk: the first run folder would not fit

REMEDY = "Choose another data folder with BNF_LAB_HOME (for `python app.py` also --data-dir)."
_REASONS = {
    errno.EROFS: "lies on a disk that is read-only",
    errno.EACCES: "may not be written to by this user",
    errno.EPERM: "may not be written to by this user",
    errno.ENOSPC: "lies on a full disk; the lab needs at least 1 MB to start",
    errno.EDQUOT: "lies on a disk of which this user's share is used up; the lab needs at least 1 MB to start",
    errno.ELOOP: "is a link that leads back to itself",
    errno.ENAMETOOLONG: "has too long a name",
}


def require_data_folder(path: Path, *, is_written: bool = True) -> None:
    """Makes the data folder, readable by this user only, unless it is there, and sees that files can be written to it.

    Args:
        path: The data folder.
        is_written: Whether files will be written; else a folder that is missing or read-only will do.

    Raises:
        DataFolderRefused: If it cannot be used; the disk is then as it was.
    """
    in_the_way = next((p for p in (path, *path.parents) if os.path.lexists(p)), path)
    if os.path.lexists(in_the_way) and not in_the_way.is_dir():
        what = "is a file, not a folder" if in_the_way == path else f"cannot be made: {in_the_way} is a file"
        raise _refused(path, f"leads nowhere: {in_the_way} is a broken link" if in_the_way.is_symlink() else what)
    if not is_written:
        return
    made: list[Path] = []
    try:
        for folder in reversed([p for p in (path, *path.parents) if not p.exists()]):
            folder.mkdir(mode=0o700, exist_ok=True)
            made.append(folder)
        _write_probe(path)
    except OSError as error:
        for folder in reversed(made):
            folder.rmdir()
        raise _refused(path, _REASONS.get(error.errno or 0, f"cannot be used: {error.strerror or error}")) from error


def _write_probe(folder: Path) -> None:
    """Writes a file to the disk and takes it away again: permissions, quotas and room show only then."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())


def _refused(path: Path, reason: str) -> DataFolderRefused:
    return DataFolderRefused(f"The data folder {path} {reason}. {REMEDY}")
