"""The table of everything judged: filter, flip, edit in place, delete with undo, pages, lengths, export.

A pair is one row. Knows `Lab`, no tab.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.events import Dependency

from bnf_lab.core.errors import LabError, NotFound
from bnf_lab.core.judgements import Source, Verdict
from bnf_lab.core.numbers import counted
from bnf_lab.core.paths import ASSETS
from bnf_lab.plots.histograms import length_histogram
from bnf_lab.plots.style import empty_figure
from bnf_lab.ui.downloads import build_export
from bnf_lab.ui.field_notes import FieldNotes
from bnf_lab.ui.guard import checked_choice, checked_text, checked_whole, describe_error, tell
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.preferences import words
from bnf_lab.ui.preferences.table_rows import Edit, draw_rows
from bnf_lab.ui.session import Redraw, Session

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab


PAGE_ROWS = 20
MAX_ANSWER_CHARS = 100_000
ROW_ACTS = ("flip", "edit", "save", "cancel", "delete")
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
                page=checked_whole(page, "Page", minimum=0, maximum=10**7),
            )
        except ValueError as error:
            raise LabError(f"Filter: {error}. Choose one of the options in the list.") from error

    @property
    def query(self) -> dict[str, Any]:
        collections = [self.collection] if self.collection else None
        return {"text": self.text, "verdict": self.verdict, "source": self.source, "collections": collections}


@dataclass(frozen=True)
class _Parts:
    notes: FieldNotes
    search: gr.Textbox
    verdict: gr.Dropdown
    source: gr.Dropdown
    collection: gr.Dropdown
    page: gr.State
    edit: gr.State
    rows: gr.HTML
    place: gr.HTML
    back: gr.Button
    forward: gr.Button
    deleted: gr.State
    undo: gr.Button
    exports: tuple[gr.Button, gr.Button]
    delete_all: gr.Button
    lengths: gr.Plot

    @property
    def filters(self) -> tuple[Any, ...]:
        return self.search, self.verdict, self.source, self.collection, self.page

    @property
    def drawn(self) -> tuple[Any, ...]:
        pager = self.place, self.back, self.forward
        return self.rows, *pager, self.collection, *self.exports, self.delete_all, self.lengths, self.page


def build(lab: Lab, session: Session) -> TableSection:
    """Draws the table where the call stands."""
    parts = _draw(lab, session)

    def draw(token: str, *values: Any, step: int = 0) -> Any:
        *filters, edit = values
        return _table(lab, lab.owner_of(token), Filters.checked(filters), edit, step)

    def redraw(token: str, run_id: str) -> Any:
        nothing = (EVERYTHING,) * len(parts.filters[:-1])
        return Edit(), *nothing, *_table(lab, lab.owner_of(token), Filters.checked((*nothing, 0)), Edit())

    changes = (*_wire_rows(lab, session, parts), *_wire_deletion(lab, session, parts))
    inputs = (session.token, *parts.filters, parts.edit)
    _wire_pages(draw, inputs, parts)
    return TableSection(
        redraw=Redraw(redraw, (parts.edit, *parts.filters[:-1], *parts.drawn)),
        handler=draw,
        inputs=inputs,
        outputs=parts.drawn,
        changes=changes,
    )


def _draw(lab: Lab, session: Session) -> _Parts:
    notes, keep_edit = FieldNotes(), (ASSETS / "edit.js").read_text(encoding="utf-8")
    filters = _draw_filters()
    notes.draw(words.SEARCH, "judgement-search")
    with gr.Row(elem_classes="lab-actions"):
        undo = gr.Button(visible=False, size="sm", elem_id="judgement-undo")
    rows = html_area(actions="row_action", script=keep_edit, elem_id="judgement-rows")
    with gr.Row(elem_id="judgement-pager", equal_height=True):
        back = gr.Button("Newer", size="sm", interactive=False, min_width=90, scale=0)
        place = html_area(elem_id="judgement-place")
        forward = gr.Button("Older", size="sm", interactive=False, min_width=90, scale=0)
    # an empty one says so to a screen reader by an attribute that it must not have
    lengths = gr.Plot(empty_figure(""), show_label=False, elem_id="judgement-lengths", container=False)
    page = gr.State(0)
    with gr.Row(elem_classes="lab-actions"):
        exports = _draw_exports(lab, session, (*filters, page))
        delete_all = gr.Button("Delete all shown", size="sm", variant="stop", elem_id="judgement-delete-all")
    search, verdict, source, collection = filters
    return _Parts(
        notes=notes,
        search=search,
        verdict=verdict,
        source=source,
        collection=collection,
        page=page,
        edit=gr.State(Edit()),
        rows=rows,
        place=place,
        back=back,
        forward=forward,
        deleted=gr.State([]),
        undo=undo,
        exports=exports,
        delete_all=delete_all,
        lengths=lengths,
    )


def _draw_filters() -> tuple[gr.Textbox, gr.Dropdown, gr.Dropdown, gr.Dropdown]:
    any_verdict = [("Any verdict", EVERYTHING), *((str(v).capitalize(), str(v)) for v in Verdict)]
    any_source = [("Any source", EVERYTHING), *((str(s).capitalize(), str(s)) for s in Source)]
    bare: dict[str, Any] = {"show_label": False, "container": False}
    with gr.Row(elem_id="judgement-filters", equal_height=True):
        search = gr.Textbox(
            label=words.SEARCH,
            placeholder=words.SEARCH_HINT,
            scale=3,
            min_width=220,
            elem_id="judgement-search",
            **bare,
        )
        verdict = gr.Dropdown(any_verdict, value=EVERYTHING, label="Verdict", min_width=130, **bare)
        source = gr.Dropdown(any_source, value=EVERYTHING, label="Source", min_width=130, **bare)
        collection = gr.Dropdown(
            [("Any collection", EVERYTHING)],
            value=EVERYTHING,
            label="Collection",
            min_width=160,
            elem_id="judgement-collection",
            **bare,
        )
    return search, verdict, source, collection


def _draw_exports(lab: Lab, session: Session, filters: Sequence[Any]) -> tuple[gr.Button, gr.Button]:
    def draw(kind: str) -> gr.Button:
        def export(token: str, *values: Any) -> Any:
            path = lab.judgements.export(lab.owner_of(token), kind, **Filters.checked(values).query)
            with path.open("rb") as file:
                tell(words.EXPORTED.format(what=counted(sum(1 for _ in file), words.EXPORT_NOUNS[kind])))
            return path

        return build_export(_export_label(kind, 0), export, [session.token, *filters], name=f"export-{kind}", size="sm")

    return draw("pairs"), draw("unpaired")


def _export_label(kind: str, n: int) -> str:
    return words.EXPORT.format(what=counted(n, words.EXPORT_NOUNS[kind]))


def _wire_pages(draw: Any, inputs: tuple[Any, ...], parts: _Parts) -> None:
    def move(step: int) -> Any:
        def turn(token: str, *values: Any) -> Any:
            return draw(token, *values, step=step)

        return turn

    def from_start(token: str, *values: Any) -> Any:
        return draw(token, *values[:-2], 0, values[-1])

    boxes = (parts.verdict, parts.source, parts.collection)
    parts.notes.listen([parts.search.change, *(box.input for box in boxes)], from_start, inputs, parts.drawn)
    parts.notes.listen(parts.back.click, move(-1), inputs, parts.drawn)
    parts.notes.listen(parts.forward.click, move(1), inputs, parts.drawn)


def _wire_rows(lab: Lab, session: Session, parts: _Parts) -> tuple[Dependency, ...]:
    def act(token: str, event: gr.EventData, edit: Edit) -> Any:
        owner = lab.owner_of(token)
        doing = checked_choice(getattr(event, "act", None), "Action", ROW_ACTS)
        ids = checked_text(getattr(event, "ids", None), "Judgement", limit=130).split(",")
        kept, unchanged = edit or Edit(), (gr.skip(), gr.skip())
        if doing == "delete":
            lab.judgements.delete(owner, ids)
            return kept, ids, _undo_button(len(ids))
        if doing == "flip":
            verdicts = checked_text(getattr(event, "verdicts", None), "Verdict", limit=80).split(",")
            turned = [Verdict(checked_choice(verdict, "Verdict", tuple(Verdict))) for verdict in verdicts]
            lab.judgements.set_verdicts(owner, dict(zip(ids, turned, strict=False)))
            return kept, *unchanged
        if doing == "save":
            return _saved(lab, owner, ids[0], getattr(event, "fields", None)), *unchanged
        if doing == "edit" and not lab.judgements.get(owner, ids):
            raise NotFound("This judgement is no longer in your workspace. Reload the page.")
        return Edit(ids[0] if doing == "edit" else ""), *unchanged

    inputs = [session.token, parts.edit]
    outputs = (parts.edit, parts.deleted, parts.undo)
    return (parts.notes.listen(parts.rows.row_action, act, inputs, outputs, trigger_mode="multiple"),)


def _saved(lab: Lab, owner: str, judgement_id: str, fields: object) -> Edit:
    """Stores an edited answer; what cannot be stored stays in its field, with the reason beside it."""
    text = fields.get("response") if isinstance(fields, dict) else None
    try:
        answer = checked_text(text, "Answer", limit=MAX_ANSWER_CHARS)
        lab.judgements.set_response(owner, judgement_id, answer.replace("\r\n", "\n"))
    except LabError as error:
        return Edit(judgement_id, text if isinstance(text, str) else None, describe_error(error))
    return Edit()


def _wire_deletion(lab: Lab, session: Session, parts: _Parts) -> tuple[Dependency, ...]:
    def delete_shown(token: str, *values: Any) -> Any:
        owner = lab.owner_of(token)
        ids = [s.judgement.id for s in lab.judgements.find(owner, **Filters.checked(values).query)]
        if not ids:
            raise LabError("There is no judgement to delete. Change the filters first.")
        lab.judgements.delete(owner, ids)
        return ids, _undo_button(len(ids))

    def undo(token: str, deleted: list[str]) -> Any:
        lab.judgements.restore(lab.owner_of(token), deleted or [])
        return [], gr.Button(visible=False)

    outputs = (parts.deleted, parts.undo)
    return (
        parts.notes.listen(parts.delete_all.click, delete_shown, [session.token, *parts.filters], outputs),
        parts.notes.listen(parts.undo.click, undo, [session.token, parts.deleted], outputs),
    )


def _undo_button(n_deleted: int) -> Any:
    return gr.Button(f"{counted(n_deleted, 'judgement')} deleted. Undo", visible=True)


def _table(lab: Lab, owner: str, filters: Filters, edit: Edit, step: int = 0) -> Any:
    n_units = lab.judgements.count_units(owner, **filters.query)
    counts = lab.judgements.totals(owner, **filters.query)
    n_judged = counts.preferred + counts.dispreferred
    last_page = max(0, (n_units - 1) // PAGE_ROWS)
    page = min(max(0, filters.page + step), last_page)
    found = lab.judgements.find_units(owner, limit=PAGE_ROWS, offset=page * PAGE_ROWS, **filters.query)
    names = [c.name for c in lab.judgements.totals(owner).collections]
    return (
        draw_rows(found, edit) if found else _nothing(bool(names)),
        _place(page * PAGE_ROWS + 1, len(found), n_units, counts.pairs),
        gr.Button(interactive=page > 0),
        gr.Button(interactive=page < last_page),
        gr.Dropdown([("Any collection", EVERYTHING), *((name, name) for name in names)]),
        gr.Button(_export_label("pairs", counts.pairs), interactive=counts.pairs > 0),
        gr.Button(_export_label("unpaired", n_judged), interactive=n_judged > 0),
        gr.Button(words.DELETE_SHOWN.format(what=counted(n_judged, "judgement")), interactive=n_judged > 0),
        gr.Plot(_lengths(lab, owner, filters), visible=n_judged > 0),
        page,
    )


def _place(first: int, n_shown: int, n_units: int, n_pairs: int) -> Any:
    """Returns which rows are shown of how many, and what they are where both kinds are among them."""
    if not n_shown:
        return ""
    kinds = f": {counted(n_pairs, 'pair')}, {n_units - n_pairs:,} alone" if 0 < n_pairs < n_units else ""
    return fill('<p class="lab-small">{:,} to {:,} of {:,}{}</p>', first, first + n_shown - 1, n_units, kinds)


def _lengths(lab: Lab, owner: str, filters: Filters) -> Any:
    shown = [s.judgement for s in lab.judgements.find(owner, limit=LENGTH_SAMPLE, **filters.query)]
    return length_histogram(
        [len(j.response) for j in shown if j.is_preferred], [len(j.response) for j in shown if not j.is_preferred]
    )


def _nothing(has_any: bool) -> Any:
    return fill('<div class="lab-empty">{}</div>', words.TABLE_NO_MATCH if has_any else words.TABLE_EMPTY)
