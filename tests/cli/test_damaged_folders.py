"""Damaged run folders in the shell: one line that names file and line, no traceback, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.sealed_folders import seal_checkpoint
from bnf_lab.experiments.folder import ExperimentFolder
from bnf_lab.experiments.recipes import Cell
from bnf_lab.runs.checkpoints import describe_fallback, newest_checkpoint
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import MetricPoint, RunState, RunStatus
from bnf_lab.training.worker import Report
from tests.support.judged import make_pairs
from tests.support.shells import Shell, open_shell


@pytest.fixture
def shell(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with open_shell(tmp_path / "home", capfd) as run:
        yield run


@pytest.fixture
def folder(tiny_model_path: Path, tmp_path: Path) -> RunFolder:
    config = RunConfig(model=str(tiny_model_path), n_steps=4, n_probe=2)
    folder = RunFolder.create(tmp_path / "run", config, make_pairs())
    folder.write_status(RunStatus(RunState.STOPPED, step=2, total_steps=4))
    save_adapter(folder, "adapter")
    return folder


def save_adapter(folder: RunFolder, name: str) -> Path:
    staging = folder.path / "tmp-1"
    staging.mkdir()
    (staging / "adapter_model.safetensors").write_bytes(b"weights")
    (staging / "adapter_config.json").write_text("{}")
    seal_checkpoint(staging, folder.path / name)
    return folder.path / name


def resume(folder: RunFolder) -> tuple[object, ...]:
    return "train", "--resume", "--output", folder.path


def export(folder: RunFolder) -> tuple[object, ...]:
    return "export", "--run", folder.path, "--output", folder.path.parent / "a.zip"


def held_out(folder: RunFolder) -> tuple[object, ...]:
    return "score", "--held-out", "--adapter", folder.path


DAMAGES = {"NUL": b"\0\0\0", "a list": b"[1]", "deep": b"[" * 50_000, "wrong types": b'{"version": [], "state": 7}'}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("name", "verb"),
    [("config.json", resume), ("config.json", export), ("config.json", held_out), ("status.json", resume)],
)
def test_a_damaged_object_is_one_line(
    shell: Shell, folder: RunFolder, name: str, verb: Callable[[RunFolder], tuple[object, ...]], damage: str
) -> None:
    (folder.path / name).write_bytes(DAMAGES[damage])
    assert f"Run run: {name} cannot be read (" in shell(*verb(folder)).refusal


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_judgements_are_one_line_and_never_fewer(shell: Shell, folder: RunFolder, damage: str) -> None:
    with open(folder.path / "dataset.jsonl", "ab") as file:
        file.write(DAMAGES[damage] + b"\n")
    refusal = shell(*held_out(folder)).refusal
    assert "Run run: dataset.jsonl line 31 cannot be read (" in refusal
    assert shell("train", "--resume", "--json", "--output", folder.path).code == 1
    status = folder.read_status()
    assert status.state is RunState.FAILED
    assert "dataset.jsonl line 31" in status.failure


def test_judgements_that_break_off_or_are_missing_are_refused(folder: RunFolder) -> None:
    path = folder.path / "dataset.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.raises(RunRefused, match=r"dataset\.jsonl line 30 cannot be read \(it breaks off\)"):
        folder.read_judgements()
    path.unlink()
    with pytest.raises(RunRefused, match=r"dataset\.jsonl cannot be read \(it is missing\)"):
        folder.read_judgements()


def test_a_damaged_metric_costs_the_end_of_a_run_nothing_and_is_said(
    folder: RunFolder, tmp_path: Path, shell: Shell
) -> None:
    folder.write_status(RunStatus(RunState.FINISHED, step=4, total_steps=4))
    folder.append_metric(MetricPoint(0, 0.0, "probe", accuracy=0.5))
    with open(folder.path / "metrics.jsonl", "ab") as file:
        file.write(b"\0\n")
    answer = shell("train", "--resume", "--json", "--output", folder.path)
    assert answer.code == 0
    assert answer.record["warnings"] == ["metrics.jsonl line 2 cannot be read (it is no JSON) and is left out."]


def test_a_damaged_cell_fails_alone(folder: RunFolder, tmp_path: Path) -> None:
    experiment = ExperimentFolder(tmp_path / "experiment")
    cells = [Cell("pairs", {"method": m}, RunConfig(method=m, n_steps=1)) for m in ("bnf", "dpo", "sft")]
    for cell in cells:
        run = RunFolder.create(experiment.cell(cell).path, cell.config, make_pairs())
        run.write_status(RunStatus(RunState.FINISHED, step=1))
        run.append_metric(MetricPoint(0, 0.0, "probe", accuracy=0.5))
    (experiment.cell(cells[0]).path / "status.json").write_text("[]")
    with open(experiment.cell(cells[1]).path / "metrics.jsonl", "ab") as file:
        file.write(b"[]\n")
    results = experiment.read_results(cells)
    assert [result.state for result in results] == ["failed", "failed", "finished"]
    assert "status.json cannot be read (it is no JSON object)" in results[0].problem
    assert "metrics.jsonl line 2" in results[1].problem
    assert not experiment.is_done(cells[0])
    assert "status.json" in experiment.find_damage(cells[0])
    assert experiment.find_damage(cells[2]) is None


# --- an earlier checkpoint


@pytest.mark.parametrize("has_earlier", [True, False])
def test_a_fallback_to_an_earlier_checkpoint_is_said_in_status_and_result(
    shell: Shell, folder: RunFolder, has_earlier: bool
) -> None:
    assert describe_fallback(folder.path, newest_checkpoint(folder.path)) == ""
    if has_earlier:
        save_adapter(folder, "checkpoint-15")
        assert describe_fallback(folder.path, newest_checkpoint(folder.path)) == ""
    (save_adapter(folder, "checkpoint-30") / "adapter_model.safetensors").write_bytes(b"weightz")
    said = describe_fallback(folder.path, newest_checkpoint(folder.path))
    start = "from step 15" if has_earlier else "from the beginning"
    assert said == (f"checkpoint-30 is damaged and not used: the run went on {start} and trained what followed again.")
    report = Report(folder)
    report.on_notice(said)
    report.on_notice("The loss became nan.")
    assert folder.read_status().notice == f"{said} The loss became nan."
    report.set(state=RunState.FINISHED)
    assert shell("train", "--resume", "--json", "--output", folder.path).record["notice"].startswith("checkpoint-30")
