"""The Chat tab: what its events do to the store and the page. The models' part is in test_chat.py."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import LabError, NotFound
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, now
from bnf_lab.core.sealed_folders import seal_checkpoint
from bnf_lab.lab.adapter_choices import AdapterChoice
from bnf_lab.lab.chat_records import AnswerScore, ChatUpdate, PaneUpdate
from bnf_lab.lab.chats import COLLECTION
from bnf_lab.lab.conversation import ANY_ADAPTER, NO_ADAPTER, Chat, Settings, choose_adapter, fix_adapter
from bnf_lab.lab.lab import Lab
from bnf_lab.lab.models import ModelStatus
from bnf_lab.lab.selections import find_selected, since_mark
from bnf_lab.lab.thumbs import EDITED
from bnf_lab.lab.train_drafts import load_draft
from bnf_lab.runs.folder import RunFolder
from bnf_lab.ui import address
from bnf_lab.ui import words as common_words
from bnf_lab.ui.chat import tab, words
from bnf_lab.ui.chat.page import ChatPage
from bnf_lab.ui.chat.view import draw_turns
from bnf_lab.ui.model_gate import draw_values
from bnf_lab.ui.session import Session, build_beat, build_token

NASTY = "<script>window.hit=1</script><img src=x onerror=window.hit=1> ${window.hit=1} {{hit}} ![](http://evil/x.png)"
GOOD, BAD = Verdict.PREFERRED, Verdict.DISPREFERRED
SETTINGS = Settings(max_new_tokens=64)
VALUES = ("embedded", NO_ADAPTER, 0.7, 0.95, 64, 0, "")


class ScriptedLab(Lab):
    """The real lab, with answers from a list instead of a model."""

    answers = (("It is", "It is ice."), ("Ice", "Ice."))
    error: Exception | None = None
    asked = None

    def __init__(self, home):
        super().__init__(home)
        self.writer.reply = self.reply
        self.model = ModelStatus("ready", "")
        self.models.status = lambda: self.model

    def reply(self, owner, request, *, stop=None):
        self.asked = request
        if self.error:
            raise self.error
        for n, (base, aligned) in enumerate(zip(*self.answers, strict=True)):
            finish = "end" if n + 1 == len(self.answers[0]) else "stopped" if stop and stop.is_set() else None
            update = ChatUpdate(
                PaneUpdate(base, n + 1, 5.0, finish),
                PaneUpdate(aligned, n + 1, 5.0, finish) if request.run_id else PaneUpdate(),
            )
            yield update
            if finish:
                break
        yield replace(
            update, base=replace(update.base, score=AnswerScore(-1.0, -2.5 if request.run_id else None)), is_done=True
        )


@pytest.fixture
def lab(tmp_path):
    lab = ScriptedLab(tmp_path / "home")
    yield lab
    lab.close()


@pytest.fixture
def desk(lab):
    return lab.chats


@pytest.fixture
def me(lab):
    return lab.owner_of(lab.new_workspace())


@pytest.fixture
def run(lab, me):
    return add_run(lab, me, "run1")


def add_run(lab, owner, run_id, model="embedded", adapter=None):
    """Gives an owner a run whose folder has a sealed adapter."""
    folder = RunFolder.create(lab.home / "runs" / run_id, RunConfig(model=model), [], owner=owner)
    staging = folder.path / "tmp-final"
    if adapter is None:
        staging.mkdir()
        (staging / "adapter_model.safetensors").write_bytes(run_id.encode())
    else:
        shutil.copytree(adapter, staging)
    seal_checkpoint(staging, folder.adapter)
    lab.runs.register.add(owner, run_id, run_id, now())
    return run_id


def say(desk, owner, message="What is a comet?", settings=SETTINGS):
    desk.ask(owner, message, settings)
    for _ in desk.answer(owner):
        pass
    return desk.load(owner)


def judgements(lab, owner):
    return [entry.judgement for entry in lab.judgements.find(owner, collections=[COLLECTION])]


def test_a_thumb_is_a_judgement_at_once(lab, desk, me, run):
    turn = say(desk, me).turns[-1]
    desk.mark(me, turn.id, "aligned", GOOD)
    (judgement,) = judgements(lab, me)
    assert (judgement.response, judgement.verdict, judgement.source) == ("Ice.", GOOD, Source.CHAT)
    assert judgement.prompt == (Message("user", "What is a comet?"),)
    assert lab.runs.count_new_judgements(me) == 1


def test_another_thumb_flips_the_same_judgement_and_the_same_one_takes_it_back(lab, desk, me):
    turn = say(desk, me).turns[-1]
    desk.mark(me, turn.id, "base", GOOD)
    (first,) = judgements(lab, me)
    desk.mark(me, turn.id, "base", BAD)
    (flipped,) = judgements(lab, me)
    assert (flipped.id, flipped.verdict) == (first.id, BAD)
    assert desk.mark(me, turn.id, "base", BAD).turns[-1].base.mark == ""
    assert judgements(lab, me) == []


def test_opposite_thumbs_on_two_answers_to_the_same_words_are_a_pair(lab, desk, me, run):
    turn = say(desk, me).turns[-1]
    desk.mark(me, turn.id, "base", GOOD)
    desk.mark(me, turn.id, "aligned", GOOD)
    assert lab.judgements.totals(me).pairs == 0
    desk.mark(me, turn.id, "base", BAD)
    assert lab.judgements.totals(me).pairs == 1


def test_the_same_words_on_both_sides_never_get_contradictory_verdicts(lab, desk, me, run):
    lab.answers = (("Ice.",), ("Ice.",))
    turn = say(desk, me).turns[-1]
    desk.mark(me, turn.id, "base", GOOD)
    marked = desk.mark(me, turn.id, "aligned", BAD).turns[-1]
    assert [j.verdict for j in judgements(lab, me)] == [BAD]
    assert marked.base.mark == marked.aligned.mark == BAD


def test_an_edit_makes_a_pair_and_the_chat_goes_on_from_it(lab, desk, me, run):
    turn = say(desk, me).turns[-1]
    desk.mark(me, turn.id, "aligned", GOOD)
    desk.edit(me, turn.id, "aligned", "A ball of ice.")
    assert {(j.response, j.verdict) for j in judgements(lab, me)} == {("A ball of ice.", GOOD), ("Ice.", BAD)}
    say(desk, me, "And a star?")
    assert [m.content for m in lab.asked.aligned_history] == ["What is a comet?", "A ball of ice.", "And a star?"]
    assert [m.content for m in lab.asked.base_history] == ["What is a comet?", "It is ice.", "And a star?"]


def test_an_edit_can_be_taken_back_and_an_unchanged_one_is_refused(lab, desk, me):
    turn = say(desk, me).turns[-1]
    with pytest.raises(LabError, match="unchanged"):
        desk.edit(me, turn.id, "base", " It is ice. ")
    assert desk.edit(me, turn.id, "base", "Ice!").turns[-1].base.mark == EDITED
    assert desk.mark(me, turn.id, "base", GOOD).turns[-1].base.content == "It is ice."
    assert judgements(lab, me) == []


def test_a_judged_answer_keeps_its_own_sides_history_and_system_prompt(lab, desk, me, run):
    say(desk, me, settings=replace(SETTINGS, system="Be brief."))
    turn = say(desk, me, "And a star?", replace(SETTINGS, system="Be kind.")).turns[-1]
    desk.mark(me, turn.id, "aligned", BAD)
    (judgement,) = judgements(lab, me)
    assert [(m.role, m.content) for m in judgement.prompt] == [
        ("system", "Be kind."),
        ("user", "What is a comet?"),
        ("assistant", "Ice."),
        ("user", "And a star?"),
    ]


def test_what_happens_to_a_judgement_elsewhere_shows_in_the_chat(lab, desk, me):
    turn = say(desk, me).turns[-1]
    desk.mark(me, turn.id, "base", GOOD)
    (judgement,) = judgements(lab, me)
    lab.judgements.set_verdict(me, judgement.id, BAD)
    assert desk.reconcile(me).turns[-1].base.mark == BAD
    lab.judgements.delete(me, [judgement.id])
    assert desk.reconcile(me).turns[-1].base.mark == ""
    desk.mark(me, turn.id, "base", GOOD)
    assert len(judgements(lab, me)) == 1


def test_the_chat_survives_a_restart(lab, desk, me, run):
    turn = say(desk, me, settings=replace(SETTINGS, temperature=0.2)).turns[-1]
    chat = desk.mark(me, turn.id, "aligned", GOOD)
    again = Lab(lab.home)
    try:
        restored = again.chats.load(me)
    finally:
        again.close()
    assert restored == chat
    assert restored.turns[-1].aligned.mark == GOOD
    assert restored.settings.temperature == 0.2
    assert restored.turns[-1].base.logp_aligned == -2.5


def test_another_workspace_sees_and_judges_nothing(lab, desk, me):
    turn = say(desk, me).turns[-1]
    other = lab.owner_of(lab.new_workspace())
    assert desk.load(other) == Chat()
    for act in (lambda: desk.mark(other, turn.id, "base", GOOD), lambda: desk.edit(other, turn.id, "base", "x")):
        with pytest.raises(NotFound):
            act()
    assert judgements(lab, me) == judgements(lab, other) == []


@pytest.mark.parametrize("side", ["aligned", "neither"])
def test_an_answer_that_is_not_there_cannot_be_judged(lab, desk, me, side):
    turn = say(desk, me).turns[-1]
    with pytest.raises(LabError, match="no complete answer"):
        desk.mark(me, turn.id, side, GOOD)


def test_stop_keeps_the_partial_answer(lab, desk, me):
    desk.ask(me, "What is a comet?", SETTINGS)
    steps = desk.answer(me)
    next(steps)
    assert desk.is_live(me)
    stopped = desk.stop(me).turns[-1].base
    assert (stopped.text, stopped.finish) == ("It is", "stopped")
    assert not desk.is_live(me)
    list(steps)
    assert desk.load(me).turns[-1].base.logp_base == -1.0


def test_a_stream_that_breaks_off_keeps_the_partial_answer(lab, desk, me):
    desk.ask(me, "What is a comet?", SETTINGS)
    steps = desk.answer(me)
    next(steps)
    steps.close()
    assert lab.chats.load(me).turns[-1].base.text == "It is"
    assert not desk.is_live(me)


def test_a_second_message_waits_for_the_first_answer(lab, desk, me):
    desk.ask(me, "One?", SETTINGS)
    steps = desk.answer(me)
    next(steps)
    with pytest.raises(LabError, match="still being written"):
        desk.ask(me, "Two?", SETTINGS)
    with pytest.raises(LabError, match="no complete answer"):
        desk.mark(me, desk.load(me).turns[-1].id, "base", GOOD)
    steps.close()


def test_a_retry_replaces_the_answer_and_an_equal_one_keeps_its_thumb(lab, desk, me):
    turn = say(desk, me).turns[-1]
    desk.mark(me, turn.id, "base", GOOD)
    desk.ask_again(me, SETTINGS)
    list(desk.answer(me))
    (again,) = desk.load(me).turns
    assert again.id != turn.id
    assert again.base.mark == GOOD
    lab.answers = (("Rock.",), ("Rock.",))
    desk.ask_again(me, SETTINGS)
    list(desk.answer(me))
    assert (desk.load(me).turns[0].base.text, desk.load(me).turns[0].base.mark) == ("Rock.", "")


def test_a_failed_retry_brings_the_old_answer_back(lab, desk, me):
    before = say(desk, me).turns
    lab.error = LabError("Too long.")
    desk.ask_again(me, SETTINGS)
    with pytest.raises(LabError, match="Too long"):
        list(desk.answer(me))
    assert desk.load(me).turns == before


def test_clearing_keeps_judgements_and_settings(lab, desk, me):
    turn = say(desk, me, settings=replace(SETTINGS, system="Be brief.")).turns[-1]
    desk.mark(me, turn.id, "base", GOOD)
    cleared = desk.clear(me)
    assert (cleared.turns, cleared.settings.system) == ((), "Be brief.")
    assert len(judgements(lab, me)) == 1
    with pytest.raises(LabError, match="no message"):
        desk.ask_again(me, SETTINGS)


def test_nobodys_text_becomes_markup(lab, desk, me, run):
    lab.answers = ((NASTY,), (NASTY,))
    turn = say(desk, me, NASTY, replace(SETTINGS, system=NASTY)).turns[-1]
    desk.edit(me, turn.id, "base", NASTY + "!")
    drawn = draw_turns(desk.load(me), is_live=False, labels=(NASTY, NASTY), has_adapter=True)
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert drawn.count("&lt;script&gt;") >= 4


def test_each_answer_says_its_speed_and_likelihood_in_units(lab, desk, me, run):
    drawn = draw_turns(say(desk, me), is_live=False, labels=("base", "aligned"), has_adapter=True)
    assert "5.0 tokens/s" in drawn
    assert "base <b>\N{MINUS SIGN}1.00</b> · aligned <b>\N{MINUS SIGN}2.50</b> nats/token" in drawn
    assert "far likelier for the base model" in drawn


def test_without_an_adapter_the_base_answers_and_the_page_says_what_to_do(lab, desk, me):
    chat = say(desk, me)
    assert lab.asked.run_id is None
    assert chat.turns[-1].aligned is None
    assert words.NO_ADAPTER[:30] in draw_turns(chat, is_live=False, labels=("base", ""), has_adapter=False)


def test_the_chosen_adapter_answers_while_it_is_there(lab, me, run):
    add_run(lab, me, "run2")
    add_run(lab, me, "foreign", model="org/other")
    adapters = lab.runs.adapters(me)

    def chosen(adapter):
        choice = choose_adapter(replace(SETTINGS, adapter=adapter), adapters)
        return choice and choice.run_id

    assert chosen(ANY_ADAPTER) == "run2"
    assert chosen("run1/final") == chosen("run1/") == "run1"
    for gone in ("run1/checkpoint-9", "foreign/final", "gone/final", "gone/"):
        assert chosen(gone) is None  # never another one by itself
        assert replace(SETTINGS, adapter=gone).is_gone
    assert chosen(NO_ADAPTER) is None


@pytest.fixture
def page(lab):
    """The tab in a page of its own, with its handlers by name."""
    with gr.Blocks(analytics_enabled=False) as app:
        token, run_id = build_token(), gr.State("")
        with gr.Tabs() as tabs, gr.Tab("Chat"):
            part = tab.build(
                lab, Session(token=token, run_id=run_id, tabs=tabs, address=address.build(), beat=build_beat())
            )
    found = {fn.fn.__name__: fn.fn for fn in app.fns.values() if fn.fn is not None}
    return SimpleNamespace(app=app, redraw=part.redraw, token=lab.new_workspace(), **found)


def test_every_event_is_private_and_models_have_a_lane_of_their_own(page):
    assert {fn.api_visibility for fn in page.app.fns.values()} == {"private"}
    assert {fn.concurrency_id for fn in page.app.fns.values() if fn.fn and fn.fn.__name__ == "answer"} == {"chat"}


def test_a_message_is_sent_answered_and_judged(lab, page):
    page.send(page.token, " What is a comet? ", *VALUES)
    *_, last = page.answer(page.token)
    assert "It is ice." in last[0]
    turn_id = lab.chats.load(lab.owner_of(page.token)).turns[-1].id
    drawn = page.act(page.token, SimpleNamespace(act="preferred", turn=turn_id, side="base"))
    assert any(isinstance(value, gr.Button) and value.value == "Train on 1 new judgement" for value in drawn)
    assert len(drawn) == 4 + len(last) + 1  # the panel, the chat, and what has it drawn once more


def test_train_on_new_judgements_chooses_exactly_these(lab, page):
    owner = lab.owner_of(page.token)
    old = Judgement((Message("user", "Q"),), "old", GOOD, created_at="2020-01-01T00:00:00+00:00")
    lab.judgements.add(owner, "old", [old])
    lab.runs.register.add(owner, "earlier", "earlier", "2021-01-01T00:00:00+00:00")
    talk(page, adapter=NO_ADAPTER)
    turn_id = lab.chats.load(owner).turns[-1].id
    page.act(page.token, SimpleNamespace(act="preferred", turn=turn_id, side="base"))
    assert page.train(page.token).selected == "train"
    draft = load_draft(lab.drafts, owner)
    selection = [since_mark(draft.since), *({"old", "chat"} - set(draft.left_out))]
    assert [entry.collection for entry in find_selected(lab.judgements, owner, selection)] == ["chat"]


@pytest.mark.parametrize("message", ["", "  \n", "x" * 8001, None, 7])
def test_an_empty_or_too_long_message_is_refused(lab, page, message):
    with pytest.raises(gr.Error, match="Message"):
        page.send(page.token, message, *VALUES)
    assert lab.chats.load(lab.owner_of(page.token)) == Chat()


@pytest.mark.parametrize(("place", "value"), [(0, "other"), (2, 3), (3, 0), (4, 5000), (5, -1), (6, "x" * 2001)])
def test_settings_out_of_range_are_refused(page, place, value):
    values = (*VALUES[:place], value, *VALUES[place + 1 :])
    with pytest.raises(gr.Error):
        page.send(page.token, "Hello", *values)


def test_after_an_error_the_message_is_back_in_its_box(lab, page):
    page.send(page.token, "What is a comet?", *VALUES)
    lab.error = LabError("The conversation is too long.")
    steps = page.answer(page.token)
    drawn = next(steps)
    assert any(isinstance(v, gr.Textbox) and v.value == "What is a comet?" and v.interactive for v in drawn)
    with pytest.raises(gr.Error, match="too long"):
        next(steps)
    assert lab.chats.load(lab.owner_of(page.token)).turns == ()


def test_other_tokens_acts_and_sides_are_refused(lab, page):
    page.send(page.token, "What is a comet?", *VALUES)
    list(page.answer(page.token))
    turn_id = lab.chats.load(lab.owner_of(page.token)).turns[-1].id
    event = {"act": "preferred", "turn": turn_id, "side": "base"}
    for token, change in (
        (lab.new_workspace(), {}),
        ("forged", {}),
        (page.token, {"side": "x"}),
        (page.token, {"act": "delete"}),
        (page.token, {"turn": "0" * 32}),
    ):
        with pytest.raises(gr.Error):
            page.act(token, SimpleNamespace(**{**event, **change}))
    assert lab.runs.count_new_judgements(lab.owner_of(page.token)) == 0


def test_retry_takes_the_next_seed(lab, page):
    page.send(page.token, "What is a comet?", *VALUES)
    list(page.answer(page.token))
    assert page.retry(page.token, *VALUES)[0] == 1
    list(page.answer(page.token))
    assert lab.asked.seed == 1


def test_a_run_opened_elsewhere_is_the_one_to_chat_with(lab, page):
    owner = lab.owner_of(page.token)
    add_run(lab, owner, "old")
    add_run(lab, owner, "new")
    assert len(page.redraw.handler(page.token, "old")) == len(page.redraw.outputs)
    settings = lab.chats.load(owner).settings
    assert choose_adapter(settings, lab.runs.adapters(owner)).run_id == "old"
    assert page.redraw.handler(page.token, "")[1].value == "old/final"


def test_a_missing_model_is_said_with_the_way_to_fetch_it(lab, page):
    lab.model = ModelStatus("missing", "")
    drawn = dict(zip((part.elem_id for part in page.redraw.outputs), page.redraw.handler(page.token, ""), strict=True))
    assert drawn["chat-fetch"].visible
    assert common_words.MODEL_MISSING in drawn["chat-notice"].value


# --- a conversation keeps its model -----------------------------------------------------------------------------------


def add_checkpoint(lab, run_id, step, weights):
    folder = RunFolder(lab.home / "runs" / run_id)
    staging = folder.path / f"tmp-{step}"
    staging.mkdir()
    (staging / "adapter_model.safetensors").write_bytes(weights)
    seal_checkpoint(staging, folder.path / f"checkpoint-{step}")


def write_final(lab, run_id, weights):
    adapter = RunFolder(lab.home / "runs" / run_id).adapter
    shutil.rmtree(adapter)
    staging = adapter.parent / "tmp-final"
    staging.mkdir()
    (staging / "adapter_model.safetensors").write_bytes(weights)
    seal_checkpoint(staging, adapter)


@pytest.fixture
def mine(lab, page):
    """The workspace of the page, with a finished run."""
    owner = lab.owner_of(page.token)
    add_run(lab, owner, "run1")
    return owner


def talk(page, message="What is a comet?", adapter="run1/final"):
    page.send(page.token, message, "embedded", adapter, *VALUES[2:])
    *_, last = page.answer(page.token)
    return last


def shown(page, run_id=""):
    """What the tab shows when it is opened: value by element id, and the list of adapters."""
    drawn = page.redraw.handler(page.token, run_id)
    return dict(zip((part.elem_id for part in page.redraw.outputs), drawn, strict=True))


def test_a_conversation_stays_with_its_model_while_others_come_in(lab, page, mine):
    talk(page)
    for step in (5, 10):
        add_checkpoint(lab, "run1", step, b"other")
    add_run(lab, mine, "run2")
    for opened in ("", "run2"):
        assert shown(page, opened)["chat-adapter"].value == "run1/final"
    talk(page, "And a star?")
    assert (lab.asked.run_id, lab.asked.checkpoint) == ("run1", "final")
    assert {turn.aligned.by.split()[0] for turn in lab.chats.load(mine).turns} == {"run1"}


def test_the_list_is_live_and_the_choice_stays(lab, page, mine):
    talk(page)
    first = page.list_adapters(page.token, "", "")
    add_checkpoint(lab, "run1", 5, b"other")
    found, listed, *_ = page.list_adapters(page.token, "", first[0])
    assert "run1/checkpoint-5" in [value for _, value in listed.choices]
    assert "value" not in listed.constructor_args
    assert page.list_adapters(page.token, "", found)[1] == gr.skip()


def test_what_the_page_showed_is_what_answers_though_a_newer_run_came(lab, page, mine):
    assert shown(page)["chat-adapter"].value == "run1/final"
    add_run(lab, mine, "run2")
    talk(page)
    assert lab.asked.run_id == "run1"


def test_an_adapter_that_is_gone_is_refused_and_the_message_stays(lab, page, mine):
    add_checkpoint(lab, "run1", 5, b"other")
    talk(page, adapter="run1/checkpoint-5")
    shutil.rmtree(lab.home / "runs" / "run1" / "checkpoint-5")
    drawn = shown(page)["chat-adapter"]
    assert drawn.value == "run1/checkpoint-5"
    assert ("run1/checkpoint-5 (not here any more)", "run1/checkpoint-5") in drawn.choices
    with pytest.raises(gr.Error, match="not here any more"):
        page.send(page.token, "And a star?", "embedded", "run1/checkpoint-5", *VALUES[2:])
    assert len(lab.chats.load(mine).turns) == 1
    talk(page, "And a star?", adapter="run1/final")
    assert lab.asked.checkpoint == "final"


def test_an_adapter_that_goes_between_question_and_answer_is_not_left_out_silently(lab, page, mine):
    page.send(page.token, "What is a comet?", "embedded", "run1/final", *VALUES[2:])
    shutil.rmtree(lab.home / "runs" / "run1" / "adapter")
    with pytest.raises(gr.Error, match="not here any more"):
        list(page.answer(page.token))
    assert lab.chats.load(mine).turns == ()


def test_a_run_that_was_trained_further_does_not_answer_in_its_own_place(lab, page, mine):
    talk(page)
    write_final(lab, "run1", b"further")
    with pytest.raises(gr.Error, match="trained it further"):
        page.send(page.token, "And a star?", "embedded", "run1/final", *VALUES[2:])
    add_checkpoint(lab, "run1", 5, b"run1")  # the same weights by another name
    talk(page, "And a star?", adapter=shown(page)["chat-adapter"].value)
    assert lab.asked.checkpoint == "checkpoint-5"


def test_the_best_one_is_named_by_its_checkpoint_once_a_conversation_has_it(lab):
    offered = [
        AdapterChoice("r", "final", "", "aa", "embedded"),
        AdapterChoice("r", "best", "", "bb", "embedded"),
        AdapterChoice("r", "checkpoint-5", "", "bb", "embedded"),
    ]
    fixed = fix_adapter(replace(SETTINGS, adapter="r/best"), offered)
    assert (fixed.adapter, fixed.weights) == ("r/checkpoint-5", "bb")


def test_another_run_is_offered_and_taken_only_by_a_click(lab, page, mine):
    talk(page)
    add_run(lab, mine, "run2")
    assert shown(page)["chat-switch"].visible is False
    assert shown(page, "run2")["chat-switch"].visible is True
    page.switch(page.token, "run2")
    assert shown(page, "run2")["chat-switch"].visible is False
    assert shown(page, "run2")["chat-adapter"].value == "run2/final"


def test_a_conversation_begun_without_an_adapter_hears_of_the_first_one(lab, page):
    owner = lab.owner_of(page.token)
    talk(page, adapter=NO_ADAPTER)
    assert words.NO_ADAPTER[:30] in str(shown(page)["chat-log"])
    add_run(lab, owner, "run1")
    drawn = shown(page)
    assert (drawn["chat-adapter"].value, drawn["chat-switch"].visible) == (NO_ADAPTER, True)
    talk(page, "And a star?", adapter=NO_ADAPTER)
    assert lab.asked.run_id is None
    page.clear(page.token)
    assert shown(page)["chat-adapter"].value == "run1/final"  # a new conversation


def test_another_base_model_brings_an_adapter_that_fits_it(lab, page, mine):
    (lab.home / "models" / "tiny").mkdir(parents=True)
    (lab.home / "models" / "tiny" / "config.json").write_text("{}")
    add_run(lab, mine, "small", model="tiny")
    talk(page)
    drawn = page.change(page.token, "", "tiny", "run1/final", *VALUES[2:])
    assert drawn[0].value == "small/final"
    assert lab.chats.load(mine).settings.model == "tiny"
    again = page.change(page.token, "", "tiny", "small/final", 0.5, *VALUES[3:])
    assert "value" not in again[0]  # the list may hold by now what was chosen while this was under way


# --- asking -----------------------------------------------------------------------------------------------------------


def test_an_example_is_asked_when_it_is_clicked(lab, page):
    drawn = page.ask_example(page.token, SimpleNamespace(act="example", place="1"), *VALUES)
    assert drawn[0]  # which has it answered
    list(page.answer(page.token))
    (turn,) = lab.chats.load(lab.owner_of(page.token)).turns
    assert (turn.message, turn.base.text) == (words.EXAMPLES[1], "It is ice.")
    thumb = SimpleNamespace(act="preferred", turn=turn.id, side="base")
    assert set(map(str, page.ask_example(page.token, thumb, *VALUES))) == {str(gr.skip())}


@pytest.mark.parametrize("place", ["3", "-1"])
def test_an_example_that_is_not_offered_is_refused(page, place):
    with pytest.raises(gr.Error, match="Example"):
        page.ask_example(page.token, SimpleNamespace(act="example", place=place), *VALUES)


def test_nothing_that_is_typed_or_pasted_is_cut(page):
    boxes = [block for block in page.app.blocks.values() if isinstance(block, gr.Textbox)]
    assert len(boxes) == 3
    assert [box.max_length for box in boxes] == [None] * 3
    scripts = " ".join(str(fn.js) for fn in page.app.fns.values())
    for box, limit in (("chat-message", 8000), ("chat-edit-text", 20_000), ("chat-system", 2000)):
        assert f'"box": "{box}"' in scripts
        assert f'"limit": {limit}' in scripts


def test_a_message_waits_for_the_model_and_is_answered_once_it_has_come(lab, page):
    owner = lab.owner_of(page.token)
    lab.model = ModelStatus("missing", "")
    waiting = talk(page, adapter=NO_ADAPTER)
    assert words.WAITS_FOR_MODEL in waiting[0]
    assert lab.chats.is_unanswered(owner)
    with pytest.raises(gr.Error, match="still waits"):
        page.send(page.token, "And a star?", *VALUES)
    _, button, timer, seen, came = draw_values(lab)
    assert (button.visible, timer.active, came) == (True, True, gr.skip())
    lab.model = ModelStatus("fetching", "", 0.25)
    notice, button, timer, seen, came = page.look(page.token, seen)
    assert 'aria-valuenow="25"' in notice.value
    assert (button.visible, came) == (False, gr.skip())
    lab.model = ModelStatus("ready", "")
    notice, _, timer, seen, came = page.look(page.token, seen)
    assert (notice.visible, timer.active, seen) == (False, False, "")
    assert came != gr.skip()
    assert page.go_on(page.token)
    list(page.answer(page.token))
    assert lab.chats.load(owner).turns[-1].base.text == "It is ice."
    assert page.go_on(page.token) == gr.skip()


def test_a_fetch_that_failed_says_why_and_can_be_tried_again(lab, page):
    lab.model = ModelStatus("failed", "No network.")
    drawn = shown(page)
    assert "No network." in drawn["chat-notice"].value
    assert drawn["chat-fetch"].value == common_words.FETCH_AGAIN


def test_a_new_page_asks_for_no_answer_where_none_is_owed(lab):
    """Gradio sends the change of a first value, too."""
    owner = lab.owner_of(lab.new_workspace())
    lab.model = ModelStatus("ready", "")
    assert len(list(ChatPage(lab).stream(owner, 9))) == 1
    assert lab.chats.load(owner).turns == ()


def test_both_sides_come_from_the_real_engine(tmp_path, tiny_model_path, tiny_adapter_path):
    home = tmp_path / "home"
    shutil.copytree(tiny_model_path, home / "models" / "tiny")
    lab = Lab(home)
    try:
        owner = lab.owner_of(lab.new_workspace())
        add_run(lab, owner, "real", model="tiny", adapter=tiny_adapter_path)
        page = ChatPage(lab)
        lab.chats.ask(owner, "What is a comet?", replace(SETTINGS, model="tiny", max_new_tokens=8))
        *_, last = page.stream(owner, 9)
        turn = lab.chats.load(owner).turns[-1]
    finally:
        lab.close()
    assert turn.base.by == "tiny"
    assert turn.aligned.by.startswith("real · final · sha256 ")
    assert turn.base.text != turn.aligned.text
    assert turn.base.logp_base > turn.base.logp_aligned
    assert turn.aligned.logp_aligned > turn.aligned.logp_base
    assert "tokens/s" in last[0]
