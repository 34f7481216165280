"""From a file to judgements and a report: every schema, every refusal, every warning, and files nobody meant."""

from __future__ import annotations

import json

import pytest

from bnf_lab.core.errors import ImportRefused, LabError
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair
from bnf_lab.data.export import write_trl_rows
from bnf_lab.data.formats.rows import Limits
from bnf_lab.data.importers import import_file
from bnf_lab.data.mapping import ColumnMapping, ImportChoices
from bnf_lab.data.ratings import RatingRule

HUMAN, GPT = {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}
USER = {"role": "user", "content": "Hi"}
REPLY, WORSE = ({"role": "assistant", "content": text} for text in ("Hello", "What"))
HH = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Why\n\nAssistant:"


@pytest.fixture
def take(tmp_path):
    def take(*records, name="pairs.jsonl", **options):
        lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
        (tmp_path / "upload").write_text("\n".join(lines), encoding="utf-8")
        return import_file(tmp_path / "upload", name=name, **options)

    return take


def mapped(kind, **places):
    return ImportChoices(columns=ColumnMapping(kind, **places))


def said(judgement):
    return [(m.role, m.content) for m in judgement.prompt], judgement.response


def pair(i=0, **changes):
    return {"prompt": f"question {i}", "chosen": f"good {i}", "rejected": f"poor {i}", **changes}


HI, TURNS = [("user", "Hi")], [("user", "Hi"), ("assistant", "Yes?"), ("user", "Why")]


@pytest.mark.parametrize(
    ("record", "prompt", "preferred", "dispreferred"),
    [
        ({"prompt": "Hi", "chosen": "a", "rejected": "b"}, HI, "a", "b"),
        (
            {"prompt": "Hi", "chosen": " a\n", "rejected": "b", "system": "Be kind"},
            [("system", "Be kind"), *HI],
            " a\n",
            "b",
        ),
        ({"prompt": [USER], "chosen": [REPLY], "rejected": [WORSE]}, HI, "Hello", "What"),
        ({"prompt": "Hi", "chosen": [USER, REPLY], "rejected": [USER, WORSE]}, HI, "Hello", "What"),
        ({"prompt": [USER], "chosen": [USER, REPLY], "rejected": [USER, WORSE]}, HI, "Hello", "What"),
        ({"chosen": [USER, REPLY], "rejected": [USER, WORSE]}, HI, "Hello", "What"),
        ({"chosen": HH + " a", "rejected": HH + " b"}, TURNS, "a", "b"),
        ({"prompt": HH, "chosen": " a", "rejected": " b"}, TURNS, " a", " b"),
        ({"prompt": HH, "chosen": HH + " a", "rejected": HH + " b"}, TURNS, "a", "b"),
        ({"instruction": "Hi", "input": "", "chosen": "a", "rejected": "b"}, HI, "a", "b"),
        (
            {
                "instruction": "Sum",
                "input": "1+1",
                "system": "s",
                "history": [["p", "q"]],
                "chosen": "a",
                "rejected": "b",
            },
            [("system", "s"), ("user", "p"), ("assistant", "q"), ("user", "Sum\n1+1")],
            "a",
            "b",
        ),
        ({"conversations": [HUMAN], "chosen": GPT, "rejected": {"from": "gpt", "value": "b"}}, HI, "Hello", "b"),
        ({"conversations": [{"from": "system", "value": ""}, HUMAN], "chosen": "a", "rejected": "b"}, HI, "a", "b"),
    ],
)
def test_every_kind_of_pair(take, record, prompt, preferred, dispreferred):
    report = take(record)
    assert report.refused == ()
    assert (report.n_rows, report.taken) == (1, 1)
    first, second = report.judgements
    assert said(first) == (prompt, preferred)
    assert said(second) == (prompt, dispreferred)
    assert (first.verdict, second.verdict) == (Verdict.PREFERRED, Verdict.DISPREFERRED)
    assert first.pair_id == second.pair_id is not None


