"""The experiment folder: what it holds, and its readers and writers. No torch at load.

Runs, the shell and pages read the same files, and the same command goes on from here. This room must not know how cells
are run or what a report says.

    data.json       data set -> sha256 of its judgements: one folder holds one version of each
    cells/NAME/     a run folder for each cell, and for each run that is made first to be a reference
    report.html     what the cells show, anew after each call
    cells.csv       the same numbers, a row a cell
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bnf_lab.core.errors import RunRefused
from bnf_lab.core.files import hash_texts, locked, write_atomically
from bnf_lab.core.judgements import Judgement
from bnf_lab.core.paths import without_folders
from bnf_lab.experiments.recipes import Cell
from bnf_lab.experiments.records import CellResult
from bnf_lab.experiments.results import read_cell
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.record_files import Damaged, read_object
from bnf_lab.runs.records import RunState, RunStatus

Data = Mapping[str, tuple[Judgement, ...]]
"""Data set, as the recipe names it -> its judgements."""


@dataclass(frozen=True)
class ExperimentFolder:
    """Paths, readers and writers of one experiment's folder."""

    path: Path

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def table(self) -> Path:
        return self.path / "cells.csv"

    def cell(self, cell: Cell) -> RunFolder:
        return RunFolder(self.path / "cells" / cell.name)

    def has_begun(self, cell: Cell) -> bool:
        """Returns whether a cell's run folder is whole: the status is what is written last when a run is made."""
        return (self.cell(cell).path / "status.json").is_file()

    def is_done(self, cell: Cell) -> bool:
        """Returns whether a cell's run has come to its end: all steps, or a loss that was no longer finite."""
        if not self.has_begun(cell):
            return False
        status = self._read_status(cell)
        return status.state is RunState.FINISHED or status.is_diverged

    def is_finished(self, cell: Cell) -> bool:
        """Returns whether a cell's run has done all its steps."""
        return self.has_begun(cell) and self._read_status(cell).state is RunState.FINISHED

    def find_damage(self, cell: Cell) -> str | None:
        """Returns why a cell that has begun can neither run nor be read, None if it can."""
        try:
            if self.has_begun(cell):
                self.cell(cell).read_saved()
                self.cell(cell).read_status()
        except RunRefused as error:
            return str(error)
        return None

    def read_results(self, cells: Iterable[Cell]) -> list[CellResult]:
        """Reads the cells that have begun; a damaged one has failed and has no values."""
        return [self._read_result(cell) for cell in cells if self.has_begun(cell)]

    def _read_status(self, cell: Cell) -> RunStatus:
        try:
            return self.cell(cell).read_status()
        except RunRefused as error:
            return RunStatus(RunState.FAILED, failure=str(error))

    def _read_result(self, cell: Cell) -> CellResult:
        try:
            self.cell(cell).read_saved()
            return read_cell(cell, self.cell(cell))
        except RunRefused as error:
            return CellResult(cell, str(RunState.FAILED), str(error), 0, {})

    def claim_data(self, data: Data) -> None:
        """Notes which data the cells are of, making the folder where there is none.

        Raises:
            RunRefused: If the folder holds cells of another version of one of these data sets.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        hashes = {data_key(name): hash_judgements(judgements) for name, judgements in data.items()}
        with locked(self.path / ".data.lock"):
            known = self._read_data_hashes()
            changed = [name for name, value in hashes.items() if known.get(name, value) != value]
            if changed:
                raise RunRefused(
                    f"The folder {self.path.name} holds cells of another version of {', '.join(changed)}. Choose"
                    " another folder, or delete this one."
                )
            write_atomically(self.path / "data.json", json.dumps({**known, **hashes}, indent=2))

    def _read_data_hashes(self) -> dict[str, str]:
        try:
            known = read_object(self.path / "data.json")
        except FileNotFoundError:
            return {}
        except Damaged as error:
            raise self._damaged() from error
        return {data_key(name): value for name, value in known.items()}

    def _damaged(self) -> RunRefused:
        return RunRefused(
            f"The folder {self.path.name}: data.json cannot be read, so nobody knows which data its cells are of."
            " Choose another folder, or delete this one."
        )


def data_key(name: str) -> str:
    """Returns a data set's name without the folders before it, which others need not know; two stay two."""
    plain = str(without_folders(name))
    return name if plain == name else f"{plain} {hash_texts([name])[:8]}"


def hash_judgements(judgements: Iterable[Judgement]) -> str:
    """Returns the sha256 of what judgements say: prompts, responses, verdicts, weights and which belong together."""
    pairs: dict[str | None, int] = {None: 0}
    contents = [
        [
            [(m.role, m.content) for m in j.prompt],
            j.response,
            str(j.verdict),
            j.weight,
            pairs.setdefault(j.pair_id, len(pairs)),
        ]
        for j in judgements
    ]
    return hash_texts(contents)
