"""`python -m bnf_lab.training.worker RUN_DIR`: trains one run and writes everything about it to its folder.

Started by `accelerate launch -m bnf_lab.training.worker RUN_DIR` it is several processes, of which the first writes.
It reads only the run folder (and models from the data home) and knows no pages. SIGTERM finishes the step, saves a
checkpoint and ends in state `stopped`.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from bnf_lab.core.errors import LabError, TrainingDiverged, clipped
from bnf_lab.core.machine import share_cores
from bnf_lab.core.paths import without_places
from bnf_lab.runs.folder import RunFolder, claim_run
from bnf_lab.runs.records import RunState, RunStatus

logger = logging.getLogger("bnf_lab.training.worker")

UNUSED = ("datasets", "pandas", "pyarrow", "scipy", "sklearn", "tensorboard", "torchaudio", "torchvision")
"""Libraries that transformers, peft and accelerate import where they find them, and that training never uses."""


def import_engine(_: str) -> ModuleType:
    """Returns the module that trains; torch takes seconds, and the page should say "preparing" at once."""
    from bnf_lab.training import run as engine  # noqa: PLC0415 - see above

    return engine


def import_training(quantization: str) -> ModuleType:
    """Returns the module that trains, for a process that does nothing else; measured on a slow core, 6 s instead of 10.

    Python reads None in `sys.modules` as "not installed", which every library that looks for another one respects.

    Args:
        quantization: The run's setting: bitsandbytes stays where it may be needed.
    """
    is_collecting = gc.isenabled()
    gc.disable()  # a process that only imports makes no garbage worth looking for
    try:
        torch = importlib.import_module("torch")
        is_plain = quantization == "none" or (quantization == "auto" and not torch.cuda.is_available())
        for name in (*UNUSED, *(["bitsandbytes"] if is_plain else [])):
            sys.modules.setdefault(name, None)  # type: ignore[arg-type]
        return import_engine(quantization)
    finally:
        gc.freeze()
        if is_collecting:
            gc.enable()


STATUS_EVERY_SECONDS = 0.5


class StopRequested(Exception):
    """The run was asked to stop before its first step."""


@dataclass
class Report:
    """Keeps `status.json` true while a run lives."""

    folder: RunFolder
    status: RunStatus = field(init=False)
    durations: list[float] = field(default_factory=list)
    stop_signalled: bool = False
    _written: float = 0.0

    def __post_init__(self) -> None:
        self.status = self.folder.read_status()

    def set(self, **changes: Any) -> None:
        """Changes the status and writes it at once."""
        self.status = replace(self.status, heartbeat=time.time(), **changes)
        self.folder.write_status(self.status)
        self._written = time.monotonic()

    def is_stopping(self) -> bool:
        return self.stop_signalled or self.folder.is_stop_requested

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop_signalled = True

    def on_phase_progress(self, done: int, total: int) -> None:
        """Counts items of the present phase; ends the run here if it was asked to stop."""
        if self.is_stopping():
            raise StopRequested
        if done == total or time.monotonic() - self._written > STATUS_EVERY_SECONDS:
            self.set(phase_done=done, phase_total=total)

    def on_step(self, step: int, seconds: float) -> None:
        """Counts a step and estimates what is left from the median of the last twenty."""
        self.durations = [*self.durations[-19:], seconds]
        median = statistics.median(self.durations)
        left = median * (self.status.total_steps - step)
        state = RunState.STOPPING if self.is_stopping() else RunState.TRAINING
        self.set(state=state, step=step, step_seconds=round(median, 4), seconds_left=round(left, 1))

    def on_notice(self, text: str) -> None:
        """Adds to what the person is told besides the state."""
        text = without_places(text)
        self.set(notice=clipped(f"{self.status.notice} {text}" if self.status.notice else text))


class Silence:
    """A report to nobody: for `measure`, and for all but the first of several processes."""

    def __init__(self) -> None:
        self.durations: list[float] = []

    def set(self, **changes: Any) -> None: ...

    def is_stopping(self) -> bool:
        return False

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The first process hears it too, and all stop together after its step."""

    def on_phase_progress(self, done: int, total: int) -> None: ...

    def on_step(self, step: int, seconds: float) -> None: ...

    def on_notice(self, text: str) -> None: ...


def run(folder: RunFolder, *, import_training: Callable[[str], ModuleType] = import_engine) -> int:
    """Trains the run in `folder`; returns the exit code: 0 if it finished or was stopped, 1 if it failed.

    Of several processes the first also returns 1 if it was stopped before the first step.

    Args:
        folder: The run.
        import_training: Imports the module that trains, given the run's setting of quantization.
    """
    report = Report(folder) if _is_first() else Silence()
    signal.signal(signal.SIGTERM, report.on_signal)
    signal.signal(signal.SIGINT, report.on_signal)
    report.set(
        state=RunState.PREPARING,
        phase="starting",
        failure=None,
        notice=None,
        started_at=time.time(),
        ended_at=None,
        is_diverged=False,
    )
    is_stranding = False
    try:
        is_complete = import_training(folder.read_training_config().quantization).train(folder, report)
    except StopRequested:
        is_complete = False
        is_stranding = "LOCAL_RANK" in os.environ  # the others wait for this one: the launcher must end them
    except TrainingDiverged as error:
        report.on_notice(str(error))
        report.set(is_diverged=True)
        is_complete = False
    except LabError as error:
        logger.exception("the run failed")
        return _fail(report, str(error))
    except MemoryError:
        logger.exception("out of memory")
        return _fail(report, "The memory ran out. Lower 'Responses at once' or 'Longest sequence', then resume.")
    except Exception as error:  # the process's last catch point: whatever it was, the page must be told
        logger.exception("the run failed")
        return _fail(report, _explain(error))
    state = RunState.FINISHED if is_complete else RunState.STOPPED
    report.set(state=state, phase="", seconds_left=None, ended_at=time.time())
    return 1 if is_stranding else 0


def _explain(error: Exception) -> str:
    if type(error).__name__ == "OutOfMemoryError":
        return "The GPU's memory ran out. Lower 'Responses at once' or 'Longest sequence', then resume."
    if isinstance(error, OSError):
        return f"The disk or a file refused ({error.strerror or type(error).__name__}). Make room, then resume."
    return (
        f"Training broke off unexpectedly ({type(error).__name__}). The run's log has the details; resume or start"
        " anew."
    )


def _is_first() -> bool:
    """Returns whether this is the process that owns the run folder; a launcher numbers several of them."""
    return "LOCAL_RANK" not in os.environ or os.environ.get("RANK", "0") == "0"


def _fail(report: Report | Silence, text: str) -> int:
    report.set(state=RunState.FAILED, failure=clipped(without_places(text)), seconds_left=None, ended_at=time.time())
    return 1


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or not Path(arguments[0], "config.json").is_file():
        print("usage: python -m bnf_lab.training.worker RUN_DIR (a folder with config.json)", file=sys.stderr)  # noqa: T201
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    share_cores()
    if "LOCAL_RANK" not in os.environ:  # without a launcher the Trainer would spread over all GPUs in one process
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    folder = RunFolder(Path(arguments[0]).resolve())
    try:
        if _is_first():
            claim_run(folder)
    except LabError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return run(folder, import_training=import_training)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
