"""Seconds in words a person reads at a glance. Knows nothing else."""

from __future__ import annotations


def in_words(seconds: float) -> str:
    """Returns a duration, rounded to what matters at its size.

    >>> in_words(0.4), in_words(42.3), in_words(128), in_words(7300)
    ('1 s', '42 s', '2 min 8 s', '2 h 2 min')
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
