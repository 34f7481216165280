"""An experiment from a recipe to its report, whoever asks for it: planned, forecast, run and told.

No torch at load. It must not know arguments, streams or pages: where a model lies, and how progress is shown, is the
caller's part.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bnf_lab.core.errors import RunRefused
from bnf_lab.core.files import hash_texts, write_atomically
from bnf_lab.core.machine import read_device
from bnf_lab.core.numbers import counted
from bnf_lab.core.paths import data_home, experiments_dir
from bnf_lab.data.splits import build_split
from bnf_lab.experiments.cells import Progress, run_cells
from bnf_lab.experiments.folder import Data, ExperimentFolder, data_key, hash_judgements
from bnf_lab.experiments.recipes import Cell, Recipe
from bnf_lab.experiments.records import CellResult, Experiment
from bnf_lab.experiments.verdicts import build_groups, judge
from bnf_lab.runs.records import RunState

PACKAGES = ("torch", "transformers", "peft", "plotly")

FindModel = Callable[[str], Path | None]
"""A base model's name -> its folder; None while it is not on this machine."""


@dataclass(frozen=True)
class Plan:
    """An experiment that can start.

    Attributes:
        recipe: What is asked.
        cells: Every cell of the recipe, in the order in which they run.
        data: The judgements of every data set.
        folder: Where it runs; it may hold cells that are done.
        find_model: Finds the base models.
    """

    recipe: Recipe
    cells: tuple[Cell, ...]
    data: Data
    folder: ExperimentFolder
    find_model: FindModel

    @property
    def missing(self) -> list[Cell]:
        """The cells that are not done."""
        return [cell for cell in self.cells if not self.folder.is_done(cell)]


@dataclass(frozen=True)
class Forecast:
    """What is left of an experiment; `seconds` is None where a base model is not on this machine."""

    n_cells: int
    n_done: int
    seconds: float | None


@dataclass(frozen=True)
class Outcome:
    """How an experiment ended: what its report shows, how many cells are done, and the runs that failed."""

    experiment: Experiment
    n_done: int
    failed: tuple[CellResult, ...]


def default_folder(recipe: Recipe, changes: Sequence[object] = ()) -> Path:
    """Returns a recipe's folder in the lab's data.

    Args:
        recipe: The recipe.
        changes: What was said instead of the recipe's file, in an order that stays. A changed recipe has a folder of
            its own, lest its report take the place of the other one's.
    """
    mark = f"-{hash_texts(changes)[:6]}" if changes else ""
    return experiments_dir(data_home()) / f"{recipe.name}{mark}"


def plan_experiment(recipe: Recipe, data: Data, folder: Path, find_model: FindModel) -> Plan:
    """Resolves a recipe into its cells and makes sure that they can run.

    Args:
        recipe: What is asked.
        data: The judgements of every data set that it names.
        folder: Where it is to run.
        find_model: Finds the base models.

    Raises:
        ConfigError: If a setting is not known or out of its range.
        RunRefused: If a method cannot use its data, or a reference does not fit.
        LabError: If a reference is no adapter.
    """
    plan = Plan(recipe, tuple(recipe.cells()), data, ExperimentFolder(folder), find_model)
    _refuse_what_cannot_run(plan)
    return plan


def forecast(plan: Plan, say: Callable[[str], None]) -> Forecast:
    """Counts what is left and estimates its time; measures a step first where none was.

    Args:
        plan: What is to run.
        say: Told what is done now and then.

    Raises:
        RunRefused: If a cell cannot run.
    """
    missing = plan.missing
    return Forecast(len(plan.cells), len(plan.cells) - len(missing), _estimate_seconds(plan, missing, say))


