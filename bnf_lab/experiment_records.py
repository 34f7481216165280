"""What an experiment's cells gave, as records for verdicts and reports. Values only, standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bnf_lab.recipes import Cell, Recipe


@dataclass(frozen=True)
class Measure:
    """A number that cells are compared by; `better` is "more", "less" or "" where neither is."""

    label: str
    unit: str = ""
    better: str = ""


MEASURES: dict[str, Measure] = {
    "accuracy": Measure("Held-out accuracy", "share of pairs", "more"),
    "margin": Measure("Held-out margin", "nats/token", "more"),
    "collapsed": Measure("Collapsed", "share of runs", "less"),
    "broken_answers": Measure("Broken answers", "share of sample answers", "less"),
    "preferred_shift": Measure("Preferred log-likelihood, shift", "nats/token", "more"),
    "dispreferred_shift": Measure("Dispreferred log-likelihood, shift", "nats/token", "less"),
    "margin_shift": Measure("Margin of shifts", "nats/token", "more"),
    "accuracy_shift": Measure("Accuracy of shifts", "share of pairs", "more"),
    "preferred_target_logit_shift": Measure("Preferred target logit, shift"),
    "preferred_logsumexp_shift": Measure("Preferred log-sum-exp, shift"),
    "preferred_other_logits_shift": Measure("Preferred other logits, shift"),
    "dispreferred_target_logit_shift": Measure("Dispreferred target logit, shift"),
    "dispreferred_logsumexp_shift": Measure("Dispreferred log-sum-exp, shift"),
    "dispreferred_other_logits_shift": Measure("Dispreferred other logits, shift"),
    "kl": Measure("KL to the base", "nats/token", "less"),
    "entropy": Measure("Entropy on preferred responses", "nats"),
    "loss_variance": Measure("Variance of the training loss"),
    "grad_norm": Measure("Mean gradient norm, before clipping"),
    "answer_words": Measure("Answer length", "words"),
    "repetition": Measure("Repetition in answers", "share of word triples", "less"),
    "seconds": Measure("Time of the run", "s"),
}


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
    """A mean with its 95 % interval over `n` values; `low` and `high` are None where n is 1."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Group:
    """The cells that differ in their seed alone.

    Attributes:
        data: The data set.
        arm: What is particular to them.
        results: One a seed.
        estimates: By measure.
    """

    data: str
    arm: Mapping[str, object]
    results: tuple[CellResult, ...]
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True)
class ClaimVerdict:
    """How a claim fared: "holds", "does not hold", "within noise" or "not measured", and the numbers in words."""

    text: str
    outcome: str
    detail: str


@dataclass(frozen=True)
class Experiment:
    """Everything that a report shows.

    Attributes:
        recipe: What was asked.
        groups: The cells by data and arm, in the recipe's order.
        claims: Verdicts on the recipe's claims.
        verdict: Further sentences: where each collapses, who is best where.
        n_cells: Cells in all; `groups` may hold fewer while some are missing.
        data_hashes: Data set -> sha256 of its judgements.
        versions: Package -> version.
        machine: The machine in words.
        seconds: Time that the cells took together.
        made_at: When the report was made, ISO 8601.
    """

    recipe: Recipe
    groups: tuple[Group, ...]
    claims: tuple[ClaimVerdict, ...]
    verdict: tuple[str, ...]
    n_cells: int
    data_hashes: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""
    seconds: float = 0.0
    made_at: str = ""
