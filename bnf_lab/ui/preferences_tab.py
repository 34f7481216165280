"""The Preferences tab: upload, demo sets, marking and the table of judgements. Knows `Lab`, no other tab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from bnf_lab.store import Counts
from bnf_lab.ui import demo, judgements_table, mark, texts, upload
from bnf_lab.ui.guard import listen
from bnf_lab.ui.markup import fill, html_area, joined
from bnf_lab.ui.session import Redraw, Session, show_tab

if TYPE_CHECKING:
    from bnf_lab.lab import Lab


@dataclass(frozen=True)
class PreferencesTab:
    """What the page needs of this tab."""

    redraw: Redraw


def build(lab: Lab, session: Session) -> PreferencesTab:
    """Draws the tab where the call stands; whatever changes a judgement draws counts, cards and table again."""
    with gr.Row(elem_id="preferences-summary", equal_height=True):
        summary = html_area(elem_id="preferences-counts")
        train = gr.Button(texts.TO_TRAIN, variant="primary", interactive=False, scale=0, min_width=150,
                          elem_id="to-train")
    with gr.Tabs(elem_classes="lab-sections", overflow_behavior="wrap"):
        with gr.Tab(texts.SECTION_UPLOAD, id="upload"):
            uploads = upload.build(lab, session)
        with gr.Tab(texts.SECTION_DEMO, id="demo"):
            demos = demo.build(lab, session)
        with gr.Tab(texts.SECTION_MARK, id="mark"):
            marks = mark.build(lab, session)
        with gr.Tab(texts.SECTION_TABLE, id="judgements"):
            table = judgements_table.build(lab, session)
    counted = (summary, train, *demos.redraw.outputs)

    def recount(token: str) -> Any:
        counts = lab.store.count_judgements(lab.owner_of(token))
        n_judged = counts.preferred + counts.dispreferred
        return _summary(counts), gr.Button(interactive=n_judged > 0), *_many(demos.redraw.handler(token, ""))

    def redraw(token: str, run_id: str) -> Any:
        return *recount(token), *marks.redraw.handler(token, run_id), *table.redraw.handler(token, run_id)

    for change in (*uploads.changes, *demos.changes, *marks.changes, *table.changes):
        listen(change.success, recount, [session.token], counted)
        listen(change.success, table.handler, table.inputs, table.outputs)
    listen(train.click, lambda: show_tab("train"), [], [session.tabs])
    return PreferencesTab(redraw=Redraw(redraw, (*counted, *marks.redraw.outputs, *table.redraw.outputs)))


def _many(drawn: Any) -> tuple[Any, ...]:
    return tuple(drawn) if isinstance(drawn, list | tuple) else (drawn,)


def _summary(counts: Counts) -> Markup:
    if not counts.preferred + counts.dispreferred:
        return fill('<p class="lab-hint">{}</p>', texts.NOTHING_JUDGED)
    facts = (
        (counts.preferred, "preferred", "preferred"), (counts.dispreferred, "dispreferred", "dispreferred"),
        (counts.pairs, "pairs" if counts.pairs != 1 else "pair", ""),
        (counts.prompts, "prompts" if counts.prompts != 1 else "prompt", ""),
    )
    cells = joined(fill('<div class="lab-number {}"><b>{:,}</b><span>{}</span></div>', kind, n, what)
                   for n, what, kind in facts)
    return fill('<div class="lab-numbers">{}</div>', cells)
