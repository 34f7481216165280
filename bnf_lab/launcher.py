"""One run folder and its worker process: starting it, asking it to stop, and noticing that it has ended.

Standard library. Who writes what:

- `status.json` belongs to the worker while its process lives, to this room otherwise. A stop is therefore asked for by
  a marker file and SIGTERM, never by writing the status of a living worker.
- `process.json` names the worker by pid and start time. It stays until that process has been seen to end, so a worker
  that has reported its end but still holds the GPU counts as busy.

The caller sees to it that only one of these functions runs at a time on a data folder. This room must not know queues.
"""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bnf_lab.checkpoints import newest_checkpoint
from bnf_lab.errors import RunRefused, clipped
from bnf_lab.processes import identify_process, process_alive, signal_process
from bnf_lab.records import RunState, RunStatus, WorkerProcess
from bnf_lab.runs import RunFolder

# A worker whose run is over has nothing left to do; one that hangs in its exit would hold the GPU for ever.
EXIT_SECONDS = 60.0

_REPOSITORY = Path(__file__).resolve().parents[1]
_PATH_IN_TEXT = re.compile(r"(?<!\w)(?:[A-Za-z]:)?[/\\][^\s'\"]+")


def start_worker(
    folder: RunFolder, command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes] | None:
    """Starts the worker of a queued run; it outlives this process.

    Returns:
        The process; None if the run is no longer queued or a process from elsewhere owns it.

    Raises:
        OSError: If the folder cannot be written.
    """
    with folder.claiming():
        status, owner = folder.read_status(), folder.read_process()
        if status.state is not RunState.QUEUED or (owner is not None and process_alive(owner)):
            return None
        folder.clear_process()
        moment = time.time()
        preparing = dataclasses.replace(
            status, state=RunState.PREPARING, phase="starting", started_at=moment, heartbeat=moment, ended_at=None,
            failure=None, notice=None,
        )  # fmt: skip
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
        RunRefused: If the worker belongs to another user of this machine.
    """
    with folder.claiming():
        status = folder.read_status()
        if status.state is RunState.QUEUED:
            folder.write_status(_ended(status, RunState.STOPPED))
        elif status.state.is_live:
            folder.request_stop()
            _signal(folder, signal.SIGTERM)


def settle_worker(folder: RunFolder, exit_code: int | None = None) -> bool:
    """Returns whether the run's worker lives; if it has ended, brings the status to what that means.

    Args:
        folder: The run.
        exit_code: How the worker ended, where this process is its parent and knows.
    """
    with folder.claiming():
        process = folder.read_process()
        is_alive = process is not None and process_alive(process)
        status = folder.read_status()  # after the look at the process: a dead worker's status is its last word
        if is_alive:
            if status.state.is_over and time.time() - (status.ended_at or time.time()) > EXIT_SECONDS:
                _signal(folder, signal.SIGKILL)
            return True
        if status.state.is_live:
            folder.write_status(_settled(folder, status, process, exit_code))
        folder.clear_process()
        return False


def requeue(folder: RunFolder) -> None:
    """Puts a stopped or failed run back into the queue; its worker will take the newest checkpoint.

    Raises:
        RunRefused: If the run is in any other state.
    """
    with folder.claiming():
        status = folder.read_status()
        if status.state not in (RunState.STOPPED, RunState.FAILED):
            raise RunRefused(f"Run {folder.run_id} is {status.state}; only a stopped or failed run can be resumed.")
        folder.write_status(_queued(status, time.time()))


def _spawn(folder: RunFolder, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    search_path = os.pathsep.join(filter(None, (str(_REPOSITORY), environment.get("PYTHONPATH"))))
    with open(folder.log, "ab") as log:
        return subprocess.Popen(  # noqa: S603 - the command is the lab's own, the folder its last argument
            [*command, str(folder.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=_REPOSITORY,
            env={**environment, "HF_HUB_OFFLINE": "1", "PYTHONPATH": search_path},
            start_new_session=True,
        )


def _signal(folder: RunFolder, number: int) -> None:
    process = folder.read_process()
    try:
        if process is not None:
            signal_process(process, number)
    except PermissionError as error:
        raise RunRefused(
            f"Run {folder.run_id} is trained by a process of another user of this machine. Ask them to stop it."
        ) from error


def _settled(
    folder: RunFolder, status: RunStatus, process: WorkerProcess | None, exit_code: int | None
) -> RunStatus:
    """Returns what the status of a live run becomes when its worker is found to have ended."""
    if folder.is_stop_requested:
        return _ended(status, RunState.STOPPED)  # the signal came before the worker had begun to listen
    if process is None:
        return _queued(status, status.queued_at)  # the server ended between its last word and the worker's first
    return _ended(status, RunState.FAILED, _failure_text(folder, exit_code))


def _queued(status: RunStatus, queued_at: float) -> RunStatus:
    return dataclasses.replace(
        status, state=RunState.QUEUED, phase="", phase_done=0, phase_total=0, seconds_left=None, ended_at=None,
        failure=None, notice=None, queued_at=queued_at,
    )  # fmt: skip


def _ended(status: RunStatus, state: RunState, failure: str | None = None) -> RunStatus:
    return dataclasses.replace(
        status, state=state, phase="", phase_done=0, phase_total=0, seconds_left=None, ended_at=time.time(),
        failure=failure,
    )  # fmt: skip


def _failure_text(folder: RunFolder, exit_code: int | None) -> str:
    checkpoint = newest_checkpoint(folder.path)
    if checkpoint is None:
        remedy = "No checkpoint was saved yet: Resume starts it from the beginning."
    else:
        remedy = f"Resume continues from step {checkpoint.name.rpartition('-')[2]}."
    cause = ""
    if exit_code is not None:
        cause = f" with exit code {exit_code}" if exit_code >= 0 else f", killed by signal {-exit_code}"
    if exit_code == -signal.SIGKILL:
        cause += " (often because memory ran out: fewer responses at once need less)"
    last = _last_line(folder.log)
    words = f" Its last line was: {last}" if last else ""
    return clipped(f"The worker of this run ended unexpectedly{cause}. {remedy}{words}")


def _last_line(log: Path, n_bytes: int = 4096, n_chars: int = 200) -> str:
    """Returns the last line of a log without the paths in it; empty if there is none."""
    if not log.exists():
        return ""
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - n_bytes))
        lines = file.read().decode("utf-8", errors="replace").replace("\r", "\n").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return _PATH_IN_TEXT.sub("…", last)[:n_chars]
