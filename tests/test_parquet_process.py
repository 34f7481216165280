"""Parquet is read by another process: whatever happens to it, the answer is rows or a clear error."""

import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bnf_lab.errors import ImportRefused
from bnf_lab.parquet_process import read_parquet
from bnf_lab.rows import Limits


@pytest.fixture
def path(tmp_path):
    table = pa.table({"prompt": ["a", "b", "c"], "score": [1.0, float("nan"), 3.0]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    return str(tmp_path / "x.parquet")


def test_rows_come_back_numbered_and_a_number_that_is_none_is_null(path):
    rows = list(read_parquet([path, path], "x", Limits(), part=(1, 5)))
    assert [(row.number, row.values["prompt"], row.values["score"]) for row in rows] == [
        (2, "b", None), (3, "c", 3.0), (4, "a", 1.0), (5, "b", None)]


@pytest.mark.parametrize("death", ["import os; os.abort()", "import os; os.kill(os.getpid(), 9)", "exit(1)"])
def test_a_process_that_dies_is_a_clear_error(path, tmp_path, monkeypatch, death):
    fake = tmp_path / "python"
    fake.write_text(f"#!{sys.executable}\n{death}\n")
    fake.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(ImportRefused, match=r"x\.parquet: it is not a Parquet file that can be read"):
        read_parquet([path], "x.parquet", Limits())


def test_a_process_that_takes_too_long_is_ended(path, tmp_path, monkeypatch):
    fake = tmp_path / "python"
    fake.write_text(f"#!{sys.executable}\nimport time; time.sleep(60)\n")
    fake.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(ImportRefused, match="could not be read within"):
        read_parquet([path], "x", Limits(), seconds=0.2)


def test_a_download_that_breaks_off_says_so():
    with pytest.raises(ImportRefused, match="the hub broke off the download"):
        read_parquet(["nowhere://x"], "owner/name", Limits(), is_remote=True)
