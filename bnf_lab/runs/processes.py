"""Who a process is: its id together with its start time, so that a re-used id is never taken for it.

psutil reads processes alike on Linux, macOS and Windows. This room must not know runs.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

import psutil

from bnf_lab.runs.records import WorkerProcess


def read_start(pid: int) -> str | None:
    """Returns a process's start time as `WorkerProcess` keeps it; None if it has ended (a zombie has ended)."""
    if pid <= 0:
        return None
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        moment = process.create_time()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    if sys.platform == "linux":
        # psutil adds the boot time, which moves when the clock is set; the ticks in between are the kernel's own and
        # stay, so that setting the clock makes no stranger of a worker
        return str(round((moment - psutil.boot_time()) * os.sysconf("SC_CLK_TCK")))
    return f"{moment:.3f}"


def identify_process(pid: int) -> WorkerProcess | None:
    """Returns the record by which `process_alive` knows a running process again; None if it has ended."""
    started = read_start(pid)
    return None if started is None else WorkerProcess(pid, started)


def process_alive(process: WorkerProcess) -> bool:
    """Returns whether exactly this process still runs."""
    return read_start(process.pid) == process.started


def started_this(process: WorkerProcess) -> bool:
    """Returns whether a process is this one or one of those above it: its parent, that one's parent and so on."""
    above: psutil.Process | None = psutil.Process()
    while above is not None:
        if above.pid == process.pid:
            return process_alive(process)
        try:
            above = above.parent()
        except psutil.Error:  # it ends at this moment, and so does the way up
            return False
    return False


def stop_process(process: WorkerProcess) -> bool:
    """Asks exactly this process to end; returns False, sending nothing, if it has ended.

    On Windows nothing can be asked of a process, only its end brought about: there nothing is sent, and who asks must
    also leave word where the process looks.

    Raises:
        PermissionError: If it belongs to somebody else.
    """
    return sys.platform != "win32" and _send(process, psutil.Process.terminate)


def kill_process(process: WorkerProcess) -> bool:
    """Ends exactly this process and those below it at once; returns False, doing nothing, if it has ended.

    Raises:
        PermissionError: If it belongs to somebody else.
    """
    return _send(process, _kill_tree)


def read_work_seconds(process: WorkerProcess) -> float | None:
    """Returns the processor time that a process and those below it have taken; None if it has ended."""
    seconds: float | None = None
    with contextlib.suppress(psutil.Error):
        top = psutil.Process(process.pid)
        for each in (top, *top.children(recursive=True)) if process_alive(process) else ():
            with contextlib.suppress(psutil.Error):  # one that ends at this moment
                times = each.cpu_times()
                seconds = (seconds or 0.0) + times.user + times.system
    return seconds


def _kill_tree(target: psutil.Process) -> None:
    children = target.children(recursive=True)
    target.kill()
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.kill()


def _send(process: WorkerProcess, how: Callable[[psutil.Process], None]) -> bool:
    if process.pid <= 1:
        return False
    try:
        target = psutil.Process(process.pid)  # before the look at it: psutil then sees to it that it is still this one
        if not process_alive(process):
            return False
        how(target)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied as error:
        raise PermissionError(f"process {process.pid} belongs to another user") from error
    return True
