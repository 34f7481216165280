"""The outline of a JSON text -> where its values lie, by a flat scan over brackets, without parsing any.

So deep nesting, a huge array and one broken element cost neither the stack, nor the memory, nor the good elements.
Knows JSON text only: no rows.
"""

from __future__ import annotations

import json
import mmap
from array import array
from collections.abc import Iterator, Sized
from dataclasses import dataclass

from bnf_lab.core.errors import ImportRefused, shown
from bnf_lab.data.formats.json_values import BLANK, TOKENS
from bnf_lab.data.formats.rows import Limits, too_many_rows

Buffer = bytes | mmap.mmap

_MAX_TOKENS = 20_000_000
_CLOSING = {b"[": b"]", b"{": b"}"}
_OPENINGS = (b"[", b"{")


@dataclass(frozen=True, slots=True)
class Member:
    """One element of an array or one value of an object, as the span of its text; the last one is their end."""

    key: bytes | None
    start: int
    end: int
    is_end: bool = False


class Spans:
    """The spans of many values, a few bytes each."""

    def __init__(self) -> None:
        self._starts, self._ends = array("Q"), array("Q")

    def add(self, start: int, end: int) -> None:
        self._starts.append(start)
        self._ends.append(end)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self._starts[index], self._ends[index]


class Outline:
    """A JSON text and how messages call it.

    Attributes:
        data: The text.
    """

    def __init__(self, data: Buffer, label: str, limits: Limits) -> None:
        self.data, self._label, self._limits = data, label, limits

    def skip_blanks(self, at: int) -> int:
        """Returns where the next thing that is no blank begins."""
        while (piece := self.data[at : at + 4096]) and not piece.strip(BLANK):
            at += len(piece)
        return at + len(piece) - len(piece.lstrip(BLANK))

    def opening(self, at: int) -> bytes:
        """Returns "[" or "{" if a list or an object begins at `at` or behind blanks there, else nothing."""
        at = self.skip_blanks(at)
        return self.data[at : at + 1] if self.data[at : at + 1] in _OPENINGS else b""

    def members(self, start: int) -> Iterator[Member]:
        """Cuts the array or object that opens at `start` into its members.

        Raises:
            ImportRefused: If it never ends, or has too many values.
        """
        data = self.data
        depth, begin, key = 0, start + 1, None
        for count, match in enumerate(TOKENS.finditer(data, start)):
            if count > _MAX_TOKENS:
                raise ImportRefused(
                    f"{self._label}: it has more than {_MAX_TOKENS:,} JSON values. Split it into several files."
                )
            token = match[0]
            if token in b"[{":
                depth += 1
            elif token in b"]}":
                depth -= 1
                if depth == 0 and token == _CLOSING[data[start : start + 1]]:
                    if self.skip_blanks(begin) < match.start() or key is not None:
                        yield Member(key, begin, match.start())
                    yield Member(None, match.end(), match.end(), is_end=True)
                    return
            elif depth == 1 and token == b",":
                yield Member(key, begin, match.start())
                begin, key = match.end(), None
            elif depth == 1 and token == b":" and key is None:
                key, begin = data[begin : match.start()].strip(BLANK), match.end()
        raise ImportRefused(
            f"{self._label}: the JSON ends too early: a bracket or a quote is never closed. "
            "Export the file again, or save it as JSON lines."
        )

    def elements(self, start: int) -> tuple[Spans, int]:
        """Returns the elements of the array at `start`, and where it ends.

        Raises:
            ImportRefused: If there are more than rows are accepted.
        """
        spans, end = Spans(), start
        for member in self.members(start):
            end = member.end
            if not member.is_end:
                self._count(spans)
                spans.add(member.start, member.end)
        return spans, end

    def named(self, start: int) -> tuple[dict[str, Member], int]:
        """Returns the values of the object at `start` by their names, and where it ends.

        Raises:
            ImportRefused: If there are too many, or a name is none or appears twice.
        """
        found: dict[str, Member] = {}
        end = start
        for member in self.members(start):
            end = member.end
            if member.is_end:
                break
            self._count(found)
            name = self._name(member)
            if name in found:
                raise ImportRefused(
                    f"{self._label}: the name {shown(name)} appears twice in one object. Keep one of them."
                )
            found[name] = member
        return found, end

    def values(self, at: int) -> Iterator[tuple[int, int]]:
        """Yields where each of several arrays or objects lies that stand one after the other from `at` on.

        Raises:
            ImportRefused: If something else stands between them, or one never ends.
        """
        while self.skip_blanks(at) < len(self.data):
            start = self.skip_blanks(at)
            if not self.opening(start):
                raise ImportRefused(f"{self._label}: {_between(self.data[start : start + 20])}")
            for member in self.members(start):
                at = member.end
            yield start, at

    def _count(self, found: Sized) -> None:
        if len(found) >= self._limits.rows:
            raise ImportRefused(too_many_rows(self._label, self._limits))

    def _name(self, member: Member) -> str:
        try:
            name = json.loads((member.key or b"null")[: 8 * self._limits.name_chars])
        except ValueError:
            name = None
        if not isinstance(name, str) or len(name) > self._limits.name_chars:
            raise ImportRefused(
                f"{self._label}: it is not JSON: an object has a value without a proper name. "
                "Give a list of objects, or one object a line."
            )
        return name


def _between(found: bytes) -> str:
    if found.startswith(b","):
        return (
            "commas separate its objects, but no brackets stand around them. Put [ before the first and ] behind the "
            "last, or take the commas away."
        )
    return (
        f"more text follows after the JSON ends: {shown(found.decode('utf-8', 'replace'))}. Give one list of objects, "
        "or one object a line."
    )
