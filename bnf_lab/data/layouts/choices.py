"""Two answers side by side and a column that says which is better: A or B, 0 or 1, left or right, its text, a sign."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.core.judgements import Verdict
from bnf_lab.data.conversations import check_prompt, find_messages, find_role, is_blank, spoken_role
from bnf_lab.data.drafts import Draft, Reading
from bnf_lab.data.fields import Parts, read_answer, read_prompt
from bnf_lab.data.formats.rows import RowProblem
from bnf_lab.data.layouts.pair_names import SCORES, WEIGHTS, find_beside
from bnf_lab.data.layouts.plan import Plan, ReadRow, Wishes
from bnf_lab.data.layouts.prompts import find_prompt
from bnf_lab.data.numbers import read_number
from bnf_lab.data.readers import read_pair, read_weight
from bnf_lab.data.survey import ANSWER, Survey, normalise_value, plain_name, words

_STEMS = words(
    """
    response answer output completion human_ref conversation summary candidate generation text reply model_response
    """
)
_ENDS = (("0", "1"), ("1", "2"), ("a", "b"), ("left", "right"))
COLUMNS = (
    *((f"{stem}{gap}{a}", f"{stem}{gap}{b}") for stem in _STEMS for a, b in _ENDS for gap in ("_", "")),
    *(ends for ends in _ENDS if ends[0].isalpha()),
)
CHOICES = words(
    """
    better_response_id winner choice preference preferred label labels better best vote selected chosen
    overall_preference preference_strength preferred_response preferred_answer preferred_option verdict pref comparison
    which_is_better which_one_is_better which_response_is_better which_answer_is_better better_response better_answer
    best_response best_answer human_preference your_choice
    """
)
SIGNED = ("overall_preference", "preference_strength")
NEITHER = frozenset(
    words("tie ties tied equal same both draw no_preference neither_better both_good tie_(both_good) about_the_same")
)
BOTH_BAD = frozenset(words("tie_(bothbad) bothbad both_bad tie_both_bad neither none tie_(both_bad) all_bad"))
_SAYS_BETTER = re.compile(r"_(?:(?:is|was|are)_)?(?:better|best|preferred|wins|won|chosen)\Z")
EARLIER_TURN = "the conversation was judged at an earlier turn; what follows that was left out"
TIE = "the two answers tie, which says nothing about what is better. Leave the row out."
BOTH = "both answers are bad: two dispreferred responses, no pair"
APART = "the two conversations differ before their last turns, so each answer is judged in its own, apart"

SIGN_ONLY = "only the sign of the preference counts; how strong it is is not used"

Meaning = Callable[[Any], str]
"""A value of the choice column -> "first", "second", "tie", "both bad", or "" where it says nothing of the kind."""


@dataclass(frozen=True)
class _Sides:
    """Two columns of answers, as the table spells them, and the ends of their names."""

    first: str
    second: str
    ends: tuple[str, str]


def find_sides(seen: Survey) -> _Sides | None:
    """Returns the two columns of answers that stand side by side."""
    for a, b in COLUMNS:
        facts = [seen.columns.get(name) for name in (a, b)]
        if all(f is not None and f.is_mostly(ANSWER | {"texts", "transcript with preamble"}) for f in facts):
            ends = next(pair for pair in _ENDS if a.endswith(pair[0]) and b.endswith(pair[1]))
            return _Sides(seen.spelt(a), seen.spelt(b), ends)
    return None


def recognise_choices(seen: Survey, wishes: Wishes) -> Plan | None:
    """Two answers and which is better."""
    sides = find_sides(seen)
    if sides is None:
        return None
    options = [n for n in CHOICES if n in seen.columns and (seen.columns[n].values or _find_named(seen, n, sides))]
    options = options or _find_spoken(seen, sides)
    safer = [n for n in ("safer_response_id",) if n in seen.columns]
    chosen = next((n for n in (*options, *safer) if n == wishes.decides), options[0] if options else None)
    if chosen is None:
        return None
    spelt, values = seen.spelt(chosen), dict(seen.columns[chosen].values or {})
    meaning = _said(wishes) or _find_meaning(seen, chosen, sides, frozenset(values))
    named = () if meaning else _find_named(seen, chosen, sides)
    if named:
        meaning = _by_word_of({})  # each row compares the names
    columns = _find_beside(seen, sides, chosen)
    name, source, explained = _name(seen, chosen)
    question = None if meaning else _ask(spelt, values, sides)
    return Plan(
        name,
        read_choice(columns, _Choice(sides, spelt, meaning or (lambda _: ""), named, _find_turn(seen))),
        frozenset((*columns.values(), sides.first, sides.second, spelt, *named)),
        seen.columns[chosen].n_filled,
        column=spelt,
        decides=tuple(dict.fromkeys((chosen, *options[:3], *safer))) if safer or len(options) > 1 else (),
        explained=frozenset(seen.spelt(n) for n in explained if n in seen.columns),
        question=question,
        how=SIGN_ONLY if chosen in SIGNED else "",
        values=values,
        sides=(sides.first, sides.second),
        source=source,
    )


def _find_beside(seen: Survey, sides: _Sides, chosen: str) -> dict[str, str]:
    """Returns which column plays which part beside the two answers: prompt, weight, and the score of each answer."""
    pair = plain_name(sides.first), plain_name(sides.second)
    scores = find_beside(seen, pair, SCORES) or find_beside(seen, sides.ends, SCORES) or ()
    weight = seen.find(*WEIGHTS)
    parts = dict(zip(("first_score", "second_score"), scores, strict=False)) | ({"weight": weight} if weight else {})
    return {
        **find_prompt(seen, frozenset((*pair, chosen, *parts.values()))),
        **{part: seen.spelt(name) for part, name in parts.items()},
    }


def _find_turn(seen: Survey) -> str | None:
    """MT-bench keeps whole conversations and says beside them at which turn they were judged."""
    return seen.spelt("turn") if seen.has("turn", "conversation_a", "conversation_b") else None


def _find_named(seen: Survey, name: str, sides: _Sides) -> tuple[str, ...]:
    """Returns the two columns one of whose values a column repeats in the first rows: the answers, or their models."""
    models = ((f"model_{a}", f"model_{b}") for a, b in (sides.ends, *_ENDS))
    pairs = [(plain_name(sides.first), plain_name(sides.second)), *models]
    spelt = seen.spelt(name)
    for pair in (tuple(seen.spelt(n) for n in pair) for pair in pairs if seen.has(*pair)):
        said = [(row.values.get(spelt), _texts(row.values, pair)) for row in seen.sample_values]
        given = [(str(value).strip(), texts) for value, texts in said if not is_blank(value) and not _is_even(value)]
        if given and all(text in texts for text, texts in given):
            return pair
    return ()


def _find_spoken(seen: Survey, sides: _Sides) -> list[str]:
    """Returns the column of any name whose values all say "left" and "right", or name the answers; [] if two do."""
    plain = {word for word in _words(sides) if len(word) > 1 and not word.isdecimal()}
    found = []
    for name, column in seen.columns.items():
        said = {_bare(value) for value in column.values or ()}
        if said & plain and said <= plain | NEITHER | BOTH_BAD:
            found.append(name)
    return found if len(found) == 1 else []


def _is_even(value: Any) -> bool:
    return _bare(normalise_value(value) or "") in NEITHER | BOTH_BAD


def _texts(values: Mapping[str, Any], columns: tuple[str, ...]) -> list[str]:
    return [text.strip() for name in columns if isinstance(text := values.get(name), str)]


def _said(wishes: Wishes) -> Meaning | None:
    """Returns how the person says that the column's values are read; None if nothing was said."""
    meant = {Verdict.PREFERRED: "first", Verdict.DISPREFERRED: "second"}
    said = {value: meant[verdict] for value, verdict in wishes.labels.items()}
    return (lambda value: said.get(normalise_value(value) or "", "")) if said else None


