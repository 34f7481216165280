"""Pairs whose prompts begin in other rows: H2O LLM Studio's chains by `parent_id`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bnf_lab.core.errors import shown
from bnf_lab.core.judgements import Message, Verdict
from bnf_lab.data.conversations import is_blank
from bnf_lab.data.drafts import Draft, Prompt, Reading
from bnf_lab.data.formats.rows import Row, RowProblem
from bnf_lab.data.layouts.pair_names import find_known
from bnf_lab.data.layouts.pairs import find_pair, find_pair_columns
from bnf_lab.data.layouts.plan import Plan, Wishes, gather
from bnf_lab.data.readers import read_pair
from bnf_lab.data.survey import TEXT, Survey, plain_name

_MAX_TURNS = 64
UNCHAINED = "no row is the beginning of another one's conversation, so each row is read by itself"


def recognise_chains(seen: Survey, wishes: Wishes) -> Plan | None:
    """A pair of plain texts a row, whose conversation begins in the row that `parent_id` names."""
    sides = find_pair(seen)
    if sides is None or not seen.has("id") or not seen.find("parent_id"):
        return None
    columns = find_pair_columns(seen, sides)
    prompt = columns.get("prompt")
    if prompt is None or not all(seen.columns[plain_name(n)].is_mostly(TEXT) for n in (prompt, *sides)):
        return None
    name, source = find_known(seen)
    own, parent = seen.spelt("id"), seen.spelt("parent_id")
    return Plan(
        f"{name}: pairs, in chains" if name else "pairs, in chains",
        lambda values, reading: (),
        frozenset((*columns.values(), own, parent)),
        min(seen.columns[side].count(TEXT) for side in sides),
        source=source,
        read_table=lambda rows, reading: _read_chains(rows, columns, (own, parent), reading),
    )


def _read_chains(
    rows: Sequence[Row], columns: Mapping[str, str], ids: tuple[str, str], reading: Reading
) -> Iterator[tuple[Row, Draft | RowProblem]]:
    own, parent = ids
    by_id = {str(row.values.get(own)): row for row in rows}
    parents = {str(row.values.get(parent)) for row in rows if not is_blank(row.values.get(parent))}
    is_chained = not parents.isdisjoint(by_id)
    drafts: dict[int, Draft | RowProblem] = {}
    for row in rows:
        reading.row = row.number
        try:
            drafts[row.number] = read_pair(gather(row.values, columns), reading)
        except RowProblem as problem:
            drafts[row.number] = problem
    for row in rows:
        draft = drafts[row.number]
        if isinstance(draft, RowProblem):
            yield row, draft
            continue
        if not is_chained:
            reading.row = row.number
            reading.say(UNCHAINED)
            yield row, draft
            continue
        try:
            yield row, replace(draft, prompt=_begin(row, draft, by_id, parent, drafts))
        except RowProblem as problem:
            yield row, problem


def _begin(
    row: Row, draft: Draft, by_id: Mapping[str, Row], parent: str, drafts: Mapping[int, Draft | RowProblem]
) -> Prompt:
    """Returns the conversation up to a row: its parents' prompts with their preferred answers, then its own prompt.

    Raises:
        RowProblem: If a parent is missing or refused, or the chain has no beginning.
    """
    turns: list[Prompt] = [draft.prompt]
    while not is_blank(row.values.get(parent)):
        name = row.values.get(parent)
        before = by_id.get(str(name))
        earlier = drafts[before.number] if before is not None else None
        if before is None or not isinstance(earlier, Draft) or len(turns) > _MAX_TURNS:
            raise RowProblem(
                f"its conversation begins with the row of id {shown(name, 40)}, which is not in the file or cannot be "
                "taken. Add it, or leave this row out.",
                parent,
            )
        answer = next(text for text, verdict in earlier.answers if verdict is Verdict.PREFERRED)
        turns.insert(0, (*earlier.prompt, Message("assistant", answer)))
        row = before
    system = [message for message in turns[0] if message.role == "system"]
    if any(m.role == "system" and m not in system for turn in turns for m in turn):
        raise RowProblem("its system message is another one than at the beginning of its conversation.", parent)
    return (*system, *(message for turn in turns for message in turn if message.role != "system"))
