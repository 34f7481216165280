"""What can be seen of answers without knowing what is right: how long, how repetitive, how different they are.

A word is what stands between white space. This room knows texts only and must not know models, runs or pages.
Standard library.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from bnf_lab.core.errors import LabError

REPEATED_WORDS = 3


def repetition(text: str) -> float:
    """Returns the share of repeated word 3-grams, 1 - distinct / all; 0 for a text of fewer than 3 words.

    >>> repetition("to be or not to be or not")
    0.33333333333333337
    """
    grams = list(_n_grams(text, REPEATED_WORDS))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def distinct_share(texts: Sequence[str]) -> float:
    """Returns the share of different texts, in (0, 1]; texts that differ in white space alone are the same.

    Raises:
        LabError: If there is no text.
    """
    _check_texts(texts)
    return len({" ".join(text.split()) for text in texts}) / len(texts)


def distinct_n(texts: Sequence[str], n: int = 2) -> float:
    """Returns the share of different word n-grams among all n-grams of the texts; 0 where none is n words long.

    Raises:
        LabError: If there is no text or n is below 1.

    Source: Li et al. 2016 (arXiv 1510.03055), distinct-1 and distinct-2.
    """
    _check_texts(texts)
    if n < 1:
        raise LabError(f"The length of the n-grams is {n}; at least 1 word is accepted.")
    grams = [gram for text in texts for gram in _n_grams(text, n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def mean_words(texts: Sequence[str]) -> float:
    """Returns the mean number of words.

    Raises:
        LabError: If there is no text.
    """
    _check_texts(texts)
    return fmean(len(text.split()) for text in texts)


def is_empty(text: str) -> bool:
    """Returns whether a text holds nothing but white space."""
    return not text.strip()


def _n_grams(text: str, n: int) -> Iterator[tuple[str, ...]]:
    words = text.split()
    return (tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _check_texts(texts: Sequence[str]) -> None:
    if not texts:
        raise LabError("There is no text to measure; at least one is needed.")


REPEATS = 4  # times a phrase may follow itself before an answer counts as repeating


def is_repeating(text: str) -> bool:
    """Returns whether a text gets stuck: its last phrase (up to 40 characters or 8 words) stands there over and over.

    >>> is_repeating("firehosefirehosefirehosefirehosefirehose")
    True
    >>> is_repeating("It is a very, very good answer.")
    False
    """
    words = text.split()
    for size in range(1, 9):
        tail = words[-size:]
        if len(words) >= size * (REPEATS + 1) and tail * (REPEATS + 1) == words[-size * (REPEATS + 1) :]:
            return True
    for size in range(3, 41):
        if len(text) >= size * (REPEATS + 1) and text.endswith(text[-size:] * (REPEATS + 1)):
            return text[-size:].strip() != ""
    return False
