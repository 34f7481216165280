"""An experiment of 96 cells without a single run: seeded numbers in the shape of a stability test, hostile texts."""

from __future__ import annotations

import math
import random
from typing import Any

from bnf_lab.experiments.recipes import Claim, Recipe
from bnf_lab.experiments.records import CellResult, ClaimVerdict, CurvePoint, Experiment, SampleAnswer
from bnf_lab.experiments.verdicts import build_groups

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">{{ 7*7 }} & \u2028 </pre></details> \ud800'
HOSTILE_DATA = 'data/"><svg onload=alert(3)></script>.jsonl'
HEALTH = {"bnf": 3e-2, "dpo": 2e-3, "nll": 2e-4, "simpo": 1.5e-3}
"""Learning rate beyond which the made-up method breaks down."""


def fake_recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "name": "stability",
        "title": "Stability <b>of losses</b>",
        "question": "Over which learning rates does each method stay healthy, and where does it collapse?",
        "data": ("demo:short_answers", HOSTILE_DATA),
        "seeds": 3,
        "settings": {"n_steps": 16, "responses_per_step": 4},
        "arms": ({"method": ("bnf", "dpo", "nll", "simpo"), "learning_rate": (1e-4, 3e-4, 1e-3, 3e-3)},),
        "compare": "method",
        "along": "learning_rate",
        "claims": (Claim("BNF stays healthy", {"method": "bnf", "learning_rate": 1e-3}, "accuracy", at_least=0.9),),
        "notes": ("Each cell is short: 16 steps of 4 responses.", HOSTILE),
    }
    return Recipe(**{**values, **changes})


def fake_result(cell: Any, chance: random.Random) -> CellResult:
    config, n_steps = cell.config, cell.config.n_steps
    over = max(0.0, math.log10(config.learning_rate / HEALTH.get(config.method, 1e-2)))
    reach = 1 - math.exp(-config.learning_rate / 4e-4)
    preferred = 0.4 * reach - 140 * over**2 + chance.gauss(0, 0.05)
    dispreferred = -1.8 * reach - 160 * over**2 + chance.gauss(0, 0.1)
    margins = tuple(chance.gauss(0.1 + 0.9 * reach - 0.5 * over, 0.5) for _ in range(12))
    collapsed = preferred < -1
    values = {name: chance.gauss(0.5, 0.2) for name in MEASURE_NAMES} | {
        "accuracy": sum(m > 0 for m in margins) / 12,
        "margin": sum(margins) / 12,
        "kl": abs(preferred) + 0.02,
        "preferred_shift": preferred,
        "dispreferred_shift": dispreferred,
        "collapsed": float(collapsed),
        "broken_answers": 1.0 if collapsed else 0.0,
        "loss_variance": abs(chance.gauss(0.4, 0.1)),
        "grad_norm": abs(chance.gauss(3, 1)),
        "seconds": 40.0,
    }
    curve = tuple(
        CurvePoint(step, preferred * step / n_steps, dispreferred * step / n_steps, 0.5 + 0.4 * step / n_steps)
        for step in range(n_steps + 1)
    )
    answers = tuple(
        SampleAnswer(
            f"What is {k} + 3? {HOSTILE}",
            f"Well, {k} plus 3 is a sum. " * 20,
            "no no no no no" if collapsed else f"{k + 3}. {HOSTILE}",
            collapsed,
        )
        for k in range(3)
    )
    problem = '=HYPERLINK("http://evil.example")' if collapsed else None
    return CellResult(cell, "finished", problem, n_steps, values, margins, 0.5, curve, answers)


MEASURE_NAMES = tuple(
    f"{verdict}_{kind}_shift"
    for verdict in ("preferred", "dispreferred")
    for kind in ("target_logit", "logsumexp", "other_logits")
)


def fake_results(recipe: Recipe) -> list[CellResult]:
    chance = random.Random(0)  # noqa: S311 - made-up numbers, not secrets
    return [fake_result(cell, chance) for cell in recipe.cells()]


def fake_experiment(recipe: Recipe | None = None, results: list[CellResult] | None = None) -> Experiment:
    recipe = recipe or fake_recipe()
    cells = tuple(recipe.cells())
    results = fake_results(recipe) if results is None else results
    claims = (
        ClaimVerdict("BNF at learning rate 1e-3 reaches 0.9 (short_answers)", "holds", "accuracy 0.97 (0.86 to 1.00)"),
        ClaimVerdict("BNF stays above DPO at 3e-3", "within noise", "they differ by 0.06 (-0.03 to 0.15)"),
        ClaimVerdict(f"DPO never collapses {HOSTILE}", "does not hold", "6 of 12 runs collapsed at 3e-3"),
        ClaimVerdict("KTO needs no pairs", "not measured", "No cell has method kto."),
    )
    return Experiment(
        recipe,
        cells,
        build_groups(cells, results),
        claims,
        ("On short_answers, likelihood up / down collapses from learning rate 0.001 on.", "BNF does not collapse."),
        {name: "ab" * 32 for name in recipe.data},
        {"Python": "3.11.2", "torch": "2.13.0"},
        "CPU, 8 GiB, Linux x86_64",
        40.0 * len(results),
        "2026-11-24T09:00:00+00:00",
    )
