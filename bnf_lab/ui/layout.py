"""Puts the page together: header, tabs in the order of the journey, and what crosses from one tab to another.

A tab is one module with `build(lab, session)`; `TABS` is the only place that lists them. The conventions of a
tab are in `session.py`, those of an event in `guard.py`, those of markup in `markup.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import gradio as gr
from gradio.events import Dependency

from bnf_lab.core.paths import ASSETS
from bnf_lab.ui import address, header, preview
from bnf_lab.ui import words as common_words
from bnf_lab.ui.chat import tab as chat_tab
from bnf_lab.ui.guard import Lane, listen
from bnf_lab.ui.guide import LAST_TAB, Guide
from bnf_lab.ui.markup import fill, html_area
from bnf_lab.ui.preferences import tab as preferences_tab
from bnf_lab.ui.runs import tab as runs_tab
from bnf_lab.ui.session import Again, Redraw, Session, build_beat, build_token, keep_or_make_token, once_known
from bnf_lab.ui.theme import build_theme
from bnf_lab.ui.train import tab as train_tab
from bnf_lab.ui.train.settings import choose_preset
from bnf_lab.ui.watch import tab as watch_tab

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab


class Tab(Protocol):
    """What `build` of a tab returns, at least."""

    redraw: Redraw


TABS: tuple[tuple[str, str, Callable[[Any, Session], Any]], ...] = (
    ("preferences", common_words.TAB_PREFERENCES, preferences_tab.build),
    ("train", common_words.TAB_TRAIN, train_tab.build),
    ("watch", common_words.TAB_WATCH, watch_tab.build),
    ("chat", common_words.TAB_CHAT, chat_tab.build),
    ("runs", common_words.TAB_RUNS, runs_tab.build),
)
"""(id, title, build) of each tab, in the order of the journey."""

WAITING_EVENTS = 256
UPLOAD_AGE_SECONDS = 3600


def build_app(lab: Lab) -> gr.Blocks:
    """Makes the page. All state is in `lab`'s store or in the browser; nothing is kept in this module."""
    with gr.Blocks(
        title=common_words.TITLE, delete_cache=(600, UPLOAD_AGE_SECONDS), analytics_enabled=False, fill_width=True
    ) as app:
        token = build_token()
        top = header.build(lab, token)
        bar, note, beat = address.build(), address.build_note(), build_beat()
        built = {}
        run_id, guide = gr.State(""), Guide(lab, partial(choose_preset, "quick", lab.drafts))
        with gr.Tabs(elem_id="lab-tabs", overflow_behavior="wrap") as tabs:
            session = Session(token=token, run_id=run_id, tabs=tabs, address=bar, beat=beat)
            for name, title, build in TABS:
                with gr.Tab(title, id=name, elem_id=f"tab-{name}") as tab:
                    html_area(fill("<h2>{}</h2>", title), elem_classes="lab-unseen")
                    built[name] = (tab, build(lab, session))
        known = _wire_address(lab, app, session, note, built["watch"][1])
        listen(app.load, lambda: top.draw(""), [], top.outputs, lane=Lane.TICK)
        guide.wire(session, known, built[LAST_TAB][0])
        for tab, part in built.values():
            redraw = part.redraw
            whole = Again(redraw.handler, (session.token, session.run_id), redraw.outputs)
            for event, how in ((known.success, whole), (tab.select, redraw.again or whole)):
                listen(event, once_known(how.handler), how.inputs, how.outputs)
    return app.queue(max_size=WAITING_EVENTS, api_open=False)


def _wire_address(lab: Lab, app: gr.Blocks, session: Session, note: gr.HTML, watch: watch_tab.WatchTab) -> Dependency:
    """Makes the page show what its address asks for: when it is opened, and when the person goes back or forward."""

    def keep_workspace(token: str, request: gr.Request) -> Any:
        kept = keep_or_make_token(lab, token)
        return kept, *go(kept, request)

    def go(token: str, request: gr.Request) -> Any:
        place = address.find_place(lab, lab.owner_of(token), address.read_address(request.query_params))
        return place.chosen, address.draw_note(place.said), *watch.handlers.place(place.look)

    arrived = (session.run_id, note, *watch.placed)
    known = listen(app.load, keep_workspace, [session.token], [session.token, *arrived])
    moved = listen(session.address.go, go, [session.token], arrived)
    chosen = [session.token, session.run_id]
    listen(moved.success, watch.redraw.handler, chosen, watch.redraw.outputs, trigger_mode="always_last")
    listen(
        session.run_id.change, lambda run_id: address.draw_note("") if run_id else gr.skip(), [session.run_id], [note]
    )
    return known


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
        "app_kwargs": {"openapi_url": None, **preview.serving()},
        "footer_links": [],
        "theme": build_theme(),
        "css_paths": [ASSETS / f"{name}.css" for name in ("lab", "guide", "judging", "watch", "chat")],
        "js": (ASSETS / "keys.js").read_text(encoding="utf-8"),
        "favicon_path": ASSETS / "favicon.svg",
    }
