"""Step 0 without a forward pass is what the probe itself would have said."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch

from bnf_lab.models.adapters import add_lora
from bnf_lab.models.encoding import Encoder
from bnf_lab.models.score_cache import ScoreCache
from bnf_lab.models.scoring import group_responses
from bnf_lab.training.probe import Probe, build_baseline, build_snapshot, summarise
from tests.training.test_trainer import make_pairs


def test_the_baseline_is_what_a_probe_of_a_fresh_adapter_says(tiny_model_path, tiny_loaded, tmp_path) -> None:
    loaded = add_lora(tiny_loaded, rank=4, alpha=8, dropout=0.0)
    encoder = Encoder(loaded.tokenizer, max_tokens=128)
    responses = [encoder.encode(judgement) for judgement in make_pairs(3)]
    cache = ScoreCache(tmp_path, tiny_model_path, loaded, max_tokens=128)
    stats = cache.reference_stats(loaded, group_responses(responses, size=2))
    baseline = build_baseline(responses, stats, loaded.tokenizer, is_held_out=False)
    scores = Probe(loaded, responses, size=2).score()
    assert [r.judgement_id for r in baseline.header.responses] == [r.judgement_id for r in responses]
    assert not baseline.header.is_held_out
    for shown, score in zip(baseline.header.responses, scores, strict=True):
        assert "".join(shown.tokens) == loaded.tokenizer.decode(score.response.response_ids)
        assert shown.reference_logps == pytest.approx(score.reference.logps.tolist(), abs=1e-4)
        assert shown.reference_logits == pytest.approx(score.reference.target_logits.tolist(), abs=1e-4)
    ours, probed = (asdict(summarise(s, step=0, seconds=0.0)) for s in (baseline.scores, scores))
    assert {k for k, v in ours.items() if v is None} == {k for k, v in probed.items() if v is None}
    assert all(ours[k] == pytest.approx(v, abs=1e-5) for k, v in probed.items() if isinstance(v, float))
    ours, probed = (build_snapshot(s, 0) for s in (baseline.scores, scores))
    for name in ("logps", "logits", "weights"):
        for row, expected in zip(getattr(ours, name), getattr(probed, name), strict=True):
            assert torch.allclose(torch.tensor(row), torch.tensor(expected), atol=2e-4)
