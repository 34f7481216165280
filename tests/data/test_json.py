"""JSON in every form that people have it: rows are found, values are what the file says, bad ones cost themselves."""

from __future__ import annotations

import gzip
import json

import pytest

from bnf_lab.core.errors import ImportRefused
from bnf_lab.data.formats.rows import Limits, Literal, Refusal, SeveralTables
from tests.support.tables import ROWS, open_bytes, read, read_values, refusal

LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode()
TALKS = [{"chosen": [{"role": "user", "content": "a"}], "rejected": [{"role": "user", "content": "b"}]} for _ in "ab"]
RATED = [{"prompt": "a", "responses": ["b", "c"], "scores": [1, 2]}, {"prompt": "d", "responses": ["e"], "scores": [3]}]
UNNAMED = "its rows are lists without names"


def columns(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


def numbered(rows):
    return {name: {str(i): row[name] for i, row in enumerate(rows)} for name in rows[0]}


def split(rows):
    return {"columns": list(rows[0]), "index": list(range(len(rows))), "data": [list(row.values()) for row in rows]}


FORMS = {
    "list": lambda rows: rows,
    "wrapped": lambda rows: {"version": 1, "data": rows, "license": "mit"},
    "wrapped twice": lambda rows: {"info": "x", "dataset": {"rows": rows}},
    "columns": columns,
    "pandas columns": numbered,
    "pandas index": lambda rows: {str(i): row for i, row in enumerate(rows)},
    "by id": lambda rows: {f"id-{i}": row for i, row in enumerate(rows)},
    "pandas split": split,
    "pandas table": lambda rows: {
        "schema": {"fields": [{"name": n} for n in rows[0]], "pandas_version": "1.4"},
        "data": rows,
    },
    "one split": lambda rows: {"train": rows, "test": []},
}


@pytest.mark.parametrize("rows", [ROWS, TALKS, RATED], ids=["texts", "conversations", "lists"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("indent", [None, 2])
def test_every_form_gives_the_same_rows(tmp_path, form: str, rows, indent) -> None:
    data = json.dumps(FORMS[form](rows), indent=indent, ensure_ascii=False).encode()
    for content in (data, b"\xef\xbb\xbf\r\n " + data + b"\n\n", gzip.compress(data)):
        assert read_values(tmp_path, content, "a.json") == rows


@pytest.mark.parametrize("rows", [ROWS, TALKS, RATED], ids=["texts", "conversations", "lists"])
@pytest.mark.parametrize("between", ["\n", "\r\n\r\n", "\r", " ", ""])
def test_objects_one_after_the_other_are_rows(tmp_path, rows, between: str) -> None:
    for indent in (None, 1):
        data = between.join(json.dumps(row, indent=indent) for row in rows).encode()
        assert read_values(tmp_path, data) == rows


@pytest.mark.parametrize(
    "row",
    [
        TALKS[0],
        {"chosen": {"role": "assistant", "content": "a"}, "rejected": {"role": "assistant", "content": "b"}},
        {"instruction": "a", "completions": [{"response": "b", "score": 1}, {"response": "c", "score": 2}]},
        {"Prompt": "a", "data": {"x": [{"y": 1}, {"y": 2}]}},
        {"id": 7, "text": "a", "label": True},
        {"prompt": "a", "responses": [{"text": "b"}], "meta": {"n": 1}},
    ],
)
def test_one_object_is_one_row(tmp_path, row) -> None:
    for indent in (None, 1):
        assert read_values(tmp_path, json.dumps(row, indent=indent).encode(), "a.json") == [row]


def test_several_splits_ask_for_one(tmp_path) -> None:
    for document in (
        {"train": ROWS, "test": ROWS[:1], "n": 5},
        {"train": columns(ROWS), "test": columns(ROWS[:1])},
        {"data": {"train": split(ROWS), "test": numbered(ROWS[:1])}},
    ):
        data = json.dumps(document).encode()
        with pytest.raises(SeveralTables) as caught:
            open_bytes(tmp_path, data, "sets.json")
        assert caught.value.parts == ("train", "test")
        assert str(caught.value) == (
            "sets.json: it holds 2 lists of rows: 'train' (4 rows), 'test' (1 row). Choose the one that is meant."
        )
        assert read_values(tmp_path, data, part="test") == ROWS[:1]
        assert read_values(tmp_path, data, part="train") == ROWS
        with pytest.raises(ImportRefused, match=r"it has no part 'dev'\. It holds 'train', 'test'\. Choose"):
            open_bytes(tmp_path, data, part="dev")


def test_the_data_set_servers_rows_are_unwrapped_and_cut_texts_refused(tmp_path) -> None:
    rows = [{"row_idx": i, "row": row, "truncated_cells": []} for i, row in enumerate(ROWS)]
    rows[2]["truncated_cells"] = ["chosen", "rejected"]
    answer = {"features": [{"feature_idx": 0, "name": "prompt", "type": {}}], "rows": rows, "num_rows_total": 99}
    for data in (json.dumps(answer), json.dumps(rows), "\n".join(map(json.dumps, rows))):
        table = open_bytes(tmp_path, data.encode())
        *good, refused = sorted(table, key=lambda row: isinstance(row, Refusal))
        assert [row.values for row in good] == [ROWS[0], ROWS[1], ROWS[3]]
        assert refused.reason.startswith("row 3: the data set server cut the texts of 'chosen', 'rejected'.")
        assert table.kind.endswith("from the data set server")
        assert any("may be a part of the set" in note for note in table.notes)


def test_numbers_keep_their_spelling(tmp_path) -> None:
    (row,) = read_values(tmp_path, b'{"a": 1.50, "b": -0, "c": 1e3, "d": 12, "e": [0.10], "f": true, "g": -7}')
    assert {n: v.text for n, v in row.items() if isinstance(v, Literal)} == {"a": "1.50", "b": "-0", "c": "1e3"}
    assert (row["a"], row["c"], row["e"][0].text, row["d"], row["f"]) == (1.5, 1000.0, "0.10", 12, True)
    assert type(row["d"]) is int and type(row["g"]) is int


def test_numbers_that_are_none_are_missing_and_counted(tmp_path) -> None:
    data = b'{"a": NaN, "b": {"c": [Infinity, 1]}}\n{"a": 1e999, "b": "NaN"}\n'
    table = open_bytes(tmp_path, data)
    for _ in range(2):
        assert [row.values for row in table] == [{"a": None, "b": {"c": [None, 1]}}, {"a": None, "b": "NaN"}]
        assert table.notes == ("3 values NaN or Infinity, which are no numbers, read as missing.",)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"prompt": "a", "prompt": "b"}', "twice"),
        (b'{"prompt": {"a": 1, "a": 2}}', "twice"),
        (b'{"prompt": "a"', "not JSON"),
        (b'{"prompt": "caf\xe9"}', "is no text in the file's encoding"),
        (b'{"prompt": ' + b"9" * 5000 + b"}", "number"),
        (b'["a"]', "a list, not an object"),
        (b"null", "null, not an object"),
        (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", "more than 32 deep"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "more than 32 deep"),
        (b'{"a": ' + b'{"a":' * 100_000, "more than 32 deep"),
        (b'{"prompt": "' + b"x" * 1_000_001 + b'"}', "longer than 1 MB"),
        (b"{" + b",".join(b'"%d": 1' % i for i in range(1001)) + b"}", "columns"),
    ],
)
def test_a_bad_line_is_refused_and_its_neighbours_are_taken(tmp_path, line: bytes, words: str) -> None:
    good = LINES.split(b"\n")
    for data in (b"\n".join([*good[:2], line, *good[2:]]), b"[" + b",".join([*good[:2], line, *good[2:]]) + b"]"):
        if data.startswith(b"[") and data.count(b"{") != data.count(b"}"):
            continue  # an open bracket leaves a document, unlike lines, without an end
        rows = read(tmp_path, data, "a.jsonl")
        assert [row.number for row in rows if not isinstance(row, Refusal)] == [1, 2, 4, 5]
        (refused,) = [row for row in rows if isinstance(row, Refusal)]
        assert refused.row == 3
        assert refused.reason.startswith("row 3")
        assert words in refused.reason
        assert len(refused.reason) <= 500


def test_lines_of_files_put_together_are_read_and_pythons_notation_is_named(tmp_path) -> None:
    assert read_values(tmp_path, b"\xef\xbb\xbf" + LINES + b"\n\xef\xbb\xbf" + LINES, "a.jsonl") == ROWS + ROWS
    for row in read(tmp_path, b"{'prompt': 'a', 'chosen': None}\n" * 2):
        assert "Python's own notation; write the file with json.dumps" in row.reason


def test_brackets_inside_texts_are_not_nesting(tmp_path) -> None:
    text = "[" * 50 + '\\"' + "{" * 50
    assert read_values(tmp_path, json.dumps([{"prompt": text}]).encode()) == [{"prompt": text}]


def test_depth_32_is_accepted(tmp_path) -> None:
    deep = b'{"a": ' + b"[" * 31 + b"]" * 31 + b"}"
    assert not isinstance(read(tmp_path, LINES + b"\n" + deep)[-1], Refusal)
    for levels, is_refused in ((16, False), (17, True)):
        mixed = b'{"a": [' * levels + b"]}" * levels
        assert isinstance(read(tmp_path, LINES + b"\n" + mixed)[-1], Refusal) == is_refused


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'[{"prompt": "a"}', "ends too early"),
        (b'{"prompt":\n"a"}\n{"prompt": \n', "ends too early"),
        (b'[{"prompt": "a"}] trailing', "more text follows after the JSON ends: 'trailing'"),
        (b'{"prompt": "a"},\n{"prompt": "b"}', "commas separate its objects, but no brackets"),
        (b'{"prompt": "a"},\n{"prompt": "b"},\n{"prompt": "c"}\n', "commas separate its objects, but no brackets"),
        (b'["prompt", "chosen"]\n["a", "b"]\n', UNNAMED),
        (b'[["prompt", "chosen"],\n["a", "b"]]\n', UNNAMED),
        (b'{"data": [["a", "b"], ["c", "d"]], "columns": ["x", "x"]}', "appears twice"),
        (b'{"a": [{}], "a": [{}]}', "'a' appears twice"),
        (b'{"a": {"0": 1}, "b": {1: 2}}', "without a proper name"),
    ],
)
def test_a_document_that_is_no_table_is_refused_whole(tmp_path, data: bytes, words: str) -> None:
    assert words in refusal(tmp_path, data)


