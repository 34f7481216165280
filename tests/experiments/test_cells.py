"""Cells as runs: each in a worker, finished ones left alone, interrupted ones gone on with, failures told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from safetensors.torch import load_file

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import RunRefused
from bnf_lab.experiments import cells
from bnf_lab.experiments.cells import Progress, run_cells
from bnf_lab.experiments.folder import ExperimentFolder
from bnf_lab.experiments.recipes import Cell
from bnf_lab.runs.checkpoints import list_checkpoints, newest_checkpoint
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.processes import identify_process
from bnf_lab.runs.records import RunState, RunStatus
from tests.support.judged import make_pairs

DATA = "pairs"


PAIRS = make_pairs()


def make_cell(model: Path | str, prepared: Cell | None = None, **changes: object) -> Cell:
    config = RunConfig(
        model=str(model),
        n_steps=2,
        responses_per_step=4,
        n_probe=2,
        lora_rank=4,
        checkpoint_steps=100,
        answer_steps=100,
        answer_prompts="Name number 3.",
        probe_share=0.01,
    )
    config = replace(config, **changes)
    return Cell(DATA, {"method": config.method, "reference": config.reference}, config, prepared)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One data folder for all, because workers get the environment of the first one."""
    path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BNF_LAB_HOME", str(path))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setattr(cells, "POLL_SECONDS", 0.05)
        yield path


@dataclass
class Done:
    """An experiment that has run once: a cell that cannot run, two plain ones and one with a prepared reference."""

    output: ExperimentFolder
    cells: list[Cell]
    progress: list[Progress]
    workers: set[int]

    def folder(self, index: int) -> RunFolder:
        return self.output.cell(self.cells[index])


@pytest.fixture(scope="module")
def done(slow: None, tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    output = ExperimentFolder(tmp_path_factory.mktemp("experiment"))
    tuned = make_cell(tiny_model_path, method="sft", learning_rate=0.05)
    cells = [
        make_cell("/nowhere/at/all"),
        make_cell(tiny_model_path),
        make_cell(tiny_model_path, method="dpo"),
        make_cell(tiny_model_path, tuned, reference="prepared:tuned"),
    ]
    found = Done(output, cells, [], set())

    def on_progress(progress: Progress) -> None:
        found.progress.append(progress)
        if process := output.cell(progress.cell).read_process():
            found.workers.add(process.pid)

    run_cells(cells, {DATA: PAIRS}, output, on_progress)
    return found


def fail_on_progress(progress: Progress) -> None:
    raise AssertionError(f"{progress.cell.name} ran")


def test_each_cell_is_a_whole_run_in_a_worker_of_its_own(done: Done) -> None:
    for index in (1, 2, 3):
        folder = done.folder(index)
        status = folder.read_status()
        assert (status.state, status.step, status.phase) == (RunState.FINISHED, 2, ""), folder.log.read_text()
        assert {p.step for p in folder.read_metrics() if p.source == "probe"} == {0, 2}
        assert {a.step for a in folder.read_answers()} == {0, 2}
        assert (folder.adapter / "adapter_model.safetensors").is_file()
        assert "the first step begins" in folder.log.read_text()
        assert folder.read_process() is None
        assert done.output.is_done(done.cells[index])
    assert os.getpid() not in done.workers
    assert len(done.workers) >= 3


def test_progress_names_the_cell_and_how_many_are_done(done: Done) -> None:
    assert {p.n_cells for p in done.progress} == {4}
    counts = [p.n_done for p in done.progress]
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2, 3}
    assert all(p.cell == done.cells[p.n_done] for p in done.progress if p.n_done < 3)
    assert {p.cell.config.method for p in done.progress if p.n_done == 3} == {"sft", "bnf"}
    assert {p.status.total_steps for p in done.progress} == {2}


