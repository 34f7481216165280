import importlib
import threading
from concurrent.futures import ThreadPoolExecutor

from bnf_lab.late_imports import import_room


def test_two_threads_never_import_at_once(monkeypatch):
    inside, overlaps, entered = threading.Semaphore(1), [], threading.Event()

    def slow_import(name):
        overlaps.append(not inside.acquire(blocking=False))
        entered.wait(0.05)  # room for the other thread to come in, if it could
        inside.release()
        return name

    monkeypatch.setattr(importlib, "import_module", slow_import)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(import_room, "abcd")) == [f"bnf_lab.{name}" for name in "abcd"]
    assert overlaps == [False] * 4
