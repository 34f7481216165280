"""What an experiment's report tells in words and numbers: cells, gaps, table, sample answers, settings, and its CSV.

Knows experiment records; knows no figure, no markup, no file. Texts are as people wrote them: whoever puts them on a
page escapes them.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

import yaml

from bnf_lab.core.config import EMBEDDED_HUB_ID, EMBEDDED_MODEL
from bnf_lab.core.durations import in_words
from bnf_lab.core.numbers import counted
from bnf_lab.core.paths import without_folders, without_places
from bnf_lab.experiments.lines import setting_words, value_label
from bnf_lab.experiments.measures import MEASURES
from bnf_lab.experiments.recipes import Cell, Recipe
from bnf_lab.experiments.records import CellResult, Estimate, Experiment, Group, SampleAnswer
from bnf_lab.runs.records import RunState

ANSWER_CHARS = 300
ANSWERS_PER_GROUP = 3
COLUMNS = {
    "accuracy": "Accuracy",
    "accuracy_shift": "Accuracy of shifts",
    "margin": "Margin",
    "preferred_shift": "Preferred shift",
    "dispreferred_shift": "Dispreferred shift",
    "kl": "KL to base",
    "broken_answers": "Broken answers",
}
"""Measures in the table and what stands above them there."""
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def build_csv(experiment: Experiment) -> str:
    """Returns one row a cell: data, varied settings, seed, state, problem, step and every measure.

    Cells that have not begun are there too, with the state "missing". Texts that a spreadsheet would take for a
    formula are led by an apostrophe.
    """
    varied = [name for name in experiment.recipe.varied if name != "data"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["data", *varied, "seed", "state", "problem", "step", *MEASURES])
    for cell, result in _every_cell(experiment):
        settings = without_folders([cell.data, *(cell.setting(name) for name in varied)])
        outcome = (result.state, without_places(result.problem or ""), result.step) if result else ("missing", "", "")
        values = [result.values.get(name, "") if result else "" for name in MEASURES]
        writer.writerow(map(_safe, (*settings, cell.seed, *outcome, *values)))
    return encodable(text.getvalue())


def _safe(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def encodable(text: str) -> str:
    """Replaces lone surrogates, which no file in UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


# --- cells ----------------------------------------------------------------------------------------------------------


def _every_cell(experiment: Experiment) -> Iterator[tuple[Cell, CellResult | None]]:
    """Yields every cell with what it gave; None while it has not begun."""
    found = {result.cell.name: result for group in experiment.groups for result in group.results}
    for cell in experiment.cells:
        yield cell, found.get(cell.name)


def _word_of(result: CellResult | None) -> str:
    if result is None:
        return "not run"
    if result.state == RunState.FINISHED or result.values.get("collapsed", 0.0) > 0:
        return "done"
    return "failed" if result.state == RunState.FAILED else "not finished"


def list_facts(experiment: Experiment) -> list[str]:
    recipe = experiment.recipe
    n_done = sum(_word_of(result) == "done" for _, result in _every_cell(experiment))
    models = dict.fromkeys(cell.config.model for cell in experiment.cells)
    names = [
        f"{EMBEDDED_HUB_ID.split('/')[-1]} (embedded)" if m == EMBEDDED_MODEL else without_folders(m) for m in models
    ]
    seeds = counted(recipe.seeds, "seed")
    facts = [f"{n_done} of {counted(len(experiment.cells), 'cell')}", seeds, ", ".join(names)]
    facts += [f"{in_words(experiment.seconds)} of computing"] if experiment.seconds else []
    return [*facts, experiment.made_at[:16].replace("T", " ")]


def list_gaps(experiment: Experiment) -> dict[str, Any] | None:
    """Returns what is missing of the experiment, in words, and every cell that is not done; None if nothing is."""
    cells = [(cell, result, _word_of(result)) for cell, result in _every_cell(experiment)]
    counts = Counter(word for _, _, word in cells)
    others = [f"{counts[word]} {word}" for word in ("failed", "not finished", "not run") if counts[word]]
    if not others:
        return None
    recipe = experiment.recipe
    lines = [
        {
            "name": f"{value_label('data', cell.data)}, {_group_name(recipe, cell)}, seed {cell.seed}",
            "word": word,
            "problem": _clip(without_places(result.problem or "")) if result else "",
        }
        for cell, result, word in cells
        if word in ("failed", "not finished")
    ]
    return {
        "text": f"{counts['done']} of {counted(len(experiment.cells), 'cell')}; {', '.join(others)}.",
        "cells": lines,
    }


