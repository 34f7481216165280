"""A small file as its source writes it, and what its owner means by it.

Prompts are written short: turns between bars, the user's without a name ("system: Be kind | Hi | assistant: Yes? |
Why?"). A judged row is (prompt, preferred, dispreferred) for a pair, (prompt, "+answer") or (prompt, "-answer") else.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bnf_lab.core.judgements import Message, group_units
from bnf_lab.data.importers import import_file
from bnf_lab.data.mapping import ImportChoices
from bnf_lab.data.report import ImportReport

Judged = tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """Rows as a data set or tool writes them.

    Attributes:
        name: Which one.
        layout: How the report calls it.
        rows: The rows, with everything that really stands beside what is read.
        judged: What they mean, in order.
        said: Beginnings of sentences that the report must hold; no other warning may be there.
        refused: Row -> words of the reason.
        decides: What may decide, the chosen one first.
        choices: What the person says.
        formats: In which formats the sample is tried; a table of one struct type cannot hold every one.
    """

    name: str
    layout: str
    rows: Sequence[Mapping[str, Any]]
    judged: Sequence[Judged]
    said: tuple[str, ...] = ()
    refused: Mapping[int, str] = field(default_factory=dict)
    decides: tuple[str, ...] = ()
    choices: ImportChoices = field(default_factory=ImportChoices)
    formats: tuple[str, ...] = ("jsonl", "parquet")

    def __str__(self) -> str:
        return self.name


PARQUET = pytest.param("parquet", marks=pytest.mark.slow)  # each file is read by a process of its own
EVERYWHERE = ("jsonl", "csv", PARQUET)


def cases(samples: Sequence[Sample]) -> list[Any]:
    """Returns each sample with each of its formats, for `parametrize`."""
    slow = {"parquet": [pytest.mark.slow]}
    return [pytest.param(s, f, id=f"{s}-{f}", marks=slow.get(f, [])) for s in samples for f in s.formats]


def write(sample: Sample, path: Path) -> Path:
    """Writes a sample in the format of the path's suffix: lists of objects as text cells in CSV."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in sample.rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(list(sample.rows), indent=1), encoding="utf-8")
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([dict(row) for row in sample.rows]), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            sheet = csv.DictWriter(file, list(dict.fromkeys(name for row in sample.rows for name in row)))
            sheet.writeheader()
            sheet.writerows(sample.rows)
    return path


def short_prompt(prompt: Sequence[Message]) -> str:
    return " | ".join(m.content if m.role == "user" else f"{m.role}: {m.content}" for m in prompt)


def judged_of(report: ImportReport) -> list[Judged]:
    """Returns what a report took, as samples are written."""
    found: list[Judged] = []
    for unit in group_units(report.judgements):
        asked = short_prompt(unit[0].prompt)
        texts = [j.response for j in unit]
        signs = ["+" if j.is_preferred else "-" for j in unit]
        found.append((asked, *texts) if len(unit) == 2 else (asked, signs[0] + texts[0]))
    return found


def check(sample: Sample, path: Path) -> ImportReport:
    """Imports a sample and compares everything that it says."""
    report = import_file(path, name=path.name, choices=sample.choices)
    assert report.questions == (), [question.text for question in report.questions]
    assert report.layout == sample.layout
    assert judged_of(report) == [tuple(row) for row in sample.judged]
    assert {r.row for r in report.refused} == set(sample.refused), [r.reason for r in report.refused]
    for refusal in report.refused:
        assert sample.refused[refusal.row] in refusal.reason
    spoken = [*report.warnings, *report.notes, report.how or ""]
    for sentence in sample.said:
        assert any(sentence in text for text in spoken), (sentence, spoken)
    others = [w for w in report.warnings if not any(sentence in w for sentence in sample.said)]
    assert others == []
    assert report.decides == sample.decides
    return report


def user(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


def reply(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def talk(*texts: str, system: str | None = None) -> list[dict[str, Any]]:
    """Returns messages of the user and the assistant in turn."""
    begin = [] if system is None else [{"role": "system", "content": system}]
    return begin + [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def human(*texts: str, system: str | None = None) -> list[dict[str, Any]]:
    """Returns messages as ShareGPT writes them."""
    begin = [] if system is None else [{"from": "system", "value": system}]
    return begin + [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(texts)]


def transcript(*texts: str) -> str:
    """Returns turns as Anthropic's sets write them."""
    return "".join(f"\n\n{('Human', 'Assistant')[i % 2]}: {text}" for i, text in enumerate(texts))
