"""Rows -> judgements by a plan, in one pass: judged rows at once, rated and ranked ones when the whole table is known.

A row is taken as a whole or refused as a whole. Nothing of a row is kept but its judgements and its number, so that a
large table stays small in memory. Knows plans and drafts; this room must not know files, reports or questions.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from bnf_lab.core.errors import ImportRefused
from bnf_lab.core.judgements import Judgement, Source, Verdict, build_pair, now
from bnf_lab.core.numbers import counted
from bnf_lab.data.drafts import Draft, Prompt, Reading
from bnf_lab.data.embedded import spells_messages
from bnf_lab.data.formats.rows import Limits, Refusal, Row, RowProblem, build_refusal
from bnf_lab.data.layouts.plan import Plan
from bnf_lab.data.leftovers import Leftovers
from bnf_lab.data.ratings import Decided, RatingRule, decide

_ANSWERS_PER_ROW = 2  # of a pair; rows with more leave room for fewer rows
WRITTEN = (
    "one of its texts is a conversation written as JSON or as Python prints it, where a plain text belongs. Write it "
    "as messages, or delete the row."
)
NOTHING = "nothing in it is judged: no answer is chosen, labelled, rated or ranked. Leave it out, or have it judged."


@dataclass
class Intake:
    """What reading the rows gave so far.

    Attributes:
        source: Where the judgements come from.
        judgements: What the judged rows became, in their order; after `settle` all of them.
        rows: The row of each judgement.
        refused: The rows that cannot be taken.
        kinds: Kind of refusal -> rows.
        n_context: Rows that stand in the prompts of other rows.
    """

    source: Source
    judgements: list[Judgement] = field(default_factory=list)
    rows: array[int] = field(default_factory=lambda: array("q"))
    refused: list[Refusal] = field(default_factory=list)
    kinds: dict[str, list[int]] = field(default_factory=dict)
    n_context: int = 0
    _moment: str = field(default_factory=now)
    _numbered: list[tuple[int, Draft]] = field(default_factory=list)
    _n_numbers: int = 0
    _prompts: dict[Prompt, Prompt] = field(default_factory=dict)  # one object for a prompt that many rows share

    @property
    def n_answers(self) -> int:
        return len(self.judgements) + self._n_numbers

    @property
    def n_taken(self) -> int:
        return len(set(self.rows)) + self.n_context

    def take(self, row: int, draft: Draft) -> None:
        """Takes one draft of a row: judged ones become judgements at once."""
        prompt = self._prompts.setdefault(draft.prompt, draft.prompt)
        if not draft.is_judged:
            self._n_numbers += len(draft.answers)
            self._numbered.append((row, draft if prompt is draft.prompt else replace(draft, prompt=prompt)))
        elif draft.is_pair:
            (preferred, _), (dispreferred, _) = sorted(draft.answers, key=lambda answer: answer[1] != "preferred")
            pair = build_pair(
                prompt, preferred, dispreferred, source=self.source, weight=draft.weight, created_at=self._moment
            )
            self._add(row, pair)
        else:
            self._add(row, self._judge(prompt, ((text, v, draft.weight) for text, v in draft.verdicts)))

    def refuse(self, row: Row, problem: RowProblem) -> None:
        self.refused.append(build_refusal(row.number, row.place, problem))
        self.kinds.setdefault(problem.kind, []).append(row.number)

    def settle(self, rule: RatingRule) -> tuple[Decided, ...]:
        """Makes judgements of the rated and ranked rows too, by the rule, and puts all of them in the rows' order."""
        decided = decide(self._numbered, rule)
        self._numbered, self._prompts = [], {}
        for weighed in (row for found in decided for row in found.taken):
            self._add(weighed.row, self._judge(weighed.prompt, weighed.answers))
        if decided and any(a > b for a, b in zip(self.rows, self.rows[1:], strict=False)):
            order = sorted(range(len(self.rows)), key=self.rows.__getitem__)
            self.judgements = [self.judgements[i] for i in order]
            self.rows = array("q", (self.rows[i] for i in order))
        kept = set(self.rows)
        return tuple(replace(d, emptied=tuple(row for row in d.emptied if row not in kept)) for d in decided)

    def _add(self, row: int, judgements: Sequence[Judgement]) -> None:
        self.judgements.extend(judgements)
        self.rows.extend([row] * len(judgements))

    def _judge(self, prompt: Prompt, answers: Iterable[tuple[str, Verdict, float]]) -> list[Judgement]:
        return [
            Judgement(prompt, text, verdict, weight, source=self.source, created_at=self._moment)
            for text, verdict, weight in answers
        ]


def take_rows(
    rows: Iterable[Row | Refusal], plan: Plan, reading: Reading, left: Leftovers, intake: Intake, limits: Limits
) -> None:
    """Reads every row by the plan.

    Raises:
        ImportRefused: If the rows have more answers than an import may bring.
    """
    most = _ANSWERS_PER_ROW * limits.rows
    for row, found in _read_table(rows, plan, reading) if plan.read_table else _read_rows(rows, plan, reading, left):
        if isinstance(row, Refusal):
            intake.refused.append(row)
        elif isinstance(found, RowProblem):
            intake.refuse(row, found)
        elif found is None:
            intake.n_context += 1
        elif any(spells_messages(text) for draft in found for text in draft.texts):
            intake.refuse(row, RowProblem(WRITTEN, plan.column))
        else:
            left.see(row.values, found)
            for draft in found:
                intake.take(row.number, draft)
            if intake.n_answers > most:  # lists in a row must not get around the limit of rows
                raise ImportRefused(
                    f"it has more than {counted(most, 'answer')}, the most that one import may bring. Split it"
                    " into several files, or keep a part."
                )


_Found = tuple[Row | Refusal, Sequence[Draft] | RowProblem | None]


def _read_rows(rows: Iterable[Row | Refusal], plan: Plan, reading: Reading, left: Leftovers) -> Iterator[_Found]:
    for row in rows:
        if isinstance(row, Refusal):
            yield row, None
            continue
        reading.row = row.number
        try:
            left.check(row.values, reading)
            found = tuple(plan.read(row.values, reading))
        except RowProblem as problem:
            yield row, problem
        else:
            yield row, found or RowProblem(NOTHING, plan.column, "unjudged")


def _read_table(rows: Iterable[Row | Refusal], plan: Plan, reading: Reading) -> Iterator[_Found]:
    whole: list[Row] = []
    for row in rows:
        if isinstance(row, Refusal):
            yield row, None
        else:
            whole.append(row)
    for row, found in plan.read_table(whole, reading) if plan.read_table else ():
        yield row, (found,) if isinstance(found, Draft) else found
