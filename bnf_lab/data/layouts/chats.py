"""What chat front ends save: Open WebUI's feedback export, and its chats with thumbs on their messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.core.judgements import Verdict
from bnf_lab.data.conversations import check_prompt, is_blank, read_messages, split_answer
from bnf_lab.data.drafts import Draft, Reading
from bnf_lab.data.formats.rows import RowProblem
from bnf_lab.data.layouts.plan import Plan, Wishes
from bnf_lab.data.numbers import read_number
from bnf_lab.data.survey import Survey

_SOURCE = "https://docs.openwebui.com/features/evaluation/"
FINER = "details.rating"
NOT_RATED = "the feedback is neither thumbs up nor thumbs down. Leave it out."
NO_FINER = "there is no rating from 1 to 10 in its details. Leave it out, or let the thumbs decide."
SIBLINGS = "answers of other models stand beside it and were not rated; they are not used"
_VERDICTS = {1.0: Verdict.PREFERRED, -1.0: Verdict.DISPREFERRED}


def recognise_open_webui(seen: Survey, wishes: Wishes) -> Plan | None:
    """Open WebUI's feedback export: thumbs, and a rating from 1 to 10, on a message of a saved chat."""
    if not seen.has("data", "meta", "snapshot"):
        return None
    data, meta, snapshot = (seen.spelt(name) for name in ("data", "meta", "snapshot"))
    is_finer = wishes.decides == FINER
    options = (FINER, "thumbs") if is_finer else ("thumbs", FINER)
    return Plan(
        "Open WebUI feedback: ratings of answers" if is_finer else "Open WebUI feedback: thumbs on answers",
        lambda row, reading: (
            _read_feedback(row.get(data), row.get(meta), row.get(snapshot), is_finer=is_finer, reading=reading),
        ),
        frozenset({data, meta, snapshot}),
        seen.columns["snapshot"].n_filled,
        explained=frozenset(seen.names),
        source=_SOURCE,
        column=data,
        decides=options if "details" in seen.columns["data"].keys else (),
    )


def _read_feedback(data: Any, meta: Any, snapshot: Any, *, is_finer: bool, reading: Reading) -> Draft:
    data = data if isinstance(data, dict) else {}
    details = data.get("details")
    number = read_number(details.get("rating") if isinstance(details, dict) else None)
    verdict = _VERDICTS.get(read_number(data.get("rating")))
    if is_finer and number != number:  # nan
        raise RowProblem(NO_FINER, "data", "unjudged")
    if not is_finer and verdict is None:
        raise RowProblem(NOT_RATED, "data", "unjudged")
    chat = snapshot
    while isinstance(chat, dict) and isinstance(chat.get("chat"), dict):
        chat = chat["chat"]
    if not isinstance(chat, dict) or not isinstance(meta, dict):
        raise RowProblem(
            "the saved chat is missing, so it is not known what was rated. Export the feedback again.", "snapshot"
        )
    if not is_blank(data.get("sibling_model_ids")):
        reading.say(SIBLINGS)
    prompt, answer = _read_turns(_rated_turns(chat, meta), chat, "snapshot", reading)
    return Draft(prompt, ((answer, number if is_finer else verdict or 0.0),))


def _read_turns(
    turns: list[Any], chat: Mapping[str, Any], column: str, reading: Reading
) -> tuple[tuple[Any, ...], str]:
    """Returns the prompt, with the chat's system message, and the answer."""
    parameters = chat.get("params")
    system = chat.get("system") or (parameters.get("system") if isinstance(parameters, dict) else None)
    if isinstance(system, str) and system.strip():
        turns = [{"role": "system", "content": system}, *turns]
    prompt, answer = split_answer(read_messages(turns, column, reading), column)
    return check_prompt(prompt, column), answer


def _tree(chat: Mapping[str, Any]) -> Mapping[str, Any]:
    history = chat.get("history")
    tree = history.get("messages") if isinstance(history, dict) else None
    return tree if isinstance(tree, dict) else {}


def _path(at: Any, tree: Mapping[str, Any]) -> list[Any]:
    """Returns the messages from the beginning of a saved chat to one of its messages."""
    turns: list[Any] = []
    while isinstance(at, str) and at in tree and len(turns) < len(tree):
        turns.insert(0, tree[at])
        at = tree[at].get("parentId") if isinstance(tree[at], dict) else None
    return turns


def _rated_turns(chat: Mapping[str, Any], meta: Mapping[str, Any]) -> list[Any]:
    """Returns the turns up to the rated message: by its id in the tree, else by its place in the list."""
    turns = _path(meta.get("message_id"), _tree(chat))
    if turns:
        return turns
    listed, place = chat.get("messages"), meta.get("message_index")
    if isinstance(listed, list) and isinstance(place, int) and 0 < place <= len(listed):
        return listed[:place]
    raise RowProblem(
        f"the rated message {shown(meta.get('message_id'))} is not in the saved chat. Export the feedback again.",
        "meta",
    )


def recognise_chats(seen: Survey, wishes: Wishes) -> Plan | None:
    """Open WebUI's chats, one a row, with thumbs on some of their messages."""
    if not seen.has("chat") or "history" not in seen.columns["chat"].keys:
        return None
    column = seen.spelt("chat")

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        chat = values.get(column)
        return tuple(_read_thumbs(chat, column, reading)) if isinstance(chat, dict) else ()

    return Plan(
        "Open WebUI chats: thumbs on answers",
        read,
        frozenset({column}),
        seen.columns["chat"].n_filled,
        explained=frozenset(seen.names),
        source=_SOURCE,
        column=column,
    )


def _read_thumbs(chat: Mapping[str, Any], column: str, reading: Reading) -> Iterator[Draft]:
    tree = _tree(chat)
    for name, message in tree.items():
        note = message.get("annotation") if isinstance(message, dict) else None
        verdict = _VERDICTS.get(read_number(note.get("rating"))) if isinstance(note, dict) else None
        if verdict is not None:
            prompt, answer = _read_turns(_path(name, tree), chat, column, reading)
            yield Draft(prompt, ((answer, verdict),))
