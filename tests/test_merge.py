"""Merging: offered only with the adapter's own log-probabilities, in the smallest format that keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bnf_lab import merge
from bnf_lab.config import RunConfig
from bnf_lab.errors import RunRefused
from bnf_lab.models import load_model
from bnf_lab.preferences import Message, Source, build_pair
from bnf_lab.runs import RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    prompts = [(Message("user", f"Add {i} and 7."),) for i in range(3)]
    judgements = [j for p in prompts for j in build_pair(p, "The sum is small.", "A comet.", source=Source.DEMO)]
    return RunFolder.create(tmp_path / "run", RunConfig(max_tokens=64), judgements)


@pytest.mark.parametrize(("tolerance", "dtype"), [(10.0, "BF16"), (1e-4, "F32")])
def test_the_smallest_format_that_keeps_the_likelihoods_is_saved(
    folder: RunFolder, tiny_model_path: Path, tiny_adapter_path: Path, tmp_path: Path, tolerance: float, dtype: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(merge, "TOLERANCE", tolerance)
    target = tmp_path / "merged"
    assert merge.merge(folder, tiny_model_path, tiny_adapter_path, target) <= tolerance
    assert f'"dtype":"{dtype}"' in (target / "model.safetensors").read_bytes()[:4000].decode("latin-1")
    assert (target / "README.md").is_file()
    folders = (tiny_model_path, target)
    weights = [load_model(p, quantization="none", dtype=torch.float32).model.state_dict() for p in folders]
    moved = [name for name in weights[0] if (weights[0][name] - weights[1][name]).abs().max() > 0.05]
    assert moved
    assert all("proj" in name for name in moved)


def test_a_merged_model_that_differs_is_refused_and_removed(
    folder: RunFolder, tiny_model_path: Path, tiny_adapter_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "TOLERANCE", -1.0)
    with pytest.raises(RunRefused, match="not offered"):
        merge.merge(folder, tiny_model_path, tiny_adapter_path, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
