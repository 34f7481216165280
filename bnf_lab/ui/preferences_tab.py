"""The Preferences tab: upload, demo sets, marking and the table of judgements. Knows `Lab`, no other tab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab.ui.session import Redraw, Session

if TYPE_CHECKING:
    from bnf_lab.lab import Lab


@dataclass(frozen=True)
class PreferencesTab:
    """What the page needs of this tab."""

    redraw: Redraw


def build(lab: Lab, session: Session) -> PreferencesTab:
    """Draws the tab where the call stands."""
    counts = gr.Markdown()

    def redraw(token: str, run_id: str) -> Any:
        found = lab.store.count_judgements(lab.owner_of(token))
        return f"{found.preferred} preferred, {found.dispreferred} dispreferred"

    return PreferencesTab(redraw=Redraw(redraw, (counts,)))
