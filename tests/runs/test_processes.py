"""A process is known by its pid and start time; a zombie and a stranger with the same pid are not it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from bnf_lab.runs import launcher, processes
from bnf_lab.runs.processes import (
    identify_process,
    kill_process,
    process_alive,
    read_start,
    started_this,
    stop_process,
)
from bnf_lab.runs.records import WorkerProcess


@pytest.fixture
def child():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_a_process_is_known_again_until_it_ends(child):
    known = identify_process(child.pid)
    assert process_alive(known)
    assert identify_process(child.pid) == known
    assert process_alive(identify_process(os.getpid()))
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, but still a zombie
    assert not process_alive(known)
    assert identify_process(child.pid) is None
    child.wait()
    assert not process_alive(known)


def test_a_stranger_with_the_same_pid_is_not_signalled(child):
    known = identify_process(child.pid)
    stranger = WorkerProcess(known.pid, known.started + "0")
    assert not kill_process(stranger)
    assert not stop_process(stranger)
    assert child.poll() is None
    assert kill_process(known)
    assert child.wait() == -signal.SIGKILL
    assert not kill_process(known)


def test_a_stop_can_be_heard_and_an_end_cannot(child):
    assert stop_process(identify_process(child.pid))
    assert child.wait() == -signal.SIGTERM
    assert launcher.KILLED == -signal.SIGKILL


@pytest.mark.parametrize("pid", [-1, 0, 1, 2**40])
def test_groups_and_the_first_process_are_never_signalled(pid, monkeypatch):
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("signalled"))
    for send in (stop_process, kill_process):
        assert not send(WorkerProcess(pid, read_start(pid) or ""))


def test_a_pid_that_passes_on_between_two_looks_is_not_signalled(child, monkeypatch):
    """psutil sees to it that the process it was asked about is the one it signals."""
    known = identify_process(child.pid)
    honest = processes.process_alive

    def alive_and_then_another(process):
        answer = honest(process)
        monkeypatch.setattr(psutil.Process, "_get_ident", lambda self: (self.pid, -1.0))
        return answer

    monkeypatch.setattr(processes, "process_alive", alive_and_then_another)
    assert not kill_process(known)
    assert child.poll() is None


def test_somebody_else_s_process_is_told_as_a_refusal(child, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    known = identify_process(child.pid)
    monkeypatch.setattr(os, "kill", refuse)
    with pytest.raises(PermissionError, match=str(child.pid)):
        kill_process(known)


def test_setting_the_clock_makes_no_stranger_of_a_process(child, monkeypatch):
    """The kernel counts a start in ticks since boot; the boot time moves with the clock, and psutil adds it."""
    known = identify_process(child.pid)
    honest = psutil.boot_time()
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: honest + 3600.0)
    assert psutil.Process(child.pid).create_time() > honest + 3600.0
    assert process_alive(known)


def test_the_processes_above_this_one_are_known():
    assert started_this(identify_process(os.getpid()))
    assert started_this(identify_process(os.getppid()))
    assert not started_this(WorkerProcess(os.getppid(), "0"))


def test_a_child_is_not_above(child):
    assert not started_this(identify_process(child.pid))


def test_a_name_with_brackets_and_spaces_does_not_confuse_it(tmp_path):
    program = tmp_path / "a) S (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as process:
        assert process_alive(identify_process(process.pid))
        process.kill()
