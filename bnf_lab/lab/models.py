"""The models a lab has on its disk, and fetching the missing ones in a helper process. No torch at load.

The helper is `python -m bnf_lab fetch-model NAME --json`, which prints one JSON line for each sign of progress.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnf_lab.core.child_processes import start_module
from bnf_lab.core.config import EMBEDDED_DOWNLOAD, EMBEDDED_MODEL
from bnf_lab.core.errors import ModelUnavailable, shown
from bnf_lab.core.late_imports import Late
from bnf_lab.core.machine import SHARED_CORES
from bnf_lab.core.paths import without_places
from bnf_lab.data.report import CountTokens
from bnf_lab.models.fetch import EMBEDDED_NAME, can_be_fetched, is_fetched, model_folder

if TYPE_CHECKING:
    from bnf_lab.models.encoding_cache import EncodingCache


@dataclass(frozen=True)
class ModelStatus:
    """Whether the embedded model can be used: "missing", "fetching", "ready" or "failed", with words and a share."""

    state: str
    detail: str
    fraction: float | None = None


@dataclass(frozen=True)
class ModelChoice:
    """A base model that can be chosen: its id for `RunConfig.model` and its name for people."""

    id: str
    label: str
    is_fetched: bool = True


logger = logging.getLogger(__name__)


class Models:
    """Knows which models are here and fetches the embedded one when asked.

    `encodings` keeps the token ids that estimates read, for all of them.

    Args:
        models_dir: Where models are kept.
        environment: For helper processes; `BNF_LAB_HOME` in it names the data folder.
    """

    def __init__(self, models_dir: Path, environment: Mapping[str, str]) -> None:
        self._models_dir = models_dir
        self._environment = dict(environment)
        self._lock = threading.Lock()
        self._status: ModelStatus | None = None
        self._process: subprocess.Popen[str] | None = None
        self.encodings = Late(_make_encodings)

    def status(self) -> ModelStatus:
        """Returns whether the embedded model is here, on its way or missing."""
        with self._lock:
            if self._status is not None and self._status.state in ("fetching", "failed"):
                return self._status
        if is_fetched(EMBEDDED_MODEL, self._models_dir):
            return ModelStatus("ready", EMBEDDED_NAME, 1.0)
        return ModelStatus("missing", f"{EMBEDDED_NAME} is fetched once, {EMBEDDED_DOWNLOAD}.")

    def start_fetch(self) -> None:
        """Begins to fetch the embedded model; does nothing if that is under way or done."""
        with self._lock:
            under_way = self._status is not None and self._status.state == "fetching"
            if under_way or is_fetched(EMBEDDED_MODEL, self._models_dir):
                return
            self._status = ModelStatus("fetching", "starting", 0.0)
            self._process = start_module(
                "bnf_lab",
                "fetch-model",
                "--json",
                environment=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
            )
            threading.Thread(target=self._follow, args=(self._process,), name="model-fetch", daemon=True).start()

    def _follow(self, process: subprocess.Popen[str]) -> None:
        failure = "The model could not be fetched; the server's log has the details. Try again."
        for line in process.stdout or ():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # a library's own print
            if "error" in record:
                failure = without_places(record["error"])
            elif "detail" in record:
                with self._lock:
                    self._status = ModelStatus("fetching", record["detail"], record.get("fraction"))
        code = process.wait()
        if code != 0:
            logger.warning("fetching the model ended with code %s: %s", code, failure)
        with self._lock:
            self._status = None if code == 0 else ModelStatus("failed", failure)

    def close(self) -> None:
        """Ends a fetch that is under way; nothing half-written is kept."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            process.wait(timeout=10)

    def choices(self) -> list[ModelChoice]:
        """Returns the embedded model and every model folder beside it."""
        found = [ModelChoice(EMBEDDED_MODEL, EMBEDDED_NAME, is_fetched(EMBEDDED_MODEL, self._models_dir))]
        folders = sorted(p.parent.name for p in self._models_dir.glob("*/config.json"))
        for name in folders:
            if name != EMBEDDED_NAME and not name.startswith("tmp-"):
                model_id = name.replace("--", "/", 1)
                found.append(ModelChoice(model_id, model_id))
        return found

    def find(self, model: str) -> Path | None:
        """Returns the folder of a model, None where it is not here but can be fetched.

        Raises:
            ModelUnavailable: If there is no such model here and none can be fetched by this name; or if the text is a
                path, which pages may not choose.
        """
        if Path(model).is_absolute():
            raise ModelUnavailable(
                "A folder cannot be chosen by its path here. Put it into the lab's models folder and choose it by name,"
                " give a hub id such as owner/name, or use the command line."
            )
        folder = model_folder(model, self._models_dir)
        if is_fetched(model, self._models_dir):
            return folder
        refuse_unobtainable(model, self._environment)
        return None

    def missing(self, model: str) -> ModelStatus | None:
        """Returns how it stands with a model that a run would fetch first; None if it is here or cannot be had."""
        try:
            if self.find(model) is not None:
                return None
        except ModelUnavailable:
            return None
        return self.status() if model == EMBEDDED_MODEL else ModelStatus("missing", model)

    def locate(self, model: str) -> Path:
        """Returns the folder of a model that is here.

        Raises:
            ModelUnavailable: If it is not, with the remedy; see `find`.
        """
        folder = self.find(model)
        if folder is None:
            remedy = "Fetch it first (header of the page)" if model == EMBEDDED_MODEL else "Train with it once"
            raise ModelUnavailable(f"Model {model!r} is not on this machine yet. {remedy}, or choose another model.")
        return folder

    def token_counter(self) -> CountTokens | None:
        """Returns what counts the embedded model's tokens of judgements; None while it is not here."""
        if self.status().state != "ready":
            return None
        folder = self.locate(EMBEDDED_MODEL)
        return lambda judgements: self.encodings().count_tokens(folder, judgements)


def refuse_unobtainable(model: str, environment: Mapping[str, str]) -> None:
    """Refuses a model that is not here if nothing can fetch it.

    Args:
        model: Its name, as settings hold it.
        environment: Of the processes that would fetch it; see `worker_environment`.

    Raises:
        ModelUnavailable: If the name is that of no model here and no hub id, or the hub must not be asked.
    """
    if not can_be_fetched(model):
        raise ModelUnavailable(
            f"There is no model {shown(model)} in the lab's models folder. Choose one that is there, or give a hub id"
            " such as owner/name."
        )
    if model != EMBEDDED_MODEL and environment.get("BNF_LAB_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        raise ModelUnavailable(
            f"Model {shown(model)} is not on this machine and cannot be fetched: HF_HUB_OFFLINE forbids to ask the hub."
            " Start the lab without it, put the model's files into a folder of the lab's models folder and choose that"
            " by its name, or choose another model."
        )


def _make_encodings() -> EncodingCache:
    from bnf_lab.models.encoding_cache import EncodingCache  # noqa: PLC0415 - imports torch

    return EncodingCache()


def worker_environment(home: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the environment of the lab's helper processes: this data folder, and whether hubs may be asked at all."""
    base = dict(os.environ if environment is None else environment)
    # where this process itself was told to ask no hub, the first variable keeps what the person had asked for
    hub_offline = base.get("BNF_LAB_HUB_OFFLINE", base.get("HF_HUB_OFFLINE", "0"))
    ours = {"BNF_LAB_HOME": str(home), "BNF_LAB_HUB_OFFLINE": hub_offline, "HF_HUB_DISABLE_TELEMETRY": "1"}
    return SHARED_CORES | base | ours
