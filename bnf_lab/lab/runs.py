"""A person's runs: checking, starting, listing and deleting them; finding and packing their adapters. No torch at load.

Every method takes the owner and refuses what belongs to somebody else. This room must not know pages.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnf_lab.core.child_processes import ask_module, module_command
from bnf_lab.core.config import EMBEDDED_MODEL, RunConfig
from bnf_lab.core.errors import LabError, ModelUnavailable, NotFound, RunRefused, shown
from bnf_lab.core.files import remove
from bnf_lab.core.judgements import Judgement, now
from bnf_lab.core.late_imports import Late
from bnf_lab.core.machine import read_device
from bnf_lab.core.paths import runs_dir, without_places
from bnf_lab.core.sealed_folders import has_all_files
from bnf_lab.lab import export
from bnf_lab.lab.adapter_choices import Adapter, AdapterChoice
from bnf_lab.lab.judgements import Judgements
from bnf_lab.lab.models import Models
from bnf_lab.lab.references import ReferenceChoice, check_reference, list_references
from bnf_lab.lab.run_register import RunRegister, RunRow
from bnf_lab.lab.run_summaries import RunSummary, summarise, summarise_damaged
from bnf_lab.lab.selections import find_selected
from bnf_lab.models.fetch import EMBEDDED_NAME
from bnf_lab.runs.checkpoints import checkpoint_hash, list_checkpoints
from bnf_lab.runs.digests import RunDigests
from bnf_lab.runs.estimates import Preflight
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.queue import JobQueue
from bnf_lab.runs.readings import Readings, read_mark
from bnf_lab.runs.records import RunStatus
from bnf_lab.runs.verdict import RunVerdict, describe_flaw

if TYPE_CHECKING:
    from bnf_lab.training.preflight import Counter

logger = logging.getLogger(__name__)

MEASURE_SECONDS = 300
FINAL, BEST = "final", "best"
KEPT_READINGS = 8192  # a run's list of adapters, and each adapter's hash: a few hundred bytes


class Runs:
    """Runs of all owners in one data folder.

    Args:
        home: The data folder.
        scratch: Folder for files that are given out.
        register: Whose run is which.
        judgements: What runs are trained on.
        models: The models at hand.
        environment: For helper processes.
    """

    def __init__(
        self,
        home: Path,
        scratch: Path,
        register: RunRegister,
        judgements: Judgements,
        models: Models,
        environment: Mapping[str, str],
    ) -> None:
        self._home, self._scratch = home, scratch
        self.register, self._stored, self._models = register, judgements, models
        self._environment = dict(environment) | {"HF_HUB_OFFLINE": "1"}
        self.queue = JobQueue(
            runs_dir(home), command=module_command("bnf_lab.training.worker"), environment=self._environment
        )
        self._counter = Late(self._make_counter)
        self._digests = RunDigests()
        self._readings = Readings(KEPT_READINGS)

    # -- before and at the start

    def preflight(self, owner: str, config: RunConfig, collections: Sequence[str] | None) -> Preflight:
        """Counts what a run would be and names what is wrong with it; see `Preflight`."""
        return self._check(owner, self._judgements(owner, collections), config)

    def _check(self, owner: str, judgements: Sequence[Judgement], config: RunConfig) -> Preflight:
        model, problems = None, []
        try:
            model = self._models.find(config.model)
        except ModelUnavailable as error:
            problems.append(str(error))
        try:
            check_reference(owner, config.reference, self.register, self._models)
        except (ModelUnavailable, RunRefused) as error:  # its folder must not be looked into
            model = None
            problems.append(str(error))
        found = self._counter().check(judgements, config, read_device(), model)
        return replace(found, problems=tuple(map(without_places, (*problems, *found.problems))))

    def _make_counter(self) -> Counter:
        from bnf_lab.training.preflight import Counter  # noqa: PLC0415 - imports torch

        return Counter(self._home, self._models.encodings())

    def measure(self, owner: str, config: RunConfig, collections: Sequence[str] | None) -> float:
        """Times a training step in a process of its own; returns seconds per step.

        Raises:
            RunRefused: If another run is training, the data cannot be trained on, the reference may not be chosen, or
                the measurement fails.
        """
        if self.queue.live_run() is not None:
            raise RunRefused("A run is training now, so a measurement would be wrong. Wait until it has ended.")
        self._models.locate(config.model)
        check_reference(owner, config.reference, self.register, self._models)
        with tempfile.TemporaryDirectory(prefix="measure-", dir=self._scratch) as scratch:
            RunFolder.create(Path(scratch) / "run", config, self._judgements(owner, collections))
            try:
                result = ask_module(
                    "bnf_lab.training.measure",
                    Path(scratch) / "run",
                    environment=self._environment,
                    seconds=MEASURE_SECONDS,
                )
            except subprocess.TimeoutExpired as error:
                raise RunRefused("Measuring took over 5 minutes. Lower 'Responses at once' and try again.") from error
            except ValueError as error:
                raise RunRefused("The measurement broke off. If memory is short, lower 'Responses at once'.") from error
        if "error" in result:
            raise RunRefused(result["error"])
        return float(result["step_seconds"])

    def start(self, owner: str, config: RunConfig, collections: Sequence[str] | None, name: str) -> str:
        """Freezes the judgements in a new run folder and queues the run; returns its id.

        Raises:
            RunRefused: With everything that `preflight` finds wrong.
        """
        selected = find_selected(self._stored, owner, collections)
        judgements = [entry.judgement for entry in selected]
        check = self._check(owner, judgements, config)
        if check.problems or check.n_steps is None:
            raise RunRefused(" ".join(check.problems))
        config = replace(config, n_steps=check.n_steps)
        run_id = uuid.uuid4().hex[:12]
        names = sorted({entry.collection for entry in selected})
        RunFolder.create(self.queue.path_of(run_id), config, judgements, owner=owner)
        self.register.add(owner, run_id, name or run_id, now(), collections=tuple(names))
        self.queue.submit(run_id)
        return run_id

    def stop(self, owner: str, run_id: str) -> None:
        """Takes a waiting run out of the queue, or asks a live one to save a checkpoint and end."""
        self.folder(owner, run_id)
        self.queue.stop(run_id)

    def resume(self, owner: str, run_id: str) -> None:
        """Puts a stopped or failed run back into the queue."""
        self.folder(owner, run_id)
        self.queue.resume(run_id)

    def rename(self, owner: str, run_id: str, name: str) -> None:
        self.register.rename(owner, run_id, name)

    def remark(self, owner: str, run_id: str, name: str, note: str, tags: Sequence[str]) -> None:
        """Keeps a run's name, note and tags; see `RunRegister.remark`."""
        self.register.remark(owner, run_id, name, note, tags)

    def delete(self, owner: str, run_id: str) -> None:
        """Removes a run that has no worker, with everything it wrote, whatever state its folder is in.

        Raises:
            RunRefused: If a worker trains it, or the system does not let the folder be removed.
        """
        path = self.folder(owner, run_id).path
        try:
            if os.path.lexists(path):
                self.queue.forget(run_id)
                remove(path)
        except OSError as error:
            raise RunRefused(
                f"Not all of run {run_id} could be deleted ({error.strerror or type(error).__name__}). Mend that in the"
                " lab's data folder, then delete the run again."
            ) from error
        self.register.delete(owner, run_id)

    # -- looking

    def folder(self, owner: str, run_id: str) -> RunFolder:
        """Returns the folder of one of the owner's runs.

        Raises:
            NotFound: If the owner has no such run.
        """
        self.register.get(owner, run_id)
        return RunFolder(self.queue.path_of(run_id))

    def summaries(self, owner: str) -> list[RunSummary]:
        """Returns the owner's runs, newest first; one whose folder is damaged is listed as failed, and says why."""
        return [self._summary(row) for row in self.register.find(owner)]

    def summary(self, owner: str, run_id: str) -> RunSummary:
        """Returns the line of one of the owner's runs."""
        return self._summary(self.register.get(owner, run_id))

    def _summary(self, row: RunRow) -> RunSummary:
        try:
            digest = self._digests.read(RunFolder(self.queue.path_of(row.run_id)))
        except LabError as error:
            return summarise_damaged(row, str(error))
        except Exception as error:  # whatever it is, it is this run's alone and must not hide the others
            logger.exception("Run %s cannot be listed", row.run_id)
            what = f"Run {row.run_id} cannot be read ({type(error).__name__})."
            return summarise_damaged(row, f"{what} The run folder is damaged: delete the run.")
        return summarise(row, digest, self.queue.describe_stillness(row.run_id))

    def verdict(self, owner: str, run_id: str) -> RunVerdict:
        """Returns what one of the owner's runs came to so far."""
        return self._digests.verdict(self.folder(owner, run_id))

    def stillness(self, owner: str, run_id: str) -> str:
        """Returns that a run has not moved for a while and what will come of it; "" while it moves."""
        self.folder(owner, run_id)
        return self.queue.describe_stillness(run_id)

    def queue_position(self, owner: str, run_id: str) -> int | None:
        """Returns a waiting run's place in the queue, 1 for the next to start; None if it does not wait."""
        self.folder(owner, run_id)
        return self.queue.position(run_id)

    def active_status(self) -> RunStatus | None:
        """Returns the status of the run that is training, whoever's it is; it names nobody."""
        return self.queue.live_status()

    def has_live_run(self, owner: str) -> bool:
        """Returns whether one of the owner's runs waits or trains, so that checkpoints may come."""
        return any(not run.status.state.is_over for run in self.summaries(owner))

    def count_new_judgements(self, owner: str) -> int:
        """Returns how many judgements were made since the owner's last run began, or ever if there was none."""
        return self._stored.count_since(owner, self.last_began(owner))

    def last_began(self, owner: str) -> str:
        """Returns when the owner's last run was started, "" if there was none."""
        return max((row.created_at for row in self.register.find(owner)), default="")

    # -- adapters

    def adapters(self, owner: str) -> list[AdapterChoice]:
        """Returns every adapter of the owner's runs, newest run first, in each its final or newest one first."""
        return [
            AdapterChoice(row.run_id, found.checkpoint, f"{row.name} · {found.words}", found.hash, found.model)
            for row in self.register.find(owner)
            for found in self._adapters_in(RunFolder(self.queue.path_of(row.run_id)))
        ]

    def references(self, owner: str) -> list[ReferenceChoice]:
        """Returns what the owner may have a loss compared with instead of the base model, newest run first."""
        rows = self.register.find(owner)
        with_adapter = (row for row in rows if self._adapters_in(RunFolder(self.queue.path_of(row.run_id))))
        return list_references(with_adapter, self._models)

    def _adapters_in(self, folder: RunFolder) -> tuple[Adapter, ...]:
        """Looks into the folders of checkpoints only when one has come, gone or changed: pages ask every second."""
        looked_at = (folder.adapter, folder.path / "answers.jsonl", folder.path / "config.json")
        paths = (*(path for _, path in list_checkpoints(folder.path)), *looked_at)
        marks = tuple((path.name, read_mark(path)) for path in paths)
        return self._readings.once((folder.path, "adapters"), marks, lambda _: self._read_adapters(folder))

    def _read_adapters(self, folder: RunFolder) -> tuple[Adapter, ...]:
        try:
            model, verdict = folder.read_config().model, self._digests.verdict(folder)
        except LabError:  # its row in the list says so; without its settings nobody knows the base model
            return ()
        except Exception:  # as in `_summary`
            logger.exception("The adapters of run %s cannot be listed", folder.run_id)
            return ()
        names = [FINAL] if has_all_files(folder.adapter) else []
        checkpoints = [(step, path) for step, path in reversed(list_checkpoints(folder.path)) if has_all_files(path)]
        best = verdict.best
        if best is not None and any(step == best.step for step, _ in checkpoints):
            # what is offered first is what can be recommended
            names.insert(0 if verdict.warnings else len(names), BEST)
        names += [path.name for _, path in checkpoints]
        words = {f"checkpoint-{s.step}": f"checkpoint {s.step}{describe_flaw(s)}" for s in verdict.saved}
        words |= {FINAL: f"final{describe_flaw(verdict.last)}", BEST: f"best (step {best.step})" if best else "best"}
        found = []
        for name in names:
            with contextlib.suppress(RunRefused):  # its run has pruned it since it was listed
                weights_hash = self._hash(self._adapter_path(folder, name))
                found.append(Adapter(name, words.get(name, name.replace("-", " ")), weights_hash, model))
        return tuple(found)

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
        if checkpoint == BEST and (best := self._digests.verdict(folder).best):
            return folder.path / f"checkpoint-{best.step}"
        return dict((path.name, path) for _, path in list_checkpoints(folder.path)).get(checkpoint, folder.path / "-")

    def pane_labels(self, owner: str, model: str, run_id: str | None, checkpoint: str) -> tuple[str, str]:
        """Returns what exactly answers in each pane: the model id; run, checkpoint and the weights' hash."""
        base = EMBEDDED_NAME if model == EMBEDDED_MODEL else model
        if run_id is None:
            return base, "no adapter"
        path = self.adapter_path(owner, run_id, checkpoint)
        name = self.register.get(owner, run_id).name
        run = run_id if name == run_id else f"{name} ({run_id})"
        where = path.name if checkpoint == BEST else checkpoint
        return base, f"{run} · {where} · sha256 {self._hash(path)}"

    def _hash(self, path: Path) -> str:
        """Returns an adapter's short hash; pages ask often, so its weights are read once."""
        mark = read_mark(path / "adapter_model.safetensors")
        return self._readings.once((path, "hash"), mark, lambda _: checkpoint_hash(path))

    def export_adapter(self, owner: str, run_id: str, checkpoint: str | None = None) -> Path:
        """Packs an adapter (PEFT layout and model card) as a zip; the final one, else the newest, by default."""
        path = self.adapter_path(owner, run_id, checkpoint or self._newest_checkpoint(owner, run_id))
        folder, model = self.folder(owner, run_id), None
        with contextlib.suppress(ModelUnavailable):  # its tokenizer comes along where the model is here
            model = self._models.find(folder.read_config().model)
        title = self.summary(owner, run_id).title
        return export.export_adapter(folder, path, self._export_folder(), name=title, model=model)

    def export_merged(self, owner: str, run_id: str, checkpoint: str | None = None) -> Path:
        """Packs base and adapter merged into plain safetensors, after checking their log-probabilities."""
        path = self.adapter_path(owner, run_id, checkpoint or self._newest_checkpoint(owner, run_id))
        folder = self.folder(owner, run_id)
        model = self._models.locate(folder.read_config().model)
        title, target = self.summary(owner, run_id).title, self._export_folder()
        zipped, _ = export.export_merged(folder, model, path, target, environment=self._environment, name=title)
        return zipped  # what the check found is in its model card

    def export_metrics(self, owner: str, run_id: str) -> Path:
        """Writes every measured point of a run to a CSV file."""
        title = self.summary(owner, run_id).title
        return export.export_metrics(self.folder(owner, run_id), self._export_folder(), name=title)

    def export_report(self, owner: str, run_id: str) -> Path:
        """Writes the report of a run: one HTML page that opens without a network."""
        from bnf_lab.lab.run_report import export_report  # noqa: PLC0415 - imports plotly

        return export_report(self.folder(owner, run_id), self.summary(owner, run_id), self._export_folder())

    def export_figure(self, owner: str, run_id: str, name: str) -> dict[str, Any]:
        """Returns a figure of a run for a file of its own; see `run_report.export_figure`."""
        from bnf_lab.lab.run_report import export_figure  # noqa: PLC0415 - imports plotly

        return export_figure(self.folder(owner, run_id), self.summary(owner, run_id), name)

    def _newest_checkpoint(self, owner: str, run_id: str) -> str:
        found = self._adapters_in(self.folder(owner, run_id))
        if not found:
            raise NotFound(f"Run {run_id} has no adapter yet. It gets one with its first checkpoint.")
        return found[0].checkpoint

    def _export_folder(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="export-", dir=self._scratch))

    def _judgements(self, owner: str, collections: Sequence[str] | None) -> list[Judgement]:
        return [entry.judgement for entry in find_selected(self._stored, owner, collections)]
