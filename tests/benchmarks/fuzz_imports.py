"""Mutants of every sample of every layout: `python -m tests.benchmarks.fuzz_imports --n 200000 --seed 1`.

Each mutant is a small file of a sample's rows, changed at random in its structure, its texts or its bytes, and imported
with or without choices. Three things must hold: nothing is raised but the lab's own errors; every row is taken, refused
or asked about; and no text of a judgement is made up or still has a conversation written into it. A finding names its
number, with which `--only` shows it again.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bnf_lab.core.errors import LabError
from bnf_lab.core.judgements import Verdict
from bnf_lab.data.conversations import find_messages
from bnf_lab.data.embedded import decode, looks_embedded
from bnf_lab.data.formats.rows import Limits, Refusal
from bnf_lab.data.formats.tables import open_table
from bnf_lab.data.importers import import_file
from bnf_lab.data.mapping import KINDS, ColumnMapping, ImportChoices
from bnf_lab.data.report import ImportReport
from tests.benchmarks.mutants import mutate_bytes, mutate_rows, to_bytes
from tests.data.samples import choices, pairs, singles, special, tools

SAMPLES = (*pairs.SAMPLES, *choices.SAMPLES, *singles.SAMPLES, *special.SAMPLES, *tools.SAMPLES)
SLOW_SECONDS = 5.0
_LAYOUTS = ("pairs", "choices", "labels", "ratings", "ranks", "lists", "objects", "chains", "argilla", "stepwise")


@dataclass
class Findings:
    """What a run of mutants gave: how many ended how, and what must not be."""

    ends: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)


def run(numbers: Sequence[int], seed: int, folder: Path) -> Findings:
    """Imports the mutants of these numbers."""
    findings = Findings()
    for number in numbers:
        path, said = write_mutant(number, seed, folder)
        started = time.monotonic()
        try:
            report = import_file(path, choices=said)
        except LabError as error:
            findings.ends["refused"] += 1
            problem = "an error without words" if not str(error).strip() or len(str(error)) > 600 else ""
        except Exception:
            findings.ends["defects"] += 1
            problem = traceback.format_exc(limit=-4)
        else:
            findings.ends["asked" if report.questions else "taken" if report.judgements else "nothing taken"] += 1
            problem = check_report(report, path)
        if time.monotonic() - started > SLOW_SECONDS:
            problem += f" it took {time.monotonic() - started:.1f} s"
        if problem:
            findings.found.append(f"--seed {seed} --only {number}: {problem}")
    return findings


def write_mutant(number: int, seed: int, folder: Path) -> tuple[Path, ImportChoices]:
    """Writes one mutant, the same for the same number and seed."""
    rng = random.Random(f"{seed} {number}")  # noqa: S311 - not for secrets
    sample = rng.choice(SAMPLES)
    rows = mutate_rows(sample.rows, rng.choice(SAMPLES).rows, rng)
    suffix = rng.choice(("jsonl", "jsonl", "json", "csv"))
    data = to_bytes(rows, suffix, rng)
    if rng.random() < 0.2:
        data = mutate_bytes(data, rng)
    path = folder / f"mutant.{suffix}"
    path.write_bytes(data)
    return path, sample.choices if rng.random() < 0.75 else _choose(rng, rows)


def _choose(rng: random.Random, rows: Sequence[Any]) -> ImportChoices:
    names = [name for row in rows if isinstance(row, dict) for name in row] or ["prompt"]
    values = [v for row in rows if isinstance(row, dict) for v in row.values() if isinstance(v, str | int)] or ["1"]
    columns = None
    if rng.random() < 0.4:
        kind = rng.choice(tuple(KINDS))
        places = {
            part: rng.choice(names) + rng.choice(("", "", "[]", ".x", "[0]", "[].text")) for part in KINDS[kind][1]
        }
        columns = ColumnMapping(kind, **places)
    return ImportChoices(
        layout=rng.choice(("", *_LAYOUTS)),
        decides=rng.choice(("", "correctness", "details.rating", *names)),
        labels={str(v).lower()[:40]: rng.choice((*Verdict, None)) for v in rng.choices(values, k=rng.randrange(3))},
        leave_out=tuple(rng.choices(names, k=rng.randrange(3))),
        columns=columns,
        turn_round=rng.random() < 0.3,
    )


def check_report(report: ImportReport, path: Path) -> str:
    """Returns what is wrong with a report, "" if nothing is."""
    if not report.questions and report.taken + len({r.row for r in report.refused}) != report.n_rows:
        return f"{report.n_rows} rows, {report.taken} taken, {len(report.refused)} refused ({report.layout})"
    if any(len(text) > 500 for text in (*report.warnings, *(r.reason for r in report.refused))):
        return "a text of more than 500 characters"
    if not report.judgements:
        return ""
    held = _Held(path)
    for judgement in report.judgements:
        for text in (*(m.content for m in judgement.prompt), judgement.response):
            problem = held.check(text)
            if problem:
                return f"{problem}: {text[:200]!r} ({report.layout})"
    return _check_pairs(report)


def _check_pairs(report: ImportReport) -> str:
    by_pair: dict[str, list[Any]] = {}
    for judgement in report.judgements:
        if judgement.pair_id:
            by_pair.setdefault(judgement.pair_id, []).append(judgement)
    for members in by_pair.values():
        texts = {j.response.strip() for j in members}
        if len(members) != 2 or len(texts) != 2 or {j.verdict for j in members} != set(Verdict):
            return f"a pair that is none ({report.layout})"
    return ""


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        try:
            decoded = decode(value) if value.strip()[:1] in ("[", "{", "a") else None
        except ValueError:
            decoded = None
        if isinstance(decoded, list | dict):
            yield from _texts(decoded)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, int | float):
        yield getattr(value, "text", str(value))


def _is_conversation(text: str) -> bool:
    if not looks_embedded(text):
        return False
    try:
        return find_messages(decode(text)) is not None
    except ValueError:
        return False


class _Held:
    """The texts of a file, against which those of judgements are held."""

    def __init__(self, path: Path) -> None:
        rows = [row.values for row in open_table(path, path.name, Limits()) if not isinstance(row, Refusal)]
        self._whole = "\x1f".join(text for row in rows for text in _texts(row))
        cells = {cell.strip() for row in rows for cell in row.values() if isinstance(cell, str)}
        self._conversations = {cell for cell in cells if _is_conversation(cell)}

    def check(self, text: str) -> str:
        """Returns what is wrong with a text. What readers join, they join with line breaks or between think tags."""
        if text.strip() in self._conversations:
            return "a conversation was taken as a text"
        bare = text.replace("<think>\n", "\n").replace("\n</think>\n\n", "\n")
        made_up = [line for line in bare.split("\n") if line.strip() and not self._holds(line.strip())]
        return f"{made_up[0][:80]!r} is not in the file" if made_up else ""

    def _holds(self, line: str) -> bool:
        """Tells whether a line stands in the file; a solution's first steps and what follows may share one."""
        if line in self._whole:
            return True
        return any(line[:i].strip() in self._whole and line[i:].strip() in self._whole for i in range(1, len(line)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fuzz_imports", description=__doc__)
    parser.add_argument("--n", type=int, default=2_000, help="how many mutants (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which mutants (%(default)s)")
    parser.add_argument("--start", type=int, default=0, help="the first number (%(default)s)")
    parser.add_argument("--only", type=int, help="show this mutant, and what becomes of it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.only is not None:
            path, said = write_mutant(args.only, args.seed, Path(folder))
            print(path.read_bytes()[:4000].decode("utf-8", "replace"), "\n", json.dumps(said.to_dict(), default=str))
            print("\n".join(run([args.only], args.seed, Path(folder)).found) or "nothing found")
            return
        started, ends, n_found = time.monotonic(), Counter[str](), 0
        for first in range(args.start, args.start + args.n, 1_000):
            findings = run(range(first, min(first + 1_000, args.start + args.n)), args.seed, Path(folder))
            ends += findings.ends
            n_found += len(findings.found)
            print("\n".join(findings.found), end="\n" if findings.found else "", flush=True)
        rate = args.n / (time.monotonic() - started)
    print(f"{args.n:,} mutants, {rate:,.0f} a second, {n_found:,} findings; {dict(ends)}")
    raise SystemExit(bool(n_found))


if __name__ == "__main__":
    main()
