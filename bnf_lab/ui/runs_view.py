"""Draws the list of runs as a table that becomes cards on a phone. Knows summaries; no component, no lab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from markupsafe import Markup

from bnf_lab.lab_records import RunSummary
from bnf_lab.settings import method_label
from bnf_lab.ui import chat_texts as words
from bnf_lab.ui.markup import fill, joined

NONE = "\N{EN DASH}"
COLUMNS = ("Run", "State", "Method", "Data", "Steps", "Accuracy", "Margin", "Preferred", "Dispreferred", "")


def draw_runs(runs: Sequence[RunSummary], chosen: str) -> Markup:
    """Returns the table, or what to do first if there is no run.

    Args:
        runs: Newest first.
        chosen: Id of the run that the panel below is about.
    """
    if not runs:
        return fill('<div class="lab-empty">{}</div>', words.RUNS_EMPTY)
    head = joined(fill("<th>{}</th>", name) for name in COLUMNS)
    rows = joined(_row(run, is_chosen=run.run_id == chosen) for run in runs)
    return fill(
        '<p class="lab-small runs-intro">{}</p><div class="lab-scroll runs-scroll"><table class="lab-table runs-table">'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>",
        words.RUNS_INTRO, head, rows,
    )


def draw_title(run: RunSummary, model: str) -> Markup:
    """Returns the head of the panel: which run it is about and, if it says so, why it ended."""
    what = joined(
        fill('<p class="lab-hint runs-{}">{}</p>', kind, text)
        for kind, text in (("failure", run.status.failure), ("notice", run.status.notice)) if text
    )
    return fill('<h3>{}</h3><p class="lab-small">{} · run {} · {}</p>{}',
                run_name(run), model, run.run_id, format_moment(run.created_at), what)


def run_name(run: RunSummary) -> str:
    """Returns what a person calls a run: its name, else its data (a run without a name is stored under its id)."""
    return run.name if run.name != run.run_id else ", ".join(run.collections) or run.run_id


def format_moment(iso: str) -> str:
    """Returns a moment in the server's own time.

    >>> format_moment("not a moment")
    'not a moment'
    """
    try:
        moment = datetime.fromisoformat(iso).astimezone()
    except ValueError:
        return iso
    return f"{moment.day} {moment:%b %Y, %H:%M}"


def _row(run: RunSummary, *, is_chosen: bool) -> Markup:
    kind, state = words.RUN_STATES[str(run.status.state)]
    name = fill(
        '<button type="button" class="runs-name" data-act="choose" data-run="{}" aria-pressed="{}">{}</button>'
        '<span class="lab-small">{}</span>',
        run.run_id, "true" if is_chosen else "false", run_name(run), format_moment(run.created_at),
    )
    steps = f"{run.status.step:,} / {run.status.total_steps:,}" if run.status.total_steps else NONE
    cells = (
        name,
        fill('<b class="lab-dot {}">{}</b>', kind, state),
        method_label(run.method),
        ", ".join(run.collections) or NONE,
        steps,
        _change(run.accuracy_before, run.accuracy, _percent),
        _change(None, run.margin, _signed),
        _change(run.preferred_logp_before, run.preferred_logp, _signed),
        _change(run.dispreferred_logp_before, run.dispreferred_logp, _signed),
        fill('<button type="button" data-act="open" data-run="{}">Open</button>', run.run_id),
    )
    return fill('<tr class="{}">{}</tr>', "chosen" if is_chosen else "", joined(
        fill('<td data-label="{}">{}</td>', label, cell) for label, cell in zip(COLUMNS, cells, strict=True)
    ))


def _change(before: float | None, after: float | None, as_text: Callable[[float], str]) -> Markup:
    """Returns "before → after", the last value alone, or a dash where nothing was measured."""
    if after is None:
        return fill(NONE)
    if before is None:
        return fill("<b>{}</b>", as_text(after))
    return fill('<span class="lab-small">{} →</span> <b>{}</b>', as_text(before), as_text(after))


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _signed(value: float) -> str:
    r"""Returns a number with a true minus sign.

    >>> _signed(-0.851).replace("\N{MINUS SIGN}", "minus "), _signed(2.0)
    ('minus 0.85', '2.00')
    """
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
