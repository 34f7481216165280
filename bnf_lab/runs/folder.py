"""The run folder: the interface between the worker, the pages, the shell and other machines, all of which read it.

Who writes what (a record's name is its class in `runs.records`):

    config.json            version and RunConfig                 who makes the run, before any model is loaded; once
    dataset.jsonl          the frozen judgements, one a line     the same, just before
    status.json            RunStatus                             the worker while its process lives, else the launcher
    process.json           WorkerProcess                         launcher and worker; gone once its end has been seen
    stop                   nothing: it asks the worker to stop   the launcher; gone with process.json
    changes.jsonl          what label_noise and the like         the worker, once
                           changed in the training part
    reference.safetensors  log q of the responses, by token      the worker, once; a resume reads it
    metrics.jsonl          MetricPoint, one a line               the worker, appended
    tokens.jsonl           TokenHeader, then TokenSnapshots      the worker, appended
    answers.jsonl          AnswerPoint, one a line               the worker, appended
    checkpoint-N/          LoRA weights, optimiser, generators   the worker; whole if its MANIFEST.json verifies
    adapter/               the finished adapter as PEFT has it   the worker; whole if its MANIFEST.json verifies
    best.json              nothing: earlier labs kept it         nobody; `runs.verdict` tells the best checkpoint
    tmp-*/                 a checkpoint being written            the worker; the next one removes what a crash left
    worker.log             what the worker printed               the worker
    .process.lock          nothing: it is held while status.json or process.json change hands

A line of metrics.jsonl as a run wrote it, in two here (absent fields were not measured at that point)::

    {"step": 2, "seconds": 0.586, "source": "train", "loss": 0.0868757963180542, "grad_norm": 17.844192504882812,
     "learning_rate": 0.0005, "train_preferred_logp": -7.14483118057251,
     "train_dispreferred_logp": -7.066140651702881, "train_preferred_gate": 0.9982120096683502,
     "train_dispreferred_gate": 0.9108386039733887}

JSON files are replaced whole. Of a JSONL file a reader passes over an unfinished last line, and of two lines with the
same source and step the later one counts. Fields and files that a reader does not know it passes over. What is damaged
is refused with file and line (`RunRefused`), or where the rest is worth showing left out and said (`runs.indexes`).
config.json says the folder's version (`VERSION`; without one it is 1). This room must not know models, pages or the
database.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.files import append_line, locked, remove, write_atomically
from bnf_lab.core.judgements import Judgement
from bnf_lab.core.saved_settings import SavedSettings, read_saved_settings
from bnf_lab.runs import indexes
from bnf_lab.runs.indexes import ANSWERS, METRICS, TOKENS, AnswerIndex, MetricIndex, TokenIndex
from bnf_lab.runs.processes import identify_process, process_alive, started_this
from bnf_lab.runs.record_files import (
    Damaged,
    Place,
    build_record,
    parse_record,
    reaches,
    read_object,
    read_on,
)
from bnf_lab.runs.records import (
    AnswerPoint,
    MetricPoint,
    RunState,
    RunStatus,
    TokenHeader,
    TokenSnapshot,
    WorkerProcess,
)

VERSION = 1
"""Of the run folder's form. Raise it when an earlier lab would misread a folder; a new field or file needs no raise."""


@dataclass(frozen=True)
class SavedConfig:
    """What is in `config.json`.

    Attributes:
        settings: What this lab makes of the settings.
        version: Of the run folder.
    """

    settings: SavedSettings
    version: int

    @property
    def config(self) -> RunConfig:
        """The settings as far as this lab has them."""
        return self.settings.config

    @property
    def is_newer(self) -> bool:
        """Whether a later lab made the folder and may mean something by it that is unknown here: only look at it."""
        return self.version > VERSION

    @property
    def obstacle(self) -> str | None:
        """Why this lab can look at the run but not train it on, for the person; None if it can."""
        if self.is_newer:
            return (
                f"This run was made by a newer lab (run folder version {self.version}; this lab knows {VERSION}). It"
                " can be looked at here; to stop or resume it, update the lab."
            )
        if self.settings.problems:
            return (
                "This run was made with settings that this lab reads differently, so it can be looked at but not"
                f" resumed: {' '.join(self.settings.problems)} Start a new run with today's settings."
            )
        return None


