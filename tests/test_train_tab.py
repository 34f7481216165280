"""The Train tab: what may be started, what is said before, and that what a person set is kept."""

import inspect
from types import SimpleNamespace

import gradio as gr
import pytest

from bnf_lab.config import RunConfig, field_default, field_specs
from bnf_lab.errors import RunRefused
from bnf_lab.lab_records import ModelChoice, Preflight
from bnf_lab.preferences import Judgement, Message, Source, Verdict, build_pair
from bnf_lab.records import RunState
from bnf_lab.ui import train_tab
from bnf_lab.ui import train_texts as texts
from bnf_lab.ui.preflight import draw_preflight, draw_problems, fetch_note
from tests.pages import build_page, idle_lab

FINE = Preflight(n_responses=20, n_pairs=10, n_train_responses=16, n_probe_pairs=2, n_tokens=1500, n_truncated=0,
                 memory_gib=2.0, free_gib=8.0, seconds=90.0)


@pytest.fixture
def lab(tmp_path):
    with idle_lab(tmp_path / "home") as lab:
        yield lab


@pytest.fixture
def page(lab):
    """The tab in a page of its own: its handlers (`do`), components (`parts`) and guarded events (`app`)."""
    page = build_page(lab, train_tab.build)
    return SimpleNamespace(do=page.tab.handlers, parts=page.tab.handlers.parts, app=page.app, token=page.token)


@pytest.fixture
def me(lab):
    """A workspace with ten pairs in "mine" and one single answer in "extra"."""
    token = lab.new_workspace()
    owner = lab.owner_of(token)
    for k in range(10):
        lab.store.add_judgements(owner, "mine", build_pair((Message("user", f"Q{k}"),), "good", "bad",
                                                           source=Source.DEMO))
    lab.store.add_judgements(owner, "extra", [Judgement((Message("user", "Q"),), "yes", Verdict.PREFERRED)])
    return token


@pytest.fixture
def fine(lab, monkeypatch):
    """The lab finds nothing wrong; records what it was asked."""
    asked = []

    def preflight(owner, config, collections):
        asked.append((config, collections))
        return FINE

    monkeypatch.setattr(lab, "preflight", preflight)
    monkeypatch.setattr(lab, "models", lambda owner: [ModelChoice("embedded", "SmolLM2")])
    return asked


def values(page, **changes):
    """The widgets' values, in order, as the browser would send them."""
    return [{**RunConfig().to_dict(), **changes}[name] for name in page.parts.fields]


def event(page, name):
    found, = (fn.fn for fn in page.app.fns.values() if fn.fn.__name__ == name)
    return found


# --- what is offered --------------------------------------------------------------------------------------------------

def test_without_judgements_the_page_says_what_to_do(lab, page):
    drawn = page.do.redraw(lab.new_workspace(), "")
    assert drawn[page.parts.empty].visible is True
    assert drawn[page.parts.page].visible is False


def test_collections_are_offered_with_their_counts_and_all_are_chosen(page, me):
    drawn = page.do.redraw(me, "")
    offered = drawn[page.parts.collections]
    assert sorted(offered.choices) == [("extra · 1 single answer", "extra"), ("mine · 10 pairs", "mine")]
    assert sorted(offered.value) == ["extra", "mine"]


def test_only_settings_that_the_method_reads_are_shown(page, me, fine):
    beta = page.parts.fields["beta"]
    assert beta.visible is False
    assert page.do.check(me, "", ["mine"], *values(page, method="dpo"))[beta]["visible"] is True
    assert page.do.check(me, "", ["mine"], *values(page, method="bnf"))[beta]["visible"] is False


def test_settings_outside_the_essential_ones_are_folded_away(page):
    folded = next(b for b in page.app.blocks.values() if isinstance(b, gr.Accordion))
    assert folded.open is False
    assert page.parts.fields["method"].parent.parent is not folded
    assert page.parts.fields["seed"].parent.parent is folded


