"""Token statistics and the probe against a slow, plain computation."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair
from bnf_lab.models.adapters import add_lora
from bnf_lab.models.encoding import Encoder
from bnf_lab.models.loading import LoadedModel, load_model
from bnf_lab.models.packing import build_batch
from bnf_lab.models.scoring import (
    as_reference,
    compute_group_features,
    compute_stats,
    group_responses,
    in_eval,
    score_batch,
)
from bnf_lab.training.probe import BaseScores, Probe, build_baseline, build_snapshot, summarise


def make_judgements() -> list[Judgement]:
    pairs = [
        build_pair((Message("user", text),), "Paris is the capital.", "I do not know, sorry, no.", source=Source.DEMO)
        for text in ("What is the capital of France?", "Tell me about the sea.")
    ]
    return [*pairs[0], *pairs[1], Judgement((Message("user", "Add 12 and 7."),), "19", Verdict.PREFERRED)]


@pytest.fixture
def tuned(tiny_loaded: LoadedModel) -> LoadedModel:
    """A model whose adapter visibly changes its distribution."""
    loaded = add_lora(tiny_loaded, rank=4, alpha=8, dropout=0.0)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in loaded.model.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
    return loaded


def plain_logits(loaded: LoadedModel, response) -> torch.Tensor:
    """(n, V) logits that predict each response token, by the whole model on the response alone."""
    ids = torch.tensor([response.prompt_ids + response.response_ids])
    with torch.no_grad():
        logits = loaded.causal(input_ids=ids).logits[0]
    start = len(response.prompt_ids) - 1
    return logits[start : start + len(response.response_ids)].float()


def test_statistics_equal_a_plain_computation(tuned: LoadedModel) -> None:
    encoder = Encoder(tuned.tokenizer, max_tokens=64)
    responses = [encoder.encode(j) for j in make_judgements()]
    batch = build_batch(responses)
    with in_eval(tuned):
        stats = score_batch(tuned, batch).spread(batch.response_mask)
    for row, response in enumerate(responses):
        logits, n = plain_logits(tuned, response), len(response.response_ids)
        logps = torch.log_softmax(logits, dim=-1)
        targets = torch.tensor(response.response_ids)
        picked = torch.arange(n), targets
        others = torch.stack([torch.cat([z[:t], z[t + 1 :]]).mean() for z, t in zip(logits, targets, strict=True)])
        expected = {
            "logps": logps[picked],
            "target_logits": logits[picked],
            "logsumexps": logits.logsumexp(-1),
            "entropies": -(logps.exp() * logps).sum(-1),
            "other_logits": others,
        }
        for name, values in expected.items():
            assert torch.allclose(getattr(stats, name)[row, :n], values, atol=1e-4), name
            assert getattr(stats, name)[row, n:].abs().sum() == 0


def test_turning_the_adapter_off_gives_the_base_and_back(tuned: LoadedModel, tiny_model_path: Path) -> None:
    base = load_model(tiny_model_path, quantization="none", dtype=torch.float32)
    encoder = Encoder(tuned.tokenizer, max_tokens=64)
    responses = [encoder.encode(j) for j in make_judgements()]
    with as_reference(tuned):
        reference = compute_stats(tuned, responses)
    expected, adapted = compute_stats(base, responses), compute_stats(tuned, responses)
    for key, values in expected.items():
        assert torch.equal(reference[key].logps, values.logps)
        assert not torch.allclose(adapted[key].logps, values.logps, atol=1e-3)


def test_probe_reports_every_quantity_as_defined(tuned: LoadedModel, tiny_model_path: Path) -> None:
    encoder = Encoder(tuned.tokenizer, max_tokens=64)
    responses = [encoder.encode(j) for j in make_judgements()]
    probe = Probe(tuned, responses, size=2)
    scores = probe.score()
    point = summarise(scores, step=7, seconds=1.5)
    base = load_model(tiny_model_path, quantization="none", dtype=torch.float32)
    policy = [torch.log_softmax(plain_logits(tuned, r), -1) for r in responses]
    reference = [torch.log_softmax(plain_logits(base, r), -1) for r in responses]
    picked = [(torch.arange(len(r.response_ids)), torch.tensor(r.response_ids)) for r in responses]
    means = [lp[i].mean().item() for lp, i in zip(policy, picked, strict=True)]
    before = [lp[i].mean().item() for lp, i in zip(reference, picked, strict=True)]
    preferred, dispreferred = [0, 2, 4], [1, 3]
    assert point.preferred_logp == pytest.approx(sum(means[i] for i in preferred) / 3, abs=1e-4)
    assert point.dispreferred_logp == pytest.approx(sum(means[i] for i in dispreferred) / 2, abs=1e-4)
    assert point.preferred_logp_reference == pytest.approx(sum(before[i] for i in preferred) / 3, abs=1e-4)
    kl = [(p.exp() * (p - q)).sum(-1).mean().item() for p, q in zip(policy, reference, strict=True)]
    assert point.kl == pytest.approx(sum(kl) / 5, abs=1e-4)
    margins = [means[0] - means[1], means[2] - means[3]]
    assert point.margin == pytest.approx(sum(margins) / 2, abs=1e-4)
    assert point.accuracy == pytest.approx(sum(m > 0 for m in margins) / 2)
    shifts = [(means[i] - before[i]) - (means[i + 1] - before[i + 1]) for i in (0, 2)]
    assert point.margin_shift == pytest.approx(sum(shifts) / 2, abs=1e-4)
    assert point.preferred_target_logit_shift - point.preferred_logsumexp_shift == pytest.approx(
        point.preferred_logp - point.preferred_logp_reference, abs=1e-4
    )
    assert point.preferred_logp_p10 <= point.preferred_logp <= point.preferred_logp_p90
    missing = {k for k, v in asdict(point).items() if v is None}
    assert missing == {k for k in missing if k.startswith("train_") or k in ("loss", "grad_norm", "learning_rate")}


def test_an_untouched_adapter_leaves_policy_and_reference_equal(tiny_loaded: LoadedModel) -> None:
    loaded = add_lora(tiny_loaded, rank=4, alpha=8, dropout=0.0)
    encoder = Encoder(loaded.tokenizer, max_tokens=64)
    point = summarise(Probe(loaded, [encoder.encode(j) for j in make_judgements()]).score(), step=0, seconds=0.0)
    assert point.kl == pytest.approx(0, abs=1e-6)
    assert point.preferred_logp == point.preferred_logp_reference
    assert point.preferred_gate == 1.0
    assert point.accuracy_shift == 0.0


def test_header_and_snapshot_belong_together(tuned: LoadedModel) -> None:
    encoder = Encoder(tuned.tokenizer, max_tokens=64)
    responses = [encoder.encode(j) for j in make_judgements()]
    scores = Probe(tuned, responses, size=2).score()
    stats = {s.response.judgement_id: s.reference for s in scores}
    header = build_baseline(responses, stats, tuned.tokenizer, is_held_out=False).header
    snapshot = build_snapshot(scores, 3)
    assert not header.is_held_out
    assert "".join(header.responses[0].tokens) == "Paris is the capital.<|im_end|>"
    assert [r.verdict for r in header.responses] == [
        "preferred",
        "dispreferred",
        "preferred",
        "dispreferred",
        "preferred",
    ]
    for response, logps, weights, score in zip(header.responses, snapshot.logps, snapshot.weights, scores, strict=True):
        assert len(response.tokens) == len(response.reference_logps) == len(logps) == len(weights)
        assert logps == pytest.approx(score.policy.logps.tolist(), abs=1e-4)
        assert response.reference_logps == pytest.approx(score.reference.logps.tolist(), abs=1e-4)


def test_a_probe_that_knows_the_base_says_the_same_without_scoring_it(tuned: LoadedModel, tmp_path: Path) -> None:
    encoder = Encoder(tuned.tokenizer, max_tokens=64)
    responses = [encoder.encode(j) for j in make_judgements()]
    with as_reference(tuned):
        features = {
            r.judgement_id: row
            for group, rows in compute_group_features(tuned, group_responses(responses))
            for r, row in zip(group, rows, strict=True)
        }
        known = BaseScores(compute_stats(tuned, responses), features)
    plain, informed = Probe(tuned, responses).score(), Probe(tuned, responses, known=known).score()
    for ours, theirs in zip(informed, plain, strict=True):
        assert torch.allclose(ours.kl, theirs.kl, atol=1e-6)
        assert torch.equal(ours.policy.logps, theirs.policy.logps)
        assert torch.allclose(ours.reference.logps, theirs.reference.logps, atol=1e-6)
        assert ours.kl.abs().max() > 0.01


def test_the_gate_is_taken_against_the_losss_own_reference(tuned: LoadedModel) -> None:
    encoder = Encoder(tuned.tokenizer, max_tokens=64)
    responses = [encoder.encode(j) for j in make_judgements()]
    certain = {r.judgement_id: torch.full((len(r.response_ids),), -1e-4) for r in responses}
    plain, other = Probe(tuned, responses).score(), Probe(tuned, responses, loss_references=certain).score()
    for ours, theirs in zip(other, plain, strict=True):
        assert torch.equal(ours.policy.logps, theirs.policy.logps)
        assert torch.equal(ours.reference.logps, theirs.reference.logps)  # curves and KL stay against the base
        assert (ours.weights < theirs.weights).all()
