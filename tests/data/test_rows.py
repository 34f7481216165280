"""What travels between formats and the rooms after them."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from bnf_lab.core.errors import ImportRefused
from bnf_lab.data.formats.rows import Literal, SeveralTables, choose_table


def test_a_literal_is_a_number_that_keeps_its_spelling() -> None:
    number = Literal("1.50")
    assert isinstance(number, float) and number == 1.5 and hash(number) == hash(1.5)
    assert (str(number), repr(number), number.text) == ("1.50", "1.50", "1.50")
    for twin in (copy.deepcopy(number), pickle.loads(pickle.dumps(number))):  # noqa: S301 - our own bytes
        assert (twin, twin.text) == (1.5, "1.50")
    assert json.loads(json.dumps({"score": number})) == {"score": 1.5}
    assert type(number + 1) is float


def test_a_table_is_chosen_by_name_or_because_it_is_the_only_one() -> None:
    assert choose_table("a.json", "sheets", {"x": 3}, None) == "x"
    assert choose_table("a.json", "sheets", {"x": 3, "y": 1}, "y") == "y"
    with pytest.raises(SeveralTables) as caught:
        choose_table("a.json", "sheets", {f"s{i}": i for i in range(8)}, None)
    assert caught.value.parts == tuple(f"s{i}" for i in range(8))
    assert "it holds 8 sheets: 's0' (0 rows), 's1' (1 row)" in str(caught.value)
    assert "and 2 more" in str(caught.value)
    with pytest.raises(ImportRefused, match=r"it has no part 'z'\. It holds 'x'\. Choose one of these"):
        choose_table("a.json", "sheets", {"x": 3}, "z")
