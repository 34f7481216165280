"""Bytes -> the rows that the import sees, and the refusal where it sees none: what the tests of every format share."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bnf_lab.core.errors import ImportRefused
from bnf_lab.data.formats.rows import Limits, Refusal, Row, Table
from bnf_lab.data.formats.tables import open_table

ROWS = [{"prompt": f"Q{i} é", "chosen": f"good, {i}", "rejected": f'"bad"\n{i}'} for i in range(1, 5)]


def open_bytes(
    folder: Path, data: bytes, name: str = "rows", *, limits: Limits | None = None, part: str | None = None
) -> Table:
    (folder / "upload").write_bytes(data)
    return open_table(folder / "upload", name, limits or Limits(), part)


def read(folder: Path, data: bytes, name: str = "rows", *, limits: Limits | None = None) -> list[Row | Refusal]:
    return list(open_bytes(folder, data, name, limits=limits))


def read_values(folder: Path, data: bytes, name: str = "rows", *, part: str | None = None) -> list[dict[str, Any]]:
    """Returns the values of the rows, of which none may be refused."""
    rows = list(open_bytes(folder, data, name, part=part))
    assert not [row.reason for row in rows if isinstance(row, Refusal)]
    return [row.values for row in rows if isinstance(row, Row)]


def refusal(folder: Path, data: bytes, name: str = "rows", *, limits: Limits | None = None) -> str:
    """Returns the words that refuse the file, which name it and not where it lies."""
    with pytest.raises(ImportRefused) as caught:
        read(folder, data, name, limits=limits)
    text = str(caught.value)
    assert str(folder) not in text
    assert name in text
    assert len(text) <= 500
    return text


def parquet(table: pa.Table | list[dict[str, Any]], **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(table) if isinstance(table, list) else table, buffer, **options)
    return buffer.getvalue()
