"""Draws judgements as people will see them later: pairs side by side, single answers with their verdict."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from bnf_lab.core.judgements import Judgement, Message, group_units
from bnf_lab.core.numbers import counted
from bnf_lab.ui.markup import fill, joined
from bnf_lab.ui.preferences.table_rows import SHOWN_CHARS, draw_sides


def draw_examples(judgements: Sequence[Judgement], title: str, n_units: int) -> Markup:
    """Returns the first units that judgements make, each with its whole prompt."""
    units = group_units(judgements[: 2 * n_units])[:n_units]
    if not units:
        return Markup("")
    return fill('<h4>{}</h4><div class="lab-examples">{}</div>', title, joined(map(draw_unit, units)))


def draw_unit(unit: Sequence[Judgement]) -> Markup:
    """Returns a pair or an answer alone below its prompt."""
    return fill(
        '<article class="lab-example"><div class="lab-turns">{}</div>{}</article>',
        joined(_turn(message) for message in unit[0].prompt),
        draw_sides(unit),
    )


def _turn(message: Message) -> Markup:
    return fill("<p><span>{}</span>{}</p>", message.role, _clipped(message.content))


def _clipped(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}… ({counted(len(text), 'character')} in all)"
