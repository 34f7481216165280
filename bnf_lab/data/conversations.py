"""Texts and conversations as they stand in a row's fields -> checked texts and messages. Standard library.

Reads messages in the spellings of chat front ends, tools and data sets; transcripts are in `transcripts.py`. Whatever
cannot be trained on as text (images, tool calls that are the answer) is a problem of the row, never dropped. Knows one
field at a time; this room must not know layouts, files or judgements.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.core.judgements import ROLES, Message
from bnf_lab.core.numbers import counted
from bnf_lab.data.drafts import Prompt, Reading
from bnf_lab.data.formats.rows import Literal, RowProblem

ROLE_NAMES = {
    **{role: role for role in ROLES},
    **dict.fromkeys(("human", "prompter", "customer", "instruction"), "user"),
    **dict.fromkeys("gpt model bot ai chatgpt chatbot claude llm function_call tool_call".split(), "assistant"),  # noqa: SIM905
    **dict.fromkeys(("developer", "system_prompt"), "system"),
    **dict.fromkeys(("observation", "function", "ipython", "tool_response", "function_response"), "tool"),
}
_CALLS = ("function_call", "tool_call")
_ROLE_KEYS = ("role", "from")
_NAME_KEYS = ("author", "speaker", "sender", "type")  # a role only if they name one: an answer has an author, too
_CONTENT_KEYS = ("content", "value", "text", "message", "parts", "body", "data")
_CALL_KEYS = ("tool_calls", "function_call")
_MEDIA_KEYS = ("image", "images", "image_url", "audio", "video", "videos", "input_audio")
_FILE_KEYS = ("files", "attachments")
_THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking", "thought")
_TEXT_PARTS = ("text", "input_text", "output_text")
_LISTS = ("messages", "conversations", "conversation", "turns")
_SURROGATE = re.compile("[\ud800-\udfff]")

CALL_IS_ANSWER = (
    "it calls a tool, and a call is no text that could be trained on. Write what the model should say as its content, "
    "or delete the row."
)
CALLS_KEPT = "a tool call stands in the conversation before the answer and is kept as plain text"
BLANK_SYSTEM = "a blank system message was left out"
TOOLS_UNUSED = "the list of tools that the model could call is not used"
FILES_UNUSED = "files are attached to messages and are not used"
EARLIER_THOUGHTS = "the thoughts of an earlier turn were left out, as chat templates do"


def read_text(value: Any, column: str, field_chars: int) -> str:
    """Returns a field's text unchanged; a number stands for its spelling, a list of one for what it holds.

    Raises:
        RowProblem: If it is no text, blank, too long, or holds characters that no text has.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise RowProblem("it is missing. Fill it or delete the row.", column, "empty")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        value = value[0]
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = value.text if isinstance(value, Literal) else str(value)
    if not isinstance(value, str):
        raise RowProblem(f"a text is needed, found {shown(value)}. Write it as a text or delete the row.", column)
    if not value.strip():
        raise RowProblem("it is empty. Fill it or delete the row.", column, "empty")
    if len(value) > field_chars:
        raise RowProblem(
            f"it has {counted(len(value), 'character')}; a field may have {field_chars:,}. Shorten it.", column
        )
    if "\x00" in value:
        raise RowProblem(f"it holds a NUL character at position {value.index(chr(0)) + 1}. Remove it.", column)
    if not value.isascii() and (bad := _SURROGATE.search(value)):
        raise RowProblem(
            f"it holds half a character (\\u{ord(bad[0]):04x}) at position {bad.start() + 1}. "
            "Export the file again as UTF-8.",
            column,
        )
    return value


def is_blank(value: Any) -> bool:
    """Tells whether a field holds nothing: nothing at all, a blank text, an empty list or object, or no number."""
    if isinstance(value, str):
        return not value.strip() or value.strip().lower() in ("nan", "null", "none", "n/a", "<na>")
    return value is None or value in ([], {}) or (isinstance(value, float) and math.isnan(value))


def find_messages(value: Any) -> list[Any] | None:
    """Returns the messages that a value is, in whatever wrapping, as objects; None if it is no conversation.

    >>> find_messages({"messages": [{"role": "user", "content": "Hi"}], "tools": []})
    [{'role': 'user', 'content': 'Hi'}]
    >>> find_messages([{"input": "Hi", "output": "Yes"}])
    [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Yes'}]
    """
    if isinstance(value, dict):
        inner = next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
        if inner is not None:
            return find_messages(inner)
        by_column = _from_columns(value)
        return by_column if by_column is not None else [value] if _is_message(value) else None
    if not isinstance(value, list) or not value:
        return None
    if len(value) == 1 and isinstance(value[0], list):
        return find_messages(value[0])
    turns = list(_turns(value))
    return turns if turns and all(turn is not None for turn in turns) else None


