"""Output heads: what a model does to its logits is found by asking it, and is its own numbers, gradients included."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel

from bnf_lab.models import loading, packed_attention
from bnf_lab.models.encoding import EncodedResponse
from bnf_lab.models.heads import find_head
from bnf_lab.models.loading import LoadedModel, can_split_head, load_model
from bnf_lab.models.packing import build_batch
from bnf_lab.models.scoring import compute_stats, score_batch
from tests.models.test_packing import RESPONSES, stir

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = {**SIZES, "num_key_value_heads": 2, "initializer_range": 0.3, "head_dim": 8}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "initializer_range": 0.3}
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
# family -> settings of a tiny model, and its scale and cap
HEADS: dict[str, tuple[dict[str, object], float, float | None]] = {
    "llama": (LLAMA, 1.0, None),
    "gemma2": ({**LLAMA, "final_logit_softcapping": 3.0}, 1.0, 3.0),
    "gemma3_text": ({**LLAMA, "final_logit_softcapping": 5.0}, 1.0, 5.0),
    "granite": ({**LLAMA, "logits_scaling": 8.0}, 1 / 8, None),
    "hyperclovax": ({**LLAMA, "logits_scaling": 0.3}, 0.3, None),
    "cohere": ({**LLAMA, "logit_scale": 0.0625}, 0.0625, None),
    "cohere2": ({**LLAMA, "logit_scale": 0.25}, 0.25, None),
    "minicpm3": (
        {
            **SIZES,
            "initializer_range": 0.3,
            "dim_model_base": 8,
            "q_lora_rank": 8,
            "kv_lora_rank": 8,
            "qk_nope_head_dim": 8,
            "qk_rope_head_dim": 4,
            "v_head_dim": 8,
        },
        0.25,  # of its hidden states
        None,
    ),
    "phi": ({**SIZES, "initializer_range": 0.3}, 1.0, None),  # a bias
    "gptj": ({**GPT, "rotary_dim": 4}, 1.0, None),  # a bias
    "opt": (  # calls its decoder past its backbone
        {k: v for k, v in SIZES.items() if k != "intermediate_size"}
        | {"ffn_dim": 48, "word_embed_proj_dim": 32, "init_std": 0.3},
        1.0,
        None,
    ),
}


def load(name: str, tokenizer_path: Path, path: Path, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """Makes a random model, with a random bias where its head has one, and loads it as the lab loads any other."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_path)
    config = AutoConfig.for_model(name, vocab_size=len(tokenizer), **HEADS[name][0], **IDS)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config)
    if model.get_output_embeddings().bias is not None:
        nn.init.normal_(model.get_output_embeddings().bias)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return load_model(path, quantization="none", dtype=dtype)


def own_logps(loaded: LoadedModel, response: EncodedResponse) -> torch.Tensor:
    """The response's log-probabilities by the model's own logits, one sequence alone, with its graph."""
    ids = torch.tensor([response.prompt_ids + response.response_ids])
    with loading.compute_context(loaded):
        logits = loaded.causal(input_ids=ids).logits[0]
    logps = torch.log_softmax(logits.float(), dim=-1)[len(response.prompt_ids) - 1 : -1]
    return logps.gather(1, torch.tensor(response.response_ids).unsqueeze(1)).squeeze(1)


