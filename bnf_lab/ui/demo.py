"""Demo sets as cards: one click adds a set to the workspace. Knows `Lab`, no tab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.events import Dependency

from bnf_lab.ui import texts
from bnf_lab.ui.guard import Lane, listen, tell
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.session import Redraw, Session

if TYPE_CHECKING:
    from bnf_lab.lab import Lab


@dataclass(frozen=True)
class DemoSection:
    """What the tab needs: how to draw the cards again, and the events after which there are new judgements."""

    redraw: Redraw
    changes: tuple[Dependency, ...]


def build(lab: Lab, session: Session) -> DemoSection:
    """Draws one card a demo set."""
    html_area(fill('<p class="lab-intro">{}</p>', texts.DEMO_INTRO))
    sets = lab.demo_sets()
    buttons, changes = [], []
    with gr.Row(elem_classes="lab-cards"):
        for demo in sets:
            with gr.Column(elem_classes="lab-card", min_width=320):
                html_area(fill("<h3>{}</h3><p>{}</p><p class='lab-small'>{:,} rows</p>",
                               demo.title, demo.description, demo.n_rows))
                buttons.append(gr.Button(texts.DEMO_ADD, elem_id=f"demo-{demo.name}"))

    def redraw(token: str, run_id: str) -> Any:
        counts = lab.store.count_judgements(lab.owner_of(token))
        present = {collection.name for collection in counts.collections}
        states = [_button_state(demo.name in present) for demo in sets]
        return states if len(states) > 1 else states[0]

    for demo, button in zip(sets, buttons, strict=True):
        def add(token: str, name: str = demo.name, title: str = demo.title) -> Any:
            report = lab.import_demo(lab.owner_of(token), name)
            tell(f"{title}: {report.taken:,} rows added.")
            return _button_state(True)

        changes.append(
            listen(button.click, add, [session.token], [button], lane=Lane.UPLOAD, show_progress="minimal")
        )
    return DemoSection(redraw=Redraw(redraw, tuple(buttons)), changes=tuple(changes))


def _button_state(is_added: bool) -> Any:
    return gr.Button(texts.DEMO_ADDED if is_added else texts.DEMO_ADD, interactive=not is_added)
