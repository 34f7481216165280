"""Parquet -> rows, a small batch at a time: what runs inside the process that `parquet` starts.

A small Parquet file can say "fifty million rows", or point a hundred thousand rows at one long text. So its own
summary is checked before anything is decoded, texts are decoded as a dictionary, and their sizes are added up
before they become Python values. Knows the format only: no schemas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from bnf_lab.core.errors import ImportRefused
from bnf_lab.core.numbers import counted
from bnf_lab.data.formats.arrow_values import measure, to_rows
from bnf_lab.data.formats.parquet_summary import Columns, find_texts
from bnf_lab.data.formats.row_worker import Answer, Order, serve, write_row
from bnf_lab.data.formats.rows import Limits, megabytes, too_many_rows

_MAX_VALUES = 5_000_000


class ParquetTable:
    """The rows of a Parquet file as JSON, without columns of vectors.

    Args:
        file: The file, open for reading.
        label: How messages call it.
        limits: What one import may bring.

    Raises:
        ImportRefused: If the file is damaged, too large once decoded, or has no usable column.

    Attributes:
        columns: Its columns.
    """

    columns: Columns

    def __init__(self, file: BinaryIO, label: str, limits: Limits) -> None:
        self._file, self._label, self._limits = file, label, limits
        self._read(lambda: self._inspect(pq.ParquetFile(file)))

    def _inspect(self, source: pq.ParquetFile) -> None:
        """Decides from the file's summary what to decode, and whether to."""
        metadata = source.metadata
        self._n_rows = metadata.num_rows
        if self._n_rows > self._limits.rows:
            raise ImportRefused(too_many_rows(self._label, self._limits))
        self.columns = Columns(metadata, source.schema_arrow, self._label, self._limits)
        n_values, n_bytes = self.columns.sizes(metadata)
        self._check_size(n_bytes)
        if n_values > _MAX_VALUES:
            raise ImportRefused(
                f"{self._label}: it holds {counted(n_values, 'value')}; at most {_MAX_VALUES:,} are accepted. "
                "Keep the columns and rows that are needed."
            )
        self._texts = find_texts(metadata)

    def _check_size(self, n_bytes: int) -> None:
        if n_bytes > self._limits.inflated_bytes:
            raise ImportRefused(
                f"{self._label}: it is at least {megabytes(n_bytes)} once decompressed; at most "
                f"{megabytes(self._limits.inflated_bytes)} are accepted. Split it, or keep the columns that are needed."
            )

    def __iter__(self) -> Iterator[str]:
        n_rows = n_bytes = 0
        source = self._read(lambda: pq.ParquetFile(self._file, read_dictionary=self._texts))
        batches = source.iter_batches(self.columns.batch_rows, columns=self.columns.names, use_threads=False)
        while (batch := self._read(lambda: _next_checked(batches))) is not None:
            n_bytes += sum(map(measure, batch.columns))
            self._check_size(n_bytes)
            n_rows += batch.num_rows
            yield from self._read(partial(_all_rows, batch))
        if n_rows != self._n_rows:
            raise ImportRefused(
                f"{self._label}: it says it has {counted(self._n_rows, 'row')}, and {n_rows:,} can be read. The"
                " file is damaged; export it again."
            )

    def _read(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except (pa.ArrowException, OSError, ValueError, MemoryError, IndexError, TypeError, OverflowError) as error:
            raise ImportRefused(
                f"{self._label}: it is not a Parquet file that can be read; it may be cut off or "
                "damaged. Export it again, or use JSON lines."
            ) from error


def _next_checked(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
    """Returns the next batch; a damaged file may decode to indices that point outside its dictionary."""
    batch = next(batches, None)
    if batch is not None:
        batch.validate(full=True)
    return batch


def _all_rows(batch: pa.RecordBatch) -> list[str]:
    return list(to_rows(batch))


def read(order: Order) -> Answer:
    """Writes down the rows of a file; see `parquet.read_parquet`."""
    with open(order.what["path"], "rb") as file:
        table = ParquetTable(file, order.label, order.limits)
        for number, row in enumerate(table, start=1):
            write_row(number, row)
    return Answer("Parquet", table.columns.notes)


if __name__ == "__main__":
    serve(read)
