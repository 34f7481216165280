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
from bnf_lab.runs import RunFolder, TokenIndex
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
class Curves:
    """The figures over steps as they are sent, by name, and the probe's first and last point.

    `points` and `end` say what they were drawn from, so that the next drawing reads only the lines that were added.
    """

    figures: dict[str, str]
    first: MetricPoint | None
    last: MetricPoint | None
    points: dict[tuple[str, int], MetricPoint]
    end: int


@dataclass(frozen=True)
class TokenRecord:
    """The token file of a run as the inspector needs it."""

    folder: RunFolder
    index: TokenIndex

    @property
    def header(self) -> TokenHeader | None:
        return self.index.header

    @property
    def steps(self) -> list[int]:
        return self.index.steps

    def reached(self, step: int | None) -> int | None:
        """Returns the step recorded at `step` or last before it, the newest for None; None if there is none yet."""
        steps = self.steps
        return max((s for s in steps if step is None or s <= step), default=steps[0] if steps else None)

    def read(self, step: int) -> TokenSnapshot:
        return self.folder.read_snapshot(self.index, step)


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

    def curves(self, folder: RunFolder, marks: Marks) -> Curves:
        """Returns the figures over steps."""

        def draw(known: Curves | None) -> Curves:
            points, end = folder.index_metrics(known.points if known else {}, known.end if known else 0)
            ordered = sorted(points.values(), key=lambda p: p.step)
            probe, train = ([p for p in ordered if p.source == source] for source in ("probe", "train"))
            drawn = [*plots.thin(probe), *plots.thin(train)]  # once for all figures, which would each do the same
            figures = {name: _sent(make(drawn), folder.run_id) for name, make in STEP_FIGURES.items()}
            return Curves(figures, probe[0] if probe else None, probe[-1] if probe else None, points, end)

        return self._once((folder.path, "curves"), marks.metrics, draw)

    def tokens(self, folder: RunFolder, mark: Mark) -> TokenRecord:
        """Returns where header and snapshots stand, reading only what has been added."""

        def read(known: TokenRecord | None) -> TokenRecord:
            return TokenRecord(folder, folder.index_tokens(known.index if known else TokenIndex()))

        return self._once((folder.path, "tokens"), mark, read)

    def feedback(self, folder: RunFolder, mark: Mark, step: int | None) -> str:
        """Returns the feedback map at one recorded step."""
        record = self.tokens(folder, mark)
        if record.header is None or step is None:
            return _sent(plots.empty_figure("No token recorded yet.", 400), folder.run_id)
        header, beta = record.header, folder.read_config().beta

        def draw(_: str | None) -> str:
            return _sent(plots.feedback_map(header, record.read(step), beta=beta), folder.run_id)

        # a step's line stays as it is; only a replay after a resume writes it again, at another place
        return self._once((folder.path, "feedback", step), record.index.places[step], draw)

    def _once(self, key: tuple[Any, ...], mark: Any, make: Callable[[Any], Any]) -> Any:
        # the lock is held while drawing: whoever comes second waits and takes the same drawing
        with self._lock:
            known_mark, drawn = self._drawn.get(key, (None, None))
            if known_mark != mark or drawn is None:
                drawn = make(drawn)
                self._drawn[key] = (mark, drawn)
            self._drawn.move_to_end(key)
            while len(self._drawn) > self._kept:
                self._drawn.popitem(last=False)
            return drawn


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