# --- the check --------------------------------------------------------------------------------------------------------

def test_a_good_run_can_be_started_and_its_numbers_are_told(page, me, fine):
    drawn = page.do.check(me, "", ["mine"], *values(page))
    assert drawn[page.parts.start].interactive is True
    assert drawn[page.parts.measure].visible is False
    for told in ("20", "10 pairs", "1,500", "2.0 GiB", "8.0 GiB are free", "about 1 min 30 s", texts.READY):
        assert told in drawn[page.parts.panel]
    assert fine == [(RunConfig(), ["mine"])]


def test_every_wrong_setting_is_named_as_on_the_page_and_blocks_the_start(page, me, fine):
    drawn = page.do.check(me, "", ["mine"], *values(page, learning_rate=0, n_steps=None, model="x" * 501))
    assert drawn[page.parts.start].interactive is False
    for told in ("Learning rate is 0; it must be from 1e-06 to 0.1", "Steps is None", "Model has 501 characters"):
        assert told in drawn[page.parts.panel]
    assert not fine


def test_no_collection_chosen_blocks_the_start(page, me, fine):
    drawn = page.do.check(me, "", [], *values(page))
    assert texts.CHOOSE_COLLECTION in drawn[page.parts.panel]
    assert drawn[page.parts.start].interactive is False


def test_a_problem_of_the_data_blocks_and_a_warning_does_not(lab, page, me, monkeypatch):
    for found, may_start in ((Preflight(problems=("Too little memory.",)), False),
                             (Preflight(warnings=("Only preferred answers.",)), True)):
        monkeypatch.setattr(lab, "preflight", lambda *asked, found=found: found)
        drawn = page.do.check(me, "", ["mine"], *values(page))
        assert drawn[page.parts.start].interactive is may_start
        assert (found.problems + found.warnings)[0] in drawn[page.parts.panel]


def test_the_check_works_on_the_real_lab_before_the_model_is_fetched(page, me):
    drawn = page.do.check(me, "", ["mine", "extra"], *values(page, n_probe=2))
    assert "21" in drawn[page.parts.panel]
    assert texts.NOT_FETCHED in drawn[page.parts.panel]
    assert texts.WILL_FETCH_EMBEDDED in drawn[page.parts.panel]
    assert drawn[page.parts.start].interactive is True


def test_what_the_panel_says_is_escaped():
    for drawn in (draw_problems(["<i>"]), draw_preflight(FINE, ["<i>"])):
        assert "&lt;i&gt;" in drawn
        assert "<i>" not in drawn


def test_a_model_that_is_not_here_says_what_will_happen():
    here = [ModelChoice("embedded", "SmolLM2", is_fetched=False), ModelChoice("me/model", "me/model")]
    assert fetch_note("embedded", here) == texts.WILL_FETCH_EMBEDDED
    assert fetch_note("embedded", [ModelChoice("embedded", "SmolLM2")]) == ""
    assert fetch_note("me/model", here) == ""
    assert "you/other" in fetch_note("you/other", here)
    assert fetch_note("/models/own", here) == ""


# --- what was set is kept ---------------------------------------------------------------------------------------------

def test_settings_and_choices_survive_a_refresh(page, me, fine):
    page.do.check(me, "", ["mine"], *values(page, n_steps=7))
    drawn = page.do.redraw(me, "")
    assert drawn[page.parts.fields["n_steps"]]["value"] == 7
    assert drawn[page.parts.collections].value == ["mine"]
    page.do.check_kept(me)
    assert fine[-1] == (RunConfig(n_steps=7), ["mine"])


def test_a_collection_made_later_is_chosen_too(lab, page, me, fine):
    page.do.check(me, "", ["mine"], *values(page))
    lab.store.add_judgements(lab.owner_of(me), "new", [Judgement((Message("user", "Q"),), "a", Verdict.PREFERRED)])
    assert sorted(page.do.redraw(me, "")[page.parts.collections].value) == ["mine", "new"]


