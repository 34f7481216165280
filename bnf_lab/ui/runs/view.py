"""Draws the list of runs as a table that becomes cards on a phone. Knows summaries; no component, no lab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from bnf_lab.lab.run_summaries import RunSummary, list_settings
from bnf_lab.runs.verdict import describe_best, describe_history, describe_warnings
from bnf_lab.ui.markup import fill, joined
from bnf_lab.ui.runs import words
from bnf_lab.ui.runs.columns import COLUMNS, FIXED, Column, ListView, arrange, draw_tags, format_moment


def draw_runs(runs: Sequence[RunSummary], chosen: str, view: ListView | None = None) -> Markup:
    """Returns the table, or what to do first if there is no run.

    Args:
        runs: Newest first.
        chosen: Id of the run that the panel below is about.
        view: How the person looks at the list.
    """
    if not runs:
        return fill('<div class="lab-empty">{}</div>', words.RUNS_EMPTY)
    view = view or ListView()
    found = arrange(runs, view)
    if not found:
        return fill('<div class="lab-empty">{}</div>', words.NOTHING_FOUND.format(text=view.text.strip()))
    columns = {name: column for name, column in COLUMNS.items() if name == FIXED or name in view.columns}
    cut = words.ROWS_SHOWN.format(shown=view.rows, found=len(found)) if len(found) > view.rows else ""
    return fill(
        '<p class="lab-small runs-intro">{}</p><div class="lab-scroll runs-scroll" tabindex="0" role="region"'
        ' aria-label="{}"><table class="lab-table runs-table"><thead><tr>{}<th scope="col">{}</th></tr></thead>'
        "<tbody>{}</tbody></table></div>{}",
        words.RUNS_INTRO,
        words.TABLE_LABEL,
        joined(_heading(name, column, view) for name, column in columns.items()),
        words.ACTIONS,
        joined(_row(run, columns, is_chosen=run.run_id == chosen) for run in found[: view.rows]),
        fill('<p class="lab-small">{}</p>', cut) if cut else "",
    )


def draw_settings(run: RunSummary | None) -> Markup:
    """Returns the settings of a run; those that are not the lab's default stand out."""
    if run is None or run.config is None:
        return fill('<p class="lab-small">{}</p>', words.NO_SETTINGS)
    lines = joined(
        fill("<dt>{}</dt><dd{}>{}</dd>", line.label, fill("") if line.is_default else fill(' class="odd"'), line.value)
        for line in list_settings(run.config)
    )
    return fill('<p class="lab-small">{}</p><dl class="runs-settings">{}</dl>', words.SETTINGS_HELP, lines)


def draw_title(run: RunSummary, model: str) -> Markup:
    """Returns the head of the panel: which run it is about, why it ended and why it cannot go on, where it says so."""
    what = joined(
        fill('<p class="lab-hint runs-{}">{}</p>', kind, text)
        for kind, text in (
            ("failure", run.stillness),
            ("failure", run.status.failure),
            ("notice", run.status.notice),
            ("failure" if run.is_damaged else "obstacle", run.obstacle),
            ("notice", " ".join(describe_warnings(run.verdict))),
            ("best", describe_best(run.verdict)),
            ("history", " ".join(describe_history(run.verdict))),
        )
        if text
    )
    return fill(
        '<h3>{} {}</h3><p class="lab-small">{} · run {} · {}</p>{}{}',
        run.title,
        draw_tags(run),
        model,
        run.run_id,
        format_moment(run.created_at),
        fill('<p class="runs-note">{}</p>', run.note) if run.note else "",
        what,
    )


def _heading(name: str, column: Column, view: ListView) -> Markup:
    is_sorted = name == view.sort
    return fill(
        '<th scope="col"{}><button type="button" data-act="sort" data-key="{}" title="{}">{}</button></th>',
        fill(' aria-sort="{}"', "descending" if view.is_falling else "ascending") if is_sorted else "",
        name,
        column.help,
        column.label,
    )


def _row(run: RunSummary, columns: Mapping[str, Column], *, is_chosen: bool) -> Markup:
    button = fill(
        '<button type="button" class="runs-name" data-act="choose" data-run="{}" aria-pressed="{}">{}</button>',
        run.run_id,
        "true" if is_chosen else "false",
        run.title,
    )
    cells = joined(
        fill('<td data-label="{}">{}{}</td>', column.label, button if name == FIXED else "", column.cell(run))
        for name, column in columns.items()
    )
    return fill(
        '<tr class="{}">{}<td><button type="button" data-act="open" data-run="{}" aria-label="{}">Open</button></td>'
        "</tr>",
        "chosen" if is_chosen else "",
        cells,
        run.run_id,
        words.OPEN_RUN.format(name=run.title),
    )
