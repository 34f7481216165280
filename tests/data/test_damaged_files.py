"""Good files of every kind, damaged at random (always the same way): a true report or a clear error, never a crash."""

from __future__ import annotations

import gzip
import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bnf_lab.core.errors import LabError
from bnf_lab.data.importers import import_file

HH = "\n\nHuman: Hi\n\nAssistant:"


def parquet_bytes(records):
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), buffer)
    return buffer.getvalue()


def good_files():
    csv = "prompt,chosen,rejected\n" + "".join(f'q{i},"good, {i}","poor ""{i}"""\n' for i in range(5))
    talks = [
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": str(i)}], "kto_tag": i > 2}
        for i in range(5)
    ]
    tables = [
        [{"prompt": f"q{i}", "chosen": f"good {i}", "rejected": f"poor {i}"} for i in range(5)],
        [{"prompt": f"q{i}", "response": f"a{i}", "score": i} for i in range(5)],
        talks,
        [{"prompt": f"q{i}", "responses": ["a", "b", "c"], "ranks": [1, 2 + i, 3]} for i in range(5)],
        [{"chosen": HH + f" {i}", "rejected": HH + " b"} for i in range(5)],
    ]
    for records in tables:
        lines = "\n".join(map(json.dumps, records)).encode()
        yield from (lines, gzip.compress(lines), json.dumps({"n": 1, "data": records}, indent=1).encode())
        yield json.dumps({k: [r[k] for r in records] for k in records[0]}).encode()
    yield parquet_bytes(talks)  # one only: each reading of Parquet is a process
    yield csv.encode()


PIECES = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\n",
    b"\x00",
    b":",
    b"\xff",
    b"\\",
    b"NaN",
    b"null",
    b"1e999",
    b"\\ud800",
    b"7" * 5000,
]


def mutated(data, rng):
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        start = rng.randrange(len(data) + 1)
        end = start + rng.randrange(30)
        piece = rng.choice((b"", bytes([rng.randrange(256)]), data[start:end], rng.choice(PIECES)))
        cut = rng.choice((start, start + 1, end, len(data) if rng.random() < 0.2 else start))
        data = data[:start] + piece + data[cut:]
    return data


@pytest.mark.slow
def test_mutated_files_give_a_true_report_or_a_clear_error(tmp_path):
    rng = random.Random(20)  # noqa: S311 - not for secrets
    files, path = list(good_files()), tmp_path / "upload"
    reports = 0
    for _ in range(400):
        path.write_bytes(mutated(rng.choice(files), rng))
        try:
            report = import_file(path, name=rng.choice(("a.jsonl", "a.json", "a.csv", "a.parquet")))
        except LabError as error:
            assert len(str(error)) <= 500
            assert str(tmp_path) not in str(error)
            continue
        reports += 1
        assert report.layout is None or report.taken + len(report.refused) == report.n_rows
        assert all(len(text) <= 500 for text in (*report.warnings, *(r.reason for r in report.refused)))
        for judgement in report.judgements:
            texts = [judgement.response, *(m.content for m in judgement.prompt)]
            assert all(text.strip() and "\x00" not in text and text.encode() for text in texts)
    assert 50 < reports < 390
