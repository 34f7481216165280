r"""One row -> one prompt with its judged answers. Standard library.

Knows which part each column plays, and takes a text, a list of messages or an HH transcript in any of them. This
room must not know files, formats, or how a schema is recognised.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bnf_lab.errors import shown
from bnf_lab.preferences import Message, Verdict
from bnf_lab.rows import RowProblem
from bnf_lab.turns import check_prompt, is_transcript, read_messages, read_text, read_transcript, split_answer

_LABELS = {"true": Verdict.PREFERRED, "1": Verdict.PREFERRED, "false": Verdict.DISPREFERRED, "0": Verdict.DISPREFERRED}
_MAX_RATING = 1e15
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)


@dataclass(frozen=True)
class Columns:
    """Which column plays which part; None where none does.

    Attributes:
        prompt: What was asked: a text, a list of messages or a transcript.
        preferred: The better answer of a pair.
        dispreferred: The worse answer of a pair.
        response: A single answer, or a list of them; None where it is the last message of `prompt`.
        label: True for a preferred answer.
        rating: A number, the higher the better, or a list of them.
        rank: A number from 1, the lower the better, or a list of them.
        extra: A text that belongs after the prompt (Alpaca's `input`).
        system: A system message.
        history: Earlier turns as [question, answer] pairs.
    """

    prompt: str | None = None
    preferred: str | None = None
    dispreferred: str | None = None
    response: str | None = None
    label: str | None = None
    rating: str | None = None
    rank: str | None = None
    extra: str | None = None
    system: str | None = None
    history: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What a row says: a prompt and its answers, each with a verdict or still with a rating."""

    prompt: tuple[Message, ...]
    answers: tuple[tuple[str, Verdict | float], ...]


def read_pair(values: Mapping[str, Any], columns: Columns, field_chars: int) -> Draft:
    """Reads a row with a preferred and a dispreferred answer; the prompt may be what both have in common.

    Raises:
        RowProblem: If the row is no pair.
    """
    first, second = str(columns.preferred), str(columns.dispreferred)
    before, preferred = _read_answer(values.get(first), first, field_chars)
    other, dispreferred = _read_answer(values.get(second), second, field_chars)
    if before != other:
        raise RowProblem(f"the conversation differs from {shown(first, 40)} before the last turn, so the answers do "
                         "not "
                         "reply to the same prompt. Correct it or delete the row.", second)
    if preferred.strip() == dispreferred.strip():
        raise RowProblem(f"it says the same as {shown(first, 40)}, so neither is preferred. Change one or delete the "
                         "row.",
                         second, "same")
    given = _read_prompt(values, columns, field_chars)
    if not given and not before:
        prompt, preferred, dispreferred = _split_common(preferred, dispreferred, first, second)
        return Draft(prompt, ((preferred, Verdict.PREFERRED), (dispreferred, Verdict.DISPREFERRED)))
    prompt = check_prompt(_join(given, before, columns.prompt or first), columns.prompt or first)
    return Draft(prompt, ((preferred, Verdict.PREFERRED), (dispreferred, Verdict.DISPREFERRED)))


def read_labelled(values: Mapping[str, Any], columns: Columns, field_chars: int) -> Draft:
    """Reads a row with one answer and a label.

    Raises:
        RowProblem: If a part is missing or the label is not true, false, 1 or 0.
    """
    prompt, response = _read_single(values, columns, field_chars)
    return Draft(prompt, ((response, _read_label(values.get(str(columns.label)), str(columns.label))),))


def read_rated(values: Mapping[str, Any], columns: Columns, field_chars: int) -> Draft:
    """Reads a row with one answer and its rating, or a list of answers and the list of their ratings.

    Raises:
        RowProblem: If a part is missing, a rating is not a finite number, or the lists differ in length.
    """
    return _read_scored(values, columns, str(columns.rating), field_chars, _read_rating)


def read_ranked(values: Mapping[str, Any], columns: Columns, field_chars: int) -> Draft:
    """Reads a row as `read_rated` does, with ranks; the draft's ratings are the ranks with a minus sign.

    Raises:
        RowProblem: If a part is missing, a rank is not a number from 1, or the lists differ in length.
    """
    return _read_scored(values, columns, str(columns.rank), field_chars, _read_rank)


def _read_scored(
    values: Mapping[str, Any], columns: Columns, column: str, field_chars: int,
    read_number: Callable[[Any, str], float],
) -> Draft:
    texts, numbers = values.get(str(columns.response)), values.get(column)
    if isinstance(texts, list) and (isinstance(numbers, list) or any(isinstance(text, str) for text in texts[:1])):
        return _read_listed(values, columns, column, field_chars, read_number)
    prompt, response = _read_single(values, columns, field_chars)
    return Draft(prompt, ((response, read_number(numbers, column)),))


def _read_listed(
    values: Mapping[str, Any], columns: Columns, column: str, field_chars: int,
    read_number: Callable[[Any, str], float],
) -> Draft:
    """Reads a row with several answers to one prompt and as many numbers."""
    name, asked = str(columns.response), str(columns.prompt)
    texts, numbers = values[name], values.get(column)
    if not texts:
        raise RowProblem("the list is empty. Fill it or delete the row.", name, "empty")
    if not isinstance(numbers, list) or len(numbers) != len(texts):
        raise RowProblem(f"found {shown(numbers)} for the {len(texts):,} answers in {shown(name, 40)}; a list with a "
                         "number for each is needed. Correct it or delete the row.", column)
    given = _read_prompt(values, columns, field_chars)
    answers, prompts = [], set()
    for i, (text, number) in enumerate(zip(texts, numbers, strict=True), start=1):
        try:
            before, response = _read_answer(text, name, field_chars)
            answers.append((response, read_number(number, column)))
        except RowProblem as problem:
            raise RowProblem(f"entry {i}: {problem.text}", problem.column, problem.kind) from problem
        prompts.add(check_prompt(_join(given, before, asked), asked))
    if len(prompts) > 1:
        raise RowProblem("the conversations differ before their last turns, so the answers do not reply to the same "
                         "prompt. Correct them or give each its own row.", name)
    return Draft(prompts.pop(), tuple(answers))


def _read_single(values: Mapping[str, Any], columns: Columns, field_chars: int) -> tuple[tuple[Message, ...], str]:
    given = _read_prompt(values, columns, field_chars)
    column = str(columns.prompt)
    if columns.response is None:
        given, response = split_answer(given, column)
        return check_prompt(given, column), response
    before, response = _read_answer(values.get(columns.response), columns.response, field_chars)
    return check_prompt(_join(given, before, column), column), response


def _read_answer(value: Any, column: str, field_chars: int) -> tuple[tuple[Message, ...], str]:
    """Returns the conversation before the answer, if the field has it, and the answer."""
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list):
        return split_answer(read_messages(value, column, field_chars), column)
    if is_transcript(value):
        return split_answer(read_transcript(value, column, field_chars), column)
    return (), read_text(value, column, field_chars)


