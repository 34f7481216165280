"""What a process does that reads rows for another one: takes an order, keeps its limits, writes rows, says how it went.

The other side of `child_rows`. Knows processes and lines, not formats.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bnf_lab.core.errors import ImportRefused
from bnf_lab.data.formats.rows import Limits, SeveralTables

_MEMORY_BYTES = 8 << 30


@dataclass(frozen=True)
class Order:
    """What to read.

    Attributes:
        label: How messages call it.
        limits: What one import may bring.
        what: The rest, which the module knows.
    """

    label: str
    limits: Limits
    what: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What was read: its kind, what to say about it, and a line for each row, from `build_line`."""

    kind: str
    notes: tuple[str, ...]


def write_row(number: int, row: str, place: str = "") -> None:
    """Writes down one row: JSON of an object, or of a text that says why it is refused."""
    sys.stdout.write(f"{number}\t{place}\t{row}\n")


def serve(read: Callable[[Order], Answer]) -> None:
    """Carries out the order that comes in, and ends the process.

    Args:
        read: Writes the rows and returns what to say about them; what it raises is told to the other side.
    """
    whole = json.load(sys.stdin)
    order = Order(whole.pop("label"), Limits(**whole.pop("limits")), whole)
    _limit_itself(4 * order.limits.inflated_bytes)
    sys.stderr.write("\n" + json.dumps(_carry_out(read, order)) + "\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # everything is written: a library's threads and destructors must not end the process otherwise


def _limit_itself(n_written: int) -> None:
    """Lets the system end this process where it takes too much memory or writes too many bytes.

    Windows has no such limits and macOS refuses some: there the checks before decoding and the parent's time limit
    stand alone.
    """
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - Windows has none

    for kind, wanted in ((resource.RLIMIT_AS, _MEMORY_BYTES), (resource.RLIMIT_FSIZE, n_written)):
        try:
            resource.setrlimit(kind, (wanted, wanted))
        except ValueError:
            if sys.platform != "darwin":
                raise


def _carry_out(read: Callable[[Order], Answer], order: Order) -> dict[str, Any]:
    try:
        answer = read(order)
        sys.stdout.flush()
    except SeveralTables as error:
        return {"what": error.what, "parts": error.sizes}
    except ImportRefused as error:
        return {"refused": str(error)}
    except Exception as error:  # named to the other side, which says it in words
        return {"failed": type(error).__name__}
    return {"kind": answer.kind, "notes": answer.notes}
