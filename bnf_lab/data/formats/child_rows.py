"""Rows that another process reads: for formats whose libraries can crash, hang or take memory without end.

The process writes every row down as a line, `NUMBER<tab>PLACE<tab>JSON`, in a file without a name; an object is a row,
a text the reason why it is none. What it says about the whole is one JSON object, the last line of its error output.
Knows processes and lines, not formats.
"""

from __future__ import annotations

import json
import logging
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, BinaryIO

from bnf_lab.core.child_processes import run_module
from bnf_lab.core.errors import ImportRefused, clipped
from bnf_lab.data.formats.encodings import Encoding
from bnf_lab.data.formats.json_values import JsonReader
from bnf_lab.data.formats.rows import Limits, Refusal, Row, RowProblem, SeveralTables, build_refusal
from bnf_lab.data.formats.text import Text

logger = logging.getLogger(__name__)

_BEFORE_ROW = 200  # bytes for a row's number and place
_TRIES = 2  # a process ends without a row over a damaged file or, seen once in some thousand, over a sound one


class ChildFailed(Exception):
    """The process ended without an answer; its text is the name of the error, if it had one."""


class ChildRows:
    """The rows that a process has written down."""

    def __init__(self, file: BinaryIO, kind: str, notes: Sequence[str], limits: Limits) -> None:
        self._text = Text(file, Encoding("utf-8"), is_gzip=False, is_own=True)
        self.kind, self._notes, self._limits = kind, tuple(notes), limits
        self._reader = JsonReader(limits)

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._notes, *self._reader.notes)

    def __iter__(self) -> Iterator[Row | Refusal]:
        self._reader = reader = JsonReader(self._limits)
        for line in self._text.lines(longest=self._limits.line_bytes + _BEFORE_ROW):
            number, place, value = line.rstrip(b"\n").split(b"\t", 2)
            where = place.decode() or f"row {int(number)}"
            if value.startswith(b'"'):
                yield build_refusal(int(number), where, RowProblem(json.loads(value)))
            else:
                yield reader.read_row(value, int(number), where)


def read_in_child(
    module: str,
    order: Mapping[str, Any],
    label: str,
    limits: Limits,
    *,
    seconds: float,
    environment: Mapping[str, str] | None = None,
) -> ChildRows:
    """Lets a process read rows.

    Args:
        module: The module to run; see `row_worker`.
        order: What it is to read.
        label: How messages call that.
        limits: What one import may bring.
        seconds: After how long the process is ended.
        environment: The variables that it gets, in place of this process's.

    Raises:
        ImportRefused: If it says so, or takes too long; `SeveralTables` if a table must be chosen.
        ChildFailed: If it ends without an answer.
    """
    whole = json.dumps({**order, "label": label, "limits": asdict(limits)}).encode()
    output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the rows are read
    for _ in range(_TRIES):
        output.seek(0)
        output.truncate()
        try:
            done = run_module(
                module, input=whole, stdout=output, stderr=subprocess.PIPE, timeout=seconds, environment=environment
            )
        except subprocess.TimeoutExpired as error:
            raise ImportRefused(
                f"{label}: it could not be read within {seconds:.0f} seconds. Keep fewer rows, or save it as JSON "
                "lines."
            ) from error
        said = _last_line(done.stderr)
        if said is not None:
            break
        logger.warning("%s ended with status %s over %s: %s", module, done.returncode, label, done.stderr[-500:])
    if said is None or "failed" in said:
        raise ChildFailed(said["failed"] if said else "")
    if "refused" in said:
        raise ImportRefused(clipped(said["refused"]))
    if "parts" in said:
        raise SeveralTables(label, said["what"], said["parts"])
    return ChildRows(output, said["kind"], said["notes"], limits)


def _last_line(output: bytes) -> dict[str, Any] | None:
    """Returns what the process says at its end; None if it ended before."""
    lines = output.decode("utf-8", "replace").strip().splitlines()
    try:
        said = json.loads(lines[-1])
    except (IndexError, ValueError):
        return None
    return said if isinstance(said, dict) else None
