"""The judged response, the one record that all preferences end in. Values only, standard library.

BNF needs no pairs, so the unit is a judged response; a pair is two judgements of one prompt that
share a `pair_id`. This room must not know files, databases, models or pages.
"""

from __future__ import annotations

import uuid
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

Scored = TypeVar("Scored")


class Verdict(StrEnum):
    """What a person thinks of a response."""

    PREFERRED = "preferred"
    DISPREFERRED = "dispreferred"

    @property
    def flipped(self) -> Verdict:
        return Verdict.DISPREFERRED if self is Verdict.PREFERRED else Verdict.PREFERRED


class Source(StrEnum):
    """How a judgement came to be."""

    UPLOAD = "upload"
    MARKED = "marked"
    CHAT = "chat"
    VOTE = "vote"
    EDIT = "edit"
    DEMO = "demo"


ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `role` is one of `ROLES`."""

    role: str
    content: str


def new_id() -> str:
    """Returns a fresh opaque id (32 hexadecimal digits)."""
    return uuid.uuid4().hex


def now() -> str:
    """Returns the present moment as an ISO 8601 text in UTC, microseconds kept so that texts sort."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True, slots=True)
class Judgement:
    """One response to one prompt with a person's verdict on it.

    Attributes:
        prompt: The conversation before the response; the last message is usually the user's.
        response: The judged text.
        verdict: Preferred or dispreferred.
        weight: How much the verdict counts, in (0, 1].
        pair_id: Shared by the two judgements of a pair; None for a response judged alone.
        source: How the judgement came to be.
        id: Opaque id.
        created_at: ISO 8601, UTC.

    Raises:
        ValueError: If the weight is outside (0, 1] or a prompt is empty.
    """

    prompt: tuple[Message, ...]
    response: str
    verdict: Verdict
    weight: float = 1.0
    pair_id: str | None = None
    source: Source = Source.UPLOAD
    id: str = field(default_factory=new_id)
    created_at: str = field(default_factory=now)

    def __post_init__(self) -> None:
        if not 0.0 < self.weight <= 1.0:
            raise ValueError(f"weight is {self.weight}; it must be above 0 and at most 1.")
        if not self.prompt:
            raise ValueError("prompt is empty; a judgement needs at least one message.")

    @property
    def is_preferred(self) -> bool:
        return self.verdict is Verdict.PREFERRED

    @property
    def prompt_text(self) -> str:
        """The last message of the prompt, for lists and labels."""
        return self.prompt[-1].content

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "prompt": [{"role": m.role, "content": m.content} for m in self.prompt],
            "response": self.response,
            "verdict": str(self.verdict),
            "weight": self.weight,
            "pair_id": self.pair_id,
            "source": str(self.source),
            "created_at": self.created_at,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Judgement:
        return cls(
            prompt=tuple(Message(m["role"], m["content"]) for m in record["prompt"]),
            response=record["response"],
            verdict=Verdict(record["verdict"]),
            weight=float(record["weight"]),
            pair_id=record["pair_id"],
            source=Source(record["source"]),
            id=record["id"],
            created_at=record["created_at"],
        )


Unit = tuple[Judgement, ...]
"""A complete pair, preferred first, or one response alone."""


def build_pair(
    prompt: tuple[Message, ...],
    preferred: str,
    dispreferred: str,
    *,
    source: Source,
    weight: float = 1.0,
    created_at: str | None = None,
) -> tuple[Judgement, Judgement]:
    """Returns the two judgements of a pair, preferred first, sharing a new `pair_id`."""
    moment = created_at or now()
    first = Judgement(prompt, preferred, Verdict.PREFERRED, weight, pair_id=new_id(), source=source, created_at=moment)
    second = replace(first, response=dispreferred, verdict=Verdict.DISPREFERRED, id=new_id())
    return first, second


def group_units(judgements: Iterable[Judgement]) -> list[Unit]:
    """Groups judgements into units: a complete pair (preferred first) or one response alone.

    Units keep the order in which their first member appears. A `pair_id` whose other half is
    missing, or that is shared by anything but one preferred and one dispreferred response,
    yields single units.

    >>> a, b = build_pair((Message("user", "Hi"),), "Hello!", "What?", source=Source.DEMO)
    >>> [len(unit) for unit in group_units([b, a])]
    [2]
    """
    by_key: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        by_key.setdefault(judgement.pair_id or judgement.id, []).append(judgement)
    units: list[Unit] = []
    for members in by_key.values():
        verdicts = {m.verdict for m in members}
        if len(members) == 2 and len(verdicts) == 2:
            units.append(tuple(sorted(members, key=lambda m: not m.is_preferred)))
        else:
            units.extend((m,) for m in members)
    return units


def compare_by_prompt(scored: Iterable[tuple[Hashable, bool, Scored]]) -> list[tuple[Scored, Scored]]:
    """Returns every preferred with every dispreferred response of the same prompt: what accuracy and margin compare.

    Args:
        scored: Of each response its prompt, whether it is preferred, and what stands for it in the result.

    >>> compare_by_prompt([("p", True, -1.0), ("q", False, -9.0), ("p", False, -2.0), ("p", False, -3.0)])
    [(-1.0, -2.0), (-1.0, -3.0)]
    """
    preferred: list[tuple[Hashable, Scored]] = []
    dispreferred: dict[Hashable, list[Scored]] = {}
    for prompt, is_preferred, value in scored:
        if is_preferred:
            preferred.append((prompt, value))
        else:
            dispreferred.setdefault(prompt, []).append(value)
    return [(better, worse) for prompt, better in preferred for worse in dispreferred.get(prompt, ())]
