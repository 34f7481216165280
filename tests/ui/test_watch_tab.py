"""The Watch tab on synthetic run folders: what is sent when, which buttons apply, and whose runs may be seen."""

from __future__ import annotations

import inspect
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import gradio as gr
import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, Message, Verdict, now
from bnf_lab.plots import run_figures
from bnf_lab.plots.run_figures import STEP_FIGURES, RunFigures, read_marks
from bnf_lab.runs import record_files
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.indexes import TokenIndex
from bnf_lab.runs.records import (
    AnswerPoint,
    MetricPoint,
    ProbeResponse,
    RunState,
    RunStatus,
    TokenHeader,
    TokenSnapshot,
)
from bnf_lab.runs.verdict import RunVerdict, StepScore
from bnf_lab.ui.markup import fill
from bnf_lab.ui.watch import glossary, tab, words
from bnf_lab.ui.watch.answers import draw_answers
from bnf_lab.ui.watch.inspector import Look
from bnf_lab.ui.watch.progress import compute_share, draw_status, draw_summary
from bnf_lab.ui.watch.tab import Shown
from tests.support.pages import build_page, idle_lab

NASTY = "<img src=x onerror=alert(1)> ${alert(2)} {{alert}}"
JUDGEMENTS = [Judgement((Message("user", "Hi"),), "Hello", Verdict.PREFERRED)]


@pytest.fixture
def lab(tmp_path):
    with idle_lab(tmp_path / "home") as lab:
        yield lab


@pytest.fixture
def page(lab):
    """The tab in a page of its own: its handlers (`do`), components (`parts`) and guarded events (`app`)."""
    page = build_page(lab, tab.build)
    return SimpleNamespace(do=page.tab.handlers, parts=page.tab.handlers.parts, app=page.app, token=page.token)


@pytest.fixture
def me(lab):
    return lab.new_workspace()


def make_run(lab, token, run_id="run1", state=RunState.TRAINING, n_points=0, **status):
    """A run folder of the token's owner in any state, with a few recorded moments."""
    owner = lab.owner_of(token)
    folder = RunFolder.create(lab.runs.queue.path_of(run_id), RunConfig(), JUDGEMENTS, owner=owner)
    lab.runs.register.add(owner, run_id, run_id, now(), collections=("short_answers",))
    folder.write_status(RunStatus(state, owner=owner, total_steps=30, queued_at=time.time(), **status))
    if n_points:
        folder.append_tokens(header())
    for step in range(n_points):
        record(folder, step)
    return folder


def header(is_held_out=True):
    responses = tuple(
        ProbeResponse(verdict, verdict, f"{verdict} prompt", ("a", NASTY), (-1.0, -2.0), (3.0, 4.0))
        for verdict in ("preferred", "dispreferred")
    )
    return TokenHeader(responses, is_held_out=is_held_out)


def record(folder, step):
    folder.append_metric(
        MetricPoint(
            step,
            float(step),
            "probe",
            preferred_logp=-1.0 + step,
            accuracy=0.5,
            dispreferred_logp=-1.0 - step,
            margin=0.1,
        )
    )
    rows = ((-1.0 - step, -2.0), (-1.5, -2.5))
    folder.append_tokens(TokenSnapshot(step, rows, rows, ((1.0, 0.5), (0.2, 0.3))))


def draw(page, token, run_id="run1", shown=None, look=None):
    """What the page receives when the tab is shown, as the two events that draw it would send it."""
    asked = page.do.redraw(token, run_id)
    return asked | page.do.draw(token, asked[page.parts.asked], shown or Shown(), look or Look())


def test_a_new_workspace_is_no_error(page, me):
    assert page.parts.asked not in page.do.redraw(me, "")
    assert page.do.draw(me, page.parts.asked.value, Shown(), Look()) == gr.skip()


def test_of_two_events_at_a_time_the_chosen_run_is_drawn_whichever_asked_last(lab, page, me):
    make_run(lab, me, "older", n_points=1)
    make_run(lab, me, "newer", n_points=1)
    late = page.do.redraw(me, "")[page.parts.asked]  # the tab was shown while the address still led elsewhere
    asked = page.do.draw_chosen(me, "older", late, Shown(), Look())[page.parts.asked]
    assert asked[0] == "older"
    assert page.do.draw_chosen(me, "older", asked, Shown(), Look())[page.parts.shown].run_id == "older"
    assert page.do.draw_chosen(me, "deleted", late, Shown(), Look())[page.parts.shown].run_id == late[0]


