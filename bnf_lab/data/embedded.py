"""A conversation, or a list of answers, written into a text: as JSON, or as Python and numpy print it.

Spreadsheets and table libraries write lists into cells in these two ways, with blanks, line breaks and indents of any
kind. Messages count wherever they stand; other lists only in a table that says nothing without them. Every other text
is a text. Standard library.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bnf_lab.data.conversations import find_messages
from bnf_lab.data.formats.rows import Literal, Refusal, Row, RowProblem, Table

MAX_NESTING = 32
_START = re.compile(r"\s*(?:array\(\s*)?[\[{]")
_MARKS = re.compile(r"""["'](?:role|from|author|speaker|messages|conversations?|input|output|content|value)["']\s*:""")
_QUOTED = r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
_NUMPY = re.compile(_QUOTED + r"|\}\s*\{|\barray\((?=\[)|\],\s*dtype=object\)|\]\)", re.DOTALL)


def looks_embedded(text: str) -> bool:
    """Tells whether a text begins and reads like a list or object of messages; `decode` finds out.

    >>> looks_embedded('[ {"role": "user", "content": "Hi"} ]'), looks_embedded("[sic] he said")
    (True, False)
    """
    return bool(_START.match(text)) and bool(_MARKS.search(text, 0, 4000))


def spells_messages(text: str) -> bool:
    """Tells whether a text is a whole conversation, written as JSON or as Python prints it.

    >>> spells_messages('[{"role": "user", "content": "Hi"}]'), spells_messages('{"role": "admin"}')
    (True, False)
    """
    if not looks_embedded(text):
        return False
    try:
        return find_messages(decode(text)) is not None
    except ValueError:
        return False


def is_bracketed(text: Any) -> bool:
    """Tells whether a text is a list or an object by its brackets; `decode` finds out."""
    bare = text.strip() if isinstance(text, str) else ""
    return bare[:1] + bare[-1:] in ("[]", "{}")


def decode_cells(values: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
    """Returns a row with the lists and objects that texts of these columns spell; what spells none stays a text.

    >>> decode_cells({"q": "[sic]", "answers": "['a', 'b']"}, {"q", "answers"})
    {'q': '[sic]', 'answers': ['a', 'b']}
    """
    decoded = dict(values)
    for name in columns:
        if is_bracketed(decoded.get(name)):
            try:
                decoded[name] = decode(decoded[name])
            except ValueError:
                continue
    return decoded


def decode(text: str) -> Any:
    r"""Returns the list or object that a text spells.

    Raises:
        ValueError: If it spells none.

    >>> decode("[{'role': 'user', 'content': 'Hi'}\n {'role': 'assistant', 'content': 'Yes'}]")[1]["content"]
    'Yes'
    """
    if _is_deep(text):
        raise ValueError("nested too deeply")
    try:
        return json.loads(text, parse_float=Literal, object_pairs_hook=_unique)
    except (ValueError, RowProblem):
        pass
    try:
        return _as_json(ast.literal_eval(_NUMPY.sub(_as_python, text.strip())))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise ValueError("neither JSON nor a Python list") from error


def _as_json(value: Any) -> Any:
    """Returns what Python spelt as JSON would hold it: no sets, bytes or complex numbers, and names that are texts."""
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _as_json(inner) for key, inner in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"holds {type(value).__name__}")


def _as_python(match: re.Match[str]) -> str:
    """Puts the commas between numpy's objects and takes its names away; quoted texts stay as they are."""
    if match[1] is not None:
        return match[1]
    if match[0].startswith("}"):
        return "}, {"
    return "" if match[0].startswith("array") else "]"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a name appears twice")
    return record


def _is_deep(text: str) -> bool:
    if sum(map(text.count, "[{(")) <= MAX_NESTING:
        return False
    depth = deepest = 0
    for character in text:
        if character in "[{(":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]})":
            depth -= 1
    return deepest > MAX_NESTING


@dataclass(frozen=True)
class DecodedTable:
    """A table whose cells in some columns spell lists or objects."""

    table: Table
    columns: Collection[str]

    @property
    def kind(self) -> str:
        return self.table.kind

    @property
    def notes(self) -> tuple[str, ...]:
        return self.table.notes

    def __iter__(self) -> Iterator[Row | Refusal]:
        for row in self.table:
            yield row if isinstance(row, Refusal) else replace(row, values=decode_cells(row.values, self.columns))
