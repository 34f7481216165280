"""What people said about files, kept to be offered again for the next file with the same columns.

This room must not know pages or files of data.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bnf_lab.core.errors import ImportRefused
from bnf_lab.core.files import hash_texts, write_atomically
from bnf_lab.data.mapping import ImportChoices, dump_choices
from bnf_lab.lab.drafts import Drafts

FILE_NAME = "mapping.json"


@dataclass(frozen=True)
class SavedMapping:
    """What was said, and about which file."""

    file: str
    choices: ImportChoices


class Mappings:
    """The saved mappings of all owners.

    Args:
        records: Where they are kept.
        scratch: Folder for files that are given out.
    """

    def __init__(self, records: Drafts, scratch: Path) -> None:
        self._records, self._scratch = records, scratch

    def save(self, owner: str, columns: Sequence[str], file: str, choices: ImportChoices) -> Path:
        """Keeps a mapping for these columns, in place of an earlier one, and returns it as a file for the shell."""
        self._records.save(owner, _key(columns), {"file": file, "choices": choices.to_dict()})
        path = Path(tempfile.mkdtemp(prefix="export-", dir=self._scratch)) / FILE_NAME
        write_atomically(path, dump_choices(choices))
        return path

    def find(self, owner: str, columns: Sequence[str]) -> SavedMapping | None:
        """Returns what was saved for the same set of columns; None if nothing was, or this lab cannot read it."""
        record = self._records.load(owner, _key(columns))
        if record is None:
            return None
        try:
            return SavedMapping(record["file"], ImportChoices.from_dict(record["choices"]))
        except ImportRefused:  # saved by a lab with other layouts or kinds; not offering it loses nothing
            return None


def _key(columns: Sequence[str]) -> str:
    return hash_texts(sorted(columns))
