"""Work in progress: chats, answers being marked, half-filled forms. Each is one JSON record under a name, by owner."""

from __future__ import annotations

import json
from typing import Any

from bnf_lab.core.judgements import now
from bnf_lab.lab import statements
from bnf_lab.lab.database import Database


class Drafts:
    """The records of all owners.

    Args:
        database: Where they are kept.
        kind: What they are, "draft" or "chat"; the same name means another record in each kind.
    """

    def __init__(self, database: Database, kind: str = "draft") -> None:
        self._database, self._kind = database, kind

    def save(self, owner: str, name: str, record: dict[str, Any]) -> None:
        """Keeps a record in place of the one of that name; on the disk when it returns."""
        with self._database.writing() as connection:
            connection.execute(statements.SAVE_DOCUMENT, (owner, self._kind, name, json.dumps(record), now()))

    def load(self, owner: str, name: str) -> dict[str, Any] | None:
        """Returns the record of that name, None if this owner has none."""
        with self._database.reading() as connection:
            row = connection.execute(statements.LOAD_DOCUMENT, (owner, self._kind, name)).fetchone()
        return None if row is None else dict(json.loads(row["record"]))
