"""Style and types by the very commands of `.ci/check`, which `pre-commit` runs; so CI and hand cannot drift apart."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / ".ci" / "check"
COMMANDS = [line.split() for line in SCRIPT.read_text(encoding="utf-8").splitlines() if line.startswith("python -m ")]


@pytest.mark.slow  # the fast loop runs them itself
@pytest.mark.parametrize("command", [c for c in COMMANDS if "pytest" not in c], ids=" ".join)
def test_checks_pass(command: list[str]) -> None:
    answer = subprocess.run([sys.executable, *command[1:]], capture_output=True, text=True, check=False, cwd=ROOT)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_style_format_types_and_tests_are_checked() -> None:
    assert [" ".join(command[2:4]) for command in COMMANDS] == ["ruff check", "ruff format", "mypy", "pytest -m"]


def test_pre_commit_runs_the_script() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (hook,) = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert (ROOT / hook["entry"]).samefile(SCRIPT)
    assert os.access(SCRIPT, os.X_OK)