def test_a_cell_that_fails_keeps_no_other_from_running(done: Done) -> None:
    results = done.output.read_results(done.cells)
    assert [r.state for r in results] == ["failed", "finished", "finished", "finished"]
    assert "no model in the folder" in results[0].problem
    assert results[0].values.keys() <= {"seconds"}
    assert not done.output.is_done(done.cells[0])
    assert [r.problem for r in results[1:]] == [None, None, None]
    assert all(r.values["collapsed"] == 0.0 and len(r.pair_margins) == 2 for r in results[1:])


def test_finished_cells_are_left_alone(done: Done) -> None:
    paths = [p for i in (1, 2, 3) for p in sorted(done.folder(i).path.rglob("*")) if p.is_file()]
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}
    run_cells(done.cells[1:], {DATA: PAIRS}, done.output, fail_on_progress)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in paths} == before


def test_a_failed_cell_is_tried_again(done: Done) -> None:
    started, seen = done.folder(0).read_status().started_at, []
    run_cells(done.cells, {DATA: PAIRS}, done.output, seen.append)
    assert {p.cell.name for p in seen} == {done.cells[0].name}
    assert done.folder(0).read_status().started_at > started
    assert done.folder(0).read_status().state is RunState.FAILED


def test_a_prepared_run_comes_first_and_is_the_reference(done: Done) -> None:
    cell = done.cells[3]
    tuned = done.output.cell(cell.prepared)
    assert tuned.read_config() == cell.prepared.config
    assert tuned.read_status().state is RunState.FINISHED
    assert tuned.read_status().ended_at <= done.folder(3).read_status().started_at
    assert done.folder(3).read_config() == replace(cell.config, reference=f"run:{tuned.path}")
    plain, other = (load_file(done.folder(i).path / "reference.safetensors") for i in (1, 3))
    assert plain.keys() <= other.keys()  # the probe's are kept too where the base is not the reference
    shifts = [(other[name] - plain[name]).mean().item() for name in plain]
    preferred = [j.is_preferred for name in plain for j in PAIRS if j.id == name]
    raised = [shift for shift, is_preferred in zip(shifts, preferred, strict=True) if is_preferred]
    assert min(map(abs, shifts)) > 0
    assert sum(raised) / len(raised) > 0.01  # it was fine-tuned on them


def test_a_prepared_run_that_fails_is_tried_once_and_its_cells_are_left_out(tmp_path: Path) -> None:
    tuned = make_cell("/nowhere/at/all", method="sft")
    cells = [make_cell("/nowhere/at/all", tuned, reference="prepared:tuned", beta=beta) for beta in (0.1, 0.2)]
    seen: list[Progress] = []
    run_cells(cells, {DATA: PAIRS}, ExperimentFolder(tmp_path), seen.append)
    assert {p.cell.name for p in seen} == {tuned.name}
    assert {p.n_done for p in seen} == {0}
    (failed,) = ExperimentFolder(tmp_path).read_results([tuned, *cells])
    assert (failed.cell.name, failed.state) == (tuned.name, "failed")


def test_half_a_folder_is_made_anew(tiny_model_path: Path, tmp_path: Path) -> None:
    cell, output = make_cell(tiny_model_path), ExperimentFolder(tmp_path)
    folder = output.cell(cell)
    folder.path.mkdir(parents=True)
    (folder.path / "config.json").write_text("{")  # as a crash would leave it, without a status
    assert not output.is_done(cell)
    assert output.read_results([cell]) == []
    run_cells([cell], {DATA: PAIRS}, output, lambda progress: None)
    assert folder.read_config() == cell.config
    assert output.is_done(cell)


def test_cells_that_have_not_begun_are_not_read(done: Done, tiny_model_path: Path) -> None:
    new = make_cell(tiny_model_path, seed=9)
    assert not done.output.is_done(new)
    assert [r.cell for r in done.output.read_results([new, done.cells[1]])] == [done.cells[1]]


