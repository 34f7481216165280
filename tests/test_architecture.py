"""The rooms: imports only go down the list, only their places name gradio and the model libraries, sizes stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bnf_lab"
ROOMS = """
ui
__main__ cli cli_data cli_experiment cli_models cli_output cli_report cli_score cli_train
lab
desk
exports side_scores
shelf merge measure
jobs experiments
launcher
worker
training
preflight
watch references
fetch
chat skill_scores
decode sampling
decode_layers
trainer
baseline
score_cache
probe outside_tasks
scoring
models
layouts
attention
packing
token_stats
batches ranks
losses
pair_losses
loss_terms
splits
perturb
experiment_report
experiment_plots experiment_tables
experiment_lines
plots
feedback_plots count_plots
plot_style
importers
reports
hub judge
schemas ratings
readers
tables
parquet_process
csv_rows json_rows parquet_rows turns
rows
store
statements
database
demos machine
cards estimates
speeds
verdicts cell_results score_words
experiment_records
recipes
runs
processes checkpoints adapter_files
lab_records chat_records
files tensor_cache
records
preferences config home late_imports skills intervals text_measures
settings
errors
"""
LEVELS = {name: level for level, line in enumerate(reversed(ROOMS.split("\n"))) for name in line.split()}
STANDARD_LIBRARY_ROOMS = set(
    """
    lab_records chat_records jobs launcher runs processes checkpoints adapter_files files records preferences config
    home late_imports errors store statements database demos machine cards estimates speeds exports settings splits
    perturb ratings skills intervals text_measures verdicts cell_results experiment_records
    score_words
    """.split()  # noqa: SIM905 - as the list above
)
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported_names(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            is_front_door = node.module == "bnf_lab"
            names |= {f"bnf_lab.{alias.name}" for alias in node.names} if is_front_door else {node.module}
    return names


def libraries(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported_names(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_go_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":  # the library's front door names rooms lazily
        return
    assert room in LEVELS, f"give {room} its place in the list of rooms"
    for name in imported_names(path):
        parts = name.split(".")
        if parts[0] == "bnf_lab" and len(parts) > 1 and parts[1] != room:
            assert LEVELS[parts[1]] <= LEVELS[room], f"{room} may not import {parts[1]}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    room, found = room_of(path), libraries(path)
    if room != "ui":
        assert "gradio" not in found
    if room not in ("models", "scoring", "decode_layers"):
        assert "peft" not in found
    assert "bitsandbytes" not in found
    if room in ("losses", "pair_losses", "loss_terms"):
        assert found <= {"__future__", "collections", "dataclasses", "torch", "bnf_lab"}
    if room in STANDARD_LIBRARY_ROOMS:
        assert found <= set(sys.stdlib_module_names) | {"bnf_lab", "__future__"}
    text = path.read_text(encoding="utf-8")
    if room != "models":
        assert ".from_pretrained(" not in text
    assert "trust_remote_code=True" not in text
    assert "pickle" not in found


def test_the_lab_loads_without_torch_and_gradio() -> None:
    code = "import sys, bnf_lab.lab; print(sorted({'torch', 'gradio', 'transformers'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("path", [*MODULES, ROOT / "app.py"], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= (40 if path.name == "app.py" else 300)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno + 1 <= 50, node.name
        assert not isinstance(node, ast.Global | ast.Assert), f"line {node.lineno}"


def test_top_level_is_the_fixed_one() -> None:
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    visible = {name.split("/")[0] for name in tracked.split("\n") if name and not name.startswith(".")}
    assert visible <= {"app.py", "bnf_lab", "assets", "tests", "requirements.txt", "README.md", "LICENSE"}