def is_on(component):
    return component.interactive


# --- what applies to a run in each state ------------------------------------------------------------------------------


def test_a_run_that_does_not_move_says_so_though_no_file_changes(lab, page, me, monkeypatch):
    make_run(lab, me, n_points=1)
    shown = draw(page, me)[page.parts.shown]
    assert page.do.tick(me, shown, Look()) == gr.skip()
    monkeypatch.setattr(lab.runs.queue, "describe_stillness", lambda run_id: "It has not moved for 12 minutes.")
    news = page.do.tick(me, shown, Look())
    assert words.STILL in news[page.parts.status]
    assert "It has not moved for 12 minutes." in news[page.parts.status]
    assert is_on(news[page.parts.controls.stop])
    assert page.do.tick(me, news[page.parts.shown], Look()) == gr.skip()


@pytest.mark.parametrize(
    ("state", "stop", "resume", "delete", "is_watched"),
    [
        (RunState.QUEUED, True, False, True, True),
        (RunState.PREPARING, True, False, False, True),
        (RunState.TRAINING, True, False, False, True),
        (RunState.STOPPING, False, False, False, True),
        (RunState.STOPPED, False, True, True, False),
        (RunState.FAILED, False, True, True, False),
        (RunState.FINISHED, False, False, True, False),
    ],
)
def test_buttons_and_timer_follow_the_state(lab, page, me, state, stop, resume, delete, is_watched):
    make_run(lab, me, state=state)
    drawn = draw(page, me)
    controls = page.parts.controls
    assert [is_on(drawn[b]) for b in (controls.stop, controls.resume, controls.delete)] == [stop, resume, delete]
    assert drawn[page.parts.timer].active is is_watched


def test_a_run_of_another_lab_is_shown_whole_and_says_why_it_cannot_go_on(lab, page, me):
    folder = make_run(lab, me, state=RunState.STOPPED, n_points=2, step=1)
    config = folder.path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"momentum": NASTY, "method": "ppo"}))
    drawn = draw(page, me)
    parts = page.parts
    assert f"<h3>{words.OBSTACLE}</h3>" in drawn[parts.status]
    assert "momentum" in drawn[parts.status]
    assert "<img" not in drawn[parts.status]
    assert words.RESUME_HELP not in drawn[parts.status]
    assert "ppo" in dict(map(reversed, drawn[parts.controls.run].choices))["run1"]
    assert [is_on(drawn[b]) for b in (parts.controls.resume, parts.controls.delete)] == [False, True]
    assert all(json.loads(drawn[plot])["data"] for plot in (parts.figures["likelihood"], parts.inspector.feedback))


def test_a_run_whose_settings_are_damaged_says_so(lab, page, me):
    folder = make_run(lab, me, state=RunState.STOPPED)
    (folder.path / "config.json").write_text("{")
    drawn = draw(page, me)
    assert "config.json cannot be read" in drawn[page.parts.status]
    assert not is_on(drawn[page.parts.controls.resume])


def test_stop_resume_and_delete_do_what_they_say(lab, page, me):
    folder = make_run(lab, me, state=RunState.QUEUED)
    stop, resume, delete = (fn.fn for fn in page.app.fns.values() if fn.fn.__name__ == "handler")
    shown = Shown("run1")
    stop(me, shown)
    assert folder.read_status().state is RunState.STOPPED
    resume(me, shown)
    assert folder.read_status().state is RunState.QUEUED
    drawn = delete(me, shown)
    assert not folder.path.exists()
    assert drawn[page.parts.empty].visible is True


def test_deleting_asks_first(page):
    controls = page.parts.controls
    (asking,) = (fn for fn in page.app.fns.values() if (controls.delete._id, "click") in fn.targets)
    assert asking.outputs == [controls.sure]
    assert asking.fn().visible is True


# --- only what is new is sent -----------------------------------------------------------------------------------------


