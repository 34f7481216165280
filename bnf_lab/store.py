"""What people made: judgements, chats, drafts and the list of their runs, in one SQLite file. Standard library.

Every record has an owner and every query is limited to one; another owner's record is `NotFound`, exactly like one that
does not exist. A call that returns has committed to the disk. This room must not know pages, models or run folders.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from bnf_lab import statements
from bnf_lab.database import Database
from bnf_lab.errors import NotFound, shown
from bnf_lab.preferences import Judgement, Message, Source, Verdict, now
from bnf_lab.statements import Filters, build_parameters


@dataclass(frozen=True)
class StoredJudgement:
    """A judgement and the collection (a file, a demo set, "chat") it is kept in."""

    judgement: Judgement
    collection: str


@dataclass(frozen=True)
class CollectionCount:
    """What one collection holds."""

    name: str
    n_preferred: int
    n_dispreferred: int
    n_pairs: int


@dataclass(frozen=True)
class Counts:
    """How much there is: judged responses by verdict, complete pairs, distinct prompts."""

    preferred: int
    dispreferred: int
    pairs: int
    prompts: int
    collections: tuple[CollectionCount, ...]


@dataclass(frozen=True)
class RunRow:
    """What the store knows of a run; everything else is in its folder. `created_at` is ISO 8601, UTC."""

    run_id: str
    name: str
    created_at: str
    collections: tuple[str, ...]


@dataclass(frozen=True)
class ChatRow:
    """A saved chat. `updated_at` is ISO 8601, UTC."""

    chat_id: str
    updated_at: str
    record: dict[str, Any]


class Store:
    """All that people made, by owner.

    Args:
        path: The database file.
        journal: "wal", or "delete" on a Space's storage; see `Database`.
    """

    def __init__(self, path: Path, *, journal: str = "wal") -> None:
        self._database = Database(path, statements.MIGRATIONS, journal=journal)

    def close(self) -> None:
        self._database.close()

    def add_judgements(self, owner: str, collection: str, judgements: Iterable[Judgement]) -> None:
        """Stores all of them or, on an error, none; on the disk when it returns."""
        rows = [_row(owner, collection, judgement) for judgement in judgements]
        with self._database.writing() as connection:
            connection.executemany(statements.INSERT, rows)

    def list_judgements(
        self, owner: str, *, limit: int | None = None, offset: int = 0, **filters: Unpack[Filters]
    ) -> list[StoredJudgement]:
        """Returns the owner's judgements, newest first.

        Args:
            owner: Whose.
            limit: At most this many; None for all.
            offset: How many of the newest to pass over.
            **filters: See `Filters`.
        """
        window = {"limit": -1 if limit is None else limit, "offset": offset}
        with self._database.reading() as connection:
            rows = connection.execute(statements.LIST, build_parameters(owner, **filters) | window).fetchall()
        return [StoredJudgement(_judgement(row), row["collection"]) for row in rows]

    def count_matching(self, owner: str, **filters: Unpack[Filters]) -> int:
        """Returns how many judgements the filters of `list_judgements` leave."""
        with self._database.reading() as connection:
            return int(connection.execute(statements.COUNT, build_parameters(owner, **filters)).fetchone()[0])

    def count_judgements(self, owner: str, **filters: Unpack[Filters]) -> Counts:
        """Returns what the filters of `list_judgements` leave; a pair counts if both its halves are left."""
        parameters = build_parameters(owner, **filters)
        with self._database.reading() as connection:
            n_prompts = int(connection.execute(statements.COUNT_PROMPTS, parameters).fetchone()[0])
            n_pairs = dict(tuple(row) for row in connection.execute(statements.COUNT_PAIRS, parameters))
            rows = connection.execute(statements.COUNT_BY_VERDICT, parameters).fetchall()
        collections = tuple(CollectionCount(row[0], row[1], row[2], n_pairs.get(row[0], 0)) for row in rows)
        return Counts(
            preferred=sum(c.n_preferred for c in collections),
            dispreferred=sum(c.n_dispreferred for c in collections),
            pairs=sum(c.n_pairs for c in collections),
            prompts=n_prompts,
            collections=collections,
        )

    def new_judgements_since(self, owner: str, iso_time: str) -> int:
        """Returns how many judgements were made after a moment written as `preferences.now` writes it."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT COUNT(*) FROM judgements WHERE owner = ? AND created_at > ? AND deleted_at IS NULL",
                (owner, iso_time),
            ).fetchone()
        return int(row[0])

    def set_verdict(self, owner: str, judgement_id: str, verdict: Verdict) -> None:
        """Changes a verdict.

        Raises:
            NotFound: If this owner has no such judgement, or it is deleted.
        """
        self._change(
            "UPDATE judgements SET verdict = ? WHERE owner = ? AND id = ? AND deleted_at IS NULL",
            (str(Verdict(verdict)), owner, judgement_id),
            _missing("Judgement", judgement_id),
        )

    def set_response(self, owner: str, judgement_id: str, response: str) -> None:
        """Changes the judged text.

        Raises:
            NotFound: If this owner has no such judgement, or it is deleted.
        """
        self._change(
            "UPDATE judgements SET response = ? WHERE owner = ? AND id = ? AND deleted_at IS NULL",
            (response, owner, judgement_id),
            _missing("Judgement", judgement_id),
        )

    def delete_judgements(self, owner: str, ids: Sequence[str]) -> None:
        """Deletes judgements so that `restore_judgements` can bring them back; all of them or none.

        Raises:
            NotFound: If one of them is not this owner's.
        """
        self._set_deleted(owner, ids, now())

    def restore_judgements(self, owner: str, ids: Sequence[str]) -> None:
        """Undoes `delete_judgements`.

        Raises:
            NotFound: If one of them is not this owner's.
        """
        self._set_deleted(owner, ids, None)

    def add_run(
        self, owner: str, run_id: str, name: str, created_at: str, *, collections: Sequence[str] = ()
    ) -> None:
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO runs (run_id, owner, name, created_at, collections) VALUES (?, ?, ?, ?, ?)",
                (run_id, owner, name, created_at, json.dumps(list(collections))),
            )

    def list_runs(self, owner: str) -> list[RunRow]:
        """Returns the owner's runs, newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM runs WHERE owner = ? ORDER BY created_at DESC, rowid DESC", (owner,)
            ).fetchall()
        return [_run_row(row) for row in rows]

    def get_run(self, owner: str, run_id: str) -> RunRow:
        with self._database.reading() as connection:
            row = connection.execute("SELECT * FROM runs WHERE owner = ? AND run_id = ?", (owner, run_id)).fetchone()
        if row is None:
            raise _missing("Run", run_id)
        return _run_row(row)

    def rename_run(self, owner: str, run_id: str, name: str) -> None:
        self._change(
            "UPDATE runs SET name = ? WHERE owner = ? AND run_id = ?", (name, owner, run_id), _missing("Run", run_id)
        )

    def delete_run(self, owner: str, run_id: str) -> None:
        self._change("DELETE FROM runs WHERE owner = ? AND run_id = ?", (owner, run_id), _missing("Run", run_id))

    def save_chat(self, owner: str, chat_id: str, record: dict[str, Any]) -> None:
        self._save(owner, "chat", chat_id, record)

    def load_chat(self, owner: str, chat_id: str) -> dict[str, Any] | None:
        """Returns the saved chat, None if this owner has none of that id."""
        return self._load(owner, "chat", chat_id)

    def list_chats(self, owner: str) -> list[ChatRow]:
        """Returns the owner's chats, the last changed first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT key, updated_at, record FROM documents WHERE owner = ? AND kind = 'chat'"
                " ORDER BY updated_at DESC, key",
                (owner,),
            ).fetchall()
        return [ChatRow(row["key"], row["updated_at"], json.loads(row["record"])) for row in rows]

    def save_draft(self, owner: str, key: str, record: dict[str, Any]) -> None:
        """Keeps unfinished work (candidates being marked, a half-filled form) under a name."""
        self._save(owner, "draft", key, record)

    def load_draft(self, owner: str, key: str) -> dict[str, Any] | None:
        """Returns the unfinished work of that name, None if there is none."""
        return self._load(owner, "draft", key)

    def _change(self, statement: str, parameters: tuple[str, ...], missing: NotFound) -> None:
        with self._database.writing() as connection:
            if connection.execute(statement, parameters).rowcount != 1:
                raise missing

    def _set_deleted(self, owner: str, ids: Sequence[str], deleted_at: str | None) -> None:
        wanted = json.dumps(sorted(set(ids)))
        with self._database.writing() as connection:
            changed = connection.execute(
                "UPDATE judgements SET deleted_at = ? WHERE owner = ? AND id IN (SELECT value FROM json_each(?))",
                (deleted_at, owner, wanted),
            ).rowcount
            if changed != len(set(ids)):
                raise NotFound(
                    f"Only {changed} of these {len(set(ids))} judgements are in your workspace; nothing was changed. "
                    "Reload the table and choose again."
                )

    def _save(self, owner: str, kind: str, key: str, record: dict[str, Any]) -> None:
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO documents (owner, kind, key, record, updated_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (owner, kind, key)"
                " DO UPDATE SET record = excluded.record, updated_at = excluded.updated_at",
                (owner, kind, key, json.dumps(record), now()),
            )

    def _load(self, owner: str, kind: str, key: str) -> dict[str, Any] | None:
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT record FROM documents WHERE owner = ? AND kind = ? AND key = ?", (owner, kind, key)
            ).fetchone()
        return None if row is None else json.loads(row["record"])


def _row(owner: str, collection: str, judgement: Judgement) -> dict[str, Any]:
    values = judgement.to_dict()
    messages = values["prompt"]
    return values | {
        "owner": owner,
        "collection": collection,
        "prompt": json.dumps(messages),
        "prompt_text": "\n".join(message["content"] for message in messages),
    }


def _judgement(row: sqlite3.Row) -> Judgement:
    return Judgement(
        prompt=tuple(Message(m["role"], m["content"]) for m in json.loads(row["prompt"])),
        response=row["response"],
        verdict=Verdict(row["verdict"]),
        weight=row["weight"],
        pair_id=row["pair_id"],
        source=Source(row["source"]),
        id=row["id"],
        created_at=row["created_at"],
    )


def _run_row(row: sqlite3.Row) -> RunRow:
    return RunRow(row["run_id"], row["name"], row["created_at"], tuple(json.loads(row["collections"])))


def _missing(what: str, record_id: str) -> NotFound:
    return NotFound(f"{what} {shown(record_id)} is not in your workspace. Reload the page and choose from the list.")
