"""What an experiment's cells gave, as records for verdicts and reports. Values only, standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bnf_lab.experiments.recipes import Cell, Recipe


@dataclass(frozen=True)
class SampleAnswer:
    """The greedy answer to a held-out prompt before and after training."""

    prompt: str
    before: str
    after: str
    is_broken: bool


@dataclass(frozen=True)
class CurvePoint:
    """The probe at one step; None where it was not measured."""

    step: int
    preferred_shift: float | None
    dispreferred_shift: float | None
    accuracy: float | None


@dataclass(frozen=True)
class CellResult:
    """What one cell gave.

    Attributes:
        cell: Which.
        state: Its run's state.
        problem: Why it failed, or what the guard saw; None if nothing.
        step: Steps done.
        values: Measures by name (`MEASURES`); those that could not be measured are absent.
        pair_margins: Mean-token margin of each held-out pair at the end, nats/token.
        base_accuracy: Held-out accuracy before training; None without pairs.
        curve: The probe over the run.
        answers: Sample answers.
    """

    cell: Cell
    state: str
    problem: str | None
    step: int
    values: Mapping[str, float]
    pair_margins: tuple[float, ...] = ()
    base_accuracy: float | None = None
    curve: tuple[CurvePoint, ...] = ()
    answers: tuple[SampleAnswer, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` runs with its 95 % interval; of one run it is over its pairs, or None."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Group:
    """The cells that differ in their seed alone, and what they gave.

    Attributes:
        cells: One a seed, in the recipe's order; at least one.
        results: Of those that have begun, in the same order.
        estimates: Means over the results, by measure.
    """

    cells: tuple[Cell, ...]
    results: tuple[CellResult, ...] = ()
    estimates: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def data(self) -> str:
        return self.cells[0].data

    @property
    def arm(self) -> Mapping[str, Any]:
        """What is particular to these cells."""
        return self.cells[0].arm

    @property
    def n_collapsed(self) -> int:
        return sum(result.values.get("collapsed", 0.0) > 0 for result in self.results)

    def has(self, settings: Mapping[str, Any]) -> bool:
        """Returns whether the cells' arm (or `data`) has these settings."""
        return self.cells[0].has(settings)

    def setting(self, name: str) -> Any:
        """Returns what the cells have of a setting (or `data`), their seed aside."""
        return self.cells[0].setting(name)


@dataclass(frozen=True)
class ClaimVerdict:
    """How a claim fared, and the numbers in words.

    Outcomes: "holds", "does not hold", "within noise", "one run only", "not measured".
    """

    text: str
    outcome: str
    detail: str


@dataclass(frozen=True)
class Experiment:
    """Everything that a report shows.

    Attributes:
        recipe: What was asked.
        cells: Every cell, in the order in which they run.
        groups: The same cells by data and arm, with what those that have begun gave.
        claims: Verdicts on the recipe's claims.
        verdict: Further sentences: where each collapses, who is best where.
        data_hashes: Data set -> sha256 of its judgements.
        versions: Package -> version.
        machine: The machine in words.
        seconds: Time that the cells took together.
        made_at: When the report was made, ISO 8601.
    """

    recipe: Recipe
    cells: tuple[Cell, ...]
    groups: tuple[Group, ...]
    claims: tuple[ClaimVerdict, ...]
    verdict: tuple[str, ...]
    data_hashes: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""
    seconds: float = 0.0
    made_at: str = ""
