"""The components of the upload section. No event, no lab."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bnf_lab.core.paths import ASSETS
from bnf_lab.data.formats.rows import Limits
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.preferences import words
from bnf_lab.ui.preferences.mapping_panel import MappingPanel, draw_mapping_panel
from bnf_lab.ui.preferences.rating_panel import RatingPanel, draw_rating_panel


@dataclass(frozen=True)
class Source:
    """Where rows come from, and what became of the last choice."""

    guard: gr.HTML
    file: gr.File
    hub: tuple[gr.Textbox, gr.Textbox, gr.Textbox]
    fetch: gr.Button
    status: gr.HTML


@dataclass(frozen=True)
class Parts:
    """The section from top to bottom; everything below `panel` is part of it."""

    source: Source
    pending: gr.State
    panel: gr.Column
    head: gr.HTML
    otherwise: gr.Accordion
    layouts: gr.HTML
    load: gr.UploadButton
    decides: gr.Dropdown
    mapping: MappingPanel
    ratings: RatingPanel
    trouble: gr.HTML
    add: gr.Button
    save: gr.Button
    examples: gr.HTML
    details: gr.HTML

    @property
    def drawn(self) -> tuple[Any, ...]:
        return (
            self.source.file,
            self.source.status,
            self.pending,
            self.panel,
            self.head,
            self.otherwise,
            self.layouts,
            self.decides,
            *self.mapping.outputs,
            *self.ratings.outputs,
            self.trouble,
            self.add,
            self.save,
            self.examples,
            self.details,
        )


def draw_source() -> Source:
    """Draws the fields for a file and for a data set of the hub."""
    intro = fill('<p class="lab-intro" data-limit="{}">{}</p>', Limits().file_bytes, words.UPLOAD_INTRO)
    guard = gr.HTML(str(intro), js_on_load=(ASSETS / "upload.js").read_text(encoding="utf-8"))
    # no list of file types: gradio would refuse the others in a message that vanishes, without a reason
    file = gr.File(label=words.FILE, file_count="single", height=150, elem_id="upload-file")
    with gr.Accordion(words.HUB, open=False, elem_id="upload-hub"), gr.Row(equal_height=True):
        dataset_id = gr.Textbox(label=words.DATASET, placeholder=words.DATASET_HINT, scale=3, min_width=240)
        config = gr.Textbox(label=words.CONFIG, placeholder="default", min_width=110)
        split = gr.Textbox(label=words.SPLIT, value="train[:500]", min_width=110)
        fetch = gr.Button(words.HUB_LOOK, min_width=100, scale=0, elem_id="upload-hub-look")
    return Source(guard, file, (dataset_id, config, split), fetch, html_area(elem_id="upload-status"))


def draw_parts(pending: gr.State, build_save: Callable[..., gr.Button]) -> Parts:
    """Draws the section where the call stands.

    Args:
        pending: Where the page keeps the import that is open.
        build_save: Draws the button that saves what was said; called with its label and `gr.Button`'s options.
    """
    source = draw_source()
    with gr.Column(visible=False, elem_id="upload-panel", elem_classes="lab-panel") as panel:
        head = html_area(actions="upload_action", elem_id="upload-head", elem_classes="lab-report")
        with gr.Accordion(words.OTHERWISE, open=False, elem_id="upload-otherwise") as otherwise:
            layouts = html_area(actions="upload_action", elem_id="upload-layouts")
            load = gr.UploadButton(words.MAPPING_FILE, size="sm", scale=0, elem_id="upload-mapping-file")
        decides = gr.Dropdown(
            [], label=words.DECIDES, info=words.DECIDES_HELP, visible=False, elem_id="upload-decides", min_width=220
        )
        mapping, ratings = draw_mapping_panel(), draw_rating_panel()
        trouble = html_area(elem_id="upload-trouble")
        with gr.Row(elem_classes="lab-actions"):
            add = gr.Button(variant="primary", visible=False, elem_id="upload-add")
            save = build_save(words.SAVE_MAPPING, name="upload-save", visible=False)
        examples = html_area(elem_id="upload-examples", elem_classes="lab-report")
        details = html_area(elem_id="upload-details", elem_classes="lab-report")
    return Parts(
        source=source,
        pending=pending,
        panel=panel,
        head=head,
        otherwise=otherwise,
        layouts=layouts,
        load=load,
        decides=decides,
        mapping=mapping,
        ratings=ratings,
        trouble=trouble,
        add=add,
        save=save,
        examples=examples,
        details=details,
    )
