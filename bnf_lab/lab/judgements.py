"""What people judged: kept, found, counted, changed, taken back, brought in from files and given out again.

Every judgement has an owner and every query is limited to one; another owner's judgement is `NotFound`, exactly like
one that does not exist. A call that returns has committed to the disk. This room must not know runs, models or pages.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Unpack

from bnf_lab.core.errors import ImportRefused, LabError, NotFound, shown
from bnf_lab.core.files import write_atomically
from bnf_lab.core.judgements import Judgement, Message, Source, Unit, Verdict, now
from bnf_lab.core.numbers import counted
from bnf_lab.data.demo_sets import find_demo_set
from bnf_lab.data.export import write_trl_rows
from bnf_lab.data.importers import import_file, import_hub
from bnf_lab.data.mapping import ImportChoices
from bnf_lab.data.report import CountTokens, ImportReport
from bnf_lab.lab import statements
from bnf_lab.lab.database import Database
from bnf_lab.lab.statements import Filters, build_parameters


@dataclass(frozen=True)
class StoredJudgement:
    """A judgement and the collection (a file, a demo set, "chat") it is kept in."""

    judgement: Judgement
    collection: str


@dataclass(frozen=True)
class StoredUnit:
    """A complete pair, preferred first, or a judgement alone, and the collection it is kept in."""

    judgements: Unit
    collection: str


@dataclass(frozen=True)
class CollectionCount:
    """What one collection holds."""

    name: str
    n_preferred: int
    n_dispreferred: int
    n_pairs: int


@dataclass(frozen=True)
class Totals:
    """How much there is: judged responses by verdict, complete pairs, distinct prompts."""

    preferred: int
    dispreferred: int
    pairs: int
    prompts: int
    collections: tuple[CollectionCount, ...]


class Judgements:
    """The judgements of all owners.

    Args:
        database: Where they are kept.
        scratch: Folder for files that are given out.
        token_counter: Gives what counts the tokens of judgements for the warning on truncation, None while no model
            is at hand.
    """

    def __init__(
        self, database: Database, scratch: Path, *, token_counter: Callable[[], CountTokens | None] = lambda: None
    ) -> None:
        self._database, self._scratch, self._token_counter = database, scratch, token_counter

    # -- looking

    def find(
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

    def find_units(
        self, owner: str, *, limit: int | None = None, offset: int = 0, **filters: Unpack[Filters]
    ) -> list[StoredUnit]:
        """Returns what the filters leave as pairs and judgements alone, newest first.

        A pair of which the filters leave one half is that half alone.

        Args:
            owner: Whose.
            limit: At most this many units; None for all.
            offset: How many of the newest units to pass over.
            **filters: See `Filters`.
        """
        window = {"limit": -1 if limit is None else limit, "offset": offset}
        with self._database.reading() as connection:
            rows = connection.execute(statements.LIST_UNITS, build_parameters(owner, **filters) | window).fetchall()
        units = (list(members) for _, members in groupby(rows, key=lambda row: row["unit"]))
        return [StoredUnit(tuple(map(_judgement, members)), members[0]["collection"]) for members in units]

    def count_units(self, owner: str, **filters: Unpack[Filters]) -> int:
        """Returns how many pairs and judgements alone the filters leave; see `find_units`."""
        with self._database.reading() as connection:
            return int(connection.execute(statements.COUNT_UNITS, build_parameters(owner, **filters)).fetchone()[0])

    def get(self, owner: str, ids: Iterable[str]) -> dict[str, Judgement]:
        """Returns those of these judgements that the owner has, by id."""
        with self._database.reading() as connection:
            rows = connection.execute(statements.GET, {"owner": owner, "ids": json.dumps(sorted(set(ids)))}).fetchall()
        return {row["id"]: _judgement(row) for row in rows}

    def count(self, owner: str, **filters: Unpack[Filters]) -> int:
        """Returns how many judgements the filters leave."""
        with self._database.reading() as connection:
            return int(connection.execute(statements.COUNT, build_parameters(owner, **filters)).fetchone()[0])

    def totals(self, owner: str, **filters: Unpack[Filters]) -> Totals:
        """Returns what the filters leave, in all and by collection; a pair counts if both its halves are left."""
        parameters = build_parameters(owner, **filters)
        with self._database.reading() as connection:
            n_prompts = int(connection.execute(statements.COUNT_PROMPTS, parameters).fetchone()[0])
            n_pairs = dict(tuple(row) for row in connection.execute(statements.COUNT_PAIRS, parameters))
            rows = connection.execute(statements.COUNT_BY_VERDICT, parameters).fetchall()
        collections = tuple(CollectionCount(row[0], row[1], row[2], n_pairs.get(row[0], 0)) for row in rows)
        return Totals(
            preferred=sum(c.n_preferred for c in collections),
            dispreferred=sum(c.n_dispreferred for c in collections),
            pairs=sum(c.n_pairs for c in collections),
            prompts=n_prompts,
            collections=collections,
        )

    def count_since(self, owner: str, iso_time: str) -> int:
        """Returns how many judgements were made after a moment written as `core.judgements.now` writes it."""
        with self._database.reading() as connection:
            return int(connection.execute(statements.COUNT_SINCE, (owner, iso_time)).fetchone()[0])

    # -- changing

    def add(self, owner: str, collection: str, judgements: Iterable[Judgement]) -> None:
        """Stores all of them or, on an error, none; on the disk when it returns."""
        self.revise(owner, collection, added=judgements)

    def revise(
        self,
        owner: str,
        collection: str,
        *,
        added: Iterable[Judgement] = (),
        changed: Iterable[Judgement] = (),
        deleted: Sequence[str] = (),
    ) -> None:
        """Does all of it or, on an error, nothing.

        Args:
            owner: Whose judgements.
            collection: Where the added ones are kept.
            added: New judgements.
            changed: Judgements that take the place of those with the same ids: verdict, text and pair.
            deleted: Ids; see `delete`.

        Raises:
            NotFound: If a judgement to change or to delete is not this owner's.
        """
        rows = [_row(owner, collection, judgement) for judgement in added]
        with self._database.writing() as connection:
            _set_deleted(connection, owner, deleted, now())
            for judgement in changed:
                if connection.execute(statements.REVISE, _row(owner, collection, judgement)).rowcount != 1:
                    raise _missing(judgement.id)
            connection.executemany(statements.INSERT, rows)

    def set_verdict(self, owner: str, judgement_id: str, verdict: Verdict) -> None:
        """Changes a verdict.

        Raises:
            NotFound: If this owner has no such judgement, or it is deleted.
        """
        self.set_verdicts(owner, {judgement_id: verdict})

    def set_verdicts(self, owner: str, verdicts: Mapping[str, Verdict]) -> None:
        """Changes verdicts by the judgements' ids, all of them or none: a pair is never turned half.

        Raises:
            NotFound: If this owner lacks one of the judgements, or it is deleted.
        """
        with self._database.writing() as connection:
            for judgement_id, verdict in verdicts.items():
                values = (str(Verdict(verdict)), owner, judgement_id)
                if connection.execute(statements.SET_VERDICT, values).rowcount != 1:
                    raise _missing(judgement_id)

    def set_response(self, owner: str, judgement_id: str, response: str) -> None:
        """Changes the judged text.

        Raises:
            NotFound: If this owner has no such judgement, or it is deleted.
        """
        with self._database.writing() as connection:
            if connection.execute(statements.SET_RESPONSE, (response, owner, judgement_id)).rowcount != 1:
                raise _missing(judgement_id)

    def delete(self, owner: str, ids: Sequence[str]) -> None:
        """Deletes judgements so that `restore` can bring them back; all of them or none.

        Raises:
            NotFound: If one of them is not this owner's.
        """
        with self._database.writing() as connection:
            _set_deleted(connection, owner, ids, now())

    def restore(self, owner: str, ids: Sequence[str]) -> None:
        """Undoes `delete`.

        Raises:
            NotFound: If one of them is not this owner's.
        """
        with self._database.writing() as connection:
            _set_deleted(connection, owner, ids, None)

    # -- in and out

    def check_file(self, path: Path, name: str, *, choices: ImportChoices | None = None) -> ImportReport:
        """Reads a file and reports on it without storing anything; see `importers.import_file`."""
        return import_file(path, name=name, choices=choices, count_tokens=self._token_counter())

    def check_hub(
        self, dataset_id: str, *, config: str | None, split: str, choices: ImportChoices | None = None
    ) -> ImportReport:
        """Reads a hub data set and reports on it without storing anything; see `importers.import_hub`."""
        return import_hub(dataset_id, config=config, split=split, choices=choices, count_tokens=self._token_counter())

    def keep(self, owner: str, report: ImportReport) -> None:
        """Stores the judgements of a report, under the name of what was read."""
        if report.judgements:
            self.add(owner, report.file, report.judgements)

    def import_demo(self, owner: str, name: str) -> ImportReport:
        """Adds a demo set to the workspace.

        Raises:
            NotFound: If there is no such set.
            ImportRefused: If it is there already.
        """
        path = find_demo_set(name)
        if self.count(owner, collections=[name]):
            raise ImportRefused(f"{name} is in your workspace already. Delete it under Judgements to load it afresh.")
        report = import_file(path, name=name, source=Source.DEMO)
        self.keep(owner, report)
        return report

    def export(self, owner: str, kind: str, **filters: Unpack[Filters]) -> Path:
        """Writes judgements, a line each or each pair, as JSONL in a TRL schema into a private folder.

        Args:
            owner: Whose.
            kind: "pairs" or "unpaired".
            **filters: See `Filters`; what they leave is written.

        Raises:
            LabError: If there is nothing of this kind to export.
        """
        judgements = [entry.judgement for entry in reversed(self.find(owner, **filters))]
        lines = list(write_trl_rows(judgements, kind))
        if not lines:
            where = "Clear a filter" if judgements or any(filters.values()) else "Mark or upload some"
            raise LabError(f"There are no {kind} to export. {where}, or choose the other schema.")
        path = Path(tempfile.mkdtemp(prefix="export-", dir=self._scratch)) / f"judgements-{kind}.jsonl"
        write_atomically(path, "".join(lines))
        return path


def _set_deleted(connection: sqlite3.Connection, owner: str, ids: Sequence[str], deleted_at: str | None) -> None:
    wanted = json.dumps(sorted(set(ids)))
    n_changed = connection.execute(statements.SET_DELETED, (deleted_at, owner, wanted)).rowcount
    if n_changed != len(set(ids)):
        raise NotFound(
            f"Only {n_changed} of these {counted(len(set(ids)), 'judgement', 'is', 'are')} in your workspace;"
            " nothing was changed. "
            "Reload the table and choose again."
        )


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


def _missing(judgement_id: str) -> NotFound:
    what = f"Judgement {shown(judgement_id)} is not in your workspace."
    return NotFound(f"{what} Reload the page and choose from the list.")
