"""A worker that hangs: noticed, said, ended and resumable; one that is merely slow is left alone."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, Message, Verdict
from bnf_lab.core.sealed_folders import seal_checkpoint
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.processes import kill_process, process_alive
from bnf_lab.runs.queue import JobQueue
from bnf_lab.runs.records import RunState, RunStatus
from bnf_lab.runs.watchdog import LONGEST_LOOK_SECONDS, Limits, Watchdog

WORKER = """
import os, signal, subprocess, sys, time
from dataclasses import replace
from pathlib import Path
from bnf_lab.runs.records import RunState
from bnf_lab.runs.folder import RunFolder, claim_run

folder = RunFolder(Path(sys.argv[1]))
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
claim_run(folder)
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
(folder.path / "helper").write_text(str(helper.pid))

def say(state, **changes):
    folder.write_status(replace(folder.read_status(), state=state, heartbeat=time.time(), **changes))

with open(folder.path / "starts", "a") as file:
    file.write("1")
step = 3
say(RunState.TRAINING, phase="training", step=step, total_steps=30)
while (folder.path / "hangs").exists() or not asked:
    if not (folder.path / "hangs").exists():
        step += 1
        say(RunState.TRAINING, step=step)
    time.sleep(0.02)
helper.kill()
say(RunState.STOPPED, ended_at=time.time())
"""
JUDGEMENTS = (Judgement((Message("user", "Hi"),), "Hello", Verdict.PREFERRED),)
TRAINING = RunStatus(RunState.TRAINING, "training", step=3, total_steps=30, heartbeat=1.0)


class Clock:
    """A clock that a test sets; each look comes a second after the last."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def looks(watchdog: Watchdog, clock: Clock, status: RunStatus, n: int, work: Callable[[], float] = lambda: 0.0) -> int:
    """Looks once a second; returns after how many looks the worker hangs, 0 if it does not."""
    for k in range(n):
        clock.now += 1.0
        watchdog.begin_look()
        if watchdog.look("r", status, work):
            return k
    return 0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchdog(clock: Clock) -> Watchdog:
    return Watchdog(Limits(), clock)


def busy_work() -> Callable[[], float]:
    """A process that takes a tenth of a core."""
    seconds = [0.0]

    def read() -> float:
        seconds[0] += 1.0  # ten seconds pass between two readings
        return seconds[0]

    return read


# --- what hangs


def test_an_idle_worker_hangs_after_ten_minutes_and_it_is_said_before(watchdog: Watchdog, clock: Clock) -> None:
    assert looks(watchdog, clock, TRAINING, 100) == 0
    assert watchdog.describe("r") == ""
    assert looks(watchdog, clock, TRAINING, 85) == 0
    assert watchdog.describe("r").startswith("It has not moved for 3 minutes. After 10 min its process is ended.")
    assert looks(watchdog, clock, TRAINING, 600) > 400
    assert watchdog.why_ended("r").startswith("The run had not moved for 10 min 1 s (training, step 3 of 30)")


def test_the_runs_own_steps_count_where_they_are_long(watchdog: Watchdog, clock: Clock) -> None:
    slow = RunStatus(RunState.TRAINING, step=3, step_seconds=100.0, heartbeat=1.0)
    assert looks(watchdog, clock, slow, 1990) == 0
    assert looks(watchdog, clock, slow, 20) > 0


def test_a_busy_worker_may_be_silent_for_longer_but_not_for_ever(watchdog: Watchdog, clock: Clock) -> None:
    loading = RunStatus(RunState.PREPARING, "loading the model", heartbeat=1.0)
    work = busy_work()
    assert looks(watchdog, clock, loading, 3500, work) == 0
    assert "After 1 h its process is ended" in watchdog.describe("r")
    assert looks(watchdog, clock, loading, 200, work) > 0


def test_a_heartbeat_or_a_step_begins_anew(watchdog: Watchdog, clock: Clock) -> None:
    for beat in range(1, 5):
        moving = RunStatus(RunState.PREPARING, "reference pass", heartbeat=float(-beat))  # the clock was set back
        assert looks(watchdog, clock, moving, 590) == 0
    assert looks(watchdog, clock, moving, 20) > 0


def test_a_request_to_stop_leaves_a_minute(watchdog: Watchdog, clock: Clock) -> None:
    assert looks(watchdog, clock, TRAINING, 500) == 0
    stopping = RunStatus(RunState.STOPPING, "training", step=3, heartbeat=1.0)
    assert looks(watchdog, clock, stopping, 45) == 0
    assert "has not reacted to Stop yet" in watchdog.describe("r")
    assert looks(watchdog, clock, stopping, 30) > 0
    assert "did not react to Stop" in watchdog.why_ended("r")


def test_a_machine_that_slept_makes_nobody_hang(watchdog: Watchdog, clock: Clock) -> None:
    looks(watchdog, clock, TRAINING, 10)
    for _ in range(20):
        clock.now += 8 * 3600.0  # asleep, or the server itself stood still
        watchdog.begin_look()
        assert not watchdog.look("r", TRAINING, lambda: 0.0)
        assert Limits().hang_seconds > 20 * LONGEST_LOOK_SECONDS


def test_a_run_that_ended_is_forgotten(watchdog: Watchdog, clock: Clock) -> None:
    looks(watchdog, clock, TRAINING, 700)
    watchdog.forget("r")
    assert (watchdog.describe("r"), watchdog.why_ended("r")) == ("", None)


# --- real processes


