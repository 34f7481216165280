"""Demo sets as cards: one click adds a set to the workspace. Knows `Lab`, no tab."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.events import Dependency
from markupsafe import Markup

from bnf_lab.core.judgements import Source, Unit, group_units
from bnf_lab.core.numbers import counted
from bnf_lab.data.demo_sets import find_demo_set, list_demo_sets
from bnf_lab.data.importers import import_file
from bnf_lab.ui.field_notes import FieldNotes
from bnf_lab.ui.guard import Lane, tell
from bnf_lab.ui.markup import fill, html_area, joined
from bnf_lab.ui.preferences import words
from bnf_lab.ui.preferences.examples import draw_unit
from bnf_lab.ui.session import Redraw, Session

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab


N_LOOKED_AT = 40


@dataclass(frozen=True)
class DemoSection:
    """What the tab needs: how to draw the cards again, and the events after which there are new judgements."""

    redraw: Redraw
    changes: tuple[Dependency, ...]


def build(lab: Lab, session: Session) -> DemoSection:
    """Draws one card a demo set."""
    html_area(fill('<p class="lab-intro">{}</p>', words.DEMO_INTRO))
    sets = list_demo_sets()
    buttons, notes, changes = [], [], []
    with gr.Row(elem_classes="lab-cards"):
        for demo in sets:
            with gr.Column(elem_classes="lab-card", min_width=320):
                html_area(
                    fill(
                        "<h3>{}</h3><p>{}</p><p class='lab-small'>{}</p>",
                        demo.title,
                        demo.description,
                        counted(demo.n_rows, "row"),
                    )
                )
                html_area(draw_example(demo.name))
                buttons.append(gr.Button(words.DEMO_ADD.format(title=demo.title), elem_id=f"demo-{demo.name}"))
                notes.append(FieldNotes())
                notes[-1].draw(demo.title)

    def redraw(token: str, run_id: str) -> Any:
        counts = lab.judgements.totals(lab.owner_of(token))
        present = {collection.name for collection in counts.collections}
        states = [_button_state(demo.title, demo.name in present) for demo in sets]
        return states if len(states) > 1 else states[0]

    for demo, button, note in zip(sets, buttons, notes, strict=True):

        def add(token: str, name: str = demo.name, title: str = demo.title) -> Any:
            report = lab.judgements.import_demo(lab.owner_of(token), name)
            tell(f"{title}: {counted(report.taken, 'row')} added.")
            return _button_state(title, True)

        options: dict[str, Any] = {"lane": Lane.UPLOAD, "show_progress": "minimal", "show_progress_on": [button]}
        changes.append(note.listen(button.click, add, [session.token], [button], **options))
    return DemoSection(redraw=Redraw(redraw, tuple(buttons)), changes=tuple(changes))


def draw_example(name: str) -> Markup:
    """Returns a real pair of a demo set; of one without pairs a preferred and a dispreferred answer.

    The shortest one of the first: it has to fit on a card.
    """
    judgements = import_file(find_demo_set(name), name=name, source=Source.DEMO).judgements[:N_LOOKED_AT]
    units = group_units(judgements)
    pairs = [unit for unit in units if len(unit) == 2]
    chosen = [min(pairs, key=_n_chars)] if pairs else [min(side, key=_n_chars) for side in _by_verdict(units)]
    return fill('<div class="lab-examples">{}</div>', joined(map(draw_unit, chosen)))


def _by_verdict(units: Sequence[Unit]) -> list[list[Unit]]:
    sides = ([unit for unit in units if unit[0].is_preferred is side] for side in (True, False))
    return [side for side in sides if side]


def _n_chars(unit: Unit) -> int:
    return sum(len(judgement.response) for judgement in unit) + len(unit[0].prompt_text)


def _button_state(title: str, is_added: bool) -> Any:
    return gr.Button((words.DEMO_ADDED if is_added else words.DEMO_ADD).format(title=title), interactive=not is_added)
