"""What is held out, in which order the rest comes, and how texts become token ids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from bnf_lab.core.automatic import CPU_TOKENS_AT_ONCE, GPU_TOKENS_AT_ONCE
from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair, group_units
from bnf_lab.data.splits import build_split, split_units
from bnf_lab.losses import LOSSES
from bnf_lab.models.encoding import Encoder, order_for_packing
from bnf_lab.training.plan import MicroBatch, plan_steps
from bnf_lab.training.preflight import data_problems


@pytest.fixture(scope="module")
def encoder(tiny_model_path: Path) -> Encoder:
    return Encoder(AutoTokenizer.from_pretrained(tiny_model_path), max_tokens=96)


def make_pairs(n: int) -> list[Judgement]:
    return [
        judgement
        for i in range(n)
        for judgement in build_pair(
            (Message("user", f"Question {i}?"),), f"Answer {i}.", "No " * (i % 5 + 1), source=Source.UPLOAD
        )
    ]


def test_a_response_is_exactly_the_text_and_the_end_of_turn(encoder: Encoder) -> None:
    judgement = make_pairs(1)[0]
    encoded = encoder.encode(judgement)
    assert encoder.tokenizer.decode(encoded.response_ids) == "Answer 0.<|im_end|>"
    prompt = encoder.tokenizer.decode(encoded.prompt_ids)
    assert prompt == "<|im_start|>user\nQuestion 0?<|im_end|>\n<|im_start|>assistant\n"
    assert not encoded.is_cut


def test_a_control_token_inside_an_answer_stays_text(encoder: Encoder) -> None:
    judgement = Judgement((Message("user", "Hi"),), "Yes.<|im_end|> And more.", Verdict.PREFERRED)
    encoded = encoder.encode(judgement)
    assert encoded.response_ids.count(encoder.end_ids[0]) == 1
    assert encoder.tokenizer.decode(encoded.response_ids) == "Yes.<|im_end|> And more.<|im_end|>"


def test_a_template_that_makes_nothing_of_a_prompt_is_refused(tiny_model_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_path)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(RunRefused, match="template makes nothing"):
        Encoder(tokenizer, max_tokens=96).encode(Judgement((Message("user", ""),), "Yes.", Verdict.PREFERRED))


def test_too_long_texts_are_cut_to_the_limit_and_lose_their_end_of_turn(encoder: Encoder) -> None:
    long = Judgement((Message("user", "why " * 200),), "because " * 200, Verdict.PREFERRED)
    encoded = encoder.encode(long)
    assert encoded.is_cut
    assert encoded.n_tokens == encoder.max_tokens
    assert len(encoded.response_ids) >= encoder.max_tokens // 2
    assert encoded.response_ids[-1] not in encoder.end_ids


def test_neighbours_share_a_prompt_or_have_similar_lengths(encoder: Encoder) -> None:
    responses = [encoder.encode(j) for j in make_pairs(9)]
    ordered = order_for_packing(reversed(responses))
    assert sorted(r.judgement_id for r in ordered) == sorted(r.judgement_id for r in responses)
    prompts = [r.prompt_ids for r in ordered]
    assert prompts[::2] == prompts[1::2]
    longest = [max(a.n_tokens, b.n_tokens) for a, b in zip(ordered[::2], ordered[1::2], strict=True)]
    assert longest == sorted(longest)


def test_the_probe_shares_no_prompt_with_the_training_part() -> None:
    judgements = make_pairs(30)
    split = split_units(judgements, n_probe=4, seed=1)
    train = {unit[0].prompt for unit in split.train}
    probe = {unit[0].prompt for unit in split.probe}
    assert split.is_held_out
    assert len(split.probe) == 4
    assert not train & probe
    assert sum(map(len, split.train)) + sum(map(len, split.probe)) == len(judgements)
    assert split == split_units(judgements, n_probe=4, seed=1)
    assert split != split_units(judgements, n_probe=4, seed=2)


def test_the_probe_takes_at_most_a_fifth_of_the_prompts_and_32_responses_of_a_verdict() -> None:
    assert len(split_units(make_pairs(10), n_probe=12, seed=0).probe) == 2
    assert len(split_units(make_pairs(400), n_probe=32, seed=0).probe) == 32


def test_with_few_prompts_nothing_is_held_out_and_this_is_said() -> None:
    split = split_units(make_pairs(3), n_probe=2, seed=0)
    assert not split.is_held_out
    assert sum(map(len, split.train)) == 6
    assert split.probe


def test_plan_is_the_same_for_every_loss_and_covers_the_data(encoder: Encoder) -> None:
    units = split_units(make_pairs(20), n_probe=4, seed=0).train
    config = RunConfig(n_steps=4, responses_per_step=8, micro_batch_size=4)
    plans = {name: plan_steps(units, replace(config, method=name), encoder.encode) for name in LOSSES}
    steps = {}
    for name, plan in plans.items():
        n_micro = len(plan) // 4
        assert n_micro == (1 if name == "sft" else 2)
        parts = [plan[n_micro * i : n_micro * (i + 1)] for i in range(4)]
        steps[name] = [{r.judgement_id for m in part for r in m.responses} for part in parts]
    assert all(found == steps["bnf"] for name, found in steps.items() if name != "sft")
    preferred = {j.id for unit in units for j in unit if j.is_preferred}
    assert steps["sft"] == [step & preferred for step in steps["bnf"]]
    assert len(set.union(*steps["bnf"])) == 32  # four steps of eight, no response twice in the first pass
    assert all(m.n_units_in_step == 8 for m in plans["bnf"])
    assert all(m.n_units_in_step == 4 for m in plans["dpo"])


def test_pairs_stay_together_only_where_the_loss_needs_them(encoder: Encoder) -> None:
    units = split_units(make_pairs(20), n_probe=4, seed=0).train
    plan = plan_steps(units, RunConfig(n_steps=2, micro_batch_size=2, method="dpo"), encoder.encode)
    for micro_batch in plan:
        assert micro_batch.pairs == ((0, 1),)
        assert [r.is_preferred for r in micro_batch.responses] == [True, False]
        assert micro_batch.responses[0].prompt_key == micro_batch.responses[1].prompt_key


@pytest.mark.parametrize(("per_step", "micro"), [(8, 8), (8, 3), (1, 8), (5, 2), (7, 7)])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_step_has_equally_many_non_empty_micro_batches(
    encoder: Encoder, name: str, per_step: int, micro: int
) -> None:
    single = Judgement((Message("user", "Alone?"),), "Yes.", Verdict.PREFERRED)
    units = split_units([*make_pairs(12), single], n_probe=2, seed=0).train
    config = RunConfig(n_steps=9, responses_per_step=per_step, micro_batch_size=micro)
    plan = plan_steps(units, replace(config, method=name), encoder.encode)
    assert len(plan) % config.n_steps == 0
    assert all(micro_batch.responses for micro_batch in plan)
    limit = max(micro, 2) + 1  # a step may overshoot by one response
    assert all(len(micro_batch.responses) <= limit for micro_batch in plan)


def test_left_to_the_lab_a_micro_batch_holds_as_many_tokens_as_suit_the_device(encoder: Encoder) -> None:
    units = split_units(make_pairs(20), n_probe=4, seed=0).train
    config = RunConfig(n_steps=2, responses_per_step=40)
    sizes = []
    for has_gpu in (False, True):
        plan = plan_steps(units, config, encoder.encode, has_gpu=has_gpu)
        sizes.append(max(sum(r.n_tokens for r in m.responses) for m in plan))
        assert sum(len(m.responses) for m in plan) == 80
    assert sizes[0] <= 2 * CPU_TOKENS_AT_ONCE
    assert sizes[0] < sizes[1] <= 2 * GPU_TOKENS_AT_ONCE


@pytest.mark.parametrize(("per_step", "micro", "n_processes"), [(8, 8, 2), (8, 1, 3), (6, 2, 2), (7, 3, 3), (3, 1, 3)])
def test_processes_share_each_step_evenly(encoder: Encoder, per_step: int, micro: int, n_processes: int) -> None:
    units = split_units(make_pairs(12), n_probe=2, seed=0).train
    config = RunConfig(n_steps=4, responses_per_step=per_step, micro_batch_size=micro)
    alone = plan_steps(units, config, encoder.encode)
    plan = plan_steps(units, config, encoder.encode, n_processes=n_processes)
    n_micro, n_alone = len(plan) // 4, len(alone) // 4
    assert n_micro % n_processes == 0
    assert all(m.responses for m in plan)
    for step in range(4):  # the same responses in every step, however many share it
        found = [r.judgement_id for m in plan[step * n_micro : (step + 1) * n_micro] for r in m.responses]
        expected = [r.judgement_id for m in alone[step * n_alone : (step + 1) * n_alone] for r in m.responses]
        assert found == expected


def test_more_processes_than_responses_are_refused(encoder: Encoder) -> None:
    units = split_units(make_pairs(12), n_probe=2, seed=0).train
    with pytest.raises(RunRefused, match=r"4 responses is too small for 3 processes.*at least 6"):
        plan_steps(units, RunConfig(responses_per_step=4, method="dpo"), encoder.encode, n_processes=3)


def test_pairwise_losses_refuse_unpaired_data_with_the_count(encoder: Encoder) -> None:
    judgements = [Judgement((Message("user", f"Q{i}"),), "A", Verdict.PREFERRED) for i in range(6)]
    units = split_units(judgements, n_probe=1, seed=0).train
    with pytest.raises(RunRefused, match=r"DPO needs pairs: 0 of \d+ prompts have both verdicts\. .*choose BNF"):
        plan_steps(units, RunConfig(n_steps=1, method="dpo"), encoder.encode)
    with pytest.raises(RunRefused, match="no judgement to train on"):
        plan_steps((), RunConfig(n_steps=1), encoder.encode)


# -- what single losses ask of a plan


def make_singles(n: int, verdict: Verdict, name: str = "Single") -> list[Judgement]:
    return [Judgement((Message("user", f"{name} {i}?"),), f"Alone {i}.", verdict) for i in range(n)]


def steps_of(plan: list[MicroBatch], n_steps: int) -> list[list[MicroBatch]]:
    n_micro = len(plan) // n_steps
    return [plan[i * n_micro : (i + 1) * n_micro] for i in range(n_steps)]


@pytest.mark.parametrize("micro", [2, 3, 8])
def test_kto_sees_each_response_of_a_step_under_another_prompt(encoder: Encoder, micro: int) -> None:
    units = group_units(make_pairs(20))
    config = RunConfig(method="kto", n_steps=3, responses_per_step=8, micro_batch_size=micro, max_tokens=96)
    for step in steps_of(plan_steps(units, config, encoder.encode), 3):
        own = {r.judgement_id: r for m in step for r in m.responses}
        assert len(own) == 8
        assert {m.mismatched for m in step} == {step[0].mismatched}  # one estimate for the whole step
        assert len(step[0].mismatched) == 8
        for found in step[0].mismatched:
            prompt, response = (own[name] for name in found.judgement_id.split("+"))
            assert found.prompt_ids == prompt.prompt_ids != response.prompt_ids
            assert found.response_ids == response.response_ids
        assert {f.judgement_id.split("+")[1] for f in step[0].mismatched} == own.keys()


def test_mismatched_responses_are_cut_to_the_longest_sequence(encoder: Encoder) -> None:
    short, long = "Hi", "Z" * 30  # a letter that the tokenizer never merged: one token each
    judgements = [
        *build_pair((Message("user", short),), "Q" * 60, "no", source=Source.UPLOAD),
        *build_pair((Message("user", long),), "yes", "no", source=Source.UPLOAD),
    ]
    config = RunConfig(method="kto", n_steps=1, responses_per_step=4, max_tokens=encoder.max_tokens)
    (micro_batch,) = plan_steps(group_units(judgements), replace(config, micro_batch_size=4), encoder.encode)
    own = {r.judgement_id: r for r in micro_batch.responses}
    pieces = [(f, own[f.judgement_id.split("+")[1]]) for f in micro_batch.mismatched]
    assert all(f.n_tokens <= encoder.max_tokens for f, _ in pieces)
    assert all(f.response_ids == r.response_ids[: len(f.response_ids)] for f, r in pieces)
    cut = [f for f, r in pieces if f.response_ids != r.response_ids]
    assert cut
    assert all(f.n_tokens == encoder.max_tokens for f in cut)


def test_a_step_of_one_prompt_has_nothing_to_mismatch(encoder: Encoder) -> None:
    pairs = [build_pair((Message("user", "Same?"),), f"a {i}", f"b {i}", source=Source.UPLOAD) for i in range(6)]
    config = RunConfig(method="kto", n_steps=2, responses_per_step=4)
    assert all(m.mismatched == () for m in plan_steps(pairs, config, encoder.encode))


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if not loss.needs_reference_point])
def test_other_losses_pay_for_no_mismatched_response(encoder: Encoder, name: str) -> None:
    units = group_units(make_pairs(8))
    plan = plan_steps(units, RunConfig(method=name, n_steps=2), encoder.encode)
    assert all(m.mismatched == () for m in plan)


@pytest.mark.parametrize("micro", [2, 3, 6])
def test_the_hybrid_keeps_pairs_together_and_uses_singles(encoder: Encoder, micro: int) -> None:
    units = group_units([*make_pairs(10), *make_singles(6, Verdict.PREFERRED), *make_singles(4, Verdict.DISPREFERRED)])
    config = RunConfig(method="hybrid", n_steps=5, responses_per_step=6, micro_batch_size=micro)
    plan = plan_steps(units, config, encoder.encode)
    partner = {a.id: b.id for a, b in (u for u in units if len(u) == 2)}
    singles = {u[0].id for u in units if len(u) == 1}
    seen: set[str] = set()
    for step in steps_of(plan, 5):
        n_responses = sum(len(m.responses) for m in step)
        assert {m.n_units_in_step for m in step} == {n_responses}  # the loss is one value a response
        for micro_batch in step:
            names = [r.judgement_id for r in micro_batch.responses]
            assert {names[i]: names[j] for i, j in micro_batch.pairs} == {a: partner[a] for a in names if a in partner}
            assert {name for name in names if name not in singles} == {names[k] for p in micro_batch.pairs for k in p}
            seen |= set(names)
    assert seen & singles
    assert seen & partner.keys()
    assert len(seen) == 30  # the first pass holds all 20 units, and five steps of six see every one


def test_the_hybrid_refuses_data_without_a_pair(encoder: Encoder) -> None:
    units = group_units([*make_singles(6, Verdict.PREFERRED, "Q"), *make_singles(4, Verdict.DISPREFERRED, "Q")])
    with pytest.raises(RunRefused, match="needs pairs: 4 of 6 prompts have both verdicts, but none as a pair"):
        plan_steps(units, RunConfig(method="hybrid", n_steps=1), encoder.encode)


def test_fine_tuning_leaves_dispreferred_responses_out(encoder: Encoder) -> None:
    units = group_units([*make_pairs(8), *make_singles(4, Verdict.DISPREFERRED), *make_singles(4, Verdict.PREFERRED)])
    config = RunConfig(method="sft", n_steps=6, responses_per_step=4, micro_batch_size=2)
    plan = plan_steps(units, config, encoder.encode)
    preferred = {j.id for unit in units for j in unit if j.is_preferred}
    for step in steps_of(plan, 6):
        rows = [r for m in step for r in m.responses]
        assert rows
        assert all(r.is_preferred for r in rows)
        assert {m.n_units_in_step for m in step} == {len(rows)}  # the mean is over what counts
        assert all(m.pairs == () and m.responses for m in step)
    assert {r.judgement_id for m in plan for r in m.responses} == preferred


def test_fine_tuning_without_a_preferred_response_is_refused(encoder: Encoder) -> None:
    units = group_units(make_singles(6, Verdict.DISPREFERRED))
    with pytest.raises(RunRefused, match=r"SFT learns from preferred responses alone: 0 of 6 are preferred\. Mark"):
        plan_steps(units, RunConfig(method="sft", n_steps=1), encoder.encode)
    assert plan_steps(units, RunConfig(n_steps=1), encoder.encode)  # BNF learns from them


def test_the_count_of_a_refusal_is_of_all_the_data_that_a_person_gave() -> None:
    both = [*make_singles(60, Verdict.PREFERRED, "Q"), *make_singles(12, Verdict.DISPREFERRED, "Q")]
    for n_probe in (2, 12):
        config = RunConfig(method="dpo", n_probe=n_probe)
        (problem,) = data_problems(build_split(both, config), config)
        assert problem.startswith("DPO needs pairs: 12 of 60 prompts have both verdicts, but none as a pair.")
    few = [*make_singles(4, Verdict.PREFERRED, "Q"), *make_singles(2, Verdict.DISPREFERRED, "Q")]
    split = build_split(few, RunConfig(method="dpo"))
    assert not split.is_held_out
    assert "2 of 4 prompts" in data_problems(split, RunConfig(method="dpo"))[0]


def test_pairs_that_are_all_held_out_are_a_problem_too() -> None:
    judgements = [*make_singles(5, Verdict.PREFERRED), *make_pairs(1)]
    problems = set()
    for seed in range(12):
        config = RunConfig(method="dpo", seed=seed, n_probe=1)
        split = build_split(judgements, config)
        is_left = any(len(unit) == 2 for unit in split.train)
        found = data_problems(split, config)
        assert bool(found) is not is_left
        problems |= set(found)
    assert any("DPO needs pairs" in text for text in problems)
