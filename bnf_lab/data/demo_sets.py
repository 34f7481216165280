"""The preference sets that come with the lab. Standard library."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bnf_lab.core.errors import NotFound, shown
from bnf_lab.core.paths import ASSETS

FOLDER = ASSETS / "preferences"


def list_demo_sets() -> list[DemoSet]:
    """Returns the sets in the order of the index kept beside them."""
    entries = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
    return [DemoSet(e["name"], e["title"], e["description"], e["rows"]) for e in entries]


def find_demo_set(name: str) -> Path:
    """Returns the file of a set.

    Raises:
        NotFound: If there is no set of this name, naming those there are.
    """
    names = [demo.name for demo in list_demo_sets()]
    if name not in names:
        raise NotFound(f"There is no demo set {shown(name)}. There are: {', '.join(names)}.")
    return FOLDER / f"{name}.jsonl"


@dataclass(frozen=True)
class DemoSet:
    """A preference set that comes with the lab."""

    name: str
    title: str
    description: str
    n_rows: int
