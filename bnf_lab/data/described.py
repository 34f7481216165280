"""LLaMA-Factory's `dataset_info.json` beside a file: which columns play which part, and how its turns are called.

Read as data, never beyond that one name in that one folder. The columns are given the names that LLaMA-Factory has for
them, so that the layouts read them as they read any other table. Standard library; this room must not know layouts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.data.embedded import decode_cells
from bnf_lab.data.formats.rows import Refusal, Row, Table

NAME = "dataset_info.json"
_MAX_BYTES = 1_000_000
_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output", "messages": "conversations"}
_KEPT = ("system", "history", "tools", "images", "videos", "audios", "chosen", "rejected", "kto_tag")
_TALKS = ("conversations", "chosen", "rejected")
_ROLES = {
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}


@dataclass(frozen=True)
class Description:
    """What LLaMA-Factory's entry says of one file.

    Attributes:
        columns: Column of the file -> what LLaMA-Factory calls it.
        role_key: The name of the role inside a message.
        content_key: The name of its text.
        roles: What the file calls a role -> what ShareGPT calls it.
    """

    columns: Mapping[str, str]
    role_key: str
    content_key: str
    roles: Mapping[str, str]

    @property
    def note(self) -> str:
        named = ", ".join(f"{shown(name, 30)} is {part}" for name, part in self.columns.items() if name != part)
        return f"{NAME} beside it was read" + (f": {named}" if named else "")


def find_description(path: Path) -> Description | None:
    """Returns what a `dataset_info.json` beside a file says of it; None where there is none or it names another file.

    A file of that name that cannot be read says nothing: other tools write one, too.
    """
    beside = path.parent / NAME
    try:
        if path.name == NAME or not beside.is_file() or beside.stat().st_size > _MAX_BYTES:
            return None
        entries = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    found = entries.values() if isinstance(entries, dict) else ()
    entry = next((e for e in found if isinstance(e, dict) and e.get("file_name") == path.name), None)
    return None if entry is None else _describe(_texts(entry.get("columns")), _texts(entry.get("tags")))


def _texts(value: Any) -> dict[str, str]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {key: text for key, text in pairs if isinstance(text, str)}


def _describe(columns: Mapping[str, str], tags: Mapping[str, str]) -> Description:
    named = {name: _COLUMNS.get(part, part) for part, name in columns.items() if part in (*_COLUMNS, *_KEPT)}
    roles = {tags[tag]: role for tag, role in _ROLES.items() if tag in tags}
    return Description(named, tags.get("role_tag", "from"), tags.get("content_tag", "value"), roles)


@dataclass(frozen=True)
class DescribedTable:
    """A table whose columns and turns are called as LLaMA-Factory calls them."""

    table: Table
    description: Description

    @property
    def kind(self) -> str:
        return self.table.kind

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.table.notes, self.description.note)

    def __iter__(self) -> Iterator[Row | Refusal]:
        for row in self.table:
            yield row if isinstance(row, Refusal) else replace(row, values=self._rename(row.values))

    def _rename(self, values: Mapping[str, Any]) -> dict[str, Any]:
        names = self.description.columns
        renamed = {names[name]: value for name, value in values.items() if name in names}
        renamed = {name: value for name, value in values.items() if name not in names and name not in renamed} | renamed
        renamed = decode_cells(renamed, [name for name in _TALKS if name in renamed])
        return renamed | {name: self._retag(renamed[name]) for name in _TALKS if name in renamed}

    def _retag(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._retag(item) for item in value]
        said = self.description
        if not isinstance(value, dict) or said.role_key not in value or said.content_key not in value:
            return value
        rest = {key: inner for key, inner in value.items() if key not in (said.role_key, said.content_key)}
        role = value[said.role_key]
        spoken = said.roles.get(role, role) if isinstance(role, str) else role
        return {**rest, "from": spoken, "value": value[said.content_key]}