def test_a_list_of_another_length_than_the_names_is_refused(tmp_path) -> None:
    document = {"columns": ["prompt", "chosen"], "data": [["a", "b"], ["c"], "d", ["e", "f"]]}
    rows = read(tmp_path, json.dumps(document).encode())
    assert [row.number for row in rows if not isinstance(row, Refusal)] == [1, 4]
    reasons = [row.reason for row in rows if isinstance(row, Refusal)]
    assert reasons[0].startswith("row 2: found 1 value for the 2 names in 'columns'")
    assert reasons[1].startswith("row 3: found no list for the 2 names")


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": 1}\n' * 6,
        b'{"a":\n1}\n' * 6,
        b"[" + b"1," * 6 + b"1]",
        b'{"a": [1,1,1,1,1,1], "b": [1,1,1,1,1,1]}',
        b'{"columns": ["a"], "data": [[1],[1],[1],[1],[1],[1]]}',
        b"{" + b",".join(b'"%d": {"a": 1}' % i for i in range(6)) + b"}",
    ],
)
def test_the_limit_of_rows_holds_in_every_form(tmp_path, data: bytes) -> None:
    assert "more than 5 rows" in refusal(tmp_path, data, limits=Limits(rows=5))


def test_what_a_file_is_stands_in_its_kind(tmp_path) -> None:
    kinds = {
        LINES: "JSON lines",
        gzip.compress(LINES): "JSON lines, gzip",
        LINES.decode().encode("utf-16"): "JSON lines, UTF-16",
        json.dumps(ROWS).encode(): "JSON",
        json.dumps(columns(ROWS)).encode(): "JSON, column by column",
        json.dumps(ROWS[0], indent=1).encode(): "JSON, one object",
        json.dumps(split(ROWS)).encode(): "JSON, columns and data (pandas, orient='split')",
        "\n".join(json.dumps(row, indent=1) for row in ROWS).encode(): "JSON, objects one after the other",
    }
    assert [open_bytes(tmp_path, data).kind for data in kinds] == list(kinds.values())
