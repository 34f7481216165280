"""The SQL of the store: its schema, version by version, and the queries that share filters. Text only.

Values reach SQLite as parameters, never as part of a statement. This room must not know connections.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypedDict

from bnf_lab.preferences import Source, Verdict

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

# Every query of judgements begins with the same two tables: what the filters leave, and the complete pairs in it.
_MATCHING = """WITH matching AS (
    SELECT * FROM judgements WHERE owner = :owner AND deleted_at IS NULL
    AND (:collections IS NULL OR collection IN (SELECT value FROM json_each(:collections)))
    AND (:verdict IS NULL OR verdict = :verdict) AND (:source IS NULL OR source = :source)
    AND (:text IS NULL OR prompt_text LIKE :text ESCAPE '\\' OR response LIKE :text ESCAPE '\\')),
pairs AS (
    SELECT collection, pair_id FROM matching WHERE pair_id <> '' GROUP BY pair_id
    HAVING COUNT(*) = 2 AND COUNT(DISTINCT verdict) = 2)
"""


def _matching(query: str) -> str:
    return _MATCHING + query


LIST = _matching("SELECT * FROM matching ORDER BY created_at DESC, number DESC LIMIT :limit OFFSET :offset")
COUNT = _matching("SELECT COUNT(*) FROM matching")
COUNT_PROMPTS = _matching("SELECT COUNT(DISTINCT prompt) FROM matching")
COUNT_BY_VERDICT = _matching(
    "SELECT collection, SUM(verdict = 'preferred'), SUM(verdict = 'dispreferred') FROM matching"
    " GROUP BY collection ORDER BY collection"
)
COUNT_PAIRS = _matching("SELECT collection, COUNT(*) FROM pairs GROUP BY collection")


class Filters(TypedDict, total=False):
    """Which judgements a query means; a filter that is absent or None leaves all.

    `text` is part of a message of the prompt or of the response; capitals do not matter in ASCII.
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
