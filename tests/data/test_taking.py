"""Rows into judgements: a row as a whole or not at all, in the rows' order, whatever its kind."""

from __future__ import annotations

import pytest

from bnf_lab.core.errors import ImportRefused
from bnf_lab.core.judgements import Message, Source, Verdict
from bnf_lab.data.drafts import Draft, Reading
from bnf_lab.data.formats.rows import Limits, Refusal, Row, RowProblem
from bnf_lab.data.layouts.plan import Plan
from bnf_lab.data.leftovers import Leftovers
from bnf_lab.data.ratings import RatingRule
from bnf_lab.data.survey import survey
from bnf_lab.data.taking import Intake, take_rows

ASKED = (Message("user", "q"),)
PAIR = Draft(ASKED, (("worse", Verdict.DISPREFERRED), ("better", Verdict.PREFERRED)), weight=0.5)
SINGLE = Draft(ASKED, (("alone", Verdict.DISPREFERRED),))
LOW, HIGH = Draft(ASKED, (("low", 1.0),)), Draft(ASKED, (("high", 5.0),))
RANKED = Draft((Message("user", "r"),), (("first", -1.0), ("second", -2.0)), is_ranked=True)


def read(values, reading):
    for draft in values["drafts"]:
        if isinstance(draft, str):
            raise RowProblem(draft, "drafts", "empty")
        yield draft


def take(*rows, limits=None, **changes):
    """Takes rows of drafts; a text among them is a problem."""
    table = [r if isinstance(r, Refusal) else Row(i, {"drafts": r}, f"row {i}") for i, r in enumerate(rows, start=1)]
    plan = Plan("a layout", read, frozenset({"drafts"}), len(rows), **changes)
    intake = Intake(Source.UPLOAD)
    take_rows(table, plan, Reading(100), Leftovers(survey(table), plan, ()), intake, limits or Limits())
    return intake


def said(intake):
    signed = [j.weight if j.is_preferred else -j.weight for j in intake.judgements]
    return list(zip(intake.rows, (j.response for j in intake.judgements), signed, strict=True))


def test_verdicts_pass_through_and_a_pair_shares_its_id():
    intake = take([PAIR], [SINGLE])
    assert intake.settle(RatingRule()) == ()
    assert said(intake) == [(1, "better", 0.5), (1, "worse", -0.5), (2, "alone", -1)]
    better, worse, alone = intake.judgements
    assert better.pair_id == worse.pair_id is not None
    assert alone.pair_id is None
    assert len({j.created_at for j in intake.judgements}) == 1


def test_rated_and_judged_rows_come_in_the_rows_order():
    intake = take([LOW], [PAIR], [HIGH], [RANKED])
    rated, ranked = intake.settle(RatingRule())
    assert [(row, text) for row, text, _ in said(intake)] == [
        (1, "low"),
        (2, "better"),
        (2, "worse"),
        (3, "high"),
        (4, "first"),
        (4, "second"),
    ]
    assert (rated.threshold, ranked.threshold, intake.n_taken) == (3, None, 4)


def test_a_row_is_refused_as_a_whole():
    intake = take([SINGLE, "it is empty."], [], Refusal(3, None, "unreadable"), [SINGLE])
    intake.settle(RatingRule())
    assert said(intake) == [(4, "alone", -1)]
    assert [(r.row, r.column) for r in intake.refused] == [(1, "drafts"), (2, None), (3, None)]
    assert "nothing in it is judged" in intake.refused[1].reason
    assert intake.kinds == {"empty": [1], "unjudged": [2]}


def test_a_row_with_a_verdict_is_not_also_refused_for_ratings_that_say_nothing():
    intake = take([SINGLE, LOW])
    (decided,) = intake.settle(RatingRule(centring="prompt"))
    assert (said(intake), decided.emptied, decided.flat) == ([(1, "alone", -1)], (), (1,))


def test_rows_that_belong_together_are_taken_refused_or_context():
    fates = [PAIR, None, RowProblem("it is lost.", "x")]
    intake = take([], [], [], read_table=lambda rows, reading: zip(rows, fates, strict=True))
    assert ([row for row, *_ in said(intake)], intake.n_taken, [r.row for r in intake.refused]) == ([1, 1], 2, [3])


def test_rows_that_share_a_prompt_share_one_object():
    intake = take([SINGLE], [Draft((Message("user", "q"),), (("b", Verdict.PREFERRED),))])
    assert intake.judgements[0].prompt is intake.judgements[1].prompt


def test_answers_are_limited():
    with pytest.raises(ImportRefused, match="more than 2 answers"):
        take([PAIR, SINGLE], limits=Limits(rows=1))
