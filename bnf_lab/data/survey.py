"""What one look over all rows of a table shows, by column. Keeps counts and a few clipped samples, never the rows.

Layouts are told by these facts. Knows values; this room must not know layouts, files or judgements.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bnf_lab.data.conversations import find_messages, is_blank
from bnf_lab.data.embedded import decode, is_bracketed, looks_embedded
from bnf_lab.data.formats.rows import Literal, Refusal, Row
from bnf_lab.data.transcripts import is_spoken, is_templated, is_transcript

MAX_COLUMNS = 200
MAX_VALUES = 24
MAX_VALUE_CHARS = 40
MAX_KEYS = 60
WORDS_OF_A_TEXT = 3
_N_SAMPLES = 5
_SAMPLE_CHARS = 200
_DECODED_FOR_PROOF = 200  # cells of a column that are parsed before it counts as one of conversations
_SPACES = re.compile(r"[\s\-.]+")
_ASIDE = re.compile(r"\s*[(\[][^()\[\]]*[)\]]\s*\Z")
_MARKS = "?!:;,*#\"'"

TEXT = frozenset({"text", "transcript", "spoken", "templated", "number"})
MESSAGES = frozenset({"messages", "message", "embedded"})
TRANSCRIPTS = frozenset({"transcript", "transcript with preamble"})
ANSWER = TEXT | MESSAGES | {"list of one text"}


def words(text: str) -> tuple[str, ...]:
    """Returns the words of a text: how layouts list the names that people give to columns."""
    return tuple(text.split())


def plain_name(name: str) -> str:
    """Returns a column's name as layouts spell it: small letters, one kind of gap, without asides and marks.

    >>> plain_name(" Chosen-Rating "), plain_name("preference.responses"), plain_name("Which is better? (A/B)")
    ('chosen_rating', 'preference_responses', 'which_is_better')
    """
    bare = _ASIDE.sub("", name).strip(_MARKS + " ") or name
    return _SPACES.sub("_", bare.strip().lower()).strip("_")


@dataclass
class Column:
    """The facts of one column.

    Attributes:
        name: As the table spells it.
        kinds: Kind of value -> rows.
        values: Normalised short value -> rows; None where there are more than `MAX_VALUES` of them.
        keys: Names inside its objects, or inside the objects of its lists -> rows.
        listed: Normalised short value inside its lists, or under "value" in their objects -> times; None where there
            are more than `MAX_VALUES` of them, or longer ones.
        n_bracketed: Rows whose text is a list or an object by its brackets.
        n_wordy: Rows whose text, or one of whose texts, has at least three words.
    """

    name: str
    kinds: Counter[str] = field(default_factory=Counter)
    values: Counter[str] | None = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)
    listed: Counter[str] | None = field(default_factory=Counter)
    n_bracketed: int = 0
    n_wordy: int = 0
    n_decoded: int = 0

    @property
    def n_filled(self) -> int:
        return self.kinds.total() - self.kinds["nothing"]

    def count(self, kinds: Iterable[str]) -> int:
        """Returns how many rows are of one of these kinds."""
        return sum(self.kinds[kind] for kind in kinds)

    def is_mostly(self, kinds: Iterable[str]) -> bool:
        """Tells whether more than half of the filled rows are of one of these kinds."""
        return 2 * self.count(kinds) > self.n_filled

    def see(self, value: Any) -> None:
        """Counts one row."""
        kind = self._kind(value)
        self.kinds[kind] += 1
        texts = value[:8] if isinstance(value, list) else (value,)
        self.n_wordy += any(isinstance(text, str) and _is_wordy(text) for text in texts)
        self.n_bracketed += kind == "text" and is_bracketed(value)
        if kind != "nothing":
            self.values = _count_short(self.values, (value,))
            if isinstance(value, list | dict):
                self.listed = _count_short(self.listed, _inner(value))
        if kind in ("object", "objects", "message", "messages"):
            items = [value] if isinstance(value, dict) else value[:8]
            self.keys.update(
                {plain_name(key) for item in items if isinstance(item, dict) for key in list(item)[:MAX_KEYS]}
            )

    def _kind(self, value: Any) -> str:
        if is_blank(value):
            return "nothing"
        if isinstance(value, str):
            return self._kind_of_text(value)
        if isinstance(value, bool | int | float):
            return "true or false" if isinstance(value, bool) else "number"
        return _kind_of_container(value)

    def _kind_of_text(self, value: str) -> str:
        if looks_embedded(value):
            if self.n_decoded >= _DECODED_FOR_PROOF:
                return "embedded" if self.kinds["embedded"] else "text"
            self.n_decoded += 1
            try:
                return "embedded" if find_messages(decode(value)) is not None else "text"
            except ValueError:
                return "text"
        if is_transcript(value):
            return "transcript"
        if is_templated(value):
            return "templated"
        if is_transcript(value, with_preamble=True):
            return "transcript with preamble"
        return "spoken" if is_spoken(value) else "text"


def _count_short(counts: Counter[str] | None, values: Iterable[Any]) -> Counter[str] | None:
    """Counts short values; None from the first that is long, no scalar, or one too many."""
    if counts is None:
        return None
    for value in values:
        text = normalise_value(value)
        if text is None or len(text) > MAX_VALUE_CHARS:
            return None
        counts[text] += 1
    return counts if len(counts) <= MAX_VALUES else None


def _inner(value: list[Any] | dict[str, Any]) -> Iterator[Any]:
    given = value.get("value") if isinstance(value, dict) else value
    for item in given if isinstance(given, list) else [given]:
        yield item.get("value") if isinstance(item, dict) else item


def _is_wordy(text: str) -> bool:
    text = text.strip()
    return text.count(" ") + text.count("\n") >= WORDS_OF_A_TEXT - 1


def _kind_of_container(value: Any) -> str:
    if find_messages(value) is not None:
        return "message" if isinstance(value, dict) else "messages"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        if all(isinstance(item, str) for item in value):
            return "list of one text" if len(value) == 1 else "texts"
        if all(isinstance(item, int | float) or item is None for item in value):
            return "numbers"
        return "objects" if all(isinstance(item, dict) for item in value) else "list"
    return "other"


def normalise_value(value: Any) -> str | None:
    """Returns a short value as vocabularies spell it; None if it is no scalar.

    >>> [normalise_value(v) for v in (True, " TRUE ", 1.0, "1.0", -1, "Thumbs-Up", [1])]
    ['true', 'true', '1', '1', '-1', 'thumbs_up', None]
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        value = value.text if isinstance(value, Literal) else str(value)
    if not isinstance(value, str):
        return None
    text = value.strip().lower()
    if re.fullmatch(r"[+-]?\d+\.0+", text):
        text = text.partition(".")[0]
    text = text.removeprefix("+") if text[1:].isdigit() else text
    return text if re.fullmatch(r"[+-]?[\d.]+", text) else _SPACES.sub("_", text).strip("_") or text