def _ask(spelt: str, values: Mapping[str, int], sides: _Sides) -> str:
    found = ", ".join(f"{shown(value)} ({n:,})" for value, n in list(values.items())[:8])
    return (
        f"column {shown(spelt, 40)} holds {found}, from which it is not clear which of {shown(sides.first, 40)} and "
        f"{shown(sides.second, 40)} is better. Say which value means which."
    )


def _find_meaning(seen: Survey, chosen: str, sides: _Sides, values: frozenset[str]) -> Meaning | None:
    """Returns how the column's values are read; None where that would be a guess."""
    if chosen in SIGNED:
        return _by_sign
    if chosen == "labels" and seen.has("human_ref_a", "human_ref_b"):
        return lambda value: {"1": "first", "0": "second"}.get(normalise_value(value) or "", "")
    meant = _words(sides)
    if {"model_a", "model_b"} & values and sides.ends == ("a", "b"):
        meant |= {"model_a": "first", "model_b": "second"}
    known = set(meant) | NEITHER | BOTH_BAD
    return _by_word_of(meant) if {_bare(value) for value in values} <= known else None


def _words(sides: _Sides) -> dict[str, str]:
    """What a value may say for the first and the second answer: its column, the end of its name, left or right."""
    meant: dict[str, str] = {}
    for side, column, end in (("first", sides.first, sides.ends[0]), ("second", sides.second, sides.ends[1])):
        key = plain_name(column)
        stem = key.removesuffix(end).rstrip("_")
        meant |= dict.fromkeys((key, end, f"{stem}_{end}", f"{stem}{end}", f"model_{end}", f"option_{end}"), side)
    return meant | {"left": "first", "right": "second", "first": "first", "second": "second"}


