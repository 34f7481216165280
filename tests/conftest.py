"""What every test shares: a tiny Llama with a tokenizer of its own, both made here, so that no test needs a network."""

from __future__ import annotations

import os

# Before torch, transformers and gradio are imported: they read these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bnf_lab.models.loading import LoadedModel

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SENTENCES = (
    "What is the capital of France? The capital of France is Paris.",
    "A comet is a ball of ice and dust that travels around the sun.",
    "Add 12 and 7. The sum is 19, because 12 + 7 = 19.",
    "Please write one short, good sentence about the sea, the sky and the wind.",
    "Dolphins are clever animals; they live in groups and talk to each other.",
    "Größe, naïve, café, 日本, Привет, 🙂",
)
VOCAB_SIZE = 420


def save_tiny_tokenizer(path: Path) -> None:
    """Trains a byte-level BPE tokenizer with a chat template; it can spell every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", bos_token="<|im_start|>"
    )
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(path)


@pytest.hookimpl(tryfirst=True)  # before pytest picks by `-m`
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "slow" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def slow() -> None:
    """Asked for by fixtures that start a server, a browser or a whole training: their tests are marked slow by it."""


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a two-layer Llama with random weights (safetensors, float32), its tokenizer and chat template."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)  # the matrices are tiny and the machine is shared
    path = tmp_path_factory.mktemp("models") / "tiny"
    path.mkdir()
    save_tiny_tokenizer(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture(params=["float32", "bfloat16"])
def compute_dtype(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each dtype in turn, in which every model computes then, here and in workers, whatever this processor would pick.

    For tests that compare numbers of models which are loaded without a dtype: what holds on one processor has to hold
    on another one.
    """
    monkeypatch.setenv("BNF_LAB_COMPUTE_DTYPE", request.param)
    return str(request.param)


@pytest.fixture
def tiny_loaded(tiny_model_path: Path) -> LoadedModel:
    """The tiny model in float32, fresh for each test, so that a test may wrap or train it."""
    import torch

    from bnf_lab.models.loading import load_model

    return load_model(tiny_model_path, quantization="none", dtype=torch.float32)


def save_tiny_adapter(model_path: Path, path: Path, *, seed: int, scale: float) -> Path:
    """Saves a LoRA adapter of rank 4 over all linear layers; `scale` 0 gives one that changes nothing."""
    import torch

    from bnf_lab.models.adapters import add_lora
    from bnf_lab.models.loading import load_model

    loaded = add_lora(
        load_model(model_path, quantization="none", dtype=torch.float32), rank=4, alpha=8, dropout=0.0, seed=seed
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in loaded.model.named_parameters():
            if "lora_B" in name:
                weight.copy_(scale * torch.randn(weight.shape, generator=generator))
    loaded.model.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def tiny_adapter_path(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a LoRA adapter for the tiny model that visibly changes its distribution."""
    return save_tiny_adapter(tiny_model_path, tmp_path_factory.mktemp("adapters") / "tiny", seed=1, scale=0.3)


@pytest.fixture(scope="session")
def zero_adapter_path(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a LoRA adapter whose B matrices are zero: the aligned model equals the base model."""
    return save_tiny_adapter(tiny_model_path, tmp_path_factory.mktemp("adapters") / "zero", seed=2, scale=0.0)


@pytest.fixture(scope="session")
def embedded_model_path(slow: None) -> Path:
    """The embedded model's folder, fetched once a machine (`BNF_LAB_TEST_CACHE`, else ~/.cache/bnf-lab-tests)."""
    from bnf_lab.core.config import EMBEDDED_MODEL
    from bnf_lab.models.fetch import fetch_model

    cache = os.environ.get("BNF_LAB_TEST_CACHE") or Path.home() / ".cache" / "bnf-lab-tests"
    return fetch_model(EMBEDDED_MODEL, Path(cache).expanduser().resolve() / "models")


@pytest.fixture(scope="session")
def embedded_home(embedded_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh data folder in which the embedded model is ready."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    (home / "models" / embedded_model_path.name).symlink_to(embedded_model_path)
    return home
