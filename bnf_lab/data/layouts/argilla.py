"""Argilla: version 1 as records or as columns of the hub, version 2 as records or columns; several annotators."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.core.judgements import Verdict
from bnf_lab.data.conversations import check_prompt, is_blank
from bnf_lab.data.drafts import Draft, Reading
from bnf_lab.data.fields import Parts, read_answer, read_prompt
from bnf_lab.data.formats.rows import Row, RowProblem
from bnf_lab.data.labels import read_labels
from bnf_lab.data.layouts.choices import BOTH_BAD, NEITHER, judge_sides
from bnf_lab.data.layouts.plan import Plan, Wishes
from bnf_lab.data.layouts.prompts import find_prompt
from bnf_lab.data.layouts.singles import ANSWERED
from bnf_lab.data.layouts.votes import NOBODY, ORDERED_APART, is_blaming, judge_alone, mean, read_numbers, vote
from bnf_lab.data.numbers import is_number, read_number
from bnf_lab.data.readers import read_ranked, read_rated
from bnf_lab.data.survey import Survey, normalise_value, plain_name, survey

_SOURCE = "https://docs.argilla.io/latest/how_to_guides/import_export/"
_SUBMITTED = ("submitted", "completed")
_BESIDE = re.compile(
    r".*(\.(users|status|agent|score|suggestion)|-suggestion(-metadata)?)|id|_server_id|external_id|status"
)
_END = re.compile(r"_?(\d+|[ab]|left|right)\Z")
_RATES = ("rating", "score", "quality", "stars", "points")

Answers = Mapping[str, list[Any]]
"""Question -> what each annotator who submitted said."""


@dataclass(frozen=True)
class _Record:
    """One record: the fields that annotators saw, and what they said."""

    fields: Mapping[str, Any]
    answers: Answers
    labels: Mapping[str, Verdict] = field(default_factory=dict)


def recognise_argilla(seen: Survey, wishes: Wishes) -> Plan | None:
    """Argilla's records or columns; of several questions the first that judges decides."""
    shape, questions = _find_shape(seen)
    if not shape:
        return None
    asked = [] if _find_candidates(seen) else [name for name in questions if _judges(seen, name)]
    chosen = wishes.decides if wishes.decides in asked else ""

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        fields, answers = _split_row(values, questions)
        answers = {q: given for q, given in answers.items() if not chosen or q == chosen}
        return (_read_record(_Record(fields, answers, wishes.labels), reading),)

    return Plan(
        f"Argilla {shape}: answers judged by annotators",
        read,
        frozenset(name for name in seen.names if not _BESIDE.fullmatch(name)),
        seen.n_rows,
        source=_SOURCE,
        explained=frozenset(seen.names),
        column=questions[0] if questions else "responses",
        decides=(chosen or asked[0], *(q for q in asked if q != (chosen or asked[0]))) if len(asked) > 1 else (),
    )


def _find_shape(seen: Survey) -> tuple[str, tuple[str, ...]]:
    """Returns "records", "columns" or "" (none of Argilla's), and the columns of questions."""
    if seen.has("fields", "responses") and seen.columns["fields"].is_mostly({"object", "message"}):
        return "records", ()
    facts = seen.columns.values()
    found = [c.name for c in facts if c.name.endswith(".responses")]
    found = found or [
        c.name for c in facts if {"user_id", "value"} <= c.keys.keys() or f"{c.name}-suggestion" in seen.names
    ]
    return ("columns" if found else ""), tuple(found)


def _judges(seen: Survey, question: str) -> bool:
    """Tells whether the answers to a question are ratings, or labels of one vocabulary that do not blame."""
    given = seen.facts(question).listed
    found = read_labels(given, question)
    is_label = bool(found and found.meaning) and not is_blaming(question)
    return is_label or bool(given and all(is_number(value) for value in given))


def _split_row(values: Mapping[str, Any], questions: Sequence[str]) -> tuple[Mapping[str, Any], dict[str, list[Any]]]:
    """Returns the fields of a record and, by question, the submitted answers."""
    if isinstance(values.get("fields"), dict):
        return values["fields"], _read_responses(values.get("responses"))
    answers = {}
    for question in questions:
        states = values.get(f"{question}.status")
        answers[question] = _read_given(values.get(question), states if isinstance(states, list) else [])
    return {n: v for n, v in values.items() if n not in questions and not _BESIDE.fullmatch(n)}, answers


