"""The verb `experiment`: a recipe's cells, one after the other, and the report of what they show.

No torch at load. It must not know chat or pages.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bnf_lab.cli_data import add_import_options, locate_model, model_name, rating_rule, read_judgements, whole
from bnf_lab.cli_output import Output, UsageError
from bnf_lab.config import field_specs, parse_field
from bnf_lab.errors import LabError, RunRefused, shown
from bnf_lab.estimates import describe_duration
from bnf_lab.experiment_records import MEASURES, Experiment
from bnf_lab.experiments import Progress, cell_folder, hash_judgements, is_done, read_results, run_cells
from bnf_lab.fetch import is_fetched
from bnf_lab.files import hash_texts, write_atomically
from bnf_lab.home import data_home, experiments_dir, models_dir
from bnf_lab.machine import read_device
from bnf_lab.preferences import Judgement
from bnf_lab.recipes import Cell, Recipe, list_recipes, load_recipe
from bnf_lab.records import RunState
from bnf_lab.verdicts import describe_outcome, group_results, judge_claims

PACKAGES = ("torch", "transformers", "peft", "plotly")
Data = dict[str, tuple[Judgement, ...]]


def add_verbs(verbs: Any) -> None:
    """Adds `experiment`."""
    parser = verbs.add_parser("experiment", allow_abbrev=False, help="run a recipe's grid of runs and report on it")
    parser.add_argument("recipe", metavar="RECIPE", help=f"{', '.join(list_recipes())}, or a YAML file of your own")
    parser.add_argument("--seeds", type=whole(1, 100), help="runs of each setting (default: the recipe's)")
    parser.add_argument(
        "--data", action="append", default=[], metavar="FILE|demo:NAME", help="instead of the recipe's; may be repeated"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: a folder of its name in the lab's data")
    parser.add_argument(
        "--set", action="append", default=[], dest="changes", metavar="NAME=VALUE",
        help="a setting of all cells, such as n_steps=100; may be repeated",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="count the cells and estimate the time")
    parser.add_argument("--json", action="store_true", help="the result as one JSON document")
    add_import_options(parser)
    parser.set_defaults(run=run_experiment)


def run_experiment(args: argparse.Namespace, output: Output) -> int:
    """Runs what is missing of an experiment and writes its report; code 1 if not every cell came to its end."""
    recipe = _change(load_recipe(args.recipe), args)
    _refuse_unknown_measures(recipe)
    data = {
        name: read_judgements([name], mapping=args.map, rule=rating_rule(args), output=output) for name in recipe.data
    }
    cells, folder = recipe.cells(), (args.output or _default_folder(recipe, args)).resolve()
    _refuse_what_cannot_run(cells, data)
    if args.dry_run:
        return _dry_run(cells, data, folder, output)
    try:
        run_cells(cells, data, folder, lambda progress: output.progress(describe_progress(progress)))
    except KeyboardInterrupt:
        output.complain("Interrupted; the same command goes on from here. The report holds what is done.")
        _write_report(recipe, cells, data, folder)
        raise
    experiment = _write_report(recipe, cells, data, folder)
    results = [result for group in experiment.groups for result in group.results]
    failed = [r for r in (*read_results(_prepared(cells), folder), *results) if r.state == RunState.FAILED]
    for result in failed:
        output.complain(f"{result.cell.name}: {result.problem}")
    record = {"output": str(folder), "report": str(folder / "report.html"), "n_cells": len(cells),
              "n_done": sum(is_done(cell_folder(folder, cell)) for cell in cells), "n_failed": len(failed),
              "claims": [vars(claim) for claim in experiment.claims]}  # fmt: skip
    output.result(record, _describe_end(record))
    return 0 if record["n_done"] == len(cells) else 1


def _change(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    """Returns the recipe with what the command line says instead."""
    changes: dict[str, Any] = {}
    for text in args.changes:
        name, _, value = text.partition("=")
        if name not in field_specs() or not value:
            raise UsageError(f"--set is {text[:40]!r}; NAME=VALUE is needed, where NAME is a setting of `train`.")
        if name == "seed" or any(name in arm for arm in recipe.arms):
            raise UsageError(f"--set {name}: the recipe varies it. Copy the recipe's file and change the arms there.")
        changes[name] = parse_field(name, model_name(value) if name in ("model", "reference") else value)
    return replace(
        recipe, seeds=args.seeds or recipe.seeds, data=tuple(dict.fromkeys(args.data)) or recipe.data,
        settings={**recipe.settings, **changes},
    )  # fmt: skip


def _refuse_unknown_measures(recipe: Recipe) -> None:
    unknown = [claim.measure for claim in recipe.claims if claim.measure not in MEASURES]
    if unknown:
        raise LabError(
            f"recipe {recipe.name}: a claim is about {shown(unknown[0])}. Measures are: {', '.join(MEASURES)}."
        )


def _prepared(cells: Sequence[Cell]) -> list[Cell]:
    """Returns the runs that are made first, each once."""
    return list({cell.prepared.name: cell.prepared for cell in cells if cell.prepared}.values())


def _default_folder(recipe: Recipe, args: argparse.Namespace) -> Path:
    """A changed recipe has a folder of its own, lest its report take the place of the other one's."""
    changes = [*args.changes, *recipe.data, recipe.seeds] if args.changes or args.data or args.seeds else []
    mark = f"-{hash_texts(changes)[:6]}" if changes else ""
    return experiments_dir(data_home()) / f"{recipe.name}{mark}"


