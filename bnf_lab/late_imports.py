"""Imports the rooms that need torch when they are first used, one thread at a time. Standard library.

A server starts in a second because these rooms wait. Two threads must not import them at once: transformers (5.23)
fills its names as they are asked for, and the second thread would find them missing ("cannot import name 'AutoModel'").
A worker process leaves out what training never uses.
"""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from types import ModuleType

# Imports belong to the whole process, and so does this lock, whichever `Lab` asks.
_IMPORTING = threading.Lock()

UNUSED = ("datasets", "pandas", "pyarrow", "scipy", "sklearn", "tensorboard", "torchaudio", "torchvision")
"""Libraries that transformers, peft and accelerate import where they find them, and that training never uses."""


def import_room(name: str) -> ModuleType:
    """Returns a room of the package by its name, importing it and its libraries on first use.

    >>> import_room("errors").__name__
    'bnf_lab.errors'
    """
    with _IMPORTING:
        return importlib.import_module(f"bnf_lab.{name}")


def import_training(quantization: str) -> ModuleType:
    """Returns the room `training` for a process that does nothing else; measured on a slow core, 6 s instead of 10.

    Python reads None in `sys.modules` as "not installed", which every library that looks for another one respects.

    Args:
        quantization: The run's setting: bitsandbytes stays where it may be needed.
    """
    is_collecting = gc.isenabled()
    gc.disable()  # a process that only imports makes no garbage worth looking for
    try:
        torch = importlib.import_module("torch")
        is_plain = quantization == "none" or (quantization == "auto" and not torch.cuda.is_available())
        for name in (*UNUSED, *(["bitsandbytes"] if is_plain else [])):
            sys.modules.setdefault(name, None)  # type: ignore[arg-type]
        return import_room("training")
    finally:
        gc.freeze()
        if is_collecting:
            gc.enable()
