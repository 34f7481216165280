"""From ratings and ranks to verdicts and weights, against numbers worked out by hand."""

from __future__ import annotations

import random

import pytest

from bnf_lab.core.errors import ImportRefused
from bnf_lab.core.judgements import Message, Verdict
from bnf_lab.data.drafts import Draft
from bnf_lab.data.ratings import RatingRule, decide, default_threshold

PROMPT_DISTANCE = RatingRule(centring="prompt", weighting="distance")


def table(*rows, is_ranked=False):
    """One row an answer: ("q", 3) or, with several answers, ("q", 3, 4, 5)."""
    return [
        (
            i,
            Draft(
                (Message("user", asked),),
                tuple((f"a{i}.{k}", float(r)) for k, r in enumerate(found)),
                is_ranked=is_ranked,
            ),
        )
        for i, (asked, *found) in enumerate(rows, start=1)
    ]


def signed(decided):
    """Returns (row, weight) of every answer, the weight below 0 where it is dispreferred."""
    return [
        (row.row, weight if verdict is Verdict.PREFERRED else -weight)
        for row in decided.taken
        for _, verdict, weight in row.answers
    ]


def test_one_threshold_and_equal_weights_by_default():
    (decided,) = decide(table(("q", 1), ("q", 2), ("r", 3), ("r", 5)), RatingRule())
    assert decided.threshold == 2.5
    assert signed(decided) == [(1, -1), (2, -1), (3, 1), (4, 1)]
    assert decided.how == "preferred from a rating of 2.5, dispreferred below; all weights 1"
    (decided,) = decide(table(("q", 1), ("q", 3), ("r", 5)), RatingRule())
    assert signed(decided) == [(1, -1), (2, 1), (3, 1)]  # the median itself counts as preferred
    assert (decided.emptied, decided.centred, decided.flat) == ((), (), ())


def test_weights_by_distance_from_one_threshold():
    (decided,) = decide(table(("q", 1), ("q", 3), ("r", 5), ("r", 2), ("r", 9)), RatingRule(3, weighting="distance"))
    assert signed(decided) == [(1, -2 / 6), (3, 2 / 6), (4, -1 / 6), (5, 1)]
    assert (decided.emptied, decided.centred, decided.flat) == ((2,), (2,), ())
    assert decided.how == "preferred above a rating of 3, dispreferred below; weights by distance"


def test_each_prompts_own_mean():
    rows = table(("easy", 8), ("hard", 2), ("easy", 10), ("hard", 1), ("easy", 6), ("hard", 3), ("easy", 6))
    (decided,) = decide(rows, RatingRule(centring="prompt"))  # means 7.5 and 2
    assert signed(decided) == [(1, 1), (3, 1), (4, -1), (5, -1), (6, 1), (7, -1)]
    assert (decided.emptied, decided.centred, decided.flat) == ((2,), (2,), ())
    assert (decided.threshold, decided.ratings) == (None, (8, 2, 10, 1, 6, 3, 6))
    assert decided.how == "preferred above each prompt's own mean, dispreferred below; all weights 1"
    assert signed(decide(rows, PROMPT_DISTANCE)[0]) == [
        (1, 0.5 / 2.5),
        (3, 1),
        (4, -1 / 2.5),
        (5, -1.5 / 2.5),
        (6, 1 / 2.5),
        (7, -1.5 / 2.5),
    ]


def test_single_answers_and_equal_ratings_tell_nothing_within_a_prompt():
    (decided,) = decide(table(("alone", 5), ("alike", 2), ("alike", 2), ("told", 1), ("told", 2)), PROMPT_DISTANCE)
    assert signed(decided) == [(4, -1), (5, 1)]
    assert (decided.emptied, decided.centred, decided.flat) == ((1, 2, 3), (), (1, 2))
    (decided,) = decide(table(("a", 1), ("b", 1, 1)), PROMPT_DISTANCE)
    assert (decided.taken, decided.flat) == ((), (1, 2))


