"""Upload: a file or a hub data set becomes judgements, and each ends in a row-by-row report. Knows `Lab`, no tab.

Plain schemas are stored at once. Unknown columns open the column panel, ratings the threshold panel; both import the
same source again with the person's choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.events import Dependency

from bnf_lab.count_plots import rating_histogram
from bnf_lab.errors import LabError
from bnf_lab.importers import ColumnMapping, ImportReport
from bnf_lab.ui import texts
from bnf_lab.ui.guard import Lane, checked_choice, checked_number, checked_text, listen
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.session import Session
from bnf_lab.ui.upload_report import draw_report, draw_samples, draw_split

if TYPE_CHECKING:
    from bnf_lab.lab import Lab

FILE_TYPES = [".jsonl", ".json", ".csv", ".parquet", ".gz"]
MAPPED_PARTS = {
    "pairs": ("prompt", "preferred", "dispreferred"),
    "labels": ("prompt", "response", "label"),
    "ratings": ("prompt", "response", "rating"),
}
PARTS = ("prompt", "preferred", "dispreferred", "response", "label", "rating")
NO_COLUMN = ""


@dataclass(frozen=True)
class Origin:
    """Where rows come from: an uploaded file (path, name) or a hub data set (id, config, split)."""

    path: str = ""
    name: str = ""
    dataset_id: str = ""
    config: str | None = None
    split: str = "train"


@dataclass(frozen=True)
class Pending:
    """An import that waits for the person's choice of columns or of a threshold."""

    origin: Origin
    mapping: ColumnMapping | None = None
    columns: tuple[str, ...] = ()
    ratings: tuple[float, ...] = ()


@dataclass(frozen=True)
class UploadSection:
    """What the tab needs: the events after which there are new judgements."""

    changes: tuple[Dependency, ...]


@dataclass(frozen=True)
class _Panels:
    pending: gr.State
    report: gr.HTML
    column_panel: gr.Column
    samples: gr.HTML
    kind: gr.Radio
    parts: tuple[gr.Dropdown, ...]
    map_button: gr.Button
    rating_panel: gr.Column
    threshold: gr.Slider
    split: gr.HTML
    histogram: gr.Plot
    store_button: gr.Button

    @property
    def drawn(self) -> tuple[Any, ...]:
        return (self.pending, self.report, self.column_panel, self.samples, *self.parts, self.rating_panel,
                self.threshold, self.split, self.histogram)


def build(lab: Lab, session: Session) -> UploadSection:
    """Draws the section where the call stands."""
    html_area(fill('<p class="lab-intro">{}</p>', texts.UPLOAD_INTRO))
    file = gr.File(label="File", file_types=FILE_TYPES, file_count="single", height=150, elem_id="upload-file")
    with gr.Accordion("From the Hugging Face hub", open=False, elem_id="upload-hub"), gr.Row(equal_height=True):
        dataset_id = gr.Textbox(label="Data set", placeholder="trl-lib/ultrafeedback_binarized", max_length=200,
                                scale=3, min_width=240)
        config = gr.Textbox(label="Config", placeholder="default", max_length=100, min_width=110)
        part = gr.Textbox(label="Split", value="train[:500]", max_length=100, min_width=110)
        fetch = gr.Button("Import", min_width=100, scale=0, elem_id="upload-hub-import")
    panels = _draw_panels()

    def read_file(token: str, path: str | None) -> Any:
        owner = lab.owner_of(token)
        if path is None:
            return _closed(panels, "")
        return _import(lab, owner, panels, Pending(Origin(path=path, name=Path(path).name)))

    def read_hub(token: str, *values: Any) -> Any:
        owner = lab.owner_of(token)
        named, config_name, split_name = values
        origin = Origin(
            dataset_id=checked_text(named, "Data set", limit=200).strip(),
            config=checked_text(config_name, "Config", limit=100, required=False).strip() or None,
            split=checked_text(split_name, "Split", limit=100).strip(),
        )
        return _import(lab, owner, panels, Pending(origin))

    busy: dict[str, Any] = {"lane": Lane.UPLOAD, "show_progress": "minimal", "show_progress_on": [panels.report]}
    uploaded = listen(file.upload, read_file, [session.token, file], panels.drawn, **busy)
    listen(file.clear, lambda: _closed(panels, ""), [], panels.drawn)
    fetched = listen(fetch.click, read_hub, [session.token, dataset_id, config, part], panels.drawn, **busy)
    chosen = _wire_panels(lab, session, panels, busy)
    for failed in (uploaded, fetched):
        listen(failed.failure, lambda: _closed(panels, ""), [], panels.drawn)
    return UploadSection(changes=(uploaded, fetched, *chosen))


