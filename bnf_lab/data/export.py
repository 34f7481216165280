"""Judgements as the lines of a file, in the schemas that TRL reads. Standard library."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from bnf_lab.core.errors import LabError, shown
from bnf_lab.core.judgements import Judgement, Message, group_units

_KINDS = ("pairs", "unpaired")


def write_trl_rows(judgements: Iterable[Judgement], kind: str = "pairs") -> Iterator[str]:
    """Yields the lines of a JSON lines file in a conversational TRL schema, each with its line end.

    Args:
        judgements: What to write.
        kind: "pairs" writes every complete pair (prompt, chosen, rejected) and leaves out responses judged alone;
            "unpaired" writes every judgement, members of pairs too (prompt, completion, label).

    Raises:
        LabError: If the kind is none of these.
    """
    if kind not in _KINDS:
        raise LabError(f"export: the kind is {shown(kind)}; accepted are {' and '.join(_KINDS)}.")
    for unit in group_units(judgements):
        if kind == "unpaired":
            yield from (_line(_unpaired(judgement)) for judgement in unit)
        elif len(unit) == 2:
            yield _line({"prompt": _turns(unit[0].prompt), "chosen": _reply(unit[0]), "rejected": _reply(unit[1])})


def _unpaired(judgement: Judgement) -> dict[str, Any]:
    return {"prompt": _turns(judgement.prompt), "completion": _reply(judgement), "label": judgement.is_preferred}


def _turns(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in messages]


def _reply(judgement: Judgement) -> list[dict[str, str]]:
    return _turns((Message("assistant", judgement.response),))


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
