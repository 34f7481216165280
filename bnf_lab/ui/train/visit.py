"""What one open page of the Train tab asked last, so that no answer to an older question is shown. Knows no page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

Find = Callable[[], dict[Any, Any]]
"""Works out one answer: what the page's components then show."""


class Visit:
    """The questions of one page: a newer one ends the wait for an older one.

    One event at a time answers. An event that asks meanwhile leaves its question to that one, so that answers come in
    the order of the questions, the newest last, and a slow check keeps one thread busy however fast somebody types.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stamp = float("-inf")
        self._last: Find | None = None
        self._waiting: Find | None = None
        self._is_answered = False  # whether an event is at it

    def __deepcopy__(self, memo: object) -> Visit:
        """Gradio copies a session's first state: a new page has asked nothing."""
        return Visit()

    def ask(self, stamp: float, find: Find) -> bool:
        """Notes a question; returns whether the caller has to answer it.

        Args:
            stamp: When it was asked, by the browser's clock; an older question than the last one is dropped.
            find: What answers it.
        """
        with self._lock:
            if stamp >= self._stamp:
                self._stamp, self._last, self._waiting = stamp, find, find
            return self._begin()

    def ask_again(self, find: Find) -> bool:
        """Asks the last question once more, or `find` where there was none; returns as `ask` does."""
        with self._lock:
            self._last = self._waiting = self._last or find
            return self._begin()

    def _begin(self) -> bool:
        begins = self._waiting is not None and not self._is_answered
        self._is_answered = self._is_answered or begins
        return begins

    def take(self) -> Find | None:
        """Returns the newest question; None, and the caller is at it no longer, where there is none."""
        with self._lock:
            find, self._waiting = self._waiting, None
            self._is_answered = find is not None
            return find

    def has_newer(self) -> bool:
        """Returns whether something was asked since `take`."""
        with self._lock:
            return self._waiting is not None

    def leave(self) -> None:
        """Ends answering where it breaks off."""
        with self._lock:
            self._is_answered, self._waiting = False, None
