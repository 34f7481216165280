"""Formats and limits: what is read, what is refused, and that nothing is decoded before its size is known."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bnf_lab.errors import ImportRefused
from bnf_lab.rows import Limits, Refusal
from bnf_lab.tables import open_table

ROWS = [{"prompt": f"Q{i} é", "chosen": f"good, {i}", "rejected": f'"bad"\n{i}'} for i in range(1, 5)]
LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode()
CSV = b"prompt,chosen,rejected\r\n" + b"".join(
    f'Q{i} é,"good, {i}","""bad""\n{i}"\r\n'.encode() for i in range(1, 5))
COLUMNAR = {name: [row[name] for row in ROWS] for name in ROWS[0]}
NUMBERED = {name: {str(i): row[name] for i, row in enumerate(ROWS)} for name in ROWS[0]}
SMALL = Limits(file_bytes=4_000, inflated_bytes=8_000, line_bytes=1_000, rows=5, field_chars=100)


def read(path, data, name=None, limits=None):
    path = path / "upload"
    path.write_bytes(data)
    return list(open_table(path, name or "pairs.jsonl", limits or Limits()))


def refusal(path, data, name="pairs.jsonl", limits=None):
    with pytest.raises(ImportRefused) as caught:
        read(path, data, name, limits)
    assert str(path) not in str(caught.value)
    assert name in str(caught.value)
    assert len(str(caught.value)) <= 500
    return str(caught.value)


def parquet(tmp_path, table, **options):
    pq.write_table(table, tmp_path / "x.parquet", **options)
    return (tmp_path / "x.parquet").read_bytes()


@pytest.mark.parametrize("data", [
    LINES,
    b"\xef\xbb\xbf" + LINES,
    LINES.replace(b"\n", b"\r\n\r\n"),
    json.dumps(ROWS).encode(),
    json.dumps(ROWS, indent=2).encode(),
    b"[\n" + b",\n".join(LINES.split(b"\n")) + b"\n]",
    json.dumps({"version": 1, "data": ROWS}, indent=1).encode(),
    json.dumps(COLUMNAR).encode(),
    json.dumps(NUMBERED).encode(),
    CSV,
    b"\xef\xbb\xbf" + CSV.replace(b"\r\n", b"\n"),
], ids=range(11))
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet", "no-extension"])
def test_content_decides_not_the_name(tmp_path, data, name):
    for content in (data, gzip.compress(data)):
        assert [row.values for row in read(tmp_path, content, name)] == ROWS


def test_parquet_is_read_by_content_too(tmp_path):
    data = parquet(tmp_path, pa.Table.from_pylist(ROWS))
    assert [row.values for row in read(tmp_path, data, "a.csv")] == ROWS


def test_one_object_is_one_row(tmp_path):
    row = {"chosen": [{"role": "user", "content": "a"}], "rejected": [{"role": "user", "content": "b"}]}
    assert [r.values for r in read(tmp_path, json.dumps(row).encode())] == [row]
    assert [r.values for r in read(tmp_path, json.dumps(row, indent=1).encode(), "a.json")] == [row]