@pytest.mark.parametrize("label", [True, False, 1, 0, "true", "False", "TRUE", "0", "1"])
@pytest.mark.parametrize("shape", ["plain", "conversational", "kto", "alpaca"])
def test_every_kind_of_single_answer(take, label, shape):
    report = take(
        {
            "plain": {"prompt": "Hi", "completion": "Hello", "label": label},
            "conversational": {"prompt": [USER], "completion": [REPLY], "label": label},
            "kto": {"conversations": [HUMAN, GPT], "kto_tag": label},
            "alpaca": {"instruction": "Hi", "input": "", "output": "Hello", "kto_tag": label},
        }[shape]
    )
    (judgement,) = report.judgements
    assert said(judgement) == (HI, "Hello")
    assert judgement.is_preferred == (str(label).lower() in ("true", "1"))
    assert judgement.pair_id is None
    assert judgement.source is Source.UPLOAD


@pytest.mark.parametrize("label", ["", None, "nan", [], {}])
def test_a_row_without_a_label_is_refused(take, label):
    good = {"prompt": "Hi", "completion": "Hello", "label": True}
    report = take(good, {**good, "label": label})
    (refused,) = report.refused
    assert (report.taken, refused.row, refused.column) == (1, 2, "label")
    assert refused.reason == "row 2, column 'label': the label is missing. Fill it or delete the row."


@pytest.mark.parametrize("label", ["yes", "good", 2, -1, 1.5, "maybe"])
def test_a_third_value_among_labels_is_asked_about(take, label):
    good = {"prompt": "Hi", "completion": "Hello", "label": True}
    report = take(good, {**good, "label": label})
    assert (report.taken, report.judgements) == (0, ())
    (question,) = report.questions
    assert question.kind == "labels"
    assert {option.value for option in question.options} == {"true", str(label)}
    said = ImportChoices(labels={"true": Verdict.PREFERRED, str(label): Verdict.DISPREFERRED})
    assert [j.is_preferred for j in take(good, {**good, "label": label}, choices=said).judgements] == [True, False]


@pytest.mark.parametrize(
    ("values", "preferred"),
    [
        ((1.0, 0.0), 1.0),
        (("1.0", "0"), "1.0"),
        ((1, -1), 1),
        (("good", "bad"), "good"),
        (("chosen", "rejected"), "chosen"),
        (("Yes", " no "), "Yes"),
        (("up", "down"), "up"),
        (("Thumbs Up", "thumbs_down"), "Thumbs Up"),
        (("\U0001f44d", "\U0001f44e"), "\U0001f44d"),
        (("TRUE ", False), "TRUE "),
    ],
)
def test_a_columns_vocabulary_tells_its_labels(take, values, preferred):
    report = take(*({"prompt": "Hi", "completion": f"a{i}", "label": value} for i, value in enumerate(values)))
    assert report.refused == ()
    assert [j.is_preferred for j in report.judgements] == [value == preferred for value in values]
    assert report.notes[-1].startswith("labels: ")


@pytest.mark.parametrize(
    ("bad", "column", "words"),
    [
        (pair(chosen=""), "chosen", "empty"),
        (pair(rejected=" \n"), "rejected", "empty"),
        (pair(prompt=None), "prompt", "missing"),
        ({"chosen": "a", "rejected": "b"}, "prompt", "missing"),
        (pair(chosen=True), "chosen", "text is needed"),
        (pair(chosen=["a", "b"]), "chosen", "message 1 is 'a'"),
        (pair(chosen=[]), "chosen", "list of messages"),
        (pair(chosen={"text": "a"}), "chosen", "list of messages"),
        (pair(chosen=[{"role": "assistant", "content": None}]), "chosen", "missing"),
        (pair(chosen=[{"role": "narrator", "content": "a"}]), "chosen", "role 'narrator'"),
        (pair(chosen=[{"role": "user", "content": "a"}]), "chosen", "does not end with the assistant"),
        (pair(prompt=[REPLY]), "prompt", "no message of the user"),
        (pair(prompt=[USER, REPLY]), "prompt", "user's must come last"),
        (pair(prompt=[USER, {"role": "system", "content": "s"}, USER]), "prompt", "system message"),
        (pair(chosen=[USER, REPLY], rejected=[USER, WORSE]), "prompt", "not the prompt"),
        (pair(rejected="good 0"), "rejected", "says the same"),
        (pair(rejected="good 0 "), "rejected", "says the same"),
        (pair(chosen="a\x00b"), "chosen", "NUL"),
        ('{"prompt": "a", "chosen": "\\ud800", "rejected": "b"}', "chosen", "half a character"),
        (pair(prompt="x" * 100_001), "prompt", "100,001 characters; a field may have 100,000"),
    ],
)
def test_a_bad_row_is_refused_with_row_column_and_remedy(take, bad, column, words):
    report = take(pair(1), bad, pair(2), pair(3))
    (refused,) = report.refused
    assert (report.taken, report.n_rows, len(report.judgements)) == (3, 4, 6)
    assert (refused.row, refused.column) == (2, column)
    assert refused.reason.startswith(f"row 2, column '{column}': ")
    assert words in refused.reason
    assert len(refused.reason) <= 500


