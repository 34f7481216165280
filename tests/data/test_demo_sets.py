"""The demo sets: valid rows, right and wrong where they say so, and reproduced by the script beside them."""

from __future__ import annotations

import copy
import importlib
import json
import re
import subprocess
import sys
from difflib import SequenceMatcher
from fractions import Fraction
from operator import add, mul, sub
from pathlib import Path
from typing import Any

import pytest

SETS = Path(__file__).resolve().parents[2] / "assets" / "preferences"
INDEX = json.loads((SETS / "index.json").read_text(encoding="utf-8"))
NAMES = [entry["name"] for entry in INDEX]
BY_RULE = ["careful_arithmetic", "honest_uncertainty", "dialogue_tone", "small_code"]
EQUATION = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
OPERATIONS = {"+": add, "-": sub, "*": mul, "/": Fraction}
FRIENDLY = re.compile(r"sorry|please|glad|happy|hope|pleasure|what a (lovely|pity)|thank you|if you like|oh no", re.I)
UNFRIENDLY = re.compile(
    r"my problem|so what|leave me|why you tell me|what else|like anyone|whining|boring|tough luck|yourself|silly|"
    r"don't (ask|waste)|can't believe|care less",
    re.I,
)
# All that the tiny functions may call; nothing of it reaches files, modules or the interpreter.
ALLOWED = (abs, all, any, enumerate, int, len, list, max, min, range, sorted, str, sum, zip)

# The answer of each kind of word problem from the numbers in its question, in order: written apart from the script.
ANSWERS = {
    "boxes of": lambda a, b, c: a * b - c,
    "in the morning": lambda a, b, c: Fraction(a + b, c),
    "How much change": lambda a, b, c: c - a * b,
    "pages are still to be read": lambda a, b, c: c - a * b,
    "dollars an hour": lambda a, b, c: a * b - c,
    "twice as many chickens": lambda a, b: a + 2 * a + b,
    "trays of": lambda a, b, c, d: Fraction(a * b - c, d),
    "A bus leaves": lambda a, b, c, d: a - b + c - d,
    "dollars a week": lambda a, b, c, d: a * b + c - d,
    "A school orders": lambda a, b, c, d: a * c + b * d,
    "How many kilometres": lambda a, b, c: a * b + c,
    "A tank holds": lambda a, b, c, d: a - b * c + d,
    "form teams of": lambda a, b, c: Fraction(a - b, c),
    "times as many": lambda a, b, c: a + a * b - c,
    "rows of": lambda a, b, c: a * b + c,
    "A ticket for": lambda a, b, c, d: a * c + b * d,
    "equally. Then": lambda a, b, c: Fraction(a, 2) - b + c,
    "minutes of practice": lambda a, b, c: a * (b + c),
    "on its shelves": lambda a, b, c, d: a + b - c * d,
    "into pieces of": lambda a, b, c: Fraction(a, b) - c,
}


def read_rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SETS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def pairs(name: str) -> list[tuple[str, str, str]]:
    return [tuple(row[key][0]["content"] for key in ("prompt", "chosen", "rejected")) for row in read_rows(name)]


def final_answer(solution: str) -> int:
    return int(re.fullmatch(r"A: (\d+)", solution.splitlines()[-1]).group(1))


def true_answer(question: str) -> Fraction:
    matching = [solve for words, solve in ANSWERS.items() if words in question]
    assert len(matching) == 1, question
    return Fraction(matching[0](*map(int, re.findall(r"\d+", question))))


@pytest.mark.parametrize("entry", INDEX, ids=NAMES)
def test_rows_follow_the_schema_and_the_index(entry):
    rows = read_rows(entry["name"])
    responses = ("chosen", "rejected") if entry["kind"] == "pairs" else ("completion",)
    assert len(rows) == entry["rows"]
    assert all(entry[key] for key in ("title", "description", "origin"))
    for row in rows:
        assert set(row) == {"prompt", *responses, *(() if entry["kind"] == "pairs" else ("label",))}
        assert [m["role"] for m in row["prompt"]] == ["user"]
        for key in responses:
            assert [m["role"] for m in row[key]] == ["assistant"]
        for message in (m for key in ("prompt", *responses) for m in row[key]):
            assert set(message) == {"role", "content"}
            assert message["content"] and message["content"] == message["content"].strip()
            assert "<|" not in message["content"] and "\N{REPLACEMENT CHARACTER}" not in message["content"]
        assert isinstance(row.get("label", True), bool)


