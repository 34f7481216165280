"""A process is known by its pid and start time; a zombie and a stranger with the same pid are not it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bnf_lab import processes
from bnf_lab.processes import identify_process, process_alive, read_start, signal_process
from bnf_lab.records import WorkerProcess


@pytest.fixture(params=["proc", "ps"])
def way(request, monkeypatch):
    """Both ways of reading a start time."""
    if request.param == "ps":
        if not Path("/bin/ps").exists():
            pytest.skip("this system has no ps")
        monkeypatch.setattr(processes, "read_start", processes._read_start_with_ps)
    elif not Path("/proc/self/stat").exists():
        pytest.skip("this system has no /proc")


@pytest.fixture
def child():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_a_process_is_known_again_until_it_ends(way, child):
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


def test_a_stranger_with_the_same_pid_is_not_signalled(way, child):
    known = identify_process(child.pid)
    assert not signal_process(WorkerProcess(known.pid, known.started + "0"), signal.SIGKILL)
    assert child.poll() is None
    assert signal_process(known, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not signal_process(known, signal.SIGKILL)


@pytest.mark.parametrize("pid", [-1, 0, 1])
def test_groups_and_the_first_process_are_never_signalled(pid, monkeypatch):
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("signalled"))
    assert not signal_process(WorkerProcess(pid, read_start(pid) or ""), signal.SIGTERM)


def test_a_name_with_brackets_and_spaces_does_not_confuse_it(tmp_path):
    program = tmp_path / "a) S (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as process:
        assert process_alive(identify_process(process.pid))
        process.kill()
