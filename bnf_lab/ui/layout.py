"""Puts the page together: header, tabs in the order of the journey, and what crosses from one tab to another.

A tab is one module with `build(lab, session)`; `TABS` is the only place that lists them. The conventions of a
tab are in `session.py`, those of an event in `guard.py`, those of markup in `markup.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import gradio as gr

from bnf_lab.ui import chat_tab, header, preferences_tab, runs_tab, texts, train_tab, watch_tab
from bnf_lab.ui.guard import Lane, listen
from bnf_lab.ui.session import Redraw, Session, build_token, keep_or_make_token
from bnf_lab.ui.theme import ASSETS, build_theme

if TYPE_CHECKING:
    from bnf_lab.lab import Lab


class Tab(Protocol):
    """What `build` of a tab returns, at least."""

    redraw: Redraw


TABS: tuple[tuple[str, str, Callable[[Any, Session], Any]], ...] = (
    ("preferences", texts.TAB_PREFERENCES, preferences_tab.build),
    ("train", texts.TAB_TRAIN, train_tab.build),
    ("watch", texts.TAB_WATCH, watch_tab.build),
    ("chat", texts.TAB_CHAT, chat_tab.build),
    ("runs", texts.TAB_RUNS, runs_tab.build),
)
"""(id, title, build) of each tab, in the order of the journey."""

WAITING_EVENTS = 256
UPLOAD_AGE_SECONDS = 3600


def build_app(lab: Lab) -> gr.Blocks:
    """Makes the page. All state is in `lab`'s store or in the browser; nothing is kept in this module."""
    with gr.Blocks(
        title=texts.TITLE, delete_cache=(600, UPLOAD_AGE_SECONDS), analytics_enabled=False, fill_width=True
    ) as app:
        token = build_token()
        top = header.build(lab, token)
        built = []
        run_id = gr.State("")
        with gr.Tabs(elem_id="lab-tabs", overflow_behavior="wrap") as tabs:
            session = Session(token=token, run_id=run_id, tabs=tabs)
            for name, title, build in TABS:
                with gr.Tab(title, id=name, elem_id=f"tab-{name}") as tab:
                    built.append((tab, build(lab, session)))
        _wire(lab, app, session, top, built)
    return app.queue(max_size=WAITING_EVENTS, api_open=False)


def _wire(
    lab: Lab, app: gr.Blocks, session: Session, top: header.Header, tabs: list[tuple[gr.Tab, Tab]]
) -> None:
    def keep_workspace(token: str) -> str:
        return keep_or_make_token(lab, token)

    def draw_header() -> Any:
        return top.draw("")

    known = listen(app.load, keep_workspace, [session.token], [session.token])
    listen(app.load, draw_header, [], top.outputs, lane=Lane.TICK)
    for tab, part in tabs:
        for event in (known.success, tab.select):
            listen(event, _once_known(part.redraw), [session.token, session.run_id], part.redraw.outputs)


def _once_known(redraw: Redraw) -> Callable[[str, str], Any]:
    """The first tab is "selected" while the page still loads, before the browser has its token."""

    def draw(token: str, run_id: str) -> Any:
        return redraw.handler(token, run_id) if token else gr.skip()

    return draw


def launch_settings() -> dict[str, Any]:
    """Returns the arguments of `launch` other than address, port and share; each closes a door or sets the look."""
    return {
        "show_error": False,
        "max_file_size": "20mb",
        "enable_monitoring": False,
        "run_history": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "allowed_paths": [],
        "state_session_capacity": 400,
        "app_kwargs": {"openapi_url": None},
        "footer_links": [],
        "theme": build_theme(),
        "css_paths": [ASSETS / "lab.css", ASSETS / "watch.css", ASSETS / "chat.css"],
        "js": (ASSETS / "keys.js").read_text(encoding="utf-8"),
        "favicon_path": ASSETS / "favicon.svg",
    }
