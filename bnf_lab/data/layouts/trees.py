"""OpenAssistant's conversation trees: siblings ranked by people, as nested objects or one message a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.core.judgements import Message
from bnf_lab.data.conversations import find_role, is_blank, read_text
from bnf_lab.data.drafts import Draft, Prompt, Reading
from bnf_lab.data.formats.rows import Row, RowProblem
from bnf_lab.data.layouts.plan import Plan, Wishes
from bnf_lab.data.numbers import read_number
from bnf_lab.data.survey import Survey

_SOURCE = "https://hf.co/datasets/OpenAssistant/oasst2"
UNRANKED = "answers without a rank among their siblings were left out"
ALONE = "it has no rank among at least two answers to the same message, so nothing is better or worse. Leave it out."
LOST = "its conversation begins with message {}, which is not in the file. Leave it out, or add that message."
_MAX_DEPTH = 64


def recognise_trees(seen: Survey, wishes: Wishes) -> Plan | None:
    """One tree a row: {"message_tree_id": ..., "prompt": {"text": ..., "replies": [...]}}."""
    prompt = seen.columns.get("prompt")
    if prompt is None or not {"text", "role", "replies"} <= prompt.keys.keys():
        return None
    spelt = seen.spelt("prompt")

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        root = values.get(spelt)
        if not isinstance(root, dict):
            raise RowProblem("a tree begins with its prompt, an object with 'text' and 'replies'.", spelt)
        return tuple(_walk(root, (), spelt, reading))

    return Plan(
        "OpenAssistant trees: ranked siblings",
        read,
        frozenset({spelt}),
        prompt.n_filled,
        column=spelt,
        explained=frozenset(seen.names),
        source=_SOURCE,
    )


def _walk(node: Mapping[str, Any], before: Prompt, column: str, reading: Reading) -> Iterator[Draft]:
    if len(before) > _MAX_DEPTH:
        raise RowProblem(f"its conversation has more than {_MAX_DEPTH} turns. Leave it out.", column)
    here = (*before, _read_message(node.get("role"), node.get("text"), column, reading))
    listed = node.get("replies")
    replies = [r for r in listed if isinstance(r, dict) and not r.get("deleted")] if isinstance(listed, list) else []
    answers = [reply for reply in replies if find_role(reply.get("role")) == "assistant"]
    if here[-1].role == "user" and answers:
        ranked = [(reply, rank) for reply in answers if (rank := _read_rank(reply.get("rank"))) is not None]
        if len(ranked) < len(answers):
            reading.say(UNRANKED)
        if len(ranked) > 1:
            texts = [(read_text(reply.get("text"), column, reading.field_chars), rank) for reply, rank in ranked]
            yield Draft(here, tuple(texts), is_ranked=True)
    for reply in replies:
        yield from _walk(reply, here, column, reading)


def _read_message(role: Any, text: Any, column: str, reading: Reading) -> Message:
    name = find_role(role)
    if name is None:
        raise RowProblem(f"a message has the role {shown(role)}; prompter and assistant are known.", column)
    return Message(name, read_text(text, column, reading.field_chars))


def _read_rank(value: Any) -> float | None:
    """OpenAssistant counts ranks from 0; a message without one has not been ranked."""
    place = read_number(value)
    return -(place + 1) if place >= 0 else None


@dataclass(frozen=True)
class _Names:
    """The columns of a table of messages, as it spells them."""

    message_id: str
    parent_id: str
    text: str
    role: str
    rank: str
    deleted: str


def recognise_flat_trees(seen: Survey, wishes: Wishes) -> Plan | None:
    """One message a row, held together by `message_id` and `parent_id`."""
    needed = ("message_id", "parent_id", "text", "role", "rank")
    if not seen.has(*needed):
        return None
    deleted = seen.spelt("deleted") if seen.has("deleted") else "deleted"
    names = _Names(**{name: seen.spelt(name) for name in needed}, deleted=deleted)
    return Plan(
        "OpenAssistant messages: ranked siblings",
        lambda values, reading: (),
        frozenset(seen.spelt(name) for name in needed),
        seen.columns["text"].n_filled,
        column=names.rank,
        explained=frozenset(seen.names),
        source=_SOURCE,
        read_table=lambda rows, reading: _read_flat(rows, names, reading),
    )


def _read_flat(rows: Sequence[Row], names: _Names, reading: Reading) -> Iterator[tuple[Row, Draft | RowProblem | None]]:
    by_id = {str(row.values.get(names.message_id)): row for row in rows}
    siblings: dict[str, list[Row]] = {}
    for row in rows:
        if _is_ranked_answer(row, names):
            siblings.setdefault(str(row.values.get(names.parent_id)), []).append(row)
    fates: dict[int, Draft | RowProblem | None] = {}
    for parent, answers in siblings.items():
        if len(answers) < 2:
            continue
        try:
            path = _find_path(parent, by_id, names)
            prompt = tuple(
                _read_message(row.values.get(names.role), row.values.get(names.text), names.text, reading)
                for row in path
            )
        except RowProblem as problem:
            fates |= dict.fromkeys((row.number for row in answers), problem)
            continue
        for row in path:
            fates.setdefault(row.number, None)
        fates |= {row.number: _read_answer(row, prompt, names, reading) for row in answers}
    alone = RowProblem(ALONE, names.rank, "unjudged")
    yield from ((row, fates.get(row.number, alone)) for row in rows)


def _is_ranked_answer(row: Row, names: _Names) -> bool:
    values = row.values
    is_answer = find_role(values.get(names.role)) == "assistant" and not is_blank(values.get(names.parent_id))
    return is_answer and not values.get(names.deleted) and _read_rank(values.get(names.rank)) is not None


def _read_answer(row: Row, prompt: Prompt, names: _Names, reading: Reading) -> Draft | RowProblem:
    try:
        text = read_text(row.values.get(names.text), names.text, reading.field_chars)
    except RowProblem as problem:
        return problem
    return Draft(prompt, ((text, _read_rank(row.values.get(names.rank)) or 0.0),), is_ranked=True)


def _find_path(at: str, by_id: Mapping[str, Row], names: _Names) -> list[Row]:
    """Returns the messages from a tree's root to one of its messages.

    Raises:
        RowProblem: If the beginning is not in the file, or the conversation is no tree.
    """
    path: list[Row] = []
    while at in by_id and len(path) <= _MAX_DEPTH:
        row = by_id[at]
        path.insert(0, row)
        if is_blank(row.values.get(names.parent_id)):
            return path
        at = str(row.values.get(names.parent_id))
    raise RowProblem(LOST.format(shown(at, 40)), names.parent_id)
