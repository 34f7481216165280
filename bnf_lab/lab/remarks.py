"""What a person may say of a run: a note, and tags to file it under. Values only, no page."""

from __future__ import annotations

from collections.abc import Sequence

from bnf_lab.core.errors import RunRefused, shown
from bnf_lab.core.numbers import counted

MAX_NOTE_CHARS = 2000
MAX_TAGS, MAX_TAG_CHARS = 10, 30


def split_tags(text: str) -> tuple[str, ...]:
    """Returns the tags in a line of them, each once however it is written.

    >>> split_tags(" baseline,  two   seeds ,Baseline,, ")
    ('baseline', 'two seeds')
    """
    by_letters: dict[str, str] = {}
    for tag in (" ".join(part.split()) for part in text.split(",")):
        if tag:
            by_letters.setdefault(tag.casefold(), tag)
    return tuple(by_letters.values())


def check_remarks(note: str, tags: Sequence[str]) -> None:
    """Raises `RunRefused` where a note or the tags are too long."""
    if len(note) > MAX_NOTE_CHARS:
        found = counted(len(note), "character")
        raise RunRefused(f"Note has {found}; at most {MAX_NOTE_CHARS:,} are accepted. Shorten it.")
    if len(tags) > MAX_TAGS:
        raise RunRefused(f"Tags: {len(tags)} were found; at most {MAX_TAGS} are accepted. Leave some out.")
    long = next((tag for tag in tags if len(tag) > MAX_TAG_CHARS), None)
    if long is not None:
        raise RunRefused(
            f"Tag {shown(long, 40)} has {counted(len(long), 'character')}; at most {MAX_TAG_CHARS} are accepted. Put"
            " commas between tags, or shorten it."
        )
