"""How an experiment's settings are named, and how its groups form the lines of figures and the rows of tables.

Knows experiment records and the lab's colours; knows no figure, no page, no file. Every compared value keeps one
colour, dash and symbol through all figures of an experiment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bnf_lab.core.config import field_specs
from bnf_lab.core.methods import method_label
from bnf_lab.core.paths import without_folders
from bnf_lab.experiments.recipes import Recipe
from bnf_lab.experiments.records import Group
from bnf_lab.plots.style import GREEN, NEUTRAL, PURPLE, SKY

AMBER = "#C98200"
# Blue and orange stay with the two verdicts, as in the lab's other figures.
_COLORS = (GREEN, PURPLE, AMBER, SKY, NEUTRAL)
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "pentagon",
    "star",
    "hexagon",
    "triangle-left",
    "hourglass",
    "bowtie",
)


@dataclass(frozen=True)
class Line:
    """The groups of one compared value in the order of the drawn setting, and how they are told from others."""

    name: str
    groups: tuple[Group, ...]
    color: str
    dash: str
    symbol: str


def setting_label(name: str) -> str:
    """Returns a setting's name as it stands at the start of a line or heading."""
    return "Data" if name == "data" else field_specs()[name].label


def setting_words(name: str) -> str:
    """Returns a setting's name as it stands within a sentence.

    >>> setting_words("learning_rate"), setting_words("lora_rank")
    ('learning rate', 'LoRA rank')
    """
    label = setting_label(name)
    return label[0].lower() + label[1:] if label.split()[0].istitle() else label


def value_label(name: str, value: Any) -> str:
    """Returns a setting's value as people read it.

    >>> value_label("method", "dpo"), value_label("learning_rate", 1e-4), value_label("data", "demo:short_answers")
    ('DPO', '0.0001', 'short_answers')
    """
    value = without_folders(value)
    if name == "data":
        return str(value).removeprefix("demo:")
    if name == "method":
        return method_label(str(value))
    if isinstance(value, float):
        return f"{value:g}"
    return field_specs()[name].choice_labels.get(str(value), str(value))


def build_lines(recipe: Recipe, groups: Sequence[Group]) -> list[Line]:
    """Sorts groups into lines: one a compared value, or more where further settings vary within it."""
    others = [name for name in recipe.varied if name not in (recipe.compare, recipe.along)]
    keys = [tuple(g.setting(name) for name in (recipe.compare, *others)) for g in groups]
    n_variants = Counter(key[0] for key in dict.fromkeys(keys))
    lines: list[Line] = []
    for key in dict.fromkeys(keys):
        members = sorted((g for g, k in zip(groups, keys, strict=True) if k == key), key=_place_along(recipe))
        words = [value_label(recipe.compare, key[0])]
        if n_variants[key[0]] > 1:
            words += [f"{setting_words(n)} {value_label(n, v)}" for n, v in zip(others, key[1:], strict=True)]
        k = len(lines)
        lines.append(
            Line(
                ", ".join(words),
                tuple(members),
                _COLORS[k % len(_COLORS)],
                _DASHES[k % len(_DASHES)],
                _SYMBOLS[k % len(_SYMBOLS)],
            )
        )
    return lines


def lines_of(lines: Iterable[Line], data: str | None = None) -> list[Line]:
    """Returns what the lines have that has begun, on one data set or on all; a line without any is left out."""
    kept = (
        replace(line, groups=tuple(g for g in line.groups if g.results and data in (None, g.data))) for line in lines
    )
    return [line for line in kept if line.groups]


def _place_along(recipe: Recipe) -> Callable[[Group], float]:
    """Returns a sorting key: numbers by size, all else as it comes."""

    def place(group: Group) -> float:
        value = group.setting(recipe.along)
        return float(value) if isinstance(value, int | float) else 0.0

    return place