def find_role(spoken: Any) -> str | None:
    """Returns the role that a name stands for, in any case; None if it is not known.

    >>> find_role(" Human "), find_role("prompter"), find_role("Ann")
    ('user', 'user', None)
    """
    return ROLE_NAMES.get(spoken.strip().lower()) if isinstance(spoken, str) else None


def spoken_role(item: Mapping[str, Any]) -> Any:
    """Returns what a message calls its speaker; None if it says nothing that could be a role."""
    for key in (*_ROLE_KEYS, *_NAME_KEYS):
        role = item.get(key)
        if isinstance(role, dict):  # {"author": {"role": "user"}}
            role = role.get("role") or role.get("name")
        if role is not None and (key in _ROLE_KEYS or find_role(role)):
            return role
    return None


def _is_message(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and spoken_role(item) is not None
        and not item.keys().isdisjoint((*_CONTENT_KEYS, *_CALL_KEYS))
    )


def _from_columns(value: Mapping[str, Any]) -> list[Any] | None:
    """Messages kept column by column: {"role": [...], "content": [...]}."""
    lists = {name: inner for name, inner in value.items() if isinstance(inner, list)}
    is_table = any(key in lists for key in _ROLE_KEYS) and not lists.keys().isdisjoint(_CONTENT_KEYS)
    if not is_table or len({len(inner) for inner in lists.values()}) != 1:
        return None
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _turns(items: Sequence[Any]) -> Iterator[dict[str, Any] | None]:
    """Yields each turn as an object with role and content; None for what is no turn."""
    for item in items:
        if _is_message(item):
            yield item
        elif isinstance(item, dict) and {"input", "output"} <= item.keys():
            yield {"role": "user", "content": item["input"]}
            yield {"role": "assistant", "content": item["output"]}
        elif isinstance(item, dict) and item and all(str(key).lower() in ROLE_NAMES for key in item):
            yield from ({"role": role, "content": content} for role, content in item.items())
        else:
            yield None


def read_messages(value: Any, column: str, reading: Reading) -> Prompt:
    """Returns a conversation in any usual spelling; blank system messages are left out and said.

    Raises:
        RowProblem: If it is none, or a message is not right.
    """
    items = find_messages(value)
    if items is None:
        if isinstance(value, list) and value:
            at = next((i for i, turn in enumerate(_turns(value), start=1) if turn is None), 1)
            item = value[min(at, len(value)) - 1]
            raise RowProblem(
                f'message {at} is {shown(item)}; a message is {{"role": "user", "content": "..."}}.', column
            )
        raise RowProblem(f"a list of messages is needed, found {shown(value)}.", column, "" if value else "empty")
    if isinstance(value, dict) and not is_blank(value.get("tools")):
        reading.say(TOOLS_UNUSED)
    read = [_read_message(item, i, column, reading, i == len(items)) for i, item in enumerate(items, start=1)]
    messages = tuple(message for message in read if message is not None)
    if not messages:
        raise RowProblem("the conversation holds nothing but a blank system message.", column, "empty")
    return messages


def _read_message(
    item: Mapping[str, Any], position: int, column: str, reading: Reading, is_last: bool
) -> Message | None:
    role = spoken_role(item)
    name = find_role(role)
    if name is None:
        raise RowProblem(
            f"message {position} has the role {shown(role)}; accepted are {', '.join(ROLES)} and their usual other "
            "names (human, gpt, bot, ai, developer, ...). Correct it.",
            column,
        )
    content = next((item[key] for key in _CONTENT_KEYS if not is_blank(item.get(key))), item.get("content"))
    _check_calls(item, str(role).strip().lower(), position, column, reading, is_last)
    try:
        if name == "system" and is_blank(content):
            reading.say(BLANK_SYSTEM)
            return None
        _check_media(item, column, reading)
        return Message(name, _with_thought(item, read_content(content, column, reading), reading, is_last))
    except RowProblem as problem:
        raise RowProblem(f"message {position}: {problem.text}", column, problem.kind) from problem


