"""What the Train tab says before a run starts: size, memory, time, and what is wrong. Pure: values -> markup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from bnf_lab.core.config import EMBEDDED_MODEL, RunConfig, field_default, field_specs
from bnf_lab.core.durations import in_words
from bnf_lab.core.numbers import counted
from bnf_lab.runs.estimates import Preflight, describe_passes, elide
from bnf_lab.ui.markup import fill, joined
from bnf_lab.ui.train import words

if TYPE_CHECKING:
    from bnf_lab.lab.models import ModelStatus
    from bnf_lab.runs.estimates import ReadResponse, TextPiece


def draw_preflight(
    found: Preflight, notes: Sequence[str] = (), *, model: str = "", missing: str = "", can_measure: bool = False
) -> Markup:
    """Returns the panel's content; what has not been computed is left blank.

    Args:
        found: What the lab worked out.
        notes: More that is worth knowing.
        model: Name of the base model that the run starts from.
        missing: What there is to say of a model that has to be fetched first.
        can_measure: Whether a step can be measured now.
    """
    boxes = [draw_problems(found.problems, (*found.warnings, *notes), is_ready=not missing)]
    if missing:
        boxes.append(_note("wait", words.NOT_HERE, fill("<p>{}</p>", missing)))
    return fill(
        "{facts}{help}{boxes}",
        facts=_draw_facts(found, model),
        help=fill('<p class="lab-small">{}</p>', words.MEASURE_HELP) if can_measure else "",
        boxes=joined(boxes),
    )


def draw_checking() -> Markup:
    """Returns the panel's content while a run is counted: no number and no verdict of the settings before."""
    return fill("{}{}", _draw_facts(None), _note("wait", words.CHECKING, fill("<p>{}</p>", words.CHECKING_MORE)))


def draw_unchecked() -> Markup:
    """Returns the panel's content where counting broke off."""
    return fill("{}{}", _draw_facts(None), _note("bad", words.NOT_CHECKED))


def _draw_facts(found: Preflight | None, model: str = "") -> Markup:
    found = found or Preflight()
    about = "about " if found.is_about else ""
    facts = [
        _fact(words.STARTS_FROM, model or words.UNKNOWN, words.AFRESH if model else ""),
        _fact("Responses", _known(found.n_responses, "{:,}"), _pairs(found.n_pairs)),
        _fact("Held out", _known(found.n_probe_pairs, "{:,}"), _held_out(found)),
        _fact(
            "Read",
            words.UNKNOWN
            if found.n_read is None
            else f"{found.n_read:,} of {counted(found.n_train_responses, 'response')},",
            "" if found.passes is None else describe_passes(found.passes, is_about=found.is_about),
        ),
        _fact(
            "Tokens read",
            _known(found.n_tokens_read, f"{about}{{:,}}"),
            _cut(found.n_truncated),
            is_odd=bool(found.n_truncated),
        ),
        _fact(
            "Memory",
            _known(found.memory_gib, "{:.1f} GiB" if found.is_memory_measured else "about {:.1f} GiB"),
            "" if found.free_gib is None else f"{_source(found)}{found.free_gib:.1f} GiB are free",
            is_odd=found.free_gib is not None and (found.memory_gib or 0) > found.free_gib,
        ),
        _fact(
            "Time",
            words.UNKNOWN if found.seconds is None else f"about {in_words(found.seconds)}",
            "" if found.seconds is None else "from a measured step",
        ),
    ]
    return fill('<dl class="lab-facts">{}</dl>', joined(facts))


def _source(found: Preflight) -> str:
    if found.memory_gib is None:
        return ""
    return "measured; " if found.is_memory_measured else "estimated; "


def draw_reading(reading: Sequence[ReadResponse]) -> Markup:
    """Returns the exact text that the model reads of one pair, the response's tokens marked one by one."""
    if not reading:
        return fill('<p class="lab-small">{}</p>', words.READING_UNKNOWN)
    return fill(
        '<p class="lab-small">{}</p>{}', words.READING_HELP, joined(_read_response(response) for response in reading)
    )


def draw_problems(problems: Sequence[str], warnings: Sequence[str] = (), *, is_ready: bool = True) -> Markup:
    """Returns what blocks the start and what is only worth knowing, each in its own box.

    Args:
        problems: What blocks the start.
        warnings: What is only worth knowing.
        is_ready: Whether all is in order where there is neither.
    """
    if not problems and not warnings:
        return fill('<p class="lab-note ok">{}</p>', words.READY) if is_ready else Markup("")
    boxes = (("bad", words.BLOCKED, problems), ("wait", words.WORTH_KNOWING, warnings))
    return joined(
        _note(kind, title, fill("<ul>{}</ul>", joined(fill("<li>{}</li>", text) for text in lines)))
        for kind, title, lines in boxes
        if lines
    )


