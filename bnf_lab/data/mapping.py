"""What a person says about a file: which columns are which, by paths, and how open questions are decided.

One record, `ImportChoices`, is what the page keeps, what a mapping file holds and what `--map FILE` reads. Standard
library; this room must not know files of data or pages.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bnf_lab.core.errors import ImportRefused, shown
from bnf_lab.core.judgements import Verdict
from bnf_lab.data.fields import Parts
from bnf_lab.data.formats.rows import RowProblem
from bnf_lab.data.labels import Labels, read_labels
from bnf_lab.data.layouts.plan import Plan
from bnf_lab.data.ratings import RatingRule
from bnf_lab.data.readers import read_labelled, read_pair, read_ranked, read_rated
from bnf_lab.data.survey import Column, Survey, normalise_value

MAX_MAPPING_BYTES = 100_000
MAX_PLACES = 300
LEAVE_OUT = "leave out"
_DEPTH = 4
_STEP = re.compile(r"([^.\[\]]+)|\[(\d{0,4})\]")
KINDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "pairs": (read_pair, ("preferred", "dispreferred")),
    "labels": (read_labelled, ("prompt", "response", "label")),
    "ratings": (read_rated, ("prompt", "response", "rating")),
    "ranks": (read_ranked, ("prompt", "response", "rank")),
}
OPTIONAL = ("prompt", "system", "weight")


class NothingThere(ImportRefused):
    """A place of a mapping at which no row has anything; `part` is the one it was chosen for."""

    def __init__(self, label: str, part: str, place: str) -> None:
        self.part = part
        super().__init__(
            f"{label}: nothing stands at {shown(place, 60)} in any row, so there is no {part}. Correct the path; "
            "completions[].text is the text of every entry, data.answer a field of an object."
        )


@dataclass(frozen=True)
class ColumnMapping:
    """Which column, or place inside one, plays which part.

    `kind` is "pairs" (preferred and dispreferred; the prompt may be part of both), "labels" (response and label),
    "ratings" (response and rating) or "ranks" (response and rank). A place is a column's name or a path into it:
    `completions[].response` is the response of every entry, `data.answer1` a field of an object, `turns[0]` an entry.
    """

    kind: str
    prompt: str | None = None
    preferred: str | None = None
    dispreferred: str | None = None
    response: str | None = None
    label: str | None = None
    rating: str | None = None
    rank: str | None = None
    system: str | None = None
    weight: str | None = None

    @property
    def chosen(self) -> dict[str, str]:
        """The parts that are named, with their places."""
        return {
            f.name: value for f in dataclasses.fields(self) if f.name != "kind" and (value := getattr(self, f.name))
        }


@dataclass(frozen=True)
class ImportChoices:
    """Everything a person may decide about one file; the defaults decide nothing.

    Attributes:
        layout: Key of the layout to read it as; "" where recognition decides.
        part: Which table of a file with several: a split or a sheet.
        decides: What decides where a layout offers a choice (an attribute, a verdict column).
        labels: Normalised label -> verdict, or None for a label that is left out; where a column says which of two
            answers is better, "preferred" means the first.
        leave_out: Columns of text that are left out knowingly.
        in_prompt: Columns of text that belong below the prompt.
        columns: The mapping of columns, where the person says it all.
        turn_round: Whether pairs whose scores contradict their order are turned round.
        ratings: How ratings become verdicts and weights; None where whoever imports decides.
    """

    layout: str = ""
    part: str = ""
    decides: str = ""
    labels: Mapping[str, Verdict | None] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()
    in_prompt: tuple[str, ...] = ()
    columns: ColumnMapping | None = None
    turn_round: bool = False
    ratings: RatingRule | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns it as a mapping file holds it."""
        record = dataclasses.asdict(self)
        record["labels"] = {label: str(verdict) if verdict else LEAVE_OUT for label, verdict in self.labels.items()}
        record |= {"leave_out": list(self.leave_out), "in_prompt": list(self.in_prompt)}
        if self.columns is not None:
            record["columns"] = {"kind": self.columns.kind, **self.columns.chosen}
        if self.ratings is not None:
            record["ratings"] = {name: v for name, v in dataclasses.asdict(self.ratings).items() if v is not None}
        return {name: value for name, value in record.items() if value}

    @classmethod
    def from_dict(cls, record: Any, where: str = "mapping") -> ImportChoices:
        """Reads a mapping as a file holds it, refusing what it does not know.

        Raises:
            ImportRefused: With what is wrong and what is accepted.
        """
        names = [f.name for f in dataclasses.fields(cls)]
        if not isinstance(record, dict) or not record.keys() <= set(names):
            raise ImportRefused(
                f"{where}: a mapping is an object with some of {', '.join(names)}; found {shown(record)}."
            )
        values = dict(record)
        if "columns" in values:
            values["columns"] = _read_columns(values["columns"], where)
        labels = values.get("labels", {})
        verdicts: dict[str, Verdict | None] = {**{str(v): v for v in Verdict}, LEAVE_OUT: None}
        if not isinstance(labels, dict) or not all(v in verdicts for v in labels.values()):
            raise ImportRefused(f"{where}: a label means {', '.join(verdicts)}; found {shown(labels)}.")
        values["labels"] = {normalise_value(label) or str(label): verdicts[v] for label, v in labels.items()}
        if "ratings" in values:
            values["ratings"] = _read_rule(values["ratings"], where)
        lists = {name: values.get(name, []) for name in ("leave_out", "in_prompt")}
        are_lists = all(isinstance(v, list | tuple) and all(isinstance(n, str) for n in v) for v in lists.values())
        texts = all(isinstance(values.get(name, ""), str) for name in ("layout", "part", "decides"))
        if not are_lists or not texts or not isinstance(values.get("turn_round", False), bool):
            raise ImportRefused(
                f"{where}: leave_out and in_prompt are lists of columns, turn_round true or false, the rest are texts."
            )
        return cls(**{**values, **{name: tuple(v) for name, v in lists.items()}})


