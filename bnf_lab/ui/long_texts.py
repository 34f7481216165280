"""Says below a text box, while one types or pastes, that the text is too long; nothing of it is ever cut.

A `max_length` of gradio's would cut what is pasted without a word, the question at its end included. The server refuses
the text in the same words (`guard.checked_text`). This room must not know any tab.
"""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from bnf_lab.ui.markup import html_area


def refuse_long(box: gr.Textbox, what: str, limit: int, **options: Any) -> gr.HTML:
    """Draws the place of the words where the call stands, and wires it to the box.

    Args:
        box: A text box with an `elem_id`.
        what: Its name, as the page shows it.
        limit: Most characters accepted.
        options: Passed on to `gr.HTML`.
    """
    place = html_area(elem_id=f"{box.elem_id}-problem", elem_classes="lab-too-long", **options)
    names = {"box": box.elem_id, "what": what, "limit": limit}
    script = "(text) => { const it = NAMES; " + _COUNT + "}"
    box.change(
        fn=None,
        inputs=[box],
        outputs=[place],
        js=script.replace("NAMES", json.dumps(names)),
        api_visibility="private",
        show_progress="hidden",
    )
    return place


_COUNT = """
const n = [...(text ?? '')].length, field = document.querySelector(`#${it.box} textarea, #${it.box} input`);
const isLong = n > it.limit;
field?.toggleAttribute('aria-invalid', false);
if (isLong) field?.setAttribute('aria-invalid', 'true');
field?.setAttribute('aria-describedby', `${it.box}-problem`);
const count = (k) => k.toLocaleString('en-US');
return isLong ? `<p role="alert">${it.what} has ${count(n)} characters; at most ${count(it.limit)} are accepted.`
  + ` Nothing was cut: shorten it by ${count(n - it.limit)}.</p>` : '';
"""