def test_a_tick_without_news_sends_nothing(lab, page, me):
    make_run(lab, me, n_points=2)
    shown = draw(page, me)[page.parts.shown]
    assert page.do.tick(me, shown, Look()) == gr.skip()


def test_a_new_status_sends_no_figure(lab, page, me):
    folder = make_run(lab, me, n_points=2)
    shown = draw(page, me)[page.parts.shown]
    folder.write_status(replace(folder.read_status(), step=7))
    news = page.do.tick(me, shown, Look())
    assert "step 7 of 30" in news[page.parts.status]
    assert not set(news) & {*page.parts.figures.values(), page.parts.inspector.feedback, page.parts.answers}


def test_a_new_point_sends_the_figures_with_it(lab, page, me):
    folder = make_run(lab, me, n_points=2)
    shown = draw(page, me)[page.parts.shown]
    record(folder, 2)
    news = page.do.tick(me, shown, Look())
    likelihood = json.loads(news[page.parts.figures["likelihood"]])
    curve = next(t for t in likelihood["data"] if t["meta"] == "preferred_logp")
    assert (curve["x"], curve["y"]) == ([0, 1, 2], [-1.0, 0.0, 1.0])
    assert likelihood["layout"]["meta"]["says"].startswith("Preferred went from \N{MINUS SIGN}1.00 to 1.00")
    assert likelihood["layout"]["xaxis"]["range"] == [-0.6, 30.6]
    assert page.parts.status not in news
    assert page.do.tick(me, news[page.parts.shown], Look()) == gr.skip()


def test_the_zoom_belongs_to_the_run(lab, page, me):
    for run_id in ("run1", "run2"):
        make_run(lab, me, run_id, n_points=1)
    plot = page.parts.figures["likelihood"]
    kept = {run_id: json.loads(draw(page, me, run_id)[plot])["layout"]["uirevision"] for run_id in ("run1", "run2")}
    assert kept == {"run1": "run1", "run2": "run2"}


def test_a_second_viewer_gets_the_same_drawing(lab, page, me):
    make_run(lab, me, n_points=3)
    first, second = draw(page, me), draw(page, me)
    for plot in (*page.parts.figures.values(), page.parts.inspector.feedback):
        assert first[plot] is second[plot]


def test_sixty_viewers_cause_one_drawing(lab, page, me, monkeypatch):
    folder = make_run(lab, me, n_points=3)
    drawn, sent = [], []
    for name, make in STEP_FIGURES.items():
        monkeypatch.setitem(STEP_FIGURES, name, lambda points, n=name, f=make: drawn.append(n) or f(points))
    send = run_figures._sent
    monkeypatch.setattr(run_figures, "_sent", lambda *figure: sent.append(1) or send(*figure))
    start, barrier = draw(page, me)[page.parts.shown], threading.Barrier(60)
    drawn.clear()
    sent.clear()
    record(folder, 3)

    def look(_):
        barrier.wait()
        return page.do.tick(me, start, Look())

    with ThreadPoolExecutor(60) as pool:
        seen = list(pool.map(look, range(60)))
    assert sorted(drawn) == sorted(STEP_FIGURES)
    assert len(sent) == len(STEP_FIGURES) + 1  # and the feedback map
    for plot in (*page.parts.figures.values(), page.parts.inspector.feedback):
        assert len({id(news[plot]) for news in seen}) == 1


def test_a_new_point_reads_only_the_new_lines(lab, me, monkeypatch):
    folder, figures = make_run(lab, me, n_points=50), RunFigures()
    figures.curves(folder, read_marks(folder), 30)
    read, honest = [], json.loads
    monkeypatch.setattr(record_files.json, "loads", lambda text, **how: read.append(text) or honest(text, **how))
    record(folder, 50)
    curves = figures.curves(folder, read_marks(folder), 30)
    assert len(read) == 1
    assert (curves.first.step, curves.last.step) == (0, 50)
    assert list(curves.index.points.values()) == folder.read_metrics()


