"""The marking desk: judgements the moment they are made, pairs where they make sense, nothing lost on refresh."""

from __future__ import annotations

import html
import inspect
import json
import re
import threading
import time

import gradio as gr
import pytest

from bnf_lab.core.errors import ImportRefused, LabError
from bnf_lab.core.judgements import Verdict
from bnf_lab.data.demo_sets import find_demo_set, list_demo_sets
from bnf_lab.data.prompt_list import load_prompts, parse_prompts
from bnf_lab.lab.lab import Lab
from bnf_lab.lab.marking import AnswerSettings, Marking
from bnf_lab.lab.thumbs import Thumbs
from bnf_lab.ui.preferences.demo_cards import draw_example
from bnf_lab.ui.preferences.mark import build as build_mark
from bnf_lab.ui.preferences.tab import build as build_preferences
from tests.support.pages import build_page, handlers

GOOD, BAD = Verdict.PREFERRED, Verdict.DISPREFERRED
TWO = AnswerSettings(n=2, temperature=0.9, max_new_tokens=160, model="embedded")


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    lab.marking.save("me", Marking(("Why?",)).with_answers(["a", "b", "c"]))
    yield lab
    lab.close()


def counts(lab):
    found = lab.judgements.totals("me")
    return found.preferred, found.dispreferred, found.pairs


def test_one_answer_alone_is_enough(lab):
    lab.marking.mark("me", 1, GOOD)
    (stored,) = lab.judgements.find("me")
    assert (stored.judgement.response, stored.judgement.prompt_text, stored.collection) == ("b", "Why?", "marked")


def test_a_preferred_and_a_dispreferred_answer_make_a_pair_and_a_third_stays_alone(lab):
    lab.marking.mark("me", 0, GOOD)
    lab.marking.mark("me", 1, BAD)
    assert counts(lab) == (1, 1, 1)
    lab.marking.mark("me", 2, BAD)
    assert counts(lab) == (1, 2, 1)


def test_a_changed_mind_moves_the_verdict_and_the_pair(lab):
    lab.marking.mark("me", 0, GOOD)
    lab.marking.mark("me", 1, BAD)
    lab.marking.mark("me", 0, BAD)
    assert counts(lab) == (0, 2, 0)
    lab.marking.mark("me", 2, GOOD)
    assert counts(lab) == (1, 2, 1)


def test_the_same_verdict_again_takes_it_back(lab):
    lab.marking.mark("me", 0, GOOD)
    desk = lab.marking.mark("me", 0, GOOD)
    assert counts(lab) == (0, 0, 0)
    assert desk.candidates[0].mark == ""


def test_an_edit_is_a_pair_of_mine_over_the_original(lab):
    lab.marking.mark("me", 0, BAD)
    lab.marking.edit("me", 0, "a, but better")
    texts = {s.judgement.verdict: s.judgement.response for s in lab.judgements.find("me")}
    assert texts == {GOOD: "a, but better", BAD: "a"}
    assert counts(lab) == (1, 1, 1)


def test_an_unchanged_edit_and_a_missing_answer_are_refused(lab):
    with pytest.raises(LabError, match="unchanged"):
        lab.marking.edit("me", 0, " a ")
    with pytest.raises(LabError, match="no answer 4"):
        lab.marking.mark("me", 3, GOOD)
    with pytest.raises(LabError, match="no answer 1"):
        lab.marking.mark("somebody else", 0, GOOD)


def test_the_desk_survives_and_moves_through_its_prompts(lab):
    marked = lab.marking.mark("me", 0, GOOD)
    assert lab.marking.load("me") == marked
    desk = Marking(("one", "two"))
    assert desk.moved(1).prompt == "two"
    assert desk.moved(1).moved(1).prompt == ""
    assert desk.moved(1).moved(1).moved(1).prompts == ("one", "two", "")
    assert desk.moved(-1).prompt == "one"


