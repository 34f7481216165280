"""What a Parquet file says about itself -> which columns to decode, and whether to. Knows Parquet only: no schemas."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from bnf_lab.core.errors import ImportRefused, shown
from bnf_lab.core.numbers import counted
from bnf_lab.data.formats.arrow_values import depth, holds_bytes, is_readable, is_vector
from bnf_lab.data.formats.rows import Limits

_BATCH_ROWS, _BATCH_ROWS_WITH_BYTES = 1024, 16
_SHORT_LIST = 32  # numbers a row: the ratings or ranks of a list of answers; longer ones are vectors


class Columns:
    """The columns of a file.

    Args:
        metadata: The file's own summary.
        schema: Its columns' types.
        label: How messages call it.
        limits: What one import may bring.

    Raises:
        ImportRefused: If they are too many, too deep, of one name, or none can be read.

    Attributes:
        names: Those to decode.
        left_out: The others, each with the reason.
        batch_rows: How many rows to decode at once.
    """

    def __init__(self, metadata: pq.FileMetaData, schema: pa.Schema, label: str, limits: Limits) -> None:
        _check_names(schema, label, limits)
        self.names: list[str] = []
        self.left_out: dict[str, str] = {}
        for field in schema:
            if not is_readable(field.type):
                self.left_out[field.name] = str(field.type)[:40]
            elif is_vector(field.type) and not _is_short(field.name, metadata):
                self.left_out[field.name] = "vectors of numbers"
            else:
                self.names.append(field.name)
        if not self.names:
            raise ImportRefused(f"{label}: no column holds text. Preferences need a prompt and its answers as text.")
        has_bytes = any(holds_bytes(schema.field(name).type) for name in self.names)
        self.batch_rows = _BATCH_ROWS_WITH_BYTES if has_bytes else _BATCH_ROWS

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say about those that are left out."""
        if not self.left_out:
            return ()
        named = ", ".join(f"{shown(name, 40)} ({why})" for name, why in list(self.left_out.items())[:8])
        more = f" and {len(self.left_out) - 8} more" if len(self.left_out) > 8 else ""
        return (f"Not read: {named}{more}.",)

    def sizes(self, metadata: pq.FileMetaData) -> tuple[int, int]:
        """Returns how many values these columns have in a file, and their bytes once decompressed."""
        chunks = [chunk for chunk in _chunks(metadata) if any(_belongs(chunk, name) for name in self.names)]
        return sum(chunk.num_values for chunk in chunks), sum(chunk.total_uncompressed_size for chunk in chunks)


def _check_names(schema: pa.Schema, label: str, limits: Limits) -> None:
    names = schema.names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ImportRefused(f"{label}: two columns are called {shown(twice)}. Rename or delete one.")
    if len(names) > limits.columns or any(len(name) > limits.name_chars for name in names):
        raise ImportRefused(
            f"{label}: it has {counted(len(names), 'column')}; at most {limits.columns:,} are accepted, with"
            f" names of at most {limits.name_chars} characters. Keep the columns that are needed."
        )
    deep = next((field.name for field in schema if depth(field.type) >= limits.nesting), None)
    if deep is not None:
        raise ImportRefused(
            f"{label}, column {shown(deep)}: lists and objects are nested more than {limits.nesting} deep. Flatten or "
            "delete the column."
        )


def find_texts(metadata: pq.FileMetaData) -> list[str]:
    """Returns the leaves that can be decoded as a dictionary, so that a text in many rows is held once.

    pyarrow 26 cannot decode the DELTA encodings so, which DuckDB writes.
    """
    texts = {chunk.path_in_schema for chunk in _chunks(metadata) if chunk.physical_type == "BYTE_ARRAY"}
    return sorted(texts - {c.path_in_schema for c in _chunks(metadata) if any("DELTA" in e for e in c.encodings)})


def _chunks(metadata: pq.FileMetaData) -> Iterator[pq.ColumnChunkMetaData]:
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        for position in range(group.num_columns):
            yield group.column(position)


def _belongs(chunk: pq.ColumnChunkMetaData, name: str) -> bool:
    return bool(chunk.path_in_schema == name or chunk.path_in_schema.startswith(f"{name}."))


def _is_short(name: str, metadata: pq.FileMetaData) -> bool:
    """Tells whether a column of lists holds few values a row, by the file's summary."""
    n_values = sum(chunk.num_values for chunk in _chunks(metadata) if _belongs(chunk, name))
    return bool(n_values <= _SHORT_LIST * metadata.num_rows)
