"""Parquet: every type that tables are made of, files of every writer, bombs, and a reader process that may die."""

from __future__ import annotations

import datetime
import sys
from decimal import Decimal

import pyarrow as pa
import pytest

from bnf_lab.core.errors import ImportRefused
from bnf_lab.data.formats.parquet import read_parquet
from bnf_lab.data.formats.rows import Limits, Literal, Refusal
from tests.support.tables import ROWS, open_bytes, parquet, read_values, refusal

TALK = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
NOON = datetime.datetime(2024, 1, 2, 12, 30)


def column(tmp_path, array: pa.Array) -> list[object]:
    return [row["x"] for row in read_values(tmp_path, parquet(pa.table({"x": array, "prompt": ["p"] * len(array)})))]


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array(["a", None], pa.string_view()), ["a", None]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([1, None], pa.int8()), [1, None]),
        (pa.array([2**63], pa.uint64()), [2**63]),
        (pa.array([0.1, None], pa.float32()), [0.1, None]),
        (pa.array([True, None]), [True, None]),
        (pa.nulls(2), [None, None]),
        (pa.array([NOON, None], pa.timestamp("ns")), ["2024-01-02T12:30:00", None]),
        (pa.array([NOON], pa.timestamp("ms", "Europe/Berlin")), ["2024-01-02T12:30:00+00:00"]),
        (pa.array([NOON.date()]), ["2024-01-02"]),
        (pa.array([NOON.time()], pa.time64("ns")), ["12:30:00"]),
        (pa.array([datetime.timedelta(seconds=90)], pa.duration("ns")), ["0:01:30"]),
        (pa.array([TALK, None]), [TALK, None]),
        (pa.array([["a"], []], pa.large_list(pa.string())), [["a"], []]),
        (pa.array([[1, 2]], pa.list_(pa.int32(), 2)), [[1, 2]]),
        (pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())), [{"a": 1}, None]),
        (pa.array([[(1, "a")]], pa.map_(pa.int64(), pa.string())), [{"1": "a"}]),
        (pa.array([{"at": NOON, "of": [{"score": 0.1}]}]), [{"at": "2024-01-02T12:30:00", "of": [{"score": 0.1}]}]),
        (pa.ExtensionArray.from_storage(pa.json_(), pa.array(['[{"role": "user"}]'])), ['[{"role": "user"}]']),
        (pa.array([b"\x89PNG\x00", None]), [{"bytes": "<5 bytes>", "path": None}, None]),
        (pa.array([{"bytes": b"\x89PNG", "path": "a.png"}]), [{"bytes": "<4 bytes>", "path": "a.png"}]),
        (pa.array([[{"bytes": b"text", "path": None}]]), [[{"bytes": "<4 bytes>", "path": None}]]),
        (pa.array(["caf\u00e9\n".encode(), b""]), ["caf\u00e9\n", ""]),
        (pa.array([0.5, None]).dictionary_encode(), [0.5, None]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_every_type_becomes_the_value_that_people_mean(tmp_path, array: pa.Array, values: list[object]) -> None:
    assert column(tmp_path, array) == values


def test_decimals_and_floats_keep_their_spelling(tmp_path) -> None:
    for array, texts in (
        (pa.array([Decimal("1.50"), Decimal("-0.10"), None], pa.decimal128(9, 2)), ["1.50", "-0.10", None]),
        (pa.array([Decimal(10) ** 30], pa.decimal256(60, 0)), [str(10**30)]),
        (pa.array([0.1, 1e22, 3.0], pa.float32()), ["0.1", "1e+22", "3.0"]),
    ):
        values = column(tmp_path, array)
        assert [value.text if isinstance(value, Literal) else value and str(value) for value in values] == texts


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY", "RLE_DICTIONARY"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_files_of_other_writers_are_read(tmp_path, encoding: str, version: str) -> None:
    """DuckDB, Spark and polars use these encodings and pages, and leave no note on Arrow's types."""
    rows = [row | {"talk": TALK} for row in ROWS]
    leaves = ("prompt", "chosen", "rejected", "talk.list.element.role", "talk.list.element.content")
    options = {"use_dictionary": False, "column_encoding": dict.fromkeys(leaves, encoding)}
    if encoding == "RLE_DICTIONARY":
        options = {"use_dictionary": True}
    data = parquet(rows, data_page_version=version, store_schema=False, compression="zstd", **options)
    assert read_values(tmp_path, data) == rows


def test_a_number_that_is_none_is_missing_and_counted(tmp_path) -> None:
    scores = [1.0, float("nan"), float("inf")]
    table = open_bytes(tmp_path, parquet(pa.table({"prompt": ["a", "b", "c"], "score": scores})))
    assert [(row.number, row.values["score"]) for row in table] == [(1, 1.0), (2, None), (3, None)]
    assert table.notes == ("2 values NaN or Infinity, which are no numbers, read as missing.",)


def test_short_lists_of_numbers_are_read_and_vectors_are_named(tmp_path) -> None:
    row = {"prompt": "a", "ranks": [1, 2], "scores": [2.5, None], "vector": [0.5] * 64, "image": [[0.1] * 9] * 9}
    table = open_bytes(tmp_path, parquet([row]))
    (read_row,) = table
    assert read_row.values == {name: row[name] for name in ("prompt", "ranks", "scores")}
    assert table.notes == ("Not read: 'vector' (vectors of numbers), 'image' (vectors of numbers).",)


def test_a_column_of_pictures_does_not_fill_the_memory(tmp_path) -> None:
    rows = [{"prompt": f"{i}", "image": {"bytes": bytes([255]) * 100_000, "path": f"{i}.png"}} for i in range(100)]
    values = read_values(tmp_path, parquet(rows))
    assert values[99] == {"prompt": "99", "image": {"bytes": "<100000 bytes>", "path": "99.png"}}


def test_bombs_are_refused_before_they_are_decoded(tmp_path) -> None:
    same = pa.DictionaryArray.from_arrays(pa.array([0] * 5_000, pa.int32()), ["y" * 50_000])
    wide = parquet(pa.table({"prompt": same}))
    assert len(wide) < 20_000
    assert "once decompressed" in refusal(tmp_path, wide)
    many = parquet(pa.table({"prompt": pa.array(["a"] * 100_001)}))
    assert len(many) < 5_000
    assert "more than 100,000 rows" in refusal(tmp_path, many)
    nested = pa.ListArray.from_arrays([0, 6_000_000], pa.array([""]).take(pa.nulls(6_000_000, pa.int32()).fill_null(0)))
    assert "6,000,000 values" in refusal(tmp_path, parquet(pa.table({"prompt": nested})))


def test_a_file_cut_off_or_damaged_is_refused(tmp_path) -> None:
    table = pa.table({"prompt": ["abc"] * 1000, "score": list(range(1000))})
    data = parquet(table, compression="gzip")
    for broken in (data[:-1], data[: len(data) // 2], data[:4], data[:40] + bytes(60) + data[100:]):
        assert "not a Parquet file" in refusal(tmp_path, broken)


def test_nested_too_deep_or_nothing_but_vectors_is_refused(tmp_path) -> None:
    deep = pa.array(["x"])
    for _ in range(33):
        deep = pa.ListArray.from_arrays([0, 1], deep)
    assert "more than 32 deep" in refusal(tmp_path, parquet(pa.table({"prompt": deep})))
    assert "no column holds text" in refusal(tmp_path, parquet(pa.table({"vector": [[0.5] * 99]})))


def test_a_row_over_the_limit_costs_itself_only(tmp_path) -> None:
    rows = list(open_bytes(tmp_path, parquet([{"prompt": "a"}, {"prompt": "x" * 2_000_000}, {"prompt": "b"}])))
    assert [isinstance(row, Refusal) for row in rows] == [False, True, False]


@pytest.fixture
def path(tmp_path) -> str:
    (tmp_path / "x.parquet").write_bytes(parquet(ROWS))
    return str(tmp_path / "x.parquet")


@pytest.mark.parametrize("death", ["import os; os.abort()", "import os; os.kill(os.getpid(), 9)", "print(5)"])
def test_a_process_that_dies_is_a_clear_error(path, tmp_path, monkeypatch, death: str) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!{sys.executable}\n{death}\n")
    fake.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(ImportRefused, match=r"x\.parquet: it is not a Parquet file that can be read"):
        read_parquet(path, "x.parquet", Limits())


def test_a_process_that_takes_too_long_is_ended(path, tmp_path, monkeypatch) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!{sys.executable}\nimport time; time.sleep(60)\n")
    fake.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(ImportRefused, match="could not be read within"):
        read_parquet(path, "x", Limits(), seconds=0.2)
