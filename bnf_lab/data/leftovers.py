"""What a table holds besides what was read: refused, said, or asked about, never lost without a word. Standard library.

A column that repeats what was read (the whole conversation beside its pair, the pool that both answers come from) is no
loss, nor are the names, ids and notes that data sets carry along. Every other column of text is: leaving it out could
change what is learnt. Pictures and calls refuse their row; tools, margins and weights that nothing reads are said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bnf_lab.data.conversations import CALL_IS_ANSWER, TOOLS_UNUSED, find_messages, is_blank
from bnf_lab.data.drafts import Draft, Reading
from bnf_lab.data.formats.rows import RowProblem
from bnf_lab.data.layouts.plan import Plan
from bnf_lab.data.survey import Column, Survey, normalise_value, plain_name, words

_CARRIED = re.compile(
    r"(.*_)?(id|ids|uid|uuid|hash|sha256|source|sources|dataset|datasets|model|models|policy|policies|lang|language|"
    r"category|categories|tag|tags|split|subset|domain|type|types|date|time|timestamp|tstamp|created|updated|at|"
    r"url|urls|link|links|author|authors|username|annotator|annotators|worker|judge|status|order|index|version|license|"
    r"metadata|meta|principle|rationale|rationales|reason|reasons|critique|critiques|feedback|comment|comments|"
    r"explanation|explanations|note|notes|labelling_prompt|raw_labelling_response|rank_str|moderation|harm_category|"
    r"severity_level|generator|generation_prompt|raw_generation_responses|new_generations|unnamed.*)"
    r"|original_(chosen|rejected|response)",
)
_PICTURES = words("image images img video videos audio audios image_url image_urls rejected_images pixel_values")
_CALLS = words("tool_calls function_call")
_SAID = {
    **dict.fromkeys(words("margin margins score_margin rating_margin"), "margins are not used"),
    **dict.fromkeys(words("weight weights sample_weight"), "weights are not used with this layout"),
    **dict.fromkeys(words("tools functions"), TOOLS_UNUSED),
}
_WORD = re.compile(r"[^\W\d_]{2,}")
_MARKING_WORDS = 4  # "User:", "Assistant:", "### Instruction:"
_TIED = "the set's own note says that the two answers tie; they are taken as it orders them"


class Leftovers:
    """Watches, row by row, what lies in the columns that reading does not use.

    Args:
        seen: The table.
        plan: How it is read.
        left_out: Columns that the person leaves out knowingly.

    Attributes:
        watched: The unused columns that hold text on most rows and are nothing that data sets carry along.
    """

    def __init__(self, seen: Survey, plan: Plan, left_out: Sequence[str]) -> None:
        self._names = tuple(name for name in seen.names if name not in plan.used)
        knowingly = {*left_out, *plan.explained}
        self.watched = tuple(
            name
            for name in self._names
            if name not in knowingly
            and not _CARRIED.fullmatch(plain_name(name))
            and _holds_text(seen.all_columns[name], seen.n_rows)
        )
        self._own = dict.fromkeys(self.watched, 0)
        self._n_rows = 0
        unread = {plain_name(name): name for name in self._names if name not in left_out}
        self._pictures = [unread[name] for name in _PICTURES if name in unread]
        self._calls = [unread[name] for name in _CALLS if name in unread]
        self._said = [(unread[name], sentence) for name, sentence in _SAID.items() if name in unread]
        self._status = unread.get("status") if "labelling_model" in seen.columns else None

    def check(self, values: Mapping[str, Any], reading: Reading) -> None:
        """Notes what a row holds in columns that nothing reads.

        Raises:
            RowProblem: If it comes with pictures, sound or calls, without which its answer is not what it was.
        """
        for name in self._pictures:
            if _is_filled(values.get(name)):
                raise RowProblem(
                    "the row comes with pictures or sound, which text alone cannot answer. Only text can be trained "
                    "on; delete the row, or the column if it does not matter.",
                    name,
                )
        for name in self._calls:
            if _is_filled(values.get(name)):
                raise RowProblem(CALL_IS_ANSWER, name)
        for name, sentence in self._said:
            if _is_filled(values.get(name)):
                reading.say(sentence)
        if self._status and normalise_value(values.get(self._status)) == "tie":
            reading.say(_TIED)

    def see(self, values: Mapping[str, Any], drafts: Sequence[Draft]) -> None:
        """Counts, for a row that was taken, the columns whose text is not among what was read."""
        self._n_rows += 1
        if not self.watched:
            return
        answers = [text for draft in drafts for text, _ in draft.answers]
        prompt = [message.content for draft in drafts for message in draft.prompt]
        for name in self.watched:
            value = values.get(name)
            texts = list(_texts(value))
            is_pool = isinstance(value, list) and not {t.strip() for t in texts}.isdisjoint(a.strip() for a in answers)
            if texts and not is_pool and not _is_among(texts, prompt, answers):
                self._own[name] += 1

    def unused(self) -> tuple[str, ...]:
        """Returns every column that was not used."""
        return self._names

    def unexplained(self) -> tuple[str, ...]:
        """Returns the columns that hold text of their own on most rows, which has to be asked about."""
        return tuple(name for name in self.watched if 2 * self._own[name] > self._n_rows)


def _is_filled(value: Any) -> bool:
    held = value if isinstance(value, list) else [value]
    return not all(is_blank(item) or item is False for item in held)


def _holds_text(column: Column, n_rows: int) -> bool:
    return 2 * (column.n_wordy + column.count({"messages", "message"})) > n_rows


def _texts(value: Any) -> Sequence[str]:
    if isinstance(value, str):
        return [value] if value.strip() else []
    turns = find_messages(value)
    if turns:
        return [str(t.get("content", t.get("value", ""))) for t in turns]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _is_among(texts: Sequence[str], prompt: Sequence[str], answers: Sequence[str]) -> bool:
    """Tells whether each text stands in what was read, or is a flat copy of it with hardly a word of its own."""
    whole = "\n".join((*prompt, *answers))
    if all(text.strip() in whole for text in texts):
        return True
    rest = "\n".join(texts)
    if not all(part.strip() in rest for part in prompt) or not any(answer.strip() in rest for answer in answers):
        return False
    for part in sorted({part.strip() for part in (*prompt, *answers)}, key=len, reverse=True):
        rest = rest.replace(part, " ")
    return len(_WORD.findall(rest)) <= _MARKING_WORDS
