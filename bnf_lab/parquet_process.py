"""Parquet files -> rows through a process of their own.

A damaged Parquet file can end the process that reads it (seen: pyarrow 26 calls C++ `terminate` on a wrong level
histogram in the footer), and a crafted one can take memory or time without end. So it is read by
`python -m bnf_lab.parquet_rows`, which may die, and its rows come back as JSON lines. Knows processes, not Parquet.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from bnf_lab.errors import ImportRefused, clipped
from bnf_lab.json_rows import read_row
from bnf_lab.rows import Limits, Refusal, Row

logger = logging.getLogger(__name__)

_REFUSED, _FAILED = 3, 4
_TRIES = 2  # a process ends without a row over a damaged file or, seen once in some thousand, over a sound one
_DAMAGED = ("it is not a Parquet file that can be read; it may be cut off or damaged. Export it again, or use JSON "
            "lines.")


class _Rows:
    """The rows a process wrote down, read anew at every pass and numbered from `start` + 1."""

    def __init__(self, file: BinaryIO, start: int, limits: Limits) -> None:
        self._file, self._start, self._limits = file, start, limits

    def __iter__(self) -> Iterator[Row | Refusal]:
        self._file.seek(0)
        for number, line in enumerate(self._file, start=self._start + 1):
            yield read_row(line.rstrip(b"\n"), number, self._limits)


def read_parquet(
    files: Sequence[str], label: str, limits: Limits, *, part: tuple[int, int | None] = (0, None),
    is_remote: bool = False, seconds: float = 120.0,
) -> _Rows:
    """Reads Parquet files in a row, as one table.

    Args:
        files: Paths, or addresses that fsspec knows.
        label: How messages call them.
        limits: What one import may bring, all files together.
        part: First row and the row after the last one; a last one of None means to the end.
        is_remote: Whether `files` are addresses.
        seconds: After how long the process is ended.

    Raises:
        ImportRefused: If they cannot be read, exceed a limit or take too long.
    """
    order = {"files": list(files), "label": label, "limits": asdict(limits), "part": part, "is_remote": is_remote}
    output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the rows are read
    for _ in range(_TRIES):
        done = _run(order, output, label, seconds)
        said = done.stderr.decode("utf-8", "replace")
        if done.returncode in (0, _REFUSED):
            break
        logger.warning("reading %s ended with status %s: %s", label, done.returncode, said[-500:])
    if done.returncode == _REFUSED:
        raise ImportRefused(clipped(said))
    if done.returncode == _FAILED and is_remote:
        raise ImportRefused(f"{label}: the hub broke off the download ({said[:60]}). Try again, or download the data "
                            "set and upload it as a file.")
    if done.returncode != 0:
        raise ImportRefused(f"{label}: {_DAMAGED}")
    return _Rows(output, part[0], limits)


def _run(order: dict[str, Any], output: BinaryIO, label: str, seconds: float) -> subprocess.CompletedProcess[bytes]:
    """Lets a process carry out one order; its rows replace what `output` holds."""
    output.seek(0)
    output.truncate()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "bnf_lab.parquet_rows"]
    try:
        return subprocess.run(  # noqa: S603 - fixed command
            command, input=json.dumps(order).encode(), stdout=output, stderr=subprocess.PIPE, env=environment,
            timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise ImportRefused(f"{label}: it could not be read within {seconds:.0f} seconds. Keep fewer rows, or save it "
                            "as JSON lines.") from error
