"""Checkpoints that a crash cannot spoil. Standard library.

A checkpoint is written to `tmp-<step>/`, every file and folder is synced, a manifest of sizes and hashes comes last,
and only then is the folder renamed to `checkpoint-<step>`. Readers take a checkpoint only if its manifest verifies.
This room must not know what the files mean, apart from the adapter's name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

from bnf_lab.errors import AdapterRefused, RunRefused
from bnf_lab.files import write_atomically

MANIFEST = "MANIFEST.json"
STAGING_PREFIX = "tmp-"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)", re.ASCII)


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
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        # a torn, foreign or vanishing folder is exactly what this function is asked about: the answer is no
        return False


def list_checkpoints(run_dir: Path) -> list[tuple[int, Path]]:
    """Returns step and folder of every `checkpoint-N`, lowest step first, without verifying them."""
    if not run_dir.is_dir():
        return []
    matches = ((_CHECKPOINT.fullmatch(path.name), path) for path in run_dir.iterdir() if path.is_dir())
    return sorted((int(match[1]), path) for match, path in matches if match)


def newest_checkpoint(run_dir: Path) -> Path | None:
    """Returns the checkpoint of the highest step that verifies, None if there is none."""
    return next((path for _, path in reversed(list_checkpoints(run_dir)) if verify_checkpoint(path)), None)


def find_adapter(given: Path, where: str) -> Path:
    """Returns the folder of an adapter: the folder given, its `adapter/`, or its newest checkpoint.

    Raises:
        AdapterRefused: If there is none; the text begins with `where`.
    """
    newest = newest_checkpoint(given)
    for path in (given, given / "adapter", *([newest] if newest else [])):
        if (path / "adapter_config.json").is_file():
            return path
    raise AdapterRefused(
        f"{where} {given.name}: there is no adapter. Give a run folder, or one with adapter_config.json and"
        " adapter_model.safetensors."
    )


def remove_stale(run_dir: Path) -> None:
    """Removes the `tmp-*` folders that a crash left behind; call it only while no worker writes here."""
    for path in run_dir.glob(f"{STAGING_PREFIX}*"):
        if path.is_dir():
            shutil.rmtree(path)


def checkpoint_hash(path: Path) -> str:
    """Returns the first 8 hexadecimal digits of the adapter weights' sha256, to name an adapter on a page.

    Raises:
        RunRefused: If the folder has no adapter weights.
    """
    try:
        return _sha256(path / "adapter_model.safetensors")[:8]
    except OSError as error:
        raise RunRefused(
            f"{path.name}: adapter_model.safetensors cannot be read. Choose another checkpoint of this run."
        ) from error


def _files(folder: Path) -> dict[str, Path]:
    """Returns the folder's files by relative name, without its own manifest."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files.pop(MANIFEST, None)
    return files


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