@dataclass(frozen=True)
class RunFolder:
    """Paths, readers and writers of one run folder."""

    path: Path
    run_id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "run_id", self.path.name)

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def log(self) -> Path:
        return self.path / "worker.log"

    @classmethod
    def create(cls, path: Path, config: RunConfig, judgements: Iterable[Judgement], *, owner: str = "") -> RunFolder:
        """Makes the folder with its config, data and a `queued` status.

        Raises:
            RunRefused: If the folder already holds a run.
        """
        folder = cls(path)
        if (path / "config.json").exists():
            raise RunRefused(f"{path.name} already holds a run. Choose another folder, resume the run or delete it.")
        path.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(j.to_dict(), ensure_ascii=False) for j in judgements)
        write_atomically(path / "dataset.jsonl", "".join(line + "\n" for line in lines))
        write_atomically(path / "config.json", json.dumps({"version": VERSION} | config.to_dict(), indent=2))
        created = time.time()
        folder.write_status(
            RunStatus(RunState.QUEUED, created_at=created, queued_at=created, total_steps=config.n_steps, owner=owner)
        )
        return folder

    def read_saved(self) -> SavedConfig:
        """Returns what `config.json` says and what this lab makes of it."""
        values = self._read_object("config.json")
        version = values.pop("version", 1)
        if type(version) is not int:
            raise self._unreadable("config.json", "its version is no whole number")
        return SavedConfig(read_saved_settings(values), version)

    def read_config(self) -> RunConfig:
        """Returns the settings as far as this lab has them: to look at the run, chat with it, score it."""
        return self.read_saved().config

    def read_training_config(self) -> RunConfig:
        """Returns the settings to train by.

        Raises:
            RunRefused: If this lab would train by others than the run was made with.
        """
        saved = self.read_saved()
        if saved.obstacle:
            raise RunRefused(saved.obstacle)
        return saved.config

    @property
    def is_newer(self) -> bool:
        """Whether a newer lab made the folder, so that this one must not write into it."""
        try:
            return self.read_saved().is_newer
        except RunRefused:  # damaged; a worker that is started on it says so in the status
            return False

    def refuse_newer(self) -> None:
        """Raises `RunRefused` where a newer lab made the folder; call it before anything is written."""
        if self.is_newer:
            raise RunRefused(str(self.read_saved().obstacle))

    def read_judgements(self) -> list[Judgement]:
        """Returns what the run trains on.

        Raises:
            RunRefused: If any of it cannot be read: a run must not train on less than it was given.
        """
        path = self.path / "dataset.jsonl"
        found, place = read_on(path, Place(), lambda line: parse_record(line, Judgement))
        self._refuse(place, path.name)
        try:
            n_bytes = path.stat().st_size
        except FileNotFoundError as error:
            raise self._unreadable(path.name, "it is missing") from error
        if n_bytes > place.end:
            raise self._unreadable(f"{path.name} line {place.n_lines + 1}", "it breaks off")
        return [judgement for _, judgement in found]

    def read_status(self) -> RunStatus:
        """Returns the run's status; a live run that has been asked to stop is `stopping`, whatever it last wrote.

        Raises:
            RunRefused: If there is no status or it cannot be understood.
        """
        values = self._read_object("status.json")
        try:
            status = build_record(values, RunStatus)
        except Damaged as error:
            raise self._unreadable("status.json", str(error)) from error
        if status.state.is_live and self.is_stop_requested:
            return dataclasses.replace(status, state=RunState.STOPPING)
        return status

    def write_status(self, status: RunStatus) -> None:
        text = json.dumps(dataclasses.asdict(status), ensure_ascii=False)
        # half a character, as in the name of a file from elsewhere, would make the status unreadable
        write_atomically(self.path / "status.json", text.encode(errors="replace"))

    def read_process(self) -> WorkerProcess | None:
        """Returns the process that last owned the run; None if none did, its end is settled or the disk lost it."""
        try:
            return build_record(read_object(self.path / "process.json"), WorkerProcess)
        except (FileNotFoundError, Damaged):
            # never torn (see `write_atomically`); a damaged one must not keep the run from being deleted
            return None

    def write_process(self, process: WorkerProcess) -> None:
        write_atomically(self.path / "process.json", json.dumps(dataclasses.asdict(process)))

    def clear_process(self) -> None:
        """Forgets the process and any request to stop it."""
        remove(self.path / "stop")
        remove(self.path / "process.json")

    @property
    def is_stop_requested(self) -> bool:
        return (self.path / "stop").exists()

    def request_stop(self) -> None:
        """Leaves the request to stop where a worker that has not begun to listen for signals still finds it."""
        (self.path / "stop").touch()

    def claiming(self) -> AbstractContextManager[None]:
        """Holds the lock under which the run's process changes."""
        return locked(self.path / ".process.lock")

    def read_metrics(self) -> list[MetricPoint]:
        """Returns the points in order of step, a replayed step once (its last value).

        Raises:
            RunRefused: If a line is damaged; so do `read_answers` and `read_tokens`.
        """
        index = self.index_metrics(MetricIndex())
        self._refuse(index.place, METRICS)
        return index.ordered

    def index_metrics(self, known: MetricIndex) -> MetricIndex:
        """Returns `known` with what the file holds beyond it; so does `index_tokens`."""
        return indexes.index_metrics(self.path / METRICS, known)

    def read_new_metrics(self, place: Place) -> tuple[list[MetricPoint], Place]:
        """Returns the points of the complete lines beyond a place, in the order of the file; and the new place."""
        return indexes.read_new_metrics(self.path / METRICS, place)

    def has_metrics_up_to(self, place: Place) -> bool:
        """Returns whether the file still reaches where it was read to; if not, it is another file."""
        return reaches(self.path / METRICS, place)

    def append_metric(self, point: MetricPoint) -> None:
        values = {k: v for k, v in dataclasses.asdict(point).items() if v is not None}
        append_line(self.path / METRICS, values)

    def read_answers(self) -> list[AnswerPoint]:
        index = self.index_answers()
        self._refuse(index.place, ANSWERS)
        return list(index.answers)

    def index_answers(self) -> AnswerIndex:
        return indexes.index_answers(self.path / ANSWERS)

    def append_answer(self, point: AnswerPoint) -> None:
        append_line(self.path / ANSWERS, dataclasses.asdict(point))

    def read_tokens(self) -> tuple[TokenHeader | None, list[TokenSnapshot]]:
        index = self.index_tokens(TokenIndex())
        self._refuse(index.place, TOKENS)
        return index.header, [self.read_snapshot(index, step) for step in index.steps]

    def index_tokens(self, known: TokenIndex) -> TokenIndex:
        return indexes.index_tokens(self.path / TOKENS, known)

    def read_snapshot(self, index: TokenIndex, step: int) -> TokenSnapshot:
        """Returns the snapshot of one step that `index` lists.

        Raises:
            RunRefused: If the file has changed since it was indexed.
        """
        snapshot = indexes.read_snapshot(self.path / TOKENS, index, step)
        if snapshot is None:
            raise self._refused(f"{TOKENS} has changed.")
        return snapshot

    def append_tokens(self, record: TokenHeader | TokenSnapshot) -> None:
        append_line(self.path / TOKENS, dataclasses.asdict(record))

    def _read_object(self, name: str) -> dict[str, Any]:
        try:
            return read_object(self.path / name)
        except FileNotFoundError as error:
            raise self._unreadable(name, "it is missing") from error
        except Damaged as error:
            raise self._unreadable(name, str(error)) from error

    def _unreadable(self, name: str, why: str) -> RunRefused:
        return self._refused(f"{name} cannot be read ({why}).")

    def _refuse(self, place: Place, name: str) -> None:
        """Raises `RunRefused` where something of a file could not be read."""
        if damage := place.describe(name, is_left_out=False):
            raise self._refused(damage)

    def _refused(self, what: str) -> RunRefused:
        remedy = "The run folder is damaged: put the file back from a copy, or delete the run."
        return RunRefused(f"Run {self.run_id}: {what} {remedy}")


def claim_run(folder: RunFolder) -> None:
    """Makes the calling process the run's worker; the first thing a worker does.

    Raises:
        RunRefused: If another process that still runs owns the run, or it is a newer lab's.
    """
    folder.refuse_newer()
    with folder.claiming():
        owner, own = folder.read_process(), identify_process(os.getpid())
        # the queue records the process that it started, which may be a launcher (accelerate, Windows' python of a venv)
        is_own = owner is not None and started_this(owner)
        if own is None:
            raise RunRefused(f"Run {folder.run_id}: psutil cannot read this process's start time. Reinstall psutil.")
        if owner is not None and not is_own and process_alive(owner):
            raise RunRefused(
                f"Run {folder.run_id} is already being trained by process {owner.pid}. Wait for it to end or stop it; "
                "a run has one worker."
            )
        if not is_own:
            folder.clear_process()
        folder.write_process(own)
