"""The run folder: its records, readers and writers. Standard library only.

The folder is the interface between the worker, the pages, the shell and other machines; everybody
reads the same files. This room must not know models, pages or the database.

    config.json       RunConfig, written before any model is loaded
    dataset.jsonl     the frozen judgements, one a line
    changes.jsonl     what an experiment's settings changed in the training part, where they did
    status.json       RunStatus, written to a temporary file, then renamed; by the worker while one runs
    process.json      WorkerProcess: which process that is; gone once its end has been seen
    stop              there while the worker has been asked to stop
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
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bnf_lab.config import RunConfig
from bnf_lab.errors import RunRefused
from bnf_lab.files import append_line, locked, read_lines, write_atomically
from bnf_lab.preferences import Judgement
from bnf_lab.processes import identify_process, process_alive
from bnf_lab.records import (
    AnswerPoint,
    BestCheckpoint,
    MetricPoint,
    ProbeResponse,
    RunState,
    RunStatus,
    TokenHeader,
    TokenSnapshot,
    WorkerProcess,
)

Record = TypeVar("Record", MetricPoint, AnswerPoint)


@dataclass(frozen=True)
class TokenIndex:
    """Where each snapshot stands in `tokens.jsonl`, so that a page that looks every second reads no line twice.

    Attributes:
        header: The first line; None before it is written.
        places: Offset of the last line recorded for each step.
        end: How far the file has been read.
    """

    header: TokenHeader | None = None
    places: Mapping[int, int] = field(default_factory=dict)
    end: int = 0

    @property
    def steps(self) -> list[int]:
        return sorted(self.places)


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
        """Returns the run's status; a live run that has been asked to stop is `stopping`, whatever it last wrote.

        Raises:
            RunRefused: If there is no status or it cannot be understood.
        """
        values = self._read_json("status.json")
        names = {f.name for f in dataclasses.fields(RunStatus)}
        try:
            status = RunStatus(**{k: v for k, v in values.items() if k in names} | {"state": RunState(values["state"])})
            if not isinstance(status.owner, str):
                raise TypeError("owner is no text")
            float(status.queued_at), float(status.started_at or 0.0)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._unreadable("status.json") from error
        if status.state.is_live and self.is_stop_requested:
            return dataclasses.replace(status, state=RunState.STOPPING)
        return status

    def write_status(self, status: RunStatus) -> None:
        write_atomically(self.path / "status.json", json.dumps(dataclasses.asdict(status)))

    def read_process(self) -> WorkerProcess | None:
        """Returns the process that last owned the run; None if none did, its end is settled or the disk lost it."""
        try:
            values = json.loads((self.path / "process.json").read_text(encoding="utf-8"))
            return WorkerProcess(int(values["pid"]), str(values["started"]))
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            # never torn (see `write_atomically`); a damaged one must not keep the run from being deleted
            return None

    def write_process(self, process: WorkerProcess) -> None:
        write_atomically(self.path / "process.json", json.dumps(dataclasses.asdict(process)))

    def clear_process(self) -> None:
        """Forgets the process and any request to stop it."""
        (self.path / "stop").unlink(missing_ok=True)
        (self.path / "process.json").unlink(missing_ok=True)

    @property
    def is_stop_requested(self) -> bool:
        return (self.path / "stop").exists()

    def request_stop(self) -> None:
        """Leaves the request to stop where a worker that has not begun to listen for signals still finds it."""
        (self.path / "stop").touch()

    def claiming(self) -> AbstractContextManager[None]:
        """Holds the lock under which the run's process changes."""
        return locked(self.path / ".process.lock")

    def read_best(self) -> BestCheckpoint | None:
        if not (self.path / "best.json").exists():
            return None
        return BestCheckpoint(**self._read_json("best.json"))

    def write_best(self, best: BestCheckpoint) -> None:
        write_atomically(self.path / "best.json", json.dumps(dataclasses.asdict(best)))

    def read_metrics(self) -> list[MetricPoint]:
        """Returns the points in order of step, a replayed step once (its last value)."""
        points, _ = self.index_metrics({}, 0)
        return sorted(points.values(), key=lambda p: (p.step, p.source))

    def index_metrics(self, known: Mapping[Any, MetricPoint], end: int) -> tuple[dict[Any, MetricPoint], int]:
        """Returns `known`, points by their key, with what the file holds beyond `end`; and its new end."""
        path = self.path / "metrics.jsonl"
        if not path.exists() or path.stat().st_size < end:
            known, end = {}, 0
        points = dict(known)
        for line in _lines_from(path, end):
            point = _record(json.loads(line), MetricPoint)
            points[point.key] = point
            end += len(line)
        return points, end

    def append_metric(self, point: MetricPoint) -> None:
        values = {k: v for k, v in dataclasses.asdict(point).items() if v is not None}
        append_line(self.path / "metrics.jsonl", values)

    def read_answers(self) -> list[AnswerPoint]:
        records = read_lines(self.path / "answers.jsonl")
        points = {(p.step, p.prompt): p for p in (_record(values, AnswerPoint) for values in records)}
        return sorted(points.values(), key=lambda p: p.step)

    def append_answer(self, point: AnswerPoint) -> None:
        append_line(self.path / "answers.jsonl", dataclasses.asdict(point))

    def read_tokens(self) -> tuple[TokenHeader | None, list[TokenSnapshot]]:
        header: TokenHeader | None = None
        snapshots: dict[int, TokenSnapshot] = {}
        for record in read_lines(self.path / "tokens.jsonl"):
            if record["kind"] == "header":
                header = _token_header(record)
            else:
                snapshots[record["step"]] = _token_snapshot(record)
        return header, [snapshots[step] for step in sorted(snapshots)]

    def index_tokens(self, known: TokenIndex) -> TokenIndex:
        """Returns `known` with what the token file holds beyond it."""
        path = self.path / "tokens.jsonl"
        if not path.exists() or path.stat().st_size < known.end:
            known = TokenIndex()
        header, places, end = known.header, dict(known.places), known.end
        for line in _lines_from(path, end):
            record = json.loads(line)
            if record["kind"] == "header":
                header = _token_header(record)
            else:
                places[record["step"]] = end
            end += len(line)
        return TokenIndex(header, places, end)

    def read_snapshot(self, index: TokenIndex, step: int) -> TokenSnapshot:
        """Returns the snapshot of one step that `index` lists."""
        return _token_snapshot(json.loads(next(_lines_from(self.path / "tokens.jsonl", index.places[step]))))

    def append_tokens(self, record: TokenHeader | TokenSnapshot) -> None:
        append_line(self.path / "tokens.jsonl", dataclasses.asdict(record))

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))  # type: ignore[no-any-return]
        except (OSError, ValueError) as error:
            raise self._unreadable(name) from error

    def _unreadable(self, name: str) -> RunRefused:
        return RunRefused(f"Run {self.run_id}: {name} cannot be read. The run folder is incomplete; delete the run.")