@pytest.mark.parametrize("name", NAMES)
def test_no_question_comes_twice(name):
    questions = [row["prompt"][0]["content"].casefold() for row in read_rows(name)]
    assert len(set(questions)) == len(questions)


def test_the_index_names_every_file_and_all_are_small():
    files = list(SETS.glob("*.jsonl"))
    assert sorted(path.stem for path in files) == sorted(NAMES)
    assert sum(path.stat().st_size for path in files) < 600_000


def test_arithmetic_preferred_is_right_and_dispreferred_is_wrong():
    for question, preferred, dispreferred in pairs("careful_arithmetic"):
        truth = true_answer(question)
        assert final_answer(preferred) == truth, question
        assert final_answer(dispreferred) != truth, question


def test_arithmetic_preferred_has_only_true_equations_and_the_slip_is_one():
    for question, preferred, dispreferred in pairs("careful_arithmetic"):
        for solution, n_false in ((preferred, {0}), (dispreferred, {0, 1})):
            equations = EQUATION.findall(solution)
            wrong = [e for e in equations if OPERATIONS[e[1]](int(e[0]), int(e[2])) != int(e[3])]
            assert len(wrong) in n_false, question
            assert final_answer(solution) == int(equations[-1][3]), question


def test_arithmetic_pairs_are_nearly_identical():
    ratios = [SequenceMatcher(None, a, b, autojunk=False).ratio() for _, a, b in pairs("careful_arithmetic")]
    assert min(ratios) > 0.6
    assert sum(ratios) / len(ratios) > 0.9


def test_short_answers_prefer_the_first_sentence_of_the_same_answer():
    rows = read_rows("short_answers")
    assert 140 <= len(rows) <= 180
    for row in rows:
        preferred, dispreferred = row["chosen"][0]["content"], row["rejected"][0]["content"]
        assert dispreferred.startswith(preferred + " ") or dispreferred.startswith(preferred + "\n")
        assert 25 <= len(preferred) <= 240 and preferred[-1] in ".!?" and ":" not in preferred
        assert re.search(r"[.!?][\"')]*$", dispreferred), dispreferred


def test_short_answers_come_from_the_questions_that_were_not_left_out():
    lines = (SETS / "questions.txt").read_text(encoding="utf-8").splitlines()
    asked = [row["prompt"][0]["content"] for row in read_rows("short_answers")]
    assert asked == [line for line in lines if line in set(asked)]
    assert len({line.removeprefix("- ") for line in lines}) == len(lines)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Water boils at 99.9 degrees here. It is hot. And th", ("Water boils at 99.9 degrees here.", 44)),
        ("Dr. Smith and Mrs. Jones met there. They talked.", ("Dr. Smith and Mrs. Jones met there.", 48)),
        ("It is one of many kinds, e.g. a small one. Or two.", ("It is one of many kinds, e.g. a small one.", 50)),
        ("There is only one sentence in this answer.", None),
        ("Here are the steps to take today. First, sit down.", None),
        ("Do as follows: sit down and read. Then get up.", None),
        ("No. It is too short to be an answer at all.", None),
    ],
)
def test_split_answer(monkeypatch, answer, expected):
    monkeypatch.syspath_prepend(str(SETS))
    split = importlib.import_module("short_answers").split_answer(answer)
    assert (split and (split[0], len(split[1]))) == expected


def test_unpaired_set_is_unbalanced_and_holds_no_pair():
    labels = [row["label"] for row in read_rows("honest_uncertainty")]
    assert 150 <= len(labels) <= 200
    assert 0.55 < sum(labels) / len(labels) < 0.75


