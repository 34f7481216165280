"""The layouts of `choices`, as public sets and tools write them."""

from __future__ import annotations

import json

import pytest

from bnf_lab.data.importers import import_file
from tests.data.samples.choices import SAMPLES
from tests.data.samples.record import cases, check, write


@pytest.mark.parametrize(("sample", "suffix"), cases(SAMPLES))
def test_a_set_comes_in_as_meant(sample, suffix, tmp_path):
    check(sample, write(sample, tmp_path / f"upload.{suffix}"))


def test_a_choice_under_any_name_is_found_by_what_it_says_and_asked_about_where_two_say_it(tmp_path):
    rows = [{"prompt": "Why?", "answer1": "So.", "answer2": "No.", "pw": "left", "side": side} for side in ("x", "y")]
    table = tmp_path / "rows.jsonl"

    def read(*rows):
        table.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return import_file(table)

    assert read(*rows).taken == 2
    assert read(*(row | {"side": "right"} for row in rows)).needs_mapping
    assert read(*(row | {"pw": "left" if n else "up"} for n, row in enumerate(rows))).needs_mapping
    assert read(*(row | {"pw": "1"} for row in rows)).needs_mapping