@pytest.mark.parametrize(
    ("chosen", "rejected", "words"),
    [
        (HH + " a", HH.replace("Yes", "No") + " b", "differs"),
        (HH + " a", HH, "does not end with the assistant"),
        (HH + " a\n\nHuman: and?", HH + " b", "does not end with the assistant"),
        (HH.replace("Yes?", " ") + " a", HH.replace("Yes?", "") + " b", "turn 2 of the transcript is empty"),
        (HH + " a", "\n\nHuman: Hi\n\nAssistant: b", "differs"),
    ],
)
def test_a_broken_transcript_is_refused(take, chosen, rejected, words):
    report = take(
        *({"chosen": HH + f" a{i}", "rejected": HH + " b"} for i in range(3)), {"chosen": chosen, "rejected": rejected}
    )
    assert report.layout == "Anthropic HH: pairs of transcripts"
    assert (report.taken, report.refused[0].row) == (3, 4)
    assert words in report.refused[0].reason


def test_a_common_beginning_is_no_prompt(take):
    report = take({"chosen": "The answer is four.", "rejected": "The answer is five."})
    assert (report.taken, report.refused[0].column) == (0, "chosen")
    assert "there is no prompt" in report.refused[0].reason


def rated(*scores):
    return [{"prompt": f"q{i}", "response": f"a{i}", "score": score} for i, score in enumerate(scores)]


def test_ratings_become_verdicts_from_the_threshold_on(take):
    report = take(*rated(1, 2, "3", 4.5, 5))
    assert report.ratings == (1, 2, 3, 4.5, 5)
    assert report.threshold == 3
    assert [j.is_preferred for j in report.judgements] == [False, False, True, True, True]
    report = take(*rated(1, 2, "3", 4.5, 5), threshold=4.5)
    assert (report.threshold, [j.is_preferred for j in report.judgements]) == (4.5, [False, False, False, True, True])


@pytest.mark.parametrize("score", ["high", "", None, True, [5], "nan", "inf", "1_0", "0x1", 10**400, "٣"])
def test_nothing_but_a_finite_number_is_a_rating(take, score):
    report = take(*rated(1, 5), {"prompt": "q", "response": "a", "score": score})
    assert (report.taken, report.refused[0].row, report.refused[0].column) == (2, 3, "score")
    with pytest.raises(ImportRefused, match="threshold"):
        take(*rated(1), threshold=float("nan"))


def ranked(asked, *ranks):
    return [{"prompt": asked, "completion": f"{asked} {rank}", "rank": rank} for rank in ranks]


def listed(asked, numbers, name="ranks", **changes):
    return {"prompt": asked, "responses": [f"{asked} {number}" for number in numbers], name: numbers, **changes}


def weighed(report):
    assert all(judgement.pair_id is None for judgement in report.judgements)
    return {j.response: j.weight if j.is_preferred else -j.weight for j in report.judgements}


