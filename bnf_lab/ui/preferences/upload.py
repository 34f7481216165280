"""Upload: a file or a hub data set is looked at, asked about where it is not clear, and added with one click.

Nothing is stored before that click. What a person says gathers in one `ImportChoices`, kept in the page's state; each
answer reads the rows again. Wires the section's parts to its handlers. Knows `Lab`, no tab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.events import Dependency

from bnf_lab.ui.downloads import build_export
from bnf_lab.ui.guard import Lane, caught, describe_error, listen
from bnf_lab.ui.preferences.pending import Pending, in_turn
from bnf_lab.ui.preferences.upload_handlers import Handlers
from bnf_lab.ui.preferences.upload_parts import draw_parts
from bnf_lab.ui.preferences.upload_report import draw_problem
from bnf_lab.ui.session import Session

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab


@dataclass(frozen=True)
class UploadSection:
    """What the tab needs: the events after which there are new judgements."""

    changes: tuple[Dependency, ...]


def build(lab: Lab, session: Session) -> UploadSection:
    """Draws the section where the call stands."""
    token, pending = session.token, gr.State(None)

    def save(token: str, waiting: Pending | None) -> Path:
        return do.save(token, waiting)

    parts = draw_parts(pending, partial(build_export, make=save, inputs=[token, pending]))
    do = Handlers(lab, parts)
    reads: dict[str, Any] = {"outputs": parts.drawn, "lane": Lane.UPLOAD, "show_progress": "minimal"}
    first = reads | {"show_progress_on": [parts.source.status]}
    again = reads | {"show_progress_on": [parts.head]}
    read_file, read_hub = (_staying(read, parts.source.status) for read in (do.read_file, do.read_hub))
    opened = (
        listen(parts.source.file.upload, read_file, [token, parts.source.file], **first),
        listen(parts.source.fetch.click, read_hub, [token, *parts.source.hub], **first),
    )
    listen(parts.source.file.clear, do.close, [], parts.drawn)
    for event in opened:
        listen(event.failure, do.break_off, [], parts.drawn)
    listen(parts.source.guard.too_large, do.refuse_large, [token], parts.drawn)

    def stay(handler: Callable[..., Any], fields: Iterable[Any] = ()) -> Callable[..., Any]:
        return _staying(in_turn(handler, pending, fields), parts.trouble)

    for area in (parts.head, parts.layouts, parts.mapping.samples):
        listen(area.upload_action, stay(do.reply), [token, pending], **again)
    listen(parts.load.upload, stay(do.load_mapping), [token, pending, parts.load], **again)
    listen([parts.decides.input], stay(do.decide, [parts.decides]), [token, pending, parts.decides], **again)
    ratings, columns = parts.ratings.inputs, parts.mapping.inputs
    rate = stay(do.rate, parts.ratings.radios)
    listen([field.input for field in ratings], rate, [token, pending, *ratings], **again)
    listen([field.input for field in columns], stay(do.map_columns), [token, pending, *columns], **again)
    return UploadSection(changes=(listen(parts.add.click, stay(do.add), [token, pending], **first),))


def _staying(handler: Callable[..., Any], place: gr.HTML) -> Callable[..., Any]:
    """Returns the handler with its errors, defects too, as words that stay at a place of the page."""
    return caught(handler, lambda error: {place: draw_problem(describe_error(error))})