def _read_columns(record: Any, where: str) -> ColumnMapping:
    names = [f.name for f in dataclasses.fields(ColumnMapping)]
    is_mapping = (
        isinstance(record, dict) and record.keys() <= set(names) and all(isinstance(v, str) for v in record.values())
    )
    if not is_mapping or record.get("kind") not in KINDS:
        raise ImportRefused(
            f"{where}: columns needs a kind ({', '.join(KINDS)}) and places for {', '.join(names[1:])}; found"
            f" {shown(record)}."
        )
    return ColumnMapping(**record)


def _read_rule(record: Any, where: str) -> RatingRule:
    names = [f.name for f in dataclasses.fields(RatingRule)]
    threshold = record.get("threshold") if isinstance(record, dict) else ""
    is_number = threshold is None or (isinstance(threshold, int | float) and not isinstance(threshold, bool))
    if not isinstance(record, dict) or not record.keys() <= set(names) or not is_number:
        raise ImportRefused(
            f"{where}: ratings is an object with some of {', '.join(names)}, the threshold a number; found"
            f" {shown(record)}."
        )
    return RatingRule(**record)


def read_choices(path: Path) -> ImportChoices:
    """Reads a mapping file (JSON), as `save_choices` writes it.

    Raises:
        ImportRefused: If it is none.
    """
    try:
        if path.stat().st_size > MAX_MAPPING_BYTES:
            raise ImportRefused(f"{path.name}: a mapping file has at most {MAX_MAPPING_BYTES:,} bytes.")
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ImportRefused(
            f"{path.name}: it is no mapping file in JSON that can be read. Save the mapping again."
        ) from error
    return ImportChoices.from_dict(record, path.name)


def dump_choices(choices: ImportChoices) -> str:
    """Returns a mapping file's text."""
    return json.dumps(choices.to_dict(), ensure_ascii=False, indent=1) + "\n"


def find_place(values: Mapping[str, Any], place: str) -> Any:
    """Returns what lies at a place of a row; with `[]` a list of it for every entry.

    Raises:
        RowProblem: If the path leads nowhere.

    >>> find_place({"completions": [{"response": "a"}, {"response": "b"}]}, "completions[].response")
    ['a', 'b']
    >>> find_place({"preference.responses": ["a"], "data": {"x": 1}}, "data.x")
    1
    """
    if place in values:
        return values[place]
    column = next(
        (name for name in sorted(values, key=len, reverse=True) if place.startswith((f"{name}.", f"{name}["))), None
    )
    if column is None:
        return None
    return _follow(values[column], _STEP.findall(place[len(column) :]), place)


def _follow(value: Any, steps: list[tuple[str, str]], place: str) -> Any:
    for i, (name, index) in enumerate(steps):
        if name:
            value = value.get(name) if isinstance(value, dict) else None
        elif index:
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
        elif isinstance(value, list):
            return [_follow(item, steps[i + 1 :], place) for item in value]
        else:
            raise RowProblem(f"there is no list at {shown(place, 60)}. Correct the mapping or delete the row.", place)
    return value


