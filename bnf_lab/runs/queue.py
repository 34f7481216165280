"""The queue: which run trains next, and that only one does.

The run folders are the only truth, so a restarted server, or a second one, finds everything again. `.queue.lock` beside
the run folders is held while a queue acts: two queues on one data folder never start two workers. This room must not
know models, losses, pages or the database.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from bnf_lab.core.errors import NotFound, RunRefused, shown
from bnf_lab.core.files import locked, remove
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.launcher import requeue, settle_worker, start_worker, stop_worker, watch_worker
from bnf_lab.runs.processes import kill_process, process_alive
from bnf_lab.runs.records import RunState, RunStatus
from bnf_lab.runs.watchdog import Watchdog

TICK_SECONDS = 1.0
KILL_SECONDS = 5.0  # a killed process ends at once, unless the kernel holds it
SETTLED_SECONDS = 1.0  # two writes within one tick of the file system's clock look alike; later ones do not

_LOGGER = logging.getLogger(__name__)


def build_order(statuses: Mapping[str, RunStatus]) -> list[str]:
    """Returns the waiting runs in the order in which they will start, if no more come.

    The owner whose last start is longest ago goes first; of one owner's runs, the one that joined first.

    >>> queued, done = (lambda owner, t: RunStatus(RunState.QUEUED, owner=owner, queued_at=t)), RunState.FINISHED
    >>> ran = RunStatus(done, owner="ada", started_at=5.0)
    >>> build_order({"ran": ran, "a1": queued("ada", 1), "a2": queued("ada", 2), "b1": queued("bob", 3)})
    ['b1', 'a1', 'a2']
    """
    last_start: dict[str, float] = {}
    for status in statuses.values():
        last_start[status.owner] = max(last_start.get(status.owner, 0.0), status.started_at or 0.0)
    waiting = {run_id: status for run_id, status in statuses.items() if status.state is RunState.QUEUED}
    order: list[str] = []
    moment = max(last_start.values(), default=0.0)
    while waiting:
        next_id = min(waiting, key=lambda i: (last_start[waiting[i].owner], waiting[i].queued_at, i))
        moment += 1.0
        last_start[waiting.pop(next_id).owner] = moment
        order.append(next_id)
    return order


class JobQueue:
    """One training run at a time, fair between owners.

    Args:
        runs_dir: The folder of run folders; made if missing.
        command: The worker's command line; the run folder is added as its last argument.
        environment: The worker's environment; this process's own if None. `HF_HUB_OFFLINE=1` is added.
        watchdog: Finds workers that hang; they are ended, so that the runs behind them start.
    """

    def __init__(
        self,
        runs_dir: Path,
        *,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._runs_dir = runs_dir.resolve()
        self._runs_dir.mkdir(parents=True, exist_ok=True)
        self._command = tuple(command)
        self._environment = dict(os.environ if environment is None else environment)
        self._watchdog = watchdog or Watchdog()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._seen: dict[str, tuple[tuple[int, int, bool], RunStatus]] = {}
        self._complaints: set[tuple[str, str]] = set()
        self._wake = threading.Event()
        self._is_closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to look after the runs about once a second, on a thread of its own."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="job-queue", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stops looking after the runs; workers go on, and the next queue on this folder finds them."""
        self._is_closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def tick(self) -> None:
        """Settles the runs whose worker has ended, then starts the next run if no worker lives."""
        with self._alone():
            self._watchdog.begin_look()
            is_busy = False
            statuses, unreadable = self._look()
            for run_id, status in [*statuses.items(), *((run_id, None) for run_id in unreadable)]:
                is_busy |= self._settle(run_id, status)
            for run_id in () if is_busy else build_order(self._scan()):
                if self._start(run_id):
                    break

    def path_of(self, run_id: str) -> Path:
        """Returns where the run of an id made by the lab lies or will lie; ids from outside must be checked before."""
        return self._runs_dir / run_id

    def submit(self, run_id: str) -> None:
        """Lets a newly made run start at once rather than at the next look.

        Raises:
            NotFound: If there is no such run.
            RunRefused: If it does not wait.
        """
        state = self._folder(run_id).read_status().state
        if state is not RunState.QUEUED:
            raise RunRefused(f"Run {run_id} is {state}; only a queued run can start. Resume it, or make a new run.")
        self._wake.set()

    def stop(self, run_id: str) -> None:
        """Takes a waiting run out of the queue, or asks a live one to save a checkpoint and end.

        Returns at once; a run that is over already is left as it is.

        Raises:
            NotFound: If there is no such run.
            RunRefused: If the worker belongs to another user of this machine.
        """
        with self._acting_on(run_id) as folder:
            stop_worker(folder)
        self._wake.set()

    def resume(self, run_id: str) -> None:
        """Puts a stopped or failed run back into the queue; its worker takes the newest checkpoint.

        Raises:
            NotFound: If there is no such run.
            RunRefused: If the run is in any other state.
        """
        with self._acting_on(run_id) as folder:
            requeue(folder)
        self._wake.set()

    def forget(self, run_id: str) -> None:
        """Makes sure that a run has no worker and gets none, so that its folder, damaged or not, can be removed.

        Raises:
            NotFound: If there is no such run.
            RunRefused: If its worker lives; where the folder cannot tell so to anybody, the worker is ended.
        """
        with self._acting_on(run_id) as folder, contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # a damaged folder may have no lock to hold
                stack.enter_context(folder.claiming())
            if self._is_owned(folder):
                self._end_unreadable(folder)
            if folder.path.is_symlink() or not folder.path.is_dir():
                remove(folder.path)
            # without its settings a folder is no run: nothing starts it between now and its removal
            remove(folder.path / "config.json")
            self._watchdog.forget(run_id)
            child = self._children.pop(run_id, None)
            if child is not None:
                child.poll()  # reaps it

    def _end_unreadable(self, folder: RunFolder) -> None:
        """Ends the worker of a run whose status cannot be read, so that nobody could stop it."""
        refusal = RunRefused(f"Run {folder.run_id} is being trained. Stop it, wait until it has ended, then delete it.")
        try:
            folder.read_status()
        except RunRefused:
            process = folder.read_process()
        else:
            raise refusal
        deadline = time.monotonic() + KILL_SECONDS
        while process is not None and kill_process(process):
            if time.monotonic() > deadline:
                raise refusal
            time.sleep(0.05)

    def position(self, run_id: str) -> int | None:
        """Returns a waiting run's place in the queue, 1 for the next to start; None if it does not wait."""
        order = build_order(self._scan())
        return order.index(run_id) + 1 if run_id in order else None

    def live_run(self) -> str | None:
        """Returns the run that a worker owns now, None if there is none."""
        return next((run_id for run_id, status in self._scan().items() if status.state.is_live), None)

    def live_status(self) -> RunStatus | None:
        """Returns the status of the run that a worker owns now, None if there is none."""
        return next((status for status in self._scan().values() if status.state.is_live), None)

    def describe_stillness(self, run_id: str) -> str:
        """Returns that a run has not moved for a while and what will come of it; "" while it moves."""
        return self._watchdog.describe(run_id)

    def _watch(self) -> None:
        while not self._is_closing:
            try:
                self.tick()
            except Exception:
                # the queue outlives a full disk or a defect; the next look tries again
                _LOGGER.exception("The queue could not look after the runs.")
            self._wake.wait(TICK_SECONDS)
            self._wake.clear()

    def _alone(self) -> AbstractContextManager[None]:
        return locked(self._runs_dir / ".queue.lock")

    @contextlib.contextmanager
    def _acting_on(self, run_id: str) -> Iterator[RunFolder]:
        """Gives the folder of a run while no other queue acts; what the system refuses is told in words."""
        folder = self._folder(run_id)
        try:
            with self._alone():
                yield folder
        except OSError as error:
            raise RunRefused(
                f"Run {run_id}: its folder cannot be written ({error.strerror or type(error).__name__}). Make room or"
                " mend the rights of the lab's data folder, then try again."
            ) from error

    def _folder(self, run_id: str) -> RunFolder:
        # looked up among the names that are there, so that no text can lead out of the folder
        if run_id.startswith(".") or run_id not in os.listdir(self._runs_dir):
            raise NotFound(f"Run {shown(run_id)} does not exist. Reload the page and choose one from the list.")
        return RunFolder(self._runs_dir / run_id)

    def _scan(self) -> dict[str, RunStatus]:
        """Returns the status of every run; a folder that is no run, or cannot be read, is passed over."""
        return self._look()[0]

    def _look(self) -> tuple[dict[str, RunStatus], list[str]]:
        """Returns the status of every run, and the folders whose status cannot be read."""
        statuses, unreadable = {}, []
        for path in sorted(self._runs_dir.iterdir()):
            try:
                if (path / "config.json").is_file():
                    statuses[path.name] = self._read(RunFolder(path))
            except (OSError, RunRefused) as error:
                unreadable.append(path.name)
                self._complain(path.name, error)
        for gone in set(self._seen) - set(statuses):
            self._seen.pop(gone, None)
        return statuses, unreadable

    def _read(self, folder: RunFolder) -> RunStatus:
        """Reads a status only if it has changed: most runs are over, and pages ask for their place every second."""
        stat = (folder.path / "status.json").stat()
        key = (stat.st_mtime_ns, stat.st_ino, folder.is_stop_requested)
        seen = self._seen.get(folder.run_id)
        if seen is not None and seen[0] == key:
            return seen[1]
        status = folder.read_status()
        if time.time() - stat.st_mtime > SETTLED_SECONDS:
            self._seen[folder.run_id] = (key, status)
        return status

    def _settle(self, run_id: str, status: RunStatus | None) -> bool:
        """Returns whether the run's worker lives; the status is None where it cannot be read."""
        folder, child = RunFolder(self._runs_dir / run_id), self._children.get(run_id)
        exit_code = None if child is None else child.poll()  # reaps it, so that no zombie stays
        if exit_code is not None:
            del self._children[run_id]
        try:
            if status is None:
                is_alive = self._is_owned(folder)
            elif not status.state.is_live and not (folder.path / "process.json").exists():
                return False
            else:
                is_alive = settle_worker(folder, exit_code, self._watchdog.why_ended(run_id))
            if not is_alive:
                self._watchdog.forget(run_id)
            elif status is None or status.state.is_live:
                watch_worker(folder, status or RunStatus(RunState.PREPARING), self._watchdog)
            return is_alive
        except (OSError, RunRefused) as error:
            self._complain(run_id, error)
            return self._is_owned(folder)

    def _is_owned(self, folder: RunFolder) -> bool:
        process = folder.read_process()
        return process is not None and process_alive(process)

    def _start(self, run_id: str) -> bool:
        """Returns whether the run's worker has been started."""
        try:
            child = start_worker(RunFolder(self._runs_dir / run_id), self._command, self._environment)
        except (OSError, RunRefused) as error:
            self._complain(run_id, error)
            return False
        if child is not None:
            self._children[run_id] = child
        return child is not None

    def _complain(self, run_id: str, error: Exception) -> None:
        """Logs a problem of a run folder once, not at every look."""
        if (run_id, str(error)) not in self._complaints:
            self._complaints.add((run_id, str(error)))
            _LOGGER.warning("Run folder %s is passed over: %s", run_id, error)
