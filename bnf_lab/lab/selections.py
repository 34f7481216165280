"""Which of a person's judgements a run is trained on: collections, and what was judged since a moment.

A page keeps and sends a selection as a list of texts: names of collections, and the mark of a moment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bnf_lab.lab.judgements import Judgements, StoredJudgement

_SINCE = "\0since:"  # no collection is called so: no file's name holds this character
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.+Z-]{5,32}", re.ASCII)


def since_mark(moment: str) -> str:
    """Returns the text that stands in a selection for all judgements made after a moment.

    Args:
        moment: As `core.judgements.now` writes it; "" for the beginning of time.
    """
    return _SINCE + moment


def read_since(selection: Iterable[str]) -> str | None:
    """Returns the moment whose later judgements a selection means, None if it means collections alone.

    >>> read_since(["mine", since_mark("2026-01-02T03:04:05+00:00")])
    '2026-01-02T03:04:05+00:00'
    """
    for text in selection:
        moment = text.removeprefix(_SINCE)
        if moment != text and (not moment or _MOMENT.fullmatch(moment)):
            return moment
    return None


def find_selected(stored: Judgements, owner: str, selection: Sequence[str] | None) -> list[StoredJudgement]:
    """Returns the judgements that a selection means, oldest first, so that a run does not depend on how they are shown.

    Args:
        stored: All judgements.
        owner: Whose.
        selection: Names of collections and at most one mark of a moment, joined; None or none of them for all there is.
    """
    since = read_since(selection or ())
    if since is None:
        return stored.find(owner, collections=list(selection) if selection else None)[::-1]
    return [
        entry
        for entry in reversed(stored.find(owner))
        if entry.judgement.created_at > since or entry.collection in (selection or ())
    ]
