"""Says what is wrong beside the field that is meant, and marks the field, until the next try. Knows no tab.

A toast vanishes and lies on buttons; a note stays where the eye already is::

    notes = FieldNotes()
    prompt = gr.Textbox(label="Prompt", elem_id="mark-prompt")
    notes.draw("Prompt", "mark-prompt")
    notes.listen(write.click, begin, [session.token, prompt], [answers])

`begin` is a handler as `guard.listen` takes it. What `checked_text("...", "Prompt", ...)` refuses then stands below the
box, which is `aria-invalid` and has the focus; any other error stands at the note that was drawn first. The outputs
stay as they are, so nothing that was typed is lost. To gradio the event has succeeded, so `.success` runs too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr
from gradio.events import Dependency
from markupsafe import Markup

from bnf_lab.ui.guard import Event, FieldRefused, caught, describe_error, listen
from bnf_lab.ui.markup import fill

_MARK_FIELD = """
watch('value', () => {
  const field = document.querySelector('#FIELD')?.querySelector('textarea, input, select');
  if (!field) return;
  const wrong = element.querySelector('[data-marks]');
  if (!wrong) { field.removeAttribute('aria-invalid'); field.removeAttribute('aria-describedby'); return; }
  field.setAttribute('aria-invalid', 'true');
  field.setAttribute('aria-describedby', wrong.id);
  field.focus();
});
"""


class FieldNotes:
    """The notes of fields that are sent together."""

    def __init__(self) -> None:
        self._areas: dict[str, gr.HTML] = {}
        self._ids: dict[str, str] = {}

    def draw(self, name: str, elem_id: str = "") -> gr.HTML:
        """Draws the place of a note where the call stands.

        Args:
            name: What errors call the field: its label on the page.
            elem_id: The field's id in the page; "" where the note is not a field's.
        """
        area = gr.HTML(
            js_on_load=_MARK_FIELD.replace("FIELD", elem_id) if elem_id else None,
            elem_classes="lab-field-note",
            padding=False,
        )
        self._areas[name], self._ids[name] = area, elem_id
        return area

    def listen(
        self,
        event: Event,
        handler: Callable[..., Any],
        inputs: Sequence[Any] = (),
        outputs: Sequence[Any] = (),
        **options: Any,
    ) -> Dependency:
        """Wires a handler whose errors become notes; see `guard.listen`."""
        noted = self._noted(handler, len(outputs))
        return listen(event, noted, inputs, [*outputs, *self._areas.values()], **options)

    def _noted(self, handler: Callable[..., Any], n_outputs: int) -> Callable[..., Any]:
        clear = ("",) * len(self._areas)

        def with_clear(result: Any) -> tuple[Any, ...]:
            values = result if isinstance(result, tuple) else (result,)
            return *values[:n_outputs], *clear

        def refused(error: Exception) -> tuple[Any, ...]:
            return *((gr.skip(),) * n_outputs), *self._say(error)

        return caught(handler, refused, with_clear)

    def _say(self, error: Exception) -> Iterator[Markup | str]:
        named = error.field if isinstance(error, FieldRefused) else ""
        chosen = named if named in self._areas else next(iter(self._areas))
        for name, elem_id in self._ids.items():
            yield _draw_wrong(describe_error(error), elem_id if name == named else "") if name == chosen else ""


def _draw_wrong(text: str, elem_id: str = "") -> Markup:
    """Returns what is wrong; with a field's id the field is marked too, where its note was drawn by `FieldNotes`."""
    marks = fill('id="{}-wrong" data-marks="true"', elem_id) if elem_id else Markup("")
    return fill('<p class="lab-wrong" role="alert" {}>{}</p>', marks, text)
