"""The columns of the list of runs, and how it is sorted, searched and cut. Knows summaries; no component, no lab."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from markupsafe import Markup

from bnf_lab.core.durations import in_words
from bnf_lab.core.methods import method_label
from bnf_lab.core.numbers import signed
from bnf_lab.core.paths import without_folders
from bnf_lab.lab.run_summaries import RunSummary
from bnf_lab.runs.verdict import describe_flaw
from bnf_lab.ui.markup import fill, joined
from bnf_lab.ui.runs import words

NONE = "\N{EN DASH}"
ROWS = (10, 25, 50, 100, 500)
MAX_SEARCH_CHARS = 100


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        label: Its heading.
        value: What it is sorted by; None, where there is nothing, comes last either way.
        cell: What it shows of a run.
        help: What a person is told who rests on the heading.
        is_falling: Whether the first press on the heading puts the largest first.
        is_shown: Whether it is there before anybody has chosen.
    """

    label: str
    value: Callable[[RunSummary], Any]
    cell: Callable[[RunSummary], Markup]
    help: str = ""
    is_falling: bool = True
    is_shown: bool = True


@dataclass(frozen=True)
class ListView:
    """How a person looks at the list: sorted by which column, for what searched, which columns and how many rows."""

    sort: str = "started"
    is_falling: bool = True
    text: str = ""
    columns: tuple[str, ...] = field(default_factory=lambda: SHOWN)
    rows: int = 25

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ListView:
        """Returns a stored view, without what this lab does not know."""
        sort, columns, rows = values.get("sort"), values.get("columns"), values.get("rows")
        return cls(
            sort if sort in COLUMNS else "started",
            values.get("is_falling") is not False,
            str(values.get("text") or "")[:MAX_SEARCH_CHARS],
            tuple(name for name in columns if name in CHOSEN) if isinstance(columns, list) else SHOWN,
            rows if rows in ROWS else 25,
        )


def guard_word(run: RunSummary) -> tuple[str, str]:
    """Returns the tone ("ok", "bad", "") and a word or two for what a run came to."""
    verdict = run.verdict
    if run.status.is_diverged:
        return "bad", words.DIVERGED
    if verdict.warnings:
        return "bad", describe_flaw(verdict.last)[2:] or words.FLAWED
    if verdict.gaps:
        return "bad", words.GAPS
    if verdict.tone == "ok":
        return "ok", words.RECOVERED if verdict.history else words.SOUND
    return "", ""


def arrange(runs: Sequence[RunSummary], view: ListView) -> list[RunSummary]:
    """Returns the runs that match, in order; the cut at `view.rows` is the drawing's.

    Args:
        runs: Newest first; equals stay in that order.
        view: Each word of its text has to be somewhere in a run's words, in capitals or not.
    """
    wanted = view.text.casefold().split()
    found = [run for run in runs if all(word in _haystack(run) for word in wanted)] if wanted else list(runs)
    value = COLUMNS[view.sort].value
    known = [run for run in found if value(run) is not None]
    known.sort(key=value, reverse=view.is_falling)
    return known + [run for run in found if value(run) is None]


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


def draw_tags(run: RunSummary) -> Markup:
    return joined(fill('<span class="runs-tag">{}</span>', tag) for tag in run.tags)


def _haystack(run: RunSummary) -> str:
    parts = (run.title, run.run_id, *run.collections, *run.tags, run.note, run.method, method_label(run.method))
    return "\n".join((*parts, _model(run) or "", _state(run)[1], guard_word(run)[1])).casefold()


def _state(run: RunSummary) -> tuple[str, str]:
    return words.RUN_STATES[str(run.status.state)]


def _model(run: RunSummary) -> str | None:
    return str(without_folders(run.config.model)) if run.config else None


def _state_cell(run: RunSummary) -> Markup:
    kind, state = _state(run)
    flaws = [flaw for flaw, is_so in ((words.DAMAGED, run.is_damaged), (words.STILL, run.stillness)) if is_so]
    return fill(
        '<b class="lab-dot {}">{}</b>{}',
        "bad" if run.verdict.tone == "bad" or run.stillness else kind,
        state,
        joined(fill(' <span class="lab-small">{}</span>', flaw) for flaw in flaws),
    )


