"""The Train tab: what may be started, what is said before, and that what a person set is kept."""

from __future__ import annotations

import copy
import html
import inspect
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest

from bnf_lab.core.config import RunConfig, field_default, field_specs
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair
from bnf_lab.experiments.yaml_files import plain_settings, read_yaml
from bnf_lab.lab.models import ModelStatus
from bnf_lab.lab.references import ReferenceChoice
from bnf_lab.lab.selections import since_mark
from bnf_lab.lab.train_drafts import choose_since
from bnf_lab.runs.estimates import Preflight, ReadResponse, TextPiece
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import RunState
from bnf_lab.ui.train import tab, words
from bnf_lab.ui.train.preflight import draw_preflight, draw_problems, draw_reading, fetch_note
from bnf_lab.ui.train.settings import PRESETS, write_yaml
from bnf_lab.ui.train.visit import Visit
from tests.support.pages import build_page, idle_lab

FINE = Preflight(
    n_responses=20,
    n_pairs=10,
    n_train_responses=16,
    n_probe_pairs=2,
    n_steps=30,
    n_read=12,
    passes=0.75,
    n_tokens=1500,
    n_tokens_read=1200,
    n_truncated=0,
    memory_gib=2.0,
    free_gib=8.0,
    seconds=90.0,
)


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
    """A workspace with ten pairs in "mine" and one single answer in "extra"."""
    token = lab.new_workspace()
    owner = lab.owner_of(token)
    for k in range(10):
        lab.judgements.add(owner, "mine", build_pair((Message("user", f"Q{k}"),), "good", "bad", source=Source.DEMO))
    lab.judgements.add(owner, "extra", [Judgement((Message("user", "Q"),), "yes", Verdict.PREFERRED)])
    return token


@pytest.fixture
def fine(lab, monkeypatch):
    """The lab finds nothing wrong; records what it was asked."""
    asked = []

    def preflight(owner, config, collections):
        asked.append((config, collections))
        return FINE

    monkeypatch.setattr(lab.runs, "preflight", preflight)
    monkeypatch.setattr(lab.models, "missing", lambda model: None)
    return asked


def values(page, **changes):
    """The widgets' values, in order, as the browser would send them."""
    return [{**RunConfig().to_dict(), "passes": None, **changes}[name] for name in page.parts.fields]


def facts(panel):
    """What the panel says, by the name of the fact."""
    found = re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", panel)
    return {name: " ".join(re.sub("<[^>]*>", "", told).split()) for name, told in found}


def event(page, name):
    (found,) = (fn.fn for fn in page.app.fns.values() if fn.fn and fn.fn.__name__ == name)
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
    groups = {"essential": None, "advanced": "train-advanced", "experiment": "train-experiment"}
    for name, field in page.parts.fields.items():
        folded = field.parent.parent if isinstance(field.parent.parent, gr.Accordion) else None
        assert (folded and folded.elem_id) == groups[field_specs()[name].group], name
        assert folded is None or folded.open is False


def test_a_reference_is_chosen_and_never_typed(page):
    field = page.parts.fields["reference"]
    assert isinstance(field, gr.Dropdown)
    with pytest.raises(gr.Error, match="not in the list of choices"):
        field.preprocess("run:/etc")


def test_a_reference_that_is_gone_stays_to_be_seen_and_is_refused(page, me):
    page.do.check(me, "", ["mine"], *values(page, reference="run:gone"))
    drawn = page.do.redraw(me, "")[page.parts.fields["reference"]]
    assert drawn["value"] == "run:gone"
    assert ("run:gone (not here any more)", "run:gone") in drawn["choices"]
    kept = page.do.check_kept(me)
    assert "no run of this workspace" in kept[page.parts.panel]
    assert kept[page.parts.start].interactive is False


def test_settings_of_an_experiment_are_told_though_they_are_folded(page, me, fine):
    told = page.do.check(me, "", ["mine"], *values(page, label_noise=0.2, reference_temperature=2.0))
    assert "Flipped verdicts 0.2, Reference temperature 2.0" in told[page.parts.panel]
    assert "Experiment" not in page.do.check(me, "", ["mine"], *values(page))[page.parts.panel]


