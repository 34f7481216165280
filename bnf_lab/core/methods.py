"""What describes one method: its name for people and what it does.

Values only, standard library: no torch, no files, no pages.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MethodSpec:
    """A method's name for people and one sentence on what it does to likelihoods."""

    label: str
    summary: str


METHODS: dict[str, MethodSpec] = {
    "bnf": MethodSpec("BNF", "Pushes hardest where the policy still equals the reference and eases off both ways."),
    "sft": MethodSpec("SFT", "Fine-tunes on preferred responses alone; dispreferred ones are not read."),
    "dpo": MethodSpec("DPO", "Widens the gap between a pair's two responses; both likelihoods may fall."),
    "nll": MethodSpec("Likelihood up / down", "Raises preferred and lowers dispreferred likelihood without any brake."),
    "ipo": MethodSpec("IPO", "Draws the gap of a pair, by length, to a fixed width from both sides."),
    "slic": MethodSpec("SLiC-HF", "Widens the gap of a pair until it is wide enough, then leaves it alone."),
    "simpo": MethodSpec("SimPO", "Widens the gap between mean likelihoods beyond a margin, without a reference."),
    "orpo": MethodSpec("ORPO", "Fine-tunes on the preferred response and widens the ratio of odds; no reference."),
    "kto": MethodSpec("KTO", "Judges each response against a reference point; gains and losses saturate. No pairs."),
    "hybrid": MethodSpec("BNF + contrastive", "BNF with a weighted DPO or SimPO term on the pairs beside it."),
}
"""In the order of the page, which offers the first three at once and the others where somebody asks for more."""


def method_label(name: str) -> str:
    """Returns what people call a method; a method that only a program registered is called by its own name.

    >>> method_label("slic"), method_label("mine")
    ('SLiC-HF', 'mine')
    """
    return METHODS[name].label if name in METHODS else name
