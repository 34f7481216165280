"""What was made of files that change: made again only when they have changed, however many people ask.

A mark is what `stat` says of a file, so a look at what has not changed costs a few system calls. Standard library.
This room must not know what is made of the files.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

T = TypeVar("T")

Mark = tuple[int, int]
"""Size and time of change, nanoseconds; of a file that is not there (-1, 0)."""

SETTLED_NS = 1_000_000_000


def read_mark(path: Path) -> Mark:
    """Returns the mark of a file or folder; take it before reading, so that what comes in between is read next time."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return (-1, 0)
    except OSError as error:  # what is wrong with it, who reads it will say
        return (-1, error.errno or 0)
    return stat.st_size, stat.st_mtime_ns


def read_settled_mark(path: Path) -> tuple[Mark, int]:
    """Returns the mark of a file that is replaced rather than grown.

    Two versions of equal size within one tick of the file system's clock (up to 10 ms) look alike. So the mark of a
    file that has changed within the last second equals no other mark.
    """
    mark, now = read_mark(path), time.time_ns()
    return mark, now if now - mark[1] < SETTLED_NS else 0


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    mark: object = field(default_factory=object)  # equals nothing
    value: Any = None


class Readings:
    """The newest reading of each thing that is looked at.

    Args:
        kept: How many things; what was looked at longest ago goes first.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def once(self, key: Hashable, mark: object, make: Callable[[T | None], T]) -> T:
        """Returns what `make` makes of the last reading (None at first), without a call if the mark is still the same.

        Whoever asks for the same thing meanwhile waits and takes the same reading; nobody else waits.
        """
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > self._kept:
                self._entries.popitem(last=False)
        with entry.lock:
            if entry.mark != mark:
                entry.value = make(entry.value)
                entry.mark = mark
            return cast(T, entry.value)
