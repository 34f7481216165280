"""The Runs tab: the list, and what its events do to runs. Starting and exporting real ones is in test_lab.py."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from bnf_lab.core.errors import NotFound
from bnf_lab.lab.run_summaries import RunSummary
from bnf_lab.runs.folder import VERSION
from bnf_lab.runs.records import MetricPoint, RunState, RunStatus
from bnf_lab.ui.runs import tab, words
from bnf_lab.ui.runs.columns import CHOSEN, COLUMNS, SHOWN, ListView, arrange
from bnf_lab.ui.runs.downloads import chosen_run
from bnf_lab.ui.runs.view import draw_runs, draw_title
from tests.support.pages import build_page, handlers, idle_lab
from tests.support.workspaces import add_run

VIEW = ListView()
NASTY = "<script>window.hit=1</script><img src=x onerror=window.hit=1>"


@pytest.fixture
def lab(tmp_path):
    with idle_lab(tmp_path / "home") as lab:
        yield lab


@pytest.fixture
def page(lab):
    """The tab in a page of its own, with its handlers by name."""
    page = build_page(lab, tab.build)
    part = page.tab

    def draw(token, run_id=""):
        names = (output.elem_id or type(output).__name__ for output in part.redraw.outputs)
        return dict(zip(names, part.redraw.handler(token, run_id), strict=True))

    found = functools.partial(handlers, page.app)
    return SimpleNamespace(app=page.app, part=part, draw=draw, handlers=found, token=lab.new_workspace())


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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"momentum": NASTY}, "no setting of this lab"),
        ({"version": VERSION + 1}, "newer lab"),
        ({"method": "ppo"}, "ppo"),
    ],
)
def test_a_run_of_another_lab_is_listed_with_its_numbers_and_says_why_it_cannot_go_on(lab, page, changes, said):
    run_id = add_run(lab, page.token, state=RunState.STOPPED)
    assert page.draw(page.token)["runs-resume"].interactive
    config = lab.home / "runs" / run_id / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    drawn = page.draw(page.token)
    for text in ("stopped", "30 / 30", "33 % →", "100 %", "0.85"):
        assert text in drawn["runs-table"]
    assert said in drawn["runs-title"]
    assert "<script" not in drawn["runs-title"]
    assert not drawn["runs-resume"].interactive
    assert drawn["runs-chat"].interactive
    assert drawn["runs-downloads"].visible


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (RunState.TRAINING, (True, False, False)),
        (RunState.QUEUED, (True, False, True)),
        (RunState.STOPPED, (False, True, True)),
        (RunState.FINISHED, (False, False, True)),
    ],
)
def test_only_what_applies_can_be_pressed(lab, page, state, expected):
    add_run(lab, page.token, state=state)
    drawn = page.draw(page.token)
    assert tuple(drawn[f"runs-{what}"].interactive for what in ("stop", "resume", "delete")) == expected
    assert drawn["Timer"].active == (not state.is_over)


def test_a_run_is_opened_renamed_and_deleted(lab, page):
    run_id = add_run(lab, page.token)
    (act,), save = page.handlers("act"), page.handlers("save")[0]
    opened = act(page.token, "", VIEW, SimpleNamespace(act="open", run=run_id))
    assert (opened[0], opened[1].selected) == (run_id, "watch")
    assert act(page.token, "", VIEW, SimpleNamespace(act="choose", run=run_id))[-1] == run_id
    save(page.token, run_id, VIEW, "  Better  ", "", "")
    assert "Better" in page.draw(page.token)["runs-table"]
    with pytest.raises(gr.Error, match="Name"):
        save(page.token, run_id, VIEW, "x" * 81, "", "")
    (delete,) = page.handlers("delete")
    assert delete(page.token, run_id, VIEW, run_id)[0] == ""
    assert not (lab.home / "runs" / run_id).exists()
    assert lab.runs.summaries(lab.owner_of(page.token)) == []


def test_nobody_touches_another_workspaces_run(lab, page):
    run_id, other = add_run(lab, page.token), lab.new_workspace()
    assert words.RUNS_EMPTY[:20] in page.draw(other, run_id)["runs-table"]
    attempts = [
        lambda: page.handlers("act")[0](other, "", VIEW, SimpleNamespace(act="open", run=run_id)),
        lambda: page.handlers("save")[0](other, run_id, VIEW, "mine", "", ""),
        lambda: page.handlers("delete")[0](other, run_id, VIEW, ""),
        *(lambda change=change: change(other, run_id, VIEW) for change in page.handlers("handler")),
        *(lambda leave=leave: leave(other, run_id) for leave in page.handlers("leave")),
        *(lambda offer=offer: offer(other, run_id) for offer in page.handlers("offer")[:2]),
        *(lambda offer=offer: offer(other, run_id, "final") for offer in page.handlers("offer")[2:]),
        *(lambda figure=figure: figure(other, run_id, "likelihood") for figure in page.handlers("figure")),
    ]
    assert len(attempts) == 13
    for attempt in attempts:
        with pytest.raises(gr.Error, match="not in your workspace"):
            attempt()
    assert lab.runs.folder(lab.owner_of(page.token), run_id).path.exists()


def test_the_adapter_is_offered_for_download(lab, page):
    run_id = add_run(lab, page.token)
    adapter = page.handlers("offer")[2](page.token, run_id, "final")
    assert Path(adapter).name == "short-answers-bnf-adapter.zip"
    drawn = page.draw(page.token)
    assert drawn["runs-downloads"].visible
    shutil.rmtree(lab.home / "runs" / run_id / "adapter")
    assert not page.draw(page.token)["runs-downloads"].visible
    with pytest.raises(gr.Error, match="no adapter"):
        page.handlers("offer")[2](page.token, run_id, "final")


def test_a_tick_changes_the_page_only_when_something_is_new(lab, page):
    run_id = add_run(lab, page.token, state=RunState.TRAINING)
    (tick,) = page.handlers("tick")
    first = tick(page.token, run_id, "final", "", VIEW)
    shown = first[tab.SIGNATURE]
    assert all(value == gr.skip() for value in tick(page.token, run_id, "final", shown, VIEW))
    folder = lab.runs.folder(lab.owner_of(page.token), run_id)
    folder.write_status(dataclasses.replace(folder.read_status(), step=29))
    assert "29 / 30" in tick(page.token, run_id, "final", shown, VIEW)[0]


def test_runs_are_drawn_without_a_run_chosen():
    assert words.RUNS_EMPTY[:20] in draw_runs([], "")
    with pytest.raises(NotFound):
        chosen_run("")


def test_a_run_that_does_not_move_says_so_in_the_list(lab, page, monkeypatch):
    add_run(lab, page.token, state=RunState.TRAINING)
    monkeypatch.setattr(lab.runs.queue, "describe_stillness", lambda run_id: "It has not moved for 12 minutes.")
    drawn = page.draw(page.token)
    assert "not moving" in drawn["runs-table"]
    assert "It has not moved for 12 minutes." in drawn["runs-title"]
    assert drawn["runs-stop"].interactive


def test_what_was_picked_to_download_stays_through_a_tick_and_is_its_own_runs_alone(lab, page):
    run_id = add_run(lab, page.token, state=RunState.TRAINING)
    (tick,), (pick,) = page.handlers("tick"), page.handlers("pick")
    inputs = next(fn.inputs for fn in page.app.fns.values() if fn.fn is tick)
    assert not any(isinstance(box, gr.Dropdown) for box in inputs)
    folder = lab.runs.folder(lab.owner_of(page.token), run_id)
    shutil.copytree(folder.adapter, folder.path / "checkpoint-30")

    def shown(picked):
        return next(box for box in tick(page.token, run_id, picked, "", VIEW) if isinstance(box, gr.Dropdown)).value

    assert shown("") == "final"
    assert shown(pick(run_id, "checkpoint-30")) == "checkpoint-30"
    assert shown(pick("another", "checkpoint-30")) == "final"


def summary(run_id, **values):
    status = RunStatus(values.pop("state", RunState.FINISHED), step=30, total_steps=30)
    return RunSummary(run_id, run_id, "bnf", "embedded", (), f"2026-01-0{run_id[-1]}", status, **values)


def ids(runs, **view):
    return [run.run_id for run in arrange(runs, dataclasses.replace(VIEW, **view))]


def test_runs_are_sorted_by_any_column_and_what_is_unknown_comes_last():
    runs = [summary("r3", accuracy=0.2), summary("r2"), summary("r1", accuracy=0.9)]
    assert ids(runs) == ["r3", "r2", "r1"]
    assert ids(runs, sort="accuracy") == ["r1", "r3", "r2"]
    assert ids(runs, sort="accuracy", is_falling=False) == ["r3", "r1", "r2"]
    for name in COLUMNS:
        for is_falling in (True, False):
            damaged = summary("r4", is_damaged=True)
            assert sorted(ids([*runs, damaged], sort=name, is_falling=is_falling)) == ["r1", "r2", "r3", "r4"]


def test_runs_are_found_by_every_word_of_what_is_said_of_them():
    runs = [summary("r2", note="Größe MATTERS", tags=("two seeds",)), summary("r1", state=RunState.STOPPED)]
    for text, found in (
        ("grösse", ["r2"]),
        ("gross", []),
        ("größe matters", ["r2"]),
        ("SEEDS bnf", ["r2"]),
        ("stopped", ["r1"]),
        ("seeds stopped", []),
        ("  ", ["r2", "r1"]),
    ):
        assert ids(runs, text=text) == found
    assert "No run matches" in draw_runs(runs, "", dataclasses.replace(VIEW, text=NASTY))
    assert "<script" not in draw_runs(runs, "", dataclasses.replace(VIEW, text=NASTY))


def test_columns_and_rows_are_those_that_were_chosen():
    runs = [summary(f"r{k}", note="a note") for k in range(9)]
    table = draw_runs(runs, "", dataclasses.replace(VIEW, columns=("note",), rows=5))
    assert "a note" in table and "Accuracy" not in table
    assert table.count("runs-name") == 5
    assert "5 of 9 runs are shown" in table


def test_the_way_of_looking_is_kept_for_the_person_alone(lab, page):
    add_run(lab, page.token)
    act, look = page.handlers("act")[0], page.handlers("look")[0]
    sort = SimpleNamespace(act="sort", key="accuracy")
    view = act(page.token, "", VIEW, sort)[2]
    assert (view.sort, view.is_falling) == ("accuracy", True)
    view, table = look(page.token, "", view, "run", ["margin"], 50)
    assert "Margin" in table and "Guard" not in table
    assert act(page.token, "", view, sort)[2] == dataclasses.replace(view, is_falling=False)
    drawn = page.draw(page.token)
    assert (drawn["runs-search"], drawn["runs-columns"], drawn["runs-rows"]) == ("run", ["margin"], 50)
    assert page.draw(lab.new_workspace())["runs-columns"] == list(SHOWN)
    for wrong in (("run", ["nothing"], 50), ("run", [], 51), ("x" * 101, [], 50)):
        with pytest.raises(gr.Error):
            look(page.token, "", view, *wrong)
    with pytest.raises(gr.Error, match="Column"):
        act(page.token, "", view, SimpleNamespace(act="sort", key="__class__"))


def test_note_and_tags_are_shown_found_and_survive_a_restart(lab, page):
    run_id = add_run(lab, page.token)
    page.handlers("save")[0](page.token, run_id, VIEW, "Mine", f"one tag, {NASTY[:25]}", f"It went well {NASTY}")
    lab.close()
    with idle_lab(lab.home) as again:
        (run,) = again.runs.summaries(again.owner_of(page.token))
        table, title = draw_runs([run], run_id), draw_title(run, "tiny")
    assert run.tags == ("one tag", NASTY[:25])
    assert "one tag" in table and "It went well" in title
    assert "<script" not in table and "<script" not in title and "<img" not in title


@pytest.mark.parametrize(("tags", "note"), [("x" * 31, ""), (", ".join("abcdefghijk"), ""), ("", "x" * 2001)])
def test_too_long_a_note_or_tag_is_refused_with_the_count(lab, page, tags, note):
    run_id = add_run(lab, page.token)
    with pytest.raises(gr.Error, match="at most"):
        page.handlers("save")[0](page.token, run_id, VIEW, "Mine", tags, note)
    assert lab.runs.summaries(lab.owner_of(page.token))[0].name == run_id


def test_settings_duration_and_guard_of_a_run_are_listed(lab, page):
    add_run(lab, page.token)
    owner = lab.owner_of(page.token)
    lab.runs.folder(owner, "run1").append_metric(MetricPoint(30, 128.0, "train", loss=1.0))
    drawn = page.draw(page.token)
    for text in ("0.0005", "2 min 8 s", "sound", "0.96 →</span> <b>0.85"):
        assert text in drawn["runs-table"]
    (settings,) = (v for v in page.part.redraw.handler(page.token, "") if "runs-settings" in str(v))
    assert "Responses per step" in settings and "8 responses" in settings


def test_a_figure_is_sent_under_the_runs_name(lab, page):
    run_id = add_run(lab, page.token, name="A <b>run</b>")
    png, svg = page.handlers("figure")
    sent = json.loads(png(page.token, run_id, "accuracy"))
    assert (sent["name"], sent["format"]) == ("a-b-run-b-bnf-accuracy", "png")
    assert "<b>" not in sent["title"]
    assert sent["figure"]["data"]
    assert json.loads(svg(page.token, run_id, "likelihood"))["format"] == "svg"
    with pytest.raises(gr.Error, match="recorded nothing"):
        png(page.token, run_id, "feedback")
    with pytest.raises(gr.Error, match="Figure"):
        png(page.token, run_id, "other")


def test_what_is_chosen_can_be_chosen(lab, page):
    token = lab.new_workspace()
    assert set(page.draw(token)["runs-columns"]) <= set(CHOSEN)
    stored = {"columns": ["name", "steps", "gone"], "rows": 7, "sort": "gone"}
    assert ListView.from_dict(stored) == ListView(columns=("steps",))
