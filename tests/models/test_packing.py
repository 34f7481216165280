"""Packed batches: every token once, and the numbers of the padded rows they stand for, model by model."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen2MoeConfig,
    Qwen3Config,
)

from bnf_lab.models.adapters import add_lora
from bnf_lab.models.encoding import EncodedResponse
from bnf_lab.models.loading import LoadedModel, load_model, recompute_activations
from bnf_lab.models.packing import build_batch
from bnf_lab.models.scoring import score_batch

SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = {**SIZES, "intermediate_size": 48, "num_key_value_heads": 2, "initializer_range": 0.2, "head_dim": 8}
MODELS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**LLAMA),
    "untied": LlamaConfig(**LLAMA, tie_word_embeddings=False),
    "qwen3": Qwen3Config(**LLAMA),
    "gpt2": GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.2),
    "mistral, window of 4": MistralConfig(**LLAMA, sliding_window=4),
}
NOT_PACKED: dict[str, PreTrainedConfig] = {
    "gemma2, soft caps": Gemma2Config(**LLAMA, sliding_window=8),
    "qwen2 moe, a window in its masks alone": Qwen2MoeConfig(
        **{k: v for k, v in LLAMA.items() if k != "head_dim"},
        moe_intermediate_size=16,
        num_experts=2,
        shared_expert_intermediate_size=16,
        num_experts_per_tok=1,
        use_sliding_window=True,
        sliding_window=6,
        max_window_layers=0,
    ),
    "mamba, a running state": MambaConfig(vocab_size=60, hidden_size=32, num_hidden_layers=2, state_size=4),
}


def respond(prompt: list[int], response: list[int], *, is_preferred: bool = True) -> EncodedResponse:
    name = f"{prompt}{response}"
    return EncodedResponse(name, tuple(prompt), tuple(response), is_preferred, 1.0, (), is_cut=False)


RESPONSES = [
    respond([5, 6, 7, 8, 9], [10, 11, 12, 2]),
    respond([5, 6, 7, 8, 9], [10, 11, 13, 14, 15, 2], is_preferred=False),  # begins as the one before
    respond([5, 6, 20], [21, 2]),
    respond([30], [31, 32, 33, 34, 35, 36, 37, 38, 2]),
    respond([5, 6, 20], [2]),
]


def load(config: PreTrainedConfig, tokenizer_path: Path, path: Path) -> LoadedModel:
    """Makes a random model from its configuration and loads it as the lab loads any other."""
    from transformers import AutoTokenizer

    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(copy.deepcopy(config)).save_pretrained(path)
    AutoTokenizer.from_pretrained(tokenizer_path).save_pretrained(path)
    return load_model(path, quantization="none", dtype=torch.float32)


def score(loaded: LoadedModel) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Returns the log-probabilities, and the adapter's gradients of a weighted sum of them."""
    batch = build_batch(RESPONSES)
    loaded.model.zero_grad()
    logps = score_batch(loaded, batch).logps
    (logps * torch.linspace(-1, 1, len(logps))).sum().backward()
    gradients = {n: p.grad.clone() for n, p in loaded.model.named_parameters() if p.grad is not None}
    return logps.detach(), gradients


def stir(loaded: LoadedModel) -> LoadedModel:
    """Adds an adapter that changes something, so that every adapter matrix has a gradient."""
    tuned = add_lora(loaded, rank=4, alpha=8, dropout=0.0)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, weight in tuned.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.2)
    return tuned


def test_every_beginning_is_packed_once() -> None:
    batch = build_batch(RESPONSES)
    packed = batch.packed
    #        5 6 7 8 9 10 11 12 | 13 14 15 | 20 21 | 30 31 .. 38; no response's last token
    assert packed.input_ids.tolist() == [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 20, 21, *range(30, 39)]
    assert packed.position_ids.tolist() == [*range(8), 7, 8, 9, 2, 3, *range(9)]
    for row, mask, response in zip(packed.rows, packed.row_mask, RESPONSES, strict=True):
        ids = response.prompt_ids + response.response_ids[:-1]
        assert tuple(packed.input_ids[row[mask]].tolist()) == ids
        assert packed.position_ids[row[mask]].tolist() == [*range(len(ids))]
    assert torch.equal(packed.rows.flatten()[packed.places], torch.arange(len(packed.input_ids)))


def test_predictors_stand_before_their_targets() -> None:
    batch = build_batch(RESPONSES)
    assert batch.lengths == [4, 6, 2, 9, 1]
    assert batch.targets.split(batch.lengths)[1].tolist() == [10, 11, 13, 14, 15, 2]
    assert batch.packed.input_ids[batch.predictors].split(batch.lengths)[1].tolist() == [9, 10, 11, 13, 14, 15]
    assert batch.response_mask.sum(dim=1).tolist() == batch.lengths


@pytest.mark.parametrize("name", MODELS)
def test_packed_numbers_equal_those_of_padded_rows(name: str, tiny_model_path: Path, tmp_path: Path) -> None:
    loaded = load(MODELS[name], tiny_model_path, tmp_path)
    assert loaded.packs
    assert loaded.splits_head
    tuned = stir(loaded)
    logps, gradients = score(tuned)
    padded_logps, padded_gradients = score(replace(tuned, packs=False))
    assert torch.allclose(logps, padded_logps, atol=1e-5)
    assert gradients.keys() == padded_gradients.keys()
    assert any("lora_A" in n for n in gradients)
    for key, gradient in gradients.items():
        assert torch.allclose(gradient, padded_gradients[key], atol=1e-4), key


@pytest.mark.parametrize("name", NOT_PACKED)
def test_models_that_cannot_pack_are_found_out_and_padded(name: str, tiny_model_path: Path, tmp_path: Path) -> None:
    loaded = load(NOT_PACKED[name], tiny_model_path, tmp_path)
    assert not loaded.packs
    assert loaded.model.config._attn_implementation in ("sdpa", "eager")
    expected = []
    with torch.no_grad():
        for response in RESPONSES:
            ids = torch.tensor([response.prompt_ids + response.response_ids])
            logps = torch.log_softmax(loaded.model(input_ids=ids).logits[0].float(), dim=-1)
            predicted = logps[len(response.prompt_ids) - 1 : -1]
            expected.append(predicted.gather(1, torch.tensor(response.response_ids).unsqueeze(1)).squeeze(1))
        found = score_batch(loaded, build_batch(RESPONSES)).logps
    assert torch.allclose(found, torch.cat(expected), atol=1e-4)


def test_a_response_does_not_depend_on_its_batch_mates(tiny_loaded: LoadedModel) -> None:
    with torch.no_grad():
        together = score_batch(tiny_loaded, build_batch(RESPONSES)).logps.split([4, 6, 2, 9, 1])
        for response, logps in zip(RESPONSES, together, strict=True):
            alone = score_batch(tiny_loaded, build_batch([response])).logps
            assert torch.allclose(alone, logps, atol=1e-5)


def test_checkpointed_activations_change_no_gradient(tiny_loaded: LoadedModel) -> None:
    tuned = stir(tiny_loaded)
    tuned.model.train()
    logps, gradients = score(tuned)
    recompute_activations(tuned)
    again, again_gradients = score(tuned)
    assert torch.equal(logps, again)
    assert all(torch.allclose(g, again_gradients[n], atol=1e-6) for n, g in gradients.items())
