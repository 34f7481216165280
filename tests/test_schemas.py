"""Schemas by content, and the column mapping where there is none."""

import pytest

from bnf_lab.errors import ImportRefused
from bnf_lab.rows import Refusal, Row
from bnf_lab.schemas import ColumnMapping, map_columns, recognise, survey

USER = {"role": "user", "content": "Hi"}
REPLY = {"role": "assistant", "content": "Hello"}
HH = "\n\nHuman: Hi\n\nAssistant: "
TALK = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]

CASES = [
    ("TRL preference", {"prompt": "a", "chosen": "b", "rejected": "c", "score": 3}),
    ("TRL preference", {"question": "a", "chosen": "b", "rejected": "c"}),
    ("TRL preference, conversational", {"prompt": [USER], "chosen": [REPLY], "rejected": [REPLY]}),
    ("TRL preference, conversational", {"prompt": "a", "chosen": [USER, REPLY], "rejected": [USER, REPLY]}),
    ("TRL preference, implicit prompt", {"chosen": "a b", "rejected": "a c"}),
    ("TRL preference, implicit prompt, conversational", {"chosen": [USER, REPLY], "rejected": [USER, REPLY]}),
    ("Anthropic HH transcripts", {"chosen": HH + "a", "rejected": HH + "b"}),
    ("TRL unpaired preference", {"prompt": "a", "completion": "b", "label": True}),
    ("TRL unpaired preference", {"prompt": "a", "completion": "b", "label": "1", "rating": 2}),
    ("TRL unpaired preference, conversational", {"prompt": [USER], "completion": [REPLY], "label": False}),
    ("ratings", {"prompt": "a", "response": "b", "rating": 3.5}),
    ("ratings", {"prompt": "a", "completion": "b", "score": "4"}),
    ("ratings", {"prompt": "a", "completion": "b", "score": 4, "rank": 1}),
    ("rankings", {"question": "a", "response": "b", "rank": 1}),
    ("rankings", {"prompt": [USER], "completion": [REPLY], "rank": "2"}),
    ("ratings, several answers a row", {"prompt": "a", "completions": ["b", "c"], "scores": [1, 2.5]}),
    ("ratings, several answers a row", {"prompt": "a", "answers": ["b", "c"], "ratings": [1, 2]}),
    ("rankings, several answers a row", {"prompt": "a", "responses": ["b", "c"], "ranks": [1, 2]}),
    ("rankings, several answers a row", {"prompt": [USER], "responses": [[REPLY], [REPLY]], "ranking": [1, 2]}),
    ("TRL preference", {"prompt": "a", "chosen": "b", "rejected": "c", "responses": ["b", "c"], "scores": [2, 1]}),
    ("Alpaca preference", {"instruction": "a", "input": "", "chosen": "b", "rejected": "c"}),
    ("Alpaca with kto_tag", {"instruction": "a", "input": "", "output": "b", "kto_tag": True}),
    ("ShareGPT preference", {"conversations": TALK[:1], "chosen": TALK[1], "rejected": TALK[1]}),
    ("ShareGPT with kto_tag", {"conversations": TALK, "kto_tag": True}),
    ("ShareGPT with kto_tag", {"messages": [USER, REPLY], "label": 0}),
]


def schema_of(*records):
    return recognise(survey(Row(i, values, f"row {i}") for i, values in enumerate(records, start=1)))


@pytest.mark.parametrize(("name", "record"), CASES)
def test_each_schema_is_recognised(name, record):
    assert schema_of(record).name == name


@pytest.mark.parametrize(("name", "record"), CASES)
def test_the_first_rows_do_not_decide(name, record):
    misleading = [{"id": 1}, dict.fromkeys(record), {"chosen": "x", "rejected": None}]
    assert schema_of(*misleading, record, record).name == name


def test_a_row_without_its_prompt_does_not_turn_the_file_into_one_with_implicit_prompts():
    pair = {"prompt": "a", "chosen": "b", "rejected": "c"}
    assert schema_of({"chosen": "b", "rejected": "c"}, {**pair, "prompt": None}, pair).name == "TRL preference"


def test_known_columns_with_useless_contents_are_still_recognised():
    assert schema_of({"prompt": 1, "chosen": None, "rejected": 2}).name == "TRL preference"


@pytest.mark.parametrize("record", [{}, {"text": "a"}, {"instruction": "a", "output": "b"}, {"ask": "a", "good": "b"}])
def test_unknown_columns_are_not_guessed(record):
    assert schema_of(record) is None


def test_survey_keeps_counts_columns_and_clipped_samples_only():
    rows = [Row(i, {"b": "x" * 1000, "a": "\x00", f"c{i}": 1}, "") for i in range(1, 400)]
    seen = survey([Refusal(1, None, "bad"), *rows])
    assert seen.n_rows == 400
    assert seen.columns[:3] == ("b", "a", "c1")
    assert len(seen.columns) == 200
    assert len(seen.sample_rows) == 5
    assert seen.sample_rows[0] == {"b": "x" * 199 + "…", "a": "\ufffd", "c1": "1"}


def test_mapping_names_the_columns():
    mapping = ColumnMapping("pairs", prompt="ask", preferred="good", dispreferred="bad")
    draft = (schema := map_columns(mapping, ("ask", "good", "bad"), "f")).read(
        {"ask": "a", "good": "b", "bad": "c"}, schema.columns, 100)
    assert [text for text, _ in draft.answers] == ["b", "c"]


@pytest.mark.parametrize(("answer", "rank", "answers"), [
    ("b", 2, [("b", -2)]),
    (["b", "c"], [2, 1], [("b", -2), ("c", -1)]),
])
def test_ranks_can_be_mapped_one_a_row_or_as_lists(answer, rank, answers):
    mapping = ColumnMapping("ranks", prompt="ask", response="said", rank="place")
    schema = map_columns(mapping, ("ask", "said", "place"), "f")
    assert schema.read({"ask": "a", "said": answer, "place": rank}, schema.columns, 100).answers == tuple(answers)


@pytest.mark.parametrize(("mapping", "words"), [
    (ColumnMapping("triples"), "pairs, labels, ratings, ranks"),
    (ColumnMapping("pairs", preferred="a"), "no column is chosen for dispreferred"),
    (ColumnMapping("labels", response="a"), "prompt and label"),
    (ColumnMapping("ratings", prompt="a", response="b", rating="zzz"), "no column 'zzz'"),
    (ColumnMapping("pairs", preferred="a", dispreferred="a"), "chosen for two parts"),
])
def test_a_mapping_that_cannot_work_says_why(mapping, words):
    with pytest.raises(ImportRefused, match=words):
        map_columns(mapping, ("a", "b"), "f.csv")
