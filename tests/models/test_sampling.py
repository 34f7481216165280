"""Sampling: exact, coupled, cut to the nucleus."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bnf_lab.models.sampling import NUCLEUS_GUESS, CoupledSampler, keep_nucleus, race_times

PROBABILITIES = torch.tensor([0.5, 0.25, 0.15, 0.1])


def test_samples_follow_the_distribution():
    n = 4000
    winners = torch.stack([(PROBABILITIES / race_times(7, 0, i, 4)).argmax() for i in range(n)])
    shares = torch.bincount(winners, minlength=4) / n
    deviations = (shares - PROBABILITIES).abs() / (PROBABILITIES * (1 - PROBABILITIES) / n).sqrt()
    assert deviations.max() < 4


def test_noise_depends_on_seed_key_and_position_alone():
    reference = race_times(1, 2, 3, 50)
    assert torch.equal(reference, race_times(1, 2, 3, 50))
    for other in ((0, 2, 3), (1, 0, 3), (1, 2, 0)):
        assert not torch.equal(reference, race_times(*other, 50))
    assert race_times(-5, 0, 0, 50).isfinite().all()


def test_noise_is_never_zero():
    assert (race_times(0, 0, 0, 500_000) > 0).all()


@pytest.mark.parametrize("n_words", [10, NUCLEUS_GUESS * 4])
@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999])
def test_nucleus_is_the_smallest_set_that_holds_top_p(n_words, top_p):
    logits = torch.randn(3, n_words, generator=torch.Generator().manual_seed(0))
    probabilities = torch.softmax(logits, dim=-1)
    kept = keep_nucleus(probabilities, top_p) > 0
    for row, chosen in zip(probabilities.double().numpy(), kept, strict=True):
        order = np.argsort(-row)
        n = int(np.searchsorted(np.cumsum(row[order]), top_p) + 1)
        assert sorted(order[:n]) == chosen.nonzero().flatten().tolist()


def test_nucleus_of_one_certain_word():
    assert keep_nucleus(torch.tensor([[1.0, 0.0, 0.0]]), 0.5).tolist() == [[1.0, 0.0, 0.0]]


def test_rows_with_the_same_key_meet_the_same_noise():
    sampler = CoupledSampler([0, 0, 1], 5, temperature=1.0, top_p=1.0, seed=3)
    scores = sampler(torch.zeros(3, 9, dtype=torch.long), torch.zeros(3, 40))
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2])
    assert torch.allclose(scores[0], (1 / 40) / race_times(3, 0, 4, 40))


def test_low_temperature_takes_the_likeliest():
    logits = torch.tensor([[1.0, 2.0, 1.5]])
    sampler = CoupledSampler([0], 1, temperature=0.01, top_p=1.0, seed=0)
    assert all(sampler(torch.zeros(1, 1 + i, dtype=torch.long), logits).argmax() == 1 for i in range(50))
