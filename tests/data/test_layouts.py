"""Layouts by content, and the mapping of columns where there is none."""

from __future__ import annotations

import pytest

from bnf_lab.core.errors import ImportRefused
from bnf_lab.data.drafts import Reading
from bnf_lab.data.formats.rows import Refusal, Row
from bnf_lab.data.layouts.catalogue import find_layouts
from bnf_lab.data.layouts.plan import Wishes
from bnf_lab.data.mapping import ColumnMapping, ImportChoices, map_columns
from bnf_lab.data.survey import survey

USER = {"role": "user", "content": "Hi"}
REPLY = {"role": "assistant", "content": "Hello"}
HH = "\n\nHuman: Hi\n\nAssistant: "
TALK = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]

CASES = [
    ("TRL preference: pairs", {"prompt": "a", "chosen": "b", "rejected": "c", "score": 3}),
    ("TRL preference: pairs", {"question": "a", "chosen": "b", "rejected": "c"}),
    ("TRL preference: pairs of messages", {"prompt": [USER], "chosen": [REPLY], "rejected": [REPLY]}),
    ("TRL preference: pairs of messages", {"prompt": "a", "chosen": [USER, REPLY], "rejected": [USER, REPLY]}),
    ("TRL preference: pairs of messages, the prompt within", {"chosen": [USER, REPLY], "rejected": [USER, REPLY]}),
    ("Anthropic HH: pairs of transcripts", {"chosen": HH + "a", "rejected": HH + "b"}),
    ("TRL unpaired preference: judged answers", {"prompt": "a", "completion": "b", "label": True}),
    ("TRL unpaired preference: judged answers", {"prompt": "a", "completion": "b", "label": "1", "rating": 2}),
    ("TRL unpaired preference: judged answers", {"prompt": [USER], "completion": [REPLY], "label": False}),
    ("ratings", {"prompt": "a", "response": "b", "rating": 3.5}),
    ("ratings", {"prompt": "a", "completion": "b", "score": "4"}),
    ("rankings", {"question": "a", "response": "b", "rank": 1}),
    ("rankings", {"prompt": [USER], "completion": [REPLY], "rank": "2"}),
    ("ratings, several answers a row", {"prompt": "a", "completions": ["b", "c"], "scores": [1, 2.5]}),
    ("ratings, several answers a row", {"prompt": "a", "answers": ["b", "c"], "ratings": [1, 2]}),
    ("rankings, several answers a row", {"prompt": "a", "responses": ["b", "c"], "ranks": [1, 2]}),
    ("rankings, several answers a row", {"prompt": [USER], "responses": [[REPLY], [REPLY]], "ranking": [1, 2]}),
    (
        "TRL preference: pairs",
        {"prompt": "a", "chosen": "b", "rejected": "c", "responses": ["b", "c"], "scores": [2, 1]},
    ),
    ("TRL preference: pairs", {"instruction": "a", "input": "", "chosen": "b", "rejected": "c"}),
    ("ShareGPT or Alpaca with kto_tag", {"instruction": "a", "input": "", "output": "b", "kto_tag": True}),
    ("TRL preference: pairs of messages", {"conversations": TALK[:1], "chosen": TALK[1], "rejected": TALK[1]}),
    ("ShareGPT or Alpaca with kto_tag", {"conversations": TALK, "kto_tag": True}),
    ("TRL unpaired preference: judged answers", {"messages": [USER, REPLY], "label": 0}),
]


def layouts_of(*records):
    seen = survey(Row(i, values, f"row {i}") for i, values in enumerate(records, start=1))
    return [found.plan.name for found in find_layouts(seen, Wishes())]


@pytest.mark.parametrize(("name", "record"), CASES)
def test_each_layout_is_recognised(name, record):
    assert layouts_of(record) == [name]


@pytest.mark.parametrize(("name", "record"), CASES)
def test_the_first_rows_do_not_decide(name, record):
    misleading = [{"id": 1}, dict.fromkeys(record)]
    assert layouts_of(*misleading, record, record) == [name]


def test_two_layouts_that_fit_are_both_found():
    both = {"prompt": "a", "completion": "b", "score": 4, "rank": 1}
    assert layouts_of(both) == ["ratings", "rankings"]


def test_known_columns_with_useless_contents_are_still_recognised():
    assert layouts_of({"prompt": 1, "chosen": None, "rejected": 2}) == ["TRL preference: pairs"]


@pytest.mark.parametrize("record", [{}, {"text": "a"}, {"instruction": "a", "output": "b"}, {"ask": "a", "aye": "b"}])
def test_unknown_columns_are_not_guessed(record):
    assert layouts_of(record) == []


def test_survey_keeps_counts_columns_and_clipped_samples_only():
    rows = [Row(i, {"b": "x" * 1000, "a": "\x00", f"c{i}": 1}, "") for i in range(1, 400)]
    seen = survey([Refusal(1, None, "bad"), *rows])
    assert seen.n_rows == 400
    assert seen.names[:3] == ("b", "a", "c1")
    assert len(seen.names) == 200
    assert len(seen.sample_rows) == 5
    assert seen.sample_rows[0] == {"b": "x" * 199 + "…", "a": "\ufffd", "c1": "1"}


def plan_of(mapping, *records):
    rows = [Row(i, values, f"row {i}") for i, values in enumerate(records, start=1)]
    return map_columns(ImportChoices(columns=mapping), survey(rows), list(records), "f.csv")


def answers_of(mapping, record):
    (draft,) = plan_of(mapping, record).read(record, Reading(1000))
    return list(draft.answers)


def test_mapping_names_the_columns():
    mapping = ColumnMapping("pairs", prompt="ask", preferred="good", dispreferred="bad")
    assert [text for text, _ in answers_of(mapping, {"ask": "a", "good": "b", "bad": "c"})] == ["b", "c"]


@pytest.mark.parametrize(
    ("record", "response", "rank", "answers"),
    [
        ({"ask": "a", "said": "b", "place": 2}, "said", "place", [("b", -2)]),
        ({"ask": "a", "said": ["b", "c"], "place": [2, 1]}, "said", "place", [("b", -2), ("c", -1)]),
        (
            {"ask": "a", "all": [{"said": "b", "place": 2}, {"said": "c", "place": 1}]},
            "all[].said",
            "all[].place",
            [("b", -2), ("c", -1)],
        ),
        ({"ask": "a", "d": {"x": ["b"]}, "p.q": 1}, "d.x[0]", "p.q", [("b", -1)]),
    ],
)
def test_ranks_can_be_mapped_one_a_row_as_lists_and_by_paths(record, response, rank, answers):
    mapping = ColumnMapping("ranks", prompt="ask", response=response, rank=rank)
    assert answers_of(mapping, record) == answers


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        (ColumnMapping("triples"), "pairs, labels, ratings, ranks"),
        (ColumnMapping("pairs", preferred="a"), "no column is chosen for dispreferred"),
        (ColumnMapping("labels", response="a"), "prompt and label"),
        (ColumnMapping("ratings", prompt="a", response="b", rating="zzz"), "no column 'zzz'"),
        (ColumnMapping("pairs", preferred="a", dispreferred="a"), "chosen for two parts"),
    ],
)
def test_a_mapping_that_cannot_work_says_why(mapping, words):
    with pytest.raises(ImportRefused, match=words):
        plan_of(mapping, {"a": "1", "b": "2"})
