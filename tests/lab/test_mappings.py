"""What was said about files is kept for the next one with the same columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bnf_lab.data.mapping import ColumnMapping, ImportChoices, read_choices
from bnf_lab.lab.database import Database
from bnf_lab.lab.drafts import Drafts
from bnf_lab.lab.mappings import Mappings
from bnf_lab.lab.statements import MIGRATIONS

SAID = ImportChoices(columns=ColumnMapping("pairs", prompt="frage", preferred="gut", dispreferred="schlecht"))
COLUMNS = ("frage", "gut", "schlecht")


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Drafts]:
    database = Database(tmp_path / "lab.sqlite", MIGRATIONS)
    yield Drafts(database, "mapping")
    database.close()


def test_it_is_found_by_the_set_of_columns_and_by_its_owner(records: Drafts, tmp_path: Path) -> None:
    mappings = Mappings(records, tmp_path)
    path = mappings.save("ada", COLUMNS, "pairs.csv", SAID)
    assert read_choices(path) == SAID
    found = mappings.find("ada", COLUMNS[::-1])
    assert found is not None
    assert (found.file, found.choices) == ("pairs.csv", SAID)
    assert mappings.find("bob", COLUMNS) is None
    assert mappings.find("ada", (*COLUMNS, "more")) is None
    mappings.save("ada", COLUMNS, "again.csv", ImportChoices(layout="pairs"))
    again = mappings.find("ada", COLUMNS)
    assert again is not None
    assert (again.file, again.choices.columns) == ("again.csv", None)


def test_one_that_this_lab_cannot_read_is_none(records: Drafts, tmp_path: Path) -> None:
    mappings = Mappings(records, tmp_path)
    mappings.save("ada", COLUMNS, "pairs.csv", SAID)
    (name,) = names(records)
    records.save("ada", name, {"file": "pairs.csv", "choices": {"colour": "red"}})
    assert mappings.find("ada", COLUMNS) is None


def names(records: Drafts) -> list[str]:
    with records._database.reading() as connection:
        return [row["key"] for row in connection.execute("SELECT key FROM documents")]
