"""Draws the rows of the judgements table as markup. Knows stored judgements; no component, no store."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from bnf_lab.store import StoredJudgement
from bnf_lab.ui.markup import fill, joined


def draw_rows(found: Sequence[StoredJudgement]) -> Markup:
    """Returns one row a judgement, each with its buttons."""
    return fill('<div class="lab-rows">{}</div>', joined(_row(stored) for stored in found))


def _row(stored: StoredJudgement) -> Markup:
    judgement = stored.judgement
    place = _short(stored.collection, 60)
    origin = f" · {judgement.source}" if judgement.source != stored.collection else ""
    weight = f" · weight {judgement.weight:g}" if judgement.weight != 1 else ""
    return fill(
        '<article class="lab-row {verdict}"><div class="lab-row-text">'
        '<p class="lab-row-prompt">{prompt}</p>{response}'
        '<p class="lab-small"><b class="lab-chip {verdict}">{verdict}</b> {place}{origin}{weight}</p></div>'
        '<div class="lab-row-buttons">'
        '<button type="button" data-act="{other}" data-id="{id}" title="Make it {other}">Flip</button>'
        '<button type="button" data-act="edit" data-id="{id}">Edit</button>'
        '<button type="button" data-act="delete" data-id="{id}">Delete</button></div></article>',
        verdict=judgement.verdict, other=judgement.verdict.flipped, prompt=_short(judgement.prompt_text, 160),
        response=_response(judgement.response), place=place, origin=origin, weight=weight, id=judgement.id,
    )


def _response(text: str) -> Markup:
    if len(text) <= 240:
        return fill('<p class="lab-row-answer">{}</p>', text or "(empty)")
    rest = text[240:4000] + ("… (Edit shows all of it)" if len(text) > 4000 else "")
    return fill('<details class="lab-row-answer"><summary>{}<i>…</i></summary>{}</details>', text[:240], rest)


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
