"""Word problems are right, graded and repeatable; numbers are read as a person would; questions are checked."""

from __future__ import annotations

import doctest
import json
import re
from collections import Counter
from operator import add, floordiv, mul, sub

import pytest

from bnf_lab.core.errors import LabError
from bnf_lab.evaluation import skill_questions
from bnf_lab.evaluation.skill_questions import TOPICS, load_multiple_choice, make_word_problems, parse_number

ITEM = {"question": "Which?", "choices": ["a", "b", "c", "d"], "answer": 1, "topic": "reasoning"}


def test_examples():
    assert doctest.testmod(skill_questions).failed == 0


def question(problem):
    return problem.prompt.rpartition("Q: ")[2]


def numbers(problem):
    return [int(number) for number in re.findall(r"\d+", question(problem))]


def work_out(text, values):
    """Answers a question from its words alone, apart from the templates' own arithmetic."""
    if "equally" in text:
        return values[0] // values[1]
    if "dollars each" in text or "bags with" in text:
        return values[0] * values[1] + values[2]
    if "boxes with" in text:
        return values[0] * values[1]
    if "gives away" in text or "sells" in text:
        return values[0] - values[1] + sum(values[2:])
    return sum(values)


def test_answers_are_right():
    problems = make_word_problems(60, seed=7)
    assert [problem.answer for problem in problems] == [work_out(question(p), numbers(p)) for p in problems]
    assert all(problem.answer >= 1 for problem in problems)


def test_each_problem_shows_a_worked_one_of_its_kind():
    for problem in make_word_problems(8):
        example = re.fullmatch(r"Answer like this\.\nQ: (.+)\nA: (.+)\n\nQ: .+", problem.prompt)
        asked = [int(number) for number in re.findall(r"\d+", example[1])]
        assert parse_number(example[2]) == work_out(example[1], asked)
        for left, sign, right, result in re.findall(r"(\d+) (.) (\d+) = (\d+)", example[2]):
            assert int(result) == {"+": add, "-": sub, "*": mul, "/": floordiv}[sign](int(left), int(right))
        varying = "|".join(["Sue", "cups", *skill_questions.NAMES, *skill_questions.THINGS, r"\d+"])
        assert re.sub(varying, "_", example[1]) == re.sub(varying, "_", question(problem))


def test_levels_are_graded():
    problems = make_word_problems(100, seed=3)
    by_level = {level: [p for p in problems if p.level == level] for level in (1, 2, 3)}
    assert [len(by_level[level]) for level in (1, 2, 3)] == [100, 100, 100]
    assert all(len(numbers(p)) == 2 and max(numbers(p)) <= 9 for p in by_level[1])
    assert all(len(numbers(p)) == 2 and p.answer >= 2 for p in by_level[2])
    assert max(max(numbers(p)) for p in by_level[2]) > 50
    assert all(len(numbers(p)) == 3 and max(numbers(p)) <= 10 for p in by_level[3])
    assert len({p.prompt for p in problems}) == 300


def test_problems_are_seeded_and_a_small_set_begins_a_large_one():
    assert make_word_problems(5, seed=1) == make_word_problems(5, seed=1)
    assert make_word_problems(5, seed=1) != make_word_problems(5, seed=2)
    large = make_word_problems(9)
    assert make_word_problems(4) == large[:4] + large[9:13] + large[18:22]


@pytest.mark.parametrize("n", [0, -1, 1001])
def test_the_number_of_problems_is_checked(n):
    with pytest.raises(LabError, match="1 to 1000 is accepted"):
        make_word_problems(n)


