"""Draws the widgets of a run's settings from the metadata of `RunConfig`, and reads them back. Knows no tab.

How the Train tab uses it::

    essential = draw_fields("essential", choices={"model": lab_models})
    with gr.Accordion("Advanced", open=False):
        advanced = draw_fields("advanced")
    fields = essential | advanced                       # name -> component
    listen(start.click, start_run, [session.token, *fields.values()], ...)
    ...
    def start_run(token, *values):
        config = collect_config(fields, values)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gradio as gr

from bnf_lab.config import RunConfig, field_default, field_specs
from bnf_lab.settings import METHODS, FieldSpec

Choices = Mapping[str, Sequence[tuple[str, str]]]


def draw_fields(group: str, *, choices: Choices | None = None) -> dict[str, gr.components.Component]:
    """Draws the settings of one group where the call stands.

    Args:
        group: `essential`, `advanced` or `experiment`.
        choices: (label, value) options offered for a free-text setting, which may still be typed over.

    Returns:
        The components by field name, in the order of declaration.
    """
    offered = choices or {}
    return {
        name: _draw_field(name, spec, offered.get(name))
        for name, spec in field_specs().items()
        if spec.group == group
    }


def collect_config(names: Iterable[str], values: Sequence[Any]) -> RunConfig:
    """Builds the settings from the widgets' values.

    Raises:
        ConfigError: With every problem found.
    """
    return RunConfig.from_dict(dict(zip(names, values, strict=True)))


def show_for_method(names: Iterable[str], method: str) -> list[Any]:
    """Returns one update a field that hides the settings `method` does not read."""
    specs = field_specs()
    return [gr.update(visible=not specs[name].methods or method in specs[name].methods) for name in names]


def describe_method(method: str) -> Any:
    """Returns the update that puts what a method does below the field where it is chosen."""
    return gr.update(info=METHODS[method].summary if method in METHODS else field_specs()["method"].help)


def _draw_field(
    name: str, spec: FieldSpec, offered: Sequence[tuple[str, str]] | None
) -> gr.components.Component:
    default = field_default(name)
    common: dict[str, Any] = {
        "label": f"{spec.label} ({spec.unit})" if spec.unit and spec.unit not in spec.label.lower() else spec.label,
        "info": METHODS[str(default)].summary if name == "method" else spec.help,
        "value": default,
        "elem_id": f"field-{name}",
        "visible": not spec.methods or field_default("method") in spec.methods,
    }
    if isinstance(default, bool):
        return gr.Checkbox(**common)
    if spec.choices:
        return gr.Radio(choices=[(spec.choice_labels.get(choice, choice), choice) for choice in spec.choices], **common)
    if isinstance(default, str):
        return _draw_text(spec, offered, common)
    if spec.step is not None and spec.maximum is not None and spec.maximum <= 1:
        return gr.Slider(minimum=spec.minimum, maximum=spec.maximum, step=spec.step, **common)
    # without minimum and maximum: gradio would complain at every key while "0.0005" is typed; `from_dict` checks
    return gr.Number(step=spec.step, precision=0 if isinstance(default, int) else None, **common)


def _draw_text(
    spec: FieldSpec, offered: Sequence[tuple[str, str]] | None, common: dict[str, Any]
) -> gr.components.Component:
    if offered is not None:
        return gr.Dropdown(choices=list(offered), allow_custom_value=True, filterable=True, **common)
    return gr.Textbox(lines=3 if spec.max_chars > 500 else 1, max_length=spec.max_chars, **common)
