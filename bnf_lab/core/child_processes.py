"""The lab's own modules as processes: `python -m NAME`, found wherever the server was started. Standard library.

A child does what may die, hang or take memory for good: training, merging, reading Parquet, downloads. Paths among the
arguments must be absolute, since a child works in the repository's folder. What a child reads may come from anybody, so
it is not told this process's secrets.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bnf_lab.core.paths import REPOSITORY

_SECRET = re.compile(
    r"pass(?:word|wd|phrase)|secret|credential|apikey|cookie|(?:\A|_)(?:tokens?|keys?|pat|auth)(?:_|\Z)", re.IGNORECASE
)
_HUB_TOKENS = frozenset(("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"))
"""Kept: a run of a gated model begins by fetching it."""


def module_command(name: str, *arguments: str | Path) -> list[str]:
    """Returns the command line that runs a module of the lab.

    >>> module_command("bnf_lab.training.worker", Path("run"))[1:]
    ['-m', 'bnf_lab.training.worker', 'run']
    """
    return [sys.executable, "-m", name, *map(str, arguments)]


def module_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns a child's variables: this process's or those given, with the lab on the search path and text in UTF-8.

    Those whose names speak of a secret are left out, but for the hub's token.
    """
    given = os.environ if environment is None else environment
    base = {name: value for name, value in given.items() if name in _HUB_TOKENS or not is_secret(name)}
    search_path = os.pathsep.join(filter(None, (str(REPOSITORY), base.get("PYTHONPATH"))))
    return base | {"PYTHONPATH": search_path, "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"}


def is_secret(name: str) -> bool:
    """Tells whether a variable is called like a secret.

    >>> is_secret("AWS_SECRET_ACCESS_KEY"), is_secret("OPENAI_API_KEY"), is_secret("TOKENIZERS_PARALLELISM")
    (True, True, False)
    """
    return _SECRET.search(name) is not None


def run_module(
    name: str, *arguments: str | Path, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Runs a module to its end; `options` are those of `subprocess.run`, and a failure is an exit code."""
    command, variables = module_command(name, *arguments), module_environment(environment)
    return subprocess.run(command, cwd=REPOSITORY, env=variables, check=False, **options)  # noqa: S603 - our own module


def start_module(
    name: str, *arguments: str | Path, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[Any]:
    """Starts a module and returns at once; `options` are those of `subprocess.Popen`."""
    command, variables = module_command(name, *arguments), module_environment(environment)
    return subprocess.Popen(command, cwd=REPOSITORY, env=variables, **options)  # noqa: S603 - our own module


def ask_module(name: str, *arguments: str | Path, environment: Mapping[str, str], seconds: float) -> dict[str, Any]:
    """Runs a module whose last line of output is a JSON object, and returns that.

    Raises:
        subprocess.TimeoutExpired: If it takes longer than `seconds`; it is ended.
        ValueError: If it ends without such a line.
    """
    answer = run_module(
        name, *arguments, environment=environment, capture_output=True, encoding="utf-8", timeout=seconds
    )
    result = json.loads((answer.stdout.strip().splitlines() or [""])[-1])
    if not isinstance(result, dict):
        raise ValueError(f"{name} answered {type(result).__name__}")
    return result