def _check_calls(
    item: Mapping[str, Any], spoken: str, position: int, column: str, reading: Reading, is_last: bool
) -> None:
    """Refuses a call that would be lost, or that would have to be the answer."""
    has_call = any(not is_blank(item.get(key)) for key in _CALL_KEYS)
    if has_call or (spoken in _CALLS and is_last):
        raise RowProblem(f"message {position}: {CALL_IS_ANSWER}", column)
    if spoken in _CALLS:
        reading.say(CALLS_KEPT)


def _check_media(item: Mapping[str, Any], column: str, reading: Reading) -> None:
    if any(not is_blank(item.get(key)) for key in _FILE_KEYS):
        reading.say(FILES_UNUSED)
    found = next((key for key in _MEDIA_KEYS if not is_blank(item.get(key))), None)
    if found:
        raise RowProblem(f"it comes with {shown(found)}; only text can be trained on. Leave the row out.", column)


def _with_thought(item: Mapping[str, Any], text: str, reading: Reading, is_last: bool) -> str:
    """Puts a thought that stands in a field of its own where it belongs, before the answer."""
    content = item.get("content")
    places = (item, *(part for part in content if isinstance(part, dict))) if isinstance(content, list) else (item,)
    thoughts = (place[key] for place in places for key in _THOUGHT_KEYS if isinstance(place.get(key), str))
    thought = next((text for text in thoughts if text.strip()), None)
    if thought is not None and not is_last and "<think>" not in text:
        reading.say(EARLIER_THOUGHTS)
        return text
    return put_thought(text, thought)


def put_thought(text: str, thought: Any) -> str:
    """Returns an answer with its thought before it, as templates write it; one that brings its own stays as it is."""
    if is_blank(thought) or not isinstance(thought, str) or "<think>" in text:
        return text
    return f"<think>\n{thought.strip()}\n</think>\n\n{text}"


def read_content(value: Any, column: str, reading: Reading) -> str:
    """Returns a message's text; parts of text are joined.

    Raises:
        RowProblem: If a part is no text.
    """
    if isinstance(value, dict):  # ChatGPT's {"parts": [...]}, LangChain's {"content": "..."}
        value = next(
            (value[key] for key in ("parts", "content", "text") if isinstance(value.get(key), str | list)), value
        )
    if not isinstance(value, list):
        return read_text(value, column, reading.field_chars)
    texts = [text for part in value if (text := _read_part(part, column, reading)) is not None]
    return read_text("\n".join(texts), column, reading.field_chars)


def _read_part(part: Any, column: str, reading: Reading) -> str | None:
    if isinstance(part, str):
        return part
    if isinstance(part, dict):
        _check_media(part, column, reading)
        kind = str(part.get("type", "text")).lower()
        text = part.get("text", part.get("content"))
        if kind in _TEXT_PARTS and isinstance(text, str):
            return text
        is_void = all(is_blank(value) for key, value in part.items() if key != "type")
        if kind in ("thinking", "reasoning") or (kind in _TEXT_PARTS and is_void):
            return None  # thoughts are put before the answer; a struct of a table has empty parts
        raise RowProblem(
            f"it holds a part of the kind {shown(kind)}; only text can be trained on. Leave the row out.", column
        )
    raise RowProblem(f"it holds {shown(part)} where a part of text is needed. Correct it or delete the row.", column)


def split_answer(messages: Prompt, column: str) -> tuple[Prompt, str]:
    """Cuts a conversation into what comes before its last message and that message, the assistant's.

    Raises:
        RowProblem: If the last message is not the assistant's.
    """
    if not messages or messages[-1].role != "assistant":
        raise RowProblem("the conversation does not end with the assistant's answer. Add it or delete the row.", column)
    return messages[:-1], messages[-1].content


def check_prompt(messages: Prompt, column: str) -> Prompt:
    """Returns the prompt if an answer can follow it.

    Raises:
        RowProblem: If there is no message of the user, the assistant spoke last, or a system message is not first.
    """
    if any(m.role == "system" for m in messages[1:]):
        raise RowProblem("a system message stands after the first message. Move it to the start.", column)
    if not any(m.role == "user" for m in messages):
        raise RowProblem("there is no message of the user before the answer. Add the prompt.", column, "empty")
    if messages[-1].role not in ("user", "tool"):
        raise RowProblem(
            f"the prompt ends with a message of the {messages[-1].role}; the user's must come last, "
            "the answer follows it. Correct it or delete the row.",
            column,
        )
    return messages
