"""LLaMA-Factory's `dataset_info.json` beside a file."""

from __future__ import annotations

import json

import pytest

from bnf_lab.data.importers import import_file
from bnf_lab.data.mapping import ColumnMapping, ImportChoices
from tests.data.samples.record import PARQUET, Sample, judged_of, write

ALPACA = {"prompt": "ask", "query": "more", "system": "tone", "history": "past", "chosen": "good", "rejected": "bad"}
TALK = {
    "messages": "dialog",
    "chosen": "good",
    "rejected": "bad",
}
TAGS = {
    "role_tag": "who",
    "content_tag": "said",
    "user_tag": "customer",
    "assistant_tag": "agent",
    "system_tag": "rules",
}
ROW = {"ask": "Answer.", "more": "2 + 2?", "tone": "Help.", "past": [["Hi", "Yo"]], "good": "4", "bad": "5", "id": 7}
SPOKEN = {
    "dialog": [{"who": "rules", "said": "Help."}, {"who": "customer", "said": "2 + 2?"}],
    "good": {"who": "agent", "said": "4"},
    "bad": {"who": "agent", "said": "5"},
}
JUDGED_KTO = {"messages": "dialog", "kto_tag": "fine"}
KTO = {"dialog": [{"who": "customer", "said": "2 + 2?"}, {"who": "agent", "said": "4"}], "fine": True}


@pytest.fixture
def read(tmp_path):
    def read(rows, entry, suffix="json", info=None, **choices):
        path = write(Sample("", "", rows, ()), tmp_path / f"mine.{suffix}")
        entry = {"file_name": path.name, "ranking": True, **entry}
        text = json.dumps({"other": {"file_name": "other.json"}, "mine": entry}) if info is None else info
        (tmp_path / "dataset_info.json").write_text(text, encoding="utf-8")
        return import_file(path, choices=ImportChoices(**choices))

    return read


@pytest.mark.parametrize("suffix", ["json", "jsonl", PARQUET])
@pytest.mark.parametrize(
    ("row", "entry", "judged"),
    [
        (ROW, {"columns": ALPACA}, ("system: Help. | Hi | assistant: Yo | Answer.\n2 + 2?", "4", "5")),
        (SPOKEN, {"formatting": "sharegpt", "columns": TALK, "tags": TAGS}, ("system: Help. | 2 + 2?", "4", "5")),
        (KTO, {"formatting": "sharegpt", "columns": JUDGED_KTO, "tags": TAGS}, ("2 + 2?", "+4")),
    ],
    ids=["alpaca", "sharegpt", "kto"],
)
def test_columns_and_tags_are_read_as_described(read, row, entry, judged, suffix):
    report = read([row, row], entry, suffix)
    assert report.questions == ()
    assert judged_of(report) == [judged, judged]
    assert any(note.startswith("dataset_info.json beside it was read") for note in report.notes)


def test_conversations_in_cells_are_retagged_too(read):
    rows = [{name: json.dumps(value) for name, value in SPOKEN.items()}] * 2
    report = read(rows, {"columns": TALK, "tags": TAGS}, "csv")
    assert judged_of(report) == [("system: Help. | 2 + 2?", "4", "5")] * 2


def test_a_column_of_that_name_with_another_part_gives_way(read):
    rows = [{"prompt": "2 + 2?", "chosen": "5", "worse": "5", "better": "4"}] * 2
    report = read(rows, {"columns": {"prompt": "prompt", "chosen": "better", "rejected": "worse"}})
    assert judged_of(report) == [("2 + 2?", "4", "5")] * 2


@pytest.mark.parametrize(
    "info",
    [
        "{",
        "[1]",
        "null",
        '{"mine": 7}',
        '{"mine": {"file_name": "mine.json", "columns": [1], "tags": {"role_tag": 5}}}',
        '{"mine": {"file_name": "../mine.json", "columns": {"chosen": "rejected"}}}',
        '{"features": {"chosen": {"dtype": "string"}}, "splits": {}}',
        "[" * 100_000,
        '{"mine": {"file_name": "mine.json", "x": "' + "x" * 1_000_000 + '"}}',
    ],
)
def test_a_description_that_says_nothing_of_the_file_changes_nothing(read, info):
    rows = [{"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}] * 2
    assert judged_of(read(rows, {}, info=info)) == [("2 + 2?", "4", "5")] * 2


def test_a_persons_mapping_knows_the_files_own_names(read):
    mapping = ColumnMapping("pairs", prompt="ask", preferred="bad", dispreferred="good")
    report = read([ROW], {"columns": ALPACA}, columns=mapping)
    assert judged_of(report) == [("Answer.", "5", "4")]
    assert report.notes == ()