def wait_for(condition: Callable[[], object], act: Callable[[], object] = lambda: None, seconds: float = 300.0) -> None:
    """Waits until something is true; the limit only ends a broken test."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        act()
        time.sleep(0.02)


@pytest.fixture
def runs_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for path in tmp_path.glob("*/process.json"):
        process = RunFolder(path.parent).read_process()
        if process is not None and process.pid != os.getpid():
            kill_process(process)


def make_run(runs_dir: Path, run_id: str, queued_at: float = 1.0) -> RunFolder:
    folder = RunFolder.create(runs_dir / run_id, RunConfig(), JUDGEMENTS, owner=run_id)
    folder.write_status(RunStatus(RunState.QUEUED, owner=run_id, queued_at=queued_at))
    return folder


def build_queue(runs_dir: Path, **limits: float) -> JobQueue:
    small = {"hang_seconds": 0.5, "stop_seconds": 0.5, "said_seconds": 0.1, "work_seconds": 0.2} | limits
    return JobQueue(runs_dir, command=(sys.executable, "-c", WORKER), watchdog=Watchdog(Limits(**small)))


def start(queue: JobQueue, folder: RunFolder) -> int:
    queue.tick()
    wait_for(lambda: folder.read_status().state is RunState.TRAINING and (folder.path / "helper").exists())
    return folder.read_process().pid


def save_checkpoint(folder: RunFolder, step: int) -> None:
    staging = folder.path / f"tmp-{step}"
    staging.mkdir()
    (staging / "adapter_model.safetensors").write_bytes(b"weights")
    seal_checkpoint(staging, folder.path / f"checkpoint-{step}")


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
def test_a_stopped_process_is_said_and_ended_and_the_next_run_starts(runs_dir: Path) -> None:
    queue, folder, waiting = build_queue(runs_dir), make_run(runs_dir, "r1"), make_run(runs_dir, "r2", queued_at=2.0)
    pid, said = start(queue, folder), []
    helper = int((folder.path / "helper").read_text())
    save_checkpoint(folder, 2)
    os.kill(pid, signal.SIGSTOP)

    def look() -> None:
        queue.tick()
        said.append(queue.describe_stillness("r1"))

    wait_for(lambda: folder.read_status().state is RunState.FAILED, look)
    assert any("It has not moved for" in text for text in said)
    assert "had not moved for" in folder.read_status().failure
    assert "Resume continues from step 2." in folder.read_status().failure
    assert "memory" not in folder.read_status().failure
    assert is_gone(pid)
    wait_for(lambda: is_gone(helper))
    wait_for(lambda: waiting.read_status().state is RunState.TRAINING, queue.tick)
    assert queue.describe_stillness("r1") == ""
    queue.stop("r2")
    queue.resume("r1")
    wait_for(lambda: (folder.path / "starts").read_text() == "11", queue.tick)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
def test_stop_ends_a_process_that_does_not_react_and_the_run_is_stopped(runs_dir: Path) -> None:
    queue, folder = build_queue(runs_dir, hang_seconds=3600.0), make_run(runs_dir, "r1")
    pid = start(queue, folder)
    os.kill(pid, signal.SIGSTOP)
    queue.stop("r1")
    assert folder.read_status().state is RunState.STOPPING
    wait_for(lambda: folder.read_status().state is RunState.STOPPED, queue.tick)
    status = folder.read_status()
    assert status.failure is None
    assert "did not react to Stop" in status.notice
    assert "Resume starts it from the beginning" in status.notice
    assert is_gone(pid)
    queue.resume("r1")
    assert folder.read_status().notice is None
    wait_for(lambda: (folder.path / "starts").read_text() == "11", queue.tick)


def test_a_worker_that_ignores_the_request_to_stop_is_ended(runs_dir: Path) -> None:
    queue, folder = build_queue(runs_dir, hang_seconds=3600.0), make_run(runs_dir, "r1")
    start(queue, folder)
    (folder.path / "hangs").touch()
    queue.stop("r1")
    wait_for(lambda: folder.read_status().state is RunState.STOPPED, queue.tick)
    assert "did not react to Stop" in folder.read_status().notice


def test_a_worker_that_moves_is_left_alone_and_stops_by_itself(runs_dir: Path) -> None:
    queue, folder = build_queue(runs_dir, hang_seconds=20.0, stop_seconds=20.0), make_run(runs_dir, "r1")
    start(queue, folder)
    wait_for(lambda: folder.read_status().step > 20, queue.tick)
    assert queue.describe_stillness("r1") == ""
    queue.stop("r1")
    wait_for(lambda: folder.read_status().state is RunState.STOPPED, queue.tick)
    assert folder.read_status().notice is None


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
def test_a_hanging_worker_with_a_damaged_status_is_ended_too_and_the_next_run_starts(runs_dir: Path) -> None:
    queue, folder, waiting = build_queue(runs_dir), make_run(runs_dir, "r1"), make_run(runs_dir, "r2", queued_at=2.0)
    pid = start(queue, folder)
    os.kill(pid, signal.SIGSTOP)
    (folder.path / "status.json").write_text("{")
    queue.tick()
    assert waiting.read_status().state is RunState.QUEUED, "the first process still holds the GPU"
    wait_for(lambda: waiting.read_status().state is RunState.TRAINING, queue.tick)
    assert is_gone(pid)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
def test_a_run_whose_status_is_damaged_is_deleted_with_its_worker(runs_dir: Path) -> None:
    queue, folder = build_queue(runs_dir, hang_seconds=3600.0), make_run(runs_dir, "r1")
    pid = start(queue, folder)
    process = folder.read_process()
    os.kill(pid, signal.SIGSTOP)
    (folder.path / "status.json").write_text("{")
    queue.forget("r1")
    assert not process_alive(process)
    assert not (folder.path / "config.json").exists()
