r"""Which schema a table has. Standard library.

A schema is recognised by content over all rows: the one whose contents most rows have, then the one whose columns
most rows have, then the one with more parts. Knows rows; this room must not know files, formats or reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bnf_lab.errors import ImportRefused, shown
from bnf_lab.readers import Columns, Draft, read_labelled, read_pair, read_ranked, read_rated
from bnf_lab.rows import Refusal, Row
from bnf_lab.turns import is_transcript

Reader = Callable[[Mapping[str, Any], Columns, int], Draft]
Shapes = frozenset[tuple[str, str]]

_TEXT = ("text", "transcript")
_SPOKEN = ("list", "object")
_FLAG = ("true or false", "number", "text")
_ASKED = ("prompt", "instruction", "question", "query")
_ANSWERED = ("completion", "response", "answer", "output")
_ANSWERS = ("responses", "completions", "answers")
_CONVERSATION = ("conversations", "messages", "conversation")
IMPLICIT_PROMPT = "TRL preference, implicit prompt"
_N_SAMPLES = 5
_SAMPLE_CHARS = 200
_MAX_COLUMNS_SHOWN = 200


@dataclass(frozen=True)
class Schema:
    """A recognised or mapped layout: what the report calls it, its columns, and how a row is read."""

    name: str
    columns: Columns
    read: Reader


@dataclass(frozen=True)
class _Layout:
    """What a schema looks like: for each part the accepted columns and shapes; `absent` columns must be empty."""

    name: str
    read: Reader
    parts: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    absent: tuple[str, ...] = ()
    optional: Mapping[str, str] | None = None


def _pair(*shapes: str) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    return {"preferred": (("chosen",), shapes), "dispreferred": (("rejected",), shapes)}


_ALPACA = {"extra": "input", "system": "system", "history": "history"}
_SYSTEM = {"system": "system"}
_LAYOUTS = (
    _Layout("ShareGPT preference", read_pair,
            {"prompt": (_CONVERSATION, ("list",)), **_pair(*_SPOKEN, *_TEXT)}, optional=_SYSTEM),
    _Layout("ShareGPT with kto_tag", read_labelled,
            {"prompt": (_CONVERSATION, ("list",)), "label": (("kto_tag", "label"), _FLAG)}, optional=_SYSTEM),
    _Layout("Alpaca preference", read_pair, {"prompt": (("instruction",), _TEXT), **_pair(*_TEXT)}, optional=_ALPACA),
    _Layout("Alpaca with kto_tag", read_labelled,
            {"prompt": (("instruction",), _TEXT), "response": (_ANSWERED, _TEXT), "label": (("kto_tag",), _FLAG)},
            optional=_ALPACA),
    _Layout("Anthropic HH transcripts", read_pair, _pair("transcript")),
    _Layout("TRL preference", read_pair,
            {"prompt": (_ASKED, ("list", *_TEXT)), **_pair(*_TEXT)}, optional=_SYSTEM),
    _Layout("TRL preference, conversational", read_pair,
            {"prompt": (_ASKED, ("list", *_TEXT)), **_pair(*_SPOKEN)}, optional=_SYSTEM),
    _Layout(IMPLICIT_PROMPT, read_pair, _pair(*_TEXT), (*_ASKED, *_CONVERSATION)),
    _Layout("TRL preference, implicit prompt, conversational", read_pair, _pair("list"), (*_ASKED, *_CONVERSATION)),
    _Layout("TRL unpaired preference", read_labelled,
            {"prompt": (_ASKED, ("list", *_TEXT)), "response": (_ANSWERED, _TEXT), "label": (("label",), _FLAG)},
            optional=_SYSTEM),
    _Layout("TRL unpaired preference, conversational", read_labelled,
            {"prompt": (_ASKED, ("list", *_TEXT)), "response": (_ANSWERED, _SPOKEN), "label": (("label",), _FLAG)},
            optional=_SYSTEM),
    _Layout("ratings", read_rated,
            {"prompt": (_ASKED, ("list", *_TEXT)), "response": (_ANSWERED, (*_TEXT, *_SPOKEN)),
             "rating": (("score", "rating"), ("number", "text"))}, optional=_SYSTEM),
    _Layout("rankings", read_ranked,
            {"prompt": (_ASKED, ("list", *_TEXT)), "response": (_ANSWERED, (*_TEXT, *_SPOKEN)),
             "rank": (("rank",), ("number", "text"))}, optional=_SYSTEM),
    _Layout("ratings, several answers a row", read_rated,
            {"prompt": (_ASKED, ("list", *_TEXT)), "response": (_ANSWERS, ("list",)),
             "rating": (("scores", "ratings"), ("list",))}, optional=_SYSTEM),
    _Layout("rankings, several answers a row", read_ranked,
            {"prompt": (_ASKED, ("list", *_TEXT)), "response": (_ANSWERS, ("list",)),
             "rank": (("ranks", "ranking"), ("list",))}, optional=_SYSTEM),
)
_KNOWN = frozenset(name for layout in _LAYOUTS for names, _ in layout.parts.values() for name in names)


@dataclass(frozen=True)
class ColumnMapping:
    """What the person says about the columns where the lab does not recognise them.

    `kind` is "pairs" (preferred and dispreferred, the prompt may be part of both), "labels" (response and label),
    "ratings" (response and rating) or "ranks" (response and rank); the last two may hold lists of equal length.
    """

    kind: str
    prompt: str | None = None
    preferred: str | None = None
    dispreferred: str | None = None
    response: str | None = None
    label: str | None = None
    rating: str | None = None
    rank: str | None = None


_MAPPED: dict[str, tuple[Reader, tuple[str, ...]]] = {
    "pairs": (read_pair, ("preferred", "dispreferred")),
    "labels": (read_labelled, ("prompt", "response", "label")),
    "ratings": (read_rated, ("prompt", "response", "rating")),
    "ranks": (read_ranked, ("prompt", "response", "rank")),
}


@dataclass(frozen=True)
class Survey:
    """What one look over all rows shows: the columns, the first rows as texts, and how often each shape occurs."""

    columns: tuple[str, ...]
    sample_rows: tuple[dict[str, str], ...]
    shapes: Mapping[Shapes, int]
    n_rows: int


def survey(rows: Iterable[Row | Refusal]) -> Survey:
    """Looks over all rows once, keeping nothing but counts and a few clipped samples."""
    columns: dict[str, None] = {}
    shapes: Counter[Shapes] = Counter()
    samples: list[dict[str, str]] = []
    n_rows = 0
    for row in rows:
        n_rows += 1
        if isinstance(row, Refusal):
            continue
        columns.update((name, None) for name in row.values if name in _KNOWN or len(columns) < _MAX_COLUMNS_SHOWN)
        if len(samples) < _N_SAMPLES:
            samples.append({name: _sample(value) for name, value in list(row.values.items())[:_MAX_COLUMNS_SHOWN]})
        shapes[frozenset((name, _shape(value)) for name, value in row.values.items() if name in _KNOWN)] += 1
    return Survey(tuple(columns), tuple(samples), shapes, n_rows)


def _shape(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return "transcript" if is_transcript(value) else "text"
    kinds = {bool: "true or false", int: "number", float: "number", list: "list", dict: "object"}
    return kinds.get(type(value), "other")


def _sample(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text[: _SAMPLE_CHARS + 1])
    return text if len(text) <= _SAMPLE_CHARS else text[: _SAMPLE_CHARS - 1] + "…"


def recognise(seen: Survey) -> Schema | None:
    """Returns the schema that fits most rows, or None if no row has the columns of any."""
    filled = {name for shapes in seen.shapes for name, kind in shapes if kind != "nothing"}
    best, best_score = None, (0, 0, 0)
    for layout in _LAYOUTS:
        columns = _columns(layout, seen.columns)
        if columns is None or not filled.isdisjoint(layout.absent):
            continue
        n_fit = sum(n for shapes, n in seen.shapes.items() if _fits(layout, columns, dict(shapes)))
        n_named = sum(n for shapes, n in seen.shapes.items() if _is_named(layout, columns, dict(shapes)))
        score = (n_fit, n_named, len(layout.parts))
        if n_named and score > best_score:
            best, best_score = Schema(layout.name, columns, layout.read), score
    return best


def _columns(layout: _Layout, present: tuple[str, ...]) -> Columns | None:
    """Returns the table's columns for the layout's parts, None if one has none."""
    found = {part: next((n for n in names if n in present), None) for part, (names, _) in layout.parts.items()}
    if None in found.values():
        return None
    optional = {part: name for part, name in (layout.optional or {}).items() if name in present}
    return Columns(**found, **optional)


def _fits(layout: _Layout, columns: Columns, shapes: Mapping[str, str]) -> bool:
    return all(shapes.get(getattr(columns, part)) in kinds for part, (_, kinds) in layout.parts.items())


def _is_named(layout: _Layout, columns: Columns, shapes: Mapping[str, str]) -> bool:
    return all(getattr(columns, part) in shapes for part in layout.parts)


def map_columns(mapping: ColumnMapping, present: tuple[str, ...], label: str) -> Schema:
    """Returns the schema that the person chose.

    Raises:
        ImportRefused: If the kind is none, a needed column is not named, or a name is not in the table.
    """
    if mapping.kind not in _MAPPED:
        raise ImportRefused(f"{label}: the column mapping's kind is {shown(mapping.kind)}; accepted are "
                            f"{', '.join(_MAPPED)}.")
    read, needed = _MAPPED[mapping.kind]
    parts = dict.fromkeys(("prompt", *needed))
    chosen = {part: getattr(mapping, part) for part in parts if getattr(mapping, part) is not None}
    missing = [part for part in needed if part not in chosen]
    if missing:
        raise ImportRefused(f"{label}: no column is chosen for {' and '.join(missing)}. Choose one for each.")
    unknown = [name for name in chosen.values() if name not in present]
    if unknown:
        raise ImportRefused(f"{label}: there is no column {shown(unknown[0], 40)}. Its columns are "
                            f"{', '.join(shown(name, 30) for name in present[:8])}.")
    if len(set(chosen.values())) < len(chosen):
        raise ImportRefused(f"{label}: one column is chosen for two parts. Choose a different one for each.")
    return Schema(f"chosen columns ({mapping.kind})", Columns(**chosen), read)
