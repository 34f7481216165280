"""One at a time for each owner, in the order in which they came. Standard library.

A plain lock wakes whichever thread it likes, and makes everybody wait for everybody.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Queues:
    """A queue of threads for each owner; whoever is in must not ask to come in again."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._last: dict[str, threading.Event] = {}

    @contextmanager
    def waiting(self, owner: str) -> Iterator[None]:
        """Waits until all who came before have left."""
        mine = threading.Event()
        with self._mutex:
            before = self._last.get(owner)
            self._last[owner] = mine
        if before is not None:
            before.wait()
        try:
            yield
        finally:
            with self._mutex:
                if self._last[owner] is mine:
                    del self._last[owner]
            mine.set()
