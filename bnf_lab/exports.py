"""Packs a run's adapter, alone or merged into its base model, for somebody else's machine.

A merged model is offered only after its log-probabilities were checked against the adapter's. No torch at load: the
merge happens in a process of its own. This room must not know pages.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from bnf_lab.checkpoints import MANIFEST
from bnf_lab.errors import RunRefused
from bnf_lab.runs import RunFolder
from bnf_lab.shelf import REPOSITORY

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "README.md")
MERGE_SECONDS = 1800


def export_adapter(folder: RunFolder, adapter: Path, target: Path) -> Path:
    """Writes a zip with the adapter in PEFT's layout and its model card.

    Args:
        folder: The run.
        adapter: The adapter's or checkpoint's folder.
        target: Existing folder for the zip.
    """
    path = target / f"adapter-{folder.run_id}-{adapter.name}.zip"
    card = folder.adapter / "README.md"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ADAPTER_FILES:
            source = card if name == "README.md" and card.exists() else adapter / name
            if source.exists():
                archive.write(source, f"{path.stem}/{name}")
    return path


def export_merged(folder: RunFolder, model: Path, adapter: Path, target: Path) -> Path:
    """Writes a zip with base and adapter merged into plain safetensors.

    Args:
        folder: The run.
        model: The base model's folder.
        adapter: The adapter's or checkpoint's folder.
        target: Existing folder for the zip.

    Raises:
        RunRefused: If the merge fails, or the merged model's log-probabilities are not the adapter's.
    """
    merged = target / f"merged-{folder.run_id}"
    command = [sys.executable, "-m", "bnf_lab.merge", str(folder.path), str(model), str(adapter), str(merged)]
    try:
        answer = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=MERGE_SECONDS, check=False, cwd=REPOSITORY
        )
        result = json.loads(answer.stdout.strip().splitlines()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise RunRefused("Merging broke off; memory or disk may be too small. Take the adapter.") from error
    if "error" in result:
        raise RunRefused(result["error"])
    path = merged.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # weights do not compress
        for file in sorted(merged.iterdir()):
            if file.name != MANIFEST:
                archive.write(file, f"{merged.name}/{file.name}")
    shutil.rmtree(merged)
    return path
