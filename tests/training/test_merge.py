"""Merging: offered only with the adapter's own log-probabilities, in the smallest format that keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.judgements import Message, Source, build_pair
from bnf_lab.models.adapters import load_adapter
from bnf_lab.models.loading import load_model
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.merging import describe_merge
from bnf_lab.training import merge


def make_folder(tmp_path: Path, **settings: str) -> RunFolder:
    prompts = [(Message("user", f"Add {i} and 7."),) for i in range(3)]
    judgements = [j for p in prompts for j in build_pair(p, "The sum is small.", "A comet.", source=Source.DEMO)]
    return RunFolder.create(tmp_path / "run", RunConfig(max_tokens=64, **settings), judgements)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return make_folder(tmp_path)


def base_in(dtype: torch.dtype, source: Path, path: Path) -> Path:
    """Returns a copy of a base model with its weights in another dtype."""
    loaded = load_model(source, quantization="none", dtype=torch.float32)
    loaded.model.to(dtype).save_pretrained(path)
    loaded.tokenizer.save_pretrained(path)
    return path


@pytest.mark.parametrize(
    ("base", "tolerance", "saved"),
    [
        (torch.float32, 10.0, "F32"),
        (torch.bfloat16, 10.0, "BF16"),
        (torch.float16, 10.0, "F16"),
        (torch.bfloat16, 1e-4, "F32"),
    ],
)
def test_a_merged_model_keeps_the_dtype_of_its_base_unless_that_loses_too_much(
    folder: RunFolder,
    tiny_model_path: Path,
    tiny_adapter_path: Path,
    tmp_path: Path,
    base: torch.dtype,
    tolerance: float,
    saved: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(merge, "TOLERANCE", tolerance)
    model, target = base_in(base, tiny_model_path, tmp_path / "base"), tmp_path / "merged"
    record = merge.merge(folder, model, tiny_adapter_path, target)
    assert record.difference <= tolerance
    assert f'"dtype":"{saved}"' in (target / "model.safetensors").read_bytes()[:4000].decode("latin-1")
    is_kept = merge.DTYPES[saved] is base
    assert record.lost is None if is_kept else record.lost > tolerance
    card = (target / "README.md").read_text()
    assert all(line in card for line in describe_merge(record))
    assert (f"Weights: {record.dtype}, as the base model's are." in card) is is_kept
    assert (f"they would differ from the adapter by {record.lost or 0:.3f}" in card) is not is_kept
    folders = (model, target)
    weights = [load_model(p, quantization="none", dtype=torch.float32).model.state_dict() for p in folders]
    moved = [name for name in weights[0] if (weights[0][name] - weights[1][name]).abs().max() > 0.05]
    assert moved
    assert all("proj" in name for name in moved)


@pytest.mark.parametrize(("quantization", "dtype"), [("none", "float32"), ("none", "bfloat16"), ("nf4", "bfloat16")])
def test_a_merged_model_is_compared_with_what_was_seen_as_well(
    tiny_model_path: Path,
    tiny_adapter_path: Path,
    tmp_path: Path,
    quantization: str,
    dtype: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BNF_LAB_COMPUTE_DTYPE", dtype)
    folder = make_folder(tmp_path, quantization=quantization)
    target = tmp_path / "merged"
    record = merge.merge(folder, tiny_model_path, tiny_adapter_path, target)
    assert (record.seen_quantization, record.seen_dtype) == (quantization, dtype)
    responses = merge._checked_responses(folder, folder.read_config(), tiny_model_path)
    seen = load_adapter(load_model(tiny_model_path, quantization=quantization), tiny_adapter_path, "a")
    merged = load_model(target, quantization="none", dtype=torch.float32)
    pairs = zip(merge.mean_logps(seen, responses), merge.mean_logps(merged, responses), strict=True)
    assert record.seen_difference == pytest.approx(max(abs(a - b) for a, b in pairs), abs=1e-4)
    assert record.difference < 1e-3
    is_exact = dtype == "float32"
    assert (record.seen_difference < 1e-3) is is_exact
    assert record.is_what_was_seen or quantization == "nf4"
    card = (target / "README.md").read_text()
    assert f"{record.seen_difference:.3f} from the adapter as it was trained" in card
    assert ("not quite those that were seen" in card) is not record.is_what_was_seen
    if quantization == "nf4":
        assert "rounded to four bits" in card


def test_a_merged_model_that_differs_is_refused_and_removed(
    folder: RunFolder, tiny_model_path: Path, tiny_adapter_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "TOLERANCE", -1.0)
    with pytest.raises(RunRefused, match="not offered"):
        merge.merge(folder, tiny_model_path, tiny_adapter_path, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
