"""An experiment as the shell and pages start it: refused before anything is made, forecast, ended early, told."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.paths import experiments_dir
from bnf_lab.experiments import runner
from bnf_lab.experiments.cells import Progress
from bnf_lab.experiments.recipes import Claim, Recipe, load_recipe
from bnf_lab.experiments.runner import (
    Forecast,
    Plan,
    default_folder,
    forecast,
    plan_experiment,
    run_experiment,
    write_report,
)
from bnf_lab.runs.estimates import Preflight
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import RunState, RunStatus
from bnf_lab.training.preflight import Counter
from tests.support.judged import make_pairs

DATA = "pairs"
RECIPE = Recipe(
    "own",
    "Own",
    "Does it run?",
    (DATA,),
    ({"method": ("bnf", "dpo"), "learning_rate": (1e-3,)},),
    "method",
    "learning_rate",
    2,
    {"n_steps": 2, "responses_per_step": 4, "n_probe": 2},
    (Claim("BNF is right", {"method": "bnf"}, "accuracy", at_least=0.5),),
)


PAIRS = make_pairs()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BNF_LAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def find_none(name: str) -> None:
    """Where no model is on the machine."""


def make_plan(folder: Path, recipe: Recipe = RECIPE, find_model: Callable[[str], Path | None] = find_none) -> Plan:
    return plan_experiment(recipe, {DATA: PAIRS}, folder, find_model)


def finish(plan: Plan, index: int, **status: object) -> RunFolder:
    """Leaves a cell's folder as a run that came to its end does."""
    cell = plan.cells[index]
    folder = RunFolder.create(plan.folder.cell(cell).path, cell.config, PAIRS)
    folder.write_status(RunStatus(**{"state": RunState.FINISHED, "step": 2, "total_steps": 2} | status))
    return folder


# -- before the start


def test_a_plan_has_every_cell_and_touches_nothing(tmp_path: Path) -> None:
    plan = make_plan(tmp_path / "out")
    assert [(c.seed, c.config.method) for c in plan.cells] == [(0, "bnf"), (0, "dpo"), (1, "bnf"), (1, "dpo")]
    assert plan.missing == list(plan.cells)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_run_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    single = tuple(replace(j, pair_id=None) for j in PAIRS)
    with pytest.raises(RunRefused, match="pairs: DPO needs pairs"):
        plan_experiment(RECIPE, {DATA: single}, tmp_path / "out", find_none)
    lost = replace(RECIPE, settings={**RECIPE.settings, "reference": "no/such-model"})
    asked: list[str] = []
    with pytest.raises(RunRefused, match="'Reference' names the model 'no/such-model', which is not on this machine"):
        make_plan(tmp_path / "out", lost, lambda name: asked.append(name) or tmp_path)
    assert set(asked) == {"embedded"}
    make_plan(tmp_path / "out", lost)  # without the base model nobody can know
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_changed_recipe_is_its_own_and_stays_the_same(home: Path) -> None:
    assert default_folder(RECIPE) == experiments_dir(home) / "own"
    changed = [default_folder(RECIPE, changes) for changes in (["n_steps=3", "pairs", 2], ["n_steps=4", "pairs", 2])]
    assert [path.name for path in changed] == ["own-341bdf", "own-980c30"]  # folders of today must be found again


# -- the forecast


def test_a_forecast_without_the_model_counts_alone(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    finish(plan, 1)
    assert forecast(plan, lambda text: None) == Forecast(4, 1, None)


def test_what_is_done_takes_no_time(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    for index in range(4):
        finish(plan, index)
    assert forecast(plan, lambda text: None) == Forecast(4, 4, 0.0)


def test_a_prepared_run_is_counted_until_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(
        RECIPE,
        arms=({"reference": ("base", "prepared:tuned")},),
        compare="reference",
        along="reference",
        seeds=1,
        claims=(),
        prepare={"tuned": {"method": "sft"}},
    )
    counted: list[str] = []

    def check(self: Counter, judgements: object, config: RunConfig, *_: object) -> Preflight:
        counted.append(config.method)
        return Preflight(seconds=10.0)

    monkeypatch.setattr(Counter, "check", check)
    monkeypatch.setattr("bnf_lab.training.references.locate_reference", lambda *_: None)
    plan = make_plan(tmp_path, recipe, lambda name: tmp_path)
    assert forecast(plan, lambda text: None) == Forecast(2, 0, 30.0)
    assert counted == ["sft", "bnf", "bnf"]
    tuned = plan.cells[1].prepared
    folder = RunFolder.create(plan.folder.cell(tuned).path, tuned.config, PAIRS)
    folder.write_status(RunStatus(RunState.FINISHED, step=2, total_steps=2))
    assert forecast(plan, lambda text: None) == Forecast(2, 0, 20.0)


# -- the end


def states_of(plan: Plan) -> list[str]:
    with open(plan.folder.table, encoding="utf-8", newline="") as file:
        return [row["state"] for row in csv.DictReader(file)]


def test_an_outcome_counts_what_is_done_and_names_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(tmp_path)

    def run(cells: object, data: object, folder: object, on_progress: Callable[[Progress], None]) -> None:
        finish(plan, 0)
        finish(plan, 1, state=RunState.FAILED, failure="The disk is full.")
        on_progress(Progress(0, 4, plan.cells[0], plan.folder.cell(plan.cells[0]).read_status()))

    seen: list[Progress] = []
    monkeypatch.setattr(runner, "run_cells", run)
    outcome = run_experiment(plan, seen.append)
    assert (outcome.n_done, [(r.cell, r.problem) for r in outcome.failed]) == (
        1,
        [(plan.cells[1], "The disk is full.")],
    )
    assert len(seen) == 1
    assert [claim.outcome for claim in outcome.experiment.claims] == ["not measured"]
    assert outcome.experiment.cells == plan.cells
    assert states_of(plan) == ["finished", "failed", "missing", "missing"]
    assert "1 of 4 cells" in plan.folder.report.read_text(encoding="utf-8")


def test_an_interruption_leaves_a_report_of_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(tmp_path)

    def run(*_: object) -> None:
        finish(plan, 0)
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_cells", run)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(plan, lambda progress: None)
    assert states_of(plan) == ["finished", "missing", "missing", "missing"]


def test_a_refusal_leaves_the_report_that_was_there(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    plan.folder.claim_data({DATA: make_pairs(13)})
    plan.folder.report.write_text("the other data's")
    with pytest.raises(RunRefused, match="another version of pairs"):
        run_experiment(plan, lambda progress: None)
    assert plan.folder.report.read_text() == "the other data's"


def test_the_cells_of_the_labs_own_recipes_are_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(load_recipe("stability"), seeds=1)
    calls: list[int] = []
    honest = Recipe.cells
    monkeypatch.setattr(Recipe, "cells", lambda self: calls.append(1) or honest(self))
    plan = plan_experiment(recipe, {name: PAIRS for name in recipe.data}, tmp_path, find_none)
    write_report(plan)
    assert len(calls) == 1
