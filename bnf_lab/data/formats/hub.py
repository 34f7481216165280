"""A public data set of the Hugging Face hub -> rows.

The hub keeps a Parquet copy of every data set, by configuration and split. Only that copy is read, with the lab's own
reader and limits: no data set script, loader or address from the data set is ever followed, no local folder is taken
for a data set, and the server's own token is not used. `datasets` streams the asked rows in a process of its own.
This room must not know schemas or judgements.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from typing import Any

from fsspec import AbstractFileSystem
from huggingface_hub import HfFileSystem
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from bnf_lab.core.errors import ImportRefused, LabError, clipped, shown
from bnf_lab.core.scratch import temporary_folder
from bnf_lab.data.formats.child_rows import ChildFailed, read_in_child
from bnf_lab.data.formats.rows import Limits, Table

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_NAME = re.compile(r"\w[\w.+-]{0,99}")
_SPLIT = re.compile(r"(\w[\w.-]{0,99})(?:\[(\d{0,9}):(\d{0,9})\])?", re.ASCII)
_ADDRESS = "https://huggingface.co/datasets/"
_FIND_SECONDS = 15.0
_READ_SECONDS = 180.0
_MAX_SHARDS = 1_000
_PARTIAL = "partial-"  # what the hub puts before the name of a split that its copy holds the first gigabytes of
_WORKER = "bnf_lab.data.formats.hub_worker"
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_XET_CACHE")


class _NotThere(Exception):
    """What was looked for does not exist on the hub."""


def open_hub_table(
    dataset_id: str, config: str | None, split: str, limits: Limits, *, filesystem: AbstractFileSystem | None = None
) -> tuple[Table, str]:
    """Returns the rows of one split and the name that messages use.

    Args:
        dataset_id: "owner/name", or its address on the hub.
        config: The configuration; may be None where there is only one, or one called "default".
        split: A split, or a part of it such as "train[:2000]" or "train[500:1000]".
        limits: What one import may bring.
        filesystem: Where to look instead of the hub.

    Raises:
        ImportRefused: If a name is not one, the hub does not answer in time, or the rows exceed a limit.
    """
    name = dataset_id.strip().removeprefix(_ADDRESS).rstrip("/")
    match = _SPLIT.fullmatch(split.strip())
    if not _ID.fullmatch(name):
        raise ImportRefused(
            f"hub data set: {shown(dataset_id)} is not an id. Give it as owner/name, for example "
            "trl-lib/ultrafeedback_binarized."
        )
    if config and not _NAME.fullmatch(config):
        raise ImportRefused(
            f"{name}: {shown(config)} cannot be the name of a configuration. Copy it from the data set's page."
        )
    if match is None:
        raise ImportRefused(
            f"{name}: {shown(split)} is not a split. Give its name, for example train, or a part of "
            "it, "
            "for example train[:2000]."
        )
    source = filesystem or HfFileSystem(token=False, skip_instance_cache=True)
    shards = _within(_FIND_SECONDS, name, lambda: _find_shards(source, name, config or None, match[1]))
    label = f"{name} {split.strip()}"
    part = (int(match[2] or 0), int(match[3]) if match[3] else None)
    files = [source.unstrip_protocol(shard) for shard in shards]
    order = {"files": files, "part": part, "is_partial": any(f"/{_PARTIAL}{match[1]}/" in file for file in files)}
    return _stream(order, label, limits), label


def _stream(order: dict[str, Any], label: str, limits: Limits) -> Table:
    """Lets a process fetch the rows; it finds no token, and no cache of the person who runs the server."""
    with temporary_folder() as home:
        hidden = {name: value for name, value in os.environ.items() if name not in _TOKENS}
        environment = hidden | {
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        }
        try:
            return read_in_child(_WORKER, order, label, limits, seconds=_READ_SECONDS, environment=environment)
        except ChildFailed as error:
            reason = str(error)[:60] or "no reason was given"
            raise ImportRefused(
                f"{label}: the hub broke off the download, or one of its files is damaged ({reason}). "
                "Try again, or download the data set and upload it as a file."
            ) from error


def _within(seconds: float, name: str, work: Callable[[], Any]) -> Any:
    """Does the work in a thread that is left behind when it takes too long: a look-up in DNS cannot be interrupted.

    Raises:
        ImportRefused: If it takes longer, or fails.
    """
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # handed to the waiting thread, which says it in words
            failure.append(error)

    thread = threading.Thread(target=run, name="hub", daemon=True)
    thread.start()
    thread.join(seconds)
    if outcome:
        return outcome[0]
    if not failure:
        raise ImportRefused(
            f"{name}: the hub did not answer within {seconds:.0f} seconds. Try again later, or "
            "download the "
            "data set and upload it as a file."
        )
    raise _explain(name, failure[0]) from failure[0]


def _explain(name: str, error: BaseException) -> LabError:
    if isinstance(error, LabError):
        return error
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, _NotThere):
        return ImportRefused(clipped(f"{name}: {error}"))
    if isinstance(error, FileNotFoundError) or (isinstance(error, HfHubHTTPError) and status in (401, 403, 404)):
        return ImportRefused(
            f"{name}: the hub has no public data set of this id with a Parquet copy. Check the id; "
            "a private "
            "or gated one must be downloaded and uploaded as a file."
        )
    if isinstance(error, OfflineModeIsEnabled):
        return ImportRefused(
            f"{name}: this machine is set to work offline (HF_HUB_OFFLINE), so the hub is not "
            "asked. Upload "
            "the data set as a file."
        )
    return ImportRefused(
        f"{name}: the hub cannot be reached ({type(error).__name__}). Check the network, or "
        "download the data "
        "set elsewhere and upload it as a file."
    )


def _find_shards(source: AbstractFileSystem, name: str, config: str | None, split: str) -> list[str]:
    root = f"datasets/{name}@refs/convert/parquet"
    configs = _folders(source, root)
    if config is None:
        config = configs[0] if len(configs) == 1 else "default"
    if config not in configs:
        raise _NotThere(f"choose a configuration. It has {_some(configs)}.")
    splits = _folders(source, f"{root}/{config}")
    folder = next((found for found in (split, f"{_PARTIAL}{split}") if found in splits), None)
    if folder is None:
        raise _NotThere(f"configuration {config!r} has no split {split!r}. It has {_some(splits)}.")
    entries = source.ls(f"{root}/{config}/{folder}", detail=True)
    shards = sorted(e["name"] for e in entries if e["type"] == "file" and e["name"].endswith(".parquet"))
    if not shards:
        raise _NotThere(f"split {split!r} has no rows in the hub's Parquet copy.")
    return shards[:_MAX_SHARDS]


def _folders(source: AbstractFileSystem, path: str) -> list[str]:
    folders = [entry["name"] for entry in source.ls(path, detail=True) if entry["type"] == "directory"]
    return sorted(folder.rstrip("/").rsplit("/", 1)[-1] for folder in folders)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (", ".join(shown(name, 30) for name in names[:8]) or "none") + more
