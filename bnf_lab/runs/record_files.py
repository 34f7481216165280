"""Strict reading of what a run wrote: plain files, bounded lines, JSON, and records by the types of their fields.

A run folder may have been damaged by a disk, a copy or a person, and pages read many of them at once. So nothing here
hangs, fills the memory or raises what callers do not expect: what cannot be understood is `Damaged`, in words. What
that means (refuse the run, or leave one line out and say so) is for the caller. Standard library. This room must not
know which files a run has.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import stat
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from bnf_lab.core.errors import shown
from bnf_lab.core.numbers import counted

MAX_OBJECT_BYTES = 1 << 20
MAX_LINE_BYTES = 24 << 20
"""Of one judgement, answer or token snapshot; an upload has at most 20 MB."""
MAX_POINT_BYTES = 1 << 16
DEEPEST = 64
LARGEST = 1e39
"""A little more than float32 holds; what a run measures is no larger, and differences of such values are finite."""
LARGEST_WHOLE = 2**53
BLOCK_BYTES = 1 << 16

T = TypeVar("T")
Reader = Callable[[Any], Any]


class Damaged(ValueError):
    """Why a file or line cannot be understood, to stand in brackets behind its name."""


@dataclass(frozen=True)
class Place:
    """How far a file of lines has been read, and what of it could not be.

    Attributes:
        end: Offset behind the last complete line.
        n_lines: Complete lines before it.
        n_damaged: How many of them were left out.
        first: Number of the first one, 0 if there is none.
        why: What is wrong with that line, or with the file as a whole; "" if nothing is.
    """

    end: int = 0
    n_lines: int = 0
    n_damaged: int = 0
    first: int = 0
    why: str = ""

    def describe(self, name: str, *, is_left_out: bool = True) -> str:
        """Returns what could not be read of the file of this name; "" if all of it could.

        >>> Place(90, 3, 1, 2, "it is no JSON").describe("metrics.jsonl")
        'metrics.jsonl line 2 cannot be read (it is no JSON) and is left out.'
        """
        if self.n_damaged > 1:
            left_out = " and are left out" if is_left_out else ""
            others = f"{name}: {counted(self.n_damaged, 'line')} cannot be read{left_out}"
            return f"{others}; the first is line {self.first} ({self.why})."
        if self.n_damaged == 1:
            left_out = " and is left out" if is_left_out else ""
            return f"{name} line {self.first} cannot be read ({self.why}){left_out}."
        return f"{name} cannot be read ({self.why})." if self.why else ""

    def past(self, end: int, why: str | None) -> Place:
        """Returns the place behind one more line, which is damaged if there is a reason."""
        number = self.n_lines + 1
        if why is None:
            return dataclasses.replace(self, end=end, n_lines=number)
        first, first_why = (self.first, self.why) if self.n_damaged else (number, why)
        return Place(end, number, self.n_damaged + 1, first, first_why)


def open_plain(path: Path) -> BinaryIO:
    """Opens a file to read it, never a pipe or device, which would make the reader wait.

    Raises:
        FileNotFoundError: If there is none.
        Damaged: If it is no plain file, or the system refuses.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise Damaged(getattr(error, "strerror", None) or "no such name is possible") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Damaged("it is no plain file")
    return os.fdopen(descriptor, "rb")