# --- every setting ----------------------------------------------------------------------------------------------------


TEXTS = {"model": "owner/name", "reference": "run:earlier", "answer_prompts": "Who are you?\nWhy?"}


def other_value(name: str) -> object:
    """A value that the setting takes and that is not its default."""
    spec, default = field_specs()[name], field_default(name)
    if spec.choices:
        return next(choice for choice in spec.choices if choice != default)
    if isinstance(default, str):
        return TEXTS[name]
    step = spec.step or default / 2 or spec.maximum / 2
    return default + step if default + step <= spec.maximum else default - step


@pytest.mark.parametrize("name", ["edit", "edit_steps", "measure", "start"])
def test_every_setting_is_drawn_and_part_of_what_an_event_is_told(page, name):
    (told,) = (fn.inputs for fn in page.app.fns.values() if fn.name == name)
    assert set(page.parts.fields) == set(field_specs())
    assert told[-len(page.parts.fields) :] == [*page.parts.fields.values()]  # in this order `values` are read


def test_every_setting_arrives_in_the_run_that_is_started(lab, page, me, monkeypatch):
    """From what a browser sends, through gradio's widgets, to the file that the worker reads."""
    monkeypatch.setattr(lab.runs, "references", lambda owner: [ReferenceChoice("run:earlier", "Run earlier")])
    owner = lab.owner_of(me)
    lab.runs.register.add(owner, "earlier", "earlier", "2026-01-01T00:00:00+00:00")
    drawn = page.do.redraw(me, "")
    for component in page.parts.fields.values():  # as gradio does in the session
        component.choices = drawn[component].get("choices", getattr(component, "choices", None))
    monkeypatch.setitem(lab.runs._models._environment, "BNF_LAB_HUB_OFFLINE", "0")
    wanted = {name: other_value(name) for name in field_specs()} | {"passes": None}  # which would decide the steps
    sent = [c.preprocess(c.postprocess(wanted[name])) for name, c in page.parts.fields.items()]
    run_id, _, _ = event(page, "start")(me, "", ["mine"], *sent)
    kept = json.loads((lab.home / "runs" / run_id / "config.json").read_text(encoding="utf-8"))
    assert {name: kept[name] for name in wanted} == wanted | {"passes": 0.0}
    assert not [name for name in wanted if wanted[name] == field_default(name)]


# --- the check --------------------------------------------------------------------------------------------------------


def test_a_good_run_can_be_started_and_its_numbers_are_told(page, me, fine):
    drawn = page.do.check(me, "", ["mine"], *values(page))
    assert drawn[page.parts.start].interactive is True
    assert drawn[page.parts.measure].visible is False
    for told in (
        "20",
        "10 pairs",
        "1,200",
        "about 2.0 GiB",
        "estimated; 8.0 GiB are free",
        "about 1 min 30 s",
        words.READY,
    ):
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
    assert words.CHOOSE_COLLECTION in drawn[page.parts.panel]
    assert drawn[page.parts.start].interactive is False


def test_a_problem_of_the_data_blocks_and_a_warning_does_not(lab, page, me, monkeypatch):
    for found, may_start in (
        (Preflight(problems=("Too little memory.",)), False),
        (Preflight(warnings=("Only preferred answers.",)), True),
    ):
        monkeypatch.setattr(lab.runs, "preflight", lambda *asked, found=found: found)
        drawn = page.do.check(me, "", ["mine"], *values(page))
        assert drawn[page.parts.start].interactive is may_start
        assert (found.problems + found.warnings)[0] in drawn[page.parts.panel]


def test_the_check_works_on_the_real_lab_before_the_model_is_fetched(page, me):
    drawn = page.do.check(me, "", ["mine", "extra"], *values(page, n_probe=2))
    panel = drawn[page.parts.panel]
    assert "21" in panel
    told = facts(panel)
    assert told["Held out"] == "2 pairs or responses for the plots"
    assert told["Read"].startswith("17 of 17 responses, 14.")
    assert (told["Tokens read"], told["Memory"][0], told["Time"]) == (words.UNKNOWN,) * 3
    assert words.WILL_FETCH_EMBEDDED in panel
    assert panel.count("SmolLM2-135M-Instruct is fetched once") == 1
    assert words.MEASURE_HELP not in panel  # there is no such button yet
    assert 'class="lab-note ok"' not in panel
    assert drawn[page.parts.start].interactive is True