def _read_given(value: Any, states: Sequence[Any] = ()) -> list[Any]:
    """Returns the submitted answers to one question: plain ones beside their states, objects, or a struct of lists."""
    if isinstance(value, dict) and isinstance(value.get("value"), list):
        lists = {key: inner for key, inner in value.items() if isinstance(inner, list)}
        value = [dict(zip(lists, row, strict=False)) for row in zip(*lists.values(), strict=False)]
    given = value if isinstance(value, list) else [] if is_blank(value) else [value]
    if given and all(isinstance(item, dict) and "value" in item and "rank" not in item for item in given):
        return [i["value"] for i in given if i.get("status", "submitted") in _SUBMITTED and not is_blank(i["value"])]
    return [v for i, v in enumerate(given) if i >= len(states) or states[i] in _SUBMITTED]


def _read_responses(responses: Any) -> dict[str, list[Any]]:
    if isinstance(responses, dict):  # version 2: question -> [{"value": ..., "user_id": ...}]
        return {question: _read_given(given) for question, given in responses.items()}
    answers: dict[str, list[Any]] = {}
    for item in responses if isinstance(responses, list) else ():  # version 1: [{"values": {question: {"value": ...}}}]
        if (
            isinstance(item, dict)
            and item.get("status", "submitted") in _SUBMITTED
            and isinstance(item.get("values"), dict)
        ):
            for question, given in item["values"].items():
                answers.setdefault(question, []).append(given.get("value") if isinstance(given, dict) else given)
    return answers


def _read_record(record: _Record, reading: Reading) -> Draft:
    if not any(record.answers.values()):
        raise RowProblem(NOBODY, "responses", "unjudged")
    seen = survey([Row(1, dict(record.fields), "")])
    candidates = _find_candidates(seen)
    columns = find_prompt(seen, frozenset(map(plain_name, candidates)))
    draft = _read_several(record, candidates, columns, reading) if candidates else _read_alone(record, seen, reading)
    if draft is None:
        named = f"one of {', '.join(candidates)}" if candidates else "a rating or a label of a known vocabulary"
        raise RowProblem(f"what the annotators said is not {shown(named, 80)}. Map the columns.", "responses")
    return draft


def _find_candidates(seen: Survey) -> list[str]:
    """Returns the fields that hold several answers to one prompt: named alike but for a number or letter at the end."""
    by_stem: dict[str, list[str]] = {}
    for key, column in seen.columns.items():
        if _END.search(key):
            by_stem.setdefault(_END.sub("", key), []).append(column.name)
    groups = [names for names in by_stem.values() if len(names) > 1]
    return max(groups, key=len, default=[])


def _read_several(
    record: _Record, candidates: Sequence[str], columns: Mapping[str, str], reading: Reading
) -> Draft | None:
    """Several answers in fields of their own: one chosen, all put in order, or each rated."""
    aliases = _find_aliases(candidates)
    for question, given in record.answers.items():
        orders = [order for value in given if (order := _read_order(value, aliases))]
        if any(len(order) > 1 for order in orders):
            return _rank(record, candidates, orders, {**columns, "rank": question}, reading)
        sides = [side for value in given if (side := _read_side(value, aliases))]
        if sides and len(sides) == len(given) and not _rates(question):  # a rating of 2 does not mean the second answer
            return _choose(record, candidates, vote(sides, question, reading), columns, reading)
    rated = {name: found for name in candidates if (found := _find_ratings(name, record.answers))}
    if len(rated) < 2:
        return None
    row = {part: record.fields.get(name) for part, name in columns.items()}
    row |= {"response": [record.fields[n] for n in rated], "rating": [mean(r, reading) for r in rated.values()]}
    return read_rated(Parts(row, {**columns, "response": candidates[0], "rating": "rating"}), reading)


