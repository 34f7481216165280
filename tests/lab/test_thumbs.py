"""One rule of a thumb, whichever way it comes in: the marking desk with three answers, a chat with two."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bnf_lab.core.errors import LabError
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, group_units
from bnf_lab.lab.conversation import SIDES, Answer, Chat, Turn
from bnf_lab.lab.lab import Lab
from bnf_lab.lab.marking import Marking
from bnf_lab.lab.thumbs import EDITED, Markable, pair_up
from tests.support.pages import idle_lab

ME = "me"
GOOD, BAD = Verdict.PREFERRED, Verdict.DISPREFERRED
PROMPT = (Message("user", "Why?"),)


class MarkingWay:
    """Answers on the marking desk."""

    source, collection, texts = Source.MARKED, "marked", ("a", "b", "c")

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def offer(self, *texts: str) -> None:
        self.lab.marking.save(ME, Marking(("Why?",)).with_answers(texts))

    def press(self, place: int, verdict: Verdict) -> None:
        self.lab.marking.mark(ME, place, verdict)

    def rewrite(self, place: int, text: str) -> None:
        self.lab.marking.edit(ME, place, text)

    def answers(self) -> list[Markable]:
        return list(self.lab.marking.load(ME).candidates)


class ChatWay:
    """The two sides of a chat's turn."""

    source, collection, texts = Source.CHAT, "chat", ("a", "b")

    def __init__(self, lab: Lab) -> None:
        self.lab, self.turn_id = lab, ""

    def offer(self, *texts: str) -> None:
        base, aligned = (Answer(text, finish="end") for text in texts[:2])
        turn = Turn("Why?", base=base, aligned=aligned)
        self.turn_id = turn.id
        self.lab.chats._save(ME, Chat((turn,)))

    def press(self, place: int, verdict: Verdict) -> None:
        self.lab.chats.mark(ME, self.turn_id, SIDES[place], verdict)

    def rewrite(self, place: int, text: str) -> None:
        self.lab.chats.edit(ME, self.turn_id, SIDES[place], text)

    def answers(self) -> list[Markable]:
        (turn,) = self.lab.chats.reconcile(ME).turns
        return [answer for side in SIDES if (answer := turn.answer(side))]


@pytest.fixture(params=[MarkingWay, ChatWay])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with idle_lab(tmp_path / "home") as lab:
        way = request.param(lab)
        way.offer(*way.texts)
        yield way


def stored(way: Any) -> list[Judgement]:
    """What is on the disk, oldest first."""
    return [entry.judgement for entry in reversed(way.lab.judgements.find(ME))]


def marks(way: Any) -> list[str]:
    return [answer.mark for answer in way.answers()]


def test_a_thumb_is_a_judgement_of_what_the_model_wrote(way: Any) -> None:
    way.press(1, BAD)
    (entry,) = way.lab.judgements.find(ME)
    judgement = entry.judgement
    assert (judgement.prompt, judgement.response, judgement.verdict) == (PROMPT, "b", BAD)
    assert (judgement.source, entry.collection) == (way.source, way.collection)
    assert marks(way)[:2] == ["", BAD]


def test_the_same_thumb_again_takes_the_judgement_back(way: Any) -> None:
    for verdict in (GOOD, BAD):
        way.press(0, verdict)
        way.press(0, verdict)
        assert stored(way) == []
        assert set(marks(way)) == {""}


def test_the_other_thumb_turns_the_same_judgement_round(way: Any) -> None:
    way.press(0, GOOD)
    (before,) = stored(way)
    way.press(0, BAD)
    (after,) = stored(way)
    assert (after.id, after.created_at, after.verdict) == (before.id, before.created_at, BAD)
    assert marks(way)[0] == BAD


def test_opposite_thumbs_pair_up_and_part_again(way: Any) -> None:
    way.press(0, GOOD)
    way.press(1, GOOD)
    assert way.lab.judgements.totals(ME).pairs == 0
    way.press(0, BAD)
    (pair,) = group_units(stored(way))
    assert [j.response for j in pair] == ["b", "a"]
    way.press(1, BAD)
    assert way.lab.judgements.totals(ME).pairs == 0
    way.press(1, GOOD)
    assert way.lab.judgements.totals(ME).pairs == 1