def test_a_rewritten_prompt_drops_the_old_answers(lab):
    desk = lab.marking.load("me")
    assert desk.with_prompt("Why?").candidates == desk.candidates
    assert desk.with_prompt("How?").candidates == ()


BAD_LISTS = ["", "\n \n", '{"prompt": ""}', '{"prompt": 3}', "{nonsense", "x" * 8001, "a\n" * 1001]


@pytest.mark.parametrize("text", BAD_LISTS)
def test_a_bad_list_of_prompts_is_refused(text):
    with pytest.raises(ImportRefused):
        parse_prompts(text)


def test_a_list_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ImportRefused, match="UTF-8"):
        load_prompts(path, path.name)


def test_a_writing_that_ends_late_takes_no_mark_away(lab):
    desk = lab.marking.begin_writing("me", "How?", TWO)
    desk = desk.with_answers(["half", "half a"])
    lab.marking.keep_written("me", desk)
    marked = lab.marking.mark("me", 0, GOOD)  # the writing was stopped, and its end comes later
    lab.marking.keep_written("me", desk.with_answers(["half an answer", "half a"]))
    assert lab.marking.load("me") == marked
    lab.marking.turn("me", "How?", 1)
    lab.marking.keep_written("me", desk)
    assert lab.marking.load("me").candidates == ()


