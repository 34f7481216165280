r"""Ratings and ranks -> verdicts and weights: the rule that a person chooses, and its arithmetic. Standard library.

An answer rated above its centre is preferred, below it dispreferred. The centre is one threshold for the table or the
mean of each prompt's own answers. Knows drafts; this room must not know files, schemas or the words of a report.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from bnf_lab.core.errors import ImportRefused, shown
from bnf_lab.core.judgements import Message, Verdict
from bnf_lab.data.drafts import Draft

CENTRINGS = ("global", "prompt")
WEIGHTINGS = ("equal", "distance")
_ROUNDING = 1e-15  # a mean of decimals such as 0.1, 0.2 and 0.3 misses theirs by a few units in the last place


@dataclass(frozen=True)
class RatingRule:
    """How ratings become judgements. Ranks know no other rule than `RANK_RULE`.

    Attributes:
        threshold: The rating from which an answer is preferred; by default see `default_threshold`.
        centring: "global" compares every rating with that threshold, "prompt" with the mean of its prompt's answers.
        weighting: "equal" gives every judgement the weight 1; "distance" its distance from the threshold or mean,
            divided by the largest one in the table.

    Raises:
        ImportRefused: If a choice is none of these, or the threshold is not finite or would decide nothing.
    """

    threshold: float | None = None
    centring: str = "global"
    weighting: str = "equal"

    def __post_init__(self) -> None:
        for name, accepted in (("centring", CENTRINGS), ("weighting", WEIGHTINGS)):
            if getattr(self, name) not in accepted:
                raise ImportRefused(
                    f"The {name} of ratings is {shown(getattr(self, name))}; accepted are {' and '.join(accepted)}."
                )
        if self.threshold is None:
            return
        if not math.isfinite(self.threshold):
            raise ImportRefused(f"The threshold of ratings is {self.threshold}; a finite number is needed.")
        if self.centring == "prompt":
            raise ImportRefused(
                f"The threshold of ratings is {self.threshold:g}, but with the centring 'prompt' each "
                "prompt's own mean decides. Leave one of them out."
            )


RANK_RULE = RatingRule(centring="prompt", weighting="distance")


@dataclass(frozen=True, slots=True)
class Weighed:
    """A row with numbers that was decided: every answer as (text, verdict, weight)."""

    row: int
    prompt: tuple[Message, ...]
    answers: tuple[tuple[str, Verdict, float], ...]


@dataclass(frozen=True)
class Decided:
    """What a rule made of the ratings, or of the ranks, of a table.

    Attributes:
        taken: The rows that say what is better or worse.
        emptied: The other rows: all of their answers lie at the centre.
        centred: The row of each answer left out at the centre, though others to its prompt lie elsewhere.
        flat: The first row of each prompt left out as a whole: a single answer, or all rated alike.
        rule: What applied.
        threshold: The threshold that applied; None where each prompt's mean decides.
        ratings: The ratings that a threshold can split; empty for ranks.
        is_ranked: Whether they are ranks.
    """

    taken: tuple[Weighed, ...]
    emptied: tuple[int, ...]
    centred: tuple[int, ...]
    flat: tuple[int, ...]
    rule: RatingRule
    threshold: float | None
    ratings: tuple[float, ...]
    is_ranked: bool

    @property
    def how(self) -> str:
        """What was chosen, in one line."""
        weights = "weights by distance" if self.rule.weighting == "distance" else "all weights 1"
        if self.is_ranked:
            return (
                "ranks (1 = best): preferred where better than their prompt's mean rank, dispreferred where worse; "
                f"{weights}; ranks are comparable within a prompt only, so no other rule applies to them"
            )
        if self.threshold is None:
            return f"preferred above each prompt's own mean, dispreferred below; {weights}"
        word = "from" if _keeps_centre(self.rule) else "above"
        return f"preferred {word} a rating of {self.threshold:g}, dispreferred below; {weights}"


def default_threshold(ratings: Sequence[float]) -> float:
    """Returns the median rating, moved up to the next one if nothing lies below it, so that both verdicts occur.

    >>> default_threshold([1, 2, 4, 5, 5]), default_threshold([0, 0, 0, 1]), default_threshold([3, 3])
    (4.0, 1.0, 3.0)
    """
    middle = float(median(ratings))
    if middle > min(ratings):
        return middle
    return float(min((r for r in ratings if r > middle), default=middle))


def decide(drafts: Sequence[tuple[int, Draft]], rule: RatingRule) -> tuple[Decided, ...]:
    """Gives every rated or ranked answer of a table a verdict and a weight; ratings and ranks apart.

    An answer at the centre is neither preferred nor dispreferred and left out, except that with one threshold and
    equal weights it counts as preferred.

    Args:
        drafts: Row numbers and what the rows say, all of them numbers.
        rule: How ratings become verdicts and weights; ranks follow `RANK_RULE` instead.

    >>> you, weighed = (Message("user", "Hi"),), RatingRule(centring="prompt", weighting="distance")
    >>> drafts = [(1, Draft(you, (("a", 5.0), ("b", 3.0), ("c", 0.0), ("d", 4.0))))]
    >>> (decided,) = decide(drafts, weighed)
    >>> [(text, str(verdict), round(weight, 2)) for text, verdict, weight in decided.taken[0].answers]
    [('a', 'preferred', 0.67), ('c', 'dispreferred', 1.0), ('d', 'preferred', 0.33)]
    """
    by_kind = [[(row, draft) for row, draft in drafts if draft.is_ranked is kind] for kind in (False, True)]
    return tuple(
        _decide(found, RANK_RULE if i else rule, is_ranked=bool(i)) for i, found in enumerate(by_kind) if found
    )


def _decide(drafts: Sequence[tuple[int, Draft]], rule: RatingRule, *, is_ranked: bool) -> Decided:
    ratings = tuple(rating for _, draft in drafts for rating in _ratings(draft))
    threshold = None
    if rule.centring == "global":
        threshold = default_threshold(ratings) if rule.threshold is None else float(rule.threshold)
    distances = _measure(drafts, threshold)
    taken = _weigh(drafts, distances, rule)
    kept_rows, kept_prompts = {row.row for row in taken}, {row.prompt for row in taken}
    lost = (
        []
        if _keeps_centre(rule)
        else [
            (row, draft.prompt) for (row, draft), found in zip(drafts, distances, strict=True) for d in found if not d
        ]
    )
    flat: dict[tuple[Message, ...], int] = {}
    for row, prompt in lost:
        if rule.centring == "prompt" and prompt not in kept_prompts:
            flat.setdefault(prompt, row)
    return Decided(
        taken,
        emptied=tuple(dict.fromkeys(row for row, _ in drafts if row not in kept_rows)),
        centred=tuple(row for row, prompt in lost if prompt not in flat),
        flat=tuple(flat.values()),
        rule=rule,
        threshold=threshold,
        ratings=() if is_ranked else ratings,
        is_ranked=is_ranked,
    )


def _ratings(draft: Draft) -> list[float]:
    return [found for _, found in draft.answers if not isinstance(found, Verdict)]


def _keeps_centre(rule: RatingRule) -> bool:
    return rule.centring == "global" and rule.weighting == "equal"


def _measure(drafts: Sequence[tuple[int, Draft]], threshold: float | None) -> list[list[float]]:
    """Returns how far each answer of each row lies above its centre; 0 where only rounding parts them."""
    if threshold is not None:
        return [[rating - threshold for rating in _ratings(draft)] for _, draft in drafts]
    by_prompt: dict[tuple[Message, ...], list[float]] = {}
    for _, draft in drafts:
        by_prompt.setdefault(draft.prompt, []).extend(_ratings(draft))
    centres = {prompt: (fmean(found), _ROUNDING * max(map(abs, found))) for prompt, found in by_prompt.items()}
    return [[_distance(rating, *centres[draft.prompt]) for rating in _ratings(draft)] for _, draft in drafts]


def _distance(rating: float, centre: float, rounding: float) -> float:
    return rating - centre if abs(rating - centre) > rounding else 0.0


def _share(rule: RatingRule, distance: float, largest: float) -> float:
    return 1.0 if rule.weighting == "equal" else abs(distance) / largest


def _weigh(
    drafts: Sequence[tuple[int, Draft]], distances: Sequence[Sequence[float]], rule: RatingRule
) -> tuple[Weighed, ...]:
    """Returns the rows with the answers that are kept, each with its verdict and weight."""
    largest = max(abs(distance) for found in distances for distance in found)
    taken = []
    for (row, draft), found in zip(drafts, distances, strict=True):
        answers = tuple(
            (
                text,
                Verdict.PREFERRED if distance >= 0 else Verdict.DISPREFERRED,
                # a weight is above 0 even where the quotient is too small for a float
                max(draft.weight * _share(rule, distance, largest), sys.float_info.min),
            )
            for (text, _), distance in zip(draft.answers, found, strict=True)
            if distance or _keeps_centre(rule)
        )
        if answers:
            taken.append(Weighed(row, draft.prompt, answers))
    return tuple(taken)
