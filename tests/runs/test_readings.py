"""Readings of files: one for each change however many look, and nobody waits for another thing's reading."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bnf_lab.core.files import write_atomically
from bnf_lab.runs.readings import Readings, read_mark, read_settled_mark


def test_a_reading_is_made_once_for_each_mark_from_the_one_before() -> None:
    readings, seen = Readings(4), []

    def make(known: int | None) -> int:
        seen.append(known)
        return (known or 0) + 1

    assert [readings.once("a", mark, make) for mark in (1, 1, 2, 2, 1)] == [1, 1, 2, 2, 3]
    assert seen == [None, 1, 2]
    assert readings.once("b", 1, make) == 1


def test_a_reading_of_nothing_is_kept_too() -> None:
    readings, calls = Readings(4), []
    for _ in range(3):
        assert readings.once("a", None, lambda _: calls.append(1)) is None
    assert len(calls) == 1


def test_what_fails_is_tried_again() -> None:
    readings = Readings(4)
    with pytest.raises(ZeroDivisionError):
        readings.once("a", 1, lambda _: 1 // 0)
    assert readings.once("a", 1, lambda _: 7) == 7


def test_what_was_looked_at_longest_ago_goes_first() -> None:
    readings, made = Readings(2), []
    for key in "abacab":
        readings.once(key, 1, lambda _, key=key: made.append(key))
    assert made == ["a", "b", "c", "b"]


def test_many_who_ask_at_once_share_one_reading_and_others_do_not_wait() -> None:
    readings, calls, begun, may_end = Readings(4), [], threading.Event(), threading.Event()

    def make(_: int | None) -> int:
        calls.append(1)
        begun.set()
        assert may_end.wait(60)
        return 5

    with ThreadPoolExecutor(8) as threads:
        slow = [threads.submit(readings.once, "slow", 1, make) for _ in range(6)]
        assert begun.wait(60)
        assert threads.submit(readings.once, "quick", 1, lambda _: 1).result(timeout=60) == 1
        may_end.set()
        assert [one.result(timeout=60) for one in slow] == [5] * 6
    assert len(calls) == 1


def test_a_mark_tells_growth_replacement_and_absence(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert read_mark(path) == (-1, 0)
    path.write_text("one\n")
    first = read_mark(path)
    with open(path, "a", encoding="utf-8") as file:
        file.write("two\n")
    assert first != read_mark(path) == read_mark(path)


def test_a_file_replaced_within_a_tick_of_the_clock_is_noticed(tmp_path: Path) -> None:
    """Two versions of equal size and time look alike to `stat`: a young one is never trusted."""
    path = tmp_path / "status.json"
    write_atomically(path, "1")
    young = path.stat().st_mtime_ns
    first = read_settled_mark(path)
    write_atomically(path, "2")
    os.utime(path, ns=(young, young))
    assert read_mark(path) == first[0]
    assert read_settled_mark(path) != first
    os.utime(path, ns=(young, young - 2_000_000_000))
    assert read_settled_mark(path) == read_settled_mark(path)