@pytest.mark.parametrize(("line", "words"), [
    (b'{"prompt": NaN}', "NaN"),
    (b'{"prompt": -Infinity}', "Infinity"),
    (b'{"prompt": "a", "prompt": "b"}', "twice"),
    (b'{"prompt": {"a": 1, "a": 2}}', "twice"),
    (b'{"prompt": "a"', "not JSON"),
    (b'{"prompt": "caf\xe9"}', "not UTF-8"),
    (b'{"prompt": ' + b"9" * 5000 + b"}", "number"),
    (b'["a"]', "a list, not an object"),
    (b"null", "null, not an object"),
    (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", "more than 32 deep"),
    (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "more than 32 deep"),
    (b'{"a": ' + b'{"a":' * 100_000, "more than 32 deep"),
    (b'{"prompt": "' + b"x" * 1_000_001 + b'"}', "a line or row may have 1 MB"),
    (b"{" + b",".join(b'"%d": 1' % i for i in range(1001)) + b"}", "columns"),
])
def test_a_bad_line_is_refused_and_its_neighbours_are_taken(tmp_path, line, words):
    good = LINES.split(b"\n")
    for data in (b"\n".join([*good[:2], line, *good[2:]]), b"[" + b",".join([*good[:2], line, *good[2:]]) + b"]"):
        if data.startswith(b"[") and data.count(b"{") != data.count(b"}"):
            continue  # an open bracket leaves a document, unlike lines, without an end
        rows = read(tmp_path, data)
        assert [row.number for row in rows if not isinstance(row, Refusal)] == [1, 2, 4, 5]
        (refused,) = [row for row in rows if isinstance(row, Refusal)]
        assert refused.row == 3
        assert refused.reason.startswith("row 3")
        assert words in refused.reason
        assert len(refused.reason) <= 500


def test_brackets_inside_texts_are_not_nesting(tmp_path):
    text = "[" * 50 + '\\"' + "{" * 50
    (row,) = read(tmp_path, json.dumps([{"prompt": text}]).encode())
    assert row.values == {"prompt": text}


def test_depth_32_is_accepted(tmp_path):
    deep = b'{"a": ' + b"[" * 31 + b"]" * 31 + b"}"
    assert not isinstance(read(tmp_path, LINES + b"\n" + deep)[-1], Refusal)
    for levels, is_refused in ((16, False), (17, True)):
        mixed = b'{"a": [' * levels + b"]}" * levels
        assert isinstance(read(tmp_path, LINES + b"\n" + mixed)[-1], Refusal) == is_refused


@pytest.mark.parametrize(("data", "words"), [
    (b"", "empty"),
    (b" \n\n ", "empty"),
    (b"PK\x03\x04rest", "Excel"),
    ("prompt,chosen\na,b".encode("utf-16"), "UTF-16"),
    ("prompt,chosen\na,b".encode("utf-16-le"), "UTF-16"),
    (b'[{"prompt": "a"}', "ends too early"),
    (b'[{"prompt": "a"}] trailing', "more text follows"),
    (b'{"train": [{"a": 1}], "test": [{"a": 1}]}', "several lists"),
    (b"just a sentence\nand another", "no table"),
    (b"prompt,prompt\na,b", "two columns"),
    (b"a" * 300 + b",chosen\na,b", "first line"),
    (b"caf\xe9,chosen\na,b", "UTF-8"),
    (b'"prompt,chosen\na,b', "first line cannot be read"),
    (gzip.compress(LINES)[:-20], "cut off or damaged"),
    (gzip.compress(gzip.compress(LINES)), "a .gz file must hold"),
    (b"\x1f\x8bnot gzip", "cut off or damaged"),
    (b"PAR1" + b"x" * 100 + b"PAR1", "not a Parquet file"),
])
def test_a_file_that_is_no_table_is_refused_whole(tmp_path, data, words):
    assert words in refusal(tmp_path, data, "upload.txt")


@pytest.mark.parametrize(("data", "words"), [
    (b'{"a": "' + b"x" * 4_000 + b'"}', "a file may have"),
    (gzip.compress(b'{"a": 1}\n' + b" " * 9_000), "inflates to more than"),
    (b'{"a": 1}\n' * 6, "more than 5 rows"),
    (b"[" + b"1," * 6 + b"1]", "more than 5 rows"),
    (b'{"a": [1,1,1,1,1,1], "b": [1,1,1,1,1,1]}', "more than 5 rows"),
    (b"a,b\n" + b"1,2\n" * 6, "more than 5 rows"),
])
def test_each_limit_of_a_file_has_its_own_message(tmp_path, data, words):
    assert words in refusal(tmp_path, data, limits=SMALL)


def test_a_gzip_bomb_stops_at_the_limit(tmp_path):
    bomb = gzip.compress(b'{"a": 1}' + b"\n" * 30_000_000)
    assert len(bomb) < 100_000
    assert "inflates to more than" in refusal(tmp_path, bomb, limits=Limits(inflated_bytes=5_000_000))


@pytest.mark.parametrize(("record", "words"), [
    (b"a,b", "has 2 fields, the first line names 3 columns"),
    (b"a,b,c,d", "4 fields"),
    (b'a,"b"x,c', "quotes do not match"),
    (b"a,b,caf\xe9", "UTF-8"),
    (b'a,"' + b"x" * 1_000_001 + b'",c', "a row may have 1 MB"),
    (b"a," + b"x" * 200_000 + b",c", "more than 100,000 characters"),
    (b"a,b,\"[{'role': 'user', 'content': 'x'}]\"", "not JSON"),
])
def test_a_bad_csv_record_costs_only_itself(tmp_path, record, words):
    lines = CSV.split(b"\r\n")
    rows = read(tmp_path, b"\r\n".join([*lines[:3], record, *lines[3:]]), "a.csv")
    assert [row.values for row in rows if not isinstance(row, Refusal)] == ROWS
    (refused,) = [row for row in rows if isinstance(row, Refusal)]
    assert refused.row == 3
    assert refused.reason.startswith("row 3 (line 6)")
    assert words in refused.reason


def test_an_open_quote_is_said_and_the_rows_before_it_are_taken(tmp_path):
    rows = read(tmp_path, b'prompt,chosen\na,b\nc,"d\ne,f\ng,h\n', "a.csv")
    assert rows[0].values == {"prompt": "a", "chosen": "b"}
    assert "never closed" in rows[1].reason
    assert len(rows) == 2


def test_csv_with_semicolons_stray_quotes_and_an_index_column(tmp_path):
    rows = read(tmp_path, b';prompt;chosen\n0;a 5" disc;b\n1;c;d, e\n', "a.csv")
    assert [row.values for row in rows] == [
        {"column 1": "0", "prompt": 'a 5" disc', "chosen": "b"}, {"column 1": "1", "prompt": "c", "chosen": "d, e"}]


def test_a_conversation_in_a_csv_cell_is_read_as_json(tmp_path):
    talk = [{"role": "user", "content": "Hi"}]
    cell = json.dumps(talk).replace('"', '""')
    (row,) = read(tmp_path, f'prompt,chosen\n"{cell}","[{{""a"": 1}}]"\n'.encode(), "a.csv")
    assert row.values == {"prompt": talk, "chosen": '[{"a": 1}]'}


def test_parquet_types_that_hold_no_judgement_are_not_decoded(tmp_path):
    table = pa.table({"prompt": ["a"], "image": [b"x"], "vector": [[1.0, 2.0]], "score": [3],
                      "chosen": [[{"role": "user", "content": "b"}]]})
    (row,) = read(tmp_path, parquet(tmp_path, table))
    assert row.values == {"prompt": "a", "score": 3, "chosen": [{"role": "user", "content": "b"}]}


def test_parquet_numbers_beside_a_list_of_answers_are_read_and_vectors_are_not(tmp_path):
    row = {"prompt": "a", "responses": ["b", "c"], "ranks": [1, 2], "scores": [2.5, None], "vector": [0.5] * 64}
    (read_row,) = read(tmp_path, parquet(tmp_path, pa.Table.from_pylist([row])))
    assert read_row.values == {name: row[name] for name in ("prompt", "responses", "ranks", "scores")}
    talk = {"prompt": [{"role": "user", "content": "a"}], "vector": [1, 2]}
    assert read(tmp_path, parquet(tmp_path, pa.Table.from_pylist([talk])))[0].values.keys() == {"prompt"}


def test_parquet_bombs_are_refused_before_they_are_decoded(tmp_path):
    same = pa.DictionaryArray.from_arrays(pa.array([0] * 5_000, pa.int32()), ["y" * 50_000])
    wide = parquet(tmp_path, pa.table({"prompt": same}))
    assert len(wide) < 20_000
    assert "once decompressed" in refusal(tmp_path, wide)
    many = parquet(tmp_path, pa.table({"prompt": pa.array(["a"] * 100_001)}))
    assert len(many) < 5_000
    assert "more than 100,000 rows" in refusal(tmp_path, many)
    nested = pa.ListArray.from_arrays([0, 6_000_000], pa.array([""]).take(pa.nulls(6_000_000, pa.int32()).fill_null(0)))
    assert "6,000,000 values" in refusal(tmp_path, parquet(tmp_path, pa.table({"prompt": nested})))


def test_a_parquet_file_cut_off_or_damaged_is_refused(tmp_path):
    data = parquet(tmp_path, pa.table({"prompt": ["abc"] * 1000, "score": list(range(1000))}), compression="gzip")
    for broken in (data[:-1], data[: len(data) // 2], data[:4], data[:40] + bytes(60) + data[100:]):
        assert "not a Parquet file" in refusal(tmp_path, broken)


def test_parquet_nested_too_deep_or_without_text_is_refused(tmp_path):
    deep = pa.array(["x"])
    for _ in range(33):
        deep = pa.ListArray.from_arrays([0, 1], deep)
    assert "more than 32 deep" in refusal(tmp_path, parquet(tmp_path, pa.table({"prompt": deep})))
    assert "no column holds text" in refusal(tmp_path, parquet(tmp_path, pa.table({"image": [b"x"]})))


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    with pytest.raises(ImportRefused, match="cannot be found"):
        open_table(tmp_path / "none", "none", Limits())
    with pytest.raises(ImportRefused, match="not a file"):
        open_table(tmp_path, "folder", Limits())


def test_a_table_can_be_read_twice(tmp_path):
    (tmp_path / "a").write_bytes(gzip.compress(LINES))
    table = open_table(tmp_path / "a", "a", Limits())
    assert list(table) == list(table) != []
