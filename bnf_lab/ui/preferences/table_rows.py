"""Draws the rows of the judgements table: a pair in one row, and the answer that is being edited in its place.

Markup only. Knows stored judgements; no component, no store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bnf_lab.core.judgements import Judgement
from bnf_lab.lab.judgements import StoredUnit
from bnf_lab.ui.markup import fill, joined
from bnf_lab.ui.preferences import words
from bnf_lab.ui.preferences.differences import Piece, compare, draw_pieces, excerpt

SHOWN_CHARS = 600
MOST_CHARS = 20_000


@dataclass(frozen=True)
class Edit:
    """The answer that is being edited.

    Attributes:
        id: Its judgement; "" while none is edited.
        text: What was typed and could not be stored, None for the answer as it is stored.
        problem: Why it could not.
    """

    id: str = ""
    text: str | None = None
    problem: str = ""


def draw_rows(found: Sequence[StoredUnit], edit: Edit) -> Markup:
    """Returns one row a unit, each with its buttons."""
    return fill('<div class="lab-rows">{}</div>', joined(_row(stored, edit, n) for n, stored in enumerate(found, 1)))


def draw_sides(unit: Sequence[Judgement], edit: Edit | None = None, row: int = 0) -> Markup:
    """Returns the answers of a unit side by side, with the words marked in which two of them differ.

    Args:
        unit: One or two judgements.
        edit: What is being edited; None where nothing can be.
        row: Which row of the list it is, for the names of its buttons.
    """
    if len(unit) == 2:
        pieces = compare(*(judgement.response[:MOST_CHARS] for judgement in unit))
    else:
        pieces = ([(unit[0].response[:MOST_CHARS], False)],)  # type: ignore[assignment]
    return fill(
        '<div class="lab-sides">{}</div>',
        joined(_side(judgement, mine, edit, row) for judgement, mine in zip(unit, pieces, strict=True)),
    )


def _row(stored: StoredUnit, edit: Edit, row: int) -> Markup:
    unit = stored.judgements
    judgement, is_pair = unit[0], len(unit) == 2
    flip, delete = (words.FLIP_PAIR, words.DELETE_PAIR) if is_pair else (words.FLIP, words.DELETE)
    same_spaces = (
        is_pair and len({j.response for j in unit}) == 2 and len({"".join(j.response.split()) for j in unit}) == 1
    )
    return fill(
        '<article class="lab-row {kind}"><div class="lab-row-text">'
        '<p class="lab-row-prompt">{prompt}</p>{sides}'
        '<p class="lab-small">{place}{note}</p></div>'
        '<div class="lab-row-buttons">{flip}{delete}</div></article>',
        kind="lab-pair" if is_pair else judgement.verdict,
        prompt=_short(judgement.prompt_text, 300),
        sides=draw_sides(unit, edit, row),
        place=_origin(stored),
        note=f" · {words.SPACES_ONLY}" if same_spaces else "",
        flip=_button("flip", flip, row, unit, flips=",".join(j.verdict.flipped for j in unit)),
        delete=_button("delete", delete, row, unit),
    )


def _origin(stored: StoredUnit) -> str:
    source = stored.judgements[0].source
    return f"{_short(stored.collection, 60)}{f' · {source}' if source != stored.collection else ''}"


def _button(act: str, label: str, row: int, unit: Sequence[Judgement], *, flips: str = "") -> Markup:
    return fill(
        '<button type="button" data-act="{act}" data-ids="{ids}" data-verdicts="{flips}" '
        'aria-label="{label}, row {row}: {prompt}">{label}</button>',
        act=act,
        ids=",".join(judgement.id for judgement in unit),
        flips=flips,
        label=label,
        row=row,
        prompt=_short(unit[0].prompt_text, 60),
    )


def _side(judgement: Judgement, pieces: Sequence[Piece], edit: Edit | None, row: int) -> Markup:
    is_edited = edit is not None and edit.id == judgement.id
    return fill(
        '<div class="lab-side {verdict}"><p class="lab-side-head"><b class="lab-chip {verdict}">{verdict}</b>'
        "{weight}{button}</p>{body}</div>",
        verdict=judgement.verdict,
        weight=fill('<span class="lab-small">weight {:.2g}</span>', judgement.weight) if judgement.weight != 1 else "",
        button=_edit_button(judgement, row) if edit is not None and not is_edited else "",
        body=_form(judgement, edit) if edit is not None and is_edited else _answer(judgement, pieces),
    )


def _edit_button(judgement: Judgement, row: int) -> Markup:
    return fill(
        '<button type="button" data-act="edit" data-ids="{id}" id="edit-{id}" '
        'aria-label="Edit the {verdict} answer, row {row}: {prompt}">Edit</button>',
        id=judgement.id,
        verdict=judgement.verdict,
        row=row,
        prompt=_short(judgement.prompt_text, 60),
    )


def _answer(judgement: Judgement, pieces: Sequence[Piece]) -> Markup:
    n = len(judgement.response)
    if not n:
        return fill('<div class="lab-answer-text"><i>{}</i></div>', words.EMPTY_ANSWER)
    if n <= SHOWN_CHARS:
        return fill('<div class="lab-answer-text">{}</div>', draw_pieces(pieces))
    return fill(
        '<div class="lab-answer-text">{}</div><details class="lab-small"><summary>{}</summary>'
        '<div class="lab-answer-text">{}{}</div></details>',
        draw_pieces(excerpt(pieces, SHOWN_CHARS)),
        words.ALL_OF_IT.format(n=n),
        draw_pieces(pieces),
        words.EDIT_SHOWS_ALL if n > MOST_CHARS else "",
    )


def _form(judgement: Judgement, edit: Edit) -> Markup:
    """Returns the field in the answer's place; the browser puts the focus into it and keeps what is typed."""
    return fill(
        '<form class="lab-edit" data-edits="{id}"><textarea name="response" rows="6" aria-label="{label}" {invalid}>\n'
        "{text}</textarea>{problem}"
        '<div class="lab-buttons">'
        '<button type="button" class="lab-button primary" data-act="save" data-ids="{id}">{save}</button>'
        '<button type="button" class="lab-button" data-act="cancel" data-ids="{id}">{cancel}</button></div></form>',
        id=judgement.id,
        label=f"The {judgement.verdict} answer",
        invalid=fill('aria-invalid="true" aria-describedby="edit-problem"') if edit.problem else "",
        text=judgement.response if edit.text is None else edit.text,
        problem=fill('<p class="lab-wrong" id="edit-problem" role="alert">{}</p>', edit.problem)
        if edit.problem
        else "",
        save=words.SAVE_ANSWER,
        cancel=words.CANCEL,
    )


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
