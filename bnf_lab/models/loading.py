"""Models in memory: the only place that names bitsandbytes and `from_pretrained`.

Only safetensors are read, `trust_remote_code` is never True, and the network is never used here (`fetch.py` brings
models to the disk first). This room must not know runs, judgements or pages.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.helpers import disable_input_dtype_casting
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from bnf_lab.core.errors import ConfigError, ModelUnavailable, shown
from bnf_lab.models.chat_template import require_template
from bnf_lab.models.heads import OutputHead, backbone, find_head
from bnf_lab.models.packed_attention import packed_arguments, padded_arguments, try_layouts
from bnf_lab.models.packing import Packed

logger = logging.getLogger(__name__)

DTYPE_VARIABLE = "BNF_LAB_COMPUTE_DTYPE"
COMPUTE_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
NATIVE_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # as PyTorch names what x86 and ARM processors can do


@dataclass(frozen=True)
class LoadedModel:
    """A causal model with its tokenizer.

    Attributes:
        model: The base model, or a PEFT model around it.
        tokenizer: Has a chat template.
        device: Where the weights are.
        compute_dtype: dtype of the matrix products.
        quantization: "nf4" or "none".
        head: From hidden states to logits, so that the vocabulary projection may be applied to chosen positions alone;
            None where the model makes its logits in another way.
        packs: True if the model reads packed batches as it reads padded ones.
    """

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    compute_dtype: torch.dtype
    quantization: str
    head: OutputHead | None
    packs: bool

    @property
    def causal(self) -> PreTrainedModel:
        """The transformers model itself; adapters inside its layers stay active."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    @property
    def splits_head(self) -> bool:
        """True if features are hidden states, false if they are the logits themselves."""
        return self.head is not None


def pick_device() -> torch.device:
    """Returns the accelerator that PyTorch can use, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_compute_dtype(device: torch.device) -> torch.dtype:
    """Returns the dtype in which this device multiplies matrices fastest: bfloat16, or float32 on many processors.

    Where a processor has no bfloat16 instructions, PyTorch converts element by element: measured on an AVX2 processor,
    10 GFLOP/s in bfloat16 against 65 in float32. float32 is then both faster and more exact, for twice the memory.
    `BNF_LAB_COMPUTE_DTYPE` overrules the device: numbers of two machines can be compared only in one dtype.

    Raises:
        ConfigError: If the variable names no dtype that the lab computes in.
    """
    if wish := os.environ.get(DTYPE_VARIABLE):
        if wish not in COMPUTE_DTYPES:
            accepted = " or ".join(COMPUTE_DTYPES)
            raise ConfigError((f"{DTYPE_VARIABLE} is {shown(wish)}; it must be {accepted}. Correct it or unset it.",))
        return COMPUTE_DTYPES[wish]
    if device.type != "cpu":
        return torch.bfloat16
    has = torch.cpu.get_capabilities()
    is_native = torch.backends.mkldnn.is_available() and any(has.get(name) for name in NATIVE_BFLOAT16)
    return torch.bfloat16 if is_native else torch.float32


def load_model(path: Path, *, quantization: str = "auto", dtype: torch.dtype | None = None) -> LoadedModel:
    """Loads a base model and its tokenizer from a local folder.

    Args:
        path: Folder with safetensors, `config.json` and tokenizer files.
        quantization: "auto" (NF4 on a GPU, plain weights on a CPU), "nf4" or "none".
        dtype: dtype of plain weights and of the matrix products; None for `pick_compute_dtype`.

    Raises:
        ModelUnavailable: If the folder holds no loadable causal model, or the tokenizer has no chat template.
    """
    transformers_logging.disable_progress_bar()  # a worker's log is no terminal
    device = pick_device()
    dtype = dtype or pick_compute_dtype(device)
    kind = quantization if quantization != "auto" else ("nf4" if device.type == "cuda" else "none")
    options: dict[str, Any] = {"dtype": dtype, "trust_remote_code": False, "use_safetensors": True}
    if kind == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
        options["device_map"] = {"": device}
    try:
        model = AutoModelForCausalLM.from_pretrained(path, local_files_only=True, **options)
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        logger.warning("model in %s cannot be loaded", path, exc_info=True)
        raise ModelUnavailable(
            f"Model {shown(path.name)} cannot be loaded ({type(error).__name__}). A folder with safetensors,"
            " config.json and tokenizer files of a causal model is needed. The server's log has the details."
        ) from error
    require_template(tokenizer)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = _without_cpu_packing(model).eval() if kind == "nf4" else model.to(device).eval()
    model.requires_grad_(False)
    head, packs = try_layouts(model)
    return LoadedModel(model, tokenizer, device, dtype, kind, head, packs)


def _without_cpu_packing(model: PreTrainedModel) -> PreTrainedModel:
    """Keeps NF4 layers on a CPU in the layout that has a gradient.

    bitsandbytes 0.50 packs a layer's weights for AVX-512 at its first forward pass in eval mode, for good; the kernel
    for that layout has no backward, so a later training step silently loses the gradient through every frozen layer
    (seen: 60 of 210 adapter matrices got one). Remove when `matmul_4bit` unpacks or differentiates such weights.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def convert_gguf(folder: Path, file_name: str, target: Path) -> None:
    """Turns a GGUF file into bfloat16 safetensors with tokenizer and chat template.

    Args:
        folder: Where the GGUF file lies.
        file_name: Its name.
        target: Existing, empty folder to write to.
    """
    transformers_logging.disable_progress_bar()
    # Without `dequantize` transformers keeps the weights packed and `save_pretrained` refuses.
    config = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=file_name, quantization_config=config, dtype=torch.bfloat16, trust_remote_code=False
    )
    AutoTokenizer.from_pretrained(folder, gguf_file=file_name).save_pretrained(target)
    model.save_pretrained(target)


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """Loads a tokenizer alone from a local folder."""
    return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)