def test_a_replayed_step_and_a_rewritten_file_are_drawn_as_they_are(lab, me):
    folder, figures = make_run(lab, me, n_points=3), RunFigures()
    figures.curves(folder, read_marks(folder), 30)
    folder.append_metric(MetricPoint(1, 9.0, "probe", preferred_logp=-7.0))
    points = figures.curves(folder, read_marks(folder), 30).index.points
    assert [p.preferred_logp for p in points.values()] == [-1.0, -7.0, 1.0]
    (folder.path / "metrics.jsonl").unlink()
    record(folder, 0)
    assert len(figures.curves(folder, read_marks(folder), 30).index.points) == 1


def test_a_long_run_sends_few_points_and_none_of_them_moves(lab, me):
    folder, figures = make_run(lab, me), RunFigures()
    lines = [
        json.dumps({"step": step, "seconds": 0.0, "source": source, field: step / 7})
        for step in range(3000)
        for source, field in (("probe", "preferred_logp"), ("train", "loss"))
    ]
    (folder.path / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))

    def steps():
        sent = figures.curves(folder, read_marks(folder), 30).figures
        lines = [t for figure in sent.values() for t in json.loads(figure)["data"]]
        return {t["meta"]: t["x"] for t in lines if t["meta"] in ("preferred_logp", "loss")}

    before = steps()
    assert all(250 < len(x) <= 500 for x in before.values())
    for step in range(3000, 3010):
        folder.append_metric(MetricPoint(step, 0.0, "probe", preferred_logp=1.0))
        folder.append_metric(MetricPoint(step, 0.0, "train", loss=1.0))
        now = steps()
        for name, x in now.items():
            assert len(x) <= 500
            assert x[-1] == step
            assert x[: len(before[name]) - 1] == before[name][:-1]  # only the newest gives way


def test_drawings_of_many_runs_do_not_pile_up(lab, me):
    figures = RunFigures(kept=3)
    for k in range(5):
        folder = make_run(lab, me, f"run{k}", n_points=1)
        figures.curves(folder, read_marks(folder), 30)
    assert len(figures._drawn) == 3


def test_nothing_is_drawn_before_the_first_measurement(lab, page, me):
    folder = make_run(lab, me, state=RunState.PREPARING, phase="loading the model")
    drawn = draw(page, me)
    assert drawn[page.parts.measured].visible is False
    record(folder, 0)
    assert page.do.tick(me, drawn[page.parts.shown], Look())[page.parts.measured].visible is True


# --- whose runs -------------------------------------------------------------------------------------------------------


def test_another_workspaces_run_is_refused_everywhere(lab, page, me):
    theirs = lab.new_workspace()
    folder = make_run(lab, theirs, n_points=1)
    shown = Shown("run1")
    events = {fn.fn.__name__: fn.fn for fn in page.app.fns.values() if fn.fn}
    for name, rest in (
        ("choose", ["run1"]),
        ("draw_chosen", ["run1", ("run1", 0.0), Shown(), Look()]),
        ("handler", [shown]),
        ("look_at", [shown, 0, 0]),
    ):
        with pytest.raises(gr.Error, match="not in your workspace"):
            events[name](me, *rest)
    assert events["tick"](me, shown, Look())[page.parts.page].visible is False
    assert folder.read_status().state is RunState.TRAINING


def test_every_event_refuses_a_made_up_workspace(page):
    tried = 0
    for fn in page.app.fns.values():
        if fn.inputs and fn.inputs[0] is page.token:
            with pytest.raises(gr.Error, match="workspace"):
                fn.fn("made-up", *[None] * (len(inspect.signature(fn.fn).parameters) - 1))
            tried += 1
    assert tried >= 8


def test_only_own_runs_are_listed_newest_first(lab, page, me):
    make_run(lab, lab.new_workspace(), "theirs")
    for run_id in ("old", "new"):
        make_run(lab, me, run_id)
    asked = page.do.redraw(me, "theirs")
    assert [value for _, value in asked[page.parts.controls.run].choices] == ["new", "old"]
    assert asked[page.parts.asked][0] == "new"


def test_a_run_deleted_in_another_window_gives_way_to_the_newest(lab, page, me):
    make_run(lab, me, "keep", state=RunState.FINISHED)
    make_run(lab, me, "gone", state=RunState.FINISHED)
    shown = draw(page, me, "gone")[page.parts.shown]
    lab.runs.delete(lab.owner_of(me), "gone")
    assert page.do.tick(me, shown, Look())[page.parts.asked][0] == "keep"


