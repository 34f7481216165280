"""What a person says about a file: every question can be answered, and a mapping file says it all again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bnf_lab.core.errors import ImportRefused
from bnf_lab.core.judgements import Verdict
from bnf_lab.data.importers import import_file
from bnf_lab.data.mapping import (
    ColumnMapping,
    ImportChoices,
    NothingThere,
    dump_choices,
    find_place,
    list_places,
    read_choices,
)
from bnf_lab.data.ratings import RatingRule
from bnf_lab.data.report import ImportReport

EVERYTHING = ImportChoices(
    layout="labels",
    part="train",
    decides="helpfulness",
    labels={"good": Verdict.PREFERRED, "bad": Verdict.DISPREFERRED, "meh": None},
    leave_out=("notes",),
    in_prompt=("passage",),
    columns=ColumnMapping("ratings", prompt="ask", response="data.text", rating="stars", weight="w"),
    turn_round=True,
    ratings=RatingRule(3.5, weighting="distance"),
)


def check(tmp_path: Path, rows: list[dict[str, Any]], **choices: Any) -> ImportReport:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return import_file(path, choices=ImportChoices(**choices))


def said(report: ImportReport) -> list[tuple[str, str]]:
    return [(j.response, str(j.verdict)) for j in report.judgements]


def test_a_mapping_file_says_everything_again(tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(dump_choices(EVERYTHING), encoding="utf-8")
    assert read_choices(path) == EVERYTHING
    path.write_text(dump_choices(ImportChoices()), encoding="utf-8")
    assert read_choices(path) == ImportChoices()
    assert json.loads(path.read_text(encoding="utf-8")) == {}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"ratings": 3}, "threshold a number"),
        ({"ratings": {"threshold": "high"}}, "threshold a number"),
        ({"ratings": {"threshold": True}}, "threshold a number"),
        ({"ratings": {"colour": 1}}, "threshold, centring, weighting"),
        ({"ratings": {"centring": "median"}}, "global and prompt"),
        ({"ratings": {"centring": []}}, "global and prompt"),
        ({"in_prompt": "passage"}, "lists of columns"),
        ({"in_prompt": [1]}, "lists of columns"),
    ],
)
def test_a_mapping_file_with_something_else_is_refused(record: dict[str, Any], words: str) -> None:
    with pytest.raises(ImportRefused, match=words):
        ImportChoices.from_dict(record)


RATED = [{"prompt": "a", "response": f"r{n}", "rating": n} for n in (1, 2, 4)]


def test_a_mapping_file_decides_how_ratings_count(tmp_path: Path) -> None:
    by_prompt = check(tmp_path, RATED, ratings=RatingRule(centring="prompt", weighting="distance"))
    assert [round(j.weight, 2) for j in by_prompt.judgements] == [0.8, 0.2, 1.0]
    path = tmp_path / "rows.jsonl"
    both = import_file(path, choices=ImportChoices(ratings=RatingRule(2)), rule=RatingRule(4))
    assert both.threshold == 2
    assert import_file(path, choices=ImportChoices(ratings=RatingRule(2)), threshold=4).threshold == 4


def test_a_column_can_belong_to_the_prompt(tmp_path: Path) -> None:
    rows = [
        {
            "question": f"What is in text {n}?",
            "letter": f"Dear reader, this is {n}",
            "chosen": "Yes.",
            "rejected": "No.",
        }
        for n in range(3)
    ]
    asked = check(tmp_path, rows)
    assert [q.kind for q in asked.questions] == ["column"]
    assert asked.key == "pairs"
    report = check(tmp_path, rows, in_prompt=("letter",))
    assert [j.prompt_text for j in report.judgements[::2]] == [
        f"What is in text {n}?\n\nDear reader, this is {n}" for n in range(3)
    ]
    assert report.unused == ()
    with pytest.raises(ImportRefused, match="'passage' is not in it"):
        check(tmp_path, rows, in_prompt=("passage",))


def test_a_column_of_the_prompt_may_be_blank_and_is_refused_where_it_is_no_text(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "more": more, "chosen": "a", "rejected": "b"} for more in ("this one", "", None, {"x": 1})]
    report = check(tmp_path, rows, in_prompt=("more",))
    assert [j.prompt_text for j in report.judgements[::2]] == ["q\n\nthis one", "q", "q"]
    assert [(r.row, r.column) for r in report.refused] == [(4, "more")]


CHOICE = [
    {"prompt": "q", "response_a": f"first {n}", "response_b": f"second {n}", "winner": winner}
    for n, winner in enumerate(("red", "blue", "grey"))
]


def test_which_of_two_answers_is_better_can_be_said(tmp_path: Path) -> None:
    (question,) = check(tmp_path, CHOICE).questions
    assert (question.kind, question.sides) == ("labels", ("response_a", "response_b"))
    assert [option.value for option in question.options] == ["red", "blue", "grey"]
    report = check(tmp_path, CHOICE, labels={"red": Verdict.PREFERRED, "blue": Verdict.DISPREFERRED, "grey": None})
    assert said(report) == [
        ("first 0", "preferred"),
        ("second 0", "dispreferred"),
        ("second 1", "preferred"),
        ("first 1", "dispreferred"),
    ]
    assert [r.row for r in report.refused] == [3]


def test_labels_at_a_path_are_asked_about_with_their_counts(tmp_path: Path) -> None:
    rows = [{"ask": "q", "data": {"text": f"t{n}", "mark": mark}} for n, mark in enumerate(("top", "top", "flop"))]
    columns = ColumnMapping("labels", prompt="ask", response="data.text", label="data.mark")
    (question,) = check(tmp_path, rows, columns=columns).questions
    assert [(option.value, option.label) for option in question.options] == [("top", "top (2)"), ("flop", "flop (1)")]


@pytest.mark.parametrize(
    ("part", "places"),
    [
        ("weight", {"weight": "data.heft"}),
        ("weight", {"weight": "data.text.deep"}),
        ("system", {"system": "data[].text"}),
        ("response", {"response": "answers[].txt"}),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_even_where_the_part_is_not_needed(
    tmp_path: Path, part: str, places: dict[str, str]
) -> None:
    rows = [{"ask": "q", "answers": [{"text": "a"}], "data": {"text": "t", "n": [1]}} for _ in range(2)]
    mapping = ColumnMapping("ratings", **{"prompt": "ask", "response": "data.text", "rating": "data.n", **places})
    with pytest.raises(NothingThere, match=f"there is no {part}") as refused:
        check(tmp_path, rows, columns=mapping)
    assert refused.value.part == part


def test_the_report_names_the_other_layouts_that_fit(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "completion": "a", "label": True, "rating": 3}]
    report = check(tmp_path, rows)
    assert report.key == "labels"
    assert [option.value for option in report.layouts] == ["ratings"]
    again = check(tmp_path, rows, layout="ratings")
    assert (again.key, [option.value for option in again.layouts]) == ("ratings", ["labels"])
    mapped = check(
        tmp_path, rows, columns=ColumnMapping("labels", prompt="prompt", response="completion", label="label")
    )
    assert [option.value for option in mapped.layouts] == ["labels", "ratings"]


def test_every_place_that_is_offered_leads_somewhere() -> None:
    row = {
        "id": 1,
        "Completions": [{"Response": "a", "Scores": {"help": 3}}, {"Response": "b"}],
        "data": {"a.b": 1, "": 2, "answer1": "x", "turns": [{"text": "y"}]},
        "preference.responses": ["a"],
        "deep": {"a": {"b": {"c": {"d": {"e": 1}}}}},
    }
    places = list_places([{"id": 2}, row])
    assert {"Completions[].Response", "Completions[].Scores.help", "data.answer1", "data.turns[].text"} <= set(places)
    assert "preference.responses" in places
    assert all(find_place(row, place) is not None for place in places)
    assert "deep.a.b.c.d" in places and "deep.a.b.c.d.e" not in places
    assert list_places([{f"c{n}": {"x": 1} for n in range(400)}])[-2:] == ("c149", "c149.x")
