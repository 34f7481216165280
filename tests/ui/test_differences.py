"""The difference between two answers: no text loses a letter, what both have is not marked, long ones do not wait."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from bnf_lab.ui.preferences import differences
from bnf_lab.ui.preferences.differences import compare, draw_pieces, excerpt

CASES = [
    ("", ""),
    ("", "a"),
    ("same", "same"),
    ("12 + 7 = 19, so 19.", "12 + 7 = 20, so 20."),
    ("東京は日本の首都です。", "京都は日本の首都です。"),
    ("a  b\n\nc", "a b c"),
    ("for i in range(3):\n    print(i)\n", "for i in range(4):\n    print(i)\n"),
    ("  leading", "leading  "),
    ("a " * 3000, "b " * 3000),
]


def text_of(pieces):
    return "".join(text for text, _ in pieces)


def marked(pieces):
    return [text.strip() for text, is_changed in pieces if is_changed]


@pytest.mark.parametrize(("left", "right"), CASES, ids=range(len(CASES)))
def test_every_character_stays_and_stretches_take_turns(left, right):
    pieces = compare(left, right)
    assert tuple(map(text_of, pieces)) == (left, right)
    for side in pieces:
        flags = [is_changed for _, is_changed in side]
        assert all(a != b for a, b in pairwise(flags))


def test_random_texts_stay_whole_whatever_is_compared(monkeypatch):
    rng = random.Random(0)  # noqa: S311 - no secret
    for most in (20_000, 5, 0):
        monkeypatch.setattr(differences, "MAX_MATCHES", most)
        for _ in range(50):
            left, right = ("".join(rng.choices("ab .!\n", k=rng.randrange(40))) for _ in range(2))
            pieces = compare(left, right)
            assert tuple(map(text_of, pieces)) == (left, right)
            unmarked = ["".join(text for text, changed in side if not changed).split() for side in pieces]
            assert "".join(unmarked[0]) == "".join(unmarked[1])


def test_only_what_differs_is_marked():
    left, right = compare("12 + 7 = 19, so it is 19.", "12 + 7 = 20, so it is 20.")
    assert (marked(left), marked(right)) == (["19", "19"], ["20", "20"])
    left, right = compare("Tokyo is big", "Tokyo is very big")
    assert (marked(left), marked(right)) == ([], ["very"])
    assert [marked(side) for side in compare("東京です", "京都です")] == [["東"], ["都"]]
    assert [marked(side) for side in compare("a  b", "a b ")] == [[], []]


def test_long_answers_are_compared_by_sentences():
    shared = [f"Sentence number {n} says something." for n in range(100)]
    left, right = compare(
        " ".join(["First.", *shared, "Last."]), " ".join(["Begin.", *shared[:50], "New.", *shared[50:], "End."])
    )
    assert (marked(left), marked(right)) == (["First.", "Last"], ["Begin.", "New.", "End"])


def test_markup_is_escaped():
    pieces = compare("<b>x</b>", "<i>x</i>")[0]
    drawn = draw_pieces(pieces)
    assert "<b>" not in drawn
    assert "<mark>b</mark>" in drawn


def test_an_excerpt_shows_the_first_difference():
    left, _ = compare("x " * 500 + "here", "x " * 500 + "there")
    shown = excerpt(left, 200)
    assert ("here", True) in shown
    assert len(text_of(shown)) < 210
    assert text_of(shown).startswith("… ")
    whole = compare("short", "brief")[0]
    assert excerpt(whole, 200) == whole
    start, _ = compare("go " + "x " * 500, "no " + "x " * 500)
    assert text_of(excerpt(start, 50)) == ("go " + "x " * 500)[:50] + " …"
