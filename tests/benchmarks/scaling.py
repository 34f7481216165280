"""How time and memory grow: with the length of a sequence, the responses of a step, and the judgements of a run.

Every case is a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bnf_lab.models.loading import pick_compute_dtype, pick_device
from tests.benchmarks import tables
from tests.benchmarks.children import Child, say
from tests.benchmarks.loads import spread
from tests.benchmarks.report import Report, Row
from tests.benchmarks.work import default_pairs, find_model

PARTS = ("length", "responses", "import", "tables", "run")
LENGTHS, QUICK_LENGTHS = (128, 256, 512, 1024, 2048), (128, 512)
RESPONSES, QUICK_RESPONSES = (1, 2, 4, 8, 16, 32, 64), (1, 8)
JUDGEMENTS, QUICK_JUDGEMENTS = (100, 1_000, 10_000, 100_000), (100, 10_000)
FIXED_RESPONSES, FIXED_LENGTH = 2, 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="the ends of each scale only, a minute or two")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"comma-separated: {', '.join(PARTS)}")
    parser.add_argument("--steps", type=int, default=1, help="measured steps a case, after one to warm up")
    parser.add_argument("--sample", type=int, default=64, help="responses that the reference pass is measured on")
    parser.add_argument("--dtype", choices=("auto", "bfloat16", "float32"), default="auto")
    parser.add_argument("--model", default="embedded", help="embedded, random:0.5b, random:1.5b or a folder")
    parser.add_argument("--data", type=Path, default=None, help="JSON lines of pairs (prompt, chosen, rejected)")


def run(args: argparse.Namespace) -> Report:
    """Measures the parts asked for and reports."""
    parts = [part.strip() for part in args.parts.split(",")]
    if set(parts) - set(PARTS):
        raise SystemExit(f"--parts is {args.parts}; accepted are {', '.join(PARTS)}.")
    device = pick_device()
    dtype = str(pick_compute_dtype(device)).removeprefix("torch.") if args.dtype == "auto" else args.dtype
    model = find_model(args.model)
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    spec = {"model": str(model), "dtype": dtype}
    if "length" in parts:
        sizes = QUICK_LENGTHS if args.quick else LENGTHS
        rows += _training(spec, [(n, FIXED_RESPONSES) for n in sizes], args.steps)
    if "responses" in parts:
        sizes = QUICK_RESPONSES if args.quick else RESPONSES
        rows += _training(spec, [(FIXED_LENGTH, n) for n in sizes], args.steps)
    with tempfile.TemporaryDirectory() as folder:
        sizes = QUICK_JUDGEMENTS if args.quick else JUDGEMENTS
        files = write_files(args.data or default_pairs(), sizes, Path(folder))
        if "import" in parts:
            found, ratios = _imports(files)
            rows += found
        if "tables" in parts:
            n_rows = tables.N_QUICK_ROWS if args.quick else tables.N_ROWS
            pairs = spread(read_pairs(args.data or default_pairs()), n_rows)
            rows += tables.measure_all([tables.to_texts(pair) for pair in pairs], Path(folder))
        if "run" in parts:
            rows += _run_starts(files, spec, args.sample)
    conditions = {
        "device": device.type,
        "model": model.name,
        "dtype": dtype,
        "data": (args.data or default_pairs()).name,
        "parts": args.parts,
        "import": "JSON lines, gzipped, the app's own limits",
        "reference": f"measured on {args.sample} responses, the rest estimated",
    }
    return Report("scaling", tuple(rows), ratios, conditions)


def write_files(source: Path, sizes: tuple[int, ...], folder: Path) -> dict[int, Path]:
    """Writes a file of pairs for each number of judgements; gzipped, because the largest exceeds a plain upload."""
    pairs, files = read_pairs(source), {}
    for n in sizes:
        files[n] = folder / f"{n}.jsonl.gz"
        with gzip.open(files[n], "wt", encoding="utf-8", compresslevel=1) as file:
            file.writelines(json.dumps(row) + "\n" for row in spread(pairs, n // 2))
    return files


def read_pairs(source: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines() if line]


def _training(spec: dict[str, str], cases: list[tuple[int, int]], steps: int) -> Iterator[Row]:
    for n_tokens, n_responses in cases:
        case = f"{n_responses} x {n_tokens} tokens"
        with Child("loads", "measure_training", n_tokens=n_tokens, n_responses=n_responses, steps=steps, **spec) as one:
            one.receive()
            records = [one.ask(step=number) for number in range(steps + 1)][1:]
        seconds = tuple(record["seconds"] for record in records)
        say(f"{case}: {seconds[0]:.2f} s, {records[-1]['peak_gib']:.2f} GiB")
        yield Row(case, "step", "s", seconds)
        yield Row(case, "real tokens", "token/s", tuple(r["tokens"] / r["seconds"] for r in records))
        yield Row(case, "peak memory", "GiB", (records[-1]["peak_gib"],))


def _imports(files: dict[int, Path]) -> tuple[list[Row], dict[str, float]]:
    rows: list[Row] = []
    records = {}
    for n, path in files.items():
        with Child("loads", "measure_import", path=str(path)) as child:
            records[n] = record = child.ask()
        case, total = f"{n:,} judgements", record["read"] + record["store"]
        say(f"{case}: imported in {total:.2f} s, {record['peak_gib']:.2f} GiB")
        rows += [
            Row(case, "import", "s", (total,)),
            Row(case, "import: reading", "s", (record["read"],)),
            Row(case, "import: storing", "s", (record["store"],)),
            Row(case, "counting them", "s", (record["count"],)),
            Row(case, "peak memory of import", "GiB", (record["peak_gib"],)),
            Row(case, "memory above start", "KiB each", ((record["peak_gib"] - record["start_gib"]) * 2**20 / n,)),
        ]
    small, large = min(records), max(records)
    seconds = {n: record["read"] + record["store"] for n, record in records.items()}
    return rows, {
        "import_seconds_at_largest": seconds[large],
        "import_peak_largest_over_smallest": records[large]["peak_gib"] / records[small]["peak_gib"],
        "import_seconds_each_largest_over_smallest": (seconds[large] / large) / (seconds[small] / small),
    }


def _run_starts(files: dict[int, Path], spec: dict[str, str], sample: int) -> Iterator[Row]:
    rate = 0.0
    with Child("loads", "measure_reference", path=str(files[max(files)]), n=sample, max_tokens=512, **spec) as child:
        record = child.ask()
        rate = record["n_tokens"] / record["seconds"]
        say(f"reference pass: {rate:.0f} token/s")
        yield Row(f"{sample} responses", "reference pass", "token/s", (rate,))
        yield Row(f"{sample} responses", "peak of reference pass", "GiB", (record["peak_gib"],))
    for n, path in files.items():
        case = f"{n:,} judgements"
        with Child("loads", "measure_run_start", path=str(path), max_tokens=512, **spec) as child:
            record = child.ask()
        say(f"{case}: tokenised in {record['tokenise']:.2f} s, run prepared in {record['start']:.2f} s")
        yield Row(case, "tokenising", "s", (record["tokenise"],))
        yield Row(case, "tokenising", "token/s", (record["n_tokens"] / record["tokenise"],))
        yield Row(case, "preparing a 1-step run", "s", (record["start"],))
        yield Row(case, "peak of preparing", "GiB", (record["peak_gib"],))
        yield Row(case, "all under reference, est.", "s", (record["n_tokens"] / rate,))
