"""Child processes that answer one order at a time over pipes, so that measured things share a machine but no memory.

A child is `python -m tests.benchmarks.children MODULE FUNCTION JSON`: FUNCTION gets a `Channel` and the JSON's values.
Between orders it sleeps in a read, so an idle child takes no core from the one that is measured.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bnf_lab.core.machine import SHARED_CORES
from bnf_lab.runs import estimates

ROOT = Path(__file__).resolve().parents[2]
SILENT = {"TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}


class Channel:
    """The child's side: orders come in, records go out, one JSON line each."""

    def __init__(self) -> None:
        self._orders = os.fdopen(os.dup(0), "r", encoding="utf-8")
        self._records = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # whatever a library prints belongs to the log, not between two records

    def send(self, **record: Any) -> None:
        self._records.write(json.dumps(record) + "\n")
        self._records.flush()

    def receive(self) -> dict[str, Any] | None:
        """Waits for the next order; None when the parent has closed the pipe."""
        line = self._orders.readline()
        return json.loads(line) if line else None


class Child:
    """The parent's side of one child process; a context manager that ends it.

    Args:
        module: Under `tests.benchmarks`.
        function: In that module, called as `function(channel, **spec)`.
        spec: Plain values.
    """

    def __init__(self, module: str, function: str, **spec: Any) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed in close
        words = [sys.executable, "-m", "tests.benchmarks.children", module, function, json.dumps(spec)]
        self._process = subprocess.Popen(
            words,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            env=SHARED_CORES | SILENT | os.environ,
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def receive(self) -> dict[str, Any]:
        """Waits for the child's next record.

        Raises:
            RuntimeError: With the end of its log, if the child ended instead.
        """
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            raise RuntimeError(f"a measured process ended ({self._process.returncode}):\n{self._log.read()[-4000:]}")
        return json.loads(line)

    def ask(self, **order: Any) -> dict[str, Any]:
        """Sends an order and waits for its record."""
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self.receive()

    def close(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()


def read_peak_gib() -> float:
    """Returns this process's highest memory so far: allocated on the GPU, else resident."""
    torch = sys.modules.get("torch")
    has_gpu = torch is not None and torch.cuda.is_available()
    return estimates.read_peak_gib(torch.device("cuda") if has_gpu else SimpleNamespace(type="cpu"))


def give_memory_back() -> bool:
    """Hands memory that this process has freed back to the system; returns whether that is possible here.

    glibc keeps freed blocks for the next step; several idle trainers together would hold more than the machine has.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        return bool(ctypes.CDLL("libc.so.6").malloc_trim(0))
    except (OSError, AttributeError):
        return False


def say(text: str) -> None:
    """Prints a line of progress where it does not mix with the result."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> None:
    module, function, spec = arguments
    channel = Channel()
    getattr(importlib.import_module(f"tests.benchmarks.{module}"), function)(channel, **json.loads(spec))


if __name__ == "__main__":
    main(sys.argv[1:])
