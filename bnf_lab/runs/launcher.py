"""One run folder and its worker process: starting it, asking it to stop, and noticing that it has ended.

Who writes what:

- `status.json` belongs to the worker while its process lives, to this room otherwise. A stop is therefore asked for by
  a marker file and SIGTERM (on Windows by the file alone, which the worker looks for at every step), never by writing
  the status of a living worker.
- `process.json` names the worker by pid and start time. It stays until that process has been seen to end, so a worker
  that has reported its end but still holds the GPU counts as busy.

The caller sees to it that only one of these functions runs at a time on a data folder. This room must not know queues.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bnf_lab.core.child_processes import module_environment
from bnf_lab.core.errors import RunRefused, clipped
from bnf_lab.core.paths import REPOSITORY
from bnf_lab.runs.checkpoints import checkpoint_step, newest_checkpoint
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.processes import identify_process, kill_process, process_alive, read_work_seconds, stop_process
from bnf_lab.runs.record_files import Damaged, open_plain
from bnf_lab.runs.records import RunState, RunStatus, WorkerProcess
from bnf_lab.runs.watchdog import Watchdog

# A worker whose run is over has nothing left to do; one that hangs in its exit would hold the GPU for ever.
EXIT_SECONDS = 60.0
KILLED = -9  # by SIGKILL, a name that Windows does not have

_LOGGER = logging.getLogger(__name__)
_PATH_IN_TEXT = re.compile(r"(?<!\w)(?:[A-Za-z]:)?[/\\][^\s'\"]+")


def start_worker(
    folder: RunFolder, command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes] | None:
    """Starts the worker of a queued run; it outlives this process.

    Returns:
        The process; None if the run is no longer queued or a process from elsewhere owns it.

    Raises:
        RunRefused: If a newer lab made the run.
        OSError: If the folder cannot be written.
    """
    folder.refuse_newer()
    with folder.claiming():
        status, owner = folder.read_status(), folder.read_process()
        if status.state is not RunState.QUEUED or (owner is not None and process_alive(owner)):
            return None
        folder.clear_process()
        moment = time.time()
        preparing = dataclasses.replace(
            status,
            state=RunState.PREPARING,
            phase="starting",
            started_at=moment,
            heartbeat=moment,
            ended_at=None,
            failure=None,
            notice=None,
        )
        folder.write_status(preparing)
        try:
            child = _spawn(folder, command, environment)
        except OSError as error:
            text = f"The worker could not be started: {error.strerror}. Free some memory, then resume the run."
            folder.write_status(_ended(preparing, RunState.FAILED, text))
            return None
        # a child that has ended already is a zombie without a start time; "" is nobody's, so it counts as dead
        folder.write_process(identify_process(child.pid) or WorkerProcess(child.pid, ""))
        return child


def stop_worker(folder: RunFolder) -> None:
    """Asks a run's worker to save a checkpoint and end, or takes a queued run out of the queue.

    Raises:
        RunRefused: If the worker belongs to another user of this machine, or a newer lab made the run.
    """
    folder.refuse_newer()
    with folder.claiming():
        status = folder.read_status()
        if status.state is RunState.QUEUED:
            folder.write_status(_ended(status, RunState.STOPPED))
        elif status.state.is_live:
            folder.request_stop()
            _send(folder, stop_process)


def watch_worker(folder: RunFolder, status: RunStatus, watchdog: Watchdog) -> None:
    """Ends the worker of a live run if it hangs; what the run then is, `settle_worker` finds.

    Raises:
        RunRefused: If the worker belongs to another user of this machine.
    """
    process, known = folder.read_process(), watchdog.why_ended(folder.run_id)
    if process is None or not watchdog.look(folder.run_id, status, lambda: read_work_seconds(process)):
        return
    if known is None:  # the system may take a while to end it
        _LOGGER.warning("Run %s: %s", folder.run_id, watchdog.why_ended(folder.run_id))
    _send(folder, kill_process)


def settle_worker(folder: RunFolder, exit_code: int | None = None, why_ended: str | None = None) -> bool:
    """Returns whether the run's worker lives; if it has ended, brings the status to what that means.

    The folder of a newer lab is left as it is.

    Args:
        folder: The run.
        exit_code: How the worker ended, where this process is its parent and knows.
        why_ended: Why it was ended, where it was.
    """
    with folder.claiming():
        process = folder.read_process()
        is_alive = process is not None and process_alive(process)
        status = folder.read_status()  # after the look at the process: a dead worker's status is its last word
        if is_alive:
            if status.state.is_over and time.time() - (status.ended_at or time.time()) > EXIT_SECONDS:
                _send(folder, kill_process)
            return True
        if folder.is_newer:
            return False
        if status.state.is_live:
            folder.write_status(_settled(folder, status, process, exit_code, why_ended))
        folder.clear_process()
        return False


def requeue(folder: RunFolder) -> None:
    """Puts a stopped or failed run back into the queue; its worker will take the newest checkpoint.

    Raises:
        RunRefused: If the run is in any other state, or this lab would train it on by other settings.
    """
    folder.read_training_config()
    with folder.claiming():
        status = folder.read_status()
        if status.state not in (RunState.STOPPED, RunState.FAILED):
            raise RunRefused(f"Run {folder.run_id} is {status.state}; only a stopped or failed run can be resumed.")
        folder.write_status(_queued(status, time.time()))


def _spawn(folder: RunFolder, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with open(folder.log, "ab", opener=_open_at_once) as log:
        return subprocess.Popen(  # noqa: S603 - the command is the lab's own, the folder its last argument
            [*command, str(folder.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env=module_environment(environment) | {"HF_HUB_OFFLINE": "1"},
            **_detached(),
        )


def _open_at_once(path: str, flags: int) -> int:
    """Opens a log; a pipe of its name would make the queue wait for somebody to read it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o644)