def test_tone_pairs_share_their_advice_and_only_the_preferred_is_friendly():
    assert 120 <= len(pairs("dialogue_tone")) <= 160
    for question, preferred, dispreferred in pairs("dialogue_tone"):
        one, other = preferred.casefold(), dispreferred.casefold()
        shared = SequenceMatcher(None, one, other, autojunk=False).find_longest_match()
        assert len(one[shared.a : shared.a + shared.size].split()) >= 7, question
        assert FRIENDLY.search(preferred) and not UNFRIENDLY.search(preferred), preferred
        assert UNFRIENDLY.search(dispreferred) and not FRIENDLY.search(dispreferred), dispreferred


def test_tone_is_not_told_by_length():
    lengths = [(len(a.split()), len(b.split())) for _, a, b in pairs("dialogue_tone")]
    assert all(8 <= n <= 30 for both in lengths for n in both)
    assert all(2 / 3 < a / b < 3 / 2 for a, b in lengths)
    assert sum(a for a, _ in lengths) / sum(b for _, b in lengths) == pytest.approx(1, abs=0.05)
    assert 0.3 < sum(a > b for a, b in lengths) / len(lengths) < 0.6


@pytest.fixture(scope="module")
def tasks() -> tuple[Any, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SETS))
        return importlib.import_module("small_code").TASKS


def n_failed(code: str, checks: tuple[Any, ...]) -> int:
    """Runs a tiny function on the checks; an exception fails a check as a wrong value or type of value does."""
    names: dict[str, Any] = {"__builtins__": {f.__name__: f for f in ALLOWED}}
    exec(compile(code, "<answer>", "exec"), names)  # noqa: S102 - our own rows, with ALLOWED names only
    (function,) = (value for name, value in names.items() if name != "__builtins__")
    failed = 0
    for arguments, expected in checks:
        try:
            value = function(*copy.deepcopy(arguments))
            failed += value != expected or type(value) is not type(expected)
        except (TypeError, ValueError, NameError, LookupError, ArithmeticError, AttributeError):
            failed += 1
    return failed


def test_code_preferred_passes_its_checks_and_dispreferred_fails_one(tasks):
    assert 100 <= len(pairs("small_code")) <= 150
    for question, *answers in pairs("small_code"):
        (task,) = (task for task in tasks if question.endswith(f"function that {task.does}."))
        right, wrong = (re.fullmatch(r"```python\n(def .+)\n```", answer, re.S).group(1) for answer in answers)
        assert n_failed(right, task.checks) == 0, right
        assert n_failed(wrong, task.checks) > 0, wrong


def test_code_every_bug_is_found_once_and_caught(tasks):
    for task in tasks:
        assert n_failed(task.code(), task.checks) == 0, task.does
        for bug in task.bugs:
            assert task.body.count(bug[0]) == 1, (task.does, bug)
            assert n_failed(task.code(bug), task.checks) > 0, (task.does, bug)


def test_code_pairs_are_short_and_part_in_one_line():
    for question, *answers in pairs("small_code"):
        right, wrong = (answer.splitlines() for answer in answers)
        assert len(right) == len(wrong) <= 9, question
        assert sum(a != b for a, b in zip(right, wrong, strict=True)) == 1, question
        # The embedded model's tokenizer makes 44 tokens of the longest.
        assert max(map(len, answers)) <= 160, question


def test_sets_by_rule_are_reproduced_byte_for_byte(tmp_path):
    script = [sys.executable, str(SETS / "make_demo_sets.py"), "--out", str(tmp_path)]
    subprocess.run(script, check=True, capture_output=True)
    for name in BY_RULE:
        assert (tmp_path / f"{name}.jsonl").read_bytes() == (SETS / f"{name}.jsonl").read_bytes()
    remade = json.loads((tmp_path / "index.json").read_text(encoding="utf-8"))
    assert remade == [entry for entry in INDEX if entry["name"] in BY_RULE]
