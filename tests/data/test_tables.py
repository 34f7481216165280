"""Files of every kind under every name: what is read, what is refused, and that sizes are known before contents."""

from __future__ import annotations

import gzip
import io
import json
import os
import tracemalloc
import zipfile

import pytest

from bnf_lab.core.errors import ImportRefused
from bnf_lab.data.formats.rows import Limits
from bnf_lab.data.formats.tables import open_table
from tests.support.tables import ROWS, open_bytes, parquet, read, read_values, refusal

LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode()
CSV = b"prompt,chosen,rejected\r\n" + b"".join(f'Q{i} é,"good, {i}","""bad""\n{i}"\r\n'.encode() for i in range(1, 5))
DOCUMENT = json.dumps(ROWS).encode()
SMALL = Limits(file_bytes=4_000, inflated_bytes=8_000, line_bytes=1_000, rows=5, field_chars=100)


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/").replace("_DOT_", "."), data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        LINES,
        b"\xef\xbb\xbf" + LINES,
        LINES.replace(b"\n", b"\r\n\r\n"),
        json.dumps(ROWS).encode(),
        CSV,
        CSV.decode().encode("utf-16"),
    ],
    ids=["lines", "mark", "blank lines", "document", "CSV", "UTF-16"],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet", "a.txt", "no-extension"])
def test_content_decides_not_the_name(tmp_path, data: bytes, name: str) -> None:
    for content in (data, gzip.compress(data)):
        assert read_values(tmp_path, content, name) == ROWS


def test_parquet_is_read_by_content_too(tmp_path) -> None:
    assert read_values(tmp_path, parquet(ROWS), "a.csv") == ROWS


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b" \n\n ", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"\xff\xfe", "empty"),
        (
            zipped(a_DOT_csv=b"x", b_DOT_csv=b"y"),
            "it is a zip archive ('a.csv', 'b.csv'). Unpack it and give one of its files",
        ),
        (zipped(word__document_DOT_xml=b"x"), "Word document"),
        (zipped(xl__workbook_DOT_bin=b"x"), "binary Excel file (.xlsb). Save it as .xlsx"),
        (zipped(content_DOT_xml=b"x"), "OpenDocument file. Save the table as .xlsx or as CSV"),
        (b"PK\x03\x04rest", "cut off or damaged"),
        (b"PK\x05\x06" + bytes(18), "empty zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old Excel file (.xls), or one with a password"),
        (b"%PDF-1.7\n", "PDF document. Save the table in it as CSV"),
        (b"ARROW1\x00\x00", "Arrow (Feather) file. Save it as Parquet"),
        (b"\xff\xff\xff\xff\x10\x00", "Arrow stream"),
        (b"SQLite format 3\x00", "database"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "a pointer that Git LFS leaves"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>, a login page</html>", "web page, perhaps one that asks to log in"),
        (b"<?xml version='1.0'?><rows/>", "XML document. Export the table as CSV"),
        (b"\x80\x04\x95\x10", "pickle, which can run code"),
        (gzip.compress(LINES)[:-20], "cut off or damaged"),
        (gzip.compress(gzip.compress(LINES)), "a .gz file must hold"),
        (gzip.compress(parquet(ROWS)), "a .gz file must hold"),
        (b"\x1f\x8bnot gzip", "cut off or damaged"),
        (b"PAR1" + b"x" * 100 + b"PAR1", "not a Parquet file"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_what_to_do(tmp_path, data: bytes, words: str) -> None:
    assert words in refusal(tmp_path, data, "upload.txt")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"a": "' + b"x" * 4_000 + b'"}', "a file may have"),
        (gzip.compress(b'{"a": 1}\n' + b" " * 9_000), "inflates to more than"),
        (b'{"a": 1}\n' * 6, "more than 5 rows"),
        (b"a,b\n" + b"1,2\n" * 6, "more than 5 rows"),
    ],
)
def test_each_limit_of_a_file_has_its_own_message(tmp_path, data: bytes, words: str) -> None:
    assert words in refusal(tmp_path, data, limits=SMALL)


def test_a_gzip_bomb_stops_at_the_limit(tmp_path) -> None:
    bomb = gzip.compress(b'{"a": 1}' + b"\n" * 30_000_000)
    assert len(bomb) < 100_000
    assert "inflates to more than" in refusal(tmp_path, bomb, limits=Limits(inflated_bytes=5_000_000))


def test_a_missing_file_or_a_folder_is_refused(tmp_path) -> None:
    with pytest.raises(ImportRefused, match="cannot be found"):
        open_table(tmp_path / "none", "none", Limits())
    with pytest.raises(ImportRefused, match="it is a folder. Choose one of the files in it"):
        open_table(tmp_path, "folder", Limits())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImportRefused, match="not a file"):
        open_table(tmp_path / "pipe", "pipe", Limits())


@pytest.mark.parametrize(
    "data",
    [
        LINES,
        gzip.compress(LINES),
        CSV,
        json.dumps(ROWS).encode(),
        gzip.compress(json.dumps(ROWS).encode()),
        parquet(ROWS),
    ],
)
def test_a_table_can_be_read_again_and_by_two_at_once(tmp_path, data: bytes) -> None:
    table = open_bytes(tmp_path, data)
    (tmp_path / "upload").unlink()  # an upload is deleted by whoever keeps uploads
    rows = list(table)
    assert [row.values for row in rows] == ROWS
    assert list(zip(table, table, strict=True)) == list(zip(rows, rows, strict=True))


def test_a_part_of_a_file_with_one_table_is_refused(tmp_path) -> None:
    for data in (LINES, CSV, parquet(ROWS), json.dumps(ROWS).encode()):
        with pytest.raises(ImportRefused, match=r"it has no part 'test'\. It holds one table only"):
            open_bytes(tmp_path, data, part="test")


def test_rows_are_not_held_in_memory(tmp_path) -> None:
    rows = [{"prompt": f"Q{i} " + "x" * 400, "chosen": "y" * 400} for i in range(8_000)]
    for data in (
        "\n".join(map(json.dumps, rows)).encode(),
        json.dumps(rows).encode(),
        json.dumps({k: [r[k] for r in rows] for k in rows[0]}).encode(),
    ):
        (tmp_path / "upload").write_bytes(gzip.compress(data, 1))
        tracemalloc.start()
        table = open_table(tmp_path / "upload", "a", Limits(line_bytes=50_000))
        assert sum(1 for _ in table) == 8_000
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(data) > 6_500_000
        assert held < 500_000
        assert peak < 4_500_000


@pytest.mark.parametrize("name", ["rows", "rows.jsonl"])
def test_a_first_line_that_is_none_costs_itself_only(tmp_path, name: str) -> None:
    first, *others = read(tmp_path, b"oops {\n" + LINES, name)
    assert first.reason.startswith("row 1: it is not JSON")
    assert [row.values for row in others] == ROWS
