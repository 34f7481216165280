"""What the Train tab says before a run starts: size, memory, time, and what is wrong. Pure: values -> markup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from bnf_lab.config import EMBEDDED_MODEL, field_specs
from bnf_lab.ui import train_texts as texts
from bnf_lab.ui.durations import in_words
from bnf_lab.ui.markup import fill, joined

if TYPE_CHECKING:
    from bnf_lab.lab_records import ModelChoice, Preflight


def draw_preflight(found: Preflight, notes: Sequence[str] = ()) -> Markup:
    """Returns the panel's content.

    Args:
        found: What the lab worked out.
        notes: More that is worth knowing, such as a model that has to be fetched first.
    """
    facts = [
        _fact("Responses", f"{found.n_responses:,}", _pairs(found.n_pairs)),
        _fact("Trained on", f"{found.n_train_responses:,}", f"{found.n_probe_pairs:,} pairs held out for the plots"
              if found.n_probe_pairs != 1 else "1 pair held out for the plots"),
        _fact("Tokens", _known(found.n_tokens, "{:,}"), _cut(found.n_truncated), is_odd=bool(found.n_truncated)),
        _fact("Memory", _known(found.memory_gib, "{:.1f} GiB"), f"{found.free_gib:.1f} GiB are free",
              is_odd=(found.memory_gib or 0) > found.free_gib),
        _fact("Time", f"about {in_words(found.seconds)}" if found.seconds is not None else texts.NOT_MEASURED,
              "from a measured step" if found.seconds is not None else ""),
    ]
    return fill(
        '<dl class="lab-facts">{facts}</dl>{help}{problems}',
        facts=joined(facts),
        help=fill('<p class="lab-small">{}</p>', texts.MEASURE_HELP)
        if found.seconds is None and not found.problems else "",
        problems=draw_problems(found.problems, (*found.warnings, *notes)),
    )


def draw_problems(problems: Sequence[str], warnings: Sequence[str] = ()) -> Markup:
    """Returns what blocks the start and what is only worth knowing, each in its own box."""
    if not problems and not warnings:
        return fill('<p class="lab-note ok">{}</p>', texts.READY)
    return joined(
        fill('<div class="lab-note {}"><h4>{}</h4><ul>{}</ul></div>', kind, title,
             joined(fill("<li>{}</li>", text) for text in lines))
        for kind, title, lines in (("bad", texts.BLOCKED, problems), ("wait", texts.WORTH_KNOWING, warnings)) if lines
    )


def fetch_note(model: str, choices: Sequence[ModelChoice]) -> str:
    """Returns what will happen about a model that is not on this machine yet; empty if it is."""
    if model == EMBEDDED_MODEL:
        return "" if any(c.id == model and c.is_fetched for c in choices) else texts.WILL_FETCH_EMBEDDED
    is_folder = model.startswith(("/", ".", "~"))
    return "" if is_folder or any(c.id == model for c in choices) else texts.WILL_FETCH_HUB.format(model=model)


def labelled(problem: str) -> str:
    """Returns a problem of a setting with the name that the page shows.

    >>> labelled("n_steps is 0; it must be from 1 to 100000 steps.")
    'Steps is 0; it must be from 1 to 100000 steps.'
    """
    name, _, rest = problem.partition(" ")
    spec = field_specs().get(name)
    return f"{spec.label} {rest}" if spec else problem


def _fact(name: str, value: str, more: str, *, is_odd: bool = False) -> Markup:
    return fill("<div><dt>{}</dt><dd><b>{}</b> <span{}>{}</span></dd></div>", name, value,
                Markup(' class="odd"') if is_odd else "", more)


def _known(value: float | None, form: str) -> str:
    return texts.NOT_FETCHED if value is None else form.format(value)


def _cut(n_truncated: int | None) -> str:
    if n_truncated is None:
        return ""
    return f"{n_truncated:,} responses are cut" if n_truncated else "nothing is cut"


def _pairs(n: int) -> str:
    return "in 1 pair" if n == 1 else f"{n:,} pairs among them" if n else "no pairs"