def test_marks_of_a_person_happen_in_the_order_in_which_they_came(lab, monkeypatch):
    press, order = Thumbs.press, []

    def press_slowly(self, owner, prompt, answers, place, verdict):
        time.sleep(0.02)
        order.append((place, verdict))
        return press(self, owner, prompt, answers, place, verdict)

    monkeypatch.setattr(Thumbs, "press", press_slowly)
    asked = [(i % 3, (GOOD, BAD)[i // 3 % 2]) for i in range(12)]
    threads = [threading.Thread(target=lab.marking.mark, args=("me", *mark)) for mark in asked]
    for thread in threads:
        thread.start()
        time.sleep(0.002)
    for thread in threads:
        thread.join()
    assert order == asked


def test_one_persons_mark_does_not_wait_for_anothers(lab, monkeypatch):
    lab.marking.save("you", Marking(("Why?",)).with_answers(["a"]))
    press, release = Thumbs.press, threading.Event()

    def press_when_released(self, owner, *values):
        assert owner == "you" or release.wait(60)
        return press(self, owner, *values)

    monkeypatch.setattr(Thumbs, "press", press_when_released)
    waiting = threading.Thread(target=lab.marking.mark, args=("me", 0, GOOD))
    waiting.start()
    assert lab.marking.mark("you", 0, GOOD).candidates[0].mark == GOOD
    release.set()
    waiting.join()
    assert counts(lab) == (1, 0, 0)


def test_answers_and_what_was_said_of_them_come_back_with_their_prompt(lab):
    lab.marking.save("me", Marking(("Why?", "How?")).with_answers(["a", "b"]))
    lab.marking.mark("me", 0, GOOD)
    assert lab.marking.turn("me", "Why?", 1).candidates == ()
    back = lab.marking.turn("me", "How?", -1)
    assert [(c.text, c.mark) for c in back.candidates] == [("a", GOOD), ("b", "")]
    lab.marking.mark("me", 1, BAD)  # and they can be judged on
    assert counts(lab) == (1, 1, 1)
    lab.marking.turn("me", "Why?", 1)
    (unit,) = lab.judgements.find_units("me")
    lab.judgements.set_verdicts("me", {j.id: j.verdict.flipped for j in unit.judgements})
    flipped = lab.marking.turn("me", "How?", -1)
    assert [c.mark for c in flipped.candidates] == [BAD, GOOD]
    lab.judgements.delete("me", [j.id for j in unit.judgements])
    assert [c.mark for c in lab.marking.load("me").candidates] == ["", ""]


def test_a_retyped_prompt_keeps_the_answers_to_the_old_one(lab):
    lab.marking.begin_writing("me", "Why not?", TWO)
    lab.marking.turn("me", "Why?", 1)
    assert [c.text for c in lab.marking.turn("me", "", -1).candidates] == ["a", "b", "c"]


def test_a_card_shows_the_text_and_the_verdict_that_are_stored(lab):
    card = lab.marking.edit("me", 0, "a, but better").candidates[0]
    assert (card.judged_text, card.text, card.verdict) == ("a, but better", "a", GOOD)
    (unit,) = lab.judgements.find_units("me")
    lab.judgements.set_response("me", unit.judgements[0].id, "a, rewritten in the table")
    lab.judgements.set_verdicts("me", {j.id: j.verdict.flipped for j in unit.judgements})
    card = lab.marking.load("me").candidates[0]
    assert (card.judged_text, card.verdict) == ("a, rewritten in the table", BAD)
    marked = lab.marking.mark("me", 1, GOOD).candidates[1]
    lab.judgements.set_response("me", marked.ids[0], "b, mended")
    card = lab.marking.load("me").candidates[1]
    assert (card.judged_text, card.text, card.verdict) == ("b, mended", "b", GOOD)
    assert lab.marking.mark("me", 1, GOOD).candidates[1].judged_text == "b"  # taken back: what the model wrote


# --- the page


@pytest.fixture
def page(lab):
    return build_page(lab, build_mark)


def call(page, name, *values):
    """Returns what a handler of the desk drew: its own outputs, then the notes."""
    handler = handlers(page.app, name)[0]
    result = handler(*values)
    return list(result)[-1] if inspect.isgenerator(result) else result


@pytest.mark.parametrize(("text", "found"), [("x" * 8001, "8,001 characters; at most 8,000"), (" ", "is empty")])
def test_a_prompt_is_refused_beside_its_box_and_stays_in_it(lab, page, text, found):
    token = lab.new_workspace()
    drawn = call(page, "write", token, text, 2, 0.9, 160, "embedded")
    note, *others = drawn[-5:]
    assert found in note
    assert 'id="mark-prompt-wrong" data-marks="true"' in note
    assert others == [""] * 4
    assert {str(update) for update in drawn[:-5]} == {str(gr.skip())}
    after = call(page, "redraw", token)  # runs after each writing, also one that was refused
    assert after[0].value is None


class SlowWriter:
    """Writes two steps to each prompt; what nobody waits for, only when it is allowed to."""

    def __init__(self):
        self.asked = []
        self.is_allowed = threading.Event()

    def write_candidates(self, messages, *, n, aside=None, **settings):
        prompt = messages[0].content
        self.asked.append(prompt)
        yield tuple(f"{prompt} {place} begun" for place in range(n))
        assert aside is None or self.is_allowed.wait(60)
        yield tuple(f"{prompt} {place} done" for place in range(n))


@pytest.fixture
def writer(lab, monkeypatch):
    writer = SlowWriter()
    monkeypatch.setattr(lab.writer, "write_candidates", writer.write_candidates)
    monkeypatch.setattr(lab.models, "missing", lambda model: None)
    yield writer
    writer.is_allowed.set()


def run(page, name, *values, place=0):
    """Returns everything that a handler of the desk drew, one after the other."""
    result = handlers(page.app, name)[place](*values)
    return list(result) if inspect.isgenerator(result) else [result]


def write_at(lab, page, prompts):
    token = lab.new_workspace()
    lab.marking.save(lab.owner_of(token), Marking(prompts))
    run(page, "write", token, prompts[0], 2, 0.9, 160, "embedded")
    return token, lab.owner_of(token)


def join_ahead():
    for thread in [thread for thread in threading.enumerate() if thread.name == "writing-ahead"]:
        thread.join(60)


def test_the_next_prompt_comes_with_its_answers_and_says_so(lab, page, writer):
    token, owner = write_at(lab, page, ("Why?", "How?", "When?"))
    writer.is_allowed.set()
    join_ahead()
    assert writer.asked == ["Why?", "How?"]
    (drawn,) = run(page, "turn", token, "Why?", place=1)
    assert "Prompt 2 of 3 Written while you judged." in drawn[1]
    assert (drawn[0].value, drawn[0].interactive, drawn[4].value) == ("How?", True, "Write again")
    assert "How? 1 done" in [getattr(part, "value", "") for part in drawn]
    run(page, "follow", token)
    join_ahead()
    assert writer.asked == ["Why?", "How?", "When?"]
    assert not lab.marking.mark(owner, 0, GOOD).candidates[1].mark
    run(page, "turn", token, "How?", place=1)
    (drawn,) = run(page, "turn", token, "When?", place=1)  # a blank page behind the last prompt
    assert "Written" not in drawn[1]
    run(page, "follow", token)
    assert writer.asked == ["Why?", "How?", "When?"]


def test_a_prompt_whose_answers_are_still_written_shows_how_they_come(lab, page, writer):
    token, owner = write_at(lab, page, ("Why?", "How?"))
    (drawn,) = run(page, "turn", token, "Why?", place=1)
    assert (drawn[0].value, drawn[0].interactive, drawn[3].interactive, drawn[5].visible) == (
        "How?",
        False,
        False,
        True,
    )
    following = handlers(page.app, "follow")[1](token)

    def allow_once_taken():
        while not lab.ahead._writing.is_taken:
            threading.Event().wait(0.001)
        writer.is_allowed.set()

    threading.Thread(target=allow_once_taken).start()
    steps = [[getattr(part, "value", "") for part in drawn] for drawn in following]
    assert "How? 1 done" in steps[-1]
    assert writer.asked == ["Why?", "How?"]
    assert [candidate.text for candidate in lab.marking.load(owner).candidates] == ["How? 0 done", "How? 1 done"]
    (after,) = run(page, "redraw", token)
    assert after[5].visible is False


def test_a_page_that_is_only_loaded_has_nothing_written(lab, page, writer):
    token = lab.new_workspace()
    lab.marking.save(lab.owner_of(token), Marking(("Why?", "How?")).with_answers(["a", "b"]))
    page.tab.redraw.handler(token, "")
    run(page, "follow", token)
    join_ahead()
    assert writer.asked == []


def test_no_box_clips_what_is_pasted(page, lab):
    boxes = [block for block in build_page(lab, build_preferences).app.blocks.values() if isinstance(block, gr.Textbox)]
    assert len(boxes) > 8
    assert {box.max_length for box in boxes} == {None}


def test_a_setting_is_refused_beside_itself(lab, page):
    drawn = call(page, "write", lab.new_workspace(), "Why?", 2, 0.9, 17.5, "embedded")
    assert [note != "" for note in drawn[-5:]] == [False, False, False, True, False]
    assert 'id="mark-length-wrong"' in drawn[-2]


def test_an_unchanged_edit_is_refused_beside_the_answer_until_it_is_right(lab, page):
    token = lab.new_workspace()
    lab.marking.save(lab.owner_of(token), Marking(("Why?",)).with_answers(["a", "b"]))
    save = handlers(page.app, "save")[0]
    *_, note = save(token, "a")
    assert "The answer is unchanged" in note
    *drawn, stamp, note = save(token, "a, <b>mine</b>")
    assert (note, bool(stamp)) == ("", True)
    card = [str(update) for update in drawn]
    assert any("your version preferred" in update for update in card)
    assert any("The model wrote:" in update for update in card)
    assert not any("<b>mine" in update for update in card)


def test_each_demo_set_shows_a_real_example_on_its_card():
    for demo in list_demo_sets():
        drawn = draw_example(demo.name)
        assert 'class="lab-chip preferred"' in drawn
        assert 'class="lab-chip dispreferred"' in drawn
        said = re.search(r'class="lab-answer-text">(.*?)</div>', drawn, re.S).group(1)
        text = html.unescape(re.sub("</?mark>", "", said))
        stored = find_demo_set(demo.name).read_text(encoding="utf-8")
        assert json.dumps(text, ensure_ascii=False)[1:-1] in stored
