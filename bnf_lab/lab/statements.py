"""The SQL of the lab's database: its schema, version by version, and its statements. Text only.

Values reach SQLite as parameters, never as part of a statement. This room must not know connections.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypedDict

from bnf_lab.core.judgements import Source, Verdict

# Statements that lead from each schema version to the next; released entries never change, new ones are appended.
MIGRATIONS = (
    (
        """CREATE TABLE judgements (
            number INTEGER PRIMARY KEY, owner TEXT NOT NULL CHECK (owner <> ''), id TEXT NOT NULL,
            collection TEXT NOT NULL, prompt TEXT NOT NULL, prompt_text TEXT NOT NULL, response TEXT NOT NULL,
            verdict TEXT NOT NULL, weight REAL NOT NULL, pair_id TEXT, source TEXT NOT NULL,
            created_at TEXT NOT NULL, deleted_at TEXT, UNIQUE (owner, id))""",
        "CREATE INDEX judgements_by_time ON judgements (owner, created_at, number)",
        """CREATE TABLE runs (
            run_id TEXT PRIMARY KEY, owner TEXT NOT NULL CHECK (owner <> ''), name TEXT NOT NULL,
            created_at TEXT NOT NULL, collections TEXT NOT NULL)""",
        "CREATE INDEX runs_by_time ON runs (owner, created_at)",
        """CREATE TABLE documents (
            owner TEXT NOT NULL CHECK (owner <> ''), kind TEXT NOT NULL, key TEXT NOT NULL,
            record TEXT NOT NULL, updated_at TEXT NOT NULL, PRIMARY KEY (owner, kind, key))""",
    ),
)

INSERT = """INSERT INTO judgements (owner, id, collection, prompt, prompt_text, response, verdict, weight, pair_id,
    source, created_at) VALUES (:owner, :id, :collection, :prompt, :prompt_text, :response, :verdict, :weight, :pair_id,
    :source, :created_at)"""

REVISE = """UPDATE judgements SET verdict = :verdict, response = :response, pair_id = :pair_id
    WHERE owner = :owner AND id = :id AND deleted_at IS NULL"""
SET_VERDICT = "UPDATE judgements SET verdict = ? WHERE owner = ? AND id = ? AND deleted_at IS NULL"
SET_RESPONSE = "UPDATE judgements SET response = ? WHERE owner = ? AND id = ? AND deleted_at IS NULL"
SET_DELETED = "UPDATE judgements SET deleted_at = ? WHERE owner = ? AND id IN (SELECT value FROM json_each(?))"
GET = """SELECT * FROM judgements WHERE owner = :owner AND deleted_at IS NULL
    AND id IN (SELECT value FROM json_each(:ids))"""
COUNT_SINCE = "SELECT COUNT(*) FROM judgements WHERE owner = ? AND created_at > ? AND deleted_at IS NULL"

INSERT_RUN = "INSERT INTO runs (run_id, owner, name, created_at, collections) VALUES (?, ?, ?, ?, ?)"
_RUNS = """SELECT runs.*, documents.record AS remarks FROM runs LEFT JOIN documents
    ON documents.owner = runs.owner AND documents.kind = 'run' AND documents.key = runs.run_id
    WHERE runs.owner = ?"""
LIST_RUNS = f"{_RUNS} ORDER BY runs.created_at DESC, runs.rowid DESC"
GET_RUN = f"{_RUNS} AND runs.run_id = ?"
RENAME_RUN = "UPDATE runs SET name = ? WHERE owner = ? AND run_id = ?"
DELETE_RUN = "DELETE FROM runs WHERE owner = ? AND run_id = ?"
DELETE_REMARKS = "DELETE FROM documents WHERE owner = ? AND kind = 'run' AND key = ?"

SAVE_DOCUMENT = """INSERT INTO documents (owner, kind, key, record, updated_at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (owner, kind, key) DO UPDATE SET record = excluded.record, updated_at = excluded.updated_at"""
LOAD_DOCUMENT = "SELECT record FROM documents WHERE owner = ? AND kind = ? AND key = ?"

# Every filtered query begins with the same two tables: what the filters leave, and the complete pairs in it.
_MATCHING = """WITH matching AS (
    SELECT * FROM judgements WHERE owner = :owner AND deleted_at IS NULL
    AND (:collections IS NULL OR collection IN (SELECT value FROM json_each(:collections)))
    AND (:verdict IS NULL OR verdict = :verdict) AND (:source IS NULL OR source = :source)
    AND (:text IS NULL OR prompt_text LIKE :text ESCAPE '\\' OR response LIKE :text ESCAPE '\\'
        OR (:verdict IS NULL AND pair_id IN (
            SELECT pair_id FROM judgements WHERE owner = :owner AND deleted_at IS NULL AND pair_id <> ''
            AND response LIKE :text ESCAPE '\\')))),
pairs AS (
    SELECT collection, pair_id FROM matching WHERE pair_id <> '' GROUP BY pair_id
    HAVING COUNT(*) = 2 AND COUNT(DISTINCT verdict) = 2)
"""


def _matching(query: str) -> str:
    return _MATCHING + query


LIST = _matching("SELECT * FROM matching ORDER BY created_at DESC, number DESC LIMIT :limit OFFSET :offset")
COUNT = _matching("SELECT COUNT(*) FROM matching")
# A unit is a complete pair or a judgement alone; it stands where its newest judgement stands.
LIST_UNITS = _matching(
    """, keyed AS (
    SELECT matching.*, COALESCE('pair ' || pairs.pair_id, 'alone ' || matching.id) AS unit
    FROM matching LEFT JOIN pairs ON pairs.pair_id = matching.pair_id),
chosen AS (
    SELECT unit, MAX(created_at) AS newest, MAX(number) AS last FROM keyed GROUP BY unit
    ORDER BY newest DESC, last DESC LIMIT :limit OFFSET :offset)
SELECT keyed.* FROM chosen JOIN keyed ON keyed.unit = chosen.unit
    ORDER BY chosen.newest DESC, chosen.last DESC, keyed.verdict DESC"""
)
COUNT_UNITS = _matching("SELECT COUNT(*) - (SELECT COUNT(*) FROM pairs) FROM matching")
COUNT_PROMPTS = _matching("SELECT COUNT(DISTINCT prompt) FROM matching")
COUNT_BY_VERDICT = _matching(
    "SELECT collection, SUM(verdict = 'preferred'), SUM(verdict = 'dispreferred') FROM matching"
    " GROUP BY collection ORDER BY collection"
)
COUNT_PAIRS = _matching("SELECT collection, COUNT(*) FROM pairs GROUP BY collection")


class Filters(TypedDict, total=False):
    """Which judgements a query means; a filter that is absent or None leaves all.

    `text` is part of a message of the prompt or of the response; capitals do not matter in ASCII. Where it is in one
    half of a pair the other half is meant too, unless one verdict is asked for.
    """

    collections: Sequence[str] | None
    verdict: Verdict | None
    source: Source | None
    text: str | None


def build_parameters(
    owner: str,
    *,
    collections: Sequence[str] | None = None,
    verdict: Verdict | None = None,
    source: Source | None = None,
    text: str | None = None,
) -> dict[str, Any]:
    r"""Returns the parameters of a filtered query.

    >>> build_parameters("ada", text="100%")["text"]
    '%100\\%%'
    """
    escaped = (text or "").replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return {
        "owner": owner,
        "collections": None if collections is None else json.dumps(list(collections)),
        "verdict": None if verdict is None else str(Verdict(verdict)),
        "source": None if source is None else str(Source(source)),
        "text": f"%{escaped}%" if escaped else None,
    }
