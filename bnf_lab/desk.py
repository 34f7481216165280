"""A person's runs: checking, starting, listing and deleting them, and finding their adapters. No torch at load.

Every method takes the owner and refuses what belongs to somebody else. This room must not know pages.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bnf_lab.checkpoints import checkpoint_hash, has_all_files, list_checkpoints
from bnf_lab.config import EMBEDDED_MODEL, RunConfig
from bnf_lab.errors import LabError, ModelUnavailable, NotFound, RunRefused, shown
from bnf_lab.fetch import EMBEDDED_NAME
from bnf_lab.home import runs_dir
from bnf_lab.jobs import JobQueue
from bnf_lab.lab_records import AdapterChoice, Preflight, RunSummary
from bnf_lab.late_imports import import_room
from bnf_lab.machine import read_device
from bnf_lab.preferences import Judgement, now
from bnf_lab.records import RunState, RunStatus
from bnf_lab.runs import RunFolder
from bnf_lab.shelf import REPOSITORY, ModelShelf
from bnf_lab.store import RunRow, Store

MEASURE_SECONDS = 300
FINAL, BEST = "final", "best"


class RunDesk:
    """Runs of all owners in one data folder.

    Args:
        home: The data folder.
        store: Who owns what.
        shelf: The models at hand.
        environment: For worker processes.
    """

    def __init__(self, home: Path, store: Store, shelf: ModelShelf, environment: Mapping[str, str]) -> None:
        self._home, self._store, self._shelf = home, store, shelf
        self._environment = dict(environment) | {"HF_HUB_OFFLINE": "1"}
        self.queue = JobQueue(runs_dir(home), environment=self._environment)
        self._counter: Any = None
        self._counting = threading.Lock()
        self._hashes: dict[tuple[Path, int], str] = {}

    def preflight(self, owner: str, config: RunConfig, collections: Sequence[str] | None) -> Preflight:
        """Counts what a run would be and names what is wrong with it; see `Preflight`."""
        judgements = self._judgements(owner, collections)
        try:
            model = self._shelf.find(config.model)
        except ModelUnavailable as error:
            return Preflight(n_responses=len(judgements), problems=(str(error),))
        counter = self.counter()
        with self._counting:
            return counter.check(judgements, config, read_device(), model)

    def counter(self) -> Any:
        """Returns the token counter, importing the tokenizer's libraries on first use."""
        with self._counting:
            if self._counter is None:
                self._counter = import_room("preflight").Counter(self._home)
        return self._counter

    def measure(self, owner: str, config: RunConfig, collections: Sequence[str] | None) -> float:
        """Times a training step in a process of its own; returns seconds per step.

        Raises:
            RunRefused: If another run is training, the data cannot be trained on, or the measurement fails.
        """
        if self.queue.live_run() is not None:
            raise RunRefused("A run is training now, so a measurement would be wrong. Wait until it has ended.")
        self._shelf.locate(config.model)
        with tempfile.TemporaryDirectory(prefix="measure-", dir=self._home) as scratch:
            RunFolder.create(Path(scratch) / "run", config, self._judgements(owner, collections))
            command = [sys.executable, "-m", "bnf_lab.measure", str(Path(scratch) / "run")]
            try:
                answer = subprocess.run(  # noqa: S603
                    command, capture_output=True, text=True, timeout=MEASURE_SECONDS, check=False, cwd=REPOSITORY,
                    env=self._environment,
                )  # fmt: skip
                result = json.loads(answer.stdout.strip().splitlines()[-1])
            except subprocess.TimeoutExpired as error:
                raise RunRefused("Measuring took over 5 minutes. Lower 'Responses at once' and try again.") from error
            except (ValueError, IndexError) as error:
                raise RunRefused("The measurement broke off. If memory is short, lower 'Responses at once'.") from error
        if "error" in result:
            raise RunRefused(result["error"])
        return float(result["step_seconds"])

    def start(self, owner: str, config: RunConfig, collections: Sequence[str] | None, name: str) -> str:
        """Freezes the judgements in a new run folder and queues the run; returns its id.

        Raises:
            RunRefused: With everything that `preflight` finds wrong.
        """
        check = self.preflight(owner, config, collections)
        if check.problems:
            raise RunRefused(" ".join(check.problems))
        judgements = self._judgements(owner, collections)
        run_id = uuid.uuid4().hex[:12]
        names = collections or [c.name for c in self._store.count_judgements(owner).collections]
        RunFolder.create(self.queue.path_of(run_id), config, judgements, owner=owner)
        self._store.add_run(owner, run_id, name or run_id, now(), collections=tuple(names))
        self.queue.submit(run_id)
        return run_id

    def folder(self, owner: str, run_id: str) -> RunFolder:
        """Returns the folder of one of the owner's runs.

        Raises:
            NotFound: If the owner has no such run.
        """
        self._store.get_run(owner, run_id)
        return RunFolder(self.queue.path_of(run_id))

    def delete(self, owner: str, run_id: str) -> None:
        """Removes a run that has no worker, with everything it wrote."""
        folder = self.folder(owner, run_id)
        if folder.path.exists():
            self.queue.forget(run_id)
            shutil.rmtree(folder.path)
        self._store.delete_run(owner, run_id)

    def list(self, owner: str) -> list[RunSummary]:
        """Returns the owner's runs, newest first; a run whose folder is damaged is listed as failed."""
        return [self._summary(row) for row in self._store.list_runs(owner)]

    def _summary(self, row: RunRow) -> RunSummary:
        folder = RunFolder(self.queue.path_of(row.run_id))
        try:
            config, status = folder.read_config(), folder.read_status()
        except LabError as error:
            status = RunStatus(RunState.FAILED, failure=str(error))
            return RunSummary(row.run_id, row.name, "?", "?", row.collections, row.created_at, status)
        probe = [p for p in folder.read_metrics() if p.source == "probe"]
        numbers = {}
        if probe:
            first, last = probe[0], probe[-1]
            numbers = {
                "accuracy_before": first.accuracy,
                "accuracy": last.accuracy,
                "margin": last.margin,
                "preferred_logp_before": first.preferred_logp,
                "preferred_logp": last.preferred_logp,
                "dispreferred_logp_before": first.dispreferred_logp,
                "dispreferred_logp": last.dispreferred_logp,
            }
        has_adapter = has_all_files(folder.adapter) or bool(list_checkpoints(folder.path))
        return RunSummary(
            row.run_id, row.name, config.method, config.model, row.collections, row.created_at, status,
            has_adapter=has_adapter, **numbers,
        )  # fmt: skip

    def adapters(self, owner: str) -> list[AdapterChoice]:
        """Returns every adapter of the owner's runs, newest run first, in each its final or newest one first."""
        return [choice for row in self._store.list_runs(owner) for choice in self._adapters_of(row)]

    def _adapters_of(self, row: RunRow) -> list[AdapterChoice]:
        folder = RunFolder(self.queue.path_of(row.run_id))
        try:
            model = folder.read_config().model
            best = folder.read_best()
        except LabError:
            return []
        names = [FINAL] if has_all_files(folder.adapter) else []
        checkpoints = [(step, path) for step, path in reversed(list_checkpoints(folder.path)) if has_all_files(path)]
        names += [BEST] if best and any(step == best.step for step, _ in checkpoints) else []
        names += [path.name for _, path in checkpoints]
        words = {FINAL: "final", BEST: f"best (step {best.step})" if best else "best"}
        return [
            AdapterChoice(
                row.run_id, name, f"{row.name} · {words.get(name, name.replace('-', ' '))}",
                self._hash(self._adapter_path(folder, name)), model,
            )
            for name in names
        ]

    def adapter_path(self, owner: str, run_id: str, checkpoint: str) -> Path:
        """Returns the folder of one adapter.

        Args:
            owner: Whose run.
            run_id: The run.
            checkpoint: "final", "best" or "checkpoint-N".

        Raises:
            NotFound: If the run or the checkpoint is not there (checkpoints of a run in progress come and go).
        """
        folder = self.folder(owner, run_id)
        path = self._adapter_path(folder, checkpoint)
        if not has_all_files(path):
            raise NotFound(f"Run {run_id} has no adapter {shown(checkpoint)} now. Choose another one from the list.")
        return path

    def _adapter_path(self, folder: RunFolder, checkpoint: str) -> Path:
        if checkpoint == FINAL:
            return folder.adapter
        if checkpoint == BEST and (best := folder.read_best()):
            return folder.path / f"checkpoint-{best.step}"
        return dict((path.name, path) for _, path in list_checkpoints(folder.path)).get(checkpoint, folder.path / "-")

    def pane_labels(self, owner: str, model: str, run_id: str | None, checkpoint: str) -> tuple[str, str]:
        """Returns what exactly answers in each pane: the model id; run, checkpoint and the weights' hash."""
        base = EMBEDDED_NAME if model == EMBEDDED_MODEL else model
        if run_id is None:
            return base, "no adapter"
        path = self.adapter_path(owner, run_id, checkpoint)
        name = self._store.get_run(owner, run_id).name
        run = run_id if name == run_id else f"{name} ({run_id})"
        where = path.name if checkpoint == BEST else checkpoint
        return base, f"{run} · {where} · sha256 {self._hash(path)}"

    def _hash(self, path: Path) -> str:
        """Returns an adapter's short hash; pages ask often, so its weights are read once."""
        weights = path / "adapter_model.safetensors"
        key = (path, weights.stat().st_mtime_ns if weights.exists() else 0)
        if key not in self._hashes:
            self._hashes[key] = checkpoint_hash(path)
        return self._hashes[key]

    def _judgements(self, owner: str, collections: Sequence[str] | None) -> list[Judgement]:
        """Returns the chosen judgements, oldest first, so that a run does not depend on how a list is shown."""
        stored = self._store.list_judgements(owner, collections=list(collections) if collections else None)
        return [entry.judgement for entry in reversed(stored)]
