"""What a lab does for itself now and then, in a thread of its own: backups, sweeping. Standard library."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

LOOK_SECONDS = 60.0


@dataclass(frozen=True)
class Task:
    """What is done every so many seconds, for the first time at once or only then."""

    do: Callable[[], object]
    every_seconds: float
    is_done_at_once: bool = True


class Upkeep:
    """Does each task whenever its time has come; one that fails is logged and tried again the next time.

    Args:
        tasks: What is done.
    """

    def __init__(self, *tasks: Task) -> None:
        self._tasks = tasks
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="upkeep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Waits for a task under way."""
        self._is_closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        now = time.monotonic()
        due = {task: now + (0.0 if task.is_done_at_once else task.every_seconds) for task in self._tasks}
        while not self._is_closing.is_set():
            for task in self._tasks:
                if time.monotonic() >= due[task] and not self._is_closing.is_set():
                    due[task] = time.monotonic() + task.every_seconds
                    self._do(task)
            self._is_closing.wait(LOOK_SECONDS)

    def _do(self, task: Task) -> None:
        try:
            task.do()
        except Exception:  # the thread's last catch point: the next time may go well
            logger.exception("upkeep failed")
