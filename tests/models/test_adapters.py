"""Adapters on small models of many families: what trains loads again, merges and is plain PEFT; or is refused."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from peft import PeftModel

from bnf_lab.core.errors import LabError, ModelUnavailable
from bnf_lab.models.adapters import add_lora, find_targets, load_adapter, merge_adapter
from bnf_lab.models.loading import load_model
from tests.conftest import save_tiny_tokenizer

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
}
MOE = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "n_inner": 64}
FAMILIES = {
    "llama": SIZES,
    "mistral": SIZES,
    "qwen2": SIZES,
    "qwen3": SIZES,
    "gemma": SIZES,
    "gemma2": SIZES,
    "gemma3_text": SIZES,
    "phi": SIZES,
    "phi3": SIZES,
    "granite": SIZES,
    "cohere": SIZES,
    "olmo2": SIZES,
    "stablelm": SIZES,
    "starcoder2": SIZES,
    "smollm3": SIZES,
    "glm4": SIZES,
    "nemotron": SIZES,
    "gpt2": GPT2,
    "gpt_neox": SIZES,
    "opt": {**SIZES, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "falcon": {k: v for k, v in SIZES.items() if k != "head_dim"},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "exaone4": SIZES,
    "gpt_oss": {**SIZES, **MOE},
    "llama4_text": {**SIZES, **MOE, "intermediate_size_mlp": 64},
    "mixtral": {**SIZES, **MOE},
    "qwen2_moe": {**SIZES, **MOE, "shared_expert_intermediate_size": 16},
    "qwen3_moe": {**SIZES, **MOE},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
}


@pytest.fixture(scope="module")
def tokenizer_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    save_tiny_tokenizer(path)
    return path


def save_family(name, tokenizer_path, folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_path)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
    config = transformers.AutoConfig.for_model(name, vocab_size=len(tokenizer), **FAMILIES[name], **ids)
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def train_two_steps(loaded):
    """Two plain steps of gradient descent; every adapter matrix must have seen a gradient by then."""
    parameters = {n: p for n, p in loaded.model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.SGD(parameters.values(), lr=0.5)
    ids = torch.arange(5, 25).view(2, 10)
    seen = set()
    for _ in range(2):
        loaded.model(input_ids=ids, labels=ids).loss.backward()
        seen |= {name for name, p in parameters.items() if p.grad is not None and p.grad.abs().sum() > 0}
        optimiser.step()
        optimiser.zero_grad()
    return parameters.keys() - seen


@pytest.mark.parametrize("name", FAMILIES)
def test_what_trains_loads_again_everywhere(name, tokenizer_path, tmp_path):
    model_path = save_family(name, tokenizer_path, tmp_path / "model")
    base = load_model(model_path, quantization="none", dtype=torch.float32)
    try:
        loaded = add_lora(base, rank=4, alpha=8, dropout=0.0)
    except ModelUnavailable as refusal:
        assert "Choose another model" in str(refusal)
        return
    assert train_two_steps(loaded) == set(), "these adapter matrices never see a gradient"
    loaded.model.eval().save_pretrained(tmp_path / "adapter")
    saved = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert not saved["rank_pattern"] and not saved["target_parameters"]
    ids = torch.arange(5, 15).view(1, 10)
    with torch.no_grad():
        trained = loaded.model(input_ids=ids).logits
        again = load_adapter(
            load_model(model_path, quantization="none", dtype=torch.float32), tmp_path / "adapter", "a"
        )
        torch.testing.assert_close(again.model(input_ids=ids).logits, trained, atol=1e-5, rtol=1e-4)
        plain = transformers.AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
        by_peft = PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()
        torch.testing.assert_close(by_peft(input_ids=ids).logits, trained, atol=1e-5, rtol=1e-4)
        merged = merge_adapter(again)
        torch.testing.assert_close(merged.model(input_ids=ids).logits, trained, atol=1e-4, rtol=1e-3)


def test_routers_and_the_head_get_no_adapter(tokenizer_path, tmp_path):
    base = load_model(
        save_family("qwen2_moe", tokenizer_path, tmp_path / "m"), quantization="none", dtype=torch.float32
    )
    found = find_targets(base.model)
    assert {"q_proj", "k_proj", "v_proj", "o_proj"} <= {name.rsplit(".", 1)[-1] for name in found}
    assert not {"gate", "shared_expert_gate", "lm_head"} & {name.rsplit(".", 1)[-1] for name in found}


def test_a_vision_tower_with_the_same_names_gets_no_adapter():
    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.vision, self.text = (torch.nn.ModuleDict({"layers": self.blocks(n)}) for n in (3, 1))

        def blocks(self, n):
            shapes = {"q_proj": (4, 4), "up_proj": (4, 8)}
            made = ({name: torch.nn.Linear(*shape) for name, shape in shapes.items()} for _ in range(n))
            return torch.nn.ModuleList(map(torch.nn.ModuleDict, made))

        def get_decoder(self):
            return self.text

    assert find_targets(Both()) == ["text.layers.0.q_proj", "text.layers.0.up_proj"]


@pytest.mark.parametrize(("targets", "words"), [("attention", "attn"), ("mlp", "mlp")])
def test_attention_and_mlp_layers_can_be_chosen(tiny_loaded, targets, words):
    loaded = add_lora(tiny_loaded, rank=4, alpha=8, dropout=0.0, targets=targets)
    adapted = {name for name, _ in loaded.model.named_parameters() if "lora_A" in name}
    assert adapted
    assert all(words in name for name in adapted)


def test_a_model_without_linear_blocks_is_refused():
    with pytest.raises(LabError, match="No linear layers"):
        find_targets(torch.nn.Embedding(3, 3))
