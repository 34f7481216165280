"""A button that makes a file when it is clicked and hands it to the browser in the same click. Knows no tab.

A plain `gr.DownloadButton` offers the file of the *previous* click, so the visible button makes the file and then
presses a hidden download button.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from bnf_lab.ui.guard import Lane, listen


def build_export(
    label: str,
    make: Callable[..., Path],
    inputs: Sequence[Any],
    *,
    name: str,
    working: tuple[gr.HTML, Any] | None = None,
    **options: Any,
) -> gr.Button:
    """Draws the button.

    Args:
        label: What the button says.
        make: Handler over `inputs`, token first, that writes the file and returns its path. The file must lie in
            the data folder's `tmp/`, the only place gradio serves from.
        inputs: Components whose values `make` receives.
        name: Unique id of the button in the page.
        working: An area and what it says (markup) while the file is made.
        options: Passed on to `gr.Button`.
    """
    button = gr.Button(label, elem_id=name, **options)
    # by a class: gradio (6.31) shows what is visible="hidden" in a column that is opened later
    hidden = gr.DownloadButton(elem_id=f"{name}-file", elem_classes="lab-hidden")

    def offer(*values: Any) -> str:
        return str(make(*values))

    begin = button.click
    if working is not None:
        area, words = working
        begin = listen(button.click, lambda: words, [], [area]).then
    made = listen(begin, offer, inputs, [hidden], lane=Lane.START, show_progress="minimal", show_progress_on=[button])
    if working is not None:
        for end in (made.success, made.failure):
            listen(end, lambda: "", [], [area])
    # The link gets its address in the browser's next frame; pressing it at once would download the last file.
    made.success(
        fn=None,
        api_visibility="private",
        js=f"() => setTimeout(() => document.querySelector('#{name}-file').click(), 150)",
    )
    return button
