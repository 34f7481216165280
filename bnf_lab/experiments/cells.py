"""Runs the cells of an experiment, one after the other, each in a worker of its own.

A cell's folder is a run folder like any other: finished ones are skipped, interrupted ones resumed. Workers are forked
from a process that has the libraries in memory already, because a cell may be as short as their import. This room must
not know reports or pages; no torch at load.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.judgements import Judgement
from bnf_lab.experiments.folder import Data, ExperimentFolder
from bnf_lab.experiments.recipes import Cell
from bnf_lab.runs.folder import RunFolder, claim_run
from bnf_lab.runs.launcher import settle_worker, watch_worker
from bnf_lab.runs.records import RunStatus
from bnf_lab.runs.watchdog import Watchdog
from bnf_lab.training import worker

POLL_SECONDS = 1.0
PRELOADED = "bnf_lab.training.run"


@dataclass(frozen=True)
class Progress:
    """Where an experiment is: cells done of all, the cell at work and its run's status."""

    n_done: int
    n_cells: int
    cell: Cell
    status: RunStatus


def run_cells(
    cells: Sequence[Cell], data: Data, folder: ExperimentFolder, on_progress: Callable[[Progress], None]
) -> None:
    """Runs every cell that is not done yet; a cell that fails does not keep the others from running.

    A prepared run that fails is tried once, and the cells that need it are left out. So is a cell whose folder is
    damaged.

    Args:
        cells: In the order in which they run.
        data: The judgements of every data set that the cells name.
        folder: Where they run.
        on_progress: Called now and then. What it raises ends the experiment, as Ctrl-C does.

    Raises:
        RunRefused: If the folder holds cells of other data, or another process runs one of them.
        KeyboardInterrupt: After the cell at work has saved a checkpoint.
    """
    folder.claim_data(data)
    context = _prepare_context()
    tried: set[str] = set()
    for index, cell in enumerate(cells):
        for part in filter(None, (cell.prepared, cell)):
            if folder.is_done(part) or part.name in tried:
                continue
            if part.prepared and not folder.is_finished(part.prepared):
                continue
            tried.add(part.name)
            if folder.find_damage(part):  # the report says so
                continue
            run = _create(part, folder, data[part.data])
            with closing(_run_cell(context, run)) as statuses:
                for status in statuses:
                    on_progress(Progress(index, len(cells), part, status))


def _create(cell: Cell, folder: ExperimentFolder, judgements: Sequence[Judgement]) -> RunFolder:
    """Returns a cell's run folder, made anew where a crash left half of one."""
    run = folder.cell(cell)
    if not folder.has_begun(cell):
        (run.path / "config.json").unlink(missing_ok=True)
        RunFolder.create(run.path, _own_config(cell, folder, judgements), judgements)
    return run


def _own_config(cell: Cell, folder: ExperimentFolder, judgements: Sequence[Judgement]) -> RunConfig:
    """Returns the run's settings, with the steps that its passes take and the prepared run's folder as reference."""
    from bnf_lab.training.preflight import settle_config  # noqa: PLC0415 - imports torch

    config = settle_config(cell.config, judgements)
    if cell.prepared is None:
        return config
    return replace(config, reference=f"run:{folder.cell(cell.prepared).path}")


def _prepare_context() -> multiprocessing.context.BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    return context


def _run_cell(context: multiprocessing.context.BaseContext, folder: RunFolder) -> Generator[RunStatus, None, None]:
    """Yields the run's status now and then until its worker has ended; closed before, it lets it save first."""
    process = context.Process(target=train_cell, args=(str(folder.path),), name=folder.run_id)  # type: ignore[attr-defined]
    process.start()
    watchdog = Watchdog()
    try:
        while process.is_alive():
            process.join(POLL_SECONDS)
            status = folder.read_status()
            watchdog.begin_look()
            if status.state.is_live:
                watch_worker(folder, status, watchdog)
            yield status
    except (KeyboardInterrupt, GeneratorExit):
        folder.request_stop()
        process.join()
        raise
    finally:
        is_others = settle_worker(folder, process.exitcode, watchdog.why_ended(folder.run_id))
    if is_others:
        raise RunRefused(f"Cell {folder.run_id} is being run by another process. Wait for it to end, or stop it.")


def train_cell(path: str) -> None:
    """The worker's process: as `worker.main`, with its output in the run's log."""
    folder = RunFolder(Path(path))
    with open(folder.log, "a", encoding="utf-8", errors="backslashreplace") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr, force=True
        )
        claim_run(folder)
        sys.exit(worker.run(folder))