def test_whatever_is_pressed_marks_and_disk_agree_and_every_pair_there_can_be_is_one(way: Any) -> None:
    rng = random.Random(0)  # noqa: S311 - the same walk each time
    expected = dict.fromkeys(way.texts, "")
    for _ in range(120):
        place, verdict = rng.randrange(len(way.texts)), rng.choice((GOOD, BAD))
        text = way.texts[place]
        way.press(place, verdict)
        expected[text] = "" if expected[text] == verdict else verdict
        assert marks(way) == list(expected.values())
        kept = {text: verdict for text, verdict in expected.items() if verdict}
        assert {j.response: j.verdict for j in stored(way)} == kept
        n_good, n_bad = (list(kept.values()).count(side) for side in (GOOD, BAD))
        totals = way.lab.judgements.totals(ME)
        assert (totals.preferred, totals.dispreferred, totals.pairs) == (n_good, n_bad, min(n_good, n_bad))


def test_a_pair_that_holds_is_not_torn_apart_for_a_third_answer(tmp_path: Path) -> None:
    with idle_lab(tmp_path / "home") as lab:
        way = MarkingWay(lab)
        way.offer("a", "b", "c")
        way.press(1, GOOD)
        way.press(2, BAD)
        held = {j.pair_id for j in stored(way)}
        way.press(0, BAD)
        assert {j.pair_id for j in stored(way) if j.response != "a"} == held
        way.press(1, GOOD)  # taken back: its partner and the third answer are both dispreferred
        assert lab.judgements.totals(ME).pairs == 0
        way.press(1, GOOD)
        assert lab.judgements.totals(ME).pairs == 1


def test_the_same_words_never_get_contradictory_verdicts(way: Any) -> None:
    way.offer("same", "same", "other")
    way.press(0, GOOD)
    assert marks(way)[:2] == [GOOD, GOOD]
    way.press(1, BAD)
    assert marks(way)[:2] == [BAD, BAD]
    assert [(j.response, j.verdict) for j in stored(way)] == [("same", BAD)]
    way.rewrite(0, "mine")
    assert marks(way)[:2] == [EDITED, EDITED]
    way.press(1, GOOD)
    assert stored(way) == []
    assert marks(way)[:2] == ["", ""]


def test_a_version_of_ones_own_is_a_pair_and_any_thumb_takes_it_back(way: Any) -> None:
    way.press(0, BAD)
    way.rewrite(0, "a, but better")
    assert [(j.response, j.verdict, j.source) for j in stored(way)] == [
        ("a, but better", GOOD, Source.EDIT),
        ("a", BAD, Source.EDIT),
    ]
    assert way.lab.judgements.totals(ME).pairs == 1
    assert (way.answers()[0].mark, way.answers()[0].edited) == (EDITED, "a, but better")
    way.rewrite(0, "a, better still")
    assert [j.response for j in stored(way)] == ["a, better still", "a"]
    way.press(1, GOOD)
    assert way.lab.judgements.totals(ME).pairs == 1, "an edit's halves keep to each other"
    for verdict in (GOOD, BAD):
        way.rewrite(0, "mine")
        way.press(0, verdict)
        assert (way.answers()[0].mark, way.answers()[0].edited) == ("", "")
        assert [j.response for j in stored(way)] == ["b"]


def test_a_version_that_changes_nothing_is_refused(way: Any) -> None:
    way.press(0, GOOD)
    with pytest.raises(LabError, match="unchanged"):
        way.rewrite(0, " a\n")
    assert marks(way)[0] == GOOD


def test_what_is_changed_in_the_table_counts_here(way: Any) -> None:
    way.press(0, GOOD)
    (judgement,) = stored(way)
    way.lab.judgements.set_verdict(ME, judgement.id, BAD)
    assert marks(way)[0] == BAD
    way.press(0, BAD)  # the verdict it has now: taken back
    assert stored(way) == []
    way.press(0, GOOD)
    way.lab.judgements.delete(ME, [stored(way)[0].id])
    assert marks(way)[0] == ""
    way.press(0, GOOD)  # given anew rather than taken back
    assert [j.verdict for j in stored(way)] == [GOOD]


