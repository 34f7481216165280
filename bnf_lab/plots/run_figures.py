"""A run folder -> figures, drawn once for each new point however many people look. Knows no `Lab`, no tab.

`Marks` says cheaply whether a folder has changed since it was last drawn; `RunFigures` keeps the newest drawing of
each run, so a second viewer costs nothing and a tick without news costs a few `stat` calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import plotly.graph_objects as go

from bnf_lab.core.errors import RunRefused
from bnf_lab.plots import curves
from bnf_lab.plots.sentences import NO_TOKENS, NOT_YET, STEP_SENTENCES, say_feedback
from bnf_lab.plots.style import reach_to
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.indexes import MetricIndex, TokenIndex
from bnf_lab.runs.readings import Mark, Readings, read_mark
from bnf_lab.runs.records import MetricPoint, TokenHeader, TokenSnapshot

STEP_FIGURES: dict[str, Callable[[list[MetricPoint]], go.Figure]] = {
    "likelihood": curves.likelihood_figure,
    "accuracy": curves.accuracy_figure,
    "logits": curves.logit_figure,
    "training": curves.training_figure,
    "distribution": curves.distribution_figure,
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

    `index` says what they were drawn from, so that the next drawing reads only the lines that were added.
    """

    figures: dict[str, str]
    first: MetricPoint | None
    last: MetricPoint | None
    index: MetricIndex


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
        status=(read_mark(path / "status.json"), read_mark(path / "stop")),
        metrics=(read_mark(path / "metrics.jsonl"), read_mark(path / "best.json")),
        tokens=read_mark(path / "tokens.jsonl"),
        answers=read_mark(path / "answers.jsonl"),
    )


class RunFigures:
    """Keeps the newest drawing of each part of the runs that are looked at."""

    def __init__(self, kept: int = KEPT) -> None:
        self._drawn = Readings(kept)

    def curves(self, folder: RunFolder, marks: Marks, total_steps: int) -> Curves:
        """Returns the figures over steps, whose axis reaches to the last of `total_steps` (0 where unknown)."""

        def draw(known: Curves | None) -> Curves:
            index = folder.index_metrics(known.index if known else MetricIndex())
            points = index.ordered
            probe, train = ([p for p in points if p.source == source] for source in ("probe", "train"))
            drawn = [*curves.thin(probe), *curves.thin(train)]  # once for all figures, which would each do the same
            figures = {
                name: _sent(reach_to(make(drawn), total_steps), folder.run_id, STEP_SENTENCES[name](points))
                for name, make in STEP_FIGURES.items()
            }
            return Curves(figures, probe[0] if probe else None, probe[-1] if probe else None, index)

        return self._drawn.once((folder.path, "curves"), (marks.metrics, total_steps), draw)

    def tokens(self, folder: RunFolder, mark: Mark) -> TokenRecord:
        """Returns where header and snapshots stand, reading only what has been added."""

        def read(known: TokenRecord | None) -> TokenRecord:
            return TokenRecord(folder, folder.index_tokens(known.index if known else TokenIndex()))

        return self._drawn.once((folder.path, "tokens"), mark, read)

    def feedback(self, folder: RunFolder, mark: Mark, step: int | None) -> str:
        """Returns the feedback map at one recorded step."""
        record = self.tokens(folder, mark)
        if record.header is None or step is None:
            return _sent(curves.empty_figure("No token recorded yet.", 400), folder.run_id, NO_TOKENS)
        try:
            header, beta = record.header, folder.read_config().beta
        except RunRefused:  # the page says what is wrong with the settings
            return _sent(curves.empty_figure("The run's settings cannot be read.", 400), folder.run_id, NOT_YET)

        def draw(_: str | None) -> str:
            snapshot = record.read(step)
            figure = curves.feedback_map(header, snapshot, beta=beta)
            return _sent(figure, folder.run_id, say_feedback(header, snapshot))

        # a step's line stays as it is; only a replay after a resume writes it again, at another place
        return self._drawn.once((folder.path, "feedback", step), record.index.places[step], draw)


def _sent(figure: go.Figure, run_id: str, says: str) -> str:
    """Returns the figure as it is sent, with the sentence on what it shows in `layout.meta.says`.

    The zoom belongs to the run, so that another run starts unzoomed.
    """
    figure.update_layout(uirevision=run_id, meta={"says": says})
    return str(figure.to_json())