def test_without_a_run_the_page_says_what_to_do(page, me):
    drawn = page.do.redraw(me, "")
    assert drawn[page.parts.empty].visible is True
    assert drawn[page.parts.timer].active is False


def test_a_damaged_run_says_so_once_and_can_be_deleted(lab, page, me):
    folder = make_run(lab, me, state=RunState.FINISHED)
    (folder.path / "status.json").write_text("{")
    drawn = draw(page, me)
    assert "cannot be read" in drawn[page.parts.status]
    assert is_on(drawn[page.parts.controls.delete])
    assert drawn[page.parts.timer].active is False


# --- tokens -----------------------------------------------------------------------------------------------------------


def at_slider(news, page):
    """The recorded steps and the shown one, as the slider is sent them."""
    sent = json.loads(news[page.parts.inspector.slider])
    return sent["steps"], sent["step"]


def test_the_slider_has_one_position_a_recorded_step(lab, page, me):
    folder = make_run(lab, me, n_points=2)
    record(folder, 10)
    part, drawn = page.parts.inspector, draw(page, me)
    assert at_slider(drawn, page) == ([0, 1, 10], 10)
    moved = page.do.look_at(me, drawn[page.parts.shown], 0, 1)
    assert part.slider not in moved  # it is in the person's hand
    assert "Step 1," in moved[part.heading]
    tip = json.loads(moved[part.tokens])["cells"][0][2]
    assert "(-1.00 nats)" in tip  # log p is -2 at step 1, log q is -1
    (look_at,) = (fn.fn for fn in page.app.fns.values() if fn.fn.__name__ == "look_at")
    for wrong in (-1, "x", 1.5, float("nan")):
        with pytest.raises(gr.Error, match="must be a whole number"):
            look_at(me, drawn[page.parts.shown], 0, wrong)


def test_a_step_between_two_recorded_ones_shows_the_earlier(lab, page, me):
    folder = make_run(lab, me, n_points=2)
    record(folder, 10)
    part, shown = page.parts.inspector, draw(page, me)[page.parts.shown]
    drawn = page.do.look_at(me, shown, 0, 7)
    assert "Step 1," in drawn[part.heading]


def test_a_chosen_step_stays_while_the_run_goes_on_and_the_newest_is_followed(lab, page, me):
    folder = make_run(lab, me, n_points=3)
    part, shown = page.parts.inspector, draw(page, me)[page.parts.shown]
    earlier = page.do.look_at(me, shown, 0, 1)[part.look]
    newest = page.do.look_at(me, shown, 0, None)[part.look]
    record(folder, 3)
    assert at_slider(page.do.tick(me, shown, earlier), page) == ([0, 1, 2, 3], 1)
    assert at_slider(page.do.tick(me, shown, newest), page) == ([0, 1, 2, 3], 3)


def test_another_response_is_shown_on_request_and_a_wrong_number_is_refused(lab, page, me):
    make_run(lab, me, n_points=1)
    part, shown = page.parts.inspector, draw(page, me)[page.parts.shown]
    drawn = page.do.look_at(me, shown, 1, None)
    assert "dispreferred prompt" in drawn[part.prompt]
    (look_at,) = (fn.fn for fn in page.app.fns.values() if fn.fn.__name__ == "look_at")
    for wrong in (-1, None, "x", float("nan")):
        with pytest.raises(gr.Error, match="must be a whole number"):
            look_at(me, shown, wrong, None)


def test_token_texts_travel_as_data_and_prompts_escaped(lab, page, me):
    folder = make_run(lab, me)
    folder.append_tokens(replace(header(), responses=(replace(header().responses[0], prompt=NASTY),)))
    folder.append_tokens(TokenSnapshot(0, ((-1.0, -2.0),), ((3.0, 4.0),), ((1.0, 0.5),)))
    part, drawn = page.parts.inspector, draw(page, me)
    assert [cell[0] for cell in json.loads(drawn[part.tokens])["cells"]] == ["a", NASTY]
    assert "<img" not in drawn[part.prompt]
    for area in (block for block in page.app.blocks.values() if isinstance(block, gr.HTML)):
        assert "{{" not in area.html_template
        assert "${" not in area.html_template.replace("${value}", "")
    assert "${" not in part.tokens.html_template


