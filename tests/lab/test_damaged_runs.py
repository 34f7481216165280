"""One damaged run folder among others: it says what is wrong and can be deleted, and nobody else notices.

Each file of a run folder meets each damage. What the pages receive is drawn as their events draw it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import LabError
from bnf_lab.core.judgements import Message, Source, build_pair, now
from bnf_lab.core.sealed_folders import seal_checkpoint
from bnf_lab.lab.lab import Lab
from bnf_lab.plots.run_figures import read_marks
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import (
    AnswerPoint,
    MetricPoint,
    ProbeResponse,
    RunState,
    RunStatus,
    TokenHeader,
    TokenSnapshot,
)
from bnf_lab.ui.runs import tab as runs_tab
from bnf_lab.ui.runs.columns import ListView
from bnf_lab.ui.watch import tab as watch_tab
from bnf_lab.ui.watch.inspector import Look
from bnf_lab.ui.watch.tab import Shown
from tests.support.pages import build_page, handlers, idle_lab

DEEP = b"[" * 100_000 + b"]" * 100_000
LINES: dict[str, bytes] = {
    "no JSON": b"garbage",
    "NUL": b"\0" * 40,
    "a list": b"[1, 2]",
    "a number": b"7",
    "null": b"null",
    "an empty object": b"{}",
    "deep": b'{"step": ' + DEEP + b"}",
    "rather deep": b'{"step": ' + b"[" * 90 + b"]" * 90 + b"}",
    "no UTF-8": b'{"step": "\xff\xfe"}',
    "half a character": b'{"step": 1, "seconds": 0, "source": "probe", "prompt": "\\ud800", "answer": "\\udfff"}',
    "not a number": b'{"step": 1, "seconds": NaN, "source": "probe"}',
    "an endless number": b'{"step": 1, "seconds": 1e999, "source": "probe"}',
    "a huge whole number": b'{"step": ' + b"9" * 400 + b', "seconds": 0, "source": "probe"}',
    "a number of 9,000 digits": b'{"step": ' + b"9" * 9000 + b"}",
    "a wrong type": b'{"step": "one", "seconds": [], "source": 3, "kind": {}, "prompt": 1, "answer": null}',
    "a blank line": b"",
    "30 MB": b'{"step": "' + b"x" * 30_000_000 + b'"}',
    "30 MB of lists": b"[" + b"[]," * 10_000_000 + b"[]]",
}
NUMBERS = itertools.count()
RECORDS = ("metrics.jsonl", "answers.jsonl", "tokens.jsonl", "dataset.jsonl")
OBJECTS = ("config.json", "status.json", "process.json")


def _pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    (path / "inner").mkdir(parents=True)


SHAPES: dict[str, Callable[[Path], None]] = {
    "missing": lambda path: path.unlink(missing_ok=True),
    "empty": lambda path: path.write_bytes(b""),
    "a folder": _folder,
    "a pipe": _pipe,
    "a loop": lambda path: _link(path, path.name),
    "a dangling link": lambda path: _link(path, "nowhere"),
    "a link to a device": lambda path: _link(path, "/dev/zero"),
}


def make_run(lab: Lab, owner: str, run_id: str, state: RunState = RunState.FINISHED) -> RunFolder:
    pair = build_pair((Message("user", "Hi?"),), "Yes.", "No.", source=Source.MARKED)
    folder = RunFolder.create(lab.home / "runs" / run_id, RunConfig(), pair, owner=owner)
    folder.write_status(RunStatus(state, step=2, total_steps=4, owner=owner, started_at=1.0, ended_at=9.0))
    responses = tuple(ProbeResponse(j.id, str(j.verdict), "Hi?", ("a", "b"), (-1.0, -2.0), (3.0, 4.0)) for j in pair)
    folder.append_tokens(TokenHeader(responses))
    for step in (0, 2):
        rows = ((-1.0 - step, -2.0), (-1.5, -2.5))
        folder.append_metric(MetricPoint(step, 1.0, "probe", preferred_logp=-1.0, accuracy=0.5, margin=0.1))
        folder.append_tokens(TokenSnapshot(step, rows, rows, ((1.0, 0.5), (0.2, 0.3))))
        folder.append_answer(AnswerPoint(step, "Hi?", "Yes.", 2))
    for name in ("checkpoint-2", "adapter"):
        staging = folder.path / "tmp-1"
        staging.mkdir()
        (staging / "adapter_model.safetensors").write_text("weights")
        (staging / "adapter_config.json").write_text("{}")
        seal_checkpoint(staging, folder.path / name)
    lab.runs.register.add(owner, run_id, run_id, now())
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A lab whose queue only ticks when asked, its two tabs, a person, and the neighbour's run."""
    with idle_lab(tmp_path_factory.mktemp("home") / "lab") as lab:
        runs, watch = build_page(lab, runs_tab.build), build_page(lab, watch_tab.build)
        token = lab.new_workspace()
        owner = lab.owner_of(token)
        make_run(lab, owner, "good")
        (delete,) = handlers(runs.app, "delete")
        yield SimpleNamespace(lab=lab, token=token, owner=owner, runs=runs.tab, watch=watch.tab.handlers, delete=delete)