def test_the_rule_for_ratings_can_be_chosen(take):
    rows = [*rated(1, 2, 3, 5), *({"prompt": "q0", "response": f"b{score}", "score": score} for score in (5, 9))]
    report = take(*rows, rule=RatingRule(weighting="distance"), threshold=3)
    assert weighed(report) == {"a0": -2 / 6, "a1": -1 / 6, "a3": 2 / 6, "b5": 2 / 6, "b9": 1}
    assert (report.taken, report.threshold, report.how) == (
        5,
        3,
        "preferred above a rating of 3, dispreferred below; weights by distance",
    )
    assert "1 answer left out (row 3): rated 3, the threshold itself" in report.warnings[0]
    report = take(*rows, rule=RatingRule(centring="prompt"))
    assert weighed(report) == {"a0": -1, "b9": 1}
    assert (report.taken, report.n_rows, report.threshold) == (2, 6, None)
    assert [(refused.row, refused.column) for refused in report.refused] == [(i, "score") for i in (2, 3, 4, 5)]
    assert report.warnings[0].startswith("3 prompts left out (rows 2, 3 and 4): a single answer, or answers that are ")
    assert report.warnings[1].startswith("1 answer left out (row 5): rated exactly as the answers to the prompt are ")
    assert all("centring 'global'" in warning for warning in report.warnings)
    with pytest.raises(ImportRefused, match="Leave one of them out"):
        take(*rows, rule=RatingRule(centring="prompt"), threshold=3)


@pytest.mark.parametrize(
    "rows",
    [
        [*ranked("q", 1, "2", 4), *ranked("r", 2, 1)],
        [listed("q", [1, "2", 4]), listed("r", [2, 1])],
        [listed("q", [1, 2, 4], "ranking"), listed("r", [2, 1], "ranking")],
    ],
    ids=["one answer a row", "lists", "ranking"],
)
def test_ranks_are_weighed_within_each_prompt(take, rows):
    report = take(*rows, rule=RatingRule(5))
    assert weighed(report) == pytest.approx({"q 1": 0.8, "q 2": 0.2, "q 4": -1, "r 1": 0.3, "r 2": -0.3})
    assert (report.refused, report.warnings, report.ratings, report.threshold) == ((), (), (), None)
    assert report.how.startswith("ranks (1 = best): preferred where better than their prompt's mean rank")
    assert report.layout.startswith("rankings")


def test_the_middle_of_three_ranks_is_left_out(take):
    report = take(*ranked("q", 1, 2, 3), listed("r", [2, 1, 3]), *ranked("s", 1))
    assert weighed(report) == {"q 1": 1, "q 3": -1}
    assert [refused.row for refused in report.refused] == [2, 4, 5]  # row 4 has no answer in the column of the others
    report = take(listed("q", [1, 2, 3]), listed("r", [1]), listed("s", [2, 2]))
    assert (weighed(report), report.taken, [r.row for r in report.refused]) == ({"q 1": 1, "q 3": -1}, 1, [2, 3])
    assert "2 prompts left out (rows 2 and 3)" in report.warnings[0]
    assert "1 answer left out (row 1)" in report.warnings[1]
    assert "Rank one more answer" in report.warnings[1]


@pytest.mark.parametrize("name", ["scores", "ratings"])
def test_lists_of_ratings_obey_the_threshold_and_make_no_pair(take, name):
    rows = listed("q", [5, 1], name), listed("r", [4, 3.5], name)
    report = take(*rows)
    assert (report.threshold, report.ratings) == (3.75, (5, 1, 4, 3.5))
    assert weighed(report) == {"q 5": 1, "q 1": -1, "r 4": 1, "r 3.5": -1}
    assert weighed(take(*rows, rule=RatingRule(centring="prompt", weighting="distance"))) == {
        "q 5": 1,
        "q 1": -1,
        "r 4": 0.125,
        "r 3.5": -0.125,
    }


def test_answers_in_lists_may_be_messages(take):
    report = take({"prompt": "Hi", "completions": [[USER, REPLY], [WORSE], "Huh"], "ranks": [1, 2.5, 2.5]})
    assert [said(j) for j in report.judgements] == [(HI, "Hello"), (HI, "What"), (HI, "Huh")]
    assert [j.weight for j in report.judgements] == [1, 0.5, 0.5]