def test_several_answers_in_a_row_are_no_pair_and_those_at_the_centre_are_left_out_alone():
    (decided,) = decide(table(("q", 1, 2, 3), ("r", 4, 0)), PROMPT_DISTANCE)
    assert signed(decided) == [(1, -0.5), (1, 0.5), (2, 1), (2, -1)]
    assert (decided.emptied, decided.centred) == ((), (1,))
    assert [text for text, *_ in decided.taken[0].answers] == ["a1.0", "a1.2"]


def test_ranks_follow_their_own_rule():
    (decided,) = decide(table(("q", -1), ("q", -2), ("q", -4), ("r", -2, -1), is_ranked=True), RatingRule(-2))
    assert [row for row, _ in signed(decided)] == [1, 2, 3, 4, 4]
    assert [weight for _, weight in signed(decided)] == pytest.approx([0.8, 0.2, -1, -0.3, 0.3])  # means 7/3 and 1.5
    assert (decided.threshold, decided.ratings) == (None, ())
    assert "within a prompt only" in decided.how


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_the_mean_of_decimals_is_their_middle(scale):
    assert (0.1 + 0.2 + 0.3) / 3 != 0.2
    (decided,) = decide(table(("q", 0.1 * scale), ("q", 0.2 * scale), ("q", 0.3 * scale)), PROMPT_DISTANCE)
    assert decided.centred == (2,)
    assert [row for row, _ in signed(decided)] == [1, 3]


def test_every_answer_is_weighed_within_bounds_or_counted_as_left_out():
    rng = random.Random(3)  # noqa: S311 - not for secrets
    for _ in range(200):
        scale = 10.0 ** rng.randrange(-300, 15)
        found = [
            [rng.choice((rng.random() * scale, 0, 9e14, -9e14, 5e-324)) for _ in range(rng.choice((1, 1, 3)))]
            for _ in range(rng.randrange(1, 9))
        ]
        rows = table(*((rng.choice("abc"), *numbers) for numbers in found))
        rule = RatingRule(centring=rng.choice(("global", "prompt")), weighting=rng.choice(("equal", "distance")))
        (decided,) = decide(rows, rule)
        assert all(0 < abs(weight) <= 1 for _, weight in signed(decided))
        assert sorted((*decided.emptied, *(row.row for row in decided.taken))) == [row for row, _ in rows]
        lost = sum(len(draft.answers) for _, draft in rows) - len(signed(decided))
        flat = {rows[row - 1][1].prompt for row in decided.flat}
        assert lost == len(decided.centred) + sum(len(d.answers) for _, d in rows if d.prompt in flat)


def test_ratings_and_ranks_of_one_table_are_decided_apart():
    rows = [*table(("q", 1), ("q", 5)), *table(("q", -1, -2), is_ranked=True)]
    rated, ranked = decide(rows, RatingRule())
    assert (signed(rated), rated.threshold) == ([(1, -1), (2, 1)], 3)
    assert (signed(ranked), ranked.threshold) == ([(1, 1), (1, -1)], None)
    assert decide([], RatingRule()) == ()


@pytest.mark.parametrize(("ratings", "threshold"), [([3], 3), ([1, 2], 1.5), ([5, 5, 1], 5), ([0, 0, 2, 4, 0], 2)])
def test_default_threshold(ratings, threshold):
    assert default_threshold(ratings) == threshold


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"centring": "row"}, "centring of ratings is 'row'; accepted are global and prompt"),
        ({"weighting": "rank"}, "weighting of ratings is 'rank'; accepted are equal and distance"),
        ({"threshold": float("inf")}, "finite number"),
        ({"threshold": 3, "centring": "prompt"}, "Leave one of them out"),
    ],
)
def test_a_rule_that_cannot_work_says_why(choices, words):
    with pytest.raises(ImportRefused, match=words):
        RatingRule(**choices)
