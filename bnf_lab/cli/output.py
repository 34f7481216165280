"""Where the shell's words go: results to stdout, progress to stderr, details of a failure to a file.

It knows streams and logging. It must not know verbs, models or runs.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, TextIO

from bnf_lab.core.errors import LabError


class UsageError(LabError):
    """A command line that cannot be understood."""


class Output:
    """The streams of one verb.

    Args:
        results: Takes the results and nothing else.
        as_json: Whether results are JSON, one document a line.
    """

    def __init__(self, results: TextIO, *, as_json: bool) -> None:
        self.as_json = as_json
        self._results = results
        self._is_line_open = False

    @property
    def is_terminal(self) -> bool:
        return self._results.isatty()

    def result(self, record: Any, text: str) -> None:
        """Writes a result: the record for machines, or the text for people."""
        # ASCII alone, so that no locale and no lone surrogate of a broken file can stop it
        self.write((json.dumps(record, allow_nan=False) if self.as_json else text) + "\n")

    def write(self, text: str) -> None:
        """Writes a part of a result as it comes."""
        self._end_progress()
        self._results.write(text)
        self._results.flush()

    def progress(self, text: str) -> None:
        """Shows how far something is: on a terminal always in the same line."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{text}\x1b[K")
            self._is_line_open = True
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def complain(self, text: str) -> None:
        """Says in one line of stderr what is wrong."""
        self._end_progress()
        sys.stderr.write(" ".join(text.split()) + "\n")
        sys.stderr.flush()

    def _end_progress(self) -> None:
        if self._is_line_open:
            sys.stderr.write("\n")
            self._is_line_open = False


@contextlib.contextmanager
def reserved_stdout() -> Iterator[TextIO]:
    """Gives the real stdout to the verb alone; whatever libraries print meanwhile goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        results = os.fdopen(os.dup(kept), "w", encoding="utf-8", errors="backslashreplace")
        with results, contextlib.redirect_stdout(sys.stderr):
            yield results
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


class Details:
    """Keeps what libraries and the lab log, to be written to a file only if the verb fails."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._handler = logging.StreamHandler(self._text)
        self._handler.setLevel(logging.WARNING)

    def __enter__(self) -> Details:
        logging.captureWarnings(True)
        logging.getLogger().addHandler(self._handler)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._handler)
        logging.captureWarnings(False)

    def save(self) -> str:
        """Returns words that name a new file with what was logged, nothing if nothing was."""
        if not self._text.getvalue():
            return ""
        with tempfile.NamedTemporaryFile(
            "w", prefix="bnf-lab-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(self._text.getvalue())
        return f" Details: {file.name}"