def gradients(loaded: LoadedModel, logps: torch.Tensor) -> dict[str, torch.Tensor]:
    loaded.model.zero_grad()
    (logps * torch.linspace(-1, 1, len(logps))).sum().backward()
    return {n: p.grad.clone() for n, p in loaded.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", HEADS)
def test_values_and_gradients_are_those_of_the_models_own_logits(
    name: str, tiny_model_path: Path, tmp_path: Path
) -> None:
    base = load(name, tiny_model_path, tmp_path)
    _, scale, cap = HEADS[name]
    assert base.head is not None, "the head was not split off"
    assert (base.head.scale, base.head.cap) == (pytest.approx(scale), cap)
    loaded = stir(base)
    found = score_batch(loaded, build_batch(RESPONSES)).logps
    expected = torch.cat([own_logps(loaded, response) for response in RESPONSES])
    assert torch.allclose(found, expected, atol=1e-4)
    ours, theirs = gradients(loaded, found), gradients(loaded, expected)
    assert ours.keys() == theirs.keys()
    assert ours
    for key, gradient in ours.items():
        assert torch.allclose(gradient, theirs[key], atol=1e-4, rtol=1e-3), key


@pytest.mark.parametrize("name", ["gemma2", "granite", "cohere", "phi"])
def test_in_bfloat16_the_head_is_split_off_as_well(name: str, tiny_model_path: Path, tmp_path: Path) -> None:
    loaded = load(name, tiny_model_path, tmp_path, torch.bfloat16)
    assert loaded.splits_head
    exact = load_model(tmp_path, quantization="none", dtype=torch.float32)
    found, expected = (compute_stats(model, RESPONSES) for model in (loaded, exact))
    for response in RESPONSES:
        difference = found[response.judgement_id].logps - expected[response.judgement_id].logps
        assert difference.abs().mean() < 0.2  # of the backbone's own rounding; the logits go up to 60


def test_temperatures_divide_what_the_model_says(tiny_model_path: Path, tmp_path: Path) -> None:
    loaded = load("gemma2", tiny_model_path, tmp_path)
    ids = torch.tensor([RESPONSES[0].prompt_ids + RESPONSES[0].response_ids])
    with torch.no_grad():
        logits = loaded.model(input_ids=ids).logits[0, len(RESPONSES[0].prompt_ids) - 1 : -1] / 2.5
        found = score_batch(loaded, build_batch(RESPONSES[:1]), temperature=2.5).logps
    expected = torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(RESPONSES[0].response_ids).unsqueeze(1))
    assert torch.allclose(found, expected.squeeze(1), atol=1e-5)


def changed(model: PreTrainedModel, change) -> PreTrainedModel:
    """Returns a model whose logits pass through `change`."""
    honest = model.forward

    def forward(*args, **kwargs):
        outputs = honest(*args, **kwargs)
        outputs.logits = change(outputs.logits)
        return outputs

    model.forward = forward
    return model


def mask_a_word(logits: torch.Tensor) -> torch.Tensor:
    logits = logits.clone()
    logits[..., 7] = -1e9
    return logits


CHANGES = {
    "a cap of another kind": lambda z: 10 * z / (10 + z.abs()),
    "a cap that hardly shows": lambda z: torch.where(z.abs() > 200, z.sign() * 200, z),
    "a word masked": mask_a_word,
    "words cut off": lambda z: z[..., :-3],
    "a row's own scale": lambda z: z / (1 + z.std(dim=-1, keepdim=True)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_function_that_is_not_known_keeps_whole_logits(name: str, tiny_loaded: LoadedModel) -> None:
    assert find_head(tiny_loaded.model) is not None
    assert find_head(changed(tiny_loaded.model, CHANGES[name])) is None


def test_a_head_must_also_give_the_logits_of_a_real_input(tiny_loaded: LoadedModel) -> None:
    model = tiny_loaded.model
    assert packed_attention.try_layouts(model)[0] is not None
    honest = model.forward

    def forward(*args, **kwargs):
        outputs = honest(*args, **kwargs)
        if kwargs.get("attention_mask") is not None:  # which the question to the model leaves out
            outputs.logits = outputs.logits + torch.linspace(0, 1, outputs.logits.shape[-1])
        return outputs

    model.forward = forward
    assert find_head(model) is not None
    assert packed_attention.try_layouts(model)[0] is None


@pytest.mark.parametrize("name", ["llama", "gemma2", "cohere", "modernbert-decoder"])
def test_a_model_on_the_disk_is_asked_without_its_weights(name: str, tiny_model_path: Path, tmp_path: Path) -> None:
    sizes = HEADS.get(name, (SIZES,))[0]
    config: PreTrainedConfig = AutoConfig.for_model(name, vocab_size=420, **copy.deepcopy(sizes), **IDS)
    config.save_pretrained(tmp_path)
    assert can_split_head(tmp_path) is (name != "modernbert-decoder")
