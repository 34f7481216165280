"""Skills that alignment may cost: arithmetic word problems made by rule, and multiple-choice questions that come along.

This room knows the questions, their answers and how a written answer is read. It must not know models, runs or pages.
Standard library.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnf_lab.core.errors import LabError, shown
from bnf_lab.core.paths import ASSETS

MULTIPLE_CHOICE_FILE = ASSETS / "skills" / "multiple_choice.jsonl"
TOPICS = ("knowledge", "reasoning")
N_CHOICES = 4
MAX_PROBLEMS_PER_LEVEL = 1000
MAX_DIGITS = 18
# A worked problem of the same kind stands before each: without one a small model seldom writes a calculation at all.
PROMPT = "Answer like this.\nQ: {example}\nA: {working}\n\nQ: {question}"
EXAMPLE_NAME, EXAMPLE_THING, EXAMPLE_NUMBERS = "Sue", "cups", (5, 3, 2)
NAMES = ("Tom", "Anna", "Ben", "Mia", "Sam", "Lucy", "Leo", "Emma", "Max", "Nina", "Jack", "Rosa", "Omar", "Kate")
THINGS = ("apples", "books", "pens", "balls", "cards", "coins", "eggs", "cookies", "stamps", "roses", "shells", "nuts")


@dataclass(frozen=True, slots=True)
class WordProblem:
    """An arithmetic problem in words; `level` is 1 (one step, single digits), 2 (one step, larger) or 3 (two steps)."""

    prompt: str
    answer: int
    level: int


@dataclass(frozen=True, slots=True)
class MultipleChoice:
    """A question with `N_CHOICES` choices, of which `answer` is the place of the right one; `topic` is in `TOPICS`."""

    question: str
    choices: tuple[str, ...]
    answer: int
    topic: str


@dataclass(frozen=True, slots=True)
class _Template:
    """A kind of problem: words for the drawn numbers a, b, c (and s = a + b, p = a * b), its working, and its answer.

    Shares are told from the product and remainders from the sum, so that every answer is a whole number.
    """

    words: str
    working: str
    answer: Callable[[int, int, int], int]

    def ask(self, name: str, thing: str, a: int, b: int, c: int) -> str:
        return self.words.format(name=name, thing=thing, a=a, b=b, c=c, s=a + b, p=a * b)

    def work(self, a: int, b: int, c: int) -> str:
        return self.working.format(a=a, b=b, c=c, s=a + b, p=a * b, answer=self.answer(a, b, c))


# fmt: off
_ONE_STEP = (
    _Template("{name} has {a} {thing} and gets {b} more. How many {thing} does {name} have?",
              "{a} + {b} = {answer}", lambda a, b, c: a + b),
    _Template("{name} has {s} {thing} and gives away {a}. How many {thing} does {name} have left?",
              "{s} - {a} = {answer}", lambda a, b, c: b),
    _Template("{name} buys {a} {thing} on Monday and {b} on Tuesday. How many {thing} does {name} buy in total?",
              "{a} + {b} = {answer}", lambda a, b, c: a + b),
    _Template("{name} has {s} {thing} and sells {b} of them. How many {thing} are left?",
              "{s} - {b} = {answer}", lambda a, b, c: a),
)
_PRODUCTS = (
    _Template("{name} has {a} boxes with {b} {thing} in each box. How many {thing} does {name} have in total?",
              "{a} * {b} = {answer}", lambda a, b, c: a * b),
    _Template("{name} shares {p} {thing} equally among {a} friends. How many {thing} does each friend get?",
              "{p} / {a} = {answer}", lambda a, b, c: b),
)
_TWO_STEPS = (
    _Template("{name} has {a} {thing}, gets {b} more and then gets another {c}. How many {thing} does {name} have?",
              "{a} + {b} = {s}, {s} + {c} = {answer}", lambda a, b, c: a + b + c),
    _Template("{name} has {a} bags with {b} {thing} in each bag, and {c} more {thing} in a box. "
              "How many {thing} does {name} have in total?",
              "{a} * {b} = {p}, {p} + {c} = {answer}", lambda a, b, c: a * b + c),
    _Template("{name} has {s} {thing}, gives away {a} and then finds {c} more. How many {thing} does {name} have now?",
              "{s} - {a} = {b}, {b} + {c} = {answer}", lambda a, b, c: b + c),
    _Template("{name} buys {a} {thing} for {b} dollars each and pays {c} dollars for a bag. "
              "How many dollars does {name} pay in total?",
              "{a} * {b} = {p}, {p} + {c} = {answer}", lambda a, b, c: a * b + c),
)
# fmt: on
# Level -> kinds of problems with the range of their numbers; the kinds take turns.
_SMALL, _LARGE = (2, 9), (11, 39)
_LEVELS = {
    1: [(template, (1, 4) if "{s}" in template.words else _SMALL) for template in _ONE_STEP],
    2: [*((template, _LARGE) for template in _ONE_STEP), *((template, _SMALL) for template in _PRODUCTS)],
    3: [(template, (2, 5)) for template in _TWO_STEPS],
}


def make_word_problems(n_per_level: int = 20, seed: int = 0) -> tuple[WordProblem, ...]:
    """Makes arithmetic word problems in three levels, no two prompts alike, each behind a worked one of its kind.

    Args:
        n_per_level: Problems of each level, 1 to 1000. A smaller set is the beginning of a larger one, level by level.
        seed: Decides which.

    Returns:
        `3 * n_per_level` problems, level 1 first.

    Raises:
        LabError: If `n_per_level` is out of range.
    """
    if not 1 <= n_per_level <= MAX_PROBLEMS_PER_LEVEL:
        raise LabError(
            f"Word problems per level is {shown(n_per_level)}; 1 to {MAX_PROBLEMS_PER_LEVEL} is accepted. Choose a"
            " number in this range."
        )
    return tuple(problem for level in _LEVELS for problem in _make_level(level, n_per_level, seed))


def _make_level(level: int, n_problems: int, seed: int) -> list[WordProblem]:
    generator = random.Random(f"{seed}/{level}")  # noqa: S311 - questions, not secrets
    kinds = _LEVELS[level]
    problems: dict[str, WordProblem] = {}
    while len(problems) < n_problems:
        template, (low, high) = kinds[len(problems) % len(kinds)]
        a, b, c = (generator.randint(low, high) for _ in range(3))
        name, thing = generator.choice(NAMES), generator.choice(THINGS)
        prompt = PROMPT.format(
            example=template.ask(EXAMPLE_NAME, EXAMPLE_THING, *EXAMPLE_NUMBERS),
            working=template.work(*EXAMPLE_NUMBERS),
            question=template.ask(name, thing, a, b, c),
        )
        problems.setdefault(prompt, WordProblem(prompt, template.answer(a, b, c), level))
    return list(problems.values())


_NUMBER = re.compile(r"(?<![\w.])[-\u2212]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?")
_MARK = re.compile(r"(?:\ba:|\banswer:|\banswer is|=)[^\w.]{0,8}$", re.IGNORECASE)
_LONGEST_MARK = 20
_NEXT_QUESTION = re.compile(r"\n\s*Q:")
_GOES_ON = re.compile(r"\s*[-\u2212+*/\u00d7\u00f7]\s*\d")


def parse_number(text: str) -> int | None:
    """Returns the number that a written answer comes to.

    That is the last number behind "A:", "Answer:", "answer is" or "=" (unless a calculation only begins there), else
    the last number of the text. Commas between thousands are read, and 12.0 is 12. Where the text goes on with a
    question of its own ("Q:" at the beginning of a line), nothing behind that counts.

    Returns:
        The number; None where there is none, or where it is no whole number or has more than 18 digits.

    >>> parse_number("3 + 4 = 7, so Tom has 7 apples in 2 bags.")
    7
    """
    text = _NEXT_QUESTION.split(text, maxsplit=1)[0]
    numbers = list(_NUMBER.finditer(text))
    marked = [number for number in numbers if _is_marked(text, number)]
    return _whole((marked or numbers)[-1].group()) if numbers else None


def _is_marked(text: str, number: re.Match[str]) -> bool:
    before = _MARK.search(text, max(0, number.start() - _LONGEST_MARK), number.start())
    return before is not None and _GOES_ON.match(text, number.end()) is None


def _whole(number: str) -> int | None:
    whole, _, fraction = number.replace(",", "").replace("\u2212", "-").partition(".")
    is_whole = not fraction.strip("0") and len(whole.lstrip("-")) <= MAX_DIGITS
    return int(whole) if is_whole else None


def load_multiple_choice(path: Path = MULTIPLE_CHOICE_FILE) -> tuple[MultipleChoice, ...]:
    """Reads the multiple-choice questions, JSON lines of `question`, `choices`, `answer` and `topic`.

    Raises:
        LabError: If the file cannot be read, is empty, or a line is no valid question of its own.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(
            f"{path.name} cannot be read as UTF-8 text ({shown(str(error), 120)}). Restore the file."
        ) from error
    items = [_read_item(line, f"{path.name} line {number}") for number, line in enumerate(lines, start=1)]
    if not items:
        raise LabError(f"{path.name} holds no question; one JSON object a line is accepted. Restore the file.")
    first_lines: dict[str, int] = {}
    for number, item in enumerate(items, start=1):
        if first_lines.setdefault(item.question, number) != number:
            raise LabError(
                f"{path.name} line {number}: the question {shown(item.question)} is that of line"
                f" {first_lines[item.question]}. Each question may be asked once. Delete one of the lines."
            )
    return tuple(items)