def test_the_largest_set_is_made():
    assert len({p.prompt for p in make_word_problems(1000)}) == 3000


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        ("Tom has 5 apples.", 5),
        ("Tom had 2 apples, got 3 and has 5.", 5),
        ("A: 12", 12),
        ("A: 12. Tom had 3 bags.", 12),
        ("3 + 4 = 7, so 7 apples in 2 bags", 7),
        ("3 + 4 = 7. 7 - 2 = 5. He gave 2.", 5),
        ("The answer is **1,234** dollars, in 2 notes.", 1234),
        ("Answer: $12 for 3", 12),
        ("The answer is: 9\nthat is 3 times 3", 9),
        ("Total = 2 + 3, which makes 5", 5),
        ("= -3", -3),
        ("5-3", 3),
        ("8 \u2212 10 is \u22122", -2),
        ("A: 7 + 3 = 10\n\nQ: What is 4 + 4?\nA: 8", 10),
        ("12.0", 12),
        ("12.50", None),
        ("4.50 each, so 9", 9),
        ("That costs 1,234,567.", 1234567),
        ("1,2,3", 3),
        ("A1 and B2 have nothing", None),
        ("three", None),
        ("", None),
        ("9" * 18, int("9" * 18)),
        ("9" * 5000, None),
    ],
)
def test_numbers_are_read(text, number):
    assert parse_number(text) == number


def test_the_questions_that_come_along():
    items = load_multiple_choice()
    assert len(items) >= 150
    for topic in TOPICS:
        places = Counter(item.answer for item in items if item.topic == topic)
        assert sum(places.values()) >= 75
        assert max(places.values()) - min(places.values()) <= 1
    assert len({item.question for item in items}) == len(items)
    assert max(len(choice.split()) for item in items for choice in item.choices) <= 4
    # nothing but knowledge tells the right choice: it is not the longest more often than chance has it
    longest = [max(item.choices, key=len) == item.choices[item.answer] for item in items]
    assert sum(longest) / len(items) < 0.4


def write(tmp_path, *lines):
    path = tmp_path / "items.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_a_valid_file_is_read(tmp_path):
    (item,) = load_multiple_choice(write(tmp_path, ITEM))
    assert (item.question, item.choices, item.answer, item.topic) == ("Which?", ("a", "b", "c", "d"), 1, "reasoning")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"question": " "}, "'question' is ' '"),
        ({"question": 3}, "'question' is 3"),
        ({"choices": ["a", "b", "c"]}, "A list of 4 texts"),
        ({"choices": ["a", "b", "c", ""]}, "A list of 4 texts"),
        ({"choices": "abcd"}, "A list of 4 texts"),
        ({"choices": ["a", "b", "c", "A"]}, "Each choice may stand there once"),
        ({"answer": 4}, "'answer' is 4. The right one's place, 0 to 3"),
        ({"answer": True}, "'answer' is True"),
        ({"answer": "b"}, "'answer' is 'b'"),
        ({"topic": "sport"}, "knowledge or reasoning is accepted"),
        ({"topic": []}, "knowledge or reasoning is accepted"),
        ({"extra": 1}, "An object of exactly answer, choices, question, topic"),
    ],
)
def test_an_invalid_line_is_refused(tmp_path, change, words):
    with pytest.raises(LabError, match=re.escape("items.jsonl line 2: ")) as caught:
        load_multiple_choice(write(tmp_path, {**ITEM, "question": "Who?"}, ITEM | change))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("{",), "line 1: it is not JSON"),
        (("",), "line 1: it is not JSON"),
        (([1],), "line 1: it holds"),
        ((), "holds no question"),
        ((ITEM, ITEM), "line 2: the question 'Which?' is that of line 1"),
    ],
)
def test_an_invalid_file_is_refused(tmp_path, lines, words):
    with pytest.raises(LabError, match=re.escape(words)):
        load_multiple_choice(write(tmp_path, *lines))


def test_an_unreadable_file_is_refused(tmp_path):
    with pytest.raises(LabError, match="cannot be read"):
        load_multiple_choice(tmp_path / "none.jsonl")
    (tmp_path / "odd.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(LabError, match="cannot be read"):
        load_multiple_choice(tmp_path / "odd.jsonl")
