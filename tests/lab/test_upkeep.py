"""What a lab does now and then: at its time, whatever happened the time before."""

from __future__ import annotations

import threading

import pytest

from bnf_lab.lab import upkeep
from bnf_lab.lab.upkeep import Task, Upkeep


def test_a_task_that_fails_is_done_again_and_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "LOOK_SECONDS", 0.001)
    n_failed, n_done, enough = [], [], threading.Event()

    def fail() -> None:
        n_failed.append(1)
        raise OSError("full")

    def do() -> None:
        n_done.append(1)
        if len(n_done) == 3:
            enough.set()

    later: list[int] = []
    kept = Upkeep(Task(fail, 0.0), Task(do, 0.0), Task(lambda: later.append(1), 3600.0, is_done_at_once=False))
    kept.start()
    assert enough.wait(60)
    kept.close()
    assert len(n_failed) >= 3
    assert later == []
    n = len(n_done)
    assert not kept._thread.is_alive()
    assert len(n_done) == n
