"""Linear layers in a decode: the base rows are the base model, adapted rows are PEFT's, few rows are any rows."""

from __future__ import annotations

import contextlib
import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import OPTConfig, OPTForCausalLM

from bnf_lab.core.errors import AdapterRefused
from bnf_lab.core.judgements import Message
from bnf_lab.models.adapters import load_adapter
from bnf_lab.models.decode import encode_prompt
from bnf_lab.models.decode_layers import MAX_FEW_ROWS, decode_layers
from bnf_lab.models.loading import load_model
from tests.conftest import save_tiny_adapter

QUESTION = (Message("user", "What is the capital of France?"),)


def logits(loaded, adapters, ids):
    with torch.no_grad(), decode_layers(loaded.causal, adapters, loaded.compute_dtype):
        return loaded.causal(input_ids=ids).logits


def prompts(loaded, n_rows, *, n_tokens=None):
    return torch.tensor([encode_prompt(loaded, QUESTION)[:n_tokens]] * n_rows)


@pytest.mark.parametrize("n_tokens", [1, 2, None], ids=["a step", "a few rows", "a prompt"])
def test_base_rows_are_the_model_without_adapters(tiny_loaded, tiny_adapter_path, n_tokens):
    ids = prompts(tiny_loaded, 2, n_tokens=n_tokens)
    plain = logits(tiny_loaded, [None, None], ids)
    loaded = load_adapter(tiny_loaded, tiny_adapter_path, "a")
    mixed = logits(loaded, [None, "a"], ids)
    assert torch.equal(mixed[0], plain[0])
    assert (mixed[1] - plain[1]).abs().max() > 0.1
    assert torch.equal(logits(loaded, ["a", None], ids)[1], plain[1])


@torch.no_grad()
def test_base_rows_of_a_prompt_are_the_untouched_models(tiny_loaded, tiny_adapter_path):
    """Against the model's own forward, which knows nothing of this room."""
    ids = prompts(tiny_loaded, 2)
    plain = tiny_loaded.model(input_ids=ids).logits
    mixed = logits(load_adapter(tiny_loaded, tiny_adapter_path, "a"), [None, "a"], ids)
    assert torch.equal(mixed[0], plain[0])


@torch.no_grad()
def test_rows_stay_apart_in_a_model_that_flattens_them(tmp_path):
    """OPT's feed-forward layers get (rows * tokens, in)."""
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        ffn_dim=48,
        num_attention_heads=4,
        word_embed_proj_dim=32,
        max_position_embeddings=64,
        init_std=0.2,
    )
    base = OPTForCausalLM(config).eval()
    ids = torch.randint(5, 60, (1, 20)).expand(2, -1)
    plain = base(input_ids=ids).logits
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.normal_(std=0.3)
    adapted = model(input_ids=ids).logits
    with decode_layers(model.get_base_model(), [None, "default"], torch.float32):
        mixed = model.get_base_model()(input_ids=ids).logits
    assert torch.allclose(mixed[0], plain[0], atol=1e-4)
    assert torch.allclose(mixed[1], adapted[1], atol=1e-4)
    assert (plain - adapted).abs().max() > 0.1


@torch.no_grad()
def test_every_row_is_what_peft_computes(tiny_loaded, tiny_model_path, tiny_adapter_path, tmp_path):
    """Rows of two adapters and the base, in no order, some neighbours."""
    loaded = load_adapter(tiny_loaded, tiny_adapter_path, "a")
    loaded = load_adapter(loaded, save_tiny_adapter(tiny_model_path, tmp_path / "b", seed=7, scale=0.3), "b")
    names = ["b", "a", "a", None, "b", None]
    for n_tokens in (1, 2, None):
        ids = prompts(loaded, len(names), n_tokens=n_tokens)
        expected = loaded.model(input_ids=ids, adapter_names=[name or "__base__" for name in names]).logits
        assert torch.allclose(logits(loaded, names, ids), expected, atol=1e-4, rtol=1e-4)
    assert (expected[0] - expected[1]).abs().max() > 0.1


def test_bfloat16_rows_are_near_the_float32_rows(tiny_model_path, tiny_adapter_path):
    rows = {}
    for dtype in (torch.float32, torch.bfloat16):
        loaded = load_model(tiny_model_path, quantization="none", dtype=dtype)
        loaded = load_adapter(loaded, tiny_adapter_path, "a")
        rows[dtype] = logits(loaded, [None, "a"], prompts(loaded, 2)).float().log_softmax(-1)
    assert (rows[torch.bfloat16] - rows[torch.float32]).abs().mean() < 0.1


@pytest.mark.parametrize("n_rows", [1, 2, 3, MAX_FEW_ROWS, MAX_FEW_ROWS + 1])
@pytest.mark.parametrize("has_bias", [False, True])
def test_few_rows_give_the_linear_layer(n_rows, has_bias):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(37, 53, bias=has_bias))
    x = torch.randn(n_rows, 1, 37)
    with torch.no_grad():
        expected = model(x)
        with decode_layers(model, [None] * n_rows, torch.float32):
            found = model(x)
    assert found.shape == expected.shape
    assert found.is_contiguous()
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_layer_someone_else_has_changed_keeps_its_forward():
    model = nn.Sequential(nn.Linear(3, 3))
    model[0].forward = lambda x: x + 1
    with decode_layers(model, [None, None], torch.float32):
        assert model(torch.zeros(2, 3)).tolist() == [[1.0] * 3] * 2
    assert model(torch.zeros(2, 3)).tolist() == [[1.0] * 3] * 2


def test_layers_are_as_before_afterwards(tiny_loaded, tiny_adapter_path):
    loaded = load_adapter(tiny_loaded, tiny_adapter_path, "a")
    with contextlib.suppress(RuntimeError), decode_layers(loaded.causal, [None, "a"], torch.float32):
        raise RuntimeError
    assert not any("forward" in vars(layer) for layer in loaded.causal.modules())


def test_unknown_adapter(tiny_loaded, tiny_adapter_path):
    with pytest.raises(ValueError, match="'b'"):
        logits(tiny_loaded, ["b"], prompts(tiny_loaded, 1))
    loaded = load_adapter(tiny_loaded, tiny_adapter_path, "a")
    with pytest.raises(ValueError, match="'b'"):
        logits(loaded, ["a", "b"], prompts(loaded, 2))


def test_a_variant_of_lora_is_refused(tiny_loaded, tiny_adapter_path, tmp_path):
    place = shutil.copytree(tiny_adapter_path, tmp_path / "adapter")
    settings = json.loads((place / "adapter_config.json").read_text()) | {"alora_invocation_tokens": [5, 6]}
    (place / "adapter_config.json").write_text(json.dumps(settings))
    loaded = load_adapter(tiny_loaded, place, "a")
    with pytest.raises(AdapterRefused, match="variant"):
        logits(loaded, ["a"], prompts(loaded, 1))
