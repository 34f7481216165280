"""Where the lab keeps its data (resolved when asked, never at import) and where its own files are. Standard library."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bnf_lab.core.errors import DataFolderRefused

REPOSITORY = Path(__file__).resolve().parents[2]
"""The folder that holds `bnf_lab` and `assets`."""

ASSETS = REPOSITORY / "assets"
SPACE_STORAGE = Path("/data")


def data_home(environment: Mapping[str, str] | None = None) -> Path:
    """Returns the data folder: `BNF_LAB_HOME`, else a Space's writable storage, else `~/.bnf-lab`.

    Raises:
        DataFolderRefused: If the name leads nowhere.
    """
    chosen = (os.environ if environment is None else environment).get("BNF_LAB_HOME")
    if chosen:
        return resolved(Path(chosen))
    if os.access(SPACE_STORAGE, os.W_OK):
        return SPACE_STORAGE / "bnf-lab"
    return resolved(Path("~/.bnf-lab"))


def resolved(folder: Path) -> Path:
    """Returns a data folder as an absolute path.

    Raises:
        DataFolderRefused: If this machine knows no such home folder, or a link leads back to itself.
    """
    try:
        return folder.expanduser().resolve()
    except (RuntimeError, OSError) as error:
        reason = str(error).rstrip(".")
        raise DataFolderRefused(
            f"The data folder {folder} leads nowhere: {reason}. Choose another one with BNF_LAB_HOME (for"
            " `python app.py` also --data-dir)."
        ) from error


def models_dir(home: Path) -> Path:
    return home / "models"


def runs_dir(home: Path) -> Path:
    return home / "runs"


def experiments_dir(home: Path) -> Path:
    return home / "experiments"


def cache_dir(home: Path) -> Path:
    return home / "cache"


def without_folders(value: Any) -> Any:
    """Returns a setting's value, or those of a list or mapping, with the last name alone of what is an absolute path.

    >>> without_folders({"model": "/home/ada/models/tiny", "reference": "run:/home/ada/runs/first", "n_steps": 30})
    {'model': 'tiny', 'reference': 'run:first', 'n_steps': 30}
    """
    if isinstance(value, Mapping):
        return {name: without_folders(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(without_folders, value))
    if not isinstance(value, str):
        return value
    prefix = _RUN if value.startswith(_RUN) else ""
    path = Path(value.removeprefix(prefix))
    return f"{prefix}{path.name}" if path.is_absolute() else value


_RUN = "run:"
_NAME = r"[^\s/\\'\"`,;:()<>|]+"
_KNOWN = "\0"
_PATH = re.compile(rf"\0[/\\](?:{_NAME}[/\\])*|(?<![\w./\\<~\0-])(?:[A-Za-z]:|~)?(?:[/\\]{_NAME})+[/\\](?={_NAME})")


def without_places(text: str) -> str:
    """Returns a text for other people's eyes: of each path in it the last name, without the folders before.

    What libraries and the system say names this machine's folders, and so its user.

    >>> without_places("No such file: '/home/ada/.bnf-lab/models/tiny/config.json' (tokens/s, https://a.org/b/c)")
    "No such file: 'config.json' (tokens/s, https://a.org/b/c)"
    """
    known = {REPOSITORY, Path(tempfile.gettempdir())}
    with contextlib.suppress(DataFolderRefused, RuntimeError):
        known |= {data_home(), Path.home()}
    text = text.replace("file://", "")
    for folder in sorted((str(folder) for folder in known if len(folder.parts) > 1), key=len, reverse=True):
        # literally first: the pattern ends at a space, which a folder's name may hold
        text = text.replace(f"{folder}{os.sep}", f"{_KNOWN}{os.sep}")
        text = re.sub(rf"{re.escape(folder)}(?![\w.-])", "…", text)
    return _PATH.sub("", text)
