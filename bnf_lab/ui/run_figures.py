"""A run folder -> figures, drawn once for each new point however many people look. Knows no `Lab`, no tab.

`Marks` says cheaply whether a folder has changed since it was last drawn; `RunFigures` keeps the newest drawing of
each run, so a second viewer costs nothing and a tick without news costs a few `stat` calls.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from bnf_lab import plots
from bnf_lab.records import MetricPoint, TokenHeader, TokenSnapshot
from bnf_lab.runs import RunFolder
from bnf_lab.ui.live_plot import sent_figure

Mark = tuple[int, int]

STEP_FIGURES: dict[str, Callable[[list[MetricPoint]], go.Figure]] = {
    "likelihood": plots.likelihood_figure,
    "accuracy": plots.accuracy_figure,
    "logits": plots.logit_figure,
    "training": plots.training_figure,
    "distribution": plots.distribution_figure,
}
"""The figures over steps, in the order of the page."""

KEPT = 64


@dataclass(frozen=True)
class Marks:
    """(size, time of change) of each file of a run folder that the page shows."""

    status: tuple[Mark, Mark]
    metrics: tuple[Mark, Mark]
    tokens: Mark
    answers: Mark


@dataclass(frozen=True)
class TokenRecord:
    """The token file of a run as the inspector needs it."""

    header: TokenHeader | None
    snapshots: dict[int, TokenSnapshot]

    @property
    def steps(self) -> list[int]:
        return sorted(self.snapshots)

    def at(self, step: int | None) -> TokenSnapshot | None:
        """Returns the snapshot recorded at `step` or last before it; the newest for None."""
        reached = [s for s in self.steps if step is None or s <= step] or self.steps[:1]
        return self.snapshots[reached[-1]] if reached else None


def read_marks(folder: RunFolder) -> Marks:
    """Returns the folder's marks; take them before reading, so that what comes in between is drawn next time."""
    path = folder.path
    return Marks(
        status=(_mark(path / "status.json"), _mark(path / "stop")),
        metrics=(_mark(path / "metrics.jsonl"), _mark(path / "best.json")),
        tokens=_mark(path / "tokens.jsonl"),
        answers=_mark(path / "answers.jsonl"),
    )


class RunFigures:
    """Keeps the newest drawing of each part of the runs that are looked at."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._drawn: OrderedDict[tuple[Any, ...], tuple[Any, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def steps(self, folder: RunFolder, marks: Marks) -> dict[str, str]:
        """Returns the figures over steps by name."""

        def draw() -> dict[str, str]:
            points = folder.read_metrics()
            return {name: _sent(make(points), folder.run_id) for name, make in STEP_FIGURES.items()}

        return self._once((folder.path, "steps"), marks.metrics, draw)

    def tokens(self, folder: RunFolder, mark: Mark) -> TokenRecord:
        """Returns the header and snapshots."""

        def read() -> TokenRecord:
            header, snapshots = folder.read_tokens()
            return TokenRecord(header, {s.step: s for s in snapshots})

        return self._once((folder.path, "tokens"), mark, read)

    def feedback(self, folder: RunFolder, mark: Mark, record: TokenRecord, step: int | None) -> str:
        """Returns the feedback map at one recorded step."""

        def draw() -> str:
            snapshot = record.at(step)
            if record.header is None or snapshot is None:
                return _sent(plots.empty_figure("No token recorded yet.", 400), folder.run_id)
            return _sent(plots.feedback_map(record.header, snapshot, beta=folder.read_config().beta), folder.run_id)

        snapshot = record.at(step)
        return self._once((folder.path, "feedback", snapshot.step if snapshot else None), mark, draw)

    def _once(self, key: tuple[Any, ...], mark: Any, make: Callable[[], Any]) -> Any:
        # the lock is held while drawing: whoever comes second waits and takes the same drawing
        with self._lock:
            kept = self._drawn.get(key)
            if kept is None or kept[0] != mark:
                kept = self._drawn[key] = (mark, make())
            self._drawn.move_to_end(key)
            while len(self._drawn) > self._kept:
                self._drawn.popitem(last=False)
            return kept[1]


def _sent(figure: go.Figure, run_id: str) -> str:
    """Returns the figure as it is sent; the zoom belongs to the run, so that another run starts unzoomed."""
    figure.update_layout(uirevision=run_id)
    return sent_figure(figure)


def _mark(path: Path) -> Mark:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return (-1, 0)
    return stat.st_size, stat.st_mtime_ns
