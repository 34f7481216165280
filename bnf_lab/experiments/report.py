"""An experiment's records -> one HTML page that opens without a network.

The page is `assets/report.html`; this room says what stands in it. Texts that people wrote are escaped by the template,
figures travel as JSON without any character that could end their script. It knows no run folder, no gradio, no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from bnf_lab.core.paths import ASSETS
from bnf_lab.experiments.figures import (
    CEILING,
    FLOOR,
    LOGIT_SHIFTS,
    SHIFTS,
    curve_figures,
    curve_setting,
    is_clipped,
    logit_shift_figure,
    measure_figure,
)
from bnf_lab.experiments.lines import (
    Line,
    build_lines,
    lines_of,
    setting_label,
    setting_words,
    value_label,
)
from bnf_lab.experiments.measures import MEASURES
from bnf_lab.experiments.recipes import Recipe
from bnf_lab.experiments.records import Experiment
from bnf_lab.experiments.results import COLLAPSE
from bnf_lab.experiments.tables import (
    COLUMNS,
    build_rows,
    encodable,
    list_facts,
    list_gaps,
    list_samples,
    list_shared,
    row_settings,
    write_recipe,
)
from bnf_lab.experiments.verdicts import INTERVALS

SYMBOLS = {"holds": "✓", "does not hold": "✗", "within noise": "≈", "one run only": "1", "not measured": "–"}  # noqa: RUF001 - a dash


@dataclass(frozen=True)
class _Place:
    """A figure's place on the page: its element's name, heading, words under it, and what drawing it takes."""

    id: str
    title: str
    caption: str
    figure: go.Figure


@dataclass(frozen=True)
class _Section:
    """What is drawn of one data set, or of all where data is compared."""

    title: str
    places: list[_Place]
    curves_title: str = ""
    curves: list[_Place] = field(default_factory=list)


def build_report(experiment: Experiment) -> str:
    """Returns the report: one HTML page with plotly's script, every figure and every number in it."""
    recipe = experiment.recipe
    sections = _build_sections(experiment)
    places = [place for section in sections for place in (*section.places, *section.curves)]
    return render_page(
        "report.html",
        [_to_json(place) for place in places],
        experiment=experiment,
        recipe=recipe,
        facts=list_facts(experiment),
        gaps=list_gaps(experiment),
        symbols=SYMBOLS,
        sections=sections,
        columns=[(label, MEASURES[name].unit) for name, label in COLUMNS.items()],
        settings=[setting_label(name) for name in row_settings(recipe)],
        rows=build_rows(experiment),
        samples=list_samples(experiment),
        recipe_text=write_recipe(recipe),
        shared=list_shared(experiment),
        collapse=COLLAPSE,
        intervals=INTERVALS,
    )


def render_page(template: str, figures: Sequence[Mapping[str, Any]], **values: Any) -> str:
    """Returns a page of `assets/` with plotly's script in it, once.

    Args:
        template: Name of the file.
        figures: The figures as JSON has them, each with the `id` of its place on the page.
        values: What else the page shows; texts are escaped.
    """
    environment = Environment(loader=FileSystemLoader(ASSETS), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    script = Markup(get_plotlyjs())  # noqa: S704 - plotly's own file
    return encodable(environment.get_template(template).render(figures=figures, plotly_script=script, **values))


def _build_sections(experiment: Experiment) -> list[_Section]:
    recipe = experiment.recipe
    every = build_lines(recipe, experiment.groups)  # a line looks the same however much of the experiment is done
    lines = lines_of(every)
    if not lines:
        return []
    if "data" in (recipe.compare, recipe.along):
        return [_build_section(recipe, "All data sets", lines, 0)]
    chosen = [(data, lines_of(lines, data)) for data in recipe.data]
    return [
        _build_section(recipe, value_label("data", data), found, k) for k, (data, found) in enumerate(chosen) if found
    ]


def _build_section(recipe: Recipe, title: str, lines: Sequence[Line], k: int) -> _Section:
    along = setting_words(recipe.along)
    kinds = [
        (
            "Held-out accuracy",
            f"Share of held-out pairs whose preferred answer is the likelier one, by {along}, with"
            " 95 % intervals; 0.5 is chance.",
            measure_figure(recipe, lines, ["accuracy"]),
        ),
        (
            "Shift of the log-likelihood, nats/token",
            "Above zero an answer became likelier than under the base model;"
            f" preferred answers should not sink.{_note_edges(lines, SHIFTS)}",
            measure_figure(recipe, lines, SHIFTS),
        ),
    ]
    if {"label_noise", "contradictions"} & {*recipe.varied}:
        kinds.append(
            (
                "Training under noise",
                "How much the loss jumps about from step to step, and how long the gradient is before clipping.",
                measure_figure(recipe, lines, ["loss_variance", "grad_norm"]),
            )
        )
    if recipe.compare == recipe.along == "method":
        kinds.append(
            (
                "Shifts of logits",
                "Log-likelihood moves by the target-logit shift minus the log-sum-exp shift."
                f"{_note_edges(lines, LOGIT_SHIFTS)}",
                logit_shift_figure(recipe, lines),
            )
        )
    places = [_Place(f"figure-{k}-{i}", *kind) for i, kind in enumerate(kinds)]
    value = curve_setting(recipe, lines)
    curves = [] if value is None else curve_figures(recipe, lines, value)
    at = f" {'on' if recipe.along == 'data' else f'at {along}'} {value_label(recipe.along, value)}"
    at = "" if recipe.along == recipe.compare else at
    return _Section(
        title,
        places,
        f"Over the run{at}",
        [_Place(f"curve-{k}-{i}", name, "", figure) for i, (name, figure) in enumerate(curves)],
    )


def _note_edges(lines: Sequence[Line], measures: Sequence[str]) -> str:
    has_more = any(is_clipped(name, group) for line in lines for group in line.groups for name in measures)
    return f" Values beyond {FLOOR:g} or {CEILING:g} stand at the edge; hover for the value." if has_more else ""


def _to_json(place: _Place) -> dict[str, Any]:
    return {"id": place.id, **json.loads(place.figure.to_json())}
