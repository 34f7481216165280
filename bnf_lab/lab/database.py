"""SQLite connections, transactions and schema versions. Standard library.

Knows how a commit becomes durable and how several threads and processes share one file. It must not know
what the tables mean; that is `statements`.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from bnf_lab.core.errors import StoreDamaged, StoreError
from bnf_lab.lab.database_file import DAMAGES, Migrations, check_file

Result = TypeVar("Result")

BUSY_SECONDS = 10.0
N_CONNECTIONS = 4  # readers beside one writer; a page's query never waits for somebody else's import

_REMEDIES = {
    "SQLITE_FULL": "The disk is full. Free some space and try again.",
    "SQLITE_BUSY": "Another process holds the lab's database. Close the other lab on this data folder and try again.",
    "SQLITE_LOCKED": "Another process holds the lab's database. Close the other lab and try again.",
    "SQLITE_READONLY": "The data folder is read-only. Give the lab a data folder it may write to.",
    "SQLITE_CANTOPEN": "The database file cannot be opened. Check that the data folder exists and is writable.",
    "SQLITE_IOERR": "The disk reported an error. Check the disk of the data folder.",
    "SQLITE_CONSTRAINT": "A record with the same id exists already; nothing was changed.",
    "SQLITE_TOOBIG": "The text is too long for the database. Shorten it and try again.",
}
_OTHER = "Check the data folder, then start the lab again."


class Database:
    """One SQLite file, safe to use from many threads; a write is on the disk when its transaction returns.

    Args:
        path: The database file; it and its folder are made if missing, readable by this user only.
        migrations: Statements that lead from each schema version (`PRAGMA user_version`) to the next.
        journal: "wal" for a local disk, with other processes welcome; "delete" for network storage without
            shared memory (a Space's), where this process keeps the file locked for itself.
        is_expected: Whether an empty file is a damaged one, since there are records that belong to it.

    Raises:
        StoreDamaged: If the file is damaged; the disk is then as it was.
        StoreError: If the file cannot be opened, belongs to a newer lab, or is locked by another process.
    """

    def __init__(self, path: Path, migrations: Migrations, *, journal: str = "wal", is_expected: bool = False) -> None:
        if journal not in ("wal", "delete"):
            raise ValueError(f"journal is {journal!r}; it must be 'wal' or 'delete'.")
        self._write_lock = threading.Lock()
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._connections: list[sqlite3.Connection] = []
        try:
            require_whole(path, migrations, is_expected=is_expected)
            with _told("opened"):
                path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                # an exclusive lock would shut out this process's own second connection too
                for _ in range(N_CONNECTIONS if journal == "wal" else 1):
                    self._connections.append(_patiently(lambda: _connect(path, journal)))
                    self._idle.put(self._connections[-1])
            with self.writing() as connection:
                _migrate(connection, migrations)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lends a connection whose queries all see the same moment."""
        with _told("read"), self._connection() as connection, _transaction(connection, "BEGIN"):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lends a connection in a transaction: all of it is on the disk afterwards, or an error leaves none of it."""
        # the lock comes first: writers that wait must not use up the readers' connections
        with (
            _told("saved"),
            self._write_lock,
            self._connection() as connection,
            _transaction(connection, "BEGIN IMMEDIATE"),
        ):
            yield connection

    def copy_to(self, path: Path) -> None:
        """Writes all that is committed to a new file of the same form; marks are stored meanwhile."""
        with _told("copied"):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            with self._connection() as connection:
                if len(self._connections) > 1:
                    connection.execute("VACUUM INTO ?", (str(path),))
                    return
                content = connection.serialize()  # the only connection: it is wanted back
            with closing(sqlite3.connect(":memory:")) as copy:
                copy.deserialize(content)
                copy.execute("VACUUM INTO ?", (str(path),))

    def close(self) -> None:
        """Waits for the calls under way, then closes every connection; later calls raise `StoreError`."""
        with self._write_lock:
            for _ in range(len(self._connections)):
                self._idle.get()
            for connection in self._connections:
                connection.close()
                self._idle.put(connection)  # closed: a late caller gets an error rather than waiting for ever

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = self._idle.get()
        try:
            yield connection
        finally:
            self._idle.put(connection)


def require_whole(path: Path, migrations: Migrations, *, is_expected: bool) -> None:
    """Looks through a database file without changing it; see `check_file`.

    Raises:
        StoreError: In words, whatever is wrong.
    """
    with _told("opened"):
        _patiently(lambda: check_file(path, migrations, busy_seconds=BUSY_SECONDS, is_expected=is_expected))


def _patiently(act: Callable[[], Result]) -> Result:
    """Tries again while other processes open the same file.

    SQLite answers "busy" at once, without its busy timeout, while another process switches to WAL.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return act()
        except sqlite3.OperationalError as error:
            if not _error_name(error).startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _connect(path: Path, journal: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        _configure(connection, journal)
    except BaseException:
        connection.close()
        raise
    return connection


def _configure(connection: sqlite3.Connection, journal: str) -> None:
    if journal == "delete":
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute(f"PRAGMA journal_mode={journal}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA temp_store=MEMORY")


def _migrate(connection: sqlite3.Connection, migrations: Migrations) -> None:
    """Brings the schema to the newest version, inside the caller's transaction."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version == len(migrations):
        return
    for statements in migrations[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version={len(migrations)}")


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _told(done: str) -> Iterator[None]:
    """Turns what SQLite and the file system say into a text for the person."""
    try:
        yield
    except sqlite3.Error as error:
        name = _error_name(error)
        if name.startswith(DAMAGES):
            raise StoreDamaged(
                f"The lab's database is damaged ({name}: {error}). Start the lab anew: it then says what to do."
            ) from error
        remedy = next((text for start, text in _REMEDIES.items() if name.startswith(start)), _OTHER)
        raise StoreError(f"The lab's database could not be {done} ({name}). {remedy}") from error
    except UnicodeEncodeError as error:
        raise StoreError(
            f"The record could not be {done}: character {error.start + 1} of a text is half of a surrogate pair, "
            "which is not valid Unicode. Delete that character and try again."
        ) from error
    except OSError as error:
        raise StoreError(f"The lab's database could not be {done}: {error.strerror}. {_OTHER}") from error


def _error_name(error: sqlite3.Error) -> str:
    # errors raised by the Python module itself (a closed connection) carry no SQLite code
    return getattr(error, "sqlite_errorname", type(error).__name__)
