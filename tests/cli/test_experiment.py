"""`python -m bnf_lab experiment`: a whole tiny experiment, its forecast, its report, and what it refuses to start."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.experiments.recipes import Cell
from bnf_lab.runs.folder import RunFolder
from tests.support.shells import Shell, open_shell, pairs_file

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """
title: Own
question: Does it run?
data: demo:short_answers
seeds: 3
settings: {responses_per_step: 4, max_tokens: 200, n_probe: 2, lora_rank: 4, answer_steps: 100, probe_share: 0.01}
arms:
  - method: [bnf, dpo]
    learning_rate: 1e-3
compare: method
along: learning_rate
claims:
  - {text: BNF is right, where: {method: bnf}, measure: accuracy, at_least: 0}
  - {text: BNF is far ahead, where: {method: bnf}, measure: accuracy, above: {method: dpo}, margin: 2}
"""


@pytest.fixture
def shell(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with open_shell(tmp_path / "home", capfd, "experiment") as run:
        yield run


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "own.yaml").write_text(RECIPE)
    return tmp_path / "own.yaml"


@dataclass
class Ran:
    """A finished experiment, made in a process of its own, and the command that made it."""

    line: list[str]
    output: Path
    answer: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def ran(slow: None, tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("ran")
    (folder / "own.yaml").write_text(RECIPE)
    (folder / "home").mkdir()
    line = [
        str(folder / "own.yaml"),
        "--data",
        str(pairs_file(folder / "pairs.jsonl", 12)),
        "--seeds",
        "1",
        "--output",
        str(folder / "out"),
        "--set",
        f"model={tiny_model_path}",
        "--set",
        "n_steps=2",
    ]
    answer = subprocess.run(
        [sys.executable, "-m", "bnf_lab", "experiment", *line, "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"BNF_LAB_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"},
    )
    return Ran(line, folder / "out", answer)


# -- a whole experiment


def test_an_experiment_ends_with_code_0_and_one_json_document(ran: Ran) -> None:
    assert ran.answer.returncode == 0, ran.answer.stderr
    record = json.loads(ran.answer.stdout)
    assert (record["n_cells"], record["n_done"], record["n_failed"]) == (2, 2, 0)
    assert record["output"] == str(ran.output)
    assert record["report"] == str(ran.output / "report.html")
    assert [(c["text"], c["outcome"]) for c in record["claims"]] == [
        ("BNF is right", "one run only"),
        ("BNF is far ahead", "one run only"),
    ]
    assert all(c["detail"] for c in record["claims"])
    assert "cell 1 of 2: " in ran.answer.stderr
    assert "cell 2 of 2: " in ran.answer.stderr
    assert "method dpo" in ran.answer.stderr
    assert "Traceback" not in ran.answer.stderr


def test_the_report_and_the_table_hold_every_cell(ran: Ran) -> None:
    page = (ran.output / "report.html").read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    for words in ("Does it run?", "BNF is right", "BNF is far ahead", "one run only"):
        assert words in page
    with open(ran.output / "cells.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert {value for row in rows for value in row.values()} >= {"bnf", "dpo", "finished"}
    names = {path.name for path in (ran.output / "cells").iterdir()}
    assert len(names) == 2
    assert all(name.startswith("pairs-") for name in names)
    for name in names:
        config = RunFolder(ran.output / "cells" / name).read_config()
        assert (config.n_steps, config.seed, config.lora_rank) == (2, 0, 4)  # --set, --seeds and the recipe's own


def test_the_same_command_again_runs_nothing_and_repeats_the_result(ran: Ran, shell: Shell) -> None:
    before = {path: path.stat().st_mtime_ns for path in (ran.output / "cells").rglob("*")}
    answer = shell(*ran.line)
    assert answer.code == 0
    assert answer.err == ""
    assert "2 of 2 cells are done, 0 failed." in answer.out
    assert "one run only: BNF is right - " in answer.out
    assert "one run only: BNF is far ahead - " in answer.out
    assert answer.out.splitlines()[-1] == f"Report: {ran.output / 'report.html'}"
    assert shell(*ran.line, "--json").record == json.loads(ran.answer.stdout)
    assert {path: path.stat().st_mtime_ns for path in (ran.output / "cells").rglob("*")} == before


def test_a_dry_run_of_what_is_done_has_nothing_left(ran: Ran, shell: Shell) -> None:
    assert shell(*ran.line, "--dry-run").out == "2 cells, 2 of them done\n"
    more = [*ran.line[:4], "2", *ran.line[5:]]
    record = shell(*more, "--dry-run", "--json").record
    assert (record["n_cells"], record["n_done"]) == (4, 2)
    assert record["seconds"] > 0


def test_other_data_in_the_same_folder_is_refused(ran: Ran, shell: Shell) -> None:
    path = Path(ran.line[2])
    kept = path.read_text(encoding="utf-8")
    try:
        pairs_file(path, 11)
        answer = shell(*ran.line)
    finally:
        path.write_text(kept, encoding="utf-8")
    assert answer.code == 2
    assert "The folder out holds cells of another version of " in answer.err


@pytest.mark.slow
def test_a_cell_that_fails_is_code_1_and_named(shell: Shell, recipe: Path, tmp_path: Path) -> None:
    line = (recipe, "--data", pairs_file(tmp_path / "p.jsonl", 12), "--seeds", 1, "--set", "model=/nowhere/at/all")
    answer = shell(*line, "--json")
    assert answer.code == 1
    assert (answer.record["n_done"], answer.record["n_failed"]) == (0, 2)
    assert [c["outcome"] for c in answer.record["claims"]] == ["not measured", "not measured"]
    complaints = [text for text in answer.err.splitlines() if text.startswith("p-")]
    assert len(complaints) == 2
    assert all("no model in the folder" in text for text in complaints)
    (folder,) = (tmp_path / "home" / "experiments").iterdir()  # where --output is not given
    assert answer.record["output"] == str(folder)
    assert folder.name.startswith("own-")  # not the unchanged recipe's own
    assert (folder / "report.html").is_file()


@pytest.mark.slow
def test_ctrl_c_leaves_a_report_and_a_cell_to_go_on_with(tiny_model_path: Path, tmp_path: Path, recipe: Path) -> None:
    line = [
        sys.executable,
        "-m",
        "bnf_lab",
        "experiment",
        str(recipe),
        "--data",
        str(pairs_file(tmp_path / "p.jsonl", 12)),
        "--seeds",
        "1",
        "--output",
        str(tmp_path / "out"),
        "--set",
        f"model={tiny_model_path}",
        "--set",
        "n_steps=20000",
        "--set",
        "checkpoint_steps=50000",
    ]
    environment = os.environ | {"BNF_LAB_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    seen: list[str] = []
    with subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
        # a process started in a shell's background ignores Ctrl-C from the start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        for text in process.stderr:
            seen.append(text)
            if " of 20000" in text and "step 0 of" not in text:
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, ""), seen
    assert "Interrupted; the same command goes on from here." in err
    assert "Traceback" not in err
    assert (tmp_path / "out" / "report.html").is_file()
    (cell,) = (tmp_path / "out" / "cells").iterdir()
    status = RunFolder(cell).read_status()
    assert (status.state, (cell / f"checkpoint-{status.step}").is_dir()) == ("stopped", True)


# -- the forecast


def test_a_dry_run_counts_measures_one_step_and_starts_nothing(
    shell: Shell, recipe: Path, tiny_model_path: Path, tmp_path: Path
) -> None:
    line = (
        recipe,
        "--data",
        pairs_file(tmp_path / "p.jsonl", 12),
        "--seeds",
        2,
        "--set",
        f"model={tiny_model_path}",
        "--output",
        tmp_path / "out",
        "--dry-run",
    )
    first = shell(*line)
    assert first.code == 0
    assert first.out.splitlines()[0] == "4 cells, 0 of them done"
    assert first.out.splitlines()[1].startswith("time: about ")
    assert first.out.splitlines()[1].endswith(" for the 4 left")
    assert first.err.splitlines().count("measuring a step") == 1
    assert (tmp_path / "home" / "speeds.json").is_file()
    second = shell(*line, "--json")
    assert "measuring a step" not in second.err
    assert second.record["n_cells"] == 4
    assert second.record["seconds"] > 0
    short = shell(*line, "--set", "n_steps=3", "--json")
    assert short.record["seconds"] < second.record["seconds"]
    assert not (tmp_path / "out").exists()


def test_a_dry_run_without_the_model_counts_alone(shell: Shell, recipe: Path) -> None:
    answer = shell(recipe, "--dry-run", "--set", "model=owner/name")
    assert (answer.code, answer.out) == (0, "6 cells, 0 of them done\ntime: known after `fetch-model`\n")
    assert shell(recipe, "--dry-run", "--json", "--set", "model=owner/name").record["seconds"] is None


def test_a_dry_run_counts_several_data_sets(shell: Shell, recipe: Path, tmp_path: Path) -> None:
    data = ("--data", pairs_file(tmp_path / "p.jsonl", 12), "--data", "demo:small_code")
    assert shell(recipe, *data, "--dry-run", "--json").record["n_cells"] == 12


# -- refusals


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nothing", "There is no recipe 'nothing'. There are: domains, hybrid"),
        ("../recipes/stability", "There is no recipe"),
        ("{recipe} --seeds 0", "--seeds"),
        ("{recipe} --set n_steps", "--set is 'n_steps'; NAME=VALUE is needed"),
        ("{recipe} --set n_steps=", "NAME=VALUE is needed"),
        ("{recipe} --set n_step=3", "--set is 'n_step=3'; NAME=VALUE is needed, where NAME is a setting of `train`"),
        ("{recipe} --set method=kto", "--set method: the recipe varies it"),
        ("{recipe} --set learning_rate=1", "--set learning_rate: the recipe varies it"),
        ("{recipe} --set seed=3", "--set seed: the recipe varies it"),
        ("{recipe} --set n_steps=0", "n_steps is 0; it must be from 1"),
        ("{recipe} --set n_steps=few", "n_steps is 'few'; it must be a whole number"),
        ("{recipe} --set reference=prepared:tuned", "'prepared:tuned' is not among its `prepare`"),
        ("{recipe} --data missing.jsonl", "missing.jsonl: there is no such file"),
        ("{recipe} --data demo:nothing", "There is no demo set 'nothing'"),
        ("{recipe} --unknown", "--unknown"),
        ("{odd}", "recipe odd.yaml: a claim is about 'happiness'. Measures are: accuracy, margin"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_cannot_run_is_one_line_and_code_2(
    shell: Shell, recipe: Path, tmp_path: Path, line: str, words: str, as_json: bool
) -> None:
    odd = tmp_path / "odd.yaml"
    odd.write_text(RECIPE.replace("measure: accuracy, at_least: 0", "measure: happiness, at_least: 0"))
    arguments = [part.format(recipe=recipe, odd=odd) for part in line.split()]
    answer = shell(*arguments, "--output", tmp_path / "out", *(["--json"] if as_json else []))
    assert answer.code == 2
    assert answer.err.count("\n") == 1, answer.err
    assert words in answer.err
    if as_json:
        assert words in answer.record["error"]
    else:
        assert answer.out == ""
    assert not (tmp_path / "out").exists()


def unpaired_file(path: Path, n_both: int, n: int) -> Path:
    rows = [{"prompt": f"Question {i}?", "completion": f"Answer {i}.", "label": i % 2 == 0} for i in range(n)]
    rows += [{"prompt": f"Question {i}?", "completion": f"Other {i}.", "label": i % 2 == 1} for i in range(n_both)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("n_probe", [2, 12])
def test_unpaired_data_with_a_pairwise_method_is_refused_with_the_count(
    shell: Shell, recipe: Path, tmp_path: Path, n_probe: int
) -> None:
    data = unpaired_file(tmp_path / "labels.jsonl", 12, 60)
    answer = shell(recipe, "--data", data, "--output", tmp_path / "out", "--set", f"n_probe={n_probe}")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert answer.err.startswith(f"{data}: DPO needs pairs: 12 of 60 prompts have both verdicts, but none as a pair.")
    assert "choose BNF, which needs no pairs" in answer.err
    assert not (tmp_path / "out").exists()


def test_unpaired_data_is_fine_for_methods_that_need_no_pairs(shell: Shell, recipe: Path, tmp_path: Path) -> None:
    data = unpaired_file(tmp_path / "labels.jsonl", 12, 60)
    recipe.write_text(RECIPE.replace("[bnf, dpo]", "[bnf, kto, sft, hybrid]").split("claims:")[0], encoding="utf-8")
    answer = shell(recipe, "--data", data, "--dry-run", "--json")
    assert answer.code == 2  # the hybrid compares pairs, and there are none
    assert "BNF + contrastive needs pairs: 12 of 60" in answer.err
    recipe.write_text(recipe.read_text(encoding="utf-8").replace(", hybrid]", "]"), encoding="utf-8")
    assert shell(recipe, "--data", data, "--dry-run", "--json").record["n_cells"] == 9


@pytest.mark.parametrize("dry_run", [["--dry-run"], []])
def test_a_reference_that_does_not_fit_is_refused_before_the_start(
    shell: Shell, recipe: Path, tiny_model_path: Path, tmp_path: Path, dry_run: list[str]
) -> None:
    line = (recipe, "--data", pairs_file(tmp_path / "p.jsonl", 12), "--set", f"model={tiny_model_path}", *dry_run)
    answer = shell(*line, "--set", "reference=run:missing")
    assert answer.code == 2
    assert "'Reference' missing: there is no adapter" in answer.err
    assert not (tmp_path / "home" / "experiments").exists()


def test_a_relative_model_or_reference_becomes_absolute(
    shell: Shell,
    recipe: Path,
    tiny_model_path: Path,
    tiny_adapter_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[Cell] = []
    monkeypatch.setattr("bnf_lab.cli.experiment._dry_run", lambda plan, _: found.extend(plan.cells) or 0)
    monkeypatch.chdir(tiny_model_path.parent)
    data = ("--data", pairs_file(tmp_path / "p.jsonl", 12))
    adapter = os.path.relpath(tiny_adapter_path)
    shell(recipe, *data, "--dry-run", "--set", "model=tiny", "--set", f"reference=run:{adapter}", "--set", "beta=2")
    configs: list[RunConfig] = [cell.config for cell in found]
    assert {c.model for c in configs} == {str(tiny_model_path)}
    assert {c.reference for c in configs} == {f"run:{tiny_adapter_path}"}
    assert {c.beta for c in configs} == {2.0}
