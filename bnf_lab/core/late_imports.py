"""Lets what needs torch be imported when it is first used, one thread at a time. Standard library.

A server starts in a second because these modules wait. Two threads must not import them at once: transformers (5.23)
fills its names as they are asked for, and the second thread would find them missing ("cannot import name 'AutoModel'").
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

# Imports belong to the whole process, and so does this lock, whichever `Lab` asks.
IMPORTING = threading.RLock()
"""Held around a late import: `with IMPORTING: from bnf_lab.models.loading import load_model`."""


class Late(Generic[T]):
    """A value that is made when it is first asked for, once, whichever thread asks.

    >>> late = Late(lambda: object())
    >>> late() is late()
    True

    Args:
        make: Imports what it needs and makes the value; if it fails, the next one who asks tries again.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []  # empty, or the one value

    def __call__(self) -> T:
        if not self._made:  # looked at without the lock, which another import may hold for seconds
            with IMPORTING:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]