@pytest.mark.parametrize(
    ("bad", "column", "words"),
    [
        (listed("x", [0, 1]), "ranks", "entry 1: found 0; a rank is a number from 1"),
        (listed("x", [1, True]), "ranks", "entry 2: found True"),
        (listed("x", [1, None]), "ranks", "entry 2: found nothing"),
        (listed("x", [1, 2], responses=["a", " "]), "responses", "entry 2: it is empty"),
        (listed("x", [1, 2], responses=["a", {"b": 1}]), "responses", "entry 2: a list of messages"),
        (listed("x", [1, 2], responses=["a"]), "ranks", "found [1, 2] for the 1 answer "),
        (listed("x", [1, 2], responses="a"), "ranks", "found [1, 2]; a rank is a number"),
        (listed("x", [1, 2], responses=["a", "b"], ranks=1), "ranks", "found 1 for the 2 answers"),
        (listed("x", [1], responses=None), "responses", "missing"),
        (listed("x", []), "responses", "the list is empty"),
        (listed("x", [1, 2], prompt=""), "prompt", "empty"),
        (
            listed("x", [1, 2], responses=[[USER, REPLY], [{**USER, "content": "Bye"}, USER, WORSE]], prompt=[USER]),
            "responses",
            "the conversations differ",
        ),
    ],
)
def test_a_bad_ranking_is_refused_with_row_column_and_remedy(take, bad, column, words):
    report = take(listed("q", [1, 2]), bad, listed("r", [2, 1]))
    assert (report.taken, report.n_rows) == (2, 3)
    (refused,) = report.refused
    assert (refused.row, refused.column) == (2, column)
    assert words in refused.reason


def test_a_ratings_size_is_bounded_so_that_means_are_finite(take):
    report = take(*rated(1, 5, "1e300", 1e300, -1e15, "9.9e14"), rule=RatingRule(weighting="distance"))
    assert [refused.row for refused in report.refused] == [2, 3, 4, 5]
    assert report.threshold == 5


def test_lists_do_not_get_around_the_limit_of_rows(take):
    rows = listed("q", [1, 2]), listed("r", [1, 2, 3])
    with pytest.raises(ImportRefused, match="more than 4 answers"):
        take(*rows, limits=Limits(rows=2))
    assert len(take(rows[0], listed("r", [1, 2]), limits=Limits(rows=2)).judgements) == 4


def test_unknown_columns_ask_for_a_mapping_and_the_mapping_imports_them(take):
    rows = [{"ask": f"q{i}", "aye": "a", "nay": "b"} for i in range(7)]
    report = take(*rows, "broken")
    assert (report.needs_mapping, report.layout, report.taken, report.judgements) == (True, None, 0, ())
    assert report.columns == ("ask", "aye", "nay")
    assert report.sample_rows[1] == {"ask": "q1", "aye": "a", "nay": "b"}
    assert [refused.row for refused in report.refused] == [8]
    assert "not recognised" in report.warnings[0]
    report = take(*rows, "broken", choices=mapped("pairs", prompt="ask", preferred="aye", dispreferred="nay"))
    assert (report.needs_mapping, report.taken, len(report.judgements), len(report.refused)) == (False, 7, 14, 1)


def test_a_mapping_overrules_what_was_recognised(take):
    report = take(pair(), choices=mapped("pairs", prompt="prompt", preferred="rejected", dispreferred="chosen"))
    assert report.judgements[0].response == "poor 0"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([pair(1), pair(2), pair(1), pair(1)], "2 duplicates: rows 3 and 4"),
        ([pair(1), pair(1, chosen="poor 1", rejected="good 1")], "2 answers with contradictory verdicts"),
        (
            [pair(1), pair(rejected="good 0"), pair(rejected="good 0")],
            "2 rows refused because preferred and dispreferred",
        ),
        ([pair(1), pair(chosen="")], "1 row refused because a text is empty: row 2."),
        ([{"prompt": "q", "completion": c, "label": 1} for c in "ab"], "only one class: all 2 answers are preferred"),
        ([pair(i, chosen="good" * 9) for i in range(4)], "length bias: preferred answers are 6.0 times longer"),
        ([pair(1), pair(2, chosen="a<|im_end|>"), pair(3, prompt="[INST] a")], "(<|im_end|>, [INST]) in rows 2 and 3"),
        ([pair(1, rejected="<s>a"), pair(2, prompt="<|eot_id|>")], "(<s>, <|eot_id|>) in rows 1 and 2"),
    ],
)
def test_warnings_are_said_with_their_rows(take, rows, words):
    report = take(*rows)
    (warning,) = [w for w in report.warnings if words in w]
    assert len(warning) <= 500
    assert report.taken + len(report.refused) == len(rows)


