"""A preferred and a dispreferred answer in two columns of one row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.core.judgements import Verdict
from bnf_lab.data.conversations import check_prompt, find_messages, find_role, read_text, spoken_role
from bnf_lab.data.drafts import Draft, Reading
from bnf_lab.data.fields import Parts, read_prompt
from bnf_lab.data.formats.rows import RowProblem
from bnf_lab.data.layouts.pair_names import COLUMNS, SCORES, THOUGHTS, WEIGHTS, find_beside, find_known
from bnf_lab.data.layouts.plan import TRL, Plan, ReadRow, Wishes, gather, reader
from bnf_lab.data.layouts.prompts import find_prompt
from bnf_lab.data.readers import read_pair
from bnf_lab.data.survey import ANSWER, MESSAGES, TRANSCRIPTS, Survey

_ANSWERS = ANSWER | TRANSCRIPTS | {"texts", "objects", "list", "object"}
_WHOLE_TALKS = ("messages", "conversations", "conversation")


def find_pair(seen: Survey) -> tuple[str, str] | None:
    """Returns the two columns, in layouts' spelling, whose names say which answer is the better one."""
    return next((pair for pair in COLUMNS if seen.has(*pair) and _hold_answers(seen, pair)), None)


def find_pair_columns(seen: Survey, sides: tuple[str, str]) -> dict[str, str]:
    """Returns which column plays which part of a pair, prompt, scores, thoughts and weight included."""
    parts = {"preferred": sides[0], "dispreferred": sides[1]}
    for part, names in (("score", SCORES), ("thought", THOUGHTS)):
        found = find_beside(seen, sides, names)
        if found:
            parts |= {f"preferred_{part}": found[0], f"dispreferred_{part}": found[1]}
    weight = seen.find(*WEIGHTS)
    if weight:
        parts["weight"] = weight
    columns = {part: seen.spelt(name) for part, name in parts.items()}
    prompt = find_prompt(seen, frozenset(parts.values()))
    if sides[0] in _WHOLE_TALKS and seen.columns[sides[0]].is_mostly(MESSAGES):  # it brings its prompt along
        prompt = {part: name for part, name in prompt.items() if part == "system"}
    return columns | prompt


def recognise_pairs(seen: Survey, wishes: Wishes) -> Plan | None:
    """Two columns whose names say which answer is the better one."""
    sides = find_pair(seen)
    if sides is None:
        return None
    columns = find_pair_columns(seen, sides)
    prompt = seen.facts(columns["prompt"]) if "prompt" in columns else None
    read = _read_after_talk(columns) if prompt and prompt.is_mostly(MESSAGES) else reader(read_pair, columns)
    name, source = _describe(seen, sides, columns)
    n_fit = min(seen.columns[name].count(ANSWER | TRANSCRIPTS) for name in sides)
    return Plan(name, read, frozenset(columns.values()), n_fit, source=source)


def _hold_answers(seen: Survey, pair: tuple[str, str]) -> bool:
    """Names alone decide where nothing is in them; a column of labels called "chosen" or "preferred" is no answer."""
    facts = [seen.columns[name] for name in pair]
    return all(not c.n_filled or c.count(_ANSWERS) for c in facts)


def _describe(seen: Survey, sides: tuple[str, str], columns: Mapping[str, str]) -> tuple[str, str]:
    facts, (name, source) = seen.columns[sides[0]], find_known(seen)
    are_transcripts = facts.is_mostly(TRANSCRIPTS)
    kind = "pairs of transcripts" if are_transcripts else "pairs of messages" if facts.is_mostly(MESSAGES) else "pairs"
    if are_transcripts or ("prompt" in columns and seen.facts(columns["prompt"]).is_mostly(TRANSCRIPTS)):
        name, source = "Anthropic HH", "https://hf.co/datasets/Anthropic/hh-rlhf"
    kind += " with scores" if "preferred_score" in columns else ""
    kind += ", the prompt within" if "prompt" not in columns and facts.is_mostly(MESSAGES) else ""
    if not name and sides == ("chosen", "rejected"):
        name, source = "TRL preference", TRL
    return (f"{name}: {kind}" if name else kind), source


def _read_after_talk(columns: Mapping[str, str]) -> ReadRow:
    """A conversation column that already ends with the preferred answer, as a training set's `messages` does."""

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        parts = gather(values, columns)
        talk = find_messages(parts.get("prompt"))
        is_reply = talk and find_role(spoken_role(talk[-1])) == "assistant"
        if talk and is_reply and _says(parts.get("preferred"), talk[-1]):
            parts = Parts({**parts.values, "prompt": talk[:-1]}, columns)
        return (read_pair(parts, reading),)

    return read


def _says(answer: Any, turn: Mapping[str, Any]) -> bool:
    found = find_messages(answer)
    said = found[-1] if found else {"content": answer}
    texts = [t.get("content", t.get("value")) for t in (said, turn)]
    return isinstance(texts[0], str) and isinstance(texts[1], str) and texts[0].strip() == texts[1].strip()


def recognise_several(seen: Survey, wishes: Wishes) -> Plan | None:
    """Lists of preferred and of dispreferred answers, one of which at least has more than one."""
    sides, lists = find_pair(seen), {"texts", "list of one text"}
    if sides is None or not all(seen.columns[name].is_mostly(lists | {"text"}) for name in sides):
        return None
    prompt = find_prompt(seen, frozenset(sides))
    if "prompt" not in prompt or not any(seen.columns[name].is_mostly({"texts"}) for name in sides):
        return None
    better, worse = (seen.spelt(side) for side in sides)

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        asked = read_prompt(gather(values, prompt), reading)
        judged = ((better, Verdict.PREFERRED), (worse, Verdict.DISPREFERRED))
        answers = tuple((text, v) for name, v in judged for text in _read_texts(values.get(name), name, reading))
        good, bad = ({text.strip() for text, found in answers if found is verdict} for verdict in Verdict)
        if good & bad:
            raise RowProblem("an answer stands among the preferred and the dispreferred ones.", worse, "same")
        return (Draft(check_prompt(asked, prompt["prompt"]), answers),)

    name = "RewardBench 2" if seen.has("num_correct", "num_incorrect") else find_known(seen)[0]
    kind = "several preferred and dispreferred answers"
    return Plan(
        f"{name}: {kind}" if name else kind,
        read,
        frozenset((*prompt.values(), better, worse)),
        min(seen.columns[side].count(lists | {"text"}) for side in sides),
        source="https://hf.co/datasets/allenai/reward-bench-2" if name else "",
    )


def _read_texts(value: Any, column: str, reading: Reading) -> list[str]:
    if isinstance(value, str):
        return [read_text(value, column, reading.field_chars)]
    if not isinstance(value, list) or not value:
        raise RowProblem(f"a list of answers is needed, found {shown(value)}.", column, "" if value else "empty")
    return [read_text(item, column, reading.field_chars) for item in value]
