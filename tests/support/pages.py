"""One tab in a page of its own, and a lab that starts no worker: what the tests of the tabs share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr

from bnf_lab.lab.lab import Lab
from bnf_lab.ui import address
from bnf_lab.ui.session import Session, build_beat, build_token


@contextlib.contextmanager
def idle_lab(home: Path) -> Iterator[Lab]:
    """A lab whose queue is closed: runs are written by hand and stay as they are."""
    lab = Lab(home)
    lab.runs.queue.close()
    yield lab
    lab.close()


def build_page(lab: Lab, build: Callable[[Lab, Session], Any]) -> SimpleNamespace:
    """Draws one tab; `tab` is what its `build` returns, `app` holds its guarded events."""
    with gr.Blocks(analytics_enabled=False) as app:
        token, run_id = build_token(), gr.State("")
        with gr.Tabs() as tabs, gr.Tab("Tab"):
            tab = build(lab, Session(token=token, run_id=run_id, tabs=tabs, address=address.build(), beat=build_beat()))
    return SimpleNamespace(app=app, tab=tab, token=token)


def handlers(app: gr.Blocks, name: str) -> list[Callable[..., Any]]:
    """Returns the page's guarded handlers of this name."""
    return [fn.fn for fn in app.fns.values() if fn.fn is not None and fn.fn.__name__ == name]