def _read_prompt(values: Mapping[str, Any], columns: Columns, field_chars: int) -> tuple[Message, ...]:
    """Returns the prompt as the row gives it; empty if the schema has no column for it."""
    if columns.prompt is None:
        return ()
    value, column = values.get(columns.prompt), columns.prompt
    if isinstance(value, list):
        messages = read_messages(value, column, field_chars)
    elif isinstance(value, str) and is_transcript(value) and value.rstrip().endswith("\n\nAssistant:"):
        messages = read_transcript(value, column, field_chars)
    else:
        text = read_text(value, column, field_chars)
        if columns.extra and values.get(columns.extra) not in (None, ""):
            text += "\n" + read_text(values[columns.extra], columns.extra, field_chars)
        messages = (Message("user", text),)
    return (*_read_system(values, columns, field_chars), *_read_history(values, columns, field_chars), *messages)


def _read_system(values: Mapping[str, Any], columns: Columns, field_chars: int) -> tuple[Message, ...]:
    if columns.system is None or values.get(columns.system) in (None, ""):
        return ()
    return (Message("system", read_text(values[columns.system], columns.system, field_chars)),)


def _read_history(values: Mapping[str, Any], columns: Columns, field_chars: int) -> tuple[Message, ...]:
    column = columns.history
    if column is None or values.get(column) in (None, "", []):
        return ()
    turns = values[column]
    if not isinstance(turns, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in turns):
        raise RowProblem(f"a list of [question, answer] is needed, found {shown(turns)}. Correct it or leave it out.",
                         column)
    return tuple(Message(role, read_text(text, column, field_chars))
                 for turn in turns for role, text in zip(("user", "assistant"), turn, strict=True))