def test_what_the_panel_says_is_escaped():
    for drawn in (draw_problems(["<i>"]), draw_preflight(FINE, ["<i>"])):
        assert "&lt;i&gt;" in drawn
        assert "<i>" not in drawn


# --- what the model reads


READ = ReadResponse(
    "preferred",
    (
        TextPiece("<|im_start|>user\n<b>Hi</b>\n" + "x" * 5000, is_response=False),
        TextPiece("<i>", is_response=True),
        TextPiece("\n", is_response=True),
        TextPiece("${alert(1)}{{value}}", is_response=True),
    ),
    n_prompt_tokens=12,
    n_response_tokens=1,
    n_prompt_cut=1_234,
)


def test_the_text_of_a_pair_is_shown_with_the_response_marked_token_by_token():
    drawn = draw_reading((READ, replace(READ, verdict="dispreferred", n_prompt_cut=0, n_response_cut=1)))
    assert drawn.count("<pre") == 2
    assert drawn.count("<mark>") == 6
    assert "12 tokens of the prompt, 1 of the response" in drawn
    assert (
        '<pre class="preferred" tabindex="0"><em class="odd">[1,234 tokens before it cut]</em>&lt;|im_start|&gt;'
        in drawn
    )
    assert '</mark><em class="odd">[1 token behind it cut]</em></pre>' in drawn
    assert "<mark>&lt;i&gt;</mark>" in drawn
    assert '<mark><i aria-hidden="true">↵</i>\n</mark>' in drawn
    assert "&lt;b&gt;Hi&lt;/b&gt;" in drawn
    assert "characters …" in drawn
    assert "x" * 2000 not in drawn


def test_the_text_of_a_pair_is_folded_away_and_follows_the_check(lab, page, me, monkeypatch):
    folded = next(b for b in page.app.blocks.values() if getattr(b, "elem_id", "") == "train-reading")
    assert isinstance(folded, gr.Accordion)
    assert folded.open is False
    assert page.parts.reading.parent is folded
    for reading, told in (((READ,), "12 tokens of the prompt"), ((), words.READING_UNKNOWN)):
        monkeypatch.setattr(lab.runs, "preflight", lambda *asked, reading=reading: Preflight(reading=reading))
        assert told in page.do.check(me, "", ["mine"], *values(page))[page.parts.reading]


def test_a_model_that_is_not_here_says_what_will_happen():
    for state, told in (
        ("missing", words.WILL_FETCH_EMBEDDED),
        ("fetching", words.IS_FETCHING),
        ("failed", words.FETCH_FAILED),
        ("ready", ""),
    ):
        assert fetch_note("embedded", ModelStatus(state, "")) == told
    assert fetch_note("me/model", None) == ""
    assert "fetch-model you/other" in fetch_note("you/other", ModelStatus("missing", ""))


@pytest.mark.parametrize(
    ("model", "offline", "told", "may_start"),
    [
        ("embedded", "1", "Fetch the model", True),
        ("you/other", "0", "fetch-model you/other", True),
        ("you/other", "1", "HF_HUB_OFFLINE forbids", False),
        ("nonsense", "0", "There is no model 'nonsense' in the lab's models folder", False),
        ("/models/own", "0", "A folder cannot be chosen by its path here", False),
    ],
)
def test_a_model_that_is_not_here_is_spoken_of_once(lab, page, me, monkeypatch, model, offline, told, may_start):
    monkeypatch.setitem(lab.models._environment, "BNF_LAB_HUB_OFFLINE", offline)
    drawn = page.do.check(me, "", ["mine"], *values(page, model=model))
    panel = html.unescape(drawn[page.parts.panel])
    assert panel.count(told) == 1
    assert panel.count("lab-note") == 1
    assert panel.count("on this machine") <= 1
    assert 'class="lab-note ok"' not in panel
    assert drawn[page.parts.start].interactive is may_start
    assert facts(panel)["Read"].startswith("16 of 16 responses,")
    assert drawn[page.parts.timer].active is (may_start)


