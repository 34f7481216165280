"""Whose run is which: names, notes, tags, owners and data of runs. Everything else about a run is in its folder.

Another owner's run is `NotFound`, exactly like one that does not exist. This room must not know run folders or pages.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from bnf_lab.core.errors import NotFound, shown
from bnf_lab.core.judgements import now
from bnf_lab.lab import statements
from bnf_lab.lab.database import Database
from bnf_lab.lab.remarks import check_remarks


@dataclass(frozen=True)
class RunRow:
    """What is registered of a run. `created_at` is ISO 8601, UTC; note and tags are the person's own words."""

    run_id: str
    name: str
    created_at: str
    collections: tuple[str, ...]
    note: str = ""
    tags: tuple[str, ...] = ()


class RunRegister:
    """The runs of all owners.

    Args:
        database: Where they are registered.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, owner: str, run_id: str, name: str, created_at: str, *, collections: Sequence[str] = ()) -> None:
        """Registers a new run; `collections` names the data it was started on."""
        values = (run_id, owner, name, created_at, json.dumps(list(collections)))
        with self._database.writing() as connection:
            connection.execute(statements.INSERT_RUN, values)

    def find(self, owner: str) -> list[RunRow]:
        """Returns the owner's runs, newest first."""
        with self._database.reading() as connection:
            return [_run_row(row) for row in connection.execute(statements.LIST_RUNS, (owner,))]

    def get(self, owner: str, run_id: str) -> RunRow:
        """Returns one of the owner's runs.

        Raises:
            NotFound: If the owner has no such run; so do `rename`, `remark` and `delete`.
        """
        with self._database.reading() as connection:
            row = connection.execute(statements.GET_RUN, (owner, run_id)).fetchone()
        if row is None:
            raise _missing(run_id)
        return _run_row(row)

    def rename(self, owner: str, run_id: str, name: str) -> None:
        """Gives a run another name."""
        self._change(statements.RENAME_RUN, (name, owner, run_id))

    def remark(self, owner: str, run_id: str, name: str, note: str, tags: Sequence[str]) -> None:
        """Keeps what a person calls a run, notes of it and files it under, all three at once.

        Raises:
            RunRefused: If the note or the tags are too long; nothing is then kept.
        """
        check_remarks(note, tags)
        record = json.dumps({"note": note, "tags": list(tags)}, ensure_ascii=False)
        with self._database.writing() as connection:
            if connection.execute(statements.RENAME_RUN, (name, owner, run_id)).rowcount != 1:
                raise _missing(run_id)
            connection.execute(statements.SAVE_DOCUMENT, (owner, "run", run_id, record, now()))

    def delete(self, owner: str, run_id: str) -> None:
        """Forgets a run."""
        with self._database.writing() as connection:
            if connection.execute(statements.DELETE_RUN, (owner, run_id)).rowcount != 1:
                raise _missing(run_id)
            connection.execute(statements.DELETE_REMARKS, (owner, run_id))

    def _change(self, statement: str, parameters: tuple[str, ...]) -> None:
        with self._database.writing() as connection:
            if connection.execute(statement, parameters).rowcount != 1:
                raise _missing(parameters[-1])


def _run_row(row: sqlite3.Row) -> RunRow:
    remarks = json.loads(row["remarks"] or "{}")
    return RunRow(
        row["run_id"],
        row["name"],
        row["created_at"],
        tuple(json.loads(row["collections"])),
        remarks.get("note", ""),
        tuple(remarks.get("tags", ())),
    )


def _missing(run_id: str) -> NotFound:
    return NotFound(f"Run {shown(run_id)} is not in your workspace. Reload the page and choose from the list.")