def _refuse_what_cannot_run(cells: Sequence[Cell], data: Data) -> None:
    """Refuses the whole experiment before it starts if a cell's method cannot use its data, or its reference is none.

    Whether a reference fits can be seen only once the model is on this machine; without it the cells say so.
    """
    from bnf_lab.preflight import data_problems  # noqa: PLC0415 - imports torch
    from bnf_lab.references import locate_reference  # noqa: PLC0415
    from bnf_lab.splits import build_split  # noqa: PLC0415

    for config in {(c.config.reference, c.config.model): c.config for c in cells if c.prepared is None}.values():
        if is_fetched(config.model, models_dir(data_home())):
            locate_reference(config, data_home(), locate_model(config.model))
    problems = dict.fromkeys(
        f"{cell.data}: {text}"
        for cell in cells if cell.seed == 0
        for text in data_problems(build_split(data[cell.data], cell.config), cell.config)
    )
    if problems:
        raise RunRefused(" ".join(problems))


def _dry_run(cells: Sequence[Cell], data: Data, folder: Path, output: Output) -> int:
    missing = [cell for cell in cells if not is_done(cell_folder(folder, cell))]
    seconds = _estimate_seconds(missing, data, output)
    record = {"output": str(folder), "n_cells": len(cells), "n_done": len(cells) - len(missing), "seconds": seconds}
    lines = [f"{len(cells)} cells, {record['n_done']} of them done"]
    if missing:
        lines.append(f"time: about {describe_duration(seconds)} for the {len(missing)} left" if seconds is not None else
                     "time: known after `fetch-model`")
    output.result(record, "\n".join(lines))
    return 0


def _estimate_seconds(cells: Sequence[Cell], data: Data, output: Output) -> float | None:
    """Returns the time that cells will take, seconds; measures a step first if none was; None without the model."""
    from bnf_lab.measure import measure_data  # noqa: PLC0415 - imports torch
    from bnf_lab.preflight import Counter  # noqa: PLC0415

    if not cells:
        return 0.0
    counter, device, total = Counter(data_home()), read_device(), 0.0
    for index, cell in enumerate([*_prepared(cells), *cells]):
        try:
            model = locate_model(cell.config.model)
        except LabError:
            return None
        config = replace(cell.config, reference="base") if cell.prepared else cell.config
        found = counter.check(data[cell.data], config, device, model)
        if found.seconds is None and not found.problems:
            output.progress("measuring a step")
            measure_data(config, data[cell.data])
            found = counter.check(data[cell.data], config, device, model)
        if found.problems:
            raise RunRefused(f"{cell.name}: {' '.join(found.problems)}")
        total += found.seconds or 0.0
        output.progress(f"estimated {index + 1} of {len(cells)} cells")
    return total


def describe_progress(progress: Progress) -> str:
    """Returns the progress line of an experiment."""
    status, settings = progress.status, ", ".join(f"{k} {v}" for k, v in progress.cell.arm.items())
    at = f"step {status.step} of {status.total_steps}" if status.state is RunState.TRAINING else str(status.phase)
    return f"cell {progress.n_done + 1} of {progress.n_cells}: {progress.cell.data}, {settings}, seed" \
           f" {progress.cell.seed}: {at}"


def _write_report(recipe: Recipe, cells: Sequence[Cell], data: Data, folder: Path) -> Experiment:
    from bnf_lab.experiment_report import build_csv, build_report  # noqa: PLC0415 - imports plotly

    results = read_results(cells, folder)
    seconds = sum(r.values.get("seconds", 0.0) for r in (*read_results(_prepared(cells), folder), *results))
    groups = group_results(results)
    experiment = Experiment(
        recipe, groups, judge_claims(recipe, groups), describe_outcome(recipe, groups), len(cells),
        {name: hash_judgements(found) for name, found in data.items()},
        {"Python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}},
        _describe_machine(), seconds,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip
    write_atomically(folder / "report.html", build_report(experiment))
    write_atomically(folder / "cells.csv", build_csv(experiment))
    return experiment


def _describe_machine() -> str:
    device = read_device()
    return f"{device.label}, {device.total_gib:.0f} GiB, {platform.system()} {platform.machine()}"


def _describe_end(record: dict[str, Any]) -> str:
    lines = [f"{record['n_done']} of {record['n_cells']} cells are done, {record['n_failed']} failed."]
    lines += [f"{c['outcome']}: {c['text']} - {c['detail']}" for c in record["claims"]]
    return "\n".join([*lines, f"Report: {record['report']}"])
