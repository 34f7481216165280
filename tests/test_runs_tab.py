"""The Runs tab: the list, and what its events do to runs. Starting and exporting real ones is in test_lab.py."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from bnf_lab.checkpoints import seal_checkpoint
from bnf_lab.config import RunConfig
from bnf_lab.errors import NotFound
from bnf_lab.preferences import now
from bnf_lab.records import MetricPoint, RunState, RunStatus
from bnf_lab.runs import RunFolder
from bnf_lab.ui import chat_texts as words
from bnf_lab.ui import runs_tab
from bnf_lab.ui.runs_view import draw_runs
from tests.pages import build_page, handlers, idle_lab

NASTY = "<script>window.hit=1</script><img src=x onerror=window.hit=1>"


@pytest.fixture
def lab(tmp_path):
    with idle_lab(tmp_path / "home") as lab:
        yield lab


@pytest.fixture
def page(lab):
    """The tab in a page of its own, with its handlers by name."""
    page = build_page(lab, runs_tab.build)
    tab = page.tab

    def draw(token, run_id=""):
        names = (part.elem_id or type(part).__name__ for part in tab.redraw.outputs)
        return dict(zip(names, tab.redraw.handler(token, run_id), strict=True))

    found = functools.partial(handlers, page.app)
    return SimpleNamespace(app=page.app, draw=draw, handlers=found, token=lab.new_workspace())


def add_run(lab, token, run_id="run1", *, state=RunState.FINISHED, has_adapter=True, name=""):
    owner = lab.owner_of(token)
    folder = RunFolder.create(lab.home / "runs" / run_id, RunConfig(), [], owner=owner)
    folder.write_status(RunStatus(state, step=30, total_steps=30, owner=owner))
    for step, logp in ((0, -0.96), (30, -0.851)):
        folder.append_metric(MetricPoint(step, 0.0, "probe", preferred_logp=logp, dispreferred_logp=2 * logp,
                                         accuracy=0.33 if step == 0 else 1.0, margin=-logp))
    if has_adapter:
        (folder.path / "tmp-final").mkdir()
        for file in ("adapter_model.safetensors", "adapter_config.json", "README.md"):
            (folder.path / "tmp-final" / file).write_text(run_id)
        seal_checkpoint(folder.path / "tmp-final", folder.adapter)
    lab.store.add_run(owner, run_id, name or run_id, now(), collections=("short_answers",))
    return run_id


def test_an_empty_list_says_what_to_do_next(page):
    drawn = page.draw(page.token)
    assert words.RUNS_EMPTY[:20] in drawn["runs-table"]
    assert not drawn["runs-panel"].visible


def test_a_run_is_listed_with_its_key_numbers(lab, page):
    add_run(lab, page.token, name="First try")
    table = page.draw(page.token)["runs-table"]
    for text in ("First try", "finished", "BNF", "short_answers", "30 / 30", "33 % →", "100 %", "0.85"):
        assert text in table
    assert "\N{MINUS SIGN}0.96 →</span> <b>\N{MINUS SIGN}0.85" in table


def test_a_name_never_becomes_markup(lab, page):
    add_run(lab, page.token, name=NASTY)
    drawn = page.draw(page.token)
    for part in ("runs-table", "runs-title"):
        assert "<script" not in drawn[part]
        assert "<img" not in drawn[part]


def test_a_run_whose_folder_is_damaged_is_listed_with_the_reason(lab, page):
    run_id = add_run(lab, page.token)
    (lab.home / "runs" / run_id / "config.json").write_text("{")
    drawn = page.draw(page.token)
    assert "failed" in drawn["runs-table"]
    assert "cannot be read" in drawn["runs-title"]


@pytest.mark.parametrize(("state", "expected"), [
    (RunState.TRAINING, (True, False, False)), (RunState.QUEUED, (True, False, True)),
    (RunState.STOPPED, (False, True, True)), (RunState.FINISHED, (False, False, True)),
])
def test_only_what_applies_can_be_pressed(lab, page, state, expected):
    add_run(lab, page.token, state=state)
    drawn = page.draw(page.token)
    assert tuple(drawn[f"runs-{what}"].interactive for what in ("stop", "resume", "delete")) == expected
    assert drawn["Timer"].active == (not state.is_over)


def test_a_run_is_opened_renamed_and_deleted(lab, page):
    run_id = add_run(lab, page.token)
    (act,), rename = page.handlers("act"), page.handlers("rename")[0]
    opened = act(page.token, SimpleNamespace(act="open", run=run_id))
    assert (opened[0], opened[1].selected) == (run_id, "watch")
    assert act(page.token, SimpleNamespace(act="choose", run=run_id))[-1] == run_id
    rename(page.token, run_id, "  Better  ")
    assert "Better" in page.draw(page.token)["runs-table"]
    with pytest.raises(gr.Error, match="Name"):
        rename(page.token, run_id, "x" * 81)
    (delete,) = page.handlers("delete")
    assert delete(page.token, run_id, run_id)[0] == ""
    assert not (lab.home / "runs" / run_id).exists()
    assert lab.list_runs(lab.owner_of(page.token)) == []


def test_nobody_touches_another_workspaces_run(lab, page):
    run_id, other = add_run(lab, page.token), lab.new_workspace()
    assert words.RUNS_EMPTY[:20] in page.draw(other, run_id)["runs-table"]
    attempts = [
        lambda: page.handlers("act")[0](other, SimpleNamespace(act="open", run=run_id)),
        lambda: page.handlers("rename")[0](other, run_id, "mine"),
        lambda: page.handlers("delete")[0](other, run_id, ""),
        *(lambda change=change: change(other, run_id) for change in page.handlers("handler")),
        *(lambda leave=leave: leave(other, run_id) for leave in page.handlers("leave")),
        *(lambda offer=offer: offer(other, run_id, "final") for offer in page.handlers("offer")),
    ]
    assert len(attempts) == 9
    for attempt in attempts:
        with pytest.raises(gr.Error, match="not in your workspace"):
            attempt()
    assert lab.run_folder(lab.owner_of(page.token), run_id).path.exists()


def test_the_adapter_is_offered_for_download(lab, page):
    run_id = add_run(lab, page.token)
    adapter = page.handlers("offer")[0](page.token, run_id, "final")
    assert Path(adapter).name == "adapter-run1-adapter.zip"
    drawn = page.draw(page.token)
    assert drawn["runs-downloads"].visible
    shutil.rmtree(lab.home / "runs" / run_id / "adapter")
    assert not page.draw(page.token)["runs-downloads"].visible
    with pytest.raises(gr.Error, match="no adapter"):
        page.handlers("offer")[0](page.token, run_id, "final")


def test_a_tick_changes_the_page_only_when_something_is_new(lab, page):
    run_id = add_run(lab, page.token, state=RunState.TRAINING)
    (tick,) = page.handlers("tick")
    first = tick(page.token, run_id, "final", "")
    shown = first[runs_tab.SIGNATURE]
    assert all(value == gr.skip() for value in tick(page.token, run_id, "final", shown))
    folder = lab.run_folder(lab.owner_of(page.token), run_id)
    folder.write_status(dataclasses.replace(folder.read_status(), step=29))
    assert "29 / 30" in tick(page.token, run_id, "final", shown)[0]


def test_runs_are_drawn_without_a_run_chosen():
    assert words.RUNS_EMPTY[:20] in draw_runs([], "")
    with pytest.raises(NotFound):
        runs_tab._run("")
