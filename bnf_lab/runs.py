"""The run folder: its records, readers and writers. Standard library only.

The folder is the interface between the worker, the pages, the shell and other machines; everybody
reads the same files. This room must not know models, pages or the database.

    config.json       RunConfig, written before any model is loaded
    dataset.jsonl     the frozen judgements, one a line
    status.json       RunStatus, written to a temporary file, then renamed
    metrics.jsonl     MetricPoint, one a line, appended and flushed
    tokens.jsonl      one TokenHeader, then one TokenSnapshot a recorded step
    answers.jsonl     AnswerPoint: the fixed prompts answered during the run
    checkpoint-N/     complete checkpoints, each with a MANIFEST.json
    best.json         which checkpoint was best on the held-out pairs
    adapter/          the finished adapter in PEFT's layout
    worker.log        what the worker process printed
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bnf_lab.config import RunConfig
from bnf_lab.errors import RunRefused
from bnf_lab.files import append_line, read_lines, write_atomically
from bnf_lab.preferences import Judgement
from bnf_lab.records import (
    AnswerPoint,
    BestCheckpoint,
    MetricPoint,
    ProbeResponse,
    RunState,
    RunStatus,
    TokenHeader,
    TokenSnapshot,
)

Record = TypeVar("Record", MetricPoint, AnswerPoint)


@dataclass(frozen=True)
class RunFolder:
    """Paths, readers and writers of one run folder."""

    path: Path
    run_id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "run_id", self.path.name)

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def log(self) -> Path:
        return self.path / "worker.log"

    @classmethod
    def create(cls, path: Path, config: RunConfig, judgements: Iterable[Judgement], *, owner: str = "") -> RunFolder:
        """Makes the folder with its config, data and a `queued` status.

        Raises:
            RunRefused: If the folder already holds a run.
        """
        folder = cls(path)
        if (path / "config.json").exists():
            raise RunRefused(f"{path.name} already holds a run. Choose another folder, resume the run or delete it.")
        path.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(j.to_dict(), ensure_ascii=False) for j in judgements)
        write_atomically(path / "dataset.jsonl", "".join(line + "\n" for line in lines))
        write_atomically(path / "config.json", json.dumps(config.to_dict(), indent=2))
        created = time.time()
        folder.write_status(
            RunStatus(
                RunState.QUEUED, created_at=created, queued_at=created, total_steps=config.n_steps, owner=owner
            )
        )
        return folder

    def read_config(self) -> RunConfig:
        return RunConfig.from_dict(self._read_json("config.json"))

    def read_judgements(self) -> list[Judgement]:
        return [Judgement.from_dict(record) for record in read_lines(self.path / "dataset.jsonl")]

    def read_status(self) -> RunStatus:
        values = self._read_json("status.json")
        names = {f.name for f in dataclasses.fields(RunStatus)}
        return RunStatus(**{k: v for k, v in values.items() if k in names} | {"state": RunState(values["state"])})

    def write_status(self, status: RunStatus) -> None:
        write_atomically(self.path / "status.json", json.dumps(dataclasses.asdict(status)))

    def read_best(self) -> BestCheckpoint | None:
        if not (self.path / "best.json").exists():
            return None
        return BestCheckpoint(**self._read_json("best.json"))

    def write_best(self, best: BestCheckpoint) -> None:
        write_atomically(self.path / "best.json", json.dumps(dataclasses.asdict(best)))

    def read_metrics(self) -> list[MetricPoint]:
        """Returns the points in order of step, a replayed step once (its last value)."""
        points = {p.key: p for p in _records(self.path / "metrics.jsonl", MetricPoint)}
        return sorted(points.values(), key=lambda p: (p.step, p.source))

    def append_metric(self, point: MetricPoint) -> None:
        values = {k: v for k, v in dataclasses.asdict(point).items() if v is not None}
        append_line(self.path / "metrics.jsonl", values)

    def read_answers(self) -> list[AnswerPoint]:
        points = {(p.step, p.prompt): p for p in _records(self.path / "answers.jsonl", AnswerPoint)}
        return sorted(points.values(), key=lambda p: p.step)

    def append_answer(self, point: AnswerPoint) -> None:
        append_line(self.path / "answers.jsonl", dataclasses.asdict(point))

    def read_tokens(self) -> tuple[TokenHeader | None, list[TokenSnapshot]]:
        header: TokenHeader | None = None
        snapshots: dict[int, TokenSnapshot] = {}
        for record in read_lines(self.path / "tokens.jsonl"):
            if record["kind"] == "header":
                header = TokenHeader(tuple(_probe_response(r) for r in record["responses"]))
            else:
                logps, logits, weights = (_nested(record[k]) for k in ("logps", "logits", "weights"))
                snapshots[record["step"]] = TokenSnapshot(record["step"], logps, logits, weights)
        return header, [snapshots[step] for step in sorted(snapshots)]

    def append_tokens(self, record: TokenHeader | TokenSnapshot) -> None:
        append_line(self.path / "tokens.jsonl", dataclasses.asdict(record))

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))  # type: ignore[no-any-return]
        except (OSError, ValueError) as error:
            raise RunRefused(
                f"Run {self.run_id}: {name} cannot be read. The run folder is incomplete; delete the run."
            ) from error


def _records(path: Path, kind: type[Record]) -> Iterator[Record]:
    names = {f.name for f in dataclasses.fields(kind)}
    for values in read_lines(path):
        yield kind(**{k: v for k, v in values.items() if k in names})


def _probe_response(values: dict[str, Any]) -> ProbeResponse:
    texts = {k: values[k] for k in ("judgement_id", "verdict", "prompt")}
    tokens, logps, logits = (tuple(values[k]) for k in ("tokens", "reference_logps", "reference_logits"))
    return ProbeResponse(**texts, tokens=tokens, reference_logps=logps, reference_logits=logits)


def _nested(rows: list[list[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in rows)
