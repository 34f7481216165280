"""Parquet files of the hub -> rows, streamed by `datasets`: what runs inside the process that `hub` starts.

Only files that were found in the hub's own Parquet copy are named to it, so that no script, loader or address of a
data set is followed, and of these only the ones that hold the wanted rows. Knows the format only: no schemas.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import load_dataset

from bnf_lab.core.errors import ImportRefused
from bnf_lab.core.numbers import counted
from bnf_lab.data.formats.arrow_values import measure, to_rows
from bnf_lab.data.formats.parquet_summary import Columns
from bnf_lab.data.formats.row_worker import Answer, Order, serve, write_row
from bnf_lab.data.formats.rows import Limits, megabytes

_SMALL_ROWS = 64
_MAX_COUNTED = 32  # files whose rows are counted only to say how many there are


@dataclass(frozen=True)
class Plan:
    """What to fetch.

    Attributes:
        files: The files with the wanted rows.
        skip: Rows of the first of them that come before.
        n_rows: How many rows are wanted, at most.
        total: The rows of the split; None where not every file was asked.
        summary: What the first file says about itself; None without one.
    """

    files: tuple[str, ...]
    skip: int
    n_rows: int
    total: int | None
    summary: pq.FileMetaData | None


def plan_files(files: Sequence[str], first: int, stop: int | None, limits: Limits) -> Plan:
    """Decides by the files' summaries which of them hold the rows from `first` up to `stop`."""
    last = first + limits.rows if stop is None else min(stop, first + limits.rows)
    chosen: list[str] = []
    at = skip = n_asked = 0
    summary = None
    for file in files:
        if at >= last and len(files) > _MAX_COUNTED:
            break
        try:
            found = _read_summary(file)
        except (OSError, ValueError, pa.ArrowException):
            if at < last:
                raise
            break  # only its number of rows was wanted
        if at < last and at + found.num_rows > first:
            skip, summary = (skip, summary) if chosen else (max(0, first - at), found)
            chosen.append(file)
        at, n_asked = at + found.num_rows, n_asked + 1
    total = at if n_asked == len(files) else None
    return Plan(tuple(chosen), skip, max(0, last - first), total, summary)


def read(order: Order) -> Answer:
    """Writes down the rows of a part of a split; see `hub.open_hub_table`."""
    first, stop = order.what["part"]
    plan = plan_files(order.what["files"], first, stop, order.limits)
    if plan.summary is None:
        raise ImportRefused(f"{order.label}: no row is there; the split has {plan.total or 0:,}. Choose another part.")
    columns = Columns(plan.summary, plan.summary.schema.to_arrow_schema(), order.label, order.limits)
    n_read = n_bytes = 0
    for batch in _small(_stream(plan, columns)):
        n_bytes += sum(map(measure, batch.columns))
        if n_bytes > order.limits.inflated_bytes:
            break
        for row in to_rows(batch):
            n_read += 1
            write_row(first + n_read, row)
    notes = [_say_part(first, n_read, plan, order.limits, is_cut=n_bytes > order.limits.inflated_bytes)]
    if order.what["is_partial"]:
        notes.append("The hub's Parquet copy holds only the first part of this split.")
    return Answer("Hub data set, its Parquet copy", (*notes, *columns.notes))


def _read_summary(address: str) -> pq.FileMetaData:
    is_hub = address.startswith("hf://")
    system, path = fsspec.url_to_fs(address, **({"token": False} if is_hub else {}))
    with system.open(path, "rb") as file:
        return pq.read_metadata(file)


def _stream(plan: Plan, columns: Columns) -> Iterator[pa.RecordBatch]:
    rows = load_dataset(
        "parquet",
        data_files={"rows": list(plan.files)},
        split="rows",
        streaming=True,
        columns=columns.names,
        batch_size=columns.batch_rows,
        token=False,  # the server's own would open private sets to everybody
    )
    wanted = rows.skip(plan.skip).take(plan.n_rows).with_format("arrow")  # as Arrow, no picture or sound is decoded
    for table in wanted.iter(batch_size=columns.batch_rows):
        yield from table.combine_chunks().to_batches()


def _small(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yields batches of so few rows that a limit of bytes does not cost many."""
    for batch in batches:
        for start in range(0, batch.num_rows, _SMALL_ROWS):
            yield batch.slice(start, _SMALL_ROWS)


def _say_part(first: int, n_read: int, plan: Plan, limits: Limits, *, is_cut: bool) -> str:
    of = f"of {plan.total:,}" if plan.total is not None else "of more"
    said = f"Rows {first + 1:,} to {first + n_read:,} {of}."
    if not is_cut and n_read < limits.rows:
        return said
    reason = megabytes(limits.inflated_bytes) if is_cut else counted(limits.rows, "row")
    if plan.total == first + n_read:
        return said
    return f"{said} One import takes {reason} at most; the rest is not read: ask for [{first + n_read}:]."


if __name__ == "__main__":
    serve(read)