def _read_item(line: str, place: str) -> MultipleChoice:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise LabError(f"{place}: it is not JSON ({error}). One JSON object a line is accepted. Correct it.") from error
    problem = _find_problem(record)
    if problem:
        raise LabError(f"{place}: {problem} Correct or delete the line.")
    return MultipleChoice(record["question"], tuple(record["choices"]), record["answer"], record["topic"])


def _find_problem(record: Any) -> str | None:
    """Returns what is wrong with a question as it was read, in words, or None."""
    wanted = {"question", "choices", "answer", "topic"}
    if not isinstance(record, dict) or set(record) != wanted:
        found = ", ".join(record) if isinstance(record, dict) else shown(record)
        return f"it holds {shown(found)}. An object of exactly {', '.join(sorted(wanted))} is accepted."
    choices = record["choices"]
    if not _is_text(record["question"]):
        return f"'question' is {shown(record['question'])}. A text is accepted."
    if not isinstance(choices, list) or len(choices) != N_CHOICES or not all(map(_is_text, choices)):
        return f"'choices' is {shown(choices)}. A list of {N_CHOICES} texts is accepted."
    if len({choice.casefold() for choice in choices}) != N_CHOICES:
        return f"'choices' is {shown(choices)}. Each choice may stand there once."
    if type(record["answer"]) is not int or not 0 <= record["answer"] < N_CHOICES:
        return f"'answer' is {shown(record['answer'])}. The right one's place, 0 to {N_CHOICES - 1}, is accepted."
    if record["topic"] not in TOPICS:
        return f"'topic' is {shown(record['topic'])}. {' or '.join(TOPICS)} is accepted."
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() == value != ""
