"""How often a report says that methods differ where they do not, and how often it sees what is there: by simulation.

Every experiment is drawn with a seed and judged by the code that judges real ones. `python -m
tests.experiments.test_false_claims` prints the rates of the longer version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.experiments.recipes import Cell, Claim, Recipe
from bnf_lab.experiments.records import CellResult, Group
from bnf_lab.experiments.verdicts import build_groups, judge

DATA = "demo:short_answers"
RATES = (1e-4, 3e-4, 1e-3)
N_EXPERIMENTS = 400
Says = Callable[[Recipe, Sequence[Group]], bool]
MOST_FALSE = 0.06
CASES = [(n_seeds, n_pairs, spread) for n_seeds in (1, 3) for n_pairs in (6, 12, 36) for spread in (0.0, 1.0)]


def make_cells(n_rates: int, n_seeds: int) -> list[Cell]:
    """BNF at some learning rates and DPO at the first; a recipe's cells without reading its data."""
    arms = [("bnf", rate) for rate in RATES[:n_rates]] + [("dpo", RATES[0])]
    found = []
    for method, rate in arms:
        arm = {"method": method, "learning_rate": rate}
        found += [Cell(DATA, arm, RunConfig.from_dict({**arm, "seed": seed})) for seed in range(n_seeds)]
    return found


def make_recipe(*claims: Claim) -> Recipe:
    arms = ({"method": ("bnf", "dpo"), "learning_rate": RATES},)
    return Recipe("own", "Own", "What?", (DATA,), arms=arms, compare="method", along="learning_rate", claims=claims)


BNF, DPO = ({"method": method, "learning_rate": RATES[0]} for method in ("bnf", "dpo"))
CLAIMS = (
    Claim("more accurate", BNF, "accuracy", above=DPO),
    Claim("wider", BNF, "margin", above=DPO),
    Claim("likelier", BNF, "preferred_shift", above=DPO),
)


def draw(
    cells: Sequence[Cell], n_pairs: int, *, spread: float, effect: float = 0.0, is_skewed: bool = False
) -> Iterator[tuple[Group, ...]]:
    """Draws experiments whose margins are a pair's own, the run's, and noise; `effect` sets BNF above DPO.

    Args:
        cells: Of one experiment.
        n_pairs: Held-out pairs of each run, the same for all arms of a seed.
        spread: Standard deviation between runs; it is 1 between pairs.
        effect: By how much BNF's margins are above DPO's.
        is_skewed: Whether the noise is log-normal, its mean taken off.
    """
    random = np.random.default_rng([len(cells), n_pairs, int(10 * spread), int(10 * effect), is_skewed])
    n_seeds = 1 + max(cell.seed for cell in cells)
    for _ in range(N_EXPERIMENTS):
        shared = random.normal(size=(n_seeds, n_pairs))
        noise = random.normal(size=(len(cells), n_pairs))
        noise = np.exp(noise) - np.exp(0.5) if is_skewed else noise
        runs = spread * random.normal(size=len(cells))
        ups = np.array([effect * (cell.arm["method"] == "bnf") for cell in cells])
        margins = noise + (runs + ups)[:, None] + shared[[cell.seed for cell in cells]]
        shifts = random.normal(size=len(cells)) + ups
        results = [
            CellResult(cell, "finished", None, 4, {"collapsed": 0.0, "preferred_shift": float(shift)}, tuple(row))
            for cell, shift, row in zip(cells, shifts, margins.tolist(), strict=True)
        ]
        yield build_groups(cells, results)


def speaks_of_methods(recipe: Recipe, groups: Sequence[Group]) -> bool:
    """Whether a report says anywhere that methods differ."""
    claims, sentences = judge(recipe, groups)
    said = [text for text in sentences if "in this one run" not in text]
    return any(c.outcome in ("holds", "does not hold") for c in claims) or _call_different(said)


