"""What is made at first use is made once, and a failure is no value."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bnf_lab.core.late_imports import Late


def test_it_is_made_once_whoever_asks_and_only_when_asked() -> None:
    made: list[object] = []
    barrier = threading.Barrier(6)

    def make() -> object:
        made.append(object())
        return made[-1]

    late = Late(make)
    assert made == []

    def ask(_: int) -> object:
        barrier.wait()
        return late()

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(ask, range(6)))
    assert len(made) == 1
    assert all(value is made[0] for value in found)


def test_what_could_not_be_made_is_tried_again() -> None:
    tries: list[int] = []

    def make() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ImportError("torch")

    late = Late(make)
    with pytest.raises(ImportError):
        late()
    assert late() is None
    assert late() is None  # nothing is a value too
    assert len(tries) == 2
