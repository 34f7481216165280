"""The panel in which a person says which column, or path into one, plays which part. Components, no lab.

Kinds and parts are those of `data/mapping.KINDS`; this panel only draws them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import gradio as gr

from bnf_lab.core.numbers import counted
from bnf_lab.data.mapping import KINDS, OPTIONAL, ColumnMapping, find_column
from bnf_lab.data.report import ImportReport
from bnf_lab.ui.guard import checked_choice, checked_text
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.preferences import words
from bnf_lab.ui.preferences.questions import draw_way_back
from bnf_lab.ui.preferences.upload_report import draw_samples

PARTS = tuple(dict.fromkeys(("prompt", *chain.from_iterable(needed for _, needed in KINDS.values()), *OPTIONAL)))
"""Every part that some kind has, in the order of the page."""

NO_PLACE = ""
PLACE_CHARS = 400


@dataclass(frozen=True)
class Field:
    """One part: its place, what is wrong with it, and the column that hides both."""

    column: gr.Column
    place: gr.Dropdown
    note: gr.HTML


@dataclass(frozen=True)
class MappingPanel:
    """The panel's components."""

    column: gr.Column
    samples: gr.HTML
    kind: gr.Radio
    fields: Mapping[str, Field]

    @property
    def inputs(self) -> tuple[Any, ...]:
        return self.kind, *self.places

    @property
    def places(self) -> tuple[gr.Dropdown, ...]:
        return tuple(field.place for field in self.fields.values())

    @property
    def outputs(self) -> tuple[Any, ...]:
        fields = ((field.column, field.place, field.note) for field in self.fields.values())
        return self.column, self.samples, self.kind, *chain.from_iterable(fields)


def parts_of(kind: str) -> tuple[str, ...]:
    """Returns the parts that a kind has, those that it needs and those that may be left out."""
    needed = KINDS[kind][1]
    return tuple(part for part in PARTS if part in needed or part in OPTIONAL)


def draw_mapping_panel() -> MappingPanel:
    """Draws the panel, hidden, where the call stands."""
    first = next(iter(KINDS))
    with gr.Column(visible=False, elem_id="upload-mapping", elem_classes="lab-inset") as column:
        html_area(fill("<h4>{}</h4><p>{}</p>", words.COLUMNS_TITLE, words.COLUMNS_HELP))
        samples = html_area(actions="upload_action", elem_id="upload-samples")
        kind = gr.Radio(
            [(words.KINDS[kind], kind) for kind in KINDS], value=first, label=words.ROW_IS, elem_id="upload-kind"
        )
        with gr.Row(elem_id="upload-places"):
            fields = {part: _draw_field(part, first) for part in PARTS}
    return MappingPanel(column, samples, kind, fields)


def _draw_field(part: str, kind: str) -> Field:
    with gr.Column(visible=part in parts_of(kind), min_width=230, elem_classes="lab-field") as column:
        place = gr.Dropdown(
            [],
            value=NO_PLACE,
            label=_label(part, kind),
            allow_custom_value=True,
            elem_id=f"upload-part-{part}",
        )
        note = html_area(elem_id=f"upload-note-{part}")
    return Field(column, place, note)


def _label(part: str, kind: str) -> str:
    return words.PARTS[part] if part in KINDS[kind][1] else words.OPTIONAL.format(part=words.PARTS[part])


def show_mapping(panel: MappingPanel, report: ImportReport, mapping: ColumnMapping | None) -> dict[Any, Any]:
    """Returns the updates that open the panel on a file, with its places on offer and what was chosen filled in.

    Where a layout was recognised a button leads back to it.
    """
    is_known = bool(report.layouts or (report.key and (report.taken or report.questions)))
    chosen = mapping or ColumnMapping(next(iter(KINDS)))
    offered = [(words.NO_PLACE, NO_PLACE), *((place, place) for place in report.places)]
    updates: dict[Any, Any] = {
        panel.column: gr.Column(visible=True),
        panel.samples: fill(
            "{}{}", draw_samples(report.columns, report.sample_rows), draw_way_back() if is_known else ""
        ),
        panel.kind: gr.Radio(value=chosen.kind),
        **show_parts(panel, chosen.kind),
    }
    for part, field in panel.fields.items():
        updates[field.place] = gr.Dropdown(
            offered,
            value=chosen.chosen.get(part, NO_PLACE),
            label=_label(part, chosen.kind),
            allow_custom_value=True,
        )
    return updates


def show_parts(panel: MappingPanel, kind: str) -> dict[Any, Any]:
    """Returns the updates that show the parts of a kind and hide the others."""
    shown = parts_of(kind)
    columns = {field.column: gr.Column(visible=part in shown) for part, field in panel.fields.items()}
    labels = {field.place: gr.Dropdown(label=_label(part, kind)) for part, field in panel.fields.items()}
    return columns | labels


@dataclass(frozen=True)
class Given:
    """What the panel holds: a mapping, complete or not, and what is wrong with it by part."""

    mapping: ColumnMapping
    missing: tuple[str, ...]
    wrong: Mapping[str, str]

    @property
    def is_complete(self) -> bool:
        return not self.missing and not self.wrong


def read_mapping(columns: Sequence[str], kind: object, places: Iterable[object]) -> Given:
    """Returns what a person chose.

    Args:
        columns: The table's columns.
        kind: The value of the panel's radio buttons.
        places: The values of its fields, in their order.

    Raises:
        LabError: If a value is none that the panel could hold.
    """
    chosen_kind = checked_choice(kind, words.ROW_IS, tuple(KINDS))
    texts = (
        checked_text(place, words.PARTS[part], limit=PLACE_CHARS, required=False).strip()
        for part, place in zip(PARTS, places, strict=True)
    )
    shown = parts_of(chosen_kind)
    chosen = {part: text for part, text in zip(PARTS, texts, strict=True) if part in shown and text}
    wrong: dict[str, str] = {}
    by_place: dict[str, str] = {}
    for part, place in chosen.items():
        if find_column(place, columns) is None:
            wrong[part] = words.PLACE_UNKNOWN
        elif place in by_place:
            wrong[part] = words.PLACE_TWICE.format(part=words.PARTS[by_place[place]])
        by_place.setdefault(place, part)
    missing = tuple(part for part in KINDS[chosen_kind][1] if part not in chosen)
    return Given(ColumnMapping(chosen_kind, **chosen), missing, wrong)


def note_refused(mapping: ColumnMapping, report: ImportReport) -> dict[str, str]:
    """Returns, by part, how many rows were refused for what stands at its place, with the first reason."""
    notes = {}
    for part, place in mapping.chosen.items():
        found = [refusal for refusal in report.refused if refusal.column == place]
        if found:
            notes[part] = words.PLACE_REFUSED.format(rows=counted(len(found), "row"), reason=found[0].reason)
    return notes


def show_notes(panel: MappingPanel, wrong: Mapping[str, str]) -> dict[Any, Any]:
    """Returns the updates that put what is wrong beside each field."""
    return {
        field.note: fill('<p class="lab-wrong">{}</p>', wrong[part]) if part in wrong else ""
        for part, field in panel.fields.items()
    }