def read_object(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a small file.

    Raises:
        FileNotFoundError: If there is none.
        Damaged: If it holds anything else.
    """
    with open_plain(path) as file:
        try:
            data = file.read(MAX_OBJECT_BYTES + 1)
        except OSError as error:
            raise Damaged(error.strerror or "it cannot be read") from error
    if len(data) > MAX_OBJECT_BYTES:
        raise Damaged(f"it is larger than {MAX_OBJECT_BYTES >> 20} MiB")
    return parse_object(data)


def read_on(
    path: Path, place: Place, parse: Callable[[bytes], T], *, max_bytes: int = MAX_LINE_BYTES
) -> tuple[list[tuple[int, T]], Place]:
    """Reads the complete lines beyond a place; an unfinished last one waits, a damaged one is left out and counted.

    Args:
        path: The file; none is an empty one.
        place: Where the last call ended.
        parse: From a line to what it says; raises `Damaged`.
        max_bytes: A longer line is damaged.

    Returns:
        Offset and meaning of each line, and the new place.
    """
    found: list[tuple[int, T]] = []
    place = place if place.n_damaged else dataclasses.replace(place, why="")
    try:
        for offset, length, line in _lines_from(path, place.end, max_bytes):
            why = None
            try:
                if line is None:
                    raise Damaged(f"it is longer than {max_bytes >> 10:,} KiB")
                found.append((offset, parse(line)))
            except Damaged as error:
                why = str(error)
            place = place.past(offset + length, why)
    except FileNotFoundError:
        pass
    except Damaged as error:
        place = dataclasses.replace(place, why=place.why or str(error))
    return found, place


def read_line(path: Path, offset: int, parse: Callable[[bytes], T]) -> T:
    """Returns what the line at an offset says.

    Raises:
        FileNotFoundError: If there is no file.
        Damaged: If there is no such line.
    """
    for _, _, line in _lines_from(path, offset, MAX_LINE_BYTES):
        if line is not None:
            return parse(line)
        break
    raise Damaged("there is no such line")


def reaches(path: Path, place: Place) -> bool:
    """Returns whether a file is still as long as it was read; if not, it is another file."""
    try:
        return place.end == 0 or path.stat().st_size >= place.end
    except OSError:
        return False


def parse_object(data: bytes) -> dict[str, Any]:
    """Returns a JSON object of which every part can be shown and sent: finite numbers, whole characters, not deep.

    Raises:
        Damaged: If it is anything else.
    """
    try:
        text = data.decode("utf-8")
        values = json.loads(text, parse_constant=_refuse_constant)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(values, ensure_ascii=False).encode()
    except Damaged:
        raise
    except UnicodeEncodeError as error:
        raise Damaged("it holds half a character") from error
    except (ValueError, RecursionError) as error:
        raise Damaged("it is no JSON") from error
    if not isinstance(values, dict):
        raise Damaged("it is no JSON object")
    if text.count("[") + text.count("{") > DEEPEST and _is_deep(values):
        raise Damaged(f"it is nested more than {DEEPEST} deep")
    return values


def parse_record(data: bytes, kind: type[T]) -> T:
    """Returns a line as the record it is, see `build_record`."""
    return build_record(parse_object(data), kind)


def build_record(values: Any, kind: type[T]) -> T:
    """Returns a dataclass from a JSON object; what the dataclass does not have is passed over.

    Raises:
        Damaged: If a field is missing or is not of its type.
    """
    if not isinstance(values, dict):
        raise Damaged(f"{_named(values)} instead of an object")
    readers, required = _fields_of(typing.cast(Any, kind))
    if missing := [name for name in required if name not in values]:
        raise Damaged(f"'{missing[0]}' is missing")
    found = {}
    for name, read in readers.items():
        if name in values:
            try:
                found[name] = read(values[name])
            except Damaged as error:
                raise Damaged(f"'{name}': {error}") from error
    try:
        return kind(**found)
    except ValueError as error:  # the record's own rules
        raise Damaged(str(error).rstrip(".")) from error


def _refuse_constant(name: str) -> Any:
    raise Damaged(f"it holds {name}, which is no number")


def _is_deep(values: Any) -> bool:
    level = [values]
    for _ in range(DEEPEST):
        children = (child for v in level for child in (v.values() if isinstance(v, dict) else v))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _lines_from(path: Path, offset: int, max_bytes: int) -> Iterator[tuple[int, int, bytes | None]]:
    """Yields offset, length and content of the complete lines from an offset on; None for one that is too long."""
    with open_plain(path) as file:
        try:
            file.seek(offset)
            while line := file.readline(max_bytes + 1):
                length, end = len(line), line[-1:]
                while end != b"\n" and (block := file.readline(BLOCK_BYTES)):
                    length, end = length + len(block), block[-1:]
                if end != b"\n":
                    return
                yield offset, length, line if length <= max_bytes + 1 and line.endswith(b"\n") else None
                offset += length
        except OSError as error:
            raise Damaged(error.strerror or "it cannot be read") from error


# -- values by their types


@functools.cache
def _fields_of(kind: Any) -> tuple[dict[str, Reader], tuple[str, ...]]:
    """Returns how each field of a dataclass is read, and which ones have to be there."""
    hints, fields = typing.get_type_hints(kind), dataclasses.fields(kind)
    nothing = dataclasses.MISSING
    required = tuple(f.name for f in fields if f.default is nothing and f.default_factory is nothing)
    return {f.name: _reader_of(hints[f.name]) for f in fields}, required


def _reader_of(hint: Any) -> Reader:
    """Returns the function that takes a JSON value for a field of this type, and nothing else."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType and inner[1:] == (type(None),):
        read = _reader_of(inner[0])
        return lambda value: None if value is None else read(value)
    if origin is Literal:
        return functools.partial(_read_choice, {value: value for value in inner})
    if origin is tuple and inner[1:] == (...,):
        return _read_floats if inner[0] is float else functools.partial(_read_items, _reader_of(inner[0]))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return functools.partial(_read_choice, {str(member): member for member in hint})
    if dataclasses.is_dataclass(hint):
        return lambda value: build_record(value, typing.cast(type, hint))
    raise TypeError(f"no reader for {hint}")


def _read_float(value: Any) -> float:
    if type(value) not in (int, float) or not -LARGEST <= value <= LARGEST:
        raise Damaged(f"{_named(value)} instead of a number")
    return float(value)


def _read_whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_WHOLE:
        raise Damaged(f"{_named(value)} instead of a whole number")
    return value


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise Damaged(f"{_named(value)} instead of a text")
    return value


def _read_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Damaged(f"{_named(value)} instead of true or false")
    return value


def _read_choice(choices: dict[str, Any], value: Any) -> Any:
    if not isinstance(value, str) or value not in choices:
        raise Damaged(f"{_named(value)} instead of one of {', '.join(choices)}")
    return choices[value]


def _read_items(read: Reader, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise Damaged(f"{_named(value)} instead of a list")
    return tuple(map(read, value))


def _read_floats(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise Damaged(f"{_named(value)} instead of a list")
    if any(type(v) is not float and type(v) is not int for v in value):
        raise Damaged("a list with other things than numbers")
    if value and not (min(value) >= -LARGEST and max(value) <= LARGEST):
        raise Damaged("a list with a number that is too large")
    return tuple(map(float, value))


_PLAIN: dict[Any, Reader] = {int: _read_whole, float: _read_float, str: _read_text, bool: _read_flag}


def _named(value: Any) -> str:
    """Returns a short name of a value; of a large one its kind, since to spell it out would take as long again."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return "nothing" if value is None else shown(value, 40)