def sent(values: Any) -> str:
    """Returns as one text what a page is sent, which must be sendable."""
    found = []
    for value in values:
        if isinstance(value, str):
            found.append(str(value))
        elif hasattr(value, "value") and isinstance(value.value, str):
            found.append(value.value)
    orjson.dumps(found)
    return "\n".join(found)


def watch_page(world: SimpleNamespace, run_id: str) -> str:
    asked = world.watch.redraw(world.token, run_id)
    drawn = world.watch.draw(world.token, asked[world.watch.parts.asked], Shown(), Look())
    assert asked[world.watch.parts.asked][0] == drawn[world.watch.parts.shown].run_id == run_id
    return sent(drawn.values())


def look_around(world: SimpleNamespace, bad: RunFolder) -> SimpleNamespace:
    """Looks at everything that lists runs, and at each run; returns what is said of the damaged one."""
    lab, owner = world.lab, world.owner
    lab.runs.queue.tick()
    lab.runs.active_status()
    runs = {run.run_id: run for run in lab.runs.summaries(owner)}
    assert set(runs) == {"good", bad.run_id}
    good = runs["good"]
    assert (good.status.state, good.accuracy, good.is_damaged, good.verdict.gaps) == (RunState.FINISHED, 0.5, False, ())
    assert {a.checkpoint for a in lab.runs.adapters(owner) if a.run_id == "good"} >= {"final", "checkpoint-2"}
    assert "run:good" in {choice.value for choice in lab.runs.references(owner)}
    assert lab.runs.export_adapter(owner, "good").exists()
    with contextlib.suppress(LabError):
        lab.runs.export_adapter(owner, bad.run_id)
    lab.runs.queue.position("good")
    listed = sent(world.runs.redraw.handler(world.token, bad.run_id))
    sent(world.runs.redraw.handler(world.token, "good"))
    assert "damaged" not in watch_page(world, "good")
    return SimpleNamespace(run=runs[bad.run_id], listed=listed, watch=watch_page(world, bad.run_id))


def delete(world: SimpleNamespace, bad: RunFolder) -> None:
    world.delete(world.token, bad.run_id, ListView(), "")
    assert not os.path.lexists(bad.path)
    assert [run.run_id for run in world.lab.runs.summaries(world.owner)] == ["good"]
    assert RunFolder(world.lab.home / "runs" / "good").read_judgements()


@pytest.fixture
def bad(world: SimpleNamespace) -> Iterator[RunFolder]:
    """The run that is damaged; it is deleted on the page in the end, whatever became of it."""
    folder = make_run(world.lab, world.owner, f"bad{next(NUMBERS)}")
    yield folder
    delete(world, folder)