def run_experiment(plan: Plan, on_progress: Callable[[Progress], None]) -> Outcome:
    """Runs what is missing and writes report and table.

    Args:
        plan: What is to run.
        on_progress: Called now and then. What it raises ends the experiment, as Ctrl-C does.

    Raises:
        RunRefused: If the folder holds cells of other data, or another process runs one of them.
        KeyboardInterrupt: After the cell at work has saved a checkpoint, and the report shows what is done.
    """
    try:
        run_cells(plan.cells, plan.data, plan.folder, on_progress)
    except KeyboardInterrupt:
        write_report(plan)
        raise
    experiment = write_report(plan)
    results = [result for group in experiment.groups for result in group.results]
    failed = [r for r in (*plan.folder.read_results(_prepared(plan.cells)), *results) if r.state == RunState.FAILED]
    return Outcome(experiment, len(plan.cells) - len(plan.missing), tuple(failed))


def write_report(plan: Plan) -> Experiment:
    """Reads what the cells gave, judges the claims and writes report and table; returns what they show."""
    from bnf_lab.experiments.report import build_report  # noqa: PLC0415 - plotly takes a second
    from bnf_lab.experiments.tables import build_csv  # noqa: PLC0415

    results = plan.folder.read_results(plan.cells)
    prepared = plan.folder.read_results(_prepared(plan.cells))
    groups = build_groups(plan.cells, results)
    experiment = Experiment(
        plan.recipe,
        plan.cells,
        groups,
        *judge(plan.recipe, groups),
        {data_key(name): hash_judgements(judgements) for name, judgements in plan.data.items()},
        {"Python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}},
        _describe_machine(),
        sum(result.values.get("seconds", 0.0) for result in (*prepared, *results)),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_atomically(plan.folder.report, build_report(experiment))
    write_atomically(plan.folder.table, build_csv(experiment))
    return experiment


def _prepared(cells: Sequence[Cell]) -> list[Cell]:
    """Returns the runs that are made first, each once."""
    return list({cell.prepared.name: cell.prepared for cell in cells if cell.prepared}.values())


def _refuse_what_cannot_run(plan: Plan) -> None:
    """Refuses the whole experiment if a cell's method cannot use its data, or its reference is none.

    Whether a reference fits can be seen only once the model is on this machine; without it the cells say so.
    """
    from bnf_lab.training.preflight import data_problems  # noqa: PLC0415 - imports torch
    from bnf_lab.training.references import locate_reference  # noqa: PLC0415

    for config in {(c.config.reference, c.config.model): c.config for c in plan.cells if c.prepared is None}.values():
        if (model := plan.find_model(config.model)) is not None:
            locate_reference(config, data_home(), model)
    problems = dict.fromkeys(
        f"{cell.data}: {text}"
        for cell in plan.cells
        if cell.seed == 0
        for text in data_problems(build_split(plan.data[cell.data], cell.config), cell.config)
    )
    if problems:
        raise RunRefused(" ".join(problems))


def _estimate_seconds(plan: Plan, missing: Sequence[Cell], say: Callable[[str], None]) -> float | None:
    """Returns the time that the missing cells and what is made first for them will take, seconds."""
    from bnf_lab.training.measure import measure_data  # noqa: PLC0415 - imports torch
    from bnf_lab.training.preflight import Counter  # noqa: PLC0415

    parts = [*(cell for cell in _prepared(missing) if not plan.folder.is_done(cell)), *missing]
    counter, device, total = Counter(data_home()), read_device(), 0.0
    for index, cell in enumerate(parts):
        model = plan.find_model(cell.config.model)
        if model is None:
            return None
        config = replace(cell.config, reference="base") if cell.prepared else cell.config
        found = counter.check(plan.data[cell.data], config, device, model)
        if found.seconds is None and not found.problems:
            say("measuring a step")
            measure_data(config, plan.data[cell.data])
            found = counter.check(plan.data[cell.data], config, device, model)
        if found.problems:
            raise RunRefused(f"{cell.name}: {' '.join(found.problems)}")
        total += found.seconds or 0.0
        say(f"estimated {index + 1} of {counted(len(parts), 'cell')}")
    return total


def _describe_machine() -> str:
    device = read_device()
    return f"{device.label}, {device.total_gib:.0f} GiB, {platform.system()} {platform.machine()}"
