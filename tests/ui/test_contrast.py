"""Text stands out from its ground by 4.5 to 1, and what is no text but must be seen by 3 to 1 (WCAG 2.2, AA).

Computed from the theme's own colours, in light and in dark; the page as drawn is looked at by `test_reach.py`.
"""

from __future__ import annotations

import re

import pytest

from bnf_lab.core.paths import ASSETS
from bnf_lab.plots.tokens import SHIFT_SCALE, shift_color
from bnf_lab.ui.theme import build_theme

GROUNDS = ("body-background-fill", "background-fill-primary", "background-fill-secondary", "color-accent-soft")
TEXTS = {
    "body-text-color": GROUNDS,
    "body-text-color-subdued": GROUNDS,
    "lab-selected": ("body-background-fill", "color-accent-soft"),
    "lab-bad": GROUNDS[:3],
    "lab-preferred": (*GROUNDS, "lab-preferred-soft"),
    "lab-dispreferred": (*GROUNDS, "lab-dispreferred-soft"),
    "block-info-text-color": ("block-background-fill",),
    "block-title-text-color": ("block-background-fill",),
    "block-label-text-color": ("block-background-fill",),
    "checkbox-label-text-color": ("checkbox-label-background-fill", "checkbox-label-background-fill-hover"),
    "input-placeholder-color": ("input-background-fill",),
    "link-text-color": GROUNDS[:3],
    "button-primary-text-color": ("button-primary-background-fill", "button-primary-background-fill-hover"),
    "button-secondary-text-color": ("button-secondary-background-fill", "button-secondary-background-fill-hover"),
}
SHAPES = {
    "checkbox-border-color": ("checkbox-background-color", "checkbox-label-background-fill"),
    "checkbox-border-color-hover": ("checkbox-background-color", "checkbox-label-background-fill-hover"),
    "checkbox-background-color-selected": ("white",),
    "input-border-color": ("input-background-fill", "block-background-fill"),
    "color-accent": GROUNDS[:3],
}
NAMED = {"white": "#ffffff", "black": "#000000"}
Color = tuple[float, float, float]


def read_table(scheme: str) -> dict[str, str]:
    """Returns every colour of the theme and of the lab's own sheet by its name, as the page has it in this scheme."""
    css = build_theme()._get_theme_css() + (ASSETS / "lab.css").read_text(encoding="utf-8")
    tables: dict[str, dict[str, str]] = {"light": {}, "dark": {}}
    for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
        if re.fullmatch(r"(:root|[ .,]|dark)+", " ".join(selector.split("*/")[-1].split())):
            tables["dark" if ".dark" in selector else "light"].update(re.findall(r"--([\w-]+):\s*([^;]+)", body))
    return tables["light"] | (tables["dark"] if scheme == "dark" else {})


def find_color(name: str, table: dict[str, str]) -> Color:
    """Returns a name's red, green and blue (0 to 255)."""
    value = NAMED.get(name) or table[name].strip()
    while match := re.fullmatch(r"var\(--([\w-]+)\)", value):
        value = table[match[1]].strip()
    value = NAMED.get(value, value)
    return tuple(int(value[i : i + 2], 16) for i in (1, 3, 5))


def contrast(one: Color, other: Color) -> float:
    """Returns WCAG's contrast of two opaque colours, from 1 to 21."""
    low, high = sorted(map(_luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: Color) -> float:
    parts = [v / 255 for v in color]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_contrast_of_known_colors() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((0x77, 0x77, 0x77), (255, 255, 255)) == pytest.approx(4.478, abs=1e-3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("pairs", "least"), [(TEXTS, 4.5), (SHAPES, 3.0)], ids=["texts", "shapes"])
def test_what_must_be_read_or_seen_stands_out(pairs: dict[str, tuple[str, ...]], least: float, scheme: str) -> None:
    table = read_table(scheme)
    found = {
        f"{front} on {ground}": round(contrast(find_color(front, table), find_color(ground, table)), 2)
        for front, grounds in pairs.items()
        for ground in grounds
    }
    assert {pair: value for pair, value in found.items() if value < least} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_text_of_a_token_stands_out_from_every_tint(scheme: str) -> None:
    table = read_table(scheme)
    text = find_color("body-text-color", table)
    for ground in GROUNDS[:3]:
        below = find_color(ground, table)
        for tenth in range(-12, 13):
            tint = re.fullmatch(r"rgba\((\d+),(\d+),(\d+),([\d.]+)\)", shift_color(SHIFT_SCALE * tenth / 10))
            *color, alpha = map(float, tint.groups())
            blend = tuple(alpha * top + (1 - alpha) * under for top, under in zip(color, below, strict=True))
            assert contrast(text, blend) >= 4.5, (ground, tenth)


def test_verdict_buttons_and_pressed_thumbs_stand_out_from_their_white() -> None:
    css = "".join((ASSETS / name).read_text(encoding="utf-8") for name in ("lab.css", "chat.css"))
    filled = re.findall(r"\.(?:lab-prefer|lab-disprefer)\.primary \{ background: (#\w{6}); color: #fff", css)
    filled += re.findall(r'\[aria-pressed="true"\] \{ background: (#\w{6})', css)
    assert len(filled) == 4
    assert min(contrast(find_color("white", {}), find_color(f, {f: f})) for f in filled) >= 4.5
