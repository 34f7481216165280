"""Builds the page's own HTML so that nobody's text can become markup or script.

`gr.HTML` has two traps. `${value}` inserts HTML as it is. A handlebars `{{value}}` is worse: gradio 6.31 pastes its
result into the source of a JavaScript template literal, so a text such as `${alert(1)}` runs. So every area here
uses the default `${value}` template, and its value is always made by `fill`, which escapes.
This room must not know the lab.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gradio as gr
from markupsafe import Markup


def fill(template: str, /, *values: Any, **named: Any) -> Markup:
    """Returns the template with each value escaped, except values that are `Markup` themselves.

    >>> fill("<b>{name}</b>", name="<script>")
    Markup('<b>&lt;script&gt;</b>')
    >>> fill("<p>{inner}</p>", inner=fill("<b>{x}</b>", x="a & b"))
    Markup('<p><b>a &amp; b</b></p>')
    """
    return Markup(template).format(*values, **named)  # noqa: S704 - the template is the page's own; format escapes


def joined(parts: Iterable[Markup], separator: str = "") -> Markup:
    """Returns pieces of markup one after the other."""
    return Markup(separator).join(parts)  # noqa: S704 - as above; join escapes


def html_area(value: Markup | str = "", *, actions: str | None = None, script: str = "", **options: Any) -> gr.HTML:
    """Makes an area that shows markup made by `fill`.

    Args:
        value: First content.
        actions: Name of an event that fires when an element with `data-act` is clicked; the event's data carries
            all of the element's `data-` attributes, and as `fields` what is chosen in the form around it. They come
            from the browser: authorise them like any other input.
        script: More JavaScript for the area, run once; it knows `element`, `trigger` and `watch`.
        options: Passed on to `gr.HTML` (`elem_id`, `visible`, ...).
    """
    clicks = _CLICKS.replace("EVENT", actions) if actions else ""
    return gr.HTML(str(value), js_on_load=clicks + script or None, **options)


_CLICKS = """
element.addEventListener('click', (e) => {
  const hit = e.target.closest('[data-act]');
  if (!hit || !element.contains(hit)) return;
  const form = hit.closest('form');
  trigger('EVENT', {...hit.dataset, fields: form ? Object.fromEntries(new FormData(form)) : {}});
});
element.addEventListener('submit', (e) => e.preventDefault());  // the click has said it all
"""
