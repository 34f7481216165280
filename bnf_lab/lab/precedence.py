"""People come first: a writing that nobody waits for ends as soon as somebody asks for words. Standard library."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Precedence:
    """Knows how many people are being answered, and the one writing beside them, an aside.

    An aside is named by the event that tells it to end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_people = 0
        self._aside: threading.Event | None = None

    @contextmanager
    def person(self) -> Iterator[None]:
        """Held while somebody is answered; an aside under way is told to end."""
        with self._lock:
            self._n_people += 1
            self._tell_to_end()
        try:
            yield
        finally:
            self._leave()

    def begin_aside(self) -> threading.Event | None:
        """Returns what will tell the new aside to end; None while a person is answered or another one is written."""
        with self._lock:
            if self._n_people or self._aside is not None:
                return None
            self._aside = threading.Event()
            return self._aside

    def end_aside(self, aside: threading.Event) -> None:
        """Lets the next one begin."""
        with self._lock:
            if self._aside is aside:
                self._tell_to_end()

    @contextmanager
    def taking(self, aside: threading.Event) -> Iterator[bool]:
        """Makes an aside a person's own for as long as this is held; gives False if it has to end already."""
        with self._lock:
            is_alive = self._aside is aside
            if is_alive:
                self._aside = None
                self._n_people += 1
        try:
            yield is_alive
        finally:
            if is_alive:
                self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._n_people -= 1

    def _tell_to_end(self) -> None:
        if self._aside is not None:
            self._aside.set()
            self._aside = None