def _find_aliases(candidates: Sequence[str]) -> dict[str, str]:
    """Returns what annotators may call each field: its name in any spelling, or the number or letter at its end."""
    aliases: dict[str, str] = {}
    for name in candidates:
        key = plain_name(name)
        end = _END.search(key)
        aliases |= dict.fromkeys((_squeeze(key), end[1] if end else key), name)
    return aliases


def _squeeze(text: str) -> str:
    return plain_name(text).replace("_", "")


def _read_side(value: Any, aliases: Mapping[str, str]) -> str:
    """Returns the field that an answer names, "tie", "both bad", or "" if it names none."""
    text = normalise_value(value) or ""
    return "tie" if text in NEITHER else "both bad" if text in BOTH_BAD else aliases.get(_squeeze(text), "")


def _read_order(value: Any, aliases: Mapping[str, str]) -> dict[str, float]:
    """Returns field -> place, 1 for the best; nothing where the answer is no order."""
    items = value if isinstance(value, list) else []
    if items and all(isinstance(item, dict) for item in items):
        pairs = [(item.get("value"), read_number(item.get("rank"))) for item in items]
    else:
        pairs = [(item, float(i)) for i, item in enumerate(items, start=1)]
    found = {aliases.get(_squeeze(str(name))): place for name, place in pairs}
    return {name: place for name, place in found.items() if name and place >= 1}


def _rank(
    record: _Record,
    candidates: Sequence[str],
    orders: Sequence[Mapping[str, float]],
    columns: Mapping[str, str],
    reading: Reading,
) -> Draft:
    places = {name: [order[name] for order in orders if name in order] for name in candidates}
    if len({tuple(sorted(order.items())) for order in orders}) > 1:
        reading.say(ORDERED_APART)
    means = {name: sum(found) / len(found) for name, found in places.items() if found}
    row = {part: record.fields.get(name) for part, name in columns.items()}
    row |= {"response": [record.fields[name] for name in means], "rank": list(means.values())}
    return read_ranked(Parts(row, {**columns, "response": candidates[0]}), reading)


def _choose(
    record: _Record, candidates: Sequence[str], best: str, columns: Mapping[str, str], reading: Reading
) -> Draft:
    others = [name for name in candidates if name != best and not is_blank(record.fields.get(name))]
    if best in ("tie", "both bad") and len(others) == 2:
        return judge_sides(record.fields, columns, (others[0], others[1]), best, reading)[0]
    if best in candidates and len(others) == 1:
        return judge_sides(record.fields, columns, (best, others[0]), "first", reading)[0]
    if best not in candidates or not others:
        raise RowProblem("the annotators chose none of its answers. Leave it out.", "responses", "tie")
    row = {part: record.fields.get(name) for part, name in columns.items()}
    row |= {"response": [record.fields[n] for n in (best, *others)], "rank": [1, *[2] * len(others)]}
    return read_ranked(Parts(row, {**columns, "response": best, "rank": "responses"}), reading)


def _rates(question: str) -> bool:
    return any(word in plain_name(question) for word in _RATES)


def _find_ratings(name: str, answers: Answers) -> list[float]:
    """Returns the ratings of one answer: of the question that has the field's name, or its end, in its own."""
    key, end = plain_name(name), _END.search(plain_name(name))
    for question, given in answers.items():
        asked = plain_name(question.removesuffix(".responses"))
        if _rates(asked) and (asked.startswith(f"{key}_") or (end and asked.endswith(f"_{end[1]}"))):
            return read_numbers(given)
    return []


def _read_alone(record: _Record, seen: Survey, reading: Reading) -> Draft | None:
    """One answer, rated or labelled."""
    answer = seen.find(*ANSWERED)
    columns = find_prompt(seen, frozenset({answer} if answer else ()))
    if answer is None or "prompt" not in columns:
        raise RowProblem("its fields hold no prompt and answer by any known name. Map the columns.", "fields")
    row = {part: record.fields.get(name) for part, name in columns.items()}
    prompt = check_prompt(read_prompt(Parts(row, columns), reading), columns["prompt"])
    _, text = read_answer(record.fields.get(seen.spelt(answer)), seen.spelt(answer), reading)
    drafts = (judge_alone(prompt, text, given, q, record.labels, reading) for q, given in record.answers.items())
    return next((draft for draft in drafts if draft), None)
