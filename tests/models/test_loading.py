"""In which dtype a model computes: what this processor does fastest, unless somebody says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bnf_lab.core.errors import ConfigError
from bnf_lab.models.loading import load_model, pick_compute_dtype

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BNF_LAB_COMPUTE_DTYPE", raising=False)


def be_processor(monkeypatch: pytest.MonkeyPatch, *instructions: str, has_mkldnn: bool = True) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(instructions, True) | {"avx2": True})
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: has_mkldnn)


@pytest.mark.parametrize("instruction", ["avx512_bf16", "amx_bf16", "bf16"])
def test_bfloat16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch, instruction: str) -> None:
    be_processor(monkeypatch, instruction)
    assert pick_compute_dtype(CPU) is torch.bfloat16
    be_processor(monkeypatch, instruction, has_mkldnn=False)
    assert pick_compute_dtype(CPU) is torch.float32


def test_float32_on_other_processors_and_bfloat16_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    be_processor(monkeypatch)
    assert pick_compute_dtype(CPU) is torch.float32
    assert pick_compute_dtype(GPU) is torch.bfloat16


@pytest.mark.parametrize("instructions", [(), ("avx512_bf16",)])
@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize(("wish", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_variable_overrules_every_device(
    monkeypatch: pytest.MonkeyPatch, instructions: tuple[str, ...], device: torch.device, wish: str, dtype: torch.dtype
) -> None:
    be_processor(monkeypatch, *instructions)
    monkeypatch.setenv("BNF_LAB_COMPUTE_DTYPE", wish)
    assert pick_compute_dtype(device) is dtype


def test_a_model_is_loaded_in_that_dtype(tiny_model_path: Path, compute_dtype: str) -> None:
    loaded = load_model(tiny_model_path, quantization="none")
    expected = getattr(torch, compute_dtype)
    assert loaded.compute_dtype is expected
    assert {weight.dtype for weight in loaded.model.parameters()} == {expected}


@pytest.mark.parametrize("wish", ["float16", "bf16", "FLOAT32", " "])
def test_another_word_is_refused_with_those_that_are_accepted(monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    monkeypatch.setenv("BNF_LAB_COMPUTE_DTYPE", wish)
    with pytest.raises(ConfigError, match=f"COMPUTE_DTYPE is '{wish}'; it must be float32 or bfloat16. Correct it or"):
        pick_compute_dtype(CPU)
