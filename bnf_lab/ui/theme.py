"""The lab's theme, from the colours and sizes in `assets/theme.json`. System fonts only: nothing is fetched."""

from __future__ import annotations

import json

import gradio as gr
from gradio.themes.utils.colors import Color

from bnf_lab.core.paths import ASSETS


def build_theme() -> gr.themes.Base:
    """Returns the theme for `launch(theme=...)`."""
    design = json.loads((ASSETS / "theme.json").read_text(encoding="utf-8"))
    hues = {f"{name}_hue": Color(*shades, name=f"lab-{name}") for name, shades in design["hues"].items()}
    theme = gr.themes.Base(**hues, **design["sizes"], font=design["font"], font_mono=design["font_mono"])
    return theme.set(**design["settings"])
