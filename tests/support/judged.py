"""Judgements made up for tests."""

from __future__ import annotations

from bnf_lab.core.judgements import Judgement, Message, Source, build_pair


def make_pairs(n: int = 15) -> tuple[Judgement, ...]:
    """Returns the judgements of n pairs, each on a prompt of its own."""
    prompts = [(Message("user", f"Name number {i}."),) for i in range(n)]
    pairs = [build_pair(p, f"It is {i}.", "Hm, let me think.", source=Source.DEMO) for i, p in enumerate(prompts)]
    return tuple(judgement for pair in pairs for judgement in pair)
