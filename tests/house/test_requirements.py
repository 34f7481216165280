"""`requirements.txt` names what the code imports, at the version that the tests run with, and nothing else."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT / "app.py", *sorted((ROOT / "bnf_lab").rglob("*.py"))]

OPTIONAL = {"lm_eval": "pip install 'lm-eval"}
"""Imported only where a person has installed it; the file that does says with what."""

THROUGH_OTHERS = {"bitsandbytes", "gguf"}
"""Imported by transformers when it is asked for what needs them; a comment in the file says for what."""


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def read_requirements() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normalised(name): pinned for name, pinned in pins}


def imported_libraries() -> dict[str, list[Path]]:
    """Returns every library that the code imports, late imports included, and where."""
    found: dict[str, list[Path]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"bnf_lab"}:
                found.setdefault(name, []).append(path)
    return found


def test_every_import_has_its_line_and_every_line_its_import() -> None:
    distributions = packages_distributions()
    needed = {normalised(distributions[name][0]) for name in imported_libraries() if name not in OPTIONAL}
    required = set(read_requirements())
    assert needed <= required, "imported, but not in requirements.txt"
    assert required - needed <= THROUGH_OTHERS, "in requirements.txt, but not imported"


@pytest.mark.parametrize(("name", "pinned"), sorted(read_requirements().items()))
def test_the_version_is_the_one_that_is_tested(name: str, pinned: str) -> None:
    assert version(name).split("+")[0] == pinned


@pytest.mark.parametrize("name", sorted(OPTIONAL))
def test_an_optional_library_is_named_with_its_install_where_it_is_used(name: str) -> None:
    for path in imported_libraries()[name]:
        assert OPTIONAL[name] in path.read_text(encoding="utf-8")