def _note(kind: str, title: str, body: Markup | str = "") -> Markup:
    return fill('<div class="lab-note {}"><h4>{}</h4>{}</div>', kind, title, body)


def fetch_note(model: str, status: ModelStatus | None) -> str:
    """Returns what will happen about a model that is not on this machine yet; empty if it is, or cannot be had.

    Args:
        model: Its name, as settings hold it.
        status: How it stands with it; None if it need not or cannot be fetched.
    """
    if status is None or status.state == "ready":
        return ""
    if model != EMBEDDED_MODEL:
        return words.WILL_FETCH_HUB.format(model=model)
    return {"fetching": words.IS_FETCHING, "failed": words.FETCH_FAILED}.get(status.state, words.WILL_FETCH_EMBEDDED)


def changed_note(config: RunConfig) -> str:
    """Returns which settings of an experiment are not at their defaults, which a folded panel would hide; else ''.

    >>> changed_note(RunConfig(label_noise=0.2))
    'Experiment settings differ from their defaults: Flipped verdicts 0.2.'
    """
    specs = {name: spec for name, spec in field_specs().items() if spec.group == "experiment"}
    changed = {name: getattr(config, name) for name in specs if getattr(config, name) != field_default(name)}
    listed = ", ".join(f"{specs[name].label} {value}" for name, value in changed.items())
    return words.CHANGED.format(settings=listed) if changed else ""


def labelled(problem: str) -> str:
    """Returns a problem of a setting with the name that the page shows.

    >>> labelled("n_steps is 0; it must be from 1 to 100000 steps.")
    'Steps is 0; it must be from 1 to 100000 steps.'
    """
    name, _, rest = problem.partition(" ")
    spec = field_specs().get(name)
    return f"{spec.label} {rest}" if spec else problem


def _read_response(read: ReadResponse) -> Markup:
    return fill(
        '<div class="train-read"><h4><b class="lab-chip {verdict}">{verdict}</b> {counts}</h4>'
        '<pre class="{verdict}" tabindex="0">{before}{pieces}{after}</pre></div>',
        verdict=read.verdict,
        counts=f"{_tokens(read.n_prompt_tokens)} of the prompt, {read.n_response_tokens:,} of the response",
        before=_cut_mark(read.n_prompt_cut, "before it"),
        pieces=joined(_piece(piece) for piece in read.pieces),
        after=_cut_mark(read.n_response_cut, "behind it"),
    )


def _piece(piece: TextPiece) -> Markup:
    head, n_left_out, tail = elide(piece.text)
    gap = fill("<i> … {} … </i>", counted(n_left_out, "character")) if n_left_out else ""
    if not piece.is_response:
        return fill("{}{}{}", head, gap, tail)
    return fill("<mark>{}{}{}</mark>", _visible(head), gap, _visible(tail))


def _visible(text: str) -> Markup:
    """Draws a token's line breaks, which nobody would see else."""
    return joined((fill("{}", line) for line in text.split("\n")), '<i aria-hidden="true">↵</i>\n')


def _cut_mark(n_tokens: int, where: str) -> Markup:
    return fill('<em class="odd">[{} {} cut]</em>', _tokens(n_tokens), where) if n_tokens else Markup("")


def _tokens(n: int) -> str:
    return counted(n, "token")


def _fact(name: str, value: str, more: str, *, is_odd: bool = False) -> Markup:
    return fill(
        "<div><dt>{}</dt><dd><b>{}</b> <span{}>{}</span></dd></div>",
        name,
        value,
        Markup(' class="odd"') if is_odd else "",
        more,
    )


def _known(value: float | None, form: str) -> str:
    return words.UNKNOWN if value is None else form.format(value)


def _held_out(found: Preflight) -> str:
    """Returns what is held out; nothing where that is not known."""
    if found.n_probe_pairs is None or found.n_pairs is None:
        return ""
    if not found.n_probe_pairs:
        return "too few prompts"
    kind = "pair" if 2 * found.n_pairs == found.n_responses else "response" if not found.n_pairs else "pair or response"
    return f"{kind if found.n_probe_pairs == 1 else kind.replace(' or', 's or') + 's'} for the plots"


def _cut(n_truncated: int | None) -> str:
    if n_truncated is None:
        return ""
    return f"{counted(n_truncated, 'response', 'is', 'are')} cut" if n_truncated else "nothing is cut"


def _pairs(n: int | None) -> str:
    if n is None:
        return ""
    return "in 1 pair" if n == 1 else f"{counted(n, 'pair')} among them" if n else "no pairs"
