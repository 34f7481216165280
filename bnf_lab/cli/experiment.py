"""The verb `experiment`: a recipe's cells, one after the other, and the report of what they show.

It reads the command line and says what comes of it; `experiments.runner` does the work. No torch at load.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from bnf_lab.cli.options import (
    add_import_options,
    find_model,
    import_choices,
    model_name,
    read_judgements,
    whole,
)
from bnf_lab.cli.output import Output, UsageError
from bnf_lab.core.config import field_specs, override, parse_field
from bnf_lab.core.durations import in_words
from bnf_lab.core.numbers import counted
from bnf_lab.experiments.cells import Progress
from bnf_lab.experiments.recipes import Recipe, list_recipes, load_recipe
from bnf_lab.experiments.runner import Plan, default_folder, forecast, plan_experiment, run_experiment
from bnf_lab.runs.records import RunState


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
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="NAME=VALUE",
        help="a setting of all cells, such as n_steps=100; may be repeated",
    )
    parser.add_argument("--dry-run", action="store_true", help="count the cells and estimate the time")
    parser.add_argument("--json", action="store_true", help="the result as one JSON document")
    add_import_options(parser)
    parser.set_defaults(run=run_verb, writes_home=True)


def run_verb(args: argparse.Namespace, output: Output) -> int:
    """Runs what is missing of an experiment and writes its report; code 1 if not every cell came to its end."""
    recipe = _change(load_recipe(args.recipe), args)
    data = {name: read_judgements([name], choices=import_choices(args), output=output) for name in recipe.data}
    changes = [*args.changes, *recipe.data, recipe.seeds] if args.changes or args.data or args.seeds else []
    folder = (args.output or default_folder(recipe, changes)).resolve()
    plan = plan_experiment(recipe, data, folder, find_model)
    return _dry_run(plan, output) if args.dry_run else _run(plan, output)


def _run(plan: Plan, output: Output) -> int:
    try:
        outcome = run_experiment(plan, lambda progress: output.progress(describe_progress(progress)))
    except KeyboardInterrupt:
        output.complain("Interrupted; the same command goes on from here. The report holds what is done.")
        raise
    for result in outcome.failed:
        output.complain(f"{result.cell.name}: {result.problem}")
    record = {
        "output": str(plan.folder.path),
        "report": str(plan.folder.report),
        "n_cells": len(plan.cells),
        "n_done": outcome.n_done,
        "n_failed": len(outcome.failed),
        "claims": [vars(claim) for claim in outcome.experiment.claims],
    }
    output.result(record, _describe_end(record))
    return 0 if outcome.n_done == len(plan.cells) and not outcome.failed else 1


def _dry_run(plan: Plan, output: Output) -> int:
    found = forecast(plan, output.progress)
    lines, n_left = [f"{counted(found.n_cells, 'cell')}, {found.n_done} of them done"], found.n_cells - found.n_done
    if n_left:
        lines.append(
            f"time: about {in_words(found.seconds)} for the {n_left} left"
            if found.seconds is not None
            else "time: known after `fetch-model`"
        )
    output.result({"output": str(plan.folder.path), **vars(found)}, "\n".join(lines))
    return 0


def _change(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    """Returns the recipe with what the command line says instead."""
    changes: dict[str, Any] = {}
    for text in args.changes:
        name, _, value = text.partition("=")
        if name not in field_specs() or not value:
            raise UsageError(f"--set is {text[:40]!r}; NAME=VALUE is needed, where NAME is a setting of `train`.")
        if name in ("seed", *recipe.varied):
            raise UsageError(f"--set {name}: the recipe varies it. Copy the recipe's file and change the arms there.")
        changes[name] = parse_field(name, model_name(value) if name in ("model", "reference") else value)
    return replace(
        recipe,
        seeds=args.seeds or recipe.seeds,
        data=tuple(dict.fromkeys(args.data)) or recipe.data,
        settings=override(recipe.settings, changes),
    )


def describe_progress(progress: Progress) -> str:
    """Returns the progress line of an experiment."""
    status, settings = progress.status, ", ".join(f"{k} {v}" for k, v in progress.cell.arm.items())
    at = f"step {status.step} of {status.total_steps}" if status.state is RunState.TRAINING else str(status.phase)
    return (
        f"cell {progress.n_done + 1} of {progress.n_cells}: {progress.cell.data}, {settings}, seed"
        f" {progress.cell.seed}: {at}"
    )


def _describe_end(record: dict[str, Any]) -> str:
    lines = [
        f"{record['n_done']} of {counted(record['n_cells'], 'cell', 'is', 'are')} done, {record['n_failed']} failed."
    ]
    lines += [f"{c['outcome']}: {c['text']} - {c['detail']}" for c in record["claims"]]
    return "\n".join([*lines, f"Report: {record['report']}"])
