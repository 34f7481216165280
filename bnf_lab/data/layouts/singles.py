"""One answer a row, or a list of them, with a label, a rating or a rank."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.data.conversations import is_blank
from bnf_lab.data.drafts import Draft, Reading
from bnf_lab.data.fields import Parts
from bnf_lab.data.formats.rows import RowProblem
from bnf_lab.data.labels import is_label_like, read_labels
from bnf_lab.data.layouts.pair_names import THOUGHTS, WEIGHTS
from bnf_lab.data.layouts.plan import TRL, Plan, ReadRow, Wishes, gather, reader
from bnf_lab.data.layouts.prompts import TALKS, find_prompt
from bnf_lab.data.numbers import is_number
from bnf_lab.data.readers import read_labelled, read_ranked, read_rated, take_off_prompt
from bnf_lab.data.survey import ANSWER, MESSAGES, TRANSCRIPTS, Survey, plain_name, words

ANSWERED = words(
    """
    completion response answer output reply generation model_output model_response generated_text candidate
    assistant assistant_response summary generated completion_text text bot_answer bot_response bot_reply ai_response
    ai_answer model_answer chatbot_answer chatbot_response llm_response llm_answer llm_output agent_response
    """
)
ANSWERS = words("responses completions answers generations outputs candidates replies summaries")
LABELS = words(
    """
    label labels kto_tag is_preferred is_good is_chosen liked like thumbs thumb feedback vote desirable verdict
    preference preferred is_correct correct accepted is_safe good tag
    """
)
RATINGS = words(
    """
    rating score overall_score stars reward quality grade points ratings scores rewards overall overall_rating
    overall_quality human_rating user_rating human_score avg_rating average_rating mean_rating avg_score mean_score
    helpfulness correctness harmlessness honesty
    """
)
RANKS = words("rank ranks ranking rankings position")
HELPSTEER = words("helpfulness correctness coherence complexity verbosity")
OWN_SYSTEM = "the system message that each answer had of its own (custom_system_prompt) is not used"
_NUMBER = frozenset({"number", "text"})
_TEXT_KEYS = words("response answer text completion output content body message summary generation")
_SCORE_KEYS = words("overall_score score rating pm_score reward fine_grained_score votes upvotes")
_LABEL_SOURCES = {
    "label": TRL,
    "kto_tag": "https://llamafactory.readthedocs.io/en/latest/getting_started/data_preparation.html",
    "is_safe": "https://hf.co/datasets/PKU-Alignment/BeaverTails",
}
_HELPSTEER_SOURCE = "https://hf.co/datasets/nvidia/HelpSteer2"


def find_answer(seen: Survey, *taken: str) -> dict[str, str] | None:
    """Returns the columns of prompt and answer; the answer may be the last message of a conversation."""
    answer = seen.find(*(n for n in ANSWERED if n not in taken), kinds=ANSWER | TRANSCRIPTS)
    talks = (*TALKS, "transcript", "text")
    talk = seen.find(*(n for n in talks if n not in taken), kinds=MESSAGES | TRANSCRIPTS | {"templated"})
    if answer is None and talk is None:
        return None
    thought = seen.find(*(n for n in THOUGHTS if n not in taken), kinds={"text"})
    parts = find_prompt(seen, frozenset((*taken, str(answer or talk), str(thought))))
    if thought:
        parts["thought"] = seen.spelt(thought)
    if answer is None:  # the conversation brings its prompt along
        return {**parts, "response": seen.spelt(str(talk))}
    return {**parts, "response": seen.spelt(answer)} if "prompt" in parts else None


def _with_weight(seen: Survey, columns: dict[str, str]) -> dict[str, str]:
    weight = seen.find(*WEIGHTS)
    return {**columns, "weight": seen.spelt(weight)} if weight else columns


def _count_fit(seen: Survey, columns: Mapping[str, str], *parts: str) -> int:
    return min(seen.facts(columns[part]).n_filled for part in parts if part in columns)


def _offer(chosen: str, options: Sequence[str]) -> tuple[str, ...]:
    """Returns what may decide, the chosen one first; nothing where there is no choice."""
    return (chosen, *(name for name in options if name != chosen)) if len(options) > 1 else ()


def _reader(read: Callable[[Parts, Reading], Draft], columns: Mapping[str, str], seen: Survey) -> ReadRow:
    """Returns the function that reads a row of one answer, without its prompt where the first rows all repeat it."""
    asked, said = columns.get("prompt", ""), columns["response"]
    texts = [(row.values.get(asked), row.values.get(said)) for row in seen.sample_values]
    repeats = [isinstance(a, str) and isinstance(b, str) and b.startswith(a.strip() or "\0") for a, b in texts]
    if len(repeats) < 2 or not all(repeats):
        return reader(read, columns)

    def read_row(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        draft = read(gather(values, columns), reading)
        answers = ((take_off_prompt(draft.prompt, (text,), reading)[0], found) for text, found in draft.answers)
        return (replace(draft, answers=tuple(answers)),)

    return read_row


def recognise_labels(seen: Survey, wishes: Wishes) -> Plan | None:
    """An answer and a label whose values, all together, are those of one vocabulary."""
    options = (*(n for n in LABELS if seen.has(n) and is_label_like(seen.columns[n].values)), *_find_word_labels(seen))
    label = wishes.decides if wishes.decides in options else next(iter(options), None)
    columns = find_answer(seen, label, *LABELS) if label else None
    if label is None or columns is None:
        return None
    spelt = seen.spelt(label)
    found = read_labels(seen.columns[label].values, spelt, wishes.labels)
    if found is None:
        return None
    columns = _with_weight(seen, {**columns, "label": spelt})
    known = {"kto_tag": "ShareGPT or Alpaca with kto_tag", "is_safe": "BeaverTails: safety verdicts"}.get(label)
    name = known or ("TRL unpaired preference: judged answers" if label == "label" else "judged answers")
    return Plan(
        name,
        _reader(read_labelled, columns, seen),
        frozenset(columns.values()),
        _count_fit(seen, columns, "response", "label"),
        column=spelt,
        decides=_offer(label, options),
        source=_LABEL_SOURCES.get(label, ""),
        labels=found.meaning,
        question=found.question,
        values=found.counts,
        how=found.how,
    )


def _find_word_labels(seen: Survey) -> list[str]:
    """Returns the columns called like ratings that hold the words of one vocabulary ("like", "dislike")."""
    found = []
    for name in RATINGS:
        values = seen.columns[name].values if seen.has(name) else None
        labels = read_labels(values, name)
        if labels and labels.meaning and not any(is_number(value) for value in values or ()):
            found.append(name)
    return found


def recognise_helpsteer(seen: Survey, wishes: Wishes) -> Plan | None:
    """HelpSteer 1 and 2: five attributes a response, of which one decides."""
    if not seen.has("prompt", "response", *HELPSTEER):
        return None
    return _attribute_plan(seen, wishes, HELPSTEER, "HelpSteer", _HELPSTEER_SOURCE)


def _attribute_plan(seen: Survey, wishes: Wishes, attributes: tuple[str, ...], name: str, source: str) -> Plan | None:
    columns = find_answer(seen, *attributes)
    if columns is None:
        return None
    chosen = wishes.decides if wishes.decides in attributes else attributes[0]
    columns = _with_weight(seen, {**columns, "rating": seen.spelt(chosen)})
    return Plan(
        f"{name}: ratings by {chosen}",
        reader(read_rated, columns),
        frozenset(columns.values()),
        _count_fit(seen, columns, "response", "rating"),
        column=columns["rating"],
        decides=(chosen, *(a for a in attributes if a != chosen)),
        explained=frozenset(seen.spelt(a) for a in attributes),
        source=source,
    )


def recognise_ratings(seen: Survey, wishes: Wishes) -> Plan | None:
    """One answer and its rating."""
    return _recognise_number(seen, wishes, RATINGS, "rating", read_rated)


def recognise_ranks(seen: Survey, wishes: Wishes) -> Plan | None:
    """One answer and its rank among those to the same prompt."""
    return _recognise_number(seen, wishes, RANKS, "rank", read_ranked)


def _recognise_number(
    seen: Survey, wishes: Wishes, names: tuple[str, ...], part: str, read: Callable[[Parts, Reading], Draft]
) -> Plan | None:
    name = "ratings" if part == "rating" else "rankings"
    options = tuple(n for n in names if seen.find(n, kinds=_NUMBER) and not seen.columns[n].n_wordy)
    number = wishes.decides if wishes.decides in options else next(iter(options), None)
    columns = find_answer(seen, number, *names) if number else None
    if number is None or columns is None:
        return None
    columns = _with_weight(seen, {**columns, part: seen.spelt(number)})
    return Plan(
        name,
        _reader(read, columns, seen),
        frozenset(columns.values()),
        _count_fit(seen, columns, "response", part),
        column=columns[part],
        decides=_offer(number, options),
    )


def recognise_lists(seen: Survey, wishes: Wishes) -> Plan | None:
    """Several answers in one list and their ratings or ranks in another."""
    answers = seen.find(*ANSWERS, *ANSWERED, kinds={"texts", "list", "objects", "list of one text", "messages"})
    ranks = seen.find(*RANKS, kinds={"numbers", "list", "texts"})
    ratings = seen.find(*RATINGS, kinds={"numbers", "list", "texts"})
    number = ranks or ratings
    if answers is None or number is None:
        return None
    columns = find_prompt(seen, frozenset((answers, number)))
    if "prompt" not in columns:
        return None
    part, read = ("rank", read_ranked) if ranks else ("rating", read_rated)
    columns = _with_weight(seen, {**columns, "response": seen.spelt(answers), part: seen.spelt(number)})
    name = ("rankings" if ranks else "ratings") + ", several answers a row"
    return Plan(
        name,
        reader(read, columns),
        frozenset(columns.values()),
        _count_fit(seen, columns, "response", part),
        column=columns[part],
    )


def recognise_objects(seen: Survey, wishes: Wishes) -> Plan | None:
    """Several answers in a list of objects, each with its text and its score or rank (Nectar, UltraFeedback, ...)."""
    answers = seen.find(*ANSWERS, kinds={"objects"})
    if answers is None:
        return None
    keys = seen.columns[answers].keys
    text = next((key for key in _TEXT_KEYS if key in keys), None)
    scores = tuple(key for key in _SCORE_KEYS if key in keys)
    rank = "rank" if "rank" in keys else None
    columns = find_prompt(seen, frozenset({answers}))
    if text is None or (rank is None and not scores) or "prompt" not in columns:
        return None
    number = rank or (wishes.decides if wishes.decides in scores else scores[0])
    columns["response"] = seen.spelt(answers)
    name, source = _name_objects(seen, number, bool(rank))
    explained = ("models", "correct_answers", "incorrect_answers", "num_responses", "turns", "qid", "date", "metadata")
    return Plan(
        name,
        _read_objects(columns, text, number, is_ranked=bool(rank)),
        frozenset(columns.values()),
        seen.columns[answers].count({"objects"}),
        column=columns["response"],
        decides=() if rank else (number, *(s for s in scores if s != number)),
        explained=frozenset(seen.spelt(n) for n in explained if n in seen.columns),
        source=source,
    )


def _name_objects(seen: Survey, number: str, is_ranked: bool) -> tuple[str, str]:
    if seen.has("completions", "instruction") and "annotations" in seen.columns["completions"].keys:
        return f"UltraFeedback: ratings by {number}", "https://hf.co/datasets/openbmb/UltraFeedback"
    if is_ranked and seen.has("answers", "prompt"):
        return "Nectar: ranked answers", "https://hf.co/datasets/berkeley-nest/Nectar"
    if number == "pm_score":
        return (
            "Stack-Exchange preferences: ratings by pm_score",
            "https://hf.co/datasets/HuggingFaceH4/stack-exchange-preferences",
        )
    return ("rankings" if is_ranked else f"ratings by {number}") + ", several answers a row", ""


def _read_objects(columns: Mapping[str, str], text: str, number: str, *, is_ranked: bool) -> Any:
    part, read = ("rank", read_ranked) if is_ranked else ("rating", read_rated)

    def read_row(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        items = values.get(columns["response"])
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            raise RowProblem(f"a list of answers is needed, found {shown(items)}.", columns["response"])
        plain = [{plain_name(k): v for k, v in item.items()} for item in items]
        if any(not is_blank(item.get("custom_system_prompt")) for item in plain):
            reading.say(OWN_SYSTEM)
        parts = {p: values.get(name) for p, name in columns.items() if p != "response"}
        parts |= {"response": [item.get(text) for item in plain], part: [item.get(number) for item in plain]}
        # a list of objects with texts is never itself a conversation
        return (read(Parts(parts, {**columns, part: f"{columns['response']}[].{number}"}), reading),)

    return read_row
