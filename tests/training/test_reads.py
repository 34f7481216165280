"""What a run reads: counted from the plan that trains, and passes over the data turned into its steps."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair, group_units
from bnf_lab.data.splits import build_split
from bnf_lab.losses import LOSSES
from bnf_lab.models.encoding import EncodedResponse
from bnf_lab.training import plan as plan_module
from bnf_lab.training.plan import count_reads, plan_steps, settle_steps
from bnf_lab.training.preflight import data_problems


def encode(judgement: Judgement) -> EncodedResponse:
    """A response without tokens."""
    return EncodedResponse(judgement.id, (), (), judgement.is_preferred, judgement.weight, judgement.prompt, False)


def mixed_units(n_pairs: int, n_single: int):
    """Pairs, then responses of their own, of which every other one is preferred."""
    judgements = [
        j for i in range(n_pairs) for j in build_pair((Message("user", f"P{i}"),), "a", "b", source=Source.DEMO)
    ]
    judgements += [
        Judgement((Message("user", f"S{i}"),), "c", Verdict.PREFERRED if i % 2 else Verdict.DISPREFERRED)
        for i in range(n_single)
    ]
    return group_units(judgements)


@pytest.mark.parametrize("method", list(LOSSES))
@pytest.mark.parametrize(("n_pairs", "n_single"), [(20, 0), (7, 9), (1, 30)])
@pytest.mark.parametrize(("n_steps", "per_step"), [(1, 1), (3, 4), (9, 5), (40, 8)])
def test_what_is_read_is_what_the_plan_reads(method, n_pairs, n_single, n_steps, per_step):
    units, config = (
        mixed_units(n_pairs, n_single),
        RunConfig(method=method, n_steps=n_steps, responses_per_step=per_step),
    )
    planned = [r.judgement_id for m in plan_steps(units, config, encode) for r in m.responses]
    reads = count_reads(units, config)
    assert reads.counts == Counter(planned)
    assert (reads.n_read, reads.counted_share) == (len(set(planned)), 1.0)
    assert reads.passes == pytest.approx(len(planned) / reads.n_usable)
    assert reads.n_usable == {"sft": n_pairs + n_single // 2}.get(
        method, 2 * n_pairs + (0 if LOSSES[method].needs_pairs else n_single)
    )


@pytest.mark.parametrize("method", ["bnf", "sft", "dpo"])
def test_a_very_long_run_is_counted_by_its_first_steps(monkeypatch, method):
    units, config = mixed_units(30, 11), RunConfig(method=method, n_steps=2000, responses_per_step=7)
    whole = count_reads(units, config)
    monkeypatch.setattr(plan_module, "COUNTED_READS", 500)
    short = count_reads(units, config)
    assert short.counted_share < 0.1
    assert (short.n_read, short.n_usable) == (whole.n_read, whole.n_usable)
    assert short.passes == pytest.approx(whole.passes, rel=0.02)


@pytest.mark.parametrize("method", ["bnf", "sft", "dpo", "kto"])
@pytest.mark.parametrize("passes", [0.01, 0.1, 0.5, 1, 2, 3.7, 40])
@pytest.mark.parametrize("per_step", [1, 4, 7, 64])
def test_passes_become_the_fewest_steps_that_read_so_much(method, passes, per_step):
    units = mixed_units(12, 8)
    config = settle_steps(units, RunConfig(method=method, passes=passes, responses_per_step=per_step))
    assert config.passes == passes
    assert count_reads(units, config).passes >= passes - 1e-6
    if config.n_steps > 1:
        assert count_reads(units, replace(config, n_steps=config.n_steps - 1)).passes < passes
    assert settle_steps(units, config) == config


def test_passes_over_much_data_are_counted_by_the_first_steps(monkeypatch):
    units, config = mixed_units(30, 11), RunConfig(passes=300, responses_per_step=7)
    whole = settle_steps(units, config).n_steps
    monkeypatch.setattr(plan_module, "COUNTED_READS", 500)
    assert settle_steps(units, config).n_steps == pytest.approx(whole, rel=0.02)


def test_more_steps_than_a_run_may_have_are_refused():
    config = RunConfig(passes=1000, responses_per_step=1)
    with pytest.raises(RunRefused, match="1000 passes over the data are 120,000 steps; a run may have 100,000"):
        settle_steps(mixed_units(60, 60), config)
    (problem,) = data_problems(build_split([j for u in mixed_units(300, 0) for j in u], config), config)
    assert "Lower 'Passes over the data'" in problem


def test_without_passes_the_steps_stay():
    config = RunConfig(n_steps=17)
    assert settle_steps(mixed_units(3, 0), config) is config
