"""Where the lab keeps its data. Standard library; resolved when asked, never at import."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SPACE_STORAGE = Path("/data")


def data_home(environment: Mapping[str, str] | None = None) -> Path:
    """Returns the data folder: `BNF_LAB_HOME`, else a Space's writable storage, else `~/.bnf-lab`."""
    chosen = (os.environ if environment is None else environment).get("BNF_LAB_HOME")
    if chosen:
        return Path(chosen).expanduser().resolve()
    if os.access(SPACE_STORAGE, os.W_OK):
        return SPACE_STORAGE / "bnf-lab"
    return Path.home() / ".bnf-lab"


def models_dir(home: Path) -> Path:
    return home / "models"


def runs_dir(home: Path) -> Path:
    return home / "runs"


def experiments_dir(home: Path) -> Path:
    return home / "experiments"


def cache_dir(home: Path) -> Path:
    return home / "cache"
