"""The house: imports only go down its bands, only their rooms name gradio and the model libraries, sizes stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "bnf_lab"
MODULES = sorted(PACKAGE.rglob("*.py"))
STANDARD_LIBRARY = set(sys.stdlib_module_names) | {"bnf_lab"}

MAY_USE = {
    "core": "",
    "losses": "",
    "data": "core",
    "runs": "core",
    "models": "core",
    "plots": "runs core",
    "training": "models losses runs data core",
    "evaluation": "training models core",
    "experiments": "evaluation training plots runs data core",
    "lab": "experiments evaluation training models plots runs data core",
    "ui": "lab plots runs data core",
    "cli": "lab experiments evaluation training models losses runs data core",
}
"""Which rooms each room may import; `__init__` (the lazy front door) and `__main__` (-> cli) stand outside."""

INSIDE = set(
    """
    data.conversations data.transcripts data.embedded data.readers data.numbers data.survey data.leftovers
    models.chat_template models.decode_layers models.packed_attention models.tensor_cache training.distributed
    training.plan training.reading evaluation.skill_questions evaluation.skill_scores experiments.figures
    experiments.lines lab.database lab.database_file lab.run_register lab.statements lab.sweeper
    lab.precedence lab.upkeep lab.writer
    """.split()  # noqa: SIM905 - a list to read
)
"""Modules that are no doors: only their own room imports them. Of `data.formats` only `rows` is a door."""

MAY_IMPORT = {
    "core": STANDARD_LIBRARY | {"psutil", "filelock"},
    "runs": STANDARD_LIBRARY | {"psutil", "filelock"},
    "losses": {"__future__", "collections", "dataclasses", "torch", "bnf_lab"},
}
"""Libraries that a whole room is held to; the others follow `test_libraries_stay_in_their_rooms`."""

MAY_WRITE = {"core/files.py", "models/fetch.py", "evaluation/tasks.py", "lab/export.py"}
"""Who may open a file to write it anew: the helper itself, and logs, downloads and zips in folders not yet final."""


STARTERS = {"run", "Popen", "check_output", "run_module", "start_module"}
"""What starts a child process."""


def relative(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def imported_names(path: Path) -> set[str]:
    """Returns the modules that a file names, late and type-checking imports included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            is_package = (ROOT / node.module.replace(".", "/")).is_dir()
            names |= {f"{node.module}.{alias.name}" for alias in node.names} if is_package else {node.module}
    return names


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent != PACKAGE], ids=relative)
def test_imports_go_down_and_through_doors(path: Path) -> None:
    room, inner = path.relative_to(PACKAGE).parts[0], path.relative_to(PACKAGE).parts[1:]
    for name in (n for n in imported_names(path) if n.startswith("bnf_lab.")):
        other, *rest = name.split(".")[1:]
        if other == room:  # tabs do not know one another
            is_tab = room == "ui" and len(inner) > 1 and len(rest) > 1 and (PACKAGE / "ui" / rest[0]).is_dir()
            assert not is_tab or rest[0] == inner[0], f"{relative(path)} may not import {name}"
        else:
            is_door = f"{other}.{rest[0]}" not in INSIDE and (rest[0] != "formats" or rest[1:2] == ["rows"])
            assert other in MAY_USE[room].split() and is_door, f"{relative(path)} may not import {name}"


def test_a_room_holds_nothing_but_rooms_and_doors() -> None:
    names = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert names == {*MAY_USE, "__init__.py", "__main__.py", "py.typed"}
    for room in MAY_USE:
        assert "Must not know" in (PACKAGE / room / "__init__.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    room, found = path.relative_to(PACKAGE).parts[0], {name.split(".")[0] for name in imported_names(path)}
    assert found <= MAY_IMPORT.get(room, found)
    assert room == "ui" or "gradio" not in found
    assert room == "models" or "peft" not in found
    assert "bitsandbytes" not in found and "pickle" not in found
    text = path.read_text(encoding="utf-8")
    assert room == "models" or ".from_pretrained(" not in text
    assert "trust_remote_code=True" not in text


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_files_are_written_whole(path: Path) -> None:
    """What is written and read later goes through `core.files`, lest a crash leave half of it."""
    for call in (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        assert name not in ("write_text", "write_bytes", "save_file"), f"line {call.lineno}: use write_atomically"
        assert ast.unparse(call.func) not in ("json.dump", "torch.save"), f"line {call.lineno}: use write_atomically"
        modes = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        if name in ("open", "ZipFile") and any("w" in mode for mode in modes if len(mode) < 4):
            assert relative(path) in MAY_WRITE, f"line {call.lineno}: use write_atomically"


@pytest.mark.parametrize("path", [*MODULES, ROOT / "app.py"], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_text_is_in_the_locales_encoding(path: Path) -> None:
    """Opened files are ruff's matter (PLW1514); pipes and logs are this test's."""
    for call in (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)):
        named = {keyword.arg for keyword in call.keywords}
        name = ast.unparse(call.func).split(".")[-1]
        is_text = name in STARTERS and named & {"text", "universal_newlines"}
        assert "encoding" in named or not (is_text or name.endswith("FileHandler")), f"line {call.lineno}"


def test_the_lab_loads_without_torch_and_gradio() -> None:
    code = "import sys, bnf_lab.lab.lab; print(sorted({'torch', 'gradio', 'transformers'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("path", [*MODULES, ROOT / "app.py"], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= 400
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno + 1 <= 50, node.name
        assert not isinstance(node, ast.Global | ast.Assert), f"line {node.lineno}"


def test_top_level_is_the_fixed_one() -> None:
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    visible = {name.split("/")[0] for name in tracked.split("\n") if name and not name.startswith(".")}
    assert visible <= {"app.py", "bnf_lab", "assets", "tests", "requirements.txt", "README.md", "LICENSE"}
