"""Packs a run's adapter, alone or merged into its base model, for somebody else's machine.

A merged model is offered only after its log-probabilities were checked against the adapter's. No torch at load: the
merge happens in a process of its own. This room must not know pages.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import shutil
import subprocess
import unicodedata
import zipfile
from collections.abc import Mapping
from pathlib import Path

from bnf_lab.core.child_processes import ask_module
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.files import write_atomically
from bnf_lab.core.sealed_folders import MANIFEST
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.merging import MergeRecord
from bnf_lab.runs.model_card import name_base
from bnf_lab.runs.record_files import Damaged, read_object
from bnf_lab.runs.records import MetricPoint

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "README.md")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
MERGE_SECONDS = 1800


STEM_CHARS = 60


def file_stem(name: str, run_id: str, method: str) -> str:
    """Returns how the names of a run's files begin: its name and method in letters that every system takes.

    >>> file_stem("Short answers, größer!", "a1b2", "bnf"), file_stem("../дата", "a1b2", "bnf")
    ('short-answers-groer-bnf', 'a1b2-bnf')
    """
    stem = (_plain(name) or _plain(run_id) or "run")[:STEM_CHARS].strip("-")
    kind = _plain(method)[:STEM_CHARS]
    return stem if not kind or kind in stem.split("-") else f"{stem}-{kind}"


def _plain(text: str) -> str:
    ascii_letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", ascii_letters))


def _name_adapter(folder: RunFolder, adapter: Path, name: str, kind: str) -> str:
    of_step = f"-{_plain(adapter.name)}" if adapter != folder.adapter else ""
    return f"{file_stem(name, folder.run_id, folder.read_config().method)}{of_step}-{kind}"


def export_adapter(
    folder: RunFolder, adapter: Path, target: Path, *, name: str = "", model: Path | None = None
) -> Path:
    """Writes a zip with the adapter in PEFT's layout, its model card, and the tokenizer that it was trained with.

    Args:
        folder: The run.
        adapter: The adapter's or checkpoint's folder.
        target: Existing folder for the zip.
        name: What the run is called, for the name of the zip; its id by default.
        model: The base model's folder, for its tokenizer and chat template; None where it is not here.
    """
    path = target / f"{_name_adapter(folder, adapter, name, 'adapter')}.zip"
    card = folder.adapter / "README.md"
    files = {file: adapter / file for file in ADAPTER_FILES}
    files |= {file: model / file for file in TOKENIZER_FILES} if model else {}
    if card.exists():
        files["README.md"] = card
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, source in files.items():
            if not source.exists():
                continue
            if file == "adapter_config.json":
                archive.writestr(f"{path.stem}/{file}", _portable(source, folder))
            else:
                archive.write(source, f"{path.stem}/{file}")
    return path


def _portable(settings: Path, folder: RunFolder) -> str:
    """Returns an adapter's settings with a base model that other machines know, whoever wrote them."""
    try:
        values = read_object(settings)
    except (FileNotFoundError, Damaged) as error:
        raise RunRefused(
            f"The adapter of run {folder.run_id} is damaged ({settings.name}). Take another checkpoint of the run."
        ) from error
    return json.dumps({**values, "base_model_name_or_path": name_base(folder.read_config())}, indent=2) + "\n"


def export_merged(
    folder: RunFolder, model: Path, adapter: Path, target: Path, *, environment: Mapping[str, str], name: str = ""
) -> tuple[Path, MergeRecord]:
    """Writes a zip with base and adapter merged into plain safetensors; returns it and what the check found.

    Args:
        folder: The run.
        model: The base model's folder.
        adapter: The adapter's or checkpoint's folder.
        target: Existing folder for the zip.
        environment: For the process that merges, see `worker_environment`; it asks no hub.
        name: What the run is called, for the name of the zip; its id by default.

    Raises:
        RunRefused: If the merge fails, or the merged model's log-probabilities are not the adapter's.
    """
    merged = target / _name_adapter(folder, adapter, name, "merged")
    try:
        result = ask_module(
            "bnf_lab.training.merge",
            folder.path,
            model,
            adapter,
            merged,
            environment={**environment, "HF_HUB_OFFLINE": "1"},
            seconds=MERGE_SECONDS,
        )
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise RunRefused("Merging broke off; memory or disk may be too small. Take the adapter.") from error
    if "error" in result:
        raise RunRefused(result["error"])
    path = merged.with_name(f"{merged.name}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # weights do not compress
        for file in sorted(merged.iterdir()):
            if file.name != MANIFEST:
                archive.write(file, f"{merged.name}/{file.name}")
    shutil.rmtree(merged)
    return path, MergeRecord(**result)


def export_metrics(folder: RunFolder, target: Path, *, name: str = "") -> Path:
    """Writes every measured point to a CSV file: a line a point, a column a field, empty where nothing was measured.

    Raises:
        RunRefused: If a line of the metrics is damaged, since the table would lack it without a word.
    """
    fields = [field.name for field in dataclasses.fields(MetricPoint)]
    text = io.StringIO()
    table = csv.DictWriter(text, fields, lineterminator="\n")
    table.writeheader()
    for point in folder.read_metrics():
        table.writerow(dataclasses.asdict(point))
    stem = file_stem(name, folder.run_id, folder.read_config().method)
    path = target / f"{stem}-metrics.csv"
    write_atomically(path, text.getvalue())
    return path