def list_places(rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Returns the columns of these rows and the paths that occur in them, as `find_place` follows them.

    >>> list_places([{"id": 1, "completions": [{"response": "a"}], "data": {"x": {"y": 1}}}])
    ('id', 'completions', 'completions[].response', 'data', 'data.x', 'data.x.y')
    """
    places: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, value in row.items():
            inner = places.setdefault(name, {})
            inner |= dict.fromkeys(_paths(name, value, _DEPTH))
    return tuple(place for name, inner in places.items() for place in (name, *inner))[:MAX_PLACES]


def _paths(place: str, value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, list):
        place, value = f"{place}[]", next((item for item in value if isinstance(item, dict)), None)
    if not isinstance(value, dict) or not depth:
        return
    for key, inner in value.items():
        if key and not set(key) & set(".[]"):
            yield f"{place}.{key}"
            yield from _paths(f"{place}.{key}", inner, depth - 1)


def map_columns(choices: ImportChoices, seen: Survey, sample: Iterable[Mapping[str, Any]], label: str) -> Plan:
    """Returns the plan that the person's mapping makes.

    Args:
        choices: What was chosen; `columns` is set.
        seen: The table.
        sample: Every row, for what stands at its places.
        label: How messages call the file.

    Raises:
        ImportRefused: If the kind is none, a needed place is not named, or a name is not in the table; `NothingThere`
            if a path leads nowhere.
    """
    mapping = choices.columns or ColumnMapping("pairs")
    if mapping.kind not in KINDS:
        raise ImportRefused(
            f"{label}: the column mapping's kind is {shown(mapping.kind)}; accepted are {', '.join(KINDS)}."
        )
    read, needed = KINDS[mapping.kind]
    chosen = {part: place for part, place in mapping.chosen.items() if part in (*needed, *OPTIONAL)}
    missing = [part for part in needed if part not in chosen]
    if missing:
        raise ImportRefused(f"{label}: no column is chosen for {' and '.join(missing)}. Choose one for each.")
    roots = {part: find_column(place, seen.names) for part, place in chosen.items()}
    unknown = [place for part, place in chosen.items() if roots[part] is None]
    if unknown:
        raise ImportRefused(
            f"{label}: there is no column {shown(unknown[0], 40)}. Its columns are "
            f"{', '.join(shown(name, 30) for name in seen.names[:8])}."
        )
    if len(set(chosen.values())) < len(chosen):
        raise ImportRefused(f"{label}: one column is chosen for two parts. Choose a different one for each.")
    found = _look_at(chosen, seen.names, choices, sample, label)
    return Plan(
        f"chosen columns ({mapping.kind})",
        _place_reader(read, chosen),
        frozenset(root for root in roots.values() if root),
        seen.n_rows,
        column=chosen.get("label") or chosen.get("rating") or chosen.get("rank"),
        labels=found.meaning if found else {},
        question=found.question if found else None,
        values=found.counts if found else {},
        how=found.how if found else "",
        explained=frozenset(seen.names),
    )


def find_column(place: str, names: Sequence[str]) -> str | None:
    """Returns the column that a place lies in, None if there is none of that name."""
    return next((name for name in names if place == name or place.startswith((f"{name}.", f"{name}["))), None)


def _look_at(
    chosen: Mapping[str, str],
    names: Sequence[str],
    choices: ImportChoices,
    sample: Iterable[Mapping[str, Any]],
    label: str,
) -> Labels | None:
    """Looks over the rows once: whether every path leads somewhere, and what the labels mean, if there are any."""
    nowhere = {part: place for part, place in chosen.items() if place not in names}
    facts = Column(chosen["label"]) if "label" in chosen else None
    for values in sample:
        if facts is not None:
            facts.see(_find(values, facts.name))
        nowhere = {part: place for part, place in nowhere.items() if not _holds(_find(values, place))}
        if facts is None and not nowhere:
            break
    for part, place in nowhere.items():
        raise NothingThere(label, part, place)
    said = {value: verdict for value, verdict in choices.labels.items() if verdict}
    return read_labels(facts.values, facts.name, said or None) if facts is not None else None


def _find(values: Mapping[str, Any], place: str) -> Any:
    try:
        return find_place(values, place)
    except RowProblem:  # reading the row says it
        return None


def _holds(found: Any) -> bool:
    return any(item is not None for item in (found if isinstance(found, list) else [found]))


def _place_reader(read: Any, places: Mapping[str, str]) -> Any:
    def read_row(values: Mapping[str, Any], reading: Any) -> Any:
        return (read(Parts({part: find_place(values, place) for part, place in places.items()}, places), reading),)

    return read_row
