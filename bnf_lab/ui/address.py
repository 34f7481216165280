"""What the page's address says, `?tab=watch&run=...&step=...`, and the title of the browser's tab.

`assets/address.js` writes the address and reads it: tab and section are the browser's alone; run, recorded step and
response are what Watch has drawn. What comes in by an address is typed by anybody: it is checked against the person's
own workspace. What goes out is JSON that the script compares and puts into the address; it never becomes markup.
Knows `Lab`, no tab.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr

from bnf_lab.core.errors import shown
from bnf_lab.core.paths import ASSETS
from bnf_lab.runs.records import RunState, RunStatus
from bnf_lab.ui import words as common_words
from bnf_lab.ui.markup import fill, html_area

if TYPE_CHECKING:
    from bnf_lab.lab.lab import Lab

MAX_DIGITS = 7


@dataclass(frozen=True)
class Address:
    """The part of an address that the server answers for.

    Attributes:
        run_id: The run that Watch shows; "" for the newest.
        step: The recorded step that is looked at; None follows the newest.
        response: Place of the response whose tokens are shown.
    """

    run_id: str = ""
    step: int | None = None
    response: int = 0


@dataclass(frozen=True)
class Place:
    """Where an address leads.

    Attributes:
        chosen: The run for `session.run_id`: "" for the newest, which is shown anyway and is nobody's choice.
        look: Where Watch looks.
        said: What of the address could not be followed.
    """

    chosen: str
    look: Address
    said: str


def build() -> gr.HTML:
    """Makes the area that no one sees, whose script keeps the address; its value is what `sent` returns.

    Its event `go` says that the person went back or forward: the address in the request is where to.
    """
    return gr.HTML(
        html_template="<i></i>",
        js_on_load=(ASSETS / "address.js").read_text(encoding="utf-8"),
        visible="hidden",
        elem_id="lab-address",
    )


def build_note() -> gr.HTML:
    """Makes the place that says what of an address could not be shown."""
    return html_area(visible=False, elem_id="lab-address-note")


def draw_note(said: str) -> gr.HTML:
    """Returns the update of the note; nothing said hides it."""
    return gr.HTML(str(fill('<p class="lab-note wait" role="status">{}</p>', said)) if said else "", visible=bool(said))


def read_address(query: Mapping[str, str]) -> Address:
    """Returns what an address asks for; numbers that are none count as not given.

    >>> read_address({"run": "a1", "step": "12", "response": "x"})
    Address(run_id='a1', step=12, response=0)
    """
    return Address(query.get("run", ""), _number(query.get("step", "")), _number(query.get("response", "")) or 0)


def find_place(lab: Lab, owner: str, asked: Address) -> Place:
    """Returns what of the address the workspace has, and what to say if it lacks the run."""
    if not asked.run_id:
        return Place("", Address(), "")
    known = [run.run_id for run in lab.runs.summaries(owner)]
    if asked.run_id not in known:
        instead = common_words.NEWEST_INSTEAD if known else common_words.NO_RUN_INSTEAD
        return Place("", Address(), f"{common_words.UNKNOWN_RUN.format(run=shown(asked.run_id))} {instead}")
    return Place("" if asked.run_id == known[0] else asked.run_id, asked, "")


def sent(address: Address, title: str = "") -> str:
    """Returns an address and a title as the script takes them."""
    named = f"{title} · {common_words.TITLE}" if title else common_words.TITLE
    return json.dumps(
        {"run": address.run_id, "step": address.step, "response": address.response or None, "title": named}
    )


def title_of(status: RunStatus) -> str:
    """Returns where a run is, for the browser's tab; nothing once it is over.

    >>> title_of(RunStatus(RunState.TRAINING, step=12, total_steps=30)), title_of(RunStatus(RunState.FINISHED))
    ('step 12/30', '')
    """
    if status.state is RunState.TRAINING and status.total_steps:
        return f"step {status.step}/{status.total_steps}"
    return "" if status.state.is_over else status.state.value


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else None