def test_warned_rows_are_kept_and_a_clean_file_has_no_warning(take):
    assert take(pair(1), pair(1), pair(1, chosen="poor 1", rejected="good 1")).taken == 3
    assert take(*(pair(i) for i in range(9))).warnings == ()
    assert take(pair(chosen="a < b | c > d, x[0] <b>")).warnings == ()


def test_truncation_is_counted_with_the_models_own_tokens(take):
    rows = pair(1), pair(2, chosen="x" * 30)
    report = take(*rows, count_tokens=lambda js: [len(j.response) for j in js], max_tokens=20)
    assert any("1 answer of 4 would be truncated" in w and "10 tokens cut off" in w for w in report.warnings)


def test_without_a_model_truncation_is_estimated_and_said_to_be(take):
    report = take(pair(1), pair(2, chosen="x" * 300), max_tokens=40)
    (warning,) = [w for w in report.warnings if "truncated" in w]
    assert warning.startswith("about 1 answer of 4 would be truncated")
    assert "estimate of 4 characters a token: no model is at hand" in warning


def test_a_file_whose_every_row_is_bad_still_gets_its_report(take):
    report = take(pair(chosen=""), "nonsense {", name="../secret/folder/bad.jsonl")
    assert (report.file, report.taken, len(report.refused)) == ("bad.jsonl", 0, 2)
    report = take("{a", "{b", "[1]", name="a.jsonl")
    assert (report.layout, report.taken, len(report.refused), report.needs_mapping) == (None, 0, 3, False)


def test_a_table_without_rows_is_refused(take):
    for content in ("[]", "prompt,chosen,rejected\n", '{"data": []}'):
        with pytest.raises(LabError):
            take(content, name="a.csv")


PROMPT = (Message("system", "s"), Message("user", "é?"))


def test_what_is_exported_can_be_imported_again(take):
    pairs = build_pair(PROMPT, "good", "poor", source=Source.MARKED)
    single = Judgement(PROMPT, "alone\nhere", Verdict.DISPREFERRED)
    lines = list(write_trl_rows([*pairs, single]))
    assert [sorted(json.loads(line)) for line in lines] == [["chosen", "prompt", "rejected"]]
    assert [said(j) for j in take(*lines).judgements] == [said(j) for j in pairs]
    lines = list(write_trl_rows([*pairs, single], "unpaired"))
    back = take(*(line.rstrip("\n") for line in lines)).judgements
    assert [(said(j), j.verdict) for j in back] == [(said(j), j.verdict) for j in (*pairs, single)]
    with pytest.raises(LabError, match="pairs and unpaired"):
        list(write_trl_rows([], "csv"))


def test_limits_can_be_set(take):
    report = take(pair(1), pair(2, chosen="x" * 50), limits=Limits(field_chars=20))
    assert (report.taken, report.refused[0].row) == (1, 2)
    with pytest.raises(ImportRefused, match="more than 1 row,"):
        take(pair(1), pair(2), limits=Limits(rows=1))


def test_one_line_of_json_lines_is_one_row_whatever_lists_it_holds(take):
    row = {"prompt": "Hi", "answers": [{"answer": "a", "rank": 1.0}, {"answer": "b", "rank": 2.0}]}
    report = take(row, name="one.jsonl")
    assert (report.n_rows, report.layout, report.taken) == (1, "Nectar: ranked answers", 1)
