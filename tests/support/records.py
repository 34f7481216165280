"""The tables of one database file, as `Lab` opens them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bnf_lab.lab.database import Database
from bnf_lab.lab.drafts import Drafts
from bnf_lab.lab.judgements import Judgements
from bnf_lab.lab.run_register import RunRegister
from bnf_lab.lab.statements import MIGRATIONS


@dataclass(frozen=True)
class Records:
    """What people made, by owner."""

    database: Database
    judgements: Judgements
    runs: RunRegister
    drafts: Drafts
    chats: Drafts

    def close(self) -> None:
        self.database.close()


def open_records(path: Path, *, journal: str = "wal") -> Records:
    """Opens the file, making it if it is missing."""
    database = Database(path, MIGRATIONS, journal=journal)
    return Records(
        database, Judgements(database, path.parent), RunRegister(database), Drafts(database), Drafts(database, "chat")
    )
