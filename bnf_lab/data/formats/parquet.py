"""Parquet files -> rows through a process of their own.

A damaged Parquet file can end the process that reads it (seen: pyarrow 26 calls C++ `terminate` on a wrong level
histogram in the footer), and a crafted one can take memory or time without end. Knows processes, not Parquet.
"""

from __future__ import annotations

from bnf_lab.core.errors import ImportRefused
from bnf_lab.data.formats.child_rows import ChildFailed, ChildRows, read_in_child
from bnf_lab.data.formats.rows import Limits


def read_parquet(path: str, label: str, limits: Limits, *, seconds: float = 120.0) -> ChildRows:
    """Reads a Parquet file.

    Args:
        path: The file.
        label: How messages call it.
        limits: What one import may bring.
        seconds: After how long the process is ended.

    Raises:
        ImportRefused: If it cannot be read, exceeds a limit or takes too long.
    """
    order = {"path": path}
    try:
        return read_in_child("bnf_lab.data.formats.parquet_worker", order, label, limits, seconds=seconds)
    except ChildFailed as error:
        raise ImportRefused(
            f"{label}: it is not a Parquet file that can be read; it may be cut off or damaged. Export it again, or "
            "use JSON lines."
        ) from error
