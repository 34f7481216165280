"""Draws the push that a method gives a token over the token's probability. Knows no lab.

A small picture of the page's own, not a plot: it is drawn again at every change of a setting.
"""

from __future__ import annotations

from markupsafe import Markup

from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Verdict
from bnf_lab.core.methods import METHODS
from bnf_lab.plots.push import REFERENCE, push_curves
from bnf_lab.ui.markup import fill
from bnf_lab.ui.train import words

LEFT, RIGHT, MIDDLE, TALL = 12, 288, 66, 50
"""Where the axes are, in the picture's own units of 300 by 150."""

_PICTURE = """
<figure class="train-push">
<svg viewBox="0 0 300 150" role="img" aria-label="{title}. {summary}">
<line class="axis" x1="{left}" x2="{right}" y1="{middle}" y2="{middle}"/>
<line class="reference" x1="{q}" x2="{q}" y1="10" y2="{foot}"/>
<text x="{left}" y="11">{raises}</text><text x="{left}" y="{foot}">{lowers}</text>
<text x="{q}" y="136" text-anchor="middle">q</text>
<text x="{left}" y="148">p = 0</text><text x="{right}" y="148" text-anchor="end">p = 1</text>
<polyline class="preferred" points="{up}"/><polyline class="dispreferred" points="{down}"/>
</svg>
<figcaption>{title}
<span class="preferred">{preferred}</span> <span class="dispreferred">{dispreferred}</span></figcaption>
</figure>
"""


def draw_push(config: RunConfig) -> Markup:
    """Returns the picture of a method's push with its settings; nothing for a method whose push is not known."""
    curves = push_curves(config)
    if not curves:
        return Markup("")
    method = METHODS[config.method]
    return fill(
        _PICTURE,
        title=words.PUSH.format(method=method.label),
        summary=method.summary,
        raises=words.PUSH_RAISES,
        lowers=words.PUSH_LOWERS,
        preferred=Verdict.PREFERRED,
        dispreferred=Verdict.DISPREFERRED,
        left=LEFT,
        right=RIGHT,
        middle=MIDDLE,
        foot=MIDDLE + TALL + 6,
        q=f"{_across(REFERENCE):.1f}",
        up=" ".join(f"{_across(p):.1f},{MIDDLE - TALL * up:.1f}" for p, up, _ in curves),
        down=" ".join(f"{_across(p):.1f},{MIDDLE - TALL * down:.1f}" for p, _, down in curves),
    )


def _across(p: float) -> float:
    return LEFT + (RIGHT - LEFT) * p