@pytest.mark.parametrize("damage", LINES)
@pytest.mark.parametrize("name", RECORDS)
def test_a_damaged_line_is_said_and_costs_nobody_else(
    world: SimpleNamespace, bad: RunFolder, name: str, damage: str
) -> None:
    with open(bad.path / name, "ab") as file:
        file.write(LINES[damage] + b"\n")
    found = look_around(world, bad)
    assert not found.run.is_damaged
    assert found.run.accuracy == 0.5
    if name == "dataset.jsonl":  # not a page's matter; who trains or scores by it is refused
        with pytest.raises(LabError, match=r"dataset\.jsonl line 3 cannot be read \(.*put the file back"):
            bad.read_judgements()
        return
    n_lines = (bad.path / name).read_bytes().count(b"\n")
    assert f"{name} line {n_lines} cannot be read" in found.watch
    assert "left out" in found.watch
    if name != "tokens.jsonl":
        assert f"{name} line {n_lines}" in found.listed
        assert "records damaged" in found.listed
    read = {"metrics.jsonl": bad.read_metrics, "answers.jsonl": bad.read_answers, "tokens.jsonl": bad.read_tokens}
    with pytest.raises(LabError, match=rf"Run {bad.run_id}: {name} line {n_lines} cannot be read"):
        read[name]()


@pytest.mark.parametrize("damage", LINES)
@pytest.mark.parametrize("name", OBJECTS)
def test_a_damaged_object_is_said_and_costs_nobody_else(
    world: SimpleNamespace, bad: RunFolder, name: str, damage: str
) -> None:
    (bad.path / name).write_bytes(LINES[damage])
    found = look_around(world, bad)
    if name == "process.json":  # as good as none: no process can be meant by it
        assert not found.run.is_damaged
        return
    said = (found.listed, found.watch)
    if name == "status.json" or damage not in (
        "a wrong type",
        "an empty object",
        "an endless number",
        "a huge whole number",
    ):
        assert found.run.is_damaged
        assert all(f"{name} cannot be read (" in text for text in said)
    else:  # an object, but with settings that are none
        assert damage == "an empty object" or all("no setting of this lab" in text for text in said)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", (*RECORDS, *OBJECTS, "stop", "worker.log", ".process.lock", "checkpoint-9", "adapter"))
def test_a_file_of_another_kind_is_no_trap(world: SimpleNamespace, bad: RunFolder, name: str, shape: str) -> None:
    path = bad.path / name
    if path.is_dir():
        shutil.rmtree(path)
    SHAPES[shape](path)
    found = look_around(world, bad)
    if name in ("config.json", "status.json"):
        assert found.run.is_damaged
        assert f"{name} cannot be read (" in found.listed
        assert f"{name} cannot be read (" in found.watch
    elif name in ("metrics.jsonl", "answers.jsonl", "tokens.jsonl"):
        is_read = shape in ("missing", "empty", "a dangling link")  # as before the first line
        assert (f"{name} cannot be read (" in found.watch) is not is_read


WRONG = ("null", "true", '"x"', "[]", "{}", "-1", "1.5", "1e999", "NaN", "1e300", "9" * 30, '"\\ud800"', '"<script>"')


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTS)
def test_every_field_of_every_object_takes_every_value(world: SimpleNamespace, bad: RunFolder, name: str) -> None:
    path, marks = bad.path / name, dataclasses.replace(read_marks(bad), status=None)
    values = {"pid": 2, "started": "0"} if name == "process.json" else json.loads(path.read_text())
    for field, wrong in itertools.product(values, WRONG):
        path.write_text(json.dumps({**values, field: "HERE"}).replace('"HERE"', wrong))
        world.lab.runs.queue.tick()
        world.lab.runs.adapters(world.owner)
        # all but the status is shown already, since only that can have changed
        drawn = world.watch.draw(world.token, (bad.run_id, 0.0), Shown(bad.run_id, marks), Look())
        assert "<script>" not in sent(drawn.values()) + sent(world.runs.redraw.handler(world.token, bad.run_id))


