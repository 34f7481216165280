"""What a list says of a run, read once for each change of its folder and only as far as it has grown.

Standard library. This room must not know owners or pages.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnf_lab.runs.checkpoints import list_checkpoints
from bnf_lab.runs.folder import RunFolder, SavedConfig
from bnf_lab.runs.indexes import METRICS, START
from bnf_lab.runs.readings import Readings, read_mark, read_settled_mark
from bnf_lab.runs.record_files import Place
from bnf_lab.runs.records import MetricPoint, RunStatus
from bnf_lab.runs.verdict import RunVerdict, StepScore, judge_run, score_point

KEPT = 8192  # three readings a run, a few kilobytes together


@dataclass(frozen=True)
class RunDigest:
    """A run in short; `first` and `last` are the probe's points of the lowest and highest step, None before them.

    `seconds` is how long it has trained so far, over all resumes.
    """

    saved: SavedConfig
    status: RunStatus
    first: MetricPoint | None
    last: MetricPoint | None
    verdict: RunVerdict
    seconds: float = 0.0


@dataclass(frozen=True)
class ProbeDigest:
    """The probe's ends and scores as far as the metrics were read."""

    first: MetricPoint | None = None
    last: MetricPoint | None = None
    scores: tuple[StepScore, ...] = ()
    place: Place = START
    seconds: float = 0.0


class RunDigests:
    """Digests of the runs that are listed, shared by everybody who lists them."""

    def __init__(self) -> None:
        self._readings = Readings(KEPT)

    def read(self, folder: RunFolder) -> RunDigest:
        """Returns the digest of a run as its folder is now.

        Raises:
            LabError: If settings or status cannot be read.
        """
        path = folder.path
        saved = self._readings.once(
            (path, "config"), read_settled_mark(path / "config.json"), lambda _: folder.read_saved()
        )
        marks = read_settled_mark(path / "status.json"), read_mark(path / "stop")
        status = self._readings.once((path, "status"), marks, lambda _: folder.read_status())
        probe, verdict = self.judge(folder)
        return RunDigest(saved, status, probe.first, probe.last, verdict, probe.seconds)

    def verdict(self, folder: RunFolder) -> RunVerdict:
        """Returns what a run came to; see `judge`."""
        return self.judge(folder)[1]

    def judge(self, folder: RunFolder) -> tuple[ProbeDigest, RunVerdict]:
        """Returns the probe's ends and what the run came to, whatever its settings and status say."""
        path = folder.path

        def extend(known: ProbeDigest | None) -> ProbeDigest:
            return _extended(folder, known or ProbeDigest())

        metrics = read_mark(path / "metrics.jsonl")
        probe = self._readings.once((path, "probe"), metrics, extend)
        steps = tuple(step for step, _ in list_checkpoints(path))
        known_by = metrics, read_mark(path / "answers.jsonl"), steps

        def draw_up(_: RunVerdict | None) -> RunVerdict:
            answers = folder.index_answers()
            return judge_run(probe.scores, answers.answers, steps, (probe.place.describe(METRICS), answers.damage))

        return probe, self._readings.once((path, "verdict"), known_by, draw_up)


def _extended(folder: RunFolder, known: ProbeDigest) -> ProbeDigest:
    if not folder.has_metrics_up_to(known.place):
        known = ProbeDigest()
    first, last, scores = known.first, known.last, list(known.scores)
    points, place = folder.read_new_metrics(known.place)
    for point in (p for p in points if p.source == "probe"):
        # a step that was replayed after a resume counts as it was measured last
        first = point if first is None or point.step <= first.step else first
        last = point if last is None or point.step >= last.step else last
        scores.append(score_point(point))
    seconds = max((p.seconds for p in points), default=0.0)
    return ProbeDigest(first, last, tuple(scores), place, max(known.seconds, seconds))
