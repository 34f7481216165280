"""A hundred thousand rows in every format: how long reading them takes and how far memory grows, alone and imported."""

from __future__ import annotations

import csv
import gzip
import json
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.children import Channel, Child, read_peak_gib, say
from tests.benchmarks.report import Row

N_ROWS, N_QUICK_ROWS = 100_000, 10_000
Rows = Sequence[dict[str, Any]]


def write_lines(rows: Rows, path: Path) -> None:
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def write_document(rows: Rows, path: Path) -> None:
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as file:
        json.dump(rows, file)


def write_csv(rows: Rows, path: Path) -> None:
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1, newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(rows: Rows, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(list(rows)), path, compression="zstd")


def write_excel(rows: Rows, path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("rows")
    for row in ({name: name for name in rows[0]}, *rows):
        sheet.append(list(row.values()))
    book.save(path)


def to_texts(row: dict[str, Any]) -> dict[str, str]:
    """Returns the row with the last message of each conversation, since CSV and Excel hold texts."""
    return {name: value if isinstance(value, str) else value[-1]["content"] for name, value in row.items()}


WRITERS: dict[str, Callable[[Rows, Path], None]] = {
    "JSON lines": write_lines,
    "JSON": write_document,
    "CSV": write_csv,
    "Parquet": write_parquet,
    "Excel": write_excel,
}


def measure_table(channel: Channel, *, path: str, is_import: bool) -> None:
    """Reads a file once, or imports it; its own limit of bytes is lifted, since some formats compress less."""
    from bnf_lab.data.formats.rows import Limits
    from bnf_lab.data.formats.tables import open_table
    from bnf_lab.data.importers import import_file

    channel.receive()
    limits = Limits(file_bytes=1 << 30)
    start_gib, began = read_peak_gib(), time.perf_counter()
    if is_import:
        n = import_file(Path(path), limits=limits).taken
    else:
        n = sum(1 for _ in open_table(Path(path), path, limits))
    seconds = time.perf_counter() - began
    child_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
    channel.send(n=n, seconds=seconds, growth_mb=(read_peak_gib() - start_gib) * 1073.741824, child_mb=child_mb)


def measure_all(rows: Rows, folder: Path) -> Iterator[Row]:
    """Writes the rows in every format and yields what reading and importing each takes.

    Raises:
        RuntimeError: If a row is lost.
    """
    for name, write in WRITERS.items():
        path = folder / f"rows-{name.replace(' ', '-')}"
        write(rows, path)
        for what, is_import in (("reading", False), ("importing", True)):
            with Child("tables", "measure_table", path=str(path), is_import=is_import) as child:
                record = child.ask()
            if record["n"] != len(rows):
                raise RuntimeError(f"{name}: {record['n']:,} of {len(rows):,} rows came through {what}.")
            case = f"{len(rows):,} rows, {name}"
            say(f"{case}: {what} {record['seconds']:.1f} s, {record['growth_mb']:.0f} MB more")
            yield Row(case, what, "s", (record["seconds"],))
            yield Row(case, f"{what}: growth of peak memory", "MB", (record["growth_mb"],))
            if record["child_mb"]:
                yield Row(case, f"{what}: peak of the reading process", "MB", (record["child_mb"],))
