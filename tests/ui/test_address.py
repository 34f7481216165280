"""The address as the server reads and sends it; that the browser keeps it is in test_address_in_browser."""

from __future__ import annotations

import json
from types import SimpleNamespace

import gradio as gr
import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, Message, Verdict, now
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import RunState, RunStatus
from bnf_lab.ui.address import Address, draw_note, find_place, read_address, sent, title_of
from bnf_lab.ui.layout import build_app
from bnf_lab.ui.watch.inspector import Look
from bnf_lab.ui.watch.tab import Shown
from tests.support.pages import handlers, idle_lab

JUDGEMENTS = [Judgement((Message("user", "Hi"),), "Hello", Verdict.PREFERRED)]


@pytest.fixture
def lab(tmp_path):
    with idle_lab(tmp_path / "home") as lab:
        yield lab


def add_run(lab, token, run_id):
    owner = lab.owner_of(token)
    folder = RunFolder.create(lab.runs.queue.path_of(run_id), RunConfig(), JUDGEMENTS, owner=owner)
    lab.runs.register.add(owner, run_id, run_id, now())
    folder.write_status(RunStatus(RunState.FINISHED, owner=owner, step=30, total_steps=30))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, Address()),
        ({"run": "a", "step": "0", "response": "3"}, Address("a", 0, 3)),
        ({"run": "a", "tab": "watch", "__theme": "dark"}, Address("a")),
        ({"step": "-1", "response": "1.5"}, Address()),
        ({"step": "9" * 5000, "response": "²"}, Address()),
        ({"step": "١٢", "response": " 1"}, Address()),
    ],
)
def test_an_address_is_read_and_what_is_no_number_is_left_out(query, expected):
    assert read_address(query) == expected


def test_what_is_sent_holds_only_what_says_something():
    assert json.loads(sent(Address("a"))) == {"run": "a", "step": None, "response": None, "title": "BNF Lab"}
    full = json.loads(sent(Address("a", 0, 2), "step 1/2"))
    assert full == {"run": "a", "step": 0, "response": 2, "title": "step 1/2 · BNF Lab"}


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (RunStatus(RunState.QUEUED, total_steps=30), "queued"),
        (RunStatus(RunState.PREPARING, total_steps=30), "preparing"),
        (RunStatus(RunState.TRAINING), "training"),
        (RunStatus(RunState.TRAINING, step=12, total_steps=30), "step 12/30"),
        (RunStatus(RunState.STOPPED, step=12, total_steps=30), ""),
        (RunStatus(RunState.FAILED, step=12, total_steps=30), ""),
    ],
)
def test_the_title_says_the_step_while_a_run_lives(status, title):
    assert title_of(status) == title


def test_a_run_is_found_in_ones_own_workspace_only(lab):
    me, other = lab.new_workspace(), lab.new_workspace()
    owner = lab.owner_of(me)
    assert find_place(lab, owner, Address()).said == ""
    assert "no run here yet" in find_place(lab, owner, Address("run1")).said
    for token, run_id in ((me, "run1"), (me, "run2"), (other, "theirs")):
        add_run(lab, token, run_id)
    older = find_place(lab, owner, Address("run1", 4, 1))
    assert (older.chosen, older.look, older.said) == ("run1", Address("run1", 4, 1), "")
    newest = find_place(lab, owner, Address("run2", 4, 1))
    assert (newest.chosen, newest.look) == ("", Address("run2", 4, 1))  # nobody's choice: no chat follows it
    for unknown in ("theirs", "gone", "../run1", "<img src=x onerror=hit()>" * 100):
        place = find_place(lab, owner, Address(unknown, 4, 1))
        assert (place.chosen, place.look) == ("", Address())
        assert "newest run is shown" in place.said
        assert len(place.said) < 300


def test_a_note_never_becomes_markup(lab):
    note = draw_note(find_place(lab, lab.owner_of(lab.new_workspace()), Address("<img src=x>")).said)
    assert note.visible is True
    assert "<img" not in note.value
    assert draw_note("").visible is False


def test_opening_and_going_back_set_run_and_look(lab):
    token = lab.new_workspace()
    for run_id in ("run1", "run2"):
        add_run(lab, token, run_id)
    app = build_app(lab)
    request = SimpleNamespace(query_params={"tab": "watch", "run": "run1", "step": "4"})
    (opened,), (go,) = handlers(app, "keep_workspace"), handlers(app, "go")
    kept, run_id, note, look, shown = opened(token, request)
    assert (kept, run_id, note.visible) == (token, "run1", False)
    assert (look, shown) == (Look("run1", 4, 0), Shown())
    made, *_, look, _ = opened("made up", request)
    assert made not in ("made up", token)  # a link says nothing about whose runs one may see
    assert look == Look()
    assert go(token, request)[0] == "run1"
    with pytest.raises(gr.Error, match="workspace"):
        go("made up", request)
