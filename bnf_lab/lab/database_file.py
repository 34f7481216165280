"""Whether a database's file is whole and this lab's, found without changing it. Standard library.

Must not know what the tables mean.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from bnf_lab.core.errors import StoreDamaged, StoreError

Migrations = Sequence[Sequence[str]]

DAMAGES = ("SQLITE_NOTADB", "SQLITE_CORRUPT")

SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database under its name with these ends; they belong to that very file."""


def check_file(path: Path, migrations: Migrations, *, busy_seconds: float, is_expected: bool = False) -> None:
    """Looks through a database, every page of it; about a third of a second for 100,000 judgements.

    Args:
        path: The file; one that is missing is none to look through.
        migrations: See `Database`.
        busy_seconds: How long another process may keep it locked.
        is_expected: Whether there must be records in it, since others beside it belong to them.

    Raises:
        StoreDamaged: If it is damaged, or empty though records are expected.
        StoreError: If it is a newer lab's or another program's.
        sqlite3.Error: If SQLite refuses.
    """
    if not path.exists():
        return
    if path.is_file() and not path.stat().st_size:
        # SQLite would throw away a log that lies beside it, so it does not get to see this
        if is_expected or _has_log(path):
            raise StoreDamaged(f"The lab's database is damaged: {path.name} is empty, yet there is what belongs to it.")
        return
    with closing(_open_to_look(path, busy_seconds)) as connection:
        try:
            problem = _find_damage(connection, migrations, is_expected=is_expected)
        except sqlite3.DatabaseError as error:
            name = getattr(error, "sqlite_errorname", "")
            if not name.startswith(DAMAGES):
                raise
            problem = f"{error} ({name})"
    if problem:
        raise StoreDamaged(f"The lab's database is damaged: {problem}.")


def _find_damage(connection: sqlite3.Connection, migrations: Migrations, *, is_expected: bool) -> str:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    columns = _columns(connection)
    if version > len(migrations):
        raise StoreError(
            f"The lab's database has schema version {version}; this lab knows versions up to {len(migrations)}. "
            "Update the lab, or choose another data folder."
        )
    if version <= 0 and columns:
        raise StoreError("The lab's database is another program's. Move it away, or choose another data folder.")
    if version <= 0:
        return "it has no tables, yet there is what belongs to it" if is_expected else ""
    missing = sorted(_columns_of(migrations[:version]) - columns)
    if missing:
        return f"{'.'.join(missing[0])} is missing"
    found = " ".join(str(connection.execute("PRAGMA quick_check(1)").fetchone()[0]).split())
    return "" if found == "ok" else found[:120]


def _open_to_look(path: Path, busy_seconds: float) -> sqlite3.Connection:
    # who may write would fold a log that a crash left into the file; without a log, who may not would leave a new one
    mode = "ro" if _has_log(path) else "rw"
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=busy_seconds)


def _has_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def _columns(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """Returns (table, column) of all tables."""
    query = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
    return {(str(table), str(column)) for table, column in connection.execute(query)}


def _columns_of(migrations: Migrations) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as model:
        for statement in (statement for statements in migrations for statement in statements):
            model.execute(statement)
        return _columns(model)