def test_a_model_that_has_come_is_counted_by_itself(lab, page, me, monkeypatch):
    states = [ModelStatus("missing", ""), ModelStatus("missing", ""), ModelStatus("fetching", ""), None]
    monkeypatch.setattr(lab.models, "missing", lambda model: states[0])
    noted, visit = page.do.check_kept(me)[page.parts.noted], Visit()
    for n_drawn in (0, 2, 2):
        states.pop(0)
        drawn = [update for update in page.do.follow(me, visit, noted) if page.parts.panel in update]
        assert len(drawn) == n_drawn
        noted = drawn[-1][page.parts.noted] if drawn else noted
    assert noted == ""
    assert drawn[-1][page.parts.timer].active is False


# --- steps and passes -------------------------------------------------------------------------------------------------


def test_passes_that_are_set_show_the_steps_and_steps_show_the_passes(page, me):
    steps, passes = page.parts.fields["n_steps"], page.parts.fields["passes"]
    drawn = page.do.check(me, "", ["mine"], *values(page, passes=2, n_steps=500))
    assert drawn[steps]["value"] == 4  # 16 responses, 8 a step
    assert "16 of 16 responses,</b> <span>2.0 passes over the data" in drawn[page.parts.panel]
    *_, drawn = page.do.edit_steps(me, Visit(), 1.0, "", ["mine"], *values(page, passes=2, n_steps=1))
    assert steps not in drawn
    assert drawn[passes]["placeholder"] == "0.5"
    assert "value" not in drawn[passes]
    blanked = next(page.do.edit_steps(me, Visit(), 1.0, "", ["mine"], *values(page, passes=2, n_steps=1)))
    assert blanked[passes]["value"] is None


def test_passes_survive_a_refresh_and_are_blank_where_steps_decide(page, me):
    for passes, shown in ((1.5, 1.5), (None, None)):
        page.do.check(me, "", ["mine"], *values(page, passes=passes))
        assert page.do.redraw(me, "")[page.parts.fields["passes"]]["value"] == shown


def test_a_run_that_is_started_by_passes_records_the_steps(lab, page, me):
    run_id, _, _ = page.do.start(me, "", ["mine"], *values(page, passes=2.5))
    folder = lab.runs.folder(lab.owner_of(me), run_id)
    assert (folder.read_config().n_steps, folder.read_config().passes) == (5, 2.5)
    assert folder.read_status().total_steps == 5


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"n_steps": 0}, "Steps is 0; it must be from 1"),
        ({"n_steps": 2.5}, "Steps is 2.5; it must be a whole number"),
        ({"lora_rank": 8.5}, "LoRA rank is 8.5; it must be a whole number"),
        ({"passes": -1}, "Passes over the data is -1; it must be from 0"),
        ({"passes": 1000, "responses_per_step": 1, "n_steps": 5}, ""),
    ],
)
def test_a_length_that_cannot_be_is_refused_in_words(page, me, changes, told):
    fields = page.parts.fields.items()
    sent = [c.preprocess(value) for (_, c), value in zip(fields, values(page, **changes), strict=True)]
    drawn = page.do.check(me, "", ["mine"], *sent)
    assert told in drawn[page.parts.panel]
    assert drawn[page.parts.start].interactive is (not told)


# --- one question at a time -------------------------------------------------------------------------------------------


def test_while_a_run_is_counted_nothing_of_the_settings_before_stands_there(page, me, fine):
    checking, _ = page.do.edit(me, Visit(), 1.0, "", ["mine"], *values(page))
    panel = checking[page.parts.panel]
    assert set(facts(panel).values()) == {words.UNKNOWN}
    assert words.CHECKING in panel
    assert not any(char.isdigit() for char in re.sub("<[^>]*>", "", panel))
    assert 'class="lab-note bad"' not in panel
    assert checking[page.parts.start].interactive is True
    assert page.parts.fields["n_steps"] not in checking


