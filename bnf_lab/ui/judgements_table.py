"""The table of everything judged: filter, flip, edit, delete with undo, pages, lengths, export. Knows `Lab`, no tab."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.events import Dependency

from bnf_lab.count_plots import length_histogram
from bnf_lab.errors import LabError, NotFound
from bnf_lab.preferences import Judgement, Source, Verdict
from bnf_lab.ui import texts
from bnf_lab.ui.downloads import build_export
from bnf_lab.ui.guard import checked_number, checked_text, listen
from bnf_lab.ui.judgement_rows import draw_rows
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.session import Redraw, Session

if TYPE_CHECKING:
    from bnf_lab.lab import Lab

PAGE_ROWS = 20
LENGTH_SAMPLE = 5000
EVERYTHING = ""


@dataclass(frozen=True)
class TableSection:
    """What the tab needs: how to draw the table afresh (`redraw`) or with the present filters, and what changed it."""

    redraw: Redraw
    handler: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    changes: tuple[Dependency, ...]


@dataclass(frozen=True)
class Filters:
    """What the person looks for, checked."""

    text: str
    verdict: Verdict | None
    source: Source | None
    collection: str | None
    page: int = field(default=0)

    @classmethod
    def checked(cls, values: Sequence[Any]) -> Filters:
        text, verdict, source, collection, page = values
        try:
            return cls(
                text=checked_text(text, "Search", limit=200, required=False),
                verdict=Verdict(verdict) if verdict else None,
                source=Source(source) if source else None,
                collection=checked_text(collection, "Collection", limit=400, required=False) or None,
                page=int(checked_number(page, "Page", minimum=0, maximum=10**7)),
            )
        except ValueError as error:
            raise LabError(f"Filter: {error}. Choose one of the options in the list.") from error

    @property
    def query(self) -> dict[str, Any]:
        collections = [self.collection] if self.collection else None
        return {"text": self.text, "verdict": self.verdict, "source": self.source, "collections": collections}


@dataclass(frozen=True)
class _Parts:
    search: gr.Textbox
    verdict: gr.Dropdown
    source: gr.Dropdown
    collection: gr.Dropdown
    page: gr.State
    rows: gr.HTML
    place: gr.HTML
    back: gr.Button
    forward: gr.Button
    edited_id: gr.State
    edit_panel: gr.Column
    edit_prompt: gr.HTML
    edit_text: gr.Textbox
    save: gr.Button
    cancel: gr.Button
    deleted: gr.State
    undo: gr.Button
    delete_all: gr.Button
    lengths: gr.Plot

    @property
    def filters(self) -> tuple[Any, ...]:
        return self.search, self.verdict, self.source, self.collection, self.page

    @property
    def drawn(self) -> tuple[Any, ...]:
        return self.rows, self.place, self.back, self.forward, self.collection, self.delete_all, self.lengths, self.page


def build(lab: Lab, session: Session) -> TableSection:
    """Draws the table where the call stands."""
    parts = _draw(lab, session)

    def draw(token: str, *values: Any, step: int = 0) -> Any:
        return _table(lab, lab.owner_of(token), Filters.checked(values), step)

    def redraw(token: str, run_id: str) -> Any:
        nothing = (EVERYTHING,) * len(parts.filters[:-1])
        return *nothing, *_table(lab, lab.owner_of(token), Filters.checked((*nothing, 0)))

    changes = (*_wire_rows(lab, session, parts), *_wire_deletion(lab, session, parts))
    inputs = (session.token, *parts.filters)
    _wire_pages(draw, inputs, parts)
    return TableSection(
        redraw=Redraw(redraw, (*parts.filters[:-1], *parts.drawn)), handler=draw, inputs=inputs, outputs=parts.drawn,
        changes=changes,
    )


def _draw(lab: Lab, session: Session) -> _Parts:
    any_verdict = [("Any verdict", EVERYTHING), *((str(v).capitalize(), str(v)) for v in Verdict)]
    any_source = [("Any source", EVERYTHING), *((str(s).capitalize(), str(s)) for s in Source)]
    with gr.Row(elem_id="judgement-filters", equal_height=True):
        search = gr.Textbox(placeholder="Search prompts and answers", show_label=False, container=False,
                            max_length=200, scale=3, min_width=220, elem_id="judgement-search")
        verdict = gr.Dropdown(any_verdict, value=EVERYTHING, show_label=False, container=False, min_width=130)
        source = gr.Dropdown(any_source, value=EVERYTHING, show_label=False, container=False, min_width=130)
        collection = gr.Dropdown([("Any collection", EVERYTHING)], value=EVERYTHING, show_label=False, container=False,
                                 min_width=160, elem_id="judgement-collection")
    with gr.Column(visible=False, elem_id="judgement-edit", elem_classes="lab-panel") as edit_panel:
        edit_prompt = html_area()
        edit_text = gr.Textbox(label="Answer", lines=4, max_lines=14, max_length=100_000)
        with gr.Row(elem_classes="lab-actions"):
            save = gr.Button("Save the answer", variant="primary", size="sm")
            cancel = gr.Button("Cancel", size="sm")
    with gr.Row(elem_classes="lab-actions"):
        undo = gr.Button(visible=False, size="sm", elem_id="judgement-undo")
    rows = html_area(actions="row_action", elem_id="judgement-rows")
    with gr.Row(elem_id="judgement-pager", equal_height=True):
        back = gr.Button("Newer", size="sm", interactive=False, min_width=90, scale=0)
        place = html_area(elem_id="judgement-place")
        forward = gr.Button("Older", size="sm", interactive=False, min_width=90, scale=0)
    lengths = gr.Plot(show_label=False, elem_id="judgement-lengths", container=False)
    with gr.Row(elem_classes="lab-actions"):
        for kind, label in (("pairs", "Export pairs (JSONL)"), ("unpaired", "Export single judgements (JSONL)")):
            def export(token: str, kind: str = kind) -> Any:
                return lab.export_judgements(lab.owner_of(token), kind)

            build_export(label, export, [session.token], name=f"export-{kind}", size="sm")
        delete_all = gr.Button("Delete all shown", size="sm", variant="stop", elem_id="judgement-delete-all")
    return _Parts(
        search=search, verdict=verdict, source=source, collection=collection, page=gr.State(0), rows=rows, place=place,
        back=back, forward=forward, edited_id=gr.State(""), edit_panel=edit_panel, edit_prompt=edit_prompt,
        edit_text=edit_text, save=save, cancel=cancel, deleted=gr.State([]), undo=undo, delete_all=delete_all,
        lengths=lengths,
    )


def _wire_pages(draw: Any, inputs: tuple[Any, ...], parts: _Parts) -> None:
    def move(step: int) -> Any:
        def turn(token: str, *values: Any) -> Any:
            return draw(token, *values, step=step)

        return turn

    def from_start(token: str, *values: Any) -> Any:
        return draw(token, *values[:-1], 0)

    for box in (parts.verdict, parts.source, parts.collection):
        listen(box.input, from_start, inputs, parts.drawn, trigger_mode="always_last")
    listen(parts.search.change, from_start, inputs, parts.drawn, trigger_mode="always_last")
    listen(parts.back.click, move(-1), inputs, parts.drawn)
    listen(parts.forward.click, move(1), inputs, parts.drawn)


def _wire_rows(lab: Lab, session: Session, parts: _Parts) -> tuple[Dependency, ...]:
    panel = (parts.edited_id, parts.edit_panel, parts.edit_prompt, parts.edit_text)

    def act(token: str, event: gr.EventData, *values: Any) -> Any:
        owner = lab.owner_of(token)
        judgement_id = checked_text(event.id, "Judgement", limit=64)
        unchanged = (gr.skip(),) * 6
        if event.act == "delete":
            lab.store.delete_judgements(owner, [judgement_id])
            return (*unchanged[:4], [judgement_id], _undo_button(1))
        if event.act in tuple(Verdict):
            lab.store.set_verdict(owner, judgement_id, Verdict(event.act))
            return unchanged
        judgement = _shown_judgement(lab, owner, judgement_id, Filters.checked(values))
        prompt = fill('<div class="lab-quoted"><span>Prompt</span>{}</div>', judgement.prompt_text[:2000])
        return (judgement_id, gr.Column(visible=True), prompt, judgement.response, *unchanged[4:])

    def save(token: str, judgement_id: str, text: str) -> Any:
        owner = lab.owner_of(token)
        lab.store.set_response(owner, checked_text(judgement_id, "Judgement", limit=64),
                               checked_text(text, "Answer", limit=100_000))
        return close()

    def close() -> Any:
        return "", gr.Column(visible=False), "", ""

    acted = listen(parts.rows.row_action, act, [session.token, *parts.filters], (*panel, parts.deleted, parts.undo))
    saved = listen(parts.save.click, save, [session.token, parts.edited_id, parts.edit_text], panel)
    listen(parts.cancel.click, close, [], panel)
    return acted, saved


def _wire_deletion(lab: Lab, session: Session, parts: _Parts) -> tuple[Dependency, ...]:
    def delete_shown(token: str, *values: Any) -> Any:
        owner = lab.owner_of(token)
        ids = [s.judgement.id for s in lab.store.list_judgements(owner, **Filters.checked(values).query)]
        if not ids:
            raise LabError("There is no judgement to delete. Change the filters first.")
        lab.store.delete_judgements(owner, ids)
        return ids, _undo_button(len(ids))

    def undo(token: str, deleted: list[str]) -> Any:
        lab.store.restore_judgements(lab.owner_of(token), deleted or [])
        return [], gr.Button(visible=False)

    outputs = (parts.deleted, parts.undo)
    return (
        listen(parts.delete_all.click, delete_shown, [session.token, *parts.filters], outputs),
        listen(parts.undo.click, undo, [session.token, parts.deleted], outputs),
    )


def _shown_judgement(lab: Lab, owner: str, judgement_id: str, filters: Filters) -> Judgement:
    page = lab.store.list_judgements(owner, limit=PAGE_ROWS, offset=filters.page * PAGE_ROWS, **filters.query)
    for stored in page:
        if stored.judgement.id == judgement_id:
            return stored.judgement
    raise NotFound("This judgement is no longer on this page of the table. Search for it again.")


def _undo_button(n_deleted: int) -> Any:
    what = "1 judgement" if n_deleted == 1 else f"{n_deleted:,} judgements"
    return gr.Button(f"{what} deleted. Undo", visible=True)


def _table(lab: Lab, owner: str, filters: Filters, step: int = 0) -> Any:
    n_matching = lab.store.count_matching(owner, **filters.query)
    last_page = max(0, (n_matching - 1) // PAGE_ROWS)
    page = min(max(0, filters.page + step), last_page)
    found = lab.store.list_judgements(owner, limit=PAGE_ROWS, offset=page * PAGE_ROWS, **filters.query)
    names = [c.name for c in lab.store.count_judgements(owner).collections]
    first = page * PAGE_ROWS + 1
    place = f"{first:,} to {first + len(found) - 1:,} of {n_matching:,}" if found else ""
    return (
        draw_rows(found) if found else _nothing(bool(names)),
        fill('<p class="lab-small">{}</p>', place),
        gr.Button(interactive=page > 0),
        gr.Button(interactive=page < last_page),
        gr.Dropdown([("Any collection", EVERYTHING), *((name, name) for name in names)]),
        gr.Button(f"Delete all shown ({n_matching:,})", interactive=n_matching > 0),
        gr.Plot(_lengths(lab, owner, filters), visible=n_matching > 0),
        page,
    )


def _lengths(lab: Lab, owner: str, filters: Filters) -> Any:
    shown = [s.judgement for s in lab.store.list_judgements(owner, limit=LENGTH_SAMPLE, **filters.query)]
    return length_histogram([len(j.response) for j in shown if j.is_preferred],
                            [len(j.response) for j in shown if not j.is_preferred])


def _nothing(has_any: bool) -> Any:
    return fill('<div class="lab-empty">{}</div>', texts.TABLE_NO_MATCH if has_any else texts.TABLE_EMPTY)