def _join(given: tuple[Message, ...], before: tuple[Message, ...], column: str) -> tuple[Message, ...]:
    """Returns the prompt where both a prompt column and the conversation in the answer may hold it."""
    if not before or not given:
        return given or before
    if before[-len(given):] == given:
        return before
    if before == given[-len(before):]:
        return given
    texts = {m.content.strip() for m in before if m.role == "user"}
    if len(given) == 1 and given[0].content.strip() in texts:
        return before
    raise RowProblem("it is not the prompt that the conversation in the answer starts with. Make them agree, or leave "
                     "one of them out.", column)


def _split_common(preferred: str, dispreferred: str, first: str, second: str) -> tuple[tuple[Message, ...], str, str]:
    """Cuts off what both texts begin with, up to a word's end, as the prompt."""
    length = next((i for i, (a, b) in enumerate(zip(preferred, dispreferred, strict=False)) if a != b), None)
    if length is None:
        raise RowProblem("one answer is only the beginning of the other. Add a 'prompt' column, or delete the row.",
                         first if len(preferred) < len(dispreferred) else second)
    while length and not preferred[length - 1].isspace():
        length -= 1
    prompt, rest, other = preferred[:length].strip(), preferred[length:].strip(), dispreferred[length:].strip()
    if not prompt:
        raise RowProblem(f"there is no prompt: {shown(first, 40)} and {shown(second, 40)} do not begin alike. Add a "
                         "'prompt' column, or delete the row.", second)
    if not rest or not other:
        raise RowProblem("nothing is left of it after what both answers begin with. Add a 'prompt' column, or delete "
                         "the row.", first if not rest else second, "empty")
    return (Message("user", prompt),), rest, other


def _read_label(value: Any, column: str) -> Verdict:
    is_plain = isinstance(value, str | bool) or type(value) is int
    verdict = _LABELS.get(str(value).lower()) if is_plain else None
    if verdict is None:
        found = "nothing" if value is None or value == "" else shown(value)
        raise RowProblem(f"found {found}; a label is true, false, 1 or 0 (true = preferred). Correct it or delete "
                         "the row.",
                         column)
    return verdict


def _read_rating(value: Any, column: str) -> float:
    number = _read_number(value)
    if not math.isfinite(number):
        raise RowProblem(f"found {_found(value)}; a rating is a finite number below {_MAX_RATING:g}, the higher the "
                         "better. Correct it or delete the row.", column)
    return number


def _read_rank(value: Any, column: str) -> float:
    number = _read_number(value)
    if not number >= 1:  # nan is not, either
        raise RowProblem(f"found {_found(value)}; a rank is a number from 1, the best, on. Correct it or delete the "
                         "row.", column)
    return -number


def _read_number(value: Any) -> float:
    """Returns a field's number, nan if it is none or so large that arithmetic with it would be none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_number = is_number or (isinstance(value, str) and len(value) <= 40 and bool(_NUMBER.fullmatch(value)))
    try:
        number = float(value) if is_number else math.nan
    except OverflowError:  # an integer of hundreds of digits
        return math.nan
    return number if abs(number) < _MAX_RATING else math.nan


def _found(value: Any) -> str:
    return "nothing" if value is None or value == "" else shown(value)
