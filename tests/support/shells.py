"""The shell in this process: a verb with a data folder of its own, and what it answered."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bnf_lab.cli.main import main


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def record(self) -> Any:
        """The one JSON document that is all of stdout."""
        return json.loads(self.out)

    @property
    def refusal(self) -> str:
        """The one line of a refusal."""
        assert self.code == 2
        assert self.err.count("\n") == 1, self.err
        return self.err.strip()


Shell = Callable[..., Answer]


@contextmanager
def open_shell(home: Path, capfd: pytest.CaptureFixture[str], *verb: str, makes_home: bool = True) -> Iterator[Shell]:
    """Gives a function that runs what follows `verb`; afterwards the environment is as it was."""
    before = dict(os.environ)
    os.environ["BNF_LAB_HOME"] = str(home)
    if makes_home:
        home.mkdir()

    def run(*arguments: object) -> Answer:
        capfd.readouterr()
        code = main([*verb, *map(str, arguments)])
        return Answer(code, *capfd.readouterr())

    try:
        yield run
    finally:
        os.environ.clear()
        os.environ.update(before)


def pairs_file(path: Path, n: int = 10) -> Path:
    """Writes n pairs, each on a prompt of its own."""
    rows = [{"prompt": f"Add {i} and 7.", "chosen": f"It is {i + 7}.", "rejected": "A comet."} for i in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
