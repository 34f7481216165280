"""Who a process is: its id together with its start time, so that a re-used id is never taken for it.

Standard library. This room must not know runs.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from bnf_lab.records import WorkerProcess


def read_start(pid: int) -> str | None:
    """Returns a process's start time as the system writes it; None if it has ended (a zombie has ended)."""
    if not Path("/proc/self/stat").exists():
        return _read_start_with_ps(pid)
    try:
        # the command name, in brackets, may itself hold spaces and brackets
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    # fields 3 (state) and 22 (start time in clock ticks since boot) of proc(5)
    return None if not fields or fields[0] in (b"Z", b"X", b"x") else fields[19].decode()


def identify_process(pid: int) -> WorkerProcess | None:
    """Returns the record by which `process_alive` knows a running process again; None if it has ended."""
    started = read_start(pid)
    return None if started is None else WorkerProcess(pid, started)


def process_alive(process: WorkerProcess) -> bool:
    """Returns whether exactly this process still runs."""
    return read_start(process.pid) == process.started


def signal_process(process: WorkerProcess, signal_number: int) -> bool:
    """Sends a signal to exactly this process; returns False, sending nothing, if it has ended."""
    if process.pid <= 1 or not process_alive(process):
        return False
    try:
        os.kill(process.pid, signal_number)
    except ProcessLookupError:
        return False
    return True


def _read_start_with_ps(pid: int) -> str | None:
    """The same on systems without /proc."""
    command = ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)]
    environment = {"LC_ALL": "C", "TZ": "UTC"}
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