def test_a_slow_answer_to_an_older_question_is_never_shown(lab, page, me, monkeypatch):
    """Three edits while the first one is counted: the third alone is answered, by the event that is at it."""
    visit, asked = Visit(), []

    def preflight(owner, config, collections):
        asked.append(config.n_steps)
        if len(asked) == 1:
            for stamp, n_steps in ((2.0, 20), (4.0, 40), (3.0, 30)):  # the last one was overtaken on the way
                late = page.do.edit(me, visit, stamp, "", ["mine"], *values(page, n_steps=n_steps))
                assert [update for update in late if page.parts.panel in update] == []
        return replace(FINE, n_read=config.n_steps, n_train_responses=99)

    monkeypatch.setattr(lab.runs, "preflight", preflight)
    drawn = [u[page.parts.panel] for u in page.do.edit(me, visit, 1.0, "", ["mine"], *values(page, n_steps=10))]
    assert asked == [10, 40]
    assert [words.CHECKING in panel for panel in drawn] == [True, True, False]
    assert "40 of 99 responses" in drawn[-1]
    assert page.do.redraw(me, "")[page.parts.fields["n_steps"]]["value"] == 40


def test_a_check_that_breaks_off_says_so_and_the_next_one_works(lab, page, me, fine, monkeypatch):
    visit, preflight = Visit(), lab.runs.preflight
    monkeypatch.setattr(lab.runs, "preflight", lambda *asked: 1 // 0)
    drawn = []
    with pytest.raises(gr.Error):
        for update in event(page, "edit")(me, visit, 1.0, "", ["mine"], *values(page)):
            drawn.append(update)
    assert words.NOT_CHECKED in drawn[-1][page.parts.panel]
    monkeypatch.setattr(lab.runs, "preflight", preflight)
    *_, last = page.do.edit(me, visit, 2.0, "", ["mine"], *values(page))
    assert words.READY in last[page.parts.panel]


def test_a_page_that_is_left_while_it_is_answered_can_ask_again(page, me, fine):
    visit = Visit()
    left = page.do.edit(me, visit, 1.0, "", ["mine"], *values(page))
    next(left)
    left.close()
    assert len(list(page.do.edit(me, visit, 2.0, "", ["mine"], *values(page)))) == 2


def test_every_page_has_questions_of_its_own(page):
    assert copy.deepcopy(page.parts.visit.value) is not page.parts.visit.value


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
    lab.judgements.add(lab.owner_of(me), "new", [Judgement((Message("user", "Q"),), "a", Verdict.PREFERRED)])
    assert sorted(page.do.redraw(me, "")[page.parts.collections].value) == ["mine", "new"]


def test_the_defaults_come_back_and_the_choice_of_data_stays(page, me, fine):
    page.do.check(me, "", ["mine"], *values(page, n_steps=7, seed=3))
    drawn = page.do.reset(me)
    fields = page.parts.fields
    assert {name: drawn[c]["value"] for name, c in fields.items()} == {n: field_default(n) for n in fields} | {
        "passes": None
    }
    assert set(fields) == set(field_specs())
    assert drawn[page.parts.collections].value == ["mine"]


# --- whole sets of settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_taken_and_method_model_and_data_stay(page, me, fine, name):
    page.do.check(me, "", ["mine"], *values(page, method="dpo", model="owner/name", seed=7, beta=0.5))
    drawn = page.do.take_preset(name)(me)
    wanted = {"method": "dpo", "model": "owner/name", **PRESETS[name].changes}
    config = RunConfig.from_dict(wanted)
    assert {n: drawn[c]["value"] for n, c in page.parts.fields.items()} == config.to_dict() | {"passes": None}
    assert drawn[page.parts.collections].value == ["mine"]
    page.do.check_kept(me)
    assert fine[-1] == (config, ["mine"])


def test_the_settings_of_an_own_run_are_taken_over(lab, page, me, fine):
    owner, stranger = lab.owner_of(me), lab.owner_of(lab.new_workspace())
    config = RunConfig(method="sft", n_steps=7, label_noise=0.25)
    for whose, run_id in ((owner, "mine1"), (stranger, "theirs")):
        RunFolder.create(lab.home / "runs" / run_id, config, [], owner=whose)
        lab.runs.register.add(whose, run_id, f"Run {run_id}", "2026-01-01T00:00:00+00:00")
    offered = page.do.redraw(me, "")[page.parts.take]
    assert (offered.choices, offered.visible) == ([("Run mine1", "mine1")], True)
    drawn = page.do.take_run(me, "mine1")
    assert drawn[page.parts.fields["label_noise"]]["value"] == 0.25
    page.do.check_kept(me)
    assert fine[-1][0] == config
    for foreign in ("theirs", "../mine1", None, 7):
        with pytest.raises(gr.Error):
            event(page, "take_run")(me, foreign)


def test_without_a_run_there_are_no_settings_to_take_over(page, me):
    assert page.do.redraw(me, "")[page.parts.take].visible is False


def test_the_yaml_is_what_the_command_line_reads(page, me, fine, tmp_path):
    changes = {name: other_value(name) for name in field_specs()} | {"passes": 2.5, "answer_prompts": 'Ä: "x"\n# y'}
    page.do.check(me, "", ["mine"], *values(page, **changes))
    text = page.do.check_kept(me)[page.parts.yaml]
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    assert RunConfig.from_dict(plain_settings(read_yaml(path, "it", "mend"))) == RunConfig.from_dict(changes)
    path.write_text(write_yaml(RunConfig(learning_rate=1e-6)), encoding="utf-8")
    assert RunConfig.from_dict(plain_settings(read_yaml(path, "it", "mend"))) == RunConfig(learning_rate=1e-6)


def test_nothing_that_is_typed_is_cut(page):
    boxes = [block for block in page.app.blocks.values() if isinstance(block, gr.Textbox)]
    assert boxes
    assert {box.max_length for box in boxes} == {None}


# --- the new judgements -----------------------------------------------------------------------------------------------


def add_one(lab, owner, name, text, when):
    judged = Judgement((Message("user", text),), text, Verdict.PREFERRED, created_at=when)
    lab.judgements.add(owner, name, [judged])


@pytest.fixture
def after_a_run(lab, me):
    """The workspace's last run began in 2030; two judgements came later, one of them in an old collection."""
    owner = lab.owner_of(me)
    lab.runs.register.add(owner, "earlier", "earlier", "2030-01-01T00:00:00+00:00")
    add_one(lab, owner, "chat", "new in chat", "2030-02-01T00:00:00+00:00")
    add_one(lab, owner, "mine", "new in mine", "2030-03-01T00:00:00+00:00")
    return owner


def choose_new(lab, owner):
    names = [count.name for count in lab.judgements.totals(owner).collections]
    choose_since(lab.drafts, owner, lab.runs.last_began(owner), names)


def test_the_new_judgements_are_offered_and_alone_where_they_were_asked_for(lab, page, me, after_a_run):
    mark = since_mark("2030-01-01T00:00:00+00:00")
    offered = page.do.redraw(me, "")[page.parts.collections]
    assert offered.choices[0] == ("2 new judgements, made since your last run began", mark)
    assert mark not in offered.value
    choose_new(lab, after_a_run)
    assert page.do.redraw(me, "")[page.parts.collections].value == [mark]
    assert facts(page.do.check_kept(me)[page.parts.panel])["Responses"].startswith("2 ")


def test_a_run_on_the_new_judgements_is_on_exactly_these_and_with_a_tick_on_older_ones_too(lab, page, me, after_a_run):
    choose_new(lab, after_a_run)
    chosen = page.do.redraw(me, "")[page.parts.collections].value
    for told, n in ((chosen, 2), ([*chosen, "extra"], 3), ([*chosen, "extra", "mine", "chat"], 23)):
        assert facts(page.do.check(me, "", told, *values(page))[page.parts.panel])["Responses"].startswith(f"{n} ")
    add_one(lab, after_a_run, "mine", "newer", "2030-03-02T00:00:00+00:00")
    run_id, _, _ = page.do.start(me, "", [*chosen, "extra"], *values(page, n_steps=1, n_probe=1))
    trained = [j.response for j in lab.runs.folder(after_a_run, run_id).read_judgements()]
    assert sorted(trained) == ["new in chat", "new in mine", "newer", "yes"]
    (started,) = (run for run in lab.runs.summaries(after_a_run) if run.run_id == run_id)
    assert started.collections == ("chat", "extra", "mine")
    assert sorted(page.do.redraw(me, "")[page.parts.collections].value) == ["chat", "extra", "mine"]  # as ever


@pytest.mark.parametrize("made_up", ["\0since:' OR 1=1", "\0since:\n2030-01-01T00:00:00", "\0other:"])
def test_a_made_up_moment_chooses_nothing(page, me, fine, made_up):
    assert words.CHOOSE_COLLECTION in page.do.check(me, "", [made_up], *values(page))[page.parts.panel]


def test_the_panel_says_what_the_run_starts_from(page, me, fine):
    for model, told in (("embedded", "SmolLM2-135M-Instruct"), ("owner/<name>", "owner/&lt;name&gt;")):
        panel = page.do.check(me, "", ["mine"], *values(page, model=model))[page.parts.panel]
        assert facts(panel)[words.STARTS_FROM] == f"{told} {words.AFRESH}"


# --- measuring and starting -------------------------------------------------------------------------------------------


def test_an_unknown_speed_offers_to_measure_and_the_measurement_is_shown(lab, page, me, monkeypatch):
    speeds = [None, 60.0]
    monkeypatch.setattr(
        lab.runs, "preflight", lambda *asked: Preflight(memory_gib=1.0, free_gib=2.0, seconds=speeds[0])
    )
    monkeypatch.setattr(lab.models, "missing", lambda model: None)
    monkeypatch.setattr(lab.runs, "measure", lambda *asked: speeds.pop(0))
    button = page.parts.measure
    assert page.do.check(me, "", ["mine"], *values(page))[button].visible is True
    waiting, _, done = page.do.measure(me, Visit(), "", ["mine"], *values(page))
    assert (waiting[button].value, waiting[button].interactive) == (words.MEASURING, False)
    assert "about 1 min" in done[page.parts.panel]
    assert done[button].visible is False


def test_a_failed_measurement_gives_the_button_back_and_says_why(lab, page, me, fine, monkeypatch):
    def fail(*asked):
        raise RunRefused("The measurement broke off.")

    monkeypatch.setattr(lab.runs, "measure", fail)
    drawn = []
    with pytest.raises(gr.Error, match="broke off"):
        for update in event(page, "measure")(me, Visit(), "", ["mine"], *values(page)):
            drawn.append(update)
    assert drawn[-1][page.parts.measure].interactive is True


def test_start_queues_the_run_and_goes_to_watch(lab, page, me):
    run_id, tabs, _ = page.do.start(me, "  first try ", ["mine"], *values(page, n_steps=3, n_probe=2))
    assert tabs.selected == "watch"
    folder = lab.runs.folder(lab.owner_of(me), run_id)
    assert folder.read_config() == RunConfig(n_steps=3, n_probe=2)
    assert folder.read_status().state is RunState.QUEUED
    assert len(folder.read_judgements()) == 20
    (run,) = lab.runs.summaries(lab.owner_of(me))
    assert (run.name, run.collections) == ("first try", ("mine",))


@pytest.mark.parametrize(
    ("name", "collections", "changes", "told"),
    [
        ("", [], {}, "Choose at least one collection"),
        ("", ["theirs"], {}, "Choose at least one collection"),
        ("", "mine", {}, "choose among the collections"),
        ("", [["mine"]], {}, "choose among the collections"),
        ("x" * 81, ["mine"], {}, "at most 80"),
        (7, ["mine"], {}, "must be a text"),
        ("", ["mine"], {"n_steps": 0}, "Steps is 0"),
        ("", ["mine"], {"method": "ppo"}, "Method is"),
    ],
)
def test_a_start_that_the_page_does_not_offer_is_refused(lab, page, me, name, collections, changes, told):
    with pytest.raises(gr.Error, match=told):
        event(page, "start")(me, name, collections, *values(page, **changes))
    assert lab.runs.summaries(lab.owner_of(me)) == []


def test_every_event_refuses_a_made_up_workspace(page):
    tried = 0
    for fn in page.app.fns.values():
        if fn.inputs and fn.inputs[0] is page.token:
            with pytest.raises(gr.Error, match="workspace"):
                result = fn.fn("made-up", *[None] * (len(fn.inputs) - 1))
                list(result) if inspect.isgenerator(result) else None
            tried += 1
    assert tried >= 5