def _draw_panels() -> _Panels:
    report = html_area(elem_id="upload-report")
    with gr.Column(visible=False, elem_id="upload-columns", elem_classes="lab-panel") as column_panel:
        html_area(fill("<h4>{}</h4><p>{}</p>", texts.COLUMNS_TITLE, texts.COLUMNS_HELP))
        samples = html_area()
        kind = gr.Radio([(texts.KINDS[k], k) for k in MAPPED_PARTS], value="pairs", label="Each row is",
                        elem_id="upload-kind")
        with gr.Row():
            parts = tuple(
                gr.Dropdown([], label=part.capitalize(), min_width=180, visible=part in MAPPED_PARTS["pairs"],
                            elem_id=f"upload-part-{part}")
                for part in PARTS
            )
        map_button = gr.Button("Import with these columns", variant="primary", elem_id="upload-map", size="md")
    with gr.Column(visible=False, elem_id="upload-ratings", elem_classes="lab-panel") as rating_panel:
        html_area(fill("<h4>{}</h4><p>{}</p>", texts.RATINGS_TITLE, texts.RATINGS_HELP))
        threshold = gr.Slider(0, 1, value=0.5, label="Preferred from", elem_id="upload-threshold")
        split = html_area(elem_id="upload-split")
        histogram = gr.Plot(show_label=False, container=False)
        store_button = gr.Button("Store these judgements", variant="primary", elem_id="upload-store", size="md")
    return _Panels(gr.State(None), report, column_panel, samples, kind, parts, map_button, rating_panel, threshold,
                   split, histogram, store_button)


def _wire_panels(lab: Lab, session: Session, panels: _Panels, busy: dict[str, Any]) -> tuple[Dependency, ...]:
    def show_parts(kind: str) -> Any:
        shown = MAPPED_PARTS[checked_choice(kind, "Each row is", tuple(MAPPED_PARTS))]
        return [gr.Dropdown(visible=part in shown) for part in PARTS]

    def map_columns(token: str, pending: Pending | None, kind: str, *columns: Any) -> Any:
        owner = lab.owner_of(token)
        chosen = _waiting(pending)
        shown = MAPPED_PARTS[checked_choice(kind, "Each row is", tuple(MAPPED_PARTS))]
        named = {part: column for part, column in zip(PARTS, columns, strict=True) if part in shown and column}
        for part, column in named.items():
            checked_choice(column, part.capitalize(), chosen.columns)
        return _import(lab, owner, panels, Pending(chosen.origin, ColumnMapping(kind, **named)))

    def show_split(pending: Pending | None, threshold: float) -> Any:
        ratings = _waiting(pending).ratings
        level = checked_number(threshold, "Preferred from", minimum=min(ratings), maximum=max(ratings))
        return draw_split(ratings, level), rating_histogram(ratings, level)

    def store(token: str, pending: Pending | None, threshold: float) -> Any:
        owner = lab.owner_of(token)
        chosen = _waiting(pending)
        level = checked_number(threshold, "Preferred from", minimum=min(chosen.ratings), maximum=max(chosen.ratings))
        return _import(lab, owner, panels, Pending(chosen.origin, chosen.mapping), level)

    mapping = [session.token, panels.pending, panels.kind, *panels.parts]
    rating = [session.token, panels.pending, panels.threshold]
    listen(panels.kind.input, show_parts, [panels.kind], panels.parts)
    listen(panels.threshold.input, show_split, rating[1:], [panels.split, panels.histogram], trigger_mode="always_last")
    return (listen(panels.map_button.click, map_columns, mapping, panels.drawn, **busy),
            listen(panels.store_button.click, store, rating, panels.drawn, **busy))


def _waiting(pending: Pending | None) -> Pending:
    if pending is None:
        raise LabError("This import is no longer open. Choose the file or data set again.")
    return pending


def _import(lab: Lab, owner: str, panels: _Panels, pending: Pending, threshold: float | None = None) -> Any:
    """Reads the rows; stores them unless the person has to choose columns or a threshold first."""
    report = _read(lab, owner, pending, threshold)
    if report.needs_mapping:
        return _ask_for_columns(panels, Pending(pending.origin, columns=report.columns), report)
    if report.ratings and threshold is None:
        return _ask_for_threshold(panels, Pending(pending.origin, pending.mapping, ratings=report.ratings), report)
    lab.keep(owner, report, None)
    return _closed(panels, draw_report(report, is_stored=bool(report.judgements)))


def _read(lab: Lab, owner: str, pending: Pending, threshold: float | None) -> ImportReport:
    origin = pending.origin
    if origin.path:
        return lab.check_file(Path(origin.path), origin.name, mapping=pending.mapping, threshold=threshold)
    return lab.check_hub(
        origin.dataset_id, config=origin.config, split=origin.split, mapping=pending.mapping, threshold=threshold
    )


def _closed(panels: _Panels, report: Any) -> tuple[Any, ...]:
    parts = (gr.skip(),) * len(panels.parts)
    return (None, report, gr.Column(visible=False), gr.skip(), *parts, gr.Column(visible=False), *(gr.skip(),) * 3)


def _ask_for_columns(panels: _Panels, pending: Pending, report: ImportReport) -> tuple[Any, ...]:
    choices = [("(none)", NO_COLUMN), *((name, name) for name in report.columns)]
    parts = [gr.Dropdown(choices, value=NO_COLUMN) for _ in panels.parts]
    return (pending, draw_report(report, is_stored=False), gr.Column(visible=True), draw_samples(report), *parts,
            gr.Column(visible=False), *(gr.skip(),) * 3)


def _ask_for_threshold(panels: _Panels, pending: Pending, report: ImportReport) -> tuple[Any, ...]:
    low, high, level = min(report.ratings), max(report.ratings), report.threshold
    step = 1 if all(rating == int(rating) for rating in report.ratings) else (high - low) / 100 or 1
    parts = (gr.skip(),) * len(panels.parts)
    return (pending, draw_report(report, is_stored=False), gr.Column(visible=False), gr.skip(), *parts,
            gr.Column(visible=True), gr.Slider(low, high, value=level, step=step),
            draw_split(report.ratings, level), rating_histogram(report.ratings, level))
