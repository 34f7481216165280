"""Runs the cells of an experiment, one after the other, each in a worker of its own.

A cell's folder is a run folder like any other: finished ones are skipped, interrupted ones resumed. Workers are forked
from a process that has the libraries in memory already, because a cell may be as short as their import. This room must
not know reports or pages; no torch at load.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from bnf_lab import worker
from bnf_lab.cell_results import read_cell
from bnf_lab.config import RunConfig
from bnf_lab.errors import RunRefused
from bnf_lab.experiment_records import CellResult
from bnf_lab.files import hash_texts, locked
from bnf_lab.launcher import settle_worker
from bnf_lab.preferences import Judgement
from bnf_lab.recipes import Cell
from bnf_lab.records import RunState, RunStatus
from bnf_lab.runs import RunFolder, claim_run

POLL_SECONDS = 1.0
PRELOADED = "bnf_lab.training"


@dataclass(frozen=True)
class Progress:
    """Where an experiment is: cells done of all, the cell at work and its run's status."""

    n_done: int
    n_cells: int
    cell: Cell
    status: RunStatus


def hash_judgements(judgements: Iterable[Judgement]) -> str:
    """Returns the sha256 of what judgements say: prompts, responses, verdicts, weights and which belong together."""
    pairs: dict[str | None, int] = {None: 0}
    contents = [
        [[(m.role, m.content) for m in j.prompt], j.response, str(j.verdict), j.weight,
         pairs.setdefault(j.pair_id, len(pairs))]
        for j in judgements
    ]  # fmt: skip
    return hash_texts(contents)


def cell_folder(output: Path, cell: Cell) -> RunFolder:
    return RunFolder(output / "cells" / cell.name)


def is_done(folder: RunFolder) -> bool:
    """Returns whether a cell's run has come to its end: all steps, or a loss that was no longer finite."""
    if not has_begun(folder):
        return False
    status = folder.read_status()
    return status.state is RunState.FINISHED or status.is_diverged


def has_begun(folder: RunFolder) -> bool:
    """Returns whether a cell's folder is whole: the status is what is written last when a run is made."""
    return (folder.path / "status.json").is_file()


def run_cells(
    cells: Iterable[Cell],
    judgements: Mapping[str, tuple[Judgement, ...]],
    output: Path,
    on_progress: Callable[[Progress], None],
) -> None:
    """Runs every cell that is not done yet; a cell that fails does not keep the others from running.

    A prepared run that fails is tried once, and the cells that need it are left out.

    Args:
        cells: In the order in which they run.
        judgements: Data name -> judgements.
        output: The experiment's folder.
        on_progress: Called now and then.

    Raises:
        RunRefused: If the folder holds cells of other data, or another process runs one of them.
        KeyboardInterrupt: After the cell at work has saved a checkpoint.
    """
    listed = list(cells)
    output.mkdir(parents=True, exist_ok=True)
    _check_data(output, {name: hash_judgements(found) for name, found in judgements.items()})
    context = _prepare_context()
    tried: set[str] = set()
    for index, cell in enumerate(listed):
        for part in filter(None, (cell.prepared, cell)):
            folder = cell_folder(output, part)
            if is_done(folder) or part.name in tried:
                continue
            if part.prepared and cell_folder(output, part.prepared).read_status().state is not RunState.FINISHED:
                continue
            tried.add(part.name)
            _create(folder, _own_config(part, output), judgements[part.data])
            with closing(_run_cell(context, folder)) as statuses:
                for status in statuses:
                    on_progress(Progress(index, len(listed), part, status))


def _create(folder: RunFolder, config: RunConfig, judgements: Iterable[Judgement]) -> None:
    """Makes a cell's folder, anew where a crash left half of one."""
    if not has_begun(folder):
        (folder.path / "config.json").unlink(missing_ok=True)
        RunFolder.create(folder.path, config, judgements)


def _own_config(cell: Cell, output: Path) -> RunConfig:
    """Returns the run's settings, with the folder of the run that was prepared as its reference."""
    if cell.prepared is None:
        return cell.config
    return replace(cell.config, reference=f"run:{cell_folder(output, cell.prepared).path}")


def read_results(cells: Iterable[Cell], output: Path) -> list[CellResult]:
    """Reads the cells that have begun."""
    folders = ((cell, cell_folder(output, cell)) for cell in cells)
    return [read_cell(cell, folder) for cell, folder in folders if has_begun(folder)]


def _check_data(output: Path, hashes: Mapping[str, str]) -> None:
    """Cells are kept by name, so one folder holds one version of each data set."""
    path = output / "data.json"
    with locked(output / ".data.lock"):
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        changed = [name for name, value in hashes.items() if known.get(name, value) != value]
        if changed:
            raise RunRefused(
                f"--output {output.name} holds cells of another version of {', '.join(changed)}. Choose another folder,"
                " or delete this one."
            )
        path.write_text(json.dumps({**known, **hashes}, indent=2), encoding="utf-8")


def _prepare_context() -> multiprocessing.context.BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    return context


def _run_cell(
    context: multiprocessing.context.BaseContext, folder: RunFolder
) -> Generator[RunStatus, None, None]:
    """Yields the run's status now and then until its worker has ended; closed before, it lets it save first."""
    process = context.Process(target=train_cell, args=(str(folder.path),), name=folder.run_id)  # type: ignore[attr-defined]
    process.start()
    try:
        while process.is_alive():
            process.join(POLL_SECONDS)
            yield folder.read_status()
    except (KeyboardInterrupt, GeneratorExit):
        folder.request_stop()
        process.join()
        raise
    finally:
        is_others = settle_worker(folder, process.exitcode)
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