def test_two_thumbs_at_the_same_moment_both_count(way: Any) -> None:
    for _ in range(15):
        way.offer(*way.texts)
        with ThreadPoolExecutor(len(way.texts)) as threads:
            list(threads.map(lambda place: way.press(place, (GOOD, BAD)[place % 2]), range(len(way.texts))))
        assert marks(way) == [(GOOD, BAD)[place % 2] for place in range(len(way.texts))]


def test_an_answer_that_is_not_there_cannot_be_judged(way: Any) -> None:
    way.offer("", "b", "c")
    for act in (way.press, way.rewrite):
        with pytest.raises(LabError, match="no complete answer|no answer 1"):
            act(0, GOOD)
    assert stored(way) == []


def test_a_desk_of_an_older_lab_opens_and_goes_on(tmp_path: Path) -> None:
    """It knew its pairs by itself, and gave a flipped judgement another id."""
    with idle_lab(tmp_path / "home") as lab:
        first, second = (Judgement(PROMPT, text, verdict, pair_id="p") for text, verdict in (("a", GOOD), ("b", BAD)))
        lab.judgements.add(ME, "marked", [first, second])
        old = [
            {"text": "a", "mark": "preferred", "ids": [first.id], "pair_id": "p"},
            {"text": "b", "mark": "dispreferred", "ids": [second.id], "pair_id": "p"},
            {"text": "c", "mark": "", "ids": [], "pair_id": ""},
        ]
        lab.drafts.save(ME, "mark", {"prompts": ["Why?"], "index": 0, "candidates": old})
        way = MarkingWay(lab)
        assert marks(way) == [GOOD, BAD, ""]
        way.press(0, BAD)
        way.press(2, GOOD)
        assert lab.judgements.totals(ME).pairs == 1
        assert {j.id for j in stored(way)} > {first.id, second.id}


def test_a_chat_of_an_older_lab_opens_and_goes_on(tmp_path: Path) -> None:
    """It gave both sides the turn's id as their pair's, whatever their verdicts."""
    with idle_lab(tmp_path / "home") as lab:
        way = ChatWay(lab)
        way.offer("a", "b")
        both = [Judgement(PROMPT, text, GOOD, pair_id=way.turn_id, source=Source.CHAT) for text in "ab"]
        lab.judgements.add(ME, "chat", both)
        record = lab.chats._records.load(ME, "current")
        for side, judgement in zip(SIDES, both, strict=True):
            record["turns"][0][side] |= {"mark": "preferred", "ids": [judgement.id]}
        lab.chats._records.save(ME, "current", record)
        assert marks(way) == [GOOD, GOOD]
        way.press(0, BAD)
        assert lab.judgements.totals(ME).pairs == 1
        way.press(0, BAD)
        assert [j.response for j in stored(way)] == ["b"]


def test_who_is_left_alone_keeps_the_pair_id_for_a_half_that_comes_back(tmp_path: Path) -> None:
    with idle_lab(tmp_path / "home") as lab:
        way = MarkingWay(lab)
        way.offer("a", "b", "c")
        way.press(0, GOOD)
        way.press(1, BAD)
        gone = next(j.id for j in stored(way) if j.response == "b")
        lab.judgements.delete(ME, [gone])
        way.press(2, GOOD)
        lab.judgements.restore(ME, [gone])
        assert lab.judgements.totals(ME).pairs == 1


def test_pairing_changes_nothing_but_pair_ids() -> None:
    verdicts = zip("abcde", (GOOD, BAD, BAD, GOOD, BAD), strict=True)
    judged = [Judgement(PROMPT, text, verdict) for text, verdict in verdicts]
    paired = pair_up(judged)
    assert [(j.id, j.verdict, j.response) for j in paired] == [(j.id, j.verdict, j.response) for j in judged]
    assert sorted(len(unit) for unit in group_units(paired)) == [1, 2, 2]
    assert pair_up(paired) == paired
    assert pair_up([]) == []
