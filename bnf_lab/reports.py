"""What one import found: rows taken, rows refused, and what a person should know before training on them.

Knows judgements and how they were decided; this room must not know formats or schemas. Warnings never drop a row:
whatever is not taken is a refusal with its row number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from bnf_lab.errors import clipped, shown
from bnf_lab.preferences import Judgement, Message, Verdict
from bnf_lab.ratings import Decided, Taken
from bnf_lab.rows import Refusal, RowProblem, build_refusal

CountTokens = Callable[[Sequence[Judgement]], Sequence[int]]

_MIN_FOR_BIAS = 4
_BIAS_RATIO = 1.5
_MAX_COUNTED = 2_000
_CONTROL = re.compile(  # the second kind, with wide bars, is DeepSeek's
    r"<\|[^|<>\n]{1,40}\|>|<\uff5c[^\uff5c<>\n]{1,40}\uff5c>|\[/?INST\]|<</?SYS>>|</?s>"
    r"|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>"
)


@dataclass(frozen=True)
class ImportReport:
    """The row-by-row report of one file or data set.

    Attributes:
        file: Its name, without any folder.
        schema: The recognised schema, None where the columns need a mapping.
        n_rows: Rows it has; every one is taken, refused, or waits for a mapping.
        taken: Rows taken (a pair is one row and two judgements).
        judgements: What the rows taken became, in their order.
        refused: The others, each with its reason and remedy.
        warnings: What to know about the rows; none was dropped for it unless the text says refused.
        columns: The table's columns.
        sample_rows: The first rows, clipped to short texts, for the mapping panel.
        needs_mapping: True where no schema was recognised.
        ratings: The ratings that a threshold can split, in their order; empty for ranks.
        threshold: The rating from which an answer counts as preferred; None where no threshold decided.
        how: How ratings or ranks became verdicts and weights, in one line; None without them.
    """

    file: str
    schema: str | None
    n_rows: int
    taken: int
    judgements: tuple[Judgement, ...]
    refused: tuple[Refusal, ...]
    warnings: tuple[str, ...]
    columns: tuple[str, ...]
    sample_rows: tuple[dict[str, str], ...]
    needs_mapping: bool = False
    ratings: tuple[float, ...] = ()
    threshold: float | None = None
    how: str | None = None


def refuse_emptied(decided: Decided, column: str | None) -> tuple[Refusal, ...]:
    """Returns the refusals of the rows whose answers all lie at the centre."""
    if decided.threshold is None:
        rate, rated = ("Rank", "ranked") if decided.is_ranked else ("Rate", "rated")
        text = (f"it is {rated} exactly as its prompt's answers are on average, so nothing is better or worse. {rate} "
                "it apart from them, or do without it.")
    else:
        text = (f"it is rated {decided.threshold:g}, the threshold itself, so its weight would be 0. Move the "
                "threshold, or choose the weighting 'equal'.")
    return tuple(build_refusal(row, f"row {row}", RowProblem(text, column)) for row in decided.emptied)


def build_warnings(
    decided: Decided, refused_kinds: dict[str, list[int]], judgements: Sequence[Judgement],
    count_tokens: CountTokens | None, max_tokens: int,
) -> tuple[str, ...]:
    """Returns everything a person should know about the rows, one text each.

    Args:
        decided: The rows taken and the answers left out.
        refused_kinds: Rows refused because an answer is "empty", or because both are the "same".
        judgements: What the rows became.
        count_tokens: Counts the tokens of prompt and response; None where no model is at hand.
        max_tokens: Where a sequence is cut.
    """
    taken = decided.taken
    found = (
        _flat(decided),
        _centred(decided),
        _refused("refused because a text is empty", refused_kinds.get("empty", ())),
        _refused("refused because preferred and dispreferred are the same text", refused_kinds.get("same", ())),
        _duplicates(taken),
        _contradictions(taken),
        _one_class(judgements),
        _length_bias(judgements),
        _control_tokens(taken),
        _truncation(judgements, count_tokens, max_tokens),
    )
    return tuple(clipped(text) for text in found if text)


def warn_of_common_beginnings(taken: Sequence[Taken]) -> tuple[str, ...]:
    """Says what was taken for the prompts where a table of plain texts has none of its own."""
    if not taken:
        return ()
    return (f"no prompt column: what both answers begin with was taken as the prompt, in row {taken[0].row} "
            f"for example {shown(taken[0].prompt[-1].content, 80)}. If that is only chance, add a 'prompt' column.",)


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


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _refused(what: str, rows: Sequence[int]) -> str:
    return f"{_count(len(rows), 'row')} {what}: {list_rows(rows)}." if rows else ""


def _flat(decided: Decided) -> str:
    if not decided.flat:
        return ""
    rate, other = ("Rank", "") if decided.is_ranked else ("Rate", ", or choose one threshold (centring 'global')")
    return (f"{_count(len(decided.flat), 'prompt')} left out ({list_rows(decided.flat)}): a single answer, or answers "
            f"that are all {'ranked' if decided.is_ranked else 'rated'} alike, say nothing about what is better. "
            f"{rate} two answers to each differently{other}.")


def _centred(decided: Decided) -> str:
    if not decided.centred:
        return ""
    left_out = f"{_count(len(decided.centred), 'answer')} left out ({list_rows(dict.fromkeys(decided.centred))}):"
    if decided.threshold is not None:
        return (f"{left_out} rated {decided.threshold:g}, the threshold itself, so the weight would be 0. Move the "
                "threshold, or choose the weighting 'equal'.")
    rated, remedy = ("rated", "Rate them apart, choose one threshold (centring 'global'),")
    if decided.is_ranked:
        rated, remedy = ("ranked", "Rank one more answer to the prompt")
    return (f"{left_out} {rated} exactly as the answers to the prompt are on average, which is neither preferred nor "
            f"dispreferred. {remedy} or do without them.")


def _duplicates(taken: Sequence[Taken]) -> str:
    first: dict[tuple[tuple[Message, ...], tuple[tuple[str, Verdict, float], ...]], int] = {}
    again = [t.row for t in taken if first.setdefault((t.prompt, t.answers), t.row) != t.row]
    if not again:
        return ""
    return (f"{_count(len(again), 'duplicate')}: {list_rows(again)} say exactly what an earlier row says. They are "
            "kept and "
            "count again in training; delete them if that is not meant.")


def _contradictions(taken: Sequence[Taken]) -> str:
    seen: dict[tuple[tuple[Message, ...], str], dict[Verdict, int]] = {}
    for row in taken:
        for text, verdict, _ in row.answers:
            seen.setdefault((row.prompt, text), {}).setdefault(verdict, row.row)
    both = [verdicts for verdicts in seen.values() if len(verdicts) == 2]
    if not both:
        return ""
    examples = "; ".join(list_rows(sorted(set(verdicts.values()))) for verdicts in both[:3])
    return (f"{_count(len(both), 'answer')} with contradictory verdicts: preferred in one row and dispreferred in "
            "another for "
            f"the same prompt ({examples}). Both are kept and cancel each other; decide for one.")


def _one_class(judgements: Sequence[Judgement]) -> str:
    verdicts = {j.verdict for j in judgements}
    if len(verdicts) != 1:
        return ""
    only = next(iter(verdicts))
    return (f"only one class: all {_count(len(judgements), 'answer')} are {only}. Training works, but no contrast "
            "can be "
            f"measured; add some {only.flipped} answers.")


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
    return (f"length bias: preferred answers are {ratio:.1f} times {word} than dispreferred ones (mean "
            f"{preferred:,.0f} against "
            f"{dispreferred:,.0f} characters), so the model may learn length rather than quality.")


def _control_tokens(taken: Sequence[Taken]) -> str:
    rows, marks = [], {}
    for row in taken:
        texts = (*(m.content for m in row.prompt), *(text for text, _, _ in row.answers))
        found = [hit for text in texts if "<" in text or "[" in text for hit in _CONTROL.findall(text)]
        if found:
            rows.append(row.row)
            marks.update(dict.fromkeys(found))
    if not rows:
        return ""
    return (f"control tokens of a chat template inside the text ({', '.join(list(marks)[:5])}) in {list_rows(rows)}. "
            "The "
            "template adds its own; remove them unless they are meant as plain text.")


def _truncation(judgements: Sequence[Judgement], count_tokens: CountTokens | None, max_tokens: int) -> str:
    if count_tokens is None or not judgements:
        return ""
    stride = -(-len(judgements) // _MAX_COUNTED)
    counted = judgements[::stride]
    over = [n - max_tokens for n in count_tokens(counted) if n > max_tokens]
    if not over:
        return ""
    n_over, n_cut = len(over) * len(judgements) // len(counted), sum(over) * len(judgements) // len(counted)
    about = "about " if stride > 1 else ""
    return (f"{about}{_count(n_over, 'answer')} of {len(judgements):,} would be truncated: with the prompt longer than "
            f"{max_tokens:,} tokens ({about}{_count(n_cut, 'token')} cut off in all). Raise 'Longest sequence' or "
            "shorten them.")