def _by_word_of(meant: Mapping[str, str]) -> Meaning:
    def find(value: Any) -> str:
        text = _bare(normalise_value(value) or "")
        return "tie" if text in NEITHER else "both bad" if text in BOTH_BAD else meant.get(text, "")

    return find


def _bare(value: str) -> str:
    """Returns what a value names: "response_a_is_better" is "response_a".

    >>> _bare("a_is_better"), _bare("both_are_bad"), _bare("model_b")
    ('a', 'both_bad', 'model_b')
    """
    return _SAYS_BETTER.sub("", value).replace("_are_", "_") or value


def _by_sign(value: Any) -> str:
    """HelpSteer: below 0 the first answer is better, above 0 the second."""
    number = read_number(value)
    return "first" if number < 0 else "second" if number > 0 else "tie" if number == 0 else ""


@dataclass(frozen=True)
class _Known:
    """A public set of comparisons, told by columns that it alone has; `left_out` is what it carries beside them."""

    columns: tuple[str, ...]
    name: str
    source: str
    left_out: tuple[str, ...] = ()


_KNOWN = (
    _Known(
        ("better_response_id",),
        "PKU-SafeRLHF: the {} of two responses",
        "https://hf.co/datasets/PKU-Alignment/PKU-SafeRLHF",
        ("better_response_id", "safer_response_id"),
    ),
    _Known(
        ("human_ref_a", "human_ref_b", "labels"),
        "SHP: the better of two comments",
        "https://hf.co/datasets/stanfordnlp/SHP",
        ("score_a", "score_b"),
    ),
    _Known(
        ("overall_preference",),
        "HelpSteer3: signed preferences",
        "https://hf.co/datasets/nvidia/HelpSteer3",
        ("individual_preference",),
    ),
    _Known(
        ("preference_strength",),
        "HelpSteer2: signed preferences",
        "https://hf.co/datasets/nvidia/HelpSteer2",
        ("preference_statement", "preference_elaboration", "three_most_similar_preferences"),
    ),
    _Known(
        ("conversation_a", "conversation_b", "winner"),
        "Chatbot Arena: the better of two conversations",
        "https://hf.co/datasets/lmsys/chatbot_arena_conversations",
        ("openai_moderation", "toxic_chat_tag"),
    ),
    _Known(
        ("output_1", "output_2", "preference"),
        "AlpacaFarm: the better of two outputs",
        "https://github.com/tatsu-lab/alpaca_farm",
    ),
)
_UNKNOWN = _Known((), "two answers and which is better", "")


def _name(seen: Survey, chosen: str) -> tuple[str, str, tuple[str, ...]]:
    """Returns the layout's name, its source, and the columns it leaves out knowingly."""
    known = next((k for k in _KNOWN if seen.has(*k.columns)), _UNKNOWN)
    return known.name.format("safer" if chosen.startswith("safer") else "better"), known.source, known.left_out


@dataclass(frozen=True)
class _Choice:
    """How a row says which of two answers is better.

    Attributes:
        sides: The columns of the answers.
        column: The column that says it.
        meaning: How its values are read.
        named: Two columns of which it may repeat one.
        turn: The column that says at which turn it was judged, if there is one.
    """

    sides: _Sides
    column: str
    meaning: Meaning
    named: tuple[str, ...]
    turn: str | None


def read_choice(columns: Mapping[str, str], choice: _Choice) -> ReadRow:
    """Returns the function that reads a row of two answers and a choice."""
    sides, column = choice.sides, choice.column

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        said = values.get(column)
        if is_blank(said) and normalise_value(said) not in BOTH_BAD:
            raise RowProblem("it is missing, so neither answer is better. Fill it or delete the row.", column, "empty")
        side = choice.meaning(said) or _by_text(said, _texts(values, choice.named))
        if not side:
            raise RowProblem(f"found {shown(said)}, which names neither answer. Correct it or delete the row.", column)
        if choice.turn is not None:
            values = {**values, **_cut(values, sides, values.get(choice.turn), reading)}
        return judge_sides(values, columns, (sides.first, sides.second), side, reading)

    return read


