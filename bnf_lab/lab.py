"""`Lab`: the injected owner of the data folder, the store, the models, the queue and the chat engine.

Pages and the shell talk to this object alone. It knows no gradio and imports no torch until something needs a model.
An owner is the hash of a browser's secret token, so nothing on the disk can be used to act as somebody else.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bnf_lab.chat_records import ChatRequest, ChatUpdate
from bnf_lab.config import RunConfig
from bnf_lab.demos import find_demo_set, list_demo_sets
from bnf_lab.desk import RunDesk
from bnf_lab.errors import ImportRefused, LabError, NotFound
from bnf_lab.exports import export_adapter, export_merged
from bnf_lab.home import SPACE_STORAGE, models_dir
from bnf_lab.importers import ColumnMapping, ImportReport, import_file, import_hub, write_trl_rows
from bnf_lab.lab_records import AdapterChoice, DemoSet, DeviceInfo, ModelChoice, ModelStatus, Preflight, RunSummary
from bnf_lab.late_imports import import_room
from bnf_lab.machine import read_device
from bnf_lab.preferences import Judgement, Message, Source, Verdict, build_pair
from bnf_lab.records import RunStatus
from bnf_lab.runs import RunFolder
from bnf_lab.shelf import ModelShelf, worker_environment
from bnf_lab.store import Store

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class Lab:
    """Everything behind the pages; see the methods.

    Args:
        data_dir: The data folder; made if missing, readable by this user only.
        environment: For helper processes; this process's own by default.
    """

    def __init__(self, data_dir: Path, *, environment: Mapping[str, str] | None = None) -> None:
        self.home = data_dir.expanduser().resolve()
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._scratch = self.home / "tmp"
        self._scratch.mkdir(exist_ok=True, mode=0o700)
        on_space_storage = self.home.is_relative_to(SPACE_STORAGE)
        self.store = Store(self.home / "lab.sqlite", journal="delete" if on_space_storage else "wal")
        helpers = worker_environment(self.home, environment if environment is not None else os.environ)
        self.shelf = ModelShelf(models_dir(self.home), helpers)
        self.desk = RunDesk(self.home, self.store, self.shelf, helpers)
        self.desk.queue.start()
        self._engine: Any = None
        self._engine_lock = threading.Lock()

    def close(self) -> None:
        """Ends helper threads and a fetch under way; training workers go on."""
        self.desk.queue.close()
        self.shelf.close()
        self.store.close()

    # -- workspaces

    def new_workspace(self) -> str:
        """Returns a fresh secret token of 43 characters for a browser to keep."""
        return secrets.token_urlsafe(32)

    def owner_of(self, token: str) -> str:
        """Returns the owner that a browser's token stands for.

        Raises:
            NotFound: If it is no token this lab could have given.
        """
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise NotFound("This browser has no workspace here yet. Reload the page to get one.")
        return hashlib.sha256(token.encode()).hexdigest()[:32]

    # -- models and the machine

    def model_status(self) -> ModelStatus:
        return self.shelf.status()

    def start_fetch(self) -> None:
        self.shelf.start_fetch()

    def device(self) -> DeviceInfo:
        return read_device()

    def models(self, owner: str) -> list[ModelChoice]:
        return self.shelf.choices()

    # -- judgements

    def check_file(
        self, path: Path, name: str, *, mapping: ColumnMapping | None = None, threshold: float | None = None,
        max_tokens: int = 512,
    ) -> ImportReport:
        """Reads a file and reports on it without storing anything; see `importers.import_file`."""
        return import_file(
            path, name=name, mapping=mapping, threshold=threshold, count_tokens=self._count_tokens,
            max_tokens=max_tokens,
        )  # fmt: skip

    def check_hub(
        self, dataset_id: str, *, config: str | None, split: str, mapping: ColumnMapping | None = None,
        threshold: float | None = None,
    ) -> ImportReport:
        """Reads a hub data set and reports on it without storing anything."""
        return import_hub(
            dataset_id, config=config, split=split, mapping=mapping, threshold=threshold,
            count_tokens=self._count_tokens,
        )  # fmt: skip

    @property
    def _count_tokens(self) -> Any:
        if self.shelf.status().state != "ready":
            return None
        model = self.shelf.locate("embedded")
        return lambda judgements: self.desk.counter().count_tokens(model, judgements)

    def import_file(
        self, owner: str, path: Path, name: str, *, mapping: ColumnMapping | None = None,
        threshold: float | None = None, collection: str | None = None,
    ) -> ImportReport:
        """Reads a file, stores what is good in it and returns the report."""
        return self.keep(owner, self.check_file(path, name, mapping=mapping, threshold=threshold), collection)

    def import_hub(
        self, owner: str, dataset_id: str, *, config: str | None, split: str, mapping: ColumnMapping | None = None,
        threshold: float | None = None,
    ) -> ImportReport:
        """Reads a hub data set, stores what is good in it and returns the report."""
        report = self.check_hub(dataset_id, config=config, split=split, mapping=mapping, threshold=threshold)
        return self.keep(owner, report, None)

    def keep(self, owner: str, report: ImportReport, collection: str | None) -> ImportReport:
        """Stores the judgements of a report under the file's name, or another one."""
        if report.judgements:
            self.store.add_judgements(owner, collection or report.file, report.judgements)
        return report

    def demo_sets(self) -> list[DemoSet]:
        return list_demo_sets()

    def import_demo(self, owner: str, name: str) -> ImportReport:
        """Adds a demo set to the workspace.

        Raises:
            NotFound: If there is no such set.
            ImportRefused: If it is there already.
        """
        path = find_demo_set(name)
        if self.store.count_matching(owner, collections=[name]):
            raise ImportRefused(f"{name} is in your workspace already. Delete it under Judgements to load it afresh.")
        return self.keep(owner, import_file(path, name=name, source=Source.DEMO), name)

    def judge(
        self, owner: str, prompt: tuple[Message, ...], response: str, verdict: Verdict, *, source: Source,
        collection: str, pair_id: str | None = None,
    ) -> Judgement:
        """Stores one judged response at once."""
        judgement = Judgement(prompt, response, verdict, pair_id=pair_id, source=source)
        self.store.add_judgements(owner, collection, [judgement])
        return judgement

    def judge_edit(
        self, owner: str, prompt: tuple[Message, ...], original: str, edited: str, *, source: Source, collection: str
    ) -> tuple[Judgement, Judgement]:
        """Stores a corrected answer as preferred and its original as dispreferred, as a pair.

        Raises:
            LabError: If the correction changes nothing.
        """
        if original.strip() == edited.strip():
            raise LabError("The edited answer equals the original. Change it, or mark the answer as it is.")
        pair = build_pair(prompt, edited, original, source=source)
        self.store.add_judgements(owner, collection, pair)
        return pair

    def export_judgements(self, owner: str, kind: str) -> Path:
        """Writes all judgements as JSONL in a TRL schema, "pairs" or "unpaired", into a private folder.

        Raises:
            LabError: If there is nothing of this kind to export.
        """
        judgements = [entry.judgement for entry in reversed(self.store.list_judgements(owner))]
        lines = list(write_trl_rows(judgements, kind))
        if not lines:
            raise LabError(f"There are no {kind} to export. Mark or upload some, or choose the other schema.")
        path = self._scratch_folder() / f"judgements-{kind}.jsonl"
        path.write_text("".join(line.rstrip("\n") + "\n" for line in lines), encoding="utf-8")
        return path

    def _scratch_folder(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="export-", dir=self._scratch))

    # -- runs

    def preflight(self, owner: str, config: RunConfig, collections: Sequence[str] | None) -> Preflight:
        return self.desk.preflight(owner, config, collections)

    def measure_step(self, owner: str, config: RunConfig, collections: Sequence[str] | None) -> float:
        return self.desk.measure(owner, config, collections)

    def start_run(
        self, owner: str, config: RunConfig, collections: Sequence[str] | None, name: str = ""
    ) -> str:
        return self.desk.start(owner, config, collections, name)

    def stop_run(self, owner: str, run_id: str) -> None:
        self.desk.folder(owner, run_id)
        self.desk.queue.stop(run_id)

    def resume_run(self, owner: str, run_id: str) -> None:
        self.desk.folder(owner, run_id)
        self.desk.queue.resume(run_id)

    def delete_run(self, owner: str, run_id: str) -> None:
        self.desk.delete(owner, run_id)

    def list_runs(self, owner: str) -> list[RunSummary]:
        return self.desk.list(owner)

    def run_folder(self, owner: str, run_id: str) -> RunFolder:
        return self.desk.folder(owner, run_id)

    def queue_position(self, owner: str, run_id: str) -> int | None:
        self.desk.folder(owner, run_id)
        return self.desk.queue.position(run_id)

    def active_run(self) -> RunStatus | None:
        """Returns the status of the run that is training, whoever's it is; it names nobody."""
        run_id = self.desk.queue.live_run()
        return RunFolder(self.desk.queue.path_of(run_id)).read_status() if run_id else None

    def new_judgements(self, owner: str) -> int:
        """Returns how many judgements were made since the owner's last run began, or ever if there was none."""
        rows = self.store.list_runs(owner)
        return self.store.new_judgements_since(owner, max((row.created_at for row in rows), default=""))

    def adapters(self, owner: str) -> list[AdapterChoice]:
        return self.desk.adapters(owner)

    def export_adapter(self, owner: str, run_id: str, checkpoint: str | None = None) -> Path:
        """Packs an adapter (PEFT layout and model card) as a zip; the final one, else the newest, by default."""
        chosen = checkpoint or self._newest_checkpoint(owner, run_id)
        path = self.desk.adapter_path(owner, run_id, chosen)
        return export_adapter(self.run_folder(owner, run_id), path, self._scratch_folder())

    def export_merged(self, owner: str, run_id: str, checkpoint: str | None = None) -> Path:
        """Packs base and adapter merged into plain safetensors, after checking their log-probabilities."""
        chosen = checkpoint or self._newest_checkpoint(owner, run_id)
        path = self.desk.adapter_path(owner, run_id, chosen)
        model = self.shelf.locate(self.run_folder(owner, run_id).read_config().model)
        return export_merged(self.run_folder(owner, run_id), model, path, self._scratch_folder())

    def _newest_checkpoint(self, owner: str, run_id: str) -> str:
        self.desk.folder(owner, run_id)
        choice = next((a for a in self.adapters(owner) if a.run_id == run_id), None)
        if choice is None:
            raise NotFound(f"Run {run_id} has no adapter yet. It gets one with its first checkpoint.")
        return choice.checkpoint

    # -- writing

    def write_candidates(
        self, owner: str, prompt: tuple[Message, ...], *, n: int, temperature: float, max_new_tokens: int, model: str,
        seed: int | None = None,
    ) -> Iterator[tuple[str, ...]]:
        """Streams `n` answers of a base model to one prompt; without a seed each call writes others."""
        chosen = secrets.randbits(31) if seed is None else seed
        yield from self._chat_engine().write_candidates(
            model, prompt, n, temperature=temperature, max_new_tokens=max_new_tokens, seed=chosen
        )

    def chat(
        self, owner: str, request: ChatRequest, *, stop: threading.Event | None = None
    ) -> Iterator[ChatUpdate]:
        """Streams one turn of both panes; `stop` ends it with scores, closing the iterator without."""
        adapter = None
        if request.run_id is not None:
            adapter = self.desk.adapter_path(owner, request.run_id, request.checkpoint)
        yield from self._chat_engine().reply(request, adapter, stop=stop)

    def pane_labels(self, owner: str, model: str, run_id: str | None, checkpoint: str) -> tuple[str, str]:
        return self.desk.pane_labels(owner, model, run_id, checkpoint)

    def _chat_engine(self) -> Any:
        """Returns the chat engine, importing torch and peft on first use."""
        with self._engine_lock:
            if self._engine is None:
                models, chat = import_room("models"), import_room("chat")
                self._engine = chat.ChatEngine(lambda model: models.load_model(self.shelf.locate(model)))
        return self._engine
