"""Imports the rooms that need torch when they are first used, one thread at a time. Standard library.

A server starts in a second because these rooms wait. Two threads must not import them at once: transformers (5.23)
fills its names as they are asked for, and the second thread would find them missing ("cannot import name 'AutoModel'").
"""

from __future__ import annotations

import importlib
import threading
from types import ModuleType

# Imports belong to the whole process, and so does this lock, whichever `Lab` asks.
_IMPORTING = threading.Lock()


def import_room(name: str) -> ModuleType:
    """Returns a room of the package by its name, importing it and its libraries on first use.

    >>> import_room("errors").__name__
    'bnf_lab.errors'
    """
    with _IMPORTING:
        return importlib.import_module(f"bnf_lab.{name}")