def _by_text(said: Any, texts: list[str]) -> str:
    if not isinstance(said, str) or len(texts) != 2 or texts[0] == texts[1] or said.strip() not in texts:
        return ""
    return "first" if said.strip() == texts[0] else "second"


def _cut(values: Mapping[str, Any], sides: _Sides, turn: Any, reading: Reading) -> dict[str, Any]:
    """Returns both conversations up to the answer that was judged."""
    n_turns, cut = read_number(turn), {}
    for name in (sides.first, sides.second):
        messages = find_messages(values.get(name)) or []
        replies = [i for i, message in enumerate(messages, start=1) if find_role(spoken_role(message)) == "assistant"]
        if n_turns >= 1 and len(replies) > n_turns:
            cut[name] = messages[: replies[int(n_turns) - 1]]
            reading.say(EARLIER_TURN)
    return cut


def judge_sides(
    values: Mapping[str, Any], columns: Mapping[str, str], sides: tuple[str, str], side: str, reading: Reading
) -> tuple[Draft, ...]:
    """Returns what a choice between two answers says: a pair, two dispreferred responses, or nothing.

    Args:
        values: The row.
        columns: Which column plays which part of the prompt.
        sides: The columns of the first and the second answer.
        side: "first", "second", "tie" or "both bad".
        reading: Where the row's notes go.

    Raises:
        RowProblem: If an answer or the prompt cannot be read.
    """
    if side == "tie":
        raise RowProblem(TIE, kind="tie")
    parts = {part: values.get(name) for part, name in columns.items()}
    better, worse = sides if side != "second" else sides[::-1]
    scores = ("first_score", "second_score") if side != "second" else ("second_score", "first_score")
    parts |= {"preferred": values.get(better), "dispreferred": values.get(worse)}
    parts |= {"preferred_score": parts.get(scores[0]), "dispreferred_score": parts.get(scores[1])}
    whole = Parts(parts, {**columns, "preferred": better, "dispreferred": worse})
    talks = [read_answer(values.get(name), name, reading) for name in (better, worse)]
    verdicts = (Verdict.DISPREFERRED if side == "both bad" else Verdict.PREFERRED, Verdict.DISPREFERRED)
    if side == "both bad":
        reading.say(BOTH)
    if all(before for before, _ in talks) and talks[0][0] != talks[1][0]:
        reading.say(APART)
        return tuple(
            Draft(check_prompt(before, name), ((answer, verdict),), read_weight(whole))
            for (before, answer), verdict, name in zip(talks, verdicts, (better, worse), strict=True)
        )
    if side != "both bad":
        return (read_pair(whole, reading),)
    prompt = check_prompt(read_prompt(whole, reading) or talks[0][0], whole.name("prompt"))
    answers = tuple((answer, v) for (_, answer), v in zip(talks, verdicts, strict=True))
    return (Draft(prompt, answers, read_weight(whole)),)


def recognise_webgpt(seen: Survey, wishes: Wishes) -> Plan | None:
    """WebGPT comparisons: two answers with scores from -1 to 1, and a question in an object."""
    if not seen.has("question", "answer_0", "answer_1", "score_0", "score_1"):
        return None
    columns = {n: seen.spelt(n) for n in ("question", "answer_0", "answer_1", "score_0", "score_1")}

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        question = values.get(columns["question"])
        asked = question.get("full_text") if isinstance(question, dict) else question
        low, high = (read_number(values.get(columns[n])) for n in ("score_0", "score_1"))
        side = "first" if low > high else "second" if high > low else "tie" if low == high else ""
        if not side:
            raise RowProblem("the scores are no numbers. Correct them or delete the row.", columns["score_0"])
        row = {**values, columns["question"]: asked}
        sides = columns["answer_0"], columns["answer_1"]
        return judge_sides(row, {"prompt": columns["question"]}, sides, side, reading)

    explained = [seen.spelt(n) for n in ("quotes_0", "quotes_1", "tokens_0", "tokens_1") if n in seen.columns]
    return Plan(
        "WebGPT comparisons: the answer with the higher score",
        read,
        frozenset(columns.values()),
        seen.columns["answer_0"].n_filled,
        column=columns["score_0"],
        explained=frozenset(explained),
        source="https://hf.co/datasets/openai/webgpt_comparisons",
    )
