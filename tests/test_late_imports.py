import importlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bnf_lab.late_imports import UNUSED, import_room


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


@pytest.mark.parametrize(("quantization", "needed"), [("none", False), ("nf4", True)])
def test_a_worker_imports_only_what_it_uses(quantization, needed):
    code = (
        "import gc, sys; from bnf_lab.late_imports import import_training;"
        f"room = import_training({quantization!r}); print(gc.isenabled(), room.__name__);"
        "print(sorted(name for name, module in sys.modules.items() if module and '.' not in name))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    first, second = answer.stdout.strip().split("\n")
    assert first == "True bnf_lab.training"
    assert not {name for name in UNUSED if repr(name) in second}
    assert ("'bitsandbytes'" in second) is needed
