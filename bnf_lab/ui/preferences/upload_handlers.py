"""What the events of the upload section do. Each handler returns (component: value) for what changes.

A refusal of what was chosen or said stays on the page, beside where it was said. Knows `Lab`; this room must not wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab.core.errors import LabError
from bnf_lab.data.formats.rows import Limits, file_label, megabytes
from bnf_lab.data.mapping import ImportChoices, NothingThere, read_choices
from bnf_lab.data.report import ImportReport
from bnf_lab.ui.guard import checked_choice, checked_number, checked_text
from bnf_lab.ui.markup import fill
from bnf_lab.ui.preferences import words
from bnf_lab.ui.preferences.examples import draw_examples
from bnf_lab.ui.preferences.mapping_panel import (
    Given,
    note_refused,
    read_mapping,
    show_mapping,
    show_notes,
    show_parts,
)
from bnf_lab.ui.preferences.pending import Origin, Pending, Tickets, answer
from bnf_lab.ui.preferences.questions import (
    MAPPING,
    MEMORY,
    draw_contradictions,
    draw_memory,
    draw_otherwise,
    draw_questions,
    draw_said,
)
from bnf_lab.ui.preferences.rating_panel import read_rule, show_ratings
from bnf_lab.ui.preferences.upload_parts import Parts
from bnf_lab.ui.preferences.upload_report import (
    draw_added,
    draw_details,
    draw_head,
    draw_mapping_begun,
    draw_problem,
)

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab


SHOWN_UNITS = 3
PATH_CHARS = 4000
MAX_FILE_BYTES = 2**53  # the largest whole number that a browser counts exactly


def _waiting(pending: Pending | None) -> Pending:
    if pending is None:
        raise LabError(words.CLOSED)
    return pending


@dataclass(frozen=True)
class Handlers:
    """What the section's events do."""

    lab: Lab
    parts: Parts
    tickets: Tickets = field(default_factory=Tickets)

    def read_file(self, token: str, path: str | None) -> Iterator[Any]:
        """Looks at an uploaded file; what was open before is closed first."""
        owner = self.lab.owner_of(token)
        yield self.close()
        if path is not None:
            yield self._look(owner, Pending(Origin(path=path, name=Path(path).name)), ImportChoices())

    def read_hub(self, token: str, *values: Any) -> Iterator[Any]:
        """Looks at a data set of the hub."""
        owner = self.lab.owner_of(token)
        yield self.close() | {self.parts.source.file: None}
        try:
            dataset_id, config, split = values
            origin = Origin(
                dataset_id=checked_text(dataset_id, words.DATASET, limit=200).strip(),
                config=checked_text(config, words.CONFIG, limit=100, required=False).strip() or None,
                split=checked_text(split, words.SPLIT, limit=100).strip(),
            )
        except LabError as error:
            yield {self.parts.source.status: draw_problem(str(error))}
            return
        yield self._look(owner, Pending(origin), ImportChoices())

    def refuse_large(self, token: str, event: gr.EventData) -> dict[Any, Any]:
        """Says that a file is too large to travel."""
        self.lab.owner_of(token)
        name = file_label(checked_text(getattr(event, "name", None), words.FILE, limit=PATH_CHARS))
        n_bytes = checked_number(getattr(event, "size", None), words.FILE, minimum=0, maximum=MAX_FILE_BYTES)
        text = words.TOO_LARGE.format(name=name, size=megabytes(int(n_bytes)), limit=megabytes(Limits().file_bytes))
        return self.close() | {self.parts.source.status: draw_problem(text)}

    def close(self) -> dict[Any, Any]:
        """Forgets what was open."""
        return {self.parts.pending: None, self.parts.panel: gr.Column(visible=False), self.parts.source.status: ""}

    def break_off(self) -> dict[Any, Any]:
        """Forgets what was open, and says that it could not be read at all."""
        return self.close() | {self.parts.source.status: draw_problem(words.BROKE_OFF)}

    def reply(self, token: str, event: gr.EventData, pending: Pending | None) -> Any:
        """Takes an answer, or an answer back, and looks again."""
        owner = self.lab.owner_of(token)
        waiting, act, value = _waiting(pending), getattr(event, "act", None), getattr(event, "value", None)
        if act == MAPPING:
            return show_mapping(self.parts.mapping, waiting.seen, waiting.choices.columns) | {
                self.parts.otherwise: gr.Accordion(open=False)
            }
        if act == MEMORY:
            saved = self.lab.mappings.find(owner, waiting.seen.columns)
            choices = saved.choices if saved else waiting.choices
            return self._look(owner, waiting, replace(choices, part=waiting.choices.part))
        try:
            choices = answer(waiting, str(act), value, getattr(event, "fields", None))
        except LabError as error:
            return {self.parts.trouble: draw_problem(str(error))}
        return self._look(owner, waiting, choices)

    def save(self, token: str, pending: Pending | None) -> Path:
        """Keeps what was said for the next file with these columns, and gives it out as a file."""
        owner = self.lab.owner_of(token)
        waiting = _waiting(pending)
        return self.lab.mappings.save(owner, waiting.seen.columns, waiting.seen.file, waiting.choices)

    def decide(self, token: str, pending: Pending | None, value: object) -> Any:
        """Takes what decides, where a layout offers a choice."""
        owner = self.lab.owner_of(token)
        waiting = _waiting(pending)
        chosen = checked_choice(value, words.DECIDES, waiting.seen.decides)
        return self._look(owner, waiting, replace(waiting.choices, decides=chosen))

    def rate(self, token: str, pending: Pending | None, *values: Any) -> Any:
        """Takes how ratings become verdicts; the slider that the person holds is left alone."""
        owner = self.lab.owner_of(token)
        waiting = _waiting(pending)
        rule = read_rule(waiting.seen, *values)
        updates = self._look(owner, waiting, replace(waiting.choices, ratings=rule))
        if rule.threshold is not None:
            updates.pop(self.parts.ratings.threshold, None)
        return updates

    def map_columns(self, token: str, pending: Pending | None, kind: object, *places: Any) -> Any:
        """Looks at the rows by the columns chosen so far; says beside each field what is missing or wrong."""
        owner = self.lab.owner_of(token)
        waiting = _waiting(pending)
        given = read_mapping(waiting.seen.columns, kind, places)
        return self._look_mapped(owner, waiting, given) | show_parts(self.parts.mapping, given.mapping.kind)

    def _look_mapped(self, owner: str, waiting: Pending, given: Given) -> dict[Any, Any]:
        if not given.is_complete:
            return self._show_incomplete(waiting, given)
        old, new = waiting.choices.columns, given.mapping
        labels = waiting.choices.labels if old and old.label == new.label else {}
        choices = replace(waiting.choices, columns=new, labels=labels, layout="", decides="")
        try:
            report = self._read(waiting.origin, choices)
        except NothingThere as nothing:
            return self._show_incomplete(waiting, replace(given, wrong={nothing.part: str(nothing)}))
        except LabError as error:
            return {self.parts.trouble: draw_problem(str(error))}
        return self._show(owner, waiting.found(report, choices), report, is_mapping=True)

    def _show_incomplete(self, waiting: Pending, given: Given) -> dict[Any, Any]:
        parts = self.parts
        missing = " and ".join(words.PARTS[part].lower() for part in given.missing)
        return {
            parts.pending: replace(waiting, choices=replace(waiting.choices, columns=None)),
            parts.head: draw_mapping_begun(waiting.seen),
            parts.trouble: "",
            parts.decides: gr.Dropdown(visible=False),
            parts.ratings.column: gr.Column(visible=False),
            parts.add: gr.Button(visible=False),
            parts.save: gr.Button(visible=False),
            parts.examples: fill('<p class="lab-small">{}</p>', words.STILL_MISSING.format(parts=missing))
            if missing
            else "",
            parts.details: "",
            **show_notes(parts.mapping, given.wrong),
        }

    def load_mapping(self, token: str, pending: Pending | None, path: str | None) -> Any:
        """Takes everything that a mapping file says."""
        owner = self.lab.owner_of(token)
        waiting = _waiting(pending)
        try:
            choices = read_choices(Path(checked_text(path, words.MAPPING_FILE, limit=PATH_CHARS)))
        except LabError as error:
            return {self.parts.trouble: draw_problem(str(error))}
        return self._look(owner, waiting, choices)

    def add(self, token: str, pending: Pending | None) -> Any:
        """Stores the judgements, once, as they were shown."""
        owner = self.lab.owner_of(token)
        waiting = _waiting(pending)
        if not self.tickets.take(waiting.ticket):
            return {self.parts.panel: gr.Column(visible=False)}
        is_added = False
        try:
            report = self._read(waiting.origin, waiting.choices)
            if not report.judgements:
                raise LabError(words.NOTHING_TO_ADD)
            if (report.taken, report.n_rows) != (waiting.seen.taken, waiting.seen.n_rows):
                changed = {self.parts.trouble: draw_problem(words.CHANGED.format(file=report.file))}
                return self._show(owner, waiting.found(report, waiting.choices), report) | changed
            self.lab.judgements.keep(owner, report)
            is_added = True
        except LabError as error:
            return {self.parts.trouble: draw_problem(str(error))}
        finally:
            if not is_added:
                self.tickets.give_back(waiting.ticket)
        # the state stays, so that a second click finds its ticket used rather than nothing open
        return {
            self.parts.panel: gr.Column(visible=False),
            self.parts.source.file: None,
            self.parts.source.status: draw_added(report),
        }

    def _read(self, origin: Origin, choices: ImportChoices) -> ImportReport:
        read = self.lab.judgements
        if origin.path:
            return read.check_file(Path(origin.path), origin.name, choices=choices)
        return read.check_hub(origin.dataset_id, config=origin.config, split=origin.split, choices=choices)

    def _look(self, owner: str, pending: Pending, choices: ImportChoices) -> dict[Any, Any]:
        """Reads the rows as they are chosen and shows what they become; a refusal stays on the page."""
        try:
            report = self._read(pending.origin, choices)
        except LabError as error:
            place = self.parts.source.status if pending.report is None else self.parts.trouble
            return {place: draw_problem(str(error))}
        return self._show(owner, pending.found(report, choices), report)

    def _show(self, owner: str, pending: Pending, report: ImportReport, *, is_mapping: bool = False) -> dict[Any, Any]:
        """Returns everything that the panel shows of a report.

        Args:
            owner: Whose saved mapping is offered.
            pending: What the page keeps.
            report: With its judgements.
            is_mapping: Whether the person is at the fields of the mapping, which are then left as they are.
        """
        parts, choices, n = self.parts, pending.choices, len(report.judgements)
        mapping: dict[Any, Any] = {parts.mapping.column: gr.Column(visible=False)}
        if pending.maps_columns:
            mapping = {} if is_mapping else show_mapping(parts.mapping, report, choices.columns)
        refused = note_refused(choices.columns, report) if choices.columns else {}
        return {
            parts.source.status: "",
            parts.pending: pending,
            parts.panel: gr.Column(visible=True),
            parts.head: self._draw_head(owner, pending, report),
            parts.trouble: "",
            parts.decides: gr.Dropdown(
                [(name, name) for name in report.decides],
                value=report.decides[0] if report.decides else None,
                visible=len(report.decides) > 1,
            ),
            **show_ratings(parts.ratings, report, choices.ratings),
            parts.otherwise: gr.Accordion(open=False, visible=bool(report.columns)),
            parts.layouts: draw_otherwise(report.layouts, can_map=bool(report.columns)),
            **mapping,
            **show_notes(parts.mapping, refused),
            parts.add: gr.Button(words.add_button(n), visible=n > 0),
            parts.save: gr.Button(visible=bool(report.columns) and choices != ImportChoices()),
            parts.examples: draw_examples(report.judgements, words.EXAMPLES, SHOWN_UNITS),
            parts.details: draw_details(report),
        }

    def _draw_head(self, owner: str, pending: Pending, report: ImportReport) -> Any:
        choices = pending.choices
        is_untouched = replace(choices, part="") == ImportChoices()
        saved = self.lab.mappings.find(owner, report.columns) if is_untouched and report.columns else None
        return fill(
            "{}{}{}{}{}",
            draw_head(report),
            draw_memory(saved.file) if saved else "",
            draw_said(choices),
            draw_questions(report),
            draw_contradictions(report.n_contradictions),
        )