def _group_name(recipe: Recipe, group: Cell | Group) -> str:
    """Returns what tells a group from the others on its data set."""
    return ", ".join(
        value_label(name, group.setting(name))
        if name == recipe.compare
        else f"{setting_words(name)} {value_label(name, group.setting(name))}"
        for name in row_settings(recipe)
    )


def row_settings(recipe: Recipe) -> list[str]:
    """Returns the settings that tell groups apart, the compared one first."""
    names = [name for name in recipe.varied if name != "data"]
    return sorted(names, key=lambda name: name != recipe.compare)


# --- table and answers ----------------------------------------------------------------------------------------------


def build_rows(experiment: Experiment) -> list[dict[str, Any]]:
    """Returns a row a group; one whose cells have all not begun is a row without numbers."""
    names = row_settings(experiment.recipe)
    return [_build_row(names, group) for group in experiment.groups]


def _build_row(names: Sequence[str], group: Group) -> dict[str, Any]:
    settings = [(value_label(name, value), value) for name in names for value in [group.setting(name)]]
    words = Counter(map(_word_of, group.results))
    judged = sum("collapsed" in result.values for result in group.results)
    return {
        "data": value_label("data", group.data),
        "settings": [(label, v if isinstance(v, int | float) else label) for label, v in settings],
        "n": f"{words['done']} of {len(group.cells)}",
        "n_done": words["done"],
        "is_whole": words["done"] == len(group.cells),
        "n_failed": words["failed"],
        "estimates": [_describe(group.estimates.get(name)) for name in COLUMNS],
        "collapsed": f"{group.n_collapsed} of {judged}" if judged else "",
        "n_collapsed": group.n_collapsed if judged else "",
    }


def _describe(estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {"value": "", "mean": "", "interval": ""}
    low, high = estimate.low, estimate.high
    interval = "" if low is None or high is None else f"{_number(low)} to {_number(high)}"
    return {"value": estimate.mean, "mean": _number(estimate.mean), "interval": interval}


def _number(value: float) -> str:
    """Returns a number for a table: three decimals, fewer where it is large.

    >>> _number(0.91666), _number(-153.217)
    ('0.917', '-153.2')
    """
    return f"{value:.3f}" if abs(value) < 10 or not math.isfinite(value) else f"{value:.1f}"


def list_samples(experiment: Experiment) -> dict[str, list[dict[str, Any]]]:
    """Returns a few sample answers of each group by data set, first one of each seed."""
    found: dict[str, list[dict[str, Any]]] = {}
    for group in experiment.groups:
        by_seed = zip_longest(*([(result.cell.seed, answer) for answer in result.answers] for result in group.results))
        taken = [pair for pair in chain.from_iterable(by_seed) if pair is not None][:ANSWERS_PER_GROUP]
        if taken:
            found.setdefault(value_label("data", group.data), []).append(
                {
                    "name": _group_name(experiment.recipe, group),
                    "n_broken": sum(a.is_broken for _, a in taken),
                    "answers": [_clip_answer(seed, answer) for seed, answer in taken],
                }
            )
    return found


def _clip_answer(seed: int, answer: SampleAnswer) -> dict[str, Any]:
    texts = {name: _clip(getattr(answer, name)) for name in ("prompt", "before", "after")}
    return {"seed": seed, "is_broken": answer.is_broken, **texts}


def _clip(text: str) -> str:
    return text if len(text) <= ANSWER_CHARS else f"{text[:ANSWER_CHARS]}…"


# --- how it was done ------------------------------------------------------------------------------------------------


def write_recipe(recipe: Recipe) -> str:
    values = {
        "data": list(recipe.data),
        "seeds": recipe.seeds,
        "settings": dict(recipe.settings),
        "arms": [{name: list(values) for name, values in arm.items()} for arm in recipe.arms],
        "compare": recipe.compare,
        "along": recipe.along,
    }
    return str(
        yaml.safe_dump(without_folders(values), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
    )


def list_shared(experiment: Experiment) -> Mapping[str, Any]:
    """Returns the settings that all cells share, defaults included."""
    config = experiment.cells[0].config
    hidden = {*experiment.recipe.varied, "seed", "n_steps" if config.passes else "passes"}
    shared = {name: value for name, value in config.to_dict().items() if name not in hidden}
    return dict(without_folders(shared))
