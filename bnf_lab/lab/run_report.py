"""A run's folder -> one HTML page that opens without a network, to keep or to send.

The page is `assets/run_report.html`; this room says what stands in it: settings, verdict, curves, and what the model
said before and after. Texts of people and models are escaped by the template; no folder of the machine comes along.
This room must not know owners or pages of the lab.
"""

from __future__ import annotations

import html
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnf_lab.core.config import RunConfig
from bnf_lab.core.durations import in_words
from bnf_lab.core.errors import NotFound
from bnf_lab.core.files import write_atomically
from bnf_lab.core.methods import method_label
from bnf_lab.core.numbers import signed
from bnf_lab.core.paths import without_places
from bnf_lab.experiments.report import render_page
from bnf_lab.lab.export import file_stem
from bnf_lab.lab.run_summaries import RunSummary, list_settings
from bnf_lab.plots.curves import READING, feedback_map
from bnf_lab.plots.run_figures import STEP_FIGURES
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.indexes import MetricIndex, TokenIndex
from bnf_lab.runs.model_card import name_base
from bnf_lab.runs.verdict import describe_best, describe_history, describe_warnings

FIGURES = {
    "likelihood": "Likelihood",
    "accuracy": "Accuracy and margin",
    "logits": "Logit shifts",
    "training": "Loss, gradient and gate",
    "distribution": "Distance and entropy",
    "feedback": "Feedback map",
}
"""The figures of a run that can be taken along, and their titles."""


@dataclass(frozen=True)
class SampleAnswer:
    """A prompt and what the model said to it before training and last."""

    prompt: str
    before: str | None
    after: str
    step: int
    is_broken: bool


def draw_figures(folder: RunFolder, names: Collection[str] = tuple(FIGURES)) -> dict[str, dict[str, Any]]:
    """Returns figures of a run as plotly has them, by name; the feedback map at the last recorded step."""
    points = folder.index_metrics(MetricIndex()).ordered
    drawn = {name: make(points) for name, make in STEP_FIGURES.items() if name in names}
    tokens = folder.index_tokens(TokenIndex()) if "feedback" in names else TokenIndex()
    if tokens.header is not None and tokens.steps:
        snapshot = folder.read_snapshot(tokens, tokens.steps[-1])
        drawn["feedback"] = feedback_map(tokens.header, snapshot, beta=folder.read_config().beta)
    return {name: json.loads(drawn[name].to_json()) for name in FIGURES if name in drawn}


def export_figure(folder: RunFolder, run: RunSummary, name: str) -> dict[str, Any]:
    """Returns one figure for a file of its own: how the file is called, what stands over it, and how it is drawn.

    Raises:
        NotFound: If the run has not recorded what it shows.
    """
    drawn = draw_figures(folder, (name,))
    if name not in drawn:
        raise NotFound(
            f"{FIGURES.get(name, 'This figure')}: run {run.run_id} has recorded nothing for it. Choose another."
        )
    title = f"{html.escape(run.title)}: {FIGURES[name].lower()}"  # plotly reads some markup in a title
    return {"name": f"{file_stem(run.title, run.run_id, run.method)}-{name}", "title": title, "figure": drawn[name]}


def build_run_report(folder: RunFolder, run: RunSummary) -> str:
    """Returns the report of a run as one HTML page.

    Raises:
        RunRefused: If the run's settings cannot be read.
    """
    config = folder.read_config()
    drawn = draw_figures(folder)
    return render_page(
        "run_report.html",
        [{"id": _figure_id(name), **figure} for name, figure in drawn.items()],
        title=run.title,
        facts=_list_facts(run, config),
        note=run.note,
        tags=run.tags,
        troubles=[without_places(text) for text in (run.status.failure, run.obstacle) if text],
        notice=without_places(run.status.notice or ""),
        tone=run.verdict.tone,
        verdict=[*describe_warnings(run.verdict), describe_best(run.verdict), *describe_history(run.verdict)],
        numbers=_list_numbers(run),
        places=[
            {"id": _figure_id(name), "title": FIGURES[name], "caption": READING[name], "layout": figure["layout"]}
            for name, figure in drawn.items()
        ],
        answers=list_answers(folder),
        settings=list_settings(config),
    )


def _figure_id(name: str) -> str:
    return f"figure-{name}"


def export_report(folder: RunFolder, run: RunSummary, target: Path) -> Path:
    """Writes the report of a run into an existing folder, under the run's name."""
    path = target / f"{file_stem(run.title, run.run_id, run.method)}-report.html"
    write_atomically(path, build_run_report(folder, run))
    return path


def list_answers(folder: RunFolder) -> list[SampleAnswer]:
    """Returns each sample prompt with its first and its last answer, as far as the run has come."""
    by_prompt: dict[str, dict[int, Any]] = {}
    for answer in folder.index_answers().answers:
        by_prompt.setdefault(answer.prompt, {})[answer.step] = answer
    found = []
    for prompt, steps in by_prompt.items():
        last = steps[max(steps)]
        is_broken = last.step > 0 and (last.is_empty or last.is_repeating)
        before = steps[0].answer if 0 in steps else None
        found.append(SampleAnswer(prompt, before, last.answer, last.step, is_broken))
    return found


def _list_facts(run: RunSummary, config: RunConfig) -> list[str]:
    steps = f"{run.status.step:,} of {run.status.total_steps:,} steps"
    return [
        method_label(run.method),
        name_base(config),
        ", ".join(run.collections),
        f"{config.learning_rate:g} learning rate",
        f"{config.responses_per_step:,} responses a step",
        f"{run.status.state}, {steps}",
        f"{in_words(run.seconds)} of training" if run.seconds else "",
        f"run {run.run_id}",
        run.created_at[:10],
    ]


def _list_numbers(run: RunSummary) -> list[Mapping[str, str]]:
    """Returns what was measured on the held-out responses before training and last."""
    rows = (
        ("Accuracy", "share of held-out pairs", run.accuracy_before, run.accuracy, "{:.0%}".format),
        ("Margin", "nats/token", run.margin_before, run.margin, signed),
        ("Preferred", "log-likelihood, nats/token", run.preferred_logp_before, run.preferred_logp, signed),
        ("Dispreferred", "log-likelihood, nats/token", run.dispreferred_logp_before, run.dispreferred_logp, signed),
    )
    return [
        {"label": label, "unit": unit, "before": "" if before is None else words(before), "after": words(after)}
        for label, unit, before, after, words in rows
        if after is not None
    ]
