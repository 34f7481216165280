"""What describes one setting: words and ranges for fields, flags and tables, and the check of a value against them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.core.numbers import counted, is_number


@dataclass(frozen=True)
class FieldSpec:
    """What a widget, a flag and a check need to know about one setting.

    `group` is `essential` (always shown), `advanced` (folded away) or `experiment`. `methods` names
    the methods that read the setting; empty means all of them. `may_be_blank`: on a page, an empty box
    means the default.
    """

    label: str
    help: str
    group: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    choice_labels: Mapping[str, str] = field(default_factory=dict)
    methods: tuple[str, ...] = ()
    max_chars: int = 300
    may_be_blank: bool = False


def setting(default: Any, label: str, help: str, group: str, **spec: Any) -> Any:
    """Declares one field of `RunConfig` together with its metadata."""
    if isinstance(default, list | dict):
        raise TypeError("a setting's default must be immutable")
    return field(default=default, metadata={"spec": FieldSpec(label, help, group, **spec)})


def find_problem(name: str, value: Any, spec: FieldSpec, kind: type) -> str | None:
    """Returns why a value is none that the setting takes, with what is accepted; None if it is one.

    Args:
        name: The setting.
        value: As it came, not coerced.
        spec: What the setting accepts.
        kind: Its type: bool, str, int or float.
    """
    if kind is bool:
        return None if isinstance(value, bool) else f"{name} is {shown(value)}; it must be true or false."
    if kind is str:
        return _text_problem(name, value, spec)
    whole = kind is int
    # a whole number too large for a float is still a number, and out of range below
    if not is_number(value) or (whole and value != int(value)):
        return f"{name} is {shown(value)}; it must be a {'whole ' if whole else ''}number{_range(spec)}."
    if (spec.minimum is not None and value < spec.minimum) or (spec.maximum is not None and value > spec.maximum):
        return f"{name} is {shown(value)}; it must be{_range(spec)}."
    return None


def _text_problem(name: str, value: Any, spec: FieldSpec) -> str | None:
    if not isinstance(value, str):
        return f"{name} is {shown(value)}; it must be a text."
    if spec.choices and value not in spec.choices:
        return f"{name} is {shown(value)}; it must be one of: {', '.join(spec.choices)}."
    if len(value) > spec.max_chars:
        return f"{name} has {counted(len(value), 'character')}; at most {spec.max_chars} are accepted."
    return None


def _range(spec: FieldSpec) -> str:
    unit = f" {spec.unit}" if spec.unit else ""
    if spec.minimum is None or spec.maximum is None:
        return ""
    return f" from {spec.minimum:g} to {spec.maximum:g}{unit}"
