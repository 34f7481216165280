r"""A row's fields -> its prompt and an answer: a text, messages, a transcript, or one of them written into a text.

Knows the parts of one row; this room must not know verdicts, layouts or files. Standard library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.core.judgements import Message
from bnf_lab.data.conversations import BLANK_SYSTEM, find_messages, is_blank, read_messages, read_text, split_answer
from bnf_lab.data.drafts import Prompt, Reading
from bnf_lab.data.embedded import decode, decode_cells, looks_embedded
from bnf_lab.data.formats.rows import RowProblem
from bnf_lab.data.transcripts import (
    is_open,
    is_spoken,
    is_templated,
    is_transcript,
    read_spoken,
    read_templated,
    read_transcript,
)

_BLANK = re.compile(r"\s*")
_SPEAKERS = "human|user|prompter|assistant|gpt|bot|ai|model|system|chatgpt"
_LABEL = re.compile(rf"[\s#*<|]*(?:(?:{_SPEAKERS})\b[|>*]*\s*:?\s*)*", re.I)

TWO_SYSTEMS = "it and {} hold two different system messages. Keep one."


@dataclass(frozen=True)
class Parts:
    """The parts of one row, each with the name of the column it came from.

    Attributes:
        values: Part -> value; parts are prompt, system, context, extra, history, preferred, dispreferred, response,
            label, rating, rank, weight, thought, and preferred_ and dispreferred_ score and thought.
        columns: Part -> the column's name, for messages.
    """

    values: Mapping[str, Any]
    columns: Mapping[str, str] = field(default_factory=dict)

    def get(self, part: str) -> Any:
        return self.values.get(part)

    def name(self, part: str) -> str:
        return self.columns.get(part, part)

    def has(self, part: str) -> bool:
        return not is_blank(self.values.get(part))


def read_answer(value: Any, column: str, reading: Reading) -> tuple[Prompt, str]:
    """Returns the conversation before the answer, if the field has it, and the answer.

    Raises:
        RowProblem: If the field holds no answer.
    """
    value = _decoded(value, column, reading)
    if isinstance(value, dict) or (isinstance(value, list) and not _is_one_text(value)):
        return split_answer(read_messages(value, column, reading), column)
    if _is_transcript(value, column, reading):
        return split_answer(read_transcript(value, column, reading), column)
    if is_templated(value):
        return split_answer(read_templated(value, column, reading), column)
    if column in reading.spoken and is_spoken(value):
        return split_answer(read_spoken(value, column, reading), column)
    text = read_text(value, column, reading.field_chars)
    bare = re.match(r"\s*Assistant:\s*", text) if column in reading.transcripts else None
    return (), text[bare.end() :] if bare else text


def _is_one_text(value: list[Any]) -> bool:
    return len(value) == 1 and isinstance(value[0], str)


def _is_transcript(value: Any, column: str, reading: Reading) -> bool:
    return is_transcript(value, with_preamble=column in reading.transcripts)


def _decoded(value: Any, column: str, reading: Reading) -> Any:
    """Returns what a text spells where it is a conversation written into a cell.

    Raises:
        RowProblem: If the column holds conversations and this is none, or only this row of it looks like one.
    """
    if not isinstance(value, str) or not looks_embedded(value):
        return value
    try:
        found = decode(value)
    except ValueError as error:
        if column in reading.conversations:
            raise RowProblem(
                "it looks like a list of messages but is neither JSON nor a Python list. Write it with json.dumps, or "
                "use JSON lines.",
                column,
            ) from error
        return value
    if find_messages(found) is None:
        return value
    if column not in reading.conversations:
        raise RowProblem(
            "it holds messages written as text, while most other rows hold plain texts. Make the rows alike, or delete "
            "this one.",
            column,
        )
    return found


def read_prompt(parts: Parts, reading: Reading) -> Prompt:
    """Returns the prompt as the row gives it: system message, earlier turns, context, the question; may be empty.

    Raises:
        RowProblem: If a part of it cannot be read.
    """
    system = _read_system(parts, reading)
    if "prompt" not in parts.values:
        return system
    column = parts.name("prompt")
    messages = _read_turns(_decoded(parts.get("prompt"), column, reading), column, reading)
    if messages is None:
        messages = (Message("user", _read_question(parts, reading)),)
    elif parts.has("extra") or parts.has("context"):
        part = "extra" if parts.has("extra") else "context"
        raise RowProblem(
            f"it is a conversation, to which the text in {shown(parts.name(part), 40)} cannot be added. Write it as a "
            "text, as most other rows do, or leave that text out.",
            column,
        )
    own, messages = split_system(messages)
    if system and own and system[0].content.strip() != own[0].content.strip():
        raise RowProblem(TWO_SYSTEMS.format(f"the conversation in {shown(column, 40)}"), parts.name("system"))
    return (*(system or own), *_read_history(parts, reading), *messages)


def _read_turns(value: Any, column: str, reading: Reading) -> Prompt | None:
    """Returns the turns of a prompt that is a conversation of any kind; None if it is a text."""
    if isinstance(value, dict) or (isinstance(value, list) and not _is_one_text(value)):
        return read_messages(value, column, reading)
    if _is_transcript(value, column, reading) and (column in reading.transcripts or is_open(value)):
        return read_transcript(value, column, reading)
    if column in reading.spoken and is_spoken(value):
        return read_spoken(value, column, reading)
    return read_templated(value, column, reading) if is_templated(value) else None


def _read_question(parts: Parts, reading: Reading) -> str:
    text = _read_plain(parts, "prompt", reading)
    if parts.has("extra"):
        text += "\n" + _read_plain(parts, "extra", reading)
    return _read_plain(parts, "context", reading) + "\n\n" + text if parts.has("context") else text


def _read_plain(parts: Parts, part: str, reading: Reading) -> str:
    """Returns a part that has to be a text; a conversation written into one is none."""
    return read_text(_decoded(parts.get(part), parts.name(part), reading), parts.name(part), reading.field_chars)


def _read_system(parts: Parts, reading: Reading) -> Prompt:
    column = parts.name("system")
    if not parts.has("system"):
        if isinstance(parts.get("system"), str) and parts.get("system"):
            reading.say(BLANK_SYSTEM)
        return ()
    value = _decoded(parts.get("system"), column, reading)
    if find_messages(value) is None:
        return (Message("system", read_text(value, column, reading.field_chars)),)
    messages = read_messages(value, column, reading)
    if len(messages) != 1 or messages[0].role != "system":
        raise RowProblem("a system message is needed, found other messages. Correct it or leave it out.", column)
    return messages


def _read_history(parts: Parts, reading: Reading) -> Prompt:
    if not parts.has("history"):
        return ()
    column = parts.name("history")
    turns = decode_cells({column: parts.get("history")}, {column})[column]
    if turns == []:
        return ()
    if find_messages(turns) is not None:
        return read_messages(turns, column, reading)
    if not isinstance(turns, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in turns):
        raise RowProblem(
            f"a list of [question, answer] is needed, found {shown(turns)}. Correct it or leave it out.", column
        )
    return tuple(
        Message(role, read_text(text, column, reading.field_chars))
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    )


def join_prompts(given: Prompt, before: Prompt, column: str) -> Prompt:
    """Returns the prompt where both a prompt column and the conversation in the answer may hold it.

    Raises:
        RowProblem: If they are not the same conversation, or hold two different system messages.
    """
    system, asked = split_system(given)
    other, turns = split_system(before)
    if system and other and system[0].content.strip() != other[0].content.strip():
        raise RowProblem(TWO_SYSTEMS.format("the conversation in the answer"), column)
    if not asked or not turns:
        return (*(system or other), *(asked or turns))
    if turns[-len(asked) :] == asked:
        return (*(system or other), *turns)
    if asked[-len(turns) :] == turns:
        return (*(system or other), *asked)
    if len(asked) == 1 and (
        _says_again(asked[0], turns) or any(_flattens(asked[0].content, t) for t in (turns, before))
    ):
        return (*(system or other), *turns)
    raise RowProblem(
        "it is not the prompt that the conversation in the answer starts with. Make them agree, or leave "
        "one of them out.",
        column,
    )


def split_system(messages: Prompt) -> tuple[Prompt, Prompt]:
    n_system = 1 if messages and messages[0].role == "system" else 0
    return messages[:n_system], messages[n_system:]


def _says_again(message: Message, before: Prompt) -> bool:
    return message.content.strip() in {m.content.strip() for m in before if m.role == "user"}


def _flattens(text: str, before: Prompt) -> bool:
    """Tells whether a flat text holds exactly these turns, with or without the speakers' names between them."""
    at = 0
    for message in before:
        content = message.content.strip()
        blank, label = _BLANK.match(text, at), _LABEL.match(text, at)
        starts = [match.end() for match in (label, blank) if match]
        start = next((found for found in starts if text.startswith(content, found)), None)
        if start is None:
            return False
        at = start + len(content)
    rest = _LABEL.match(text, at)
    return not text[rest.end() if rest else at :].strip()
