r"""One row's parts -> one prompt with its judged answers, whatever table they come from. Standard library.

A layout says where the parts lie; these functions read them: a pair, a judged answer, rated or ranked answers, a choice
between two. Each part may be a text, messages, a transcript, or one of them written into a text. This room must not
know files, formats, or how a layout is recognised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.core.judgements import Verdict
from bnf_lab.core.numbers import counted
from bnf_lab.data.conversations import check_prompt, is_blank, put_thought, split_answer
from bnf_lab.data.drafts import Draft, Prompt, Reading
from bnf_lab.data.fields import Parts, join_prompts, read_answer, read_prompt
from bnf_lab.data.formats.rows import RowProblem
from bnf_lab.data.numbers import found_words, read_number, read_rank, read_rating
from bnf_lab.data.survey import normalise_value
from bnf_lab.data.transcripts import strip_marks

PROMPT_TAKEN_OFF = "the answers began with the prompt, which was taken off"
ONE_SYSTEM = "only one of the two answers comes with a system message; it was taken for both"
EQUAL_SCORES = "both answers have the same score; they are taken as their columns order them"
CONTRADICTION = "the scores contradict the verdict"
TURNED_ROUND = "the pair was turned round, as its scores have it"


def read_pair(parts: Parts, reading: Reading) -> Draft:
    """Reads a preferred and a dispreferred answer to one prompt.

    Raises:
        RowProblem: If the row is no pair.
    """
    first, second = parts.name("preferred"), parts.name("dispreferred")
    before, preferred = read_answer(parts.get("preferred"), first, reading)
    other, dispreferred = read_answer(parts.get("dispreferred"), second, reading)
    preferred = _finish(preferred, parts, "preferred_thought")
    dispreferred = _finish(dispreferred, parts, "dispreferred_thought")
    if before and other and before != other:
        before = other = _same_turns(before, other, (first, second), reading)
    given = read_prompt(parts, reading)
    column = parts.name("prompt" if "prompt" in parts.values else "system") if given else first
    prompt = join_prompts(given, before or other, column)
    if all(message.role == "system" for message in prompt):
        raise RowProblem(
            "there is no prompt: no column for it is known, and the answers are no whole conversations. Add a 'prompt' "
            "column, or say which column is the prompt.",
            first,
            "promptless",
        )
    preferred, dispreferred = take_off_prompt(prompt, (preferred, dispreferred), reading)
    if preferred.strip() == dispreferred.strip():
        raise RowProblem(
            f"it says the same as {shown(first, 40)}, so neither is preferred. Change one or delete the row.",
            second,
            "same",
        )
    prompt = check_prompt(prompt, column)
    answers = ((preferred, Verdict.PREFERRED), (dispreferred, Verdict.DISPREFERRED))
    return Draft(prompt, _as_scored(answers, parts, reading), read_weight(parts))


def _finish(answer: str, parts: Parts, thought: str) -> str:
    """Puts an answer's thought before it, and takes off the end of turn that its prompt's template adds."""
    return put_thought(strip_marks(answer, parts.get("prompt")), parts.get(thought))


def _same_turns(before: Prompt, other: Prompt, columns: tuple[str, str], reading: Reading) -> Prompt:
    """Returns the conversation that both answers reply to; one may hold a system message that the other lacks."""
    for longer, shorter in ((before, other), (other, before)):
        if longer[0].role == "system" and longer[1:] == shorter:
            reading.say(ONE_SYSTEM)
            return longer
    raise RowProblem(
        f"the conversation differs from {shown(columns[0], 40)} before the last turn, so the answers do not reply to "
        "the same prompt. Correct it or delete the row.",
        columns[1],
    )


def _as_scored(
    answers: tuple[tuple[str, Verdict], tuple[str, Verdict]], parts: Parts, reading: Reading
) -> tuple[tuple[str, Verdict], ...]:
    """Says where scores contradict the order of a pair, and turns it round if the person wants that."""
    high, low = read_number(parts.get("preferred_score")), read_number(parts.get("dispreferred_score"))
    if high == low:
        reading.say(EQUAL_SCORES)
    if not high < low:  # nan is not, either
        return answers
    if not reading.turns_round:
        reading.say(CONTRADICTION)
        return answers
    reading.say(TURNED_ROUND)
    (better, yes), (worse, no) = answers
    return ((worse, yes), (better, no))


def take_off_prompt(prompt: Prompt, answers: tuple[str, ...], reading: Reading) -> tuple[str, ...]:
    """Takes the last prompt off where every answer repeats it at its start."""
    asked = prompt[-1].content.strip()
    texts = [answer.lstrip() for answer in answers]
    if len(asked) < 2 or not all(t.startswith(asked) and t[len(asked) :].strip() for t in texts):
        return answers
    rests = [text[len(asked) :] for text in texts]
    if not all(rest[0].isspace() or not asked[-1].isalnum() for rest in rests):  # "Add" is no prompt of "Added"
        return answers
    reading.say(PROMPT_TAKEN_OFF)
    return tuple(rest.strip() for rest in rests)


def read_labelled(parts: Parts, reading: Reading) -> Draft:
    """Reads one answer and its label.

    Raises:
        RowProblem: If a part is missing or the label is none of those that the column's vocabulary has.
    """
    prompt, response = _read_single(parts, reading)
    return Draft(
        prompt, ((response, read_label(parts.get("label"), parts.name("label"), reading)),), read_weight(parts)
    )


def read_label(value: Any, column: str, reading: Reading) -> Verdict:
    """Returns what a label means.

    Raises:
        RowProblem: If it is missing or was left out by choice.
    """
    if is_blank(value):
        raise RowProblem("the label is missing. Fill it or delete the row.", column, "empty")
    verdict = reading.labels.get(normalise_value(value) or "")
    if verdict is None:
        accepted = ", ".join(shown(label) for label in list(reading.labels)[:6])
        raise RowProblem(f"found {shown(value)}; the labels of this column are {accepted}. Correct it.", column)
    return verdict


def read_rated(parts: Parts, reading: Reading) -> Draft:
    """Reads one answer and its rating, or a list of answers and the list of their ratings.

    Raises:
        RowProblem: If a part is missing, a rating is not a finite number, or the lists differ in length.
    """
    return _read_scored(parts, "rating", reading, read_rating)


def read_ranked(parts: Parts, reading: Reading) -> Draft:
    """Reads as `read_rated` does, with ranks; the draft's ratings are the ranks with a minus sign.

    Raises:
        RowProblem: If a part is missing, a rank is not a number, or the lists differ in length.
    """
    return replace(_read_scored(parts, "rank", reading, read_rank), is_ranked=True)


def _read_scored(parts: Parts, part: str, reading: Reading, read: Callable[[Any, str], float]) -> Draft:
    texts, numbers = parts.get("response"), parts.get(part)
    if isinstance(texts, list) and (isinstance(numbers, list) or any(isinstance(text, str) for text in texts[:1])):
        return _read_listed(parts, part, reading, read)
    prompt, response = _read_single(parts, reading)
    return Draft(prompt, ((response, read(numbers, parts.name(part))),), read_weight(parts))


def _read_listed(parts: Parts, part: str, reading: Reading, read: Callable[[Any, str], float]) -> Draft:
    name, column = parts.name("response"), parts.name(part)
    texts, numbers = parts.get("response"), parts.get(part)
    if not texts:
        raise RowProblem("the list is empty. Fill it or delete the row.", name, "empty")
    if not isinstance(numbers, list) or len(numbers) != len(texts):
        raise RowProblem(
            f"found {shown(numbers)} for the {counted(len(texts), 'answer')} in {shown(name, 40)}; a list with a "
            "number for each is needed. Correct it or delete the row.",
            column,
        )
    given = read_prompt(parts, reading)
    answers, prompts = [], set()
    for i, (text, number) in enumerate(zip(texts, numbers, strict=True), start=1):
        try:
            before, response = read_answer(text, name, reading)
            answers.append((response, read(number, column)))
        except RowProblem as problem:
            raise RowProblem(f"entry {i}: {problem.text}", problem.column, problem.kind) from problem
        prompts.add(check_prompt(join_prompts(given, before, parts.name("prompt")), parts.name("prompt")))
    if len(prompts) > 1:
        raise RowProblem(
            "the conversations differ before their last turns, so the answers do not reply to the same "
            "prompt. Correct them or give each its own row.",
            name,
        )
    return Draft(prompts.pop(), tuple(answers), read_weight(parts))


def _read_single(parts: Parts, reading: Reading) -> tuple[Prompt, str]:
    given, column = read_prompt(parts, reading), parts.name("prompt")
    if "response" not in parts.values:
        given, response = split_answer(given, column)
        return check_prompt(given, column), response
    before, response = read_answer(parts.get("response"), parts.name("response"), reading)
    return check_prompt(join_prompts(given, before, column), column), _finish(response, parts, "thought")


def read_weight(parts: Parts) -> float:
    """Returns the weight of a row's verdicts, 1 where it has none.

    Raises:
        RowProblem: If it is no number in (0, 1].
    """
    if not parts.has("weight"):
        return 1.0
    weight = read_number(parts.get("weight"))
    if not 0 < weight <= 1:
        raise RowProblem(
            f"found {found_words(parts.get('weight'))}; a weight is a number above 0 and at most 1. Correct it or"
            " delete the row.",
            parts.name("weight"),
        )
    return weight
