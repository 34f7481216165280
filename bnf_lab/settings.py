"""What describes one setting and one method: the words and ranges from which fields, flags and tables are made.

Values only, standard library: no torch, no files, no pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class MethodSpec:
    """A method's name for people and one sentence on what it does to likelihoods."""

    label: str
    summary: str


METHODS: dict[str, MethodSpec] = {
    "bnf": MethodSpec("BNF", "Pushes hardest where the policy still equals the reference and eases off both ways."),
    "sft": MethodSpec("SFT", "Fine-tunes on preferred responses alone; dispreferred ones are not read."),
    "nll": MethodSpec(
        "Likelihood up / down", "Raises preferred and lowers dispreferred likelihood without any brake."
    ),
    "dpo": MethodSpec("DPO", "Widens the gap between a pair's two responses; both likelihoods may fall."),
    "ipo": MethodSpec("IPO", "Draws the gap of a pair, by length, to a fixed width from both sides."),
    "slic": MethodSpec("SLiC-HF", "Widens the gap of a pair until it is wide enough, then leaves it alone."),
    "simpo": MethodSpec("SimPO", "Widens the gap between mean likelihoods beyond a margin, without a reference."),
    "orpo": MethodSpec("ORPO", "Fine-tunes on the preferred response and widens the ratio of odds; no reference."),
    "kto": MethodSpec("KTO", "Judges each response against a reference point; gains and losses saturate. No pairs."),
    "hybrid": MethodSpec("BNF + contrastive", "BNF with a weighted DPO or SimPO term on the pairs beside it."),
}


def method_label(name: str) -> str:
    """Returns what people call a method; a method that only a program registered is called by its own name.

    >>> method_label("slic"), method_label("mine")
    ('SLiC-HF', 'mine')
    """
    return METHODS[name].label if name in METHODS else name


@dataclass(frozen=True)
class FieldSpec:
    """What a widget, a flag and a check need to know about one setting.

    `group` is `essential` (always shown), `advanced` (folded away) or `experiment`. `methods` names
    the methods that read the setting; empty means all of them.
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


def setting(default: Any, label: str, help: str, group: str, **spec: Any) -> Any:
    """Declares one field of `RunConfig` together with its metadata."""
    if isinstance(default, list | dict):
        raise TypeError("a setting's default must be immutable")
    return field(default=default, metadata={"spec": FieldSpec(label, help, group, **spec)})
