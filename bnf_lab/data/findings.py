"""What a person should know about the rows of an import before training on them, found in a pass or two.

Knows judgements and how they were decided; this room must not know formats or layouts. Warnings never drop a row:
whatever is not taken is a refusal with its row number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from bnf_lab.core.errors import PromptRefused, clipped
from bnf_lab.core.judgements import Judgement, Verdict
from bnf_lab.core.numbers import counted
from bnf_lab.data.formats.rows import Refusal, RowProblem, build_refusal
from bnf_lab.data.ratings import Decided
from bnf_lab.data.report import CountTokens

_MIN_FOR_BIAS = 4
_BIAS_RATIO = 1.5
CHARS_PER_TOKEN = 4  # of English text in the usual vocabularies; other languages have fewer
_MAX_COUNTED = 2_000
_CONTROL = re.compile(  # the second kind, with wide bars, is DeepSeek's
    r"<\|[^|<>\n]{1,40}\|>|<\uff5c[^\uff5c<>\n]{1,40}\uff5c>|\[/?INST\]|<</?SYS>>|</?s>"
    r"|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|^### (?:Instruction|Input|Response|Human|Assistant|User):",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Judged:
    """The judgements of a table and, beside each, its row."""

    judgements: Sequence[Judgement]
    rows: Sequence[int]

    def __iter__(self) -> Iterator[tuple[int, Judgement]]:
        return zip(self.rows, self.judgements, strict=True)


def refuse_emptied(decided: Sequence[Decided], column: str | None) -> tuple[Refusal, ...]:
    """Returns the refusals of the rows whose answers all lie at the centre."""
    return tuple(
        build_refusal(row, f"row {row}", RowProblem(_why_emptied(found), column))
        for found in decided
        for row in found.emptied
    )


def _why_emptied(decided: Decided) -> str:
    if decided.threshold is None:
        rate, rated = ("Rank", "ranked") if decided.is_ranked else ("Rate", "rated")
        return (
            f"it is {rated} exactly as its prompt's answers are on average, so nothing is better or worse. {rate} "
            "it apart from them, or do without it."
        )
    return (
        f"it is rated {decided.threshold:g}, the threshold itself, so its weight would be 0. Move the "
        "threshold, or choose the weighting 'equal'."
    )


def build_warnings(
    judged: Judged,
    decided: Sequence[Decided],
    refused_kinds: Mapping[str, Sequence[int]],
    said: Mapping[str, Sequence[int]],
    count_tokens: CountTokens | None,
    max_tokens: int,
) -> tuple[str, ...]:
    """Returns everything a person should know about the rows, one text each.

    Args:
        judged: What the rows became.
        decided: What became of ratings and ranks, and which were left out.
        refused_kinds: Rows refused because an answer is "empty", or because both are the "same", they "tie", or are
            "unjudged".
        said: What reading noted -> the rows it is true of.
        count_tokens: Counts the tokens of prompt and response; None where no model is at hand: then they are estimated.
        max_tokens: Where a sequence is cut.
    """
    found = (
        *map(_flat, decided),
        *map(_centred, decided),
        _refused("refused because a text is empty", refused_kinds.get("empty", ())),
        _refused("refused because preferred and dispreferred are the same text", refused_kinds.get("same", ())),
        _refused("left out because the two answers tie", refused_kinds.get("tie", ())),
        _refused("left out because nobody has judged them", refused_kinds.get("unjudged", ())),
        *(_noted(sentence, rows) for sentence, rows in said.items()),
        _duplicates(judged),
        _contradictions(judged),
        _one_class(judged.judgements),
        _length_bias(judged.judgements),
        _control_tokens(judged),
        _truncation(judged.judgements, count_tokens, max_tokens),
    )
    return tuple(clipped(text) for text in found if text)


def list_rows(rows: Iterable[int], shown_rows: int = 8) -> str:
    """Names rows shortly.

    >>> list_rows([3]), list_rows([3, 5]), list_rows(range(1, 12), 3)
    ('row 3', 'rows 3 and 5', 'rows 1, 2, 3 and 8 more')
    """
    numbers = list(rows)
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    if len(numbers) <= shown_rows:
        return f"rows {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
    return f"rows {', '.join(map(str, numbers[:shown_rows]))} and {len(numbers) - shown_rows:,} more"


def _refused(what: str, rows: Sequence[int]) -> str:
    return f"{counted(len(rows), 'row')} {what}: {list_rows(rows)}." if rows else ""


def _noted(sentence: str, rows: Sequence[int]) -> str:
    return f"{sentence} ({counted(len(rows), 'row')}: {list_rows(rows)})."


def _flat(decided: Decided) -> str:
    if not decided.flat:
        return ""
    rate, other = ("Rank", "") if decided.is_ranked else ("Rate", ", or choose one threshold (centring 'global')")
    return (
        f"{counted(len(decided.flat), 'prompt')} left out ({list_rows(decided.flat)}): a single answer, or answers "
        f"that are all {'ranked' if decided.is_ranked else 'rated'} alike, say nothing about what is better. "
        f"{rate} two answers to each differently{other}."
    )


def _centred(decided: Decided) -> str:
    if not decided.centred:
        return ""
    left_out = f"{counted(len(decided.centred), 'answer')} left out ({list_rows(dict.fromkeys(decided.centred))}):"
    if decided.threshold is not None:
        return (
            f"{left_out} rated {decided.threshold:g}, the threshold itself, so the weight would be 0. Move the "
            "threshold, or choose the weighting 'equal'."
        )
    rated, remedy = ("rated", "Rate them apart, choose one threshold (centring 'global'),")
    if decided.is_ranked:
        rated, remedy = ("ranked", "Rank one more answer to the prompt")
    return (
        f"{left_out} {rated} exactly as the answers to the prompt are on average, which is neither preferred nor "
        f"dispreferred. {remedy} or do without them."
    )


_Keys = Callable[[], Iterable[tuple[Hashable, int, Verdict]]]


def _find_repeats(keys: _Keys) -> list[list[tuple[int, Verdict]]]:
    """Returns the rows and verdicts of each key that occurs more than once.

    Of the keys only hashes are kept in a first look, so that a large table without repeats costs next to nothing.
    """
    once: set[int] = set()
    twice: set[int] = set()
    for key, _, _ in keys():
        (twice if hash(key) in once else once).add(hash(key))
    if not twice:
        return []
    found: dict[Hashable, list[tuple[int, Verdict]]] = {}
    for key, row, verdict in keys():
        if hash(key) in twice:
            found.setdefault(key, []).append((row, verdict))
    return [places for places in found.values() if len(places) > 1]


def _duplicates(judged: Judged) -> str:
    def keys() -> Iterator[tuple[Hashable, int, Verdict]]:
        for (row, _), group in groupby(judged, lambda item: (item[0], id(item[1].prompt))):
            same = [judgement for _, judgement in group]
            said = tuple((j.response, j.verdict, j.weight) for j in same)
            yield (same[0].prompt, said), row, same[0].verdict

    again = sorted(row for places in _find_repeats(keys) for row, _ in places[1:])
    if not again:
        return ""
    return (
        f"{counted(len(again), 'duplicate')}: {list_rows(again)} say exactly what an earlier row says. They are "
        "kept and count again in training; delete them if that is not meant."
    )


def _contradictions(judged: Judged) -> str:
    places = _find_repeats(lambda: (((j.prompt, j.response), row, j.verdict) for row, j in judged))
    both = [found for found in places if len({verdict for _, verdict in found}) == 2]
    if not both:
        return ""
    firsts = [{verdict: row for row, verdict in reversed(found)} for found in both[:3]]
    examples = "; ".join(list_rows(sorted(set(rows.values()))) for rows in firsts)
    return (
        f"{counted(len(both), 'answer')} with contradictory verdicts: preferred in one row and dispreferred in another "
        f"for the same prompt ({examples}). Both are kept and cancel each other; decide for one."
    )


def _one_class(judgements: Sequence[Judgement]) -> str:
    verdicts = {j.verdict for j in judgements}
    if len(verdicts) != 1:
        return ""
    only = next(iter(verdicts))
    return (
        f"only one class: all {counted(len(judgements), 'answer', 'is', 'are')} {only}. Training works, but no"
        f" contrast can be measured; add some {only.flipped} answers."
    )


def _length_bias(judgements: Sequence[Judgement]) -> str:
    lengths: dict[Verdict, list[int]] = {Verdict.PREFERRED: [], Verdict.DISPREFERRED: []}
    for judgement in judgements:
        lengths[judgement.verdict].append(len(judgement.response))
    if min(len(values) for values in lengths.values()) < _MIN_FOR_BIAS:
        return ""
    preferred, dispreferred = (fmean(lengths[v]) for v in (Verdict.PREFERRED, Verdict.DISPREFERRED))
    ratio = max(preferred, dispreferred) / min(preferred, dispreferred)
    if ratio < _BIAS_RATIO:
        return ""
    word = "longer" if preferred > dispreferred else "shorter"
    return (
        f"length bias: preferred answers are {ratio:.1f} times {word} than dispreferred ones (mean "
        f"{preferred:,.0f} against {dispreferred:,.0f} characters), so the model may learn length rather than quality."
    )


def _control_tokens(judged: Judged) -> str:
    rows: list[int] = []
    marks: dict[str, None] = {}
    for row, judgement in judged:
        texts = (*(m.content for m in judgement.prompt), judgement.response)
        found = [hit for text in texts if "<" in text or "[" in text or "###" in text for hit in _CONTROL.findall(text)]
        if found and rows[-1:] != [row]:
            rows.append(row)
        marks.update(dict.fromkeys(found))
    if not rows:
        return ""
    return (
        f"control tokens of a chat template inside the text ({', '.join(list(marks)[:5])}) in {list_rows(rows)}. "
        "The template adds its own; remove them unless they are meant as plain text."
    )


def _truncation(judgements: Sequence[Judgement], count_tokens: CountTokens | None, max_tokens: int) -> str:
    if not judgements:
        return ""
    stride = -(-len(judgements) // _MAX_COUNTED)
    sampled = judgements[::stride]
    try:
        over = [n - max_tokens for n in (count_tokens or estimate_tokens)(sampled) if n > max_tokens]
    except PromptRefused as error:  # another model may take them, so they are stored all the same
        return str(error)
    if not over:
        return ""
    n_over, n_cut = len(over) * len(judgements) // len(sampled), sum(over) * len(judgements) // len(sampled)
    about = "about " if stride > 1 or count_tokens is None else ""
    how = "" if count_tokens else f" This is an estimate of {CHARS_PER_TOKEN} characters a token: no model is at hand."
    return (
        f"{about}{counted(n_over, 'answer')} of {len(judgements):,} would be truncated: with the prompt longer than "
        f"{max_tokens:,} tokens ({about}{counted(n_cut, 'token')} cut off in all). Raise 'Longest sequence' or "
        f"shorten them.{how}"
    )


def estimate_tokens(judgements: Sequence[Judgement]) -> list[int]:
    """Returns about how many tokens prompt and response have, where no tokenizer is at hand to count them."""
    texts = (sum(len(m.content) for m in j.prompt) + len(j.response) for j in judgements)
    return [round(n_chars / CHARS_PER_TOKEN) for n_chars in texts]
