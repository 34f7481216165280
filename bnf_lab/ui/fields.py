"""Draws the widgets of a run's settings from the metadata of `RunConfig`, and reads them back. Knows no tab.

How the Train tab uses it::

    fields = draw_fields("essential", choices={"model": lab_models})  # name -> component
    with gr.Accordion("More settings", open=False):
        fields |= draw_fields("advanced")
    listen(start.click, start_run, [session.token, *fields.values()], ...)
    ...
    def start_run(token, *values):
        config = collect_config(fields, values)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from bnf_lab.core.config import RunConfig, field_default, field_specs
from bnf_lab.core.fields import FieldSpec
from bnf_lab.core.methods import METHODS

Choices = Mapping[str, Sequence[tuple[str, str]]]
CHOSEN_ONLY = ("reference",)
"""Texts that the page only offers to choose: the shell also takes folders for them, which a page must not."""


def draw_fields(
    group: str,
    *,
    choices: Choices | None = None,
    helps: Mapping[str, str] | None = None,
    drawn: Iterable[str] = (),
) -> dict[str, gr.components.Component]:
    """Draws the settings of one group where the call stands.

    Args:
        group: `essential`, `advanced` or `experiment`.
        choices: (label, value) options offered for a free-text setting, which may still be typed over unless it is one
            of `CHOSEN_ONLY`.
        helps: What the page says below a field, where that is not what the shell says of the setting.
        drawn: Those that stand elsewhere on the page.

    Returns:
        The components by field name, in the order of declaration.
    """
    specs = {name: spec for name, spec in field_specs().items() if spec.group == group and name not in drawn}
    own = {name: replace(spec, help=(helps or {}).get(name, spec.help)) for name, spec in specs.items()}
    return {name: _draw_field(name, spec, (choices or {}).get(name)) for name, spec in own.items()}


def draw_field(name: str) -> gr.components.Component:
    """Draws one setting where the call stands."""
    return _draw_field(name, field_specs()[name], None)


def collect_config(names: Iterable[str], values: Sequence[Any]) -> RunConfig:
    """Builds the settings from the widgets' values, of which some may be blank.

    Raises:
        ConfigError: With every problem found.
    """
    specs = field_specs()
    given = dict(zip(names, values, strict=True))
    return RunConfig.from_dict(
        {n: field_default(n) if value is None and specs[n].may_be_blank else value for n, value in given.items()}
    )


def draw_value(name: str, value: Any) -> Any:
    """Returns what the setting's widget shows for a value: nothing for a default that a blank box means."""
    return None if field_specs()[name].may_be_blank and value == field_default(name) else value


def show_for_method(names: Iterable[str], method: str) -> list[Any]:
    """Returns one update a field that hides the settings `method` does not read."""
    specs = field_specs()
    return [gr.update(visible=not specs[name].methods or method in specs[name].methods) for name in names]


def describe_method(method: str) -> Any:
    """Returns the update that puts what a method does below the field where it is chosen."""
    return gr.update(info=METHODS[method].summary if method in METHODS else field_specs()["method"].help)


def _draw_field(name: str, spec: FieldSpec, offered: Sequence[tuple[str, str]] | None) -> gr.components.Component:
    default = field_default(name)
    common: dict[str, Any] = {
        "label": f"{spec.label} ({spec.unit})" if spec.unit and spec.unit not in spec.label.lower() else spec.label,
        "info": METHODS[str(default)].summary if name == "method" else spec.help,
        "value": draw_value(name, default),
        "elem_id": f"field-{name}",
        "visible": not spec.methods or field_default("method") in spec.methods,
    }
    if isinstance(default, bool):
        return gr.Checkbox(**common)
    if spec.choices:
        return gr.Radio(choices=[(spec.choice_labels.get(choice, choice), choice) for choice in spec.choices], **common)
    if isinstance(default, str):
        return _draw_text(spec, offered, common, may_type=name not in CHOSEN_ONLY)
    if spec.step is not None and spec.maximum is not None and spec.maximum <= 1:
        return gr.Slider(minimum=spec.minimum, maximum=spec.maximum, step=spec.step, buttons=[], **common)
    # without minimum and maximum: gradio would complain at every key while "0.0005" is typed; without precision: it
    # would make 2 of 2.5 and say nothing; `from_dict` checks
    return gr.Number(step=spec.step, **common)


def _draw_text(
    spec: FieldSpec, offered: Sequence[tuple[str, str]] | None, common: dict[str, Any], *, may_type: bool
) -> gr.components.Component:
    if offered is not None:
        return gr.Dropdown(choices=list(offered), allow_custom_value=may_type, filterable=may_type, **common)
    return gr.Textbox(lines=3 if spec.max_chars > 500 else 1, **common)  # the check says of a text that it is too long
