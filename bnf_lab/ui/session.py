"""What all tabs share: the browser's workspace token, the open run and the way from one tab to another.

Conventions for a tab (`bnf_lab/ui/<name>/tab.py`)::

    @dataclass(frozen=True)
    class WatchTab:
        redraw: Redraw                      # how the tab is drawn again from the store

    def build(lab: Lab, session: Session) -> WatchTab:
        ...components, then events wired with guard.listen(...)

- The token is the browser's secret; the store knows only `lab.owner_of(token)`. Every handler takes the token first
  and asks for the owner itself. Nothing else that identifies a person may come from the browser.
- `redraw` runs on page load and each time the tab is shown, so a tab needs no other news of what happened elsewhere.
  Its handler receives `(token, run_id)`. Where a person may be typing, the tab has `redraw.again` for the second case.
- `session.run_id` holds the run that Watch and Runs show and Chat offers first ("" = the newest). To start a run and
  go to it, a handler with `outputs=[session.run_id, session.tabs]` returns `run_id, show_tab("watch")`. Tab ids:
  preferences, train, watch, chat, runs.
- `session.address` keeps the browser's address and title; what is sent to it is made by `address.sent`.
- `session.beat` ticks while the shown run moves. It stands outside the tabs: what is in a tab that was never opened is
  not on the page yet, and does not tick.
- `gr.State` is for what may be lost on refresh; anything a person would miss goes to the store.

This room must not know any tab.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from bnf_lab.core.errors import NotFound

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab


LIVE_SECONDS = 1.0
STORAGE_KEY = "bnf-lab-workspace"
STORAGE_SECRET = "bnf-lab-browser-copy"  # noqa: S105 - only obscures the browser's own copy; fixed so that it survives restarts


@dataclass(frozen=True)
class Session:
    """Components every tab may use as inputs or outputs."""

    token: gr.BrowserState
    run_id: gr.State
    tabs: gr.Tabs
    address: gr.HTML
    beat: gr.Timer


@dataclass(frozen=True)
class Again:
    """How to draw a tab that is shown again: `handler(*inputs)`, the token first, gives the values of `outputs`."""

    handler: Callable[..., Any]
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


@dataclass(frozen=True)
class Redraw:
    """How to draw a tab from the store: `handler(token, run_id)` gives the values of `outputs`.

    `again` takes its place when the tab is shown again and must leave alone what a person has typed or chosen there.
    """

    handler: Callable[[str, str], Any]
    outputs: tuple[Any, ...]
    again: Again | None = None


def build_token() -> gr.BrowserState:
    """Makes the place in the browser where its workspace token is kept."""
    return gr.BrowserState("", storage_key=STORAGE_KEY, secret=STORAGE_SECRET)


def build_beat() -> gr.Timer:
    """Makes the clock of the shown run, which Watch starts and stops."""
    return gr.Timer(LIVE_SECONDS, active=False)


def show_tab(name: str) -> Any:
    """Returns the update of `session.tabs` that brings a tab to the front."""
    return gr.Tabs(selected=name)


def keep_or_make_token(lab: Lab, token: object) -> str:
    """Returns the browser's token if it is a well-formed one, else a new workspace's."""
    try:
        lab.owner_of(token)
    except NotFound:
        return lab.new_workspace()
    return token  # type: ignore[return-value]


def once_known(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the handler for a tab's `select`: a tab is selected while the page still loads, before it has a token."""

    @functools.wraps(handler)
    def draw(token: str, *values: Any) -> Any:
        return handler(token, *values) if token else gr.skip()

    return draw
