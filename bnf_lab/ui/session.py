"""What all tabs share: the browser's workspace token, the open run and the way from one tab to another.

Conventions for a tab (`bnf_lab/ui/<name>_tab.py`)::

    @dataclass(frozen=True)
    class WatchTab:
        redraw: Redraw                      # how the tab is drawn again from the store

    def build(lab: Lab, session: Session) -> WatchTab:
        ...components, then events wired with guard.listen(...)

- The token is the browser's secret; the store knows only `lab.owner_of(token)`. Every handler takes the token first
  and asks for the owner itself. Nothing else that identifies a person may come from the browser.
- `redraw` runs on page load and each time the tab is shown, so a tab needs no other news of what happened elsewhere.
  Its handler receives `(token, run_id)`.
- `session.run_id` holds the run that Watch shows and Chat offers first ("" = the newest). To start a run and go to
  it, a handler with `outputs=[session.run_id, session.tabs]` returns `run_id, show_tab("watch")`. Tab ids:
  preferences, train, watch, chat, runs.
- `gr.State` is for what may be lost on refresh; anything a person would miss goes to the store.

This room must not know any tab.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab.errors import NotFound

if TYPE_CHECKING:
    from bnf_lab.lab import Lab

STORAGE_KEY = "bnf-lab-workspace"
STORAGE_SECRET = "bnf-lab-browser-copy"  # noqa: S105 - only obscures the browser's own copy; fixed so that it survives restarts


@dataclass(frozen=True)
class Session:
    """Components every tab may use as inputs or outputs."""

    token: gr.BrowserState
    run_id: gr.State
    tabs: gr.Tabs


@dataclass(frozen=True)
class Redraw:
    """How to draw a tab again: `handler(token, run_id)` gives the values of `outputs`."""

    handler: Callable[[str, str], Any]
    outputs: tuple[Any, ...]


def build_token() -> gr.BrowserState:
    """Makes the place in the browser where its workspace token is kept."""
    return gr.BrowserState("", storage_key=STORAGE_KEY, secret=STORAGE_SECRET)


def show_tab(name: str) -> Any:
    """Returns the update of `session.tabs` that brings a tab to the front."""
    return gr.Tabs(selected=name)


def keep_or_make_token(lab: Lab, token: object) -> str:
    """Returns the browser's token if it is a well-formed one, else a new workspace's."""
    try:
        lab.owner_of(token)  # type: ignore[arg-type]
    except NotFound:
        return lab.new_workspace()
    return token  # type: ignore[return-value]
