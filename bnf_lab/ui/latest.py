"""Draws an area once more after the events that draw it, so that the page ends with what is stored. Knows no tab.

Events of one page are handled side by side, and their answers arrive in any order: of two marks within 150 ms the page
could end with the first one's drawing, in which the second one is missing. One event of its own, which the browser
never sends twice at a time, draws the area again from the store after each of them; nothing comes after it but itself.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.events import Dependency

from bnf_lab.ui import guard
from bnf_lab.ui.field_notes import FieldNotes


class Latest:
    """The events of one area, and how it is drawn from the store."""

    def __init__(self) -> None:
        self._stamp = gr.State("")

    def listen(
        self,
        event: Callable[..., Dependency],
        handler: Callable[..., Any],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        *,
        notes: FieldNotes | None = None,
        **options: Any,
    ) -> Dependency:
        """Wires an event that draws the area; see `guard.listen`, and `FieldNotes.listen` where notes are given."""

        @functools.wraps(handler)  # gradio reads from the handler's own signature that it wants the event
        def stamped(*values: Any) -> Any:
            return *handler(*values), uuid.uuid4().hex

        return (notes or guard).listen(event, stamped, inputs, [*outputs, self._stamp], **options)

    def draw(self, handler: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Wires what draws the area from the store."""
        guard.listen(self._stamp.change, handler, inputs, outputs, trigger_mode="always_last")
