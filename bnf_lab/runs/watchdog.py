"""Whether a worker still moves, and from when on it counts as hanging.

A worker moves if it writes a new heartbeat: after every step, and as the items of a longer phase are done. Where it
writes none it may still be at work (a large model being loaded, one very long step), which its processor time shows; so
a process that does next to nothing counts as hanging much sooner than a busy one. Time is added up from look to look
and no look counts for long: a machine that slept, or a server that did not look, makes nobody hang. This room must not
know run folders.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bnf_lab.core.durations import in_words
from bnf_lab.core.numbers import counted
from bnf_lab.runs.records import RunState, RunStatus

LONGEST_LOOK_SECONDS = 5.0
BUSY_SHARE = 0.05
"""Share of one core from which a process counts as busy."""


@dataclass(frozen=True)
class Limits:
    """From when on a worker hangs; of seconds and steps the longer one counts.

    Attributes:
        hang_seconds: Without a heartbeat and without work.
        hang_steps: The same, in the run's own steps.
        stop_seconds: The same once the run has been asked to stop.
        stop_steps: The same, in the run's own steps.
        busy_factor: So many times longer may a worker that is busy be without a heartbeat.
        said_seconds: From when on a page says that a run does not move.
        work_seconds: How often a silent worker's processor time is looked at.
    """

    hang_seconds: float = 600.0
    hang_steps: float = 20.0
    stop_seconds: float = 60.0
    stop_steps: float = 5.0
    busy_factor: float = 6.0
    said_seconds: float = 120.0
    work_seconds: float = 10.0

    def allow(self, status: RunStatus) -> float:
        """Returns for how long a worker may be without a sign of life, seconds."""
        step = status.step_seconds or 0.0
        if status.state is RunState.STOPPING:
            return max(self.stop_seconds, self.stop_steps * step)
        return max(self.hang_seconds, self.hang_steps * step)


@dataclass
class _Pulse:
    """What is known of a worker since its last heartbeat.

    Attributes:
        mark: The heartbeat.
        status: As it was then.
        silent: Seconds without another one.
        idle: Seconds without one and without work.
        unseen: Seconds since the processor time was looked at.
        work: Processor time at that look, seconds.
    """

    mark: object
    status: RunStatus
    silent: float = 0.0
    idle: float = 0.0
    unseen: float = 0.0
    work: float | None = None


class Watchdog:
    """Looks after the workers of a queue.

    Args:
        limits: From when on a worker hangs.
        clock: Seconds; `time.monotonic` or a test's own.
    """

    def __init__(self, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits or Limits(), clock
        self._looked_at: float | None = None
        self._elapsed = 0.0
        self._pulses: dict[str, _Pulse] = {}
        self._ended: dict[str, str] = {}

    def begin_look(self) -> None:
        """Begins a look at all workers."""
        now = self._clock()
        self._elapsed = min(now - (now if self._looked_at is None else self._looked_at), LONGEST_LOOK_SECONDS)
        self._looked_at = now

    def look(self, run_id: str, status: RunStatus, read_work: Callable[[], float | None]) -> bool:
        """Returns whether the worker of a live run hangs.

        Args:
            run_id: The run.
            status: Its status.
            read_work: Returns the processor time of its processes so far, seconds; None if they have ended.
        """
        mark = (status.heartbeat, status.step, status.state is RunState.STOPPING)
        pulse = self._pulses.get(run_id)
        if pulse is None or pulse.mark != mark:
            self.forget(run_id)
            self._pulses[run_id] = _Pulse(mark, status)
            return False
        for name in ("silent", "idle", "unseen"):
            setattr(pulse, name, getattr(pulse, name) + self._elapsed)
        if pulse.unseen >= self._limits.work_seconds:
            before, pulse.work = pulse.work, read_work()
            if before is not None and pulse.work is not None and pulse.work - before > BUSY_SHARE * pulse.unseen:
                pulse.idle = 0.0
            pulse.unseen = 0.0
        limit = self._limits.allow(status)
        if pulse.idle <= limit and pulse.silent <= self._limits.busy_factor * limit:
            return False
        self._ended[run_id] = self._why(pulse)
        return True

    def why_ended(self, run_id: str) -> str | None:
        """Returns why this watchdog had a run's worker ended, None if it had not."""
        return self._ended.get(run_id)

    def forget(self, run_id: str) -> None:
        """Forgets a run that no worker owns."""
        self._pulses.pop(run_id, None)
        self._ended.pop(run_id, None)

    def describe(self, run_id: str) -> str:
        """Returns that a run has not moved for a while and what will come of it; "" while it moves."""
        pulse = self._pulses.get(run_id)
        if pulse is None:
            return ""
        limit = self._limits.allow(pulse.status)
        if pulse.silent <= min(self._limits.said_seconds, limit / 2):
            return ""
        remedy = "Resume then goes on from the last checkpoint."
        if pulse.status.state is RunState.STOPPING:
            return (
                f"It has not reacted to Stop yet. After {in_words(limit)} without a sign its process is ended. {remedy}"
            )
        minutes = max(1, int(pulse.silent // 60))
        if pulse.idle < pulse.silent / 2:
            limit *= self._limits.busy_factor
        return (
            f"It has not moved for {counted(minutes, 'minute')}. After {in_words(limit)} its process is ended. {remedy}"
        )

    def _why(self, pulse: _Pulse) -> str:
        if pulse.status.state is RunState.STOPPING:
            return f"The worker did not react to Stop for {in_words(pulse.silent)}, so its process was ended."
        at = pulse.status.phase or str(pulse.status.state)
        step = f", step {pulse.status.step} of {pulse.status.total_steps}" if pulse.status.step else ""
        return f"The run had not moved for {in_words(pulse.silent)} ({at}{step}), so its process was ended."