def _guard_cell(run: RunSummary) -> Markup:
    tone, word = guard_word(run)
    return fill('<span class="runs-guard {}">{}</span>', tone, word) if word else fill(NONE)


def _name_cell(run: RunSummary) -> Markup:
    data = _data(run)
    under = " · ".join(part for part in (data if data != run.title else "", format_moment(run.created_at)) if part)
    return fill('<span class="lab-small">{}</span>{}', under, draw_tags(run))


def _text(value: object) -> Markup:
    return fill("{}", NONE if value in (None, "") else value)


def _change(before: float | None, after: float | None, as_text: Callable[[float], str]) -> Markup:
    """Returns "before → after", the last value alone, or a dash where nothing was measured."""
    if after is None:
        return fill(NONE)
    if before is None:
        return fill("<b>{}</b>", as_text(after))
    return fill('<span class="lab-small">{} →</span> <b>{}</b>', as_text(before), as_text(after))


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _steps(run: RunSummary) -> str:
    return f"{run.status.step:,} / {run.status.total_steps:,}" if run.status.total_steps else NONE


def _rate(run: RunSummary) -> float | None:
    return run.config.learning_rate if run.config else None


def _per_step(run: RunSummary) -> int | None:
    return run.config.responses_per_step if run.config else None


def _data(run: RunSummary) -> str | None:
    return ", ".join(run.collections) or None


def _folded(value: Callable[[RunSummary], str | None]) -> Callable[[RunSummary], str | None]:
    return lambda run: (value(run) or "").casefold() or None


COLUMNS: dict[str, Column] = {
    "name": Column("Run", _folded(lambda r: r.title), _name_cell, is_falling=False),
    "started": Column(
        "Started", lambda r: r.created_at, lambda r: fill("{}", format_moment(r.created_at)), is_shown=False
    ),
    "state": Column("State", lambda r: _state(r)[1], _state_cell, is_falling=False),
    "guard": Column("Guard", lambda r: guard_word(r)[1] or None, _guard_cell, words.GUARD_HELP, is_falling=False),
    "method": Column(
        "Method", _folded(lambda r: method_label(r.method)), lambda r: _text(method_label(r.method)), "", False
    ),
    "model": Column("Model", _folded(_model), lambda r: _text(_model(r)), "", False, is_shown=False),
    "data": Column("Data", _folded(_data), lambda r: _text(_data(r)), is_falling=False, is_shown=False),
    "rate": Column("Rate", _rate, lambda r: _text(None if _rate(r) is None else f"{_rate(r):g}"), words.RATE_HELP),
    "per_step": Column("Per step", _per_step, lambda r: _text(_per_step(r)), words.PER_STEP_HELP),
    "steps": Column("Steps", lambda r: r.status.step, lambda r: fill("{}", _steps(r))),
    "time": Column(
        "Time", lambda r: r.seconds, lambda r: _text(in_words(r.seconds) if r.seconds else None), words.TIME_HELP
    ),
    "accuracy": Column(
        "Accuracy",
        lambda r: r.accuracy,
        lambda r: _change(r.accuracy_before, r.accuracy, _percent),
        words.ACCURACY_HELP,
    ),
    "margin": Column(
        "Margin", lambda r: r.margin, lambda r: _change(r.margin_before, r.margin, signed), words.MARGIN_HELP
    ),
    "preferred": Column(
        "Preferred",
        lambda r: r.preferred_logp,
        lambda r: _change(r.preferred_logp_before, r.preferred_logp, signed),
        words.LOGP_HELP,
    ),
    "dispreferred": Column(
        "Dispreferred",
        lambda r: r.dispreferred_logp,
        lambda r: _change(r.dispreferred_logp_before, r.dispreferred_logp, signed),
        words.LOGP_HELP,
    ),
    "note": Column("Note", _folded(lambda r: r.note), lambda r: _text(r.note), is_falling=False, is_shown=False),
}
"""Every column by its key, in the order of the table; the first one is always there."""

FIXED = "name"
SHOWN = tuple(name for name, column in COLUMNS.items() if column.is_shown and name != FIXED)
CHOSEN = tuple(name for name in COLUMNS if name != FIXED)
CHOICES = [(COLUMNS[name].label, name) for name in CHOSEN]
