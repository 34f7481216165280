"""Draws the questions of an import as forms, what was said already, and the other ways to read a file. Markup only.

Buttons carry `data-act`, a key of `pending.ANSWERS` or one of the page's own; the radio buttons of a form are sent with
the button that is pressed in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from markupsafe import Markup

from bnf_lab.core.numbers import counted
from bnf_lab.data.mapping import LEAVE_OUT, ImportChoices
from bnf_lab.data.report import ImportReport, Option, Question
from bnf_lab.ui.markup import fill, joined
from bnf_lab.ui.preferences import words
from bnf_lab.ui.preferences.pending import IN_PROMPT

MEMORY, MAPPING = "memory", "map"


def draw_questions(report: ImportReport) -> Markup:
    """Returns a form for each question that can be answered by choosing."""
    return joined(_FORMS[question.kind](question) for question in report.questions if question.kind in _FORMS)


def draw_said(choices: ImportChoices) -> Markup:
    """Returns what was said so far, each with a button that takes it back."""
    named = {
        "part": words.SAID_PART.format(part=choices.part) if choices.part else "",
        "layout": words.SAID_LAYOUT if choices.layout else "",
        "labels": words.SAID_LABELS if choices.labels else "",
        "columns": words.SAID_COLUMNS if choices.columns else "",
        "leave_out": words.SAID_LEFT_OUT.format(columns=", ".join(choices.leave_out)) if choices.leave_out else "",
        "in_prompt": words.SAID_IN_PROMPT.format(columns=", ".join(choices.in_prompt)) if choices.in_prompt else "",
        "turn_round": words.SAID_TURNED if choices.turn_round else "",
    }
    chips = [
        fill(
            '<span class="lab-said">{text}<button type="button" data-act="forget" data-value="{what}" '
            'aria-label="{label}: {text}" title="{label}">&times;</button></span>',
            text=text,
            what=what,
            label=words.TAKE_BACK,
        )
        for what, text in named.items()
        if text
    ]
    return fill('<p class="lab-saids"><span>{}</span>{}</p>', words.SAID, joined(chips)) if chips else Markup("")


def draw_contradictions(n_pairs: int) -> Markup:
    """Returns how many pairs have scores that say the opposite, with the button that turns them round."""
    if not n_pairs:
        return Markup("")
    text = words.CONTRADICTED.format(pairs=counted(n_pairs, "pair"))
    return _offer(text, "turn", words.TURN_ONE if n_pairs == 1 else words.TURN_MANY.format(n=n_pairs))


def draw_memory(name: str) -> Markup:
    """Returns the offer to use the mapping that was saved for a file with the same columns."""
    return _offer(words.REMEMBERED.format(name=name), MEMORY, words.REMEMBERED_USE)


def draw_otherwise(layouts: Sequence[Option], *, can_map: bool) -> Markup:
    """Returns the other layouts that a file's rows fit, and the way to map its columns."""
    title = words.OTHERWISE_LAYOUTS if layouts else words.OTHERWISE_NONE
    buttons = [_button("layout", option.label, option.value) for option in layouts]
    if can_map:
        buttons.append(_button(MAPPING, words.MAP_COLUMNS))
    return fill('<p class="lab-small">{}</p><div class="lab-buttons">{}</div>', title, joined(buttons))


def draw_way_back() -> Markup:
    """Returns the button that leads from the mapping back to the layout that was recognised."""
    return fill('<div class="lab-buttons">{}</div>', _button("forget", words.MAPPING_BACK, "columns"))


def _button(act: str, label: str, value: str = "") -> Markup:
    return fill('<button type="button" class="lab-button" data-act="{}" data-value="{}">{}</button>', act, value, label)


def _submit(act: str, label: str) -> Markup:
    """Returns the button of a form, which Enter presses too."""
    return fill('<button type="submit" class="lab-button primary" data-act="{}">{}</button>', act, label)


def _offer(text: str, act: str, label: str) -> Markup:
    return fill('<div class="lab-ask lab-offer"><p>{}</p>{}</div>', text, _button(act, label))


def _form(title: str, text: str, body: Markup, button: Markup | str = "", hint: str = "") -> Markup:
    return fill(
        '<form class="lab-ask"><h4>{}</h4><p>{}</p>{}{}{}</form>',
        title,
        text,
        body,
        fill('<p class="lab-small">{}</p>', hint) if hint else "",
        button,
    )


def _ask_part(question: Question) -> Markup:
    radios = _radios("part", ((option.value, option.label) for option in question.options), chosen="")
    return _form(words.PART_TITLE, question.text, radios, _submit("part", words.PART_USE))


def _ask_layout(question: Question) -> Markup:
    cards = joined(
        fill(
            '<button type="button" class="lab-choice" data-act="layout" data-value="{}"><b>{}</b>{}</button>',
            option.value,
            option.label,
            joined(fill("<span>{}</span>", line) for line in option.preview or (words.LAYOUT_NOTHING,)),
        )
        for option in question.options
    )
    return _form(words.LAYOUT_TITLE, question.text, fill('<div class="lab-choices">{}</div>', cards))


def _ask_labels(question: Question) -> Markup:
    meanings = words.MEANINGS
    if question.sides:
        sides = (words.SIDE_BETTER.format(column=name) for name in question.sides)
        meanings = dict(zip(meanings, (*sides, meanings[LEAVE_OUT]), strict=True))
    rows = _rows(question.options, meanings, chosen=LEAVE_OUT)
    return _form(
        words.LABELS_TITLE,
        question.text,
        rows,
        _submit("labels", words.LABELS_USE),
        words.LABELS_HELP,
    )


def _ask_column(question: Question) -> Markup:
    options = {value: words.COLUMN_OPTIONS[value] for value in (IN_PROMPT, LEAVE_OUT)}
    rows = _rows(question.options, options, chosen="")
    button = _submit("column", words.COLUMN_USE)
    return _form(words.COLUMN_TITLE, question.text, rows, button, words.COLUMN_HELP)


_FORMS: Mapping[str, Callable[[Question], Markup]] = {
    "part": _ask_part,
    "layout": _ask_layout,
    "labels": _ask_labels,
    "column": _ask_column,
}


def _rows(options: Sequence[Option], answers: Mapping[str, str], *, chosen: str) -> Markup:
    """Returns one row an option, each with the same radio buttons; their names are the options' places."""
    return joined(
        fill(
            '<fieldset class="lab-answer"><legend>{}</legend>{}</fieldset>',
            option.label,
            _radios(str(place), answers.items(), chosen=chosen),
        )
        for place, option in enumerate(options)
    )


def _radios(name: str, answers: Iterable[tuple[str, str]], *, chosen: str) -> Markup:
    radios = joined(
        fill(
            '<label><input type="radio" name="{}" value="{}" {}>{}</label>',
            name,
            value,
            Markup("checked") if value == chosen else "",
            label,
        )
        for value, label in answers
    )
    return fill('<div class="lab-radios">{}</div>', radios)
