"""The Preferences tab: upload, demo sets, marking and the table of judgements. Knows `Lab`, no other tab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from bnf_lab.lab.judgements import Totals
from bnf_lab.ui.guard import listen
from bnf_lab.ui.markup import fill, html_area, joined
from bnf_lab.ui.preferences import demo_cards, mark, table, upload, words
from bnf_lab.ui.session import Again, Redraw, Session, show_tab

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab


@dataclass(frozen=True)
class PreferencesTab:
    """What the page needs of this tab."""

    redraw: Redraw


def build(lab: Lab, session: Session) -> PreferencesTab:
    """Draws the tab where the call stands; whatever changes a judgement draws counts, cards and table again."""
    with gr.Row(elem_id="preferences-summary", equal_height=True):
        summary = html_area(elem_id="preferences-counts")
        train = gr.Button(
            words.TO_TRAIN, variant="primary", interactive=False, scale=0, min_width=150, elem_id="to-train"
        )
    with gr.Tabs(elem_classes="lab-sections", overflow_behavior="wrap"):
        with gr.Tab(words.SECTION_DEMO, id="demo"):
            demos = demo_cards.build(lab, session)
        with gr.Tab(words.SECTION_UPLOAD, id="upload"):
            uploads = upload.build(lab, session)
        with gr.Tab(words.SECTION_MARK, id="mark"):
            marks = mark.build(lab, session)
        with gr.Tab(words.SECTION_TABLE, id="judgements"):
            judged = table.build(lab, session)
    counted = (summary, train, *demos.redraw.outputs)

    def recount(token: str) -> Any:
        counts = lab.judgements.totals(lab.owner_of(token))
        n_judged = counts.preferred + counts.dispreferred
        return _summary(counts), gr.Button(interactive=n_judged > 0), *_many(demos.redraw.handler(token, ""))

    def redraw(token: str, run_id: str) -> Any:
        return *recount(token), *marks.redraw.handler(token, run_id), *judged.redraw.handler(token, run_id)

    def show_again(token: str, *filters: Any) -> Any:
        return *recount(token), *marks.again.handler(token), *judged.handler(token, *filters)

    for change in (*uploads.changes, *demos.changes, *marks.changes, *judged.changes):
        listen(change.success, recount, [session.token], counted, trigger_mode="always_last")
        listen(change.success, judged.handler, judged.inputs, judged.outputs, trigger_mode="always_last")
    listen(train.click, lambda: show_tab("train"), [], [session.tabs])
    again = Again(show_again, tuple(judged.inputs), (*counted, *marks.again.outputs, *judged.outputs))
    return PreferencesTab(redraw=Redraw(redraw, (*counted, *marks.redraw.outputs, *judged.redraw.outputs), again))


def _many(drawn: Any) -> tuple[Any, ...]:
    return tuple(drawn) if isinstance(drawn, list | tuple) else (drawn,)


def _summary(counts: Totals) -> Markup:
    if not counts.preferred + counts.dispreferred:
        return fill('<p class="lab-hint">{}</p>', words.NOTHING_JUDGED)
    facts = (
        (counts.preferred, "preferred", "preferred"),
        (counts.dispreferred, "dispreferred", "dispreferred"),
        (counts.pairs, "pairs" if counts.pairs != 1 else "pair", ""),
        (counts.prompts, "prompts" if counts.prompts != 1 else "prompt", ""),
    )
    cells = joined(
        fill('<div class="lab-number {}"><b>{:,}</b><span>{}</span></div>', kind, n, what) for n, what, kind in facts
    )
    return fill('<div class="lab-numbers">{}</div>', cells)
