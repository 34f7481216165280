r"""Conversations written as one text -> messages. Standard library.

Three kinds: turns named "Human:" and "Assistant:" after a blank line, as in Anthropic's HH sets, whatever the line ends
are; turns named after their speakers on lines of their own, where a whole column is written so; and turns between the
marks of a chat template (ChatML, Llama, Zephyr, Gemma) or of HelpSteer. Knows one text at a time; this room must not
know layouts or files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bnf_lab.core.judgements import Message
from bnf_lab.data.conversations import BLANK_SYSTEM, find_role, read_text
from bnf_lab.data.drafts import Prompt, Reading
from bnf_lab.data.formats.rows import RowProblem

_TURN = re.compile(r"(?:\A\s*|\r?\n[ \t]*\r?\n)(?:#{2,3} ?)?(Human|Assistant):")
_OPENING = re.compile(r"\A[ \t]*\r?\n[ \t]*\r?\n(?:#{2,3} ?)?Human:")
_ANSWERS = re.compile(r"\A\s*(?:#{2,3} ?)?Assistant:\s*")
_SPOKEN = "Human|User|Assistant|AI|Bot|System"
_LINE = re.compile(rf"(?:\A\s*|\r?\n[ \t]*)(?:\*\*|#{{2,3}} ?)?({_SPOKEN})(?:\*\*)?:(?:\*\*)?", re.IGNORECASE)
MARKS = "turns between the marks of a chat template were taken apart, without the marks"
PREAMBLE = "what stands before the first turn of a transcript was taken as the system message"


def is_transcript(value: Any, *, with_preamble: bool = False) -> bool:
    r"""Tells whether a text is a transcript; with a preamble only where the whole column is.

    >>> is_transcript("\n\nHuman: Hi\n\nAssistant: Hello"), is_transcript("Be kind.\r\n\r\nHuman: Hi\r\n\r\nAssistant:")
    (True, False)
    """
    if not isinstance(value, str) or "Human:" not in value:
        return False
    if "Assistant:" not in value:
        return bool(_OPENING.match(value))
    found = list(_TURN.finditer(value))
    is_whole = len(found) >= 2 and found[0][1] == "Human" and any(turn[1] == "Assistant" for turn in found)
    return is_whole and (with_preamble or not value[: found[0].start()].strip())


def is_spoken(value: Any) -> bool:
    r"""Tells whether a text begins with a speaker's name and has turns of both, each on a line of its own.

    Such a text may be anybody's, so that only a column that is mostly written so is read by it.

    >>> is_spoken("User: Hi\nAssistant: Hello"), is_spoken("user: Hi\nassistant:"), is_spoken("Human: a history")
    (True, True, False)
    """
    if not isinstance(value, str) or ":" not in value:
        return False
    found = list(_LINE.finditer(value)) if _LINE.match(value) else []
    roles = [find_role(turn[1]) for turn in found]
    return roles[:1] in (["user"], ["system"]) and {"user", "assistant"} <= set(roles)


def is_open(value: str) -> bool:
    """Tells whether a transcript ends with an empty turn of the assistant, as a prompt does."""
    found = list(_TURN.finditer(value))
    return bool(found) and found[-1][1] == "Assistant" and not value[found[-1].end() :].strip()


def read_spoken(value: str, column: str, reading: Reading) -> Prompt:
    """Returns the turns of a text with speakers' names at the beginnings of lines; see `read_transcript`.

    Raises:
        RowProblem: If a turn is empty, or the text is none that may be taken.
    """
    return _read_turns(_LINE, value, column, reading)


def read_transcript(value: str, column: str, reading: Reading) -> Prompt:
    """Returns the turns of a transcript; a last assistant turn without text (an open end) is left out.

    Raises:
        RowProblem: If a turn is empty, or the text is none that may be taken.
    """
    return _read_turns(_TURN, value, column, reading)


def _read_turns(turn: re.Pattern[str], value: str, column: str, reading: Reading) -> Prompt:
    preamble, *parts = turn.split(read_text(value, column, reading.field_chars))
    turns = [(find_role(parts[i]) or "user", parts[i + 1].strip()) for i in range(0, len(parts), 2)]
    if turns[-1:] == [("assistant", "")]:
        turns.pop()
    if turns[:1] == [("system", "")]:
        reading.say(BLANK_SYSTEM)
        turns = turns[1:]
    empty = next((i for i, (_, text) in enumerate(turns, start=1) if not text), None)
    if empty is not None:
        raise RowProblem(f"turn {empty} of the transcript is empty. Fill it or delete the row.", column, "empty")
    messages = tuple(Message(role, text) for role, text in turns)
    if not preamble.strip():
        return messages
    reading.say(PREAMBLE)
    return (Message("system", preamble.strip()), *messages)


@dataclass(frozen=True)
class _Template:
    """How one family of templates marks turns: `turn` captures who speaks, `end` closes one."""

    turn: re.Pattern[str]
    end: str


_TEMPLATES = (
    _Template(re.compile(r"<\|im_start\|>(\w+)\n"), "<|im_end|>"),
    _Template(re.compile(r"(?:<\|begin_of_text\|>)?<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n"), "<|eot_id|>"),
    _Template(re.compile(r"<\|(system|user|assistant)\|>\n"), "</s>"),
    _Template(re.compile(r"(?:<bos>)?<start_of_turn>(user|model)\n"), "<end_of_turn>"),
)
_HELPSTEER = _Template(re.compile(r"\n?<extra_id_[01]>(System|User|Assistant)\n"), "")


def is_templated(value: Any) -> bool:
    r"""Tells whether a text is a conversation between the marks of a chat template.

    >>> is_templated("<|im_start|>user\nHi<|im_end|>\n"), is_templated("Hi<extra_id_1>Assistant\nYes")
    (True, True)
    """
    return isinstance(value, str) and _find_template(value) is not None


def _find_template(text: str) -> _Template | None:
    if "<" not in text:
        return None
    start = len(text) - len(text.lstrip())
    found = next((template for template in _TEMPLATES if template.turn.match(text, start)), None)
    return found or (_HELPSTEER if "<extra_id_" in text and _HELPSTEER.turn.search(text) else None)


def read_templated(value: str, column: str, reading: Reading) -> Prompt:
    """Returns the turns of a text between the marks of a template; a last turn without text (an open end) is left out.

    Raises:
        RowProblem: If a turn is empty or of an unknown role.
    """
    text = read_text(value, column, reading.field_chars)
    template = _find_template(text) or _HELPSTEER
    first, *parts = template.turn.split(text)
    said = [("user", first), *zip(parts[::2], parts[1::2], strict=True)]
    turns = [(find_role(who), body.strip().removesuffix(template.end).strip()) for who, body in said]
    kept = [turn for turn in turns[:1] if turn[1]] + turns[1:]
    if kept and kept[-1] == ("assistant", ""):
        kept.pop()
    reading.say(MARKS)
    messages = [Message(role, body) for role, body in kept if role and body]
    if not messages or len(messages) != len(kept):
        raise RowProblem(
            "a turn between a template's marks is empty or of an unknown role. Correct it.", column, "empty"
        )
    return tuple(messages)


def strip_marks(answer: str, prompt: Any) -> str:
    r"""Takes off an answer what its prompt, a transcript or a text with a template's marks, would be followed by.

    >>> strip_marks("Yes<|im_end|>\n", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    'Yes'
    >>> strip_marks("\n\nAssistant: Yes", "\n\nHuman: Hi")
    'Yes'
    """
    if is_transcript(prompt):
        return _ANSWERS.sub("", answer)
    template = _find_template(prompt) if isinstance(prompt, str) else None
    bare = answer.rstrip()
    return bare.removesuffix(template.end) if template and template.end and bare.endswith(template.end) else answer
