"""Marks where two answers differ, word by word. Texts in, markup out; no component, no store."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby

from markupsafe import Markup

from bnf_lab.ui.markup import fill, joined

Piece = tuple[str, bool]
"""A stretch of text and whether the other text lacks it."""

MAX_MATCHES = 20_000
"""How many pairs of equal words two texts may have; with more the matcher would make a page of the table wait."""

_WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]\s*|[^\W\u3040-\u30ff\u3400-\u9fff]+\s*|[^\w\s]\s*|\s+")
_SENTENCES = re.compile(r"[^.!?\n]*[.!?\n]*\s*")


def compare(left: str, right: str) -> tuple[list[Piece], list[Piece]]:
    """Returns both texts in pieces, those that the other text lacks told apart.

    Long texts are compared by sentences instead of words, the longest ones as a whole between their common beginning
    and end. Spaces between words do not count.

    >>> compare("The sum is 19.", "The sum is 20.")
    ([('The sum is ', False), ('19', True), ('.', False)], [('The sum is ', False), ('20', True), ('.', False)])
    """
    parts = _split(left, _WORDS), _split(right, _WORDS)
    n_same, n_ending = _common(*map(_keys, parts))
    middles = [tokens[n_same : len(tokens) - n_ending] for tokens in parts]
    if _has_too_many_matches(*middles):
        middles = [_split("".join(tokens), _SENTENCES) for tokens in middles]
    changed = _changed(*middles)
    return tuple(  # type: ignore[return-value]
        _merged((*_unmarked(tokens[:n_same]), *marked, *_unmarked(tokens[len(tokens) - n_ending :])))
        for tokens, marked in zip(parts, changed, strict=True)
    )


def draw_pieces(pieces: Iterable[Piece]) -> Markup:
    """Returns pieces of text as markup."""
    return joined(_draw(text, is_changed) for text, is_changed in pieces)


def _draw(text: str, is_changed: bool) -> Markup:
    words = text.rstrip() if is_changed else ""
    return fill("<mark>{}</mark>{}", words, text[len(words) :]) if words else fill("{}", text)


def excerpt(pieces: Sequence[Piece], n_chars: int) -> list[Piece]:
    """Returns at most so many characters of pieces, from shortly before the first difference if that is far behind.

    Args:
        pieces: Of one text.
        n_chars: Most characters of the text to return; what is left out is shown as an ellipsis.
    """
    n_total = sum(len(text) for text, _ in pieces)
    if n_total <= n_chars:
        return list(pieces)
    n_before = len(pieces[0][0]) if len(pieces) > 1 and not pieces[0][1] else 0
    lead = n_chars // 5
    start = n_before - lead if n_before > n_chars - lead else 0
    shown, passed = [("… ", False)] if start else [], 0
    for text, is_changed in pieces:
        cut = text[max(0, start - passed) : start + n_chars - passed] if passed < start + n_chars else ""
        passed += len(text)
        if cut:
            shown.append((cut, is_changed))
    return [*shown, (" …", False)] if start + n_chars < n_total else shown


def _split(text: str, pattern: re.Pattern[str]) -> list[str]:
    return [token for token in pattern.findall(text) if token]


def _keys(tokens: Sequence[str]) -> list[str]:
    return [token.rstrip() for token in tokens]


def _common(left: Sequence[str], right: Sequence[str]) -> tuple[int, int]:
    """Returns how many entries two lists share at their beginning and, of the rest, at their end."""
    most = min(len(left), len(right))
    n_same = next((i for i in range(most) if left[i] != right[i]), most)
    rest = most - n_same
    return n_same, next((i for i in range(rest) if left[-1 - i] != right[-1 - i]), rest)


def _has_too_many_matches(left: Sequence[str], right: Sequence[str]) -> bool:
    counts = Counter(_keys(left)), Counter(_keys(right))
    return sum(n * counts[1][key] for key, n in counts[0].items()) > MAX_MATCHES


def _changed(left: Sequence[str], right: Sequence[str]) -> tuple[list[Piece], list[Piece]]:
    if _has_too_many_matches(left, right):
        return [(text, True) for text in left], [(text, True) for text in right]
    matcher = SequenceMatcher(None, _keys(left), _keys(right), autojunk=False)
    pieces: tuple[list[Piece], list[Piece]] = ([], [])
    for kind, i, j, k, n in matcher.get_opcodes():
        pieces[0].extend((text, kind != "equal") for text in left[i:j])
        pieces[1].extend((text, kind != "equal") for text in right[k:n])
    return pieces


def _unmarked(tokens: Iterable[str]) -> Iterator[Piece]:
    return ((token, False) for token in tokens)


def _merged(pieces: Iterable[Piece]) -> list[Piece]:
    return [("".join(text for text, _ in run), changed) for changed, run in groupby(pieces, key=lambda piece: piece[1])]