def claim_run(folder: RunFolder) -> None:
    """Makes the calling process the run's worker; the first thing a worker does.

    Raises:
        RunRefused: If another process that still runs owns the run.
    """
    with folder.claiming():
        owner, own = folder.read_process(), identify_process(os.getpid())
        # the queue records the process that it started, which may be a launcher: the leader of this worker's session
        is_own = owner is not None and owner in (own, identify_process(os.getsid(0)))
        if own is None:
            raise RunRefused(f"Run {folder.run_id}: this process cannot read its own start time. Check that ps works.")
        if owner is not None and not is_own and process_alive(owner):
            raise RunRefused(
                f"Run {folder.run_id} is already being trained by process {owner.pid}. Wait for it to end or stop it; "
                "a run has one worker."
            )
        if not is_own:
            folder.clear_process()
        folder.write_process(own)


def _record(values: dict[str, Any], kind: type[Record]) -> Record:
    return kind(**{k: v for k, v in values.items() if k in kind.__dataclass_fields__})


def _lines_from(path: Path, offset: int) -> Iterator[bytes]:
    """Yields the complete lines from an offset on; nothing if there is no file."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        file.seek(offset)
        yield from (line for line in file if line.endswith(b"\n"))


def _token_header(record: dict[str, Any]) -> TokenHeader:
    return TokenHeader(tuple(_probe_response(r) for r in record["responses"]), record["is_held_out"])


def _token_snapshot(record: dict[str, Any]) -> TokenSnapshot:
    logps, logits, weights = (_nested(record[k]) for k in ("logps", "logits", "weights"))
    return TokenSnapshot(record["step"], logps, logits, weights)


def _probe_response(values: dict[str, Any]) -> ProbeResponse:
    texts = {k: values[k] for k in ("judgement_id", "verdict", "prompt")}
    tokens, logps, logits = (tuple(values[k]) for k in ("tokens", "reference_logps", "reference_logits"))
    return ProbeResponse(**texts, tokens=tokens, reference_logps=logps, reference_logits=logits)


def _nested(rows: list[list[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in rows)