@dataclass(frozen=True)
class Survey:
    """What the whole table shows.

    Attributes:
        columns: Plain name -> facts, in the table's order; where two names are alike but for spelling, the first.
        all_columns: The table's own name -> facts.
        names: The table's own names, in their order.
        sample_rows: The first rows as clipped texts.
        sample_values: The first rows themselves, for previews.
        n_rows: Rows, refused ones included.
    """

    columns: dict[str, Column]
    all_columns: dict[str, Column]
    names: tuple[str, ...]
    sample_rows: tuple[dict[str, str], ...]
    sample_values: tuple[Row, ...]
    n_rows: int

    def find(self, *names: str, kinds: Iterable[str] | None = None) -> str | None:
        """Returns the first of these columns that is there, holds anything, and mostly is of the kinds, if given.

        Returns:
            Its name as layouts spell it.
        """
        wanted = None if kinds is None else frozenset(kinds)
        return next(
            (n for n in names if (c := self.columns.get(n)) and c.n_filled and (wanted is None or c.is_mostly(wanted))),
            None,
        )

    def has(self, *names: str) -> bool:
        return all(name in self.columns for name in names)

    def facts(self, spelt: str) -> Column:
        """Returns the facts of a column, given its name as the table spells it."""
        return self.all_columns[spelt]

    def spelt(self, name: str) -> str:
        """Returns a column's name as the table spells it."""
        return self.columns[name].name


def survey(rows: Iterable[Row | Refusal]) -> Survey:
    """Looks over all rows once."""
    by_name: dict[str, Column] = {}
    samples: list[Row] = []
    n_rows = 0
    for row in rows:
        n_rows += 1
        if isinstance(row, Refusal):
            continue
        if len(samples) < _N_SAMPLES:
            samples.append(row)
        for name, value in row.values.items():
            if name not in by_name:
                if len(by_name) >= MAX_COLUMNS:
                    continue
                by_name[name] = Column(name)
            by_name[name].see(value)
    columns: dict[str, Column] = {}
    for column in by_name.values():
        columns.setdefault(plain_name(column.name), column)
    shown = tuple({name: _sample(value) for name, value in _first(row)} for row in samples)
    return Survey(columns, by_name, tuple(by_name), shown, tuple(samples), n_rows)


def _first(row: Row) -> Iterator[tuple[str, Any]]:
    yield from list(row.values.items())[:MAX_COLUMNS]


def _sample(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text[: _SAMPLE_CHARS + 1])
    return text if len(text) <= _SAMPLE_CHARS else text[: _SAMPLE_CHARS - 1] + "…"