def speaks_of_its_run(recipe: Recipe, groups: Sequence[Group]) -> bool:
    """Whether a report of one run says anywhere that its two arms differ."""
    claims, sentences = judge(recipe, groups)
    return _call_different(sentences) or any(" differ by " not in c.detail for c in claims if "95 %" in c.detail)


def _call_different(sentences: Sequence[str]) -> bool:
    return any(re.search(r"[0-9] (higher|lower) \(", text) for text in sentences)


def rate_of(says: Says, n_rates: int, n_seeds: int, n_pairs: int, spread: float, **how: Any) -> float:
    """Returns the share of experiments whose report says so, by three claims and by who is best at its best."""
    recipe = make_recipe(*CLAIMS)
    drawn = draw(make_cells(n_rates, n_seeds), n_pairs, spread=spread, **how)
    return sum(says(recipe, groups) for groups in drawn) / N_EXPERIMENTS


@pytest.mark.parametrize(("n_seeds", "n_pairs", "spread"), CASES)
def test_methods_that_are_alike_are_seldom_called_different(n_seeds: int, n_pairs: int, spread: float) -> None:
    """Best of three learning rates against best of one, and claims on accuracy, margin and likelihood."""
    rate = rate_of(speaks_of_methods, 3, n_seeds, n_pairs, spread)
    assert rate <= (MOST_FALSE if n_seeds > 1 else 0.0)


@pytest.mark.parametrize("is_skewed", [False, True])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_a_single_claim_is_seldom_false(spread: float, is_skewed: bool) -> None:
    """Nothing else in the report that a correction could have made careful."""
    cells = make_cells(1, 3)
    for claim in CLAIMS[:2]:
        drawn = draw(cells, 12, spread=spread, is_skewed=is_skewed)
        claims = [judge(make_recipe(claim), groups)[0][0] for groups in drawn]
        assert sum(c.outcome in ("holds", "does not hold") for c in claims) <= MOST_FALSE * N_EXPERIMENTS


@pytest.mark.parametrize("is_skewed", [False, True])
@pytest.mark.parametrize("n_pairs", [6, 12, 36])
def test_one_run_is_seldom_said_to_differ_where_its_arms_are_alike(n_pairs: int, is_skewed: bool) -> None:
    assert rate_of(speaks_of_its_run, 3, 1, n_pairs, 0.0, is_skewed=is_skewed) <= MOST_FALSE


@pytest.mark.parametrize(
    ("n_seeds", "n_pairs", "spread", "floor"),
    [(3, 36, 0.0, 0.8), (3, 36, 1.0, 0.1), (5, 36, 1.0, 0.5), (5, 12, 0.0, 0.8)],
)
def test_what_is_there_is_seen(n_seeds: int, n_pairs: int, spread: float, floor: float) -> None:
    """Power: an effect of twice the spread between pairs. Three runs that spread as much see little of it."""
    assert rate_of(speaks_of_methods, 3, n_seeds, n_pairs, spread, effect=2.0) >= floor


def test_one_run_sees_what_is_there_in_it() -> None:
    assert rate_of(speaks_of_its_run, 3, 1, 12, 0.0, effect=2.0) >= 0.7


def main() -> None:
    """Prints false claims and power by seeds, pairs and spread between runs."""
    print("seeds pairs spread | false: of methods, of the run | power at 1, 2 and 4")
    for n_seeds, n_pairs, spread in [*CASES, *((5, n, s) for n in (12, 36) for s in (0.0, 1.0))]:
        false = [rate_of(says, 3, n_seeds, n_pairs, spread) for says in (speaks_of_methods, speaks_of_its_run)]
        says = speaks_of_methods if n_seeds > 1 else speaks_of_its_run
        power = [rate_of(says, 3, n_seeds, n_pairs, spread, effect=effect) for effect in (1.0, 2.0, 4.0)]
        own = f"{false[1]:6.3f}" if n_seeds == 1 else "     -"
        print(f"{n_seeds:5} {n_pairs:5} {spread:6} | {false[0]:6.3f} {own} | " + " ".join(f"{p:.2f}" for p in power))


if __name__ == "__main__":
    main()
