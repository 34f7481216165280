"""Parquet -> rows, a small batch at a time: what runs inside the process that `parquet_process` starts.

A small Parquet file can say "fifty million rows", or point a hundred thousand rows at one long text. So its own
summary is checked before anything is decoded, texts are decoded as a dictionary, and their sizes are added up
before they become Python values. Knows the format only: no schemas.

`python -m bnf_lab.parquet_rows` reads an order as JSON from its input and writes one row a line to its output.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bnf_lab.errors import ImportRefused, shown
from bnf_lab.rows import Limits, megabytes, too_many_rows

REFUSED, FAILED = 3, 4
_MEMORY_BYTES = 8 << 30
_BATCH_ROWS = 256
_MAX_VALUES = 5_000_000
_SHORT_LIST = 32  # numbers a row: the ratings or ranks of a list of answers; longer ones are vectors


class ParquetTable:
    """The rows of a Parquet file, without the columns that can hold no judgement (images, vectors, dates).

    Args:
        open_file: Opens the file anew for each pass.
        label: How messages call the file.
        limits: What one import may bring.
        part: First row and the row after the last one; both may lie outside, a last one of None means to the end.

    Raises:
        ImportRefused: If the file is damaged, too large once decoded, or has no usable column.

    Attributes:
        n_rows: Rows of the whole file.
        n_bytes: Size of the rows read in the latest pass.
    """

    def __init__(
        self, open_file: Callable[[], BinaryIO], label: str, limits: Limits, part: tuple[int, int | None] = (0, None)
    ) -> None:
        self._open, self._label, self._limits = open_file, label, limits
        with self._open() as file:
            self._read(lambda: self._inspect(pq.ParquetFile(file), part))

    def _inspect(self, source: pq.ParquetFile, part: tuple[int, int | None]) -> None:
        """Decides from the file's summary what to decode, and whether to."""
        self.n_rows = source.metadata.num_rows
        self._start, stop = max(0, part[0]), self.n_rows if part[1] is None else part[1]
        self._stop = max(self._start, min(stop, self.n_rows))
        self.n_bytes = 0
        self._columns = self._usable_columns(source.schema_arrow, source.metadata)
        self._groups, self._skip = self._choose_groups(source.metadata)
        self._check_sizes(source)
        leaves = (source.metadata.schema.column(i) for i in range(source.metadata.num_columns))
        self._texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]

    def _usable_columns(self, schema: pa.Schema, metadata: pq.FileMetaData) -> list[str]:
        names = schema.names
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ImportRefused(f"{self._label}: two columns are called {shown(twice)}. Rename or delete one.")
        if len(names) > self._limits.columns or any(len(name) > self._limits.name_chars for name in names):
            raise ImportRefused(f"{self._label}: it has {len(names):,} columns; at most {self._limits.columns:,} are "
                                f"accepted, with names of at most {self._limits.name_chars} characters.")
        deep = next((f.name for f in schema if _depth(f.type) >= self._limits.nesting), None)
        if deep is not None:
            raise ImportRefused(f"{self._label}, column {shown(deep)}: lists and objects are nested more than "
                                f"{self._limits.nesting} deep. Flatten or delete the column.")
        has_answers = any(_is_list(f.type) and not pa.types.is_struct(f.type.value_type) and _is_conversation(f.type)
                          for f in schema)
        usable = [f.name for f in schema if _is_scalar(f.type) or _is_conversation(f.type)
                  or (has_answers and _is_numbers(f.type) and _is_short(f.name, metadata))]
        if not usable:
            raise ImportRefused(f"{self._label}: no column holds text. Preferences need a prompt and its answers as "
                                "text.")
        return usable

    def _choose_groups(self, metadata: pq.FileMetaData) -> tuple[list[int], int]:
        """Returns the row groups that hold the wanted rows, and how many of their rows come before the first one."""
        if self._stop - self._start > self._limits.rows:
            raise ImportRefused(too_many_rows(self._label, self._limits))
        groups: list[int] = []
        at = skip = 0
        for index in range(metadata.num_row_groups):
            n_rows = metadata.row_group(index).num_rows
            if at < self._stop and at + n_rows > self._start:
                skip = self._start - at if not groups else skip
                groups.append(index)
            at += n_rows
        return groups, skip

    def _check_sizes(self, source: pq.ParquetFile) -> None:
        n_values = n_bytes = 0
        for index in self._groups:
            group = source.metadata.row_group(index)
            for position in range(group.num_columns):
                chunk = group.column(position)
                path = chunk.path_in_schema
                if any(path == name or path.startswith(f"{name}.") for name in self._columns):
                    n_values += chunk.num_values
                    n_bytes += chunk.total_uncompressed_size
        if n_bytes > self._limits.inflated_bytes:
            raise ImportRefused(self.too_large(n_bytes))
        if n_values > _MAX_VALUES:
            raise ImportRefused(f"{self._label}: it holds {n_values:,} values; at most {_MAX_VALUES:,} are accepted. "
                                "Keep the columns and rows that are needed.")

    def too_large(self, n_bytes: int) -> str:
        """Returns the message for a table that takes too much memory."""
        return (f"{self._label}: it is at least {megabytes(n_bytes)} once decompressed; at most "
                f"{megabytes(self._limits.inflated_bytes)} are accepted. Split it, or keep the columns that are "
                "needed.")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        left, self.n_bytes, skip = self._stop - self._start, 0, self._skip
        with self._open() as file:
            source = self._read(lambda: pq.ParquetFile(file, read_dictionary=self._texts))
            batches = source.iter_batches(
                _BATCH_ROWS, row_groups=self._groups, columns=self._columns, use_threads=False)
            while left and (batch := self._read(lambda: _next_checked(batches))) is not None:
                self.n_bytes += sum(_size(column) for column in batch.columns)
                if self.n_bytes > self._limits.inflated_bytes:
                    raise ImportRefused(self.too_large(self.n_bytes))
                wanted = batch.slice(skip, left)
                skip = max(0, skip - batch.num_rows)
                left -= wanted.num_rows
                yield from self._read(wanted.to_pylist)
        if left:
            raise ImportRefused(f"{self._label}: {left:,} of the rows it says it has cannot be read. The file is "
                                "damaged; export it again.")

    def _read(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except (pa.ArrowException, OSError, ValueError, UnicodeError, MemoryError, IndexError, TypeError) as error:
            raise ImportRefused(f"{self._label}: it is not a Parquet file that can be read; it may be cut off or "
                                "damaged. Export it again, or use JSON lines.") from error


def _next_checked(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
    """Returns the next batch; a damaged file may decode to indices that point outside its dictionary."""
    batch = next(batches, None)
    if batch is not None:
        batch.validate(full=True)
    return batch


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_scalar(kind: pa.DataType) -> bool:
    return _is_number(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind) or _is_text(kind)


def _is_numbers(kind: pa.DataType) -> bool:
    return _is_list(kind) and _is_number(kind.value_type)


def _is_short(name: str, metadata: pq.FileMetaData) -> bool:
    """Tells whether a column of lists holds few values a row, by the file's summary."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    chunks = (group.column(position) for group in groups for position in range(group.num_columns))
    n_values = sum(chunk.num_values for chunk in chunks if chunk.path_in_schema.startswith(f"{name}."))
    return n_values <= _SHORT_LIST * metadata.num_rows


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_conversation(kind: pa.DataType) -> bool:
    """Tells whether the type is built of lists and objects and has text in it."""
    if _is_list(kind):
        return _is_text(kind.value_type) or _is_conversation(kind.value_type)
    if pa.types.is_struct(kind):
        return all(_is_scalar(f.type) or _is_conversation(f.type) for f in kind) and any(
            _is_text(f.type) or _is_conversation(f.type) for f in kind)
    return False


def _depth(kind: pa.DataType) -> int:
    if not pa.types.is_nested(kind):
        return 0
    return 1 + max((_depth(kind.field(i).type) for i in range(kind.num_fields)), default=0)


def _size(array: pa.Array) -> int:
    """Returns about how many bytes the array takes as Python values, without building them."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return int(pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0) + 8 * len(array)
    if _is_text(kind):
        return int(pc.sum(pc.binary_length(array)).as_py() or 0) + 8 * len(array)
    if _is_list(kind):
        return 8 * len(array) + _size(array.flatten())
    if pa.types.is_struct(kind):
        return sum(_size(field) for field in array.flatten()) + 8 * len(array)
    return 8 * len(array)


def read_files(
    openers: Sequence[Callable[[], BinaryIO]], label: str, limits: Limits, part: tuple[int, int | None]
) -> Iterator[dict[str, Any]]:
    """Yields the rows `part[0]` up to `part[1]` of several files in a row, under the limits for all together.

    Raises:
        ImportRefused: If a file cannot be read or a limit is exceeded.
    """
    first, stop = part
    at = n_rows = n_bytes = 0
    for open_file in openers:
        if stop is not None and at >= stop:
            return
        table = ParquetTable(open_file, label, limits, (first - at, None if stop is None else stop - at))
        for values in table:
            n_rows += 1
            if n_rows > limits.rows:
                raise ImportRefused(too_many_rows(label, limits))
            yield values
        n_bytes += table.n_bytes
        if n_bytes > limits.inflated_bytes:
            raise ImportRefused(table.too_large(n_bytes))
        at += table.n_rows


def _finite(value: Any) -> Any:
    """Returns the value with null for each NaN and infinity: pandas writes NaN where a number is missing."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return value


def _open_local(path: str) -> BinaryIO:
    return open(path, "rb")


def _open_remote(address: str) -> BinaryIO:
    import fsspec  # noqa: PLC0415 - only a data set of the hub needs it

    file: BinaryIO = fsspec.url_to_fs(address, **({"token": False} if address.startswith("hf://") else {}))[0].open(
        address, "rb")
    return file


def main() -> int:
    """Carries out one order; see `parquet_process`. Returns the exit status."""
    order = json.load(sys.stdin)
    limits = Limits(**order["limits"])
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * limits.inflated_bytes, 4 * limits.inflated_bytes))
    opener: Callable[[str], BinaryIO] = _open_remote if order["is_remote"] else _open_local
    openers = [partial(opener, file) for file in order["files"]]
    try:
        for values in read_files(openers, order["label"], limits, tuple(order["part"])):
            sys.stdout.write(json.dumps(_finite(values), ensure_ascii=False) + "\n")
    except ImportRefused as error:
        sys.stderr.write(str(error))
        return REFUSED
    except Exception as error:  # named to the parent, which says it in words
        sys.stderr.write(type(error).__name__)
        return FAILED
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # everything is written: pyarrow's threads and destructors must not end the process otherwise
