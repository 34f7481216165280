"""The data and models that benchmarks train on, and how many floating-point operations a step of them needs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bnf_lab.core.config import EMBEDDED_MODEL
from bnf_lab.core.judgements import Judgement, group_units
from bnf_lab.data.demo_sets import find_demo_set
from bnf_lab.data.importers import import_file
from bnf_lab.models.encoding import EncodedResponse, Encoder
from bnf_lab.models.fetch import fetch_model
from bnf_lab.models.loading import load_tokenizer
from tests.benchmarks.children import ROOT, Channel

REAL_PAIRS = ROOT.parent / "shared" / "data" / "gsm8k_pairs.jsonl"
RANDOM_MODELS = {  # the shapes of Qwen2.5-0.5B and -1.5B
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14},
    "1.5b": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12},
}
REPEATS = 3
ROUGH_TOKENS = 64


def cache_folder() -> Path:
    """Returns where tests and benchmarks keep models, once a machine."""
    cache = os.environ.get("BNF_LAB_TEST_CACHE") or Path.home() / ".cache" / "bnf-lab-tests"
    return Path(cache).expanduser().resolve() / "models"


def find_model(name: str) -> Path:
    """Returns the folder of `embedded`, of `random:0.5b` / `random:1.5b` (made on first use), or the folder named."""
    if name.startswith("random:"):
        return _random_model(name.removeprefix("random:"))
    return fetch_model(EMBEDDED_MODEL, cache_folder()) if name == EMBEDDED_MODEL else Path(name).resolve()


def _random_model(size: str) -> Path:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    path = cache_folder() / f"random-{size}"
    if (path / "config.json").exists():
        return path
    tokenizer = load_tokenizer(fetch_model(EMBEDDED_MODEL, cache_folder()))
    torch.manual_seed(0)
    config = Qwen2Config(
        **RANDOM_MODELS[size],
        vocab_size=151_936,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    tokenizer.save_pretrained(path)
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(path)
    return path


def read_pairs(data: Path | None, model: Path, max_tokens: int) -> list[tuple[Judgement, ...]]:
    """Returns the pairs that no contender has to cut, in the file's order.

    Args:
        data: JSON lines of pairs; None for the real ones beside the project, else its arithmetic demo set.
        model: Folder of the model whose tokenizer counts.
        max_tokens: Longest sequence; some room is left because templates end a turn with one or two tokens.
    """
    encoder = Encoder(load_tokenizer(model), max_tokens=10 * max_tokens)
    judgements = import_file(data or default_pairs()).judgements
    units = [unit for unit in group_units(judgements) if len(unit) == 2]
    return [unit for unit in units if max(encoder.encode(j).n_tokens for j in unit) <= max_tokens - 4]


def default_pairs() -> Path:
    return REAL_PAIRS if REAL_PAIRS.exists() else find_demo_set("careful_arithmetic")


def write_judgements(units: Sequence[tuple[Judgement, ...]], path: Path) -> None:
    path.write_text("".join(json.dumps(j.to_dict()) + "\n" for unit in units for j in unit), encoding="utf-8")


@dataclass(frozen=True)
class Shapes:
    """A model's matrices.

    Attributes:
        body: (in, out) of every linear layer of the decoder.
        head: (in, out) of the projection to the vocabulary.
        n_layers: Decoder layers.
        attention_width: Query heads times head size.
    """

    body: tuple[tuple[int, int], ...]
    head: tuple[int, int]
    n_layers: int
    attention_width: int


def read_shapes(model: Path) -> Shapes:
    """Reads the shapes from a model's config; its weights are not loaded."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(model, local_files_only=True)
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config)
    head = empty.get_output_embeddings()
    linear = [m for m in empty.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Shapes(
        tuple((m.in_features, m.out_features) for m in linear),
        (head.in_features, head.out_features),
        config.num_hidden_layers,
        config.num_attention_heads * size,
    )


@dataclass(frozen=True)
class Need:
    """What one step needs.

    Attributes:
        tokens: Tokens of all sequences, each response with its own prompt; padding is none.
        distinct_tokens: The same with a pair's prompt counted once.
        response_tokens: Tokens that the loss sees.
        flop: Products with matrices of weights, forward and backward, for the distinct tokens.
        flop_unshared: The same with each response's own prompt.
        attention_flop: Products of queries, keys and values for the distinct tokens, lower triangle only.
    """

    tokens: int
    distinct_tokens: int
    response_tokens: int
    flop: float
    flop_unshared: float
    attention_flop: float


def count_need(units: Sequence[Sequence[EncodedResponse]], shapes: Shapes, rank: int) -> Need:
    """Counts tokens and floating-point operations of a step over these pairs.

    A multiplication with its addition is 2. A frozen weight and token take 2 forward and 2 for the gradient of the
    input; an adapter's matrices take 2 more for their own gradient. The head counts at response tokens only.
    Elementwise work, softmax and anything computed twice is not needed and so not counted.
    """
    prompts = [len(unit[0].prompt_ids) for unit in units]
    responses = [[len(r.response_ids) for r in unit] for unit in units]
    n_response = sum(map(sum, responses))
    n_distinct = sum(prompts) + n_response
    n_all = sum(p * len(r) for p, r in zip(prompts, responses, strict=True)) + n_response
    a_token = sum(4 * i * o + 6 * rank * (i + o) for i, o in shapes.body)
    at_head = 4 * shapes.head[0] * shapes.head[1] * n_response
    seen = sum(
        p * (p + 1) / 2 + sum(r * p + r * (r + 1) / 2 for r in rs) for p, rs in zip(prompts, responses, strict=True)
    )
    return Need(
        n_all,
        n_distinct,
        n_response,
        n_distinct * a_token + at_head,
        n_all * a_token + at_head,
        12.0 * shapes.n_layers * shapes.attention_width * seen,
    )


def measure_rates(channel: Channel, *, model: str, n_tokens: int, n_response: int) -> None:
    """Child process: answers {"dtype": ...} with the rate of matrix products at the model's own shapes.

    An order with "rough" is answered from fewer tokens and one try: a processor without instructions for a dtype can
    take minutes for the whole.
    """
    shapes = read_shapes(Path(model))
    counts: dict[tuple[int, int, int], int] = {}
    for i, o in shapes.body:
        counts[n_tokens, i, o] = counts.get((n_tokens, i, o), 0) + 1
    counts[n_response, *shapes.head] = 1
    channel.send(ready=True)
    while order := channel.receive():
        is_rough = order.get("rough", False) and not torch.cuda.is_available()
        channel.send(flop_a_second=_rate(counts, getattr(torch, order["dtype"]), is_rough=is_rough))


def _rate(counts: dict[tuple[int, int, int], int], dtype: torch.dtype, *, is_rough: bool) -> float:
    """Returns FLOP a second over all layers, forward and backward, each shape timed as its best of three."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    flop = seconds = 0.0
    for (n_whole, i, o), count in counts.items():
        n = min(n_whole, ROUGH_TOKENS) if is_rough else n_whole
        x, dy = (torch.randn(n, size, dtype=dtype, device=device) for size in (i, o))
        weight = torch.randn(o, i, dtype=dtype, device=device)
        best = min(_time_products(x, dy, weight) for _ in range(1 if is_rough else REPEATS))
        flop += 4.0 * n_whole * i * o * count
        seconds += best * count * n_whole / n
    return flop / seconds


def _time_products(x: Any, dy: Any, weight: Any) -> float:
    is_gpu = x.device.type == "cuda"
    times = 10 if is_gpu else 1
    if is_gpu:
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        x @ weight.T
        dy @ weight
    if is_gpu:
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / times
