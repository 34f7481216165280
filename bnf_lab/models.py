"""Models in memory: the only place that names bitsandbytes and `from_pretrained`.

Only safetensors are read, `trust_remote_code` is never True, and the network is never used here (`fetch.py` brings
models to the disk first). This room must not know runs, judgements or pages.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.helpers import disable_input_dtype_casting
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from bnf_lab.adapter_files import check_adapter
from bnf_lab.attention import packed_arguments, padded_arguments
from bnf_lab.errors import AdapterRefused, ModelUnavailable, shown
from bnf_lab.layouts import backbone, try_layouts
from bnf_lab.packing import Packed

logger = logging.getLogger(__name__)

ATTENTION_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj", "c_attn", "query_key_value", "dense")
MLP_LAYERS = ("gate_proj", "up_proj", "down_proj", "gate_up_proj", "fc1", "fc2", "c_fc", "c_proj")
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
        splits_head: True if logits are exactly `head(hidden states)`, so that the vocabulary projection may be applied
            to chosen positions alone.
        packs: True if the model reads packed batches as it reads padded ones.
    """

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    compute_dtype: torch.dtype
    quantization: str
    splits_head: bool
    packs: bool

    @property
    def causal(self) -> PreTrainedModel:
        """The transformers model itself; adapters inside its layers stay active."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model


def pick_device() -> torch.device:
    """Returns the accelerator that PyTorch can use, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_compute_dtype(device: torch.device) -> torch.dtype:
    """Returns the dtype in which this device multiplies matrices fastest: bfloat16, or float32 on many processors.

    Where a processor has no bfloat16 instructions, PyTorch converts element by element: measured on an AVX2 processor,
    10 GFLOP/s in bfloat16 against 65 in float32. float32 is then both faster and more exact, for twice the memory.
    """
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
    if tokenizer.chat_template is None:
        raise ModelUnavailable(
            f"Model {shown(path.name)} has no chat template. The lab needs an instruction-tuned model; choose another."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = _without_cpu_packing(model).eval() if kind == "nf4" else model.to(device).eval()
    model.requires_grad_(False)
    splits_head, packs = try_layouts(model)
    return LoadedModel(model, tokenizer, device, dtype, kind, splits_head, packs)


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


def output_head(loaded: LoadedModel) -> nn.Module:
    """Returns the module from features (..., D) to logits (..., V)."""
    return loaded.causal.get_output_embeddings() if loaded.splits_head else nn.Identity()


@contextlib.contextmanager
def compute_context(loaded: LoadedModel) -> Iterator[None]:
    """Runs matrix products in the model's compute dtype while adapters keep float32 masters."""
    if loaded.compute_dtype is torch.float32:
        yield
        return
    # Autocast does the casting; PEFT's own cast to the adapter's float32 would only add a copy of every activation.
    with torch.autocast(loaded.device.type, dtype=loaded.compute_dtype), disable_input_dtype_casting(loaded.model):
        yield


def add_lora(
    loaded: LoadedModel, *, rank: int, alpha: int, dropout: float, targets: str = "all-linear", seed: int = 0
) -> LoadedModel:
    """Wraps the base model in a fresh LoRA adapter whose output is zero; only the adapter requires a gradient.

    Raises:
        ModelUnavailable: If the model has no layer of the kind asked for.
    """
    modules: str | list[str] = targets
    if targets != "all-linear":
        wanted = ATTENTION_LAYERS if targets == "attention" else MLP_LAYERS
        present = {name.rsplit(".", 1)[-1] for name, _ in loaded.model.named_modules()}
        modules = sorted(present & set(wanted))
        if not modules:
            raise ModelUnavailable(f"No {targets} layers were found in this model. Set 'LoRA layers' to all-linear.")
    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=modules, bias="none", task_type="CAUSAL_LM"
    )
    return replace(loaded, model=get_peft_model(loaded.model, config))


def recompute_activations(loaded: LoadedModel) -> None:
    """Keeps only each block's input while training and computes the rest again in backward."""
    loaded.causal.activation_checkpointing_enable({"use_reentrant": False})


def load_adapter(loaded: LoadedModel, path: Path, name: str, *, trainable: bool = False) -> LoadedModel:
    """Adds a saved adapter under `name` and makes it the active one.

    Raises:
        AdapterRefused: If `check_adapter` refuses the folder or its tensors do not fit the model's layers.
    """
    problem = _fit_problem(loaded, check_adapter(path))
    if problem:
        raise AdapterRefused(f"The adapter is refused: {problem} It was made for another model.")
    if isinstance(loaded.model, PeftModel):
        loaded.model.load_adapter(path, adapter_name=name, is_trainable=trainable, torch_device=str(loaded.device))
        loaded.model.set_adapter(name, inference_mode=not trainable)
        return loaded
    wrapped = PeftModel.from_pretrained(loaded.model, path, adapter_name=name, is_trainable=trainable)
    return replace(loaded, model=wrapped)


def remove_adapter(loaded: LoadedModel) -> None:
    """Takes all adapters out of the base model, which is afterwards as it was loaded."""
    if isinstance(loaded.model, PeftModel):
        loaded.model.unload()


def use_adapter(loaded: LoadedModel, name: str) -> None:
    """Makes a loaded adapter the active one, frozen."""
    loaded.model.set_adapter(name, inference_mode=True)


def delete_adapter(loaded: LoadedModel, name: str) -> None:
    """Frees one of several loaded adapters."""
    loaded.model.delete_adapter(name)


def _fit_problem(loaded: LoadedModel, header: dict[str, Any]) -> str | None:
    """Peft loads what fits and leaves the rest at random or zero, so every tensor is matched with its layer first."""
    layers = dict(loaded.causal.named_modules())
    for name, tensor in header.items():
        layer_name, _, part = name.removeprefix("base_model.model.").partition(".lora_")
        layer = layers.get(layer_name)
        if name == "__metadata__":
            continue
        if part not in ("A.weight", "B.weight") or not hasattr(layer, "in_features"):
            return f"tensor {shown(name)} belongs to no linear layer of this model."
        found, wanted = tensor["shape"], layer.in_features if part[0] == "A" else layer.out_features
        if len(found) != 2 or found[1 if part[0] == "A" else 0] != wanted:
            return f"tensor {shown(name)} has shape {shown(found)}, the layer needs {wanted} features."
    return None


def merge_adapter(loaded: LoadedModel) -> LoadedModel:
    """Folds the active adapter into the base weights; the model can no longer be split into base and aligned."""
    if not isinstance(loaded.model, PeftModel):
        return loaded
    return replace(loaded, model=loaded.model.merge_and_unload())
