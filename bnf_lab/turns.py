"""Texts and conversations as they stand in a row's fields -> checked texts and messages. Standard library.

Knows one field at a time; this room must not know schemas, files or judgements.
"""

from __future__ import annotations

import re
from typing import Any

from bnf_lab.errors import shown
from bnf_lab.preferences import ROLES, Message
from bnf_lab.rows import RowProblem

_ROLE_NAMES = {
    **{role: role for role in ROLES},
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "observation": "tool",
}
_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_text(value: Any, column: str, field_chars: int) -> str:
    """Returns a field's text unchanged.

    Raises:
        RowProblem: If it is no text, blank, too long, or holds characters that no text has.
    """
    if value is None:
        raise RowProblem("it is missing. Fill it or delete the row.", column, "empty")
    if not isinstance(value, str):
        raise RowProblem(f"a text is needed, found {shown(value)}. Write it as a text or delete the row.", column)
    if not value.strip():
        raise RowProblem("it is empty. Fill it or delete the row.", column, "empty")
    if len(value) > field_chars:
        raise RowProblem(f"it has {len(value):,} characters; a field may have {field_chars:,}. Shorten it.", column)
    if "\x00" in value:
        raise RowProblem(f"it holds a NUL character at position {value.index(chr(0)) + 1}. Remove it.", column)
    if not value.isascii() and (bad := _SURROGATE.search(value)):
        raise RowProblem(f"it holds half a character (\\u{ord(bad[0]):04x}) at position {bad.start() + 1}. "
                         "Export the file again as UTF-8.", column)
    return value


def read_messages(value: Any, column: str, field_chars: int) -> tuple[Message, ...]:
    """Returns a conversation: a list of {"role", "content"} or {"from", "value"}; empty system messages are left out.

    Raises:
        RowProblem: If it is no such list, or a message is not right.
    """
    if not isinstance(value, list) or not value:
        raise RowProblem(f"a list of messages is needed, found {shown(value)}.", column, "" if value else "empty")
    messages = tuple(_read_message(item, i, column, field_chars) for i, item in enumerate(value, start=1))
    return tuple(m for m in messages if m.content)


def _read_message(item: Any, position: int, column: str, field_chars: int) -> Message:
    if isinstance(item, dict) and item.get("role") is not None:
        role, content = item["role"], item.get("content")
    elif isinstance(item, dict) and item.get("from") is not None:
        role, content = item["from"], item.get("value")
    else:
        raise RowProblem(f'message {position} is {shown(item)}; a message is {{"role": "user", "content": "..."}}.',
                         column)
    name = _ROLE_NAMES.get(role) if isinstance(role, str) else None
    if name is None:
        raise RowProblem(f"message {position} has the role {shown(role)}; accepted are {', '.join(ROLES)}, human and "
                         "gpt. Correct it.", column)
    if name == "system" and content == "":
        return Message(name, "")
    try:
        return Message(name, read_text(content, column, field_chars))
    except RowProblem as problem:
        raise RowProblem(f"message {position}: {problem.text}", column, problem.kind) from problem


def is_transcript(value: Any) -> bool:
    r"""Tells whether a text is an Anthropic HH transcript.

    >>> is_transcript("\n\nHuman: Hi\n\nAssistant: Hello")
    True
    """
    return isinstance(value, str) and value.lstrip().startswith("Human:") and "\n\nAssistant:" in value


def read_transcript(value: str, column: str, field_chars: int) -> tuple[Message, ...]:
    """Returns the turns of a transcript; a last assistant turn without text (an open end) is left out.

    Raises:
        RowProblem: If a turn is empty, or the text is none that may be taken.
    """
    parts = _TURN.split(read_text(value, column, field_chars))
    turns = [(parts[i], parts[i + 1].strip()) for i in range(1, len(parts), 2)]
    if turns[-1] == ("Assistant", ""):
        turns.pop()
    empty = next((i for i, (_, text) in enumerate(turns, start=1) if not text), None)
    if empty is not None:
        raise RowProblem(f"turn {empty} of the transcript is empty. Fill it or delete the row.", column, "empty")
    return tuple(Message("user" if who == "Human" else "assistant", text) for who, text in turns)


def split_answer(messages: tuple[Message, ...], column: str) -> tuple[tuple[Message, ...], str]:
    """Cuts a conversation into what comes before its last message and that message, the assistant's.

    Raises:
        RowProblem: If the last message is not the assistant's.
    """
    if not messages or messages[-1].role != "assistant":
        raise RowProblem("the conversation does not end with the assistant's answer. Add it or delete the row.", column)
    return messages[:-1], messages[-1].content


def check_prompt(messages: tuple[Message, ...], column: str) -> tuple[Message, ...]:
    """Returns the prompt if an answer can follow it.

    Raises:
        RowProblem: If there is no message of the user, the assistant spoke last, or a system message is not first.
    """
    if any(m.role == "system" for m in messages[1:]):
        raise RowProblem("a system message stands after the first message. Move it to the start.", column)
    if not any(m.role == "user" for m in messages):
        raise RowProblem("there is no message of the user before the answer. Add the prompt.", column, "empty")
    if messages[-1].role not in ("user", "tool"):
        raise RowProblem(f"the prompt ends with a message of the {messages[-1].role}; the user's must come last, "
                         "the answer follows it. Correct it or delete the row.", column)
    return messages
