"""What the growing files of a run hold as far as they were read, so that a page that looks every second reads on.

A damaged line is left out and said (`damage`): a curve with a gap is worth more than none. Who needs every line, as a
report does, asks the run folder's `read_` methods, which refuse. Standard library. This room must not know pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bnf_lab.runs.record_files import (
    MAX_POINT_BYTES,
    Damaged,
    Place,
    build_record,
    parse_object,
    parse_record,
    reaches,
    read_line,
    read_on,
)
from bnf_lab.runs.records import AnswerPoint, MetricPoint, TokenHeader, TokenSnapshot

METRICS, ANSWERS, TOKENS = "metrics.jsonl", "answers.jsonl", "tokens.jsonl"
START = Place()
HIGHEST_LOGP = 0.01
"""A log-probability is at most 0, give or take what rounding does."""


@dataclass(frozen=True)
class MetricIndex:
    """The points by their key, a replayed step once (its last value)."""

    points: Mapping[tuple[str, int], MetricPoint] = field(default_factory=dict)
    place: Place = START

    @property
    def ordered(self) -> list[MetricPoint]:
        return sorted(self.points.values(), key=lambda p: (p.step, p.source))

    @property
    def damage(self) -> str:
        return self.place.describe(METRICS)


@dataclass(frozen=True)
class AnswerIndex:
    """The answers in order of step, and what of the file could not be read."""

    answers: tuple[AnswerPoint, ...] = ()
    place: Place = START

    @property
    def damage(self) -> str:
        return self.place.describe(ANSWERS)


@dataclass(frozen=True)
class TokenIndex:
    """Where each snapshot stands in `tokens.jsonl`.

    Attributes:
        header: The first line; None before it is written.
        places: Offset of the last line recorded for each step.
        place: How far the file has been read.
    """

    header: TokenHeader | None = None
    places: Mapping[int, int] = field(default_factory=dict)
    place: Place = START

    @property
    def steps(self) -> list[int]:
        return sorted(self.places)

    @property
    def damage(self) -> str:
        return self.place.describe(TOKENS)


def read_new_metrics(path: Path, place: Place) -> tuple[list[MetricPoint], Place]:
    """Returns the points of the lines beyond a place, in the order of the file; and the new place."""
    found, place = read_on(path, place, lambda line: parse_record(line, MetricPoint), max_bytes=MAX_POINT_BYTES)
    return [point for _, point in found], place


def index_metrics(path: Path, known: MetricIndex) -> MetricIndex:
    """Returns `known` with what the file holds beyond it."""
    if not reaches(path, known.place):
        known = MetricIndex()
    added, place = read_new_metrics(path, known.place)
    return MetricIndex({**known.points, **{point.key: point for point in added}}, place)


def index_answers(path: Path) -> AnswerIndex:
    """Returns all answers; of two to the same prompt at the same step the later one."""
    found, place = read_on(path, START, lambda line: parse_record(line, AnswerPoint))
    points = {(p.step, p.prompt): p for _, p in found}
    return AnswerIndex(tuple(sorted(points.values(), key=lambda p: p.step)), place)


def index_tokens(path: Path, known: TokenIndex) -> TokenIndex:
    """Returns `known` with what the token file holds beyond it; snapshots that do not fit the header are damaged."""
    if not reaches(path, known.place):
        known = TokenIndex()
    header, places = known.header, dict(known.places)

    def parse(line: bytes) -> int | TokenHeader:
        nonlocal header
        record = _parse_tokens(line, header)
        if isinstance(record, TokenSnapshot):
            return record.step
        header = record
        return record

    found, place = read_on(path, known.place, parse)
    of = known.header
    for offset, what in found:
        if isinstance(what, int):
            places[what] = offset
            continue
        if of is not None and _lengths(of) != _lengths(what):
            places.clear()  # of another probe
        of = what
    return TokenIndex(header, places, place)


def read_snapshot(path: Path, index: TokenIndex, step: int) -> TokenSnapshot | None:
    """Returns the snapshot of one step that `index` lists; None if the file has changed since."""
    try:
        record = read_line(path, index.places[step], lambda line: _parse_tokens(line, index.header))
    except (FileNotFoundError, Damaged):
        return None
    return record if isinstance(record, TokenSnapshot) and record.step == step else None


def _parse_tokens(line: bytes, header: TokenHeader | None) -> TokenHeader | TokenSnapshot:
    """Returns a line of the token file.

    Args:
        line: The line.
        header: What snapshots have to fit; None where it is not known.
    """
    values = parse_object(line)
    if values.get("kind") == "header":
        found = build_record(values, TokenHeader)
        if not all(_lengths(found) or [0]):
            raise Damaged("there is no response, or one without tokens")
        for response in found.responses:
            n_tokens = [len(response.tokens)]
            _check_lengths(n_tokens, [response.reference_logps], "reference_logps")
            _check_lengths(n_tokens, [response.reference_logits], "reference_logits")
            _check_logps([response.reference_logps])
        return found
    snapshot = build_record(values, TokenSnapshot)
    _check_logps(snapshot.logps)
    if header is not None:
        for name in ("logps", "logits", "weights"):
            _check_lengths(_lengths(header), getattr(snapshot, name), name)
    return snapshot


def _lengths(header: TokenHeader) -> list[int]:
    return [len(response.tokens) for response in header.responses]


def _check_lengths(expected: Sequence[int], rows: Sequence[Sequence[float]], name: str) -> None:
    if [len(row) for row in rows] != expected:
        raise Damaged(f"'{name}' does not have a number for each token")


def _check_logps(rows: Sequence[Sequence[float]]) -> None:
    if any(max(row) > HIGHEST_LOGP for row in rows if row):
        raise Damaged("a log-probability is above 0")
