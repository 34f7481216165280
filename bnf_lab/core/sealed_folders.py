"""A folder that is whole or not there: staged, synced, sealed by a manifest, then renamed. Standard library."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

from bnf_lab.core.files import write_atomically

MANIFEST = "MANIFEST.json"
STAGING_PREFIX = "tmp-"


def seal_checkpoint(staging: Path, final: Path) -> None:
    """Makes a finished staging folder a checkpoint; a crash at any moment leaves either none or a whole one.

    Args:
        staging: A `tmp-*` folder that holds every file; it is gone afterwards.
        final: The checkpoint's folder beside it. One that is there (a replayed step) is replaced.

    Raises:
        OSError: If the disk refuses; nothing then carries the checkpoint's name that did not before.
    """
    entries = {}
    for name, path in _files(staging).items():
        entries[name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        _sync(path)
    for folder in (path for path in staging.rglob("*") if path.is_dir()):
        _sync(folder)
    write_atomically(staging / MANIFEST, json.dumps({"files": entries}, indent=2))
    _sync(staging)
    replaced = final.with_name(f"{STAGING_PREFIX}replaced-{final.name}")
    if final.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        os.rename(final, replaced)
    os.rename(staging, final)
    _sync(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def verify_checkpoint(path: Path) -> bool:
    """Returns whether every file that the folder's manifest lists is there with its size and hash."""
    return _matches_manifest(path, check_hashes=True)


def has_all_files(path: Path) -> bool:
    """Returns whether every file that the folder's manifest lists is there with its size; the quick look at a model."""
    return _matches_manifest(path, check_hashes=False)


def _matches_manifest(path: Path, *, check_hashes: bool) -> bool:
    try:
        entries = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["files"]
        files = _files(path)
        return bool(entries) and all(
            files[name].stat().st_size == entry["bytes"]
            and (not check_hashes or _sha256(files[name]) == entry["sha256"])
            for name, entry in entries.items()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # a torn, foreign or vanishing folder is exactly what this function is asked about: the answer is no
        return False


def _files(folder: Path) -> dict[str, Path]:
    """Returns the folder's files by relative name, without its own manifest."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files.pop(MANIFEST, None)
    return files


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    if sys.platform == "win32" and path.is_dir():
        return  # Windows opens no folder; NTFS keeps names in a journal of its own
    # Windows syncs only what is open for writing
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