def _detached() -> dict[str, Any]:
    """Returns what starts a process that neither this one's end nor a Ctrl-C in its terminal reaches."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _send(folder: RunFolder, how: Callable[[WorkerProcess], bool]) -> None:
    process = folder.read_process()
    try:
        if process is not None:
            how(process)
    except PermissionError as error:
        raise RunRefused(
            f"Run {folder.run_id} is trained by a process of another user of this machine. Ask them to stop it."
        ) from error


def _settled(
    folder: RunFolder, status: RunStatus, process: WorkerProcess | None, exit_code: int | None, why_ended: str | None
) -> RunStatus:
    """Returns what the status of a live run becomes when its worker is found to have ended."""
    if folder.is_stop_requested:
        stopped = _ended(status, RunState.STOPPED)  # the signal came before the worker had begun to listen
        return dataclasses.replace(stopped, notice=clipped(f"{why_ended} {_remedy(folder)}")) if why_ended else stopped
    if process is None:
        return _queued(status, status.queued_at)  # the server ended between its last word and the worker's first
    return _ended(status, RunState.FAILED, _failure_text(folder, exit_code, why_ended))


def _queued(status: RunStatus, queued_at: float) -> RunStatus:
    return dataclasses.replace(
        status,
        state=RunState.QUEUED,
        phase="",
        phase_done=0,
        phase_total=0,
        seconds_left=None,
        ended_at=None,
        failure=None,
        notice=None,
        queued_at=queued_at,
    )


def _ended(status: RunStatus, state: RunState, failure: str | None = None) -> RunStatus:
    return dataclasses.replace(
        status,
        state=state,
        phase="",
        phase_done=0,
        phase_total=0,
        seconds_left=None,
        ended_at=time.time(),
        failure=failure,
    )


def _failure_text(folder: RunFolder, exit_code: int | None, why_ended: str | None) -> str:
    if why_ended:
        return clipped(f"{why_ended} {_remedy(folder)}")
    cause = ""
    if exit_code is not None:
        cause = f" with exit code {exit_code}" if exit_code >= 0 else f", killed by signal {-exit_code}"
    if exit_code == KILLED:
        cause += " (often because memory ran out: fewer responses at once need less)"
    last = _last_line(folder.log)
    words = f" Its last line was: {last}" if last else ""
    return clipped(f"The worker of this run ended unexpectedly{cause}. {_remedy(folder)}{words}")


def _remedy(folder: RunFolder) -> str:
    checkpoint = newest_checkpoint(folder.path)
    if checkpoint is None:
        return "No checkpoint was saved yet: Resume starts it from the beginning."
    return f"Resume continues from step {checkpoint_step(checkpoint)}."


def _last_line(log: Path, n_bytes: int = 4096, n_chars: int = 200) -> str:
    """Returns the last line of a log without the paths in it; empty if there is none."""
    try:
        with open_plain(log) as file:
            file.seek(max(0, log.stat().st_size - n_bytes))
            lines = file.read().decode("utf-8", errors="replace").replace("\r", "\n").split("\n")
    except (OSError, Damaged):
        return ""
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return _PATH_IN_TEXT.sub("…", last)[:n_chars]