@pytest.mark.parametrize("name", ["metrics.jsonl", "answers.jsonl", "tokens.jsonl", "dataset.jsonl"])
def test_every_field_of_every_record_takes_every_value(world: SimpleNamespace, bad: RunFolder, name: str) -> None:
    """Each wrong value in a line of its own, so that those which are taken for good are drawn, too."""
    path = bad.path / name
    lines = path.read_text().splitlines()
    records = [json.loads(lines[0]), json.loads(lines[-1])]
    if name == "metrics.jsonl":
        records = [{f.name: records[0].get(f.name, 0.5) for f in dataclasses.fields(MetricPoint)}]
    steps = itertools.count(10)
    for record, wrong in itertools.product(records, (*WRONG, "[[1, 2], [3]]", '[{"role": 1}]', "[[]]", "[100.0, 9e9]")):
        for field in record:
            step = {"step": next(steps)} if "step" in record else {}
            lines.append(json.dumps({**record, **step, field: "HERE"}).replace('"HERE"', wrong))
    path.write_text("\n".join(lines) + "\n")
    found = look_around(world, bad)
    assert not found.run.is_damaged
    assert "<script>" not in found.listed + found.watch
    if name != "dataset.jsonl":
        assert f"{name}: " in found.watch
        assert "lines cannot be read and are left out; the first is line" in found.watch


def _is_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("not a folder", encoding="utf-8")


def _is_link(path: Path) -> None:
    shutil.move(path, path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def _is_dangling(path: Path) -> None:
    shutil.rmtree(path)
    path.symlink_to("nowhere")


def _is_empty(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


@pytest.mark.parametrize("change", [shutil.rmtree, _is_file, _is_dangling, _is_empty])
def test_a_folder_that_is_none_is_said_and_deleted(
    world: SimpleNamespace, bad: RunFolder, change: Callable[[Path], None]
) -> None:
    change(bad.path)
    found = look_around(world, bad)
    assert found.run.is_damaged
    assert "config.json cannot be read (" in found.listed
    assert "status.json cannot be read (" in found.watch


def test_a_folder_elsewhere_is_a_run_and_only_its_link_is_deleted(world: SimpleNamespace) -> None:
    bad = make_run(world.lab, world.owner, f"bad{next(NUMBERS)}")
    _is_link(bad.path)
    assert not look_around(world, bad).run.is_damaged
    delete(world, bad)
    assert RunFolder(world.lab.home / "elsewhere").read_config() == RunConfig()
    shutil.rmtree(world.lab.home / "elsewhere")


def test_a_folder_that_vanishes_while_it_is_read_is_none(
    world: SimpleNamespace, bad: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = RunFolder.read_saved

    def read_and_vanish(self: RunFolder) -> Any:
        found = honest(self)
        if self.run_id == bad.run_id:
            shutil.rmtree(self.path, ignore_errors=True)
        return found

    monkeypatch.setattr(RunFolder, "read_saved", read_and_vanish)
    assert look_around(world, bad).run.is_damaged


def test_what_nobody_foresaw_in_one_folder_stays_there(
    world: SimpleNamespace, bad: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = RunFolder.index_answers

    def fail(self: RunFolder) -> Any:
        return 1 / 0 if self.run_id == bad.run_id else honest(self)

    monkeypatch.setattr(RunFolder, "index_answers", fail)
    found = look_around(world, bad)
    assert "cannot be read (ZeroDivisionError)" in found.listed
    assert "ZeroDivisionError" in found.watch


def test_a_run_that_the_system_keeps_is_not_forgotten(
    world: SimpleNamespace, bad: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda path: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        with pytest.raises(LabError, match=r"could be deleted \(Permission denied\).*delete the run again"):
            world.lab.runs.delete(world.owner, bad.run_id)
    assert look_around(world, bad).run.is_damaged