def compute_features(loaded: LoadedModel, packed: Packed) -> Tensor:
    """Runs the model up to its output head.

    Returns:
        (N, D), one row for each packed token: hidden states, or the logits themselves where the head cannot be split
        off.
    """
    arguments = packed_arguments(packed) if loaded.packs else padded_arguments(packed)
    if loaded.splits_head:
        features = backbone(loaded.causal)(**arguments).last_hidden_state
    else:
        features = loaded.causal(**arguments).logits
    return features[0] if loaded.packs else features.flatten(0, 1)[packed.places]


def output_head(loaded: LoadedModel) -> OutputHead:
    """Returns the function from features to logits."""
    if loaded.head is None:
        return OutputHead(nn.Identity())
    return replace(loaded.head, linear=loaded.causal.get_output_embeddings())  # an adapter may have wrapped it since


def can_split_head(path: Path) -> bool:
    """Returns whether the model in a folder has a head that can be split off, asked without loading its weights."""
    config = path / "config.json"
    return _can_split_head(path, config.stat().st_mtime_ns if config.exists() else 0)


@functools.lru_cache(maxsize=64)
def _can_split_head(path: Path, mark: int) -> bool:
    """`mark` changes with the model's configuration: a preflight asks at every change of a setting."""
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError, RuntimeError):
        logger.info("model in %s cannot be asked for its head", path, exc_info=True)
        return False
    return find_head(model) is not None


@contextlib.contextmanager
def compute_context(loaded: LoadedModel) -> Iterator[None]:
    """Runs matrix products in the model's compute dtype while adapters keep float32 masters."""
    if loaded.compute_dtype is torch.float32:
        yield
        return
    # Autocast does the casting; PEFT's own cast to the adapter's float32 would only add a copy of every activation.
    with torch.autocast(loaded.device.type, dtype=loaded.compute_dtype), disable_input_dtype_casting(loaded.model):
        yield


def recompute_activations(loaded: LoadedModel) -> None:
    """Keeps only each block's input while training and computes the rest again in backward."""
    loaded.causal.activation_checkpointing_enable({"use_reentrant": False})
