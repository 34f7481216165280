"""Which columns hold the prompt, its system message, its context and what belongs to it: the names that people use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bnf_lab.core.judgements import Message
from bnf_lab.data.conversations import is_blank, read_text
from bnf_lab.data.drafts import Draft, Reading
from bnf_lab.data.layouts.plan import Plan
from bnf_lab.data.survey import MESSAGES, TEXT, Column, Survey, words

ASKED = words(
    """
    prompt instruction question query problem user_prompt user_question prompt_text user_input user_query user_message
    user human input input_text request task_prompt ask goal post customer_question customer_message your_question
    """
)
TALKS = words(
    "conversations messages conversation dialogue dialog trajectory turns chat contents chat_history history context"
)
SYSTEMS = words("system system_prompt system_message sys system_instruction custom_system_prompt")
EXTRAS = ("input", "query", "instruction_input")
CONTEXTS = words("context passage background document article paragraph evidence")
_FIRSTS = ("instruction", "prompt", "question", "problem")


def find_prompt(seen: Survey, taken: frozenset[str] = frozenset()) -> dict[str, str]:
    """Returns which column plays which part of the prompt; no "prompt" among them, but a "system", if none does.

    Args:
        seen: The table.
        taken: Columns, in layouts' spelling, that play another part already.
    """
    free = [name for name in ASKED if name not in taken]
    prompt = seen.find(*free, kinds=TEXT | MESSAGES | {"list of one text", "transcript with preamble"})
    talk = seen.find(*(name for name in TALKS if name not in taken), kinds=MESSAGES)
    if prompt is None:
        prompt = talk or seen.find(*(n for n in ("history", "context", "text") if n not in taken), kinds=TEXT)
    rest = taken | {prompt or ""}
    system = seen.find(*(name for name in SYSTEMS if name not in rest))
    parts = {"system": system} if system else _blank_system(seen, rest)
    if prompt is None:
        return {part: seen.spelt(name) for part, name in parts.items()}
    parts["prompt"] = prompt
    is_text = seen.columns[prompt].is_mostly(TEXT)
    extra = seen.find(*(name for name in EXTRAS if name not in rest), kinds=TEXT)
    if is_text and extra and prompt in _FIRSTS:
        parts["extra"] = extra
        rest |= {extra}
    context = seen.find(*(name for name in CONTEXTS if name not in rest), kinds=TEXT)
    if is_text and context:
        parts["context"] = context
    history = seen.columns.get("history")
    if history and "history" not in rest and history.n_filled and _holds_turns(history):
        parts["history"] = "history"
    return {part: seen.spelt(name) for part, name in parts.items()}


def _holds_turns(column: Column) -> bool:
    return not column.is_mostly(TEXT) or 2 * column.n_bracketed > column.n_filled


def _blank_system(seen: Survey, taken: frozenset[str]) -> dict[str, str]:
    """A column of blank system messages is named too, so that leaving them out is said."""
    name = next((name for name in SYSTEMS if name in seen.columns and name not in taken), None)
    return {"system": name} if name else {}


def add_to_prompt(plan: Plan, columns: Sequence[str]) -> Plan:
    """Returns a plan that puts the texts of further columns below the last message of every prompt."""

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        added = [
            read_text(values.get(name), name, reading.field_chars) for name in columns if not is_blank(values.get(name))
        ]
        for draft in plan.read(values, reading):
            *before, last = draft.prompt
            text = "\n\n".join((last.content, *added))
            yield replace(draft, prompt=(*before, Message(last.role, text)))

    return replace(plan, read=read, used=plan.used | set(columns))
