"""The marking desk: judgements the moment they are made, pairs where they make sense, nothing lost on refresh."""

from __future__ import annotations

import pytest

from bnf_lab.errors import ImportRefused, LabError
from bnf_lab.lab import Lab
from bnf_lab.preferences import Verdict
from bnf_lab.ui.marking import Marking, edit, load_marking, mark, save_marking, with_answers
from bnf_lab.ui.prompt_list import load_prompts, parse_prompts

GOOD, BAD = Verdict.PREFERRED, Verdict.DISPREFERRED


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    save_marking(lab, "me", with_answers(Marking(("Why?",)), ["a", "b", "c"]))
    yield lab
    lab.close()


def counts(lab):
    found = lab.store.count_judgements("me")
    return found.preferred, found.dispreferred, found.pairs


def test_one_answer_alone_is_enough(lab):
    mark(lab, "me", 1, GOOD)
    stored, = lab.store.list_judgements("me")
    assert (stored.judgement.response, stored.judgement.prompt_text, stored.collection) == ("b", "Why?", "marked")


def test_a_preferred_and_a_dispreferred_answer_make_a_pair_and_a_third_stays_alone(lab):
    mark(lab, "me", 0, GOOD)
    mark(lab, "me", 1, BAD)
    assert counts(lab) == (1, 1, 1)
    mark(lab, "me", 2, BAD)
    assert counts(lab) == (1, 2, 1)


def test_a_changed_mind_moves_the_verdict_and_the_pair(lab):
    mark(lab, "me", 0, GOOD)
    mark(lab, "me", 1, BAD)
    mark(lab, "me", 0, BAD)
    assert counts(lab) == (0, 2, 0)
    mark(lab, "me", 2, GOOD)
    assert counts(lab) == (1, 2, 1)


def test_the_same_verdict_again_takes_it_back(lab):
    mark(lab, "me", 0, GOOD)
    desk = mark(lab, "me", 0, GOOD)
    assert counts(lab) == (0, 0, 0)
    assert desk.candidates[0].mark == ""


def test_an_edit_is_a_pair_of_mine_over_the_original(lab):
    mark(lab, "me", 0, BAD)
    edit(lab, "me", 0, "a, but better")
    texts = {s.judgement.verdict: s.judgement.response for s in lab.store.list_judgements("me")}
    assert texts == {GOOD: "a, but better", BAD: "a"}
    assert counts(lab) == (1, 1, 1)


def test_an_unchanged_edit_and_a_missing_answer_are_refused(lab):
    with pytest.raises(LabError, match="unchanged"):
        edit(lab, "me", 0, " a ")
    with pytest.raises(LabError, match="no answer 4"):
        mark(lab, "me", 3, GOOD)
    with pytest.raises(LabError, match="no answer 1"):
        mark(lab, "somebody else", 0, GOOD)


def test_the_desk_survives_and_moves_through_its_prompts(lab):
    marked = mark(lab, "me", 0, GOOD)
    assert load_marking(lab, "me") == marked
    desk = Marking(("one", "two"))
    assert desk.moved(1).prompt == "two"
    assert desk.moved(1).moved(1).prompt == ""
    assert desk.moved(1).moved(1).moved(1).prompts == ("one", "two", "")
    assert desk.moved(-1).prompt == "one"


def test_a_rewritten_prompt_drops_the_old_answers(lab):
    desk = load_marking(lab, "me")
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
