"""Checkpoints that a crash cannot spoil. Standard library.

A checkpoint is written to `tmp-<step>/`, every file and folder is synced, a manifest of sizes and hashes comes last,
and only then is the folder renamed to `checkpoint-<step>`. Readers take a checkpoint only if its manifest verifies.
This room must not know what the files mean, apart from the adapter's name.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from bnf_lab.core.errors import AdapterRefused, RunRefused
from bnf_lab.core.sealed_folders import STAGING_PREFIX, _sha256, verify_checkpoint

_CHECKPOINT = re.compile(r"checkpoint-(\d+)", re.ASCII)


def list_checkpoints(run_dir: Path) -> list[tuple[int, Path]]:
    """Returns step and folder of every `checkpoint-N`, lowest step first, without verifying them."""
    try:
        matches = [(_CHECKPOINT.fullmatch(path.name), path) for path in run_dir.iterdir() if path.is_dir()]
    except OSError:  # no folder, a vanishing one, or none that may be looked into: none of its checkpoints can be used
        return []
    return sorted((int(match[1]), path) for match, path in matches if match)


def newest_checkpoint(run_dir: Path) -> Path | None:
    """Returns the checkpoint of the highest step that verifies, None if there is none."""
    return next((path for _, path in reversed(list_checkpoints(run_dir)) if verify_checkpoint(path)), None)


def describe_fallback(run_dir: Path, newest: Path | None) -> str:
    """Returns which later checkpoints were damaged where a run goes on from an earlier one; "" where none was.

    Args:
        run_dir: The run.
        newest: What it goes on from, see `newest_checkpoint`.
    """
    step = checkpoint_step(newest) if newest else -1
    damaged = [path.name for later, path in list_checkpoints(run_dir) if later > step]
    if not damaged:
        return ""
    start = f"from step {step}" if newest else "from the beginning"
    verb = "is" if len(damaged) == 1 else "are"
    return f"{', '.join(damaged)} {verb} damaged and not used: the run went on {start} and trained what followed again."


def checkpoint_step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


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