def test_cells_of_other_data_do_not_run(done: Done) -> None:
    with pytest.raises(RunRefused, match="holds cells of another version of pairs. Choose another folder"):
        run_cells(done.cells[1:2], {DATA: make_pairs(14)}, done.output, fail_on_progress)
    run_cells(done.cells[1:2], {DATA: make_pairs()}, done.output, fail_on_progress)  # the same, read again


# -- ends that are no finish


def test_a_diverged_cell_counts_as_done(tmp_path: Path) -> None:
    cell = make_cell("/nowhere/at/all")
    output = ExperimentFolder(tmp_path)
    folder = RunFolder.create(output.cell(cell).path, cell.config, PAIRS)
    status = RunStatus(RunState.STOPPED, step=1, total_steps=2, is_diverged=True, notice="The loss became nan.")
    folder.write_status(status)
    run_cells([cell], {DATA: PAIRS}, output, fail_on_progress)
    assert folder.read_status() == status
    (result,) = output.read_results([cell])
    assert (result.values["collapsed"], result.problem) == (1.0, "The loss became nan.")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["while it waits", "while it tells"])
def test_an_interruption_saves_a_checkpoint_from_which_the_cell_goes_on(
    tiny_model_path: Path, tmp_path: Path, how: str, request: pytest.FixtureRequest
) -> None:
    # a process started in a shell's background ignores Ctrl-C from the start
    request.addfinalizer(partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    cell = make_cell(tiny_model_path, n_steps=20_000)
    output = ExperimentFolder(tmp_path)
    folder, timers = output.cell(cell), []

    def interrupt(progress: Progress) -> None:
        if progress.status.step >= 1 and how == "while it tells":
            raise KeyboardInterrupt
        if progress.status.step >= 1 and not timers:
            timers.append(threading.Timer(0.02, lambda: os.kill(os.getpid(), signal.SIGINT)))
            timers[0].start()

    with pytest.raises(KeyboardInterrupt):
        run_cells([cell], {DATA: PAIRS}, output, interrupt)
    status = folder.read_status()
    assert (status.state, status.total_steps) == (RunState.STOPPED, 20_000)
    assert 1 <= status.step < 20_000
    assert [step for step, _ in list_checkpoints(folder.path)] == [status.step]
    assert newest_checkpoint(folder.path) is not None
    assert folder.read_process() is None
    assert not folder.is_stop_requested
    assert not output.is_done(cell)
    (result,) = output.read_results([cell])
    assert (result.state, "collapsed" in result.values) == ("stopped", False)

    losses = {p.step: p.loss for p in folder.read_metrics() if p.source == "train"}
    total = status.step + 2
    (folder.path / "config.json").write_text(json.dumps(folder.read_config().to_dict() | {"n_steps": total}))
    seen: list[Progress] = []
    run_cells([cell], {DATA: PAIRS}, output, seen.append)
    assert seen
    assert folder.read_status().state is RunState.FINISHED
    points = {p.step: p.loss for p in folder.read_metrics() if p.source == "train"}
    assert sorted(points) == list(range(1, total + 1))
    assert {step: points[step] for step in losses} == losses  # gone on with, not begun again
    assert "the first step begins" in folder.log.read_text()


def test_a_cell_that_another_process_runs_is_refused(tiny_model_path: Path, tmp_path: Path) -> None:
    cell = make_cell(tiny_model_path)
    output = ExperimentFolder(tmp_path)
    folder = RunFolder.create(output.cell(cell).path, cell.config, PAIRS)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True) as other:
        owner = identify_process(other.pid)
        folder.write_process(owner)
        folder.write_status(RunStatus(RunState.TRAINING, total_steps=2))
        with pytest.raises(RunRefused, match="is being run by another process. Wait for it to end"):
            run_cells([cell], {DATA: PAIRS}, output, lambda progress: None)
        assert folder.read_process() == owner
        assert folder.read_status().state is RunState.TRAINING
        other.communicate("\n")
    run_cells([cell], {DATA: PAIRS}, output, lambda progress: None)
    assert folder.read_status().state is RunState.FINISHED