def test_the_defaults_come_back_and_the_choice_of_data_stays(page, me, fine):
    page.do.check(me, "", ["mine"], *values(page, n_steps=7, seed=3))
    drawn = page.do.reset(me)
    fields = page.parts.fields
    assert {name: drawn[c]["value"] for name, c in fields.items()} == {n: field_default(n) for n in fields}
    assert set(fields) == {name for name, spec in field_specs().items() if spec.group != "experiment"}
    assert drawn[page.parts.collections].value == ["mine"]


# --- measuring and starting -------------------------------------------------------------------------------------------

def test_an_unknown_speed_offers_to_measure_and_the_measurement_is_shown(lab, page, me, monkeypatch):
    speeds = [None, 60.0]
    monkeypatch.setattr(lab, "preflight", lambda *asked: Preflight(memory_gib=1.0, free_gib=2.0, seconds=speeds[0]))
    monkeypatch.setattr(lab, "models", lambda owner: [ModelChoice("embedded", "SmolLM2")])
    monkeypatch.setattr(lab, "measure_step", lambda *asked: speeds.pop(0))
    button = page.parts.measure
    assert page.do.check(me, "", ["mine"], *values(page))[button].visible is True
    waiting, done = page.do.measure(me, "", ["mine"], *values(page))
    assert (waiting[button].value, waiting[button].interactive) == (texts.MEASURING, False)
    assert "about 1 min" in done[page.parts.panel]
    assert done[button].visible is False


def test_a_failed_measurement_gives_the_button_back_and_says_why(lab, page, me, fine, monkeypatch):
    def fail(*asked):
        raise RunRefused("The measurement broke off.")

    monkeypatch.setattr(lab, "measure_step", fail)
    drawn = []
    with pytest.raises(gr.Error, match="broke off"):
        for update in event(page, "measure")(me, "", ["mine"], *values(page)):
            drawn.append(update)
    assert drawn[-1][page.parts.measure].interactive is True


def test_start_queues_the_run_and_goes_to_watch(lab, page, me):
    run_id, tabs, _ = page.do.start(me, "  first try ", ["mine"], *values(page, n_steps=3, n_probe=2))
    assert tabs.selected == "watch"
    folder = lab.run_folder(lab.owner_of(me), run_id)
    assert folder.read_config() == RunConfig(n_steps=3, n_probe=2)
    assert folder.read_status().state is RunState.QUEUED
    assert len(folder.read_judgements()) == 20
    run, = lab.list_runs(lab.owner_of(me))
    assert (run.name, run.collections) == ("first try", ("mine",))


@pytest.mark.parametrize(("name", "collections", "changes", "told"), [
    ("", [], {}, "Choose at least one collection"),
    ("", ["theirs"], {}, "Choose at least one collection"),
    ("", "mine", {}, "choose among the collections"),
    ("", [["mine"]], {}, "choose among the collections"),
    ("x" * 81, ["mine"], {}, "at most 80"),
    (7, ["mine"], {}, "must be a text"),
    ("", ["mine"], {"n_steps": 0}, "Steps is 0"),
    ("", ["mine"], {"method": "ppo"}, "Method is"),
])
def test_a_start_that_the_page_does_not_offer_is_refused(lab, page, me, name, collections, changes, told):
    with pytest.raises(gr.Error, match=told):
        event(page, "start")(me, name, collections, *values(page, **changes))
    assert lab.list_runs(lab.owner_of(me)) == []


def test_every_event_refuses_a_made_up_workspace(page):
    tried = 0
    for fn in page.app.fns.values():
        if fn.inputs and fn.inputs[0] is page.token:
            with pytest.raises(gr.Error, match="workspace"):
                result = fn.fn("made-up", *[None] * (len(fn.inputs) - 1))
                list(result) if inspect.isgenerator(result) else None
            tried += 1
    assert tried >= 5