def test_curves_on_trained_responses_say_so(lab, page, me):
    folder = make_run(lab, me)
    folder.append_tokens(header(is_held_out=False))
    note = draw(page, me)[page.parts.held_out]
    assert note.visible is True
    assert words.NOT_HELD_OUT in note.value
    make_run(lab, me, "run2", n_points=1)
    assert draw(page, me, "run2")[page.parts.held_out].visible is False


def test_the_token_file_is_indexed_as_it_grows(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.index_tokens(TokenIndex()) == TokenIndex()
    folder.append_tokens(header())
    record(folder, 0)
    first = folder.index_tokens(TokenIndex())
    record(folder, 5)
    record(folder, 0)  # replayed after a resume
    path = tmp_path / "tokens.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"torn')
    grown = folder.index_tokens(first)
    assert grown == folder.index_tokens(TokenIndex())
    assert grown.steps == [0, 5]
    assert grown.place.end == len(whole)
    path.write_bytes(whole)
    _, snapshots = folder.read_tokens()
    assert [folder.read_snapshot(grown, step) for step in grown.steps] == snapshots
    path.write_bytes(b"")
    assert folder.index_tokens(grown) == TokenIndex()


# --- words ------------------------------------------------------------------------------------------------------------


def test_place_in_the_queue_and_time_left_are_told():
    queued = RunStatus(RunState.QUEUED)
    assert "next to start" in draw_status(queued, 1)
    assert "place 3" in draw_status(queued, 3)
    training = RunStatus(
        RunState.TRAINING, phase="training", step=6, total_steps=30, step_seconds=5.0, seconds_left=120.0
    )
    assert "step 6 of 30 · 5.0 s a step · about 2 min left" in draw_status(training, None)
    assert "width:20.0%" in draw_status(training, None)


def test_a_phase_is_counted_where_it_counts_and_named_where_not():
    reference = RunStatus(RunState.PREPARING, phase="reference pass", phase_done=10, phase_total=40, total_steps=30)
    assert compute_share(reference) == 0.25
    assert '<li class="now" aria-current="step">Reference pass</li>' in draw_status(reference, None)
    loading = RunStatus(RunState.PREPARING, phase="loading the model", total_steps=30)
    assert compute_share(loading) is None
    assert "busy" in draw_status(loading, None)


def test_notice_and_failure_are_shown_escaped():
    drawn = draw_status(RunStatus(RunState.FAILED, failure=NASTY, notice="Step 3: answers came out empty."), None)
    assert "Step 3: answers came out empty." in drawn
    assert "<img" not in drawn
    assert "&lt;img" in drawn


def test_the_summary_says_before_and_after_in_words():
    first = MetricPoint(0, 0.0, "probe", accuracy=0.25, margin=-0.1, preferred_logp=-1.0, dispreferred_logp=-0.9)
    last = replace(first, step=30, accuracy=1.0, margin=1.5, preferred_logp=-0.85, dispreferred_logp=-2.3)
    drawn = draw_summary(first, last, RunStatus(RunState.FINISHED), RunVerdict(best=StepScore(15, 1.0, 1.4)))
    assert "in 100% of the held-out pairs (25% before)" in drawn
    assert "Preferred answers became more likely by 0.15, dispreferred answers became less likely by 1.40" in drawn
    assert "Best checkpoint: step 15" in drawn
    assert "held-out pairs (" not in draw_summary(first, last, RunStatus(RunState.TRAINING), RunVerdict())


def test_a_run_without_pairs_still_has_a_summary():
    first = MetricPoint(0, 0.0, "probe", preferred_logp=-1.0)
    drawn = draw_summary(first, replace(first, step=3), RunStatus(RunState.STOPPED), RunVerdict())
    assert "n/a" in drawn
    assert "Preferred answers are as likely as before" in drawn


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_goes_from_state_to_answers_to_the_first_curves_to_tokens_and_folds_the_rest(page):
    blocks = [block for block in page.app.blocks.values() if block.elem_id]
    order = [block.elem_id for block in blocks]
    wanted = ["watch-status", "watch-summary", "watch-answers", "plot-likelihood", "plot-accuracy", "watch-tokens"]
    wanted += ["plot-feedback", "watch-more", "plot-logits", "plot-training", "plot-distribution"]
    assert [name for name in order if name in wanted] == wanted
    (folded,) = (block for block in blocks if block.elem_id == "watch-more")
    assert folded.label == "More curves" and folded.open is False
    inside = {block.elem_id for block in blocks if folded in parents(block)}
    assert inside == {"plot-logits", "plot-training", "plot-distribution"}


def parents(block):
    while block.parent is not None:
        block = block.parent
        yield block


def test_headings_stand_in_order(lab, page, me):
    folder = make_run(lab, me, state=RunState.FAILED, n_points=2, failure="It broke.")
    folder.append_answer(AnswerPoint(0, "Why?", "So.", 2))
    drawn = draw(page, me)
    markup = "".join(
        str(drawn.get(block) or block.value or "") for block in page.app.blocks.values() if isinstance(block, gr.HTML)
    )
    levels = [int(level) for level in re.findall(r"<h([1-6])", markup)]
    assert levels[0] == 2
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert set(levels) == {2, 3}


def test_every_plot_has_a_text_alternative_and_a_place_for_its_sentence(lab, page, me):
    make_run(lab, me, n_points=2)
    drawn = draw(page, me)
    for name, plot in {**page.parts.figures, "feedback": page.parts.inspector.feedback}.items():
        assert f'role="figure" aria-label="{words.TITLES[name]}"' in plot.html_template
        assert '<p class="lab-data"></p>' in plot.html_template
        assert json.loads(drawn[plot])["layout"]["meta"]["says"].endswith(".")
    tokens = json.loads(drawn[page.parts.inspector.tokens])
    assert tokens["says"].startswith("At step 1, of 2 tokens")


def test_every_term_is_explained_once_in_two_sentences():
    drawn = str(glossary.draw_glossary())
    for key, term in glossary.TERMS.items():
        assert len(re.findall(r"[.](?: |$)", term.means)) == 2, key
        assert drawn.count(f'id="{glossary._id(key)}"') == 1
        assert f'popovertarget="{glossary._id(key)}" aria-label="What is {term.name}?"' in glossary.ask(key)
    assert set(glossary.FIGURE_TERMS) == set(words.TITLES)
    assert {key for keys in glossary.FIGURE_TERMS.values() for key in keys} <= set(glossary.TERMS)
    named = " ".join(term.name for term in glossary.TERMS.values())
    for term in ["nats/token", "gate", "KL", "shift", "tent", "reference", "margin", "accuracy", "entropy"]:
        assert term in named


def test_the_numbers_of_the_summary_explain_their_terms(lab, page, me):
    make_run(lab, me, n_points=2)
    summary = draw(page, me)[page.parts.summary]
    for term in ("accuracy", "margin", "nats/token"):
        assert f'aria-label="What is {term}?"' in summary


def test_progress_is_a_progressbar():
    drawn = draw_status(RunStatus(RunState.TRAINING, phase="training", step=6, total_steps=30), None)
    assert f'role="progressbar" aria-label="{words.PROGRESS}" aria-valuemin="0" aria-valuemax="100"' in drawn
    assert 'aria-valuenow="20.0"' in drawn
    assert "aria-valuenow" not in draw_status(RunStatus(RunState.PREPARING, phase="loading", total_steps=30), None)


def test_a_run_that_ended_without_answers_says_so(lab, page, me):
    make_run(lab, me, state=RunState.FINISHED, n_points=1)
    assert words.ANSWERS_NEVER in draw(page, me)[page.parts.answers]
    assert fill("{}", words.ANSWERS_NONE) in draw_answers([])


def test_answers_stand_base_beside_newest_and_older_ones_below():
    points = [AnswerPoint(step, "Why?", f"answer {step}", 3) for step in (10, 0, 20, 5)]
    drawn = str(draw_answers([*points, AnswerPoint(20, NASTY, "", 0, is_empty=True)]))
    order = [drawn.index(f"answer {step}</p>") for step in (0, 20, 10, 5)]
    assert order == sorted(order)
    assert "<img" not in drawn
    assert "(empty)" in drawn
