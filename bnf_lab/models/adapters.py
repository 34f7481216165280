"""LoRA adapters on a loaded model: which layers get one, making, loading, checking, switching and merging them.

Every adapter made here is one that `load_adapter` takes back: the loader's own checks run on it before a step is
trained. This room must not know runs, judgements or pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from torch import nn
from transformers.pytorch_utils import Conv1D

from bnf_lab.core.errors import AdapterRefused, ModelUnavailable, shown
from bnf_lab.models.adapter_files import check_adapter, find_problem
from bnf_lab.models.loading import LoadedModel

ATTENTION_WORDS = ("attn", "attention")
ROUTERS = ("gate", "router", "wg", "shared_expert_gate", "classifier")


def add_lora(
    loaded: LoadedModel,
    *,
    rank: int,
    alpha: int,
    dropout: float,
    targets: str = "all-linear",
    seed: int = 0,
    base_name: str = "",
) -> LoadedModel:
    """Wraps the base model in a fresh LoRA adapter whose output is zero; only the adapter requires a gradient.

    Args:
        loaded: The base model.
        rank: Width of the update.
        alpha: Scale of the update; the factor applied is alpha / rank.
        dropout: Share of the adapter's input dropped while training.
        targets: "all-linear", "attention" or "mlp"; see `find_targets`.
        seed: Decides the adapter's first weights.
        base_name: What the saved adapter calls its base model; by default the bare name of its folder, because an
            adapter travels and this machine's folders are nobody's.

    Raises:
        ModelUnavailable: If the model has no layer of the kind asked for, or its adapter could not be loaded again.
    """
    modules = find_targets(loaded.causal, targets)
    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=modules, bias="none", task_type="CAUSAL_LM"
    )
    try:
        wrapped = replace(loaded, model=get_peft_model(loaded.model, config))
    except (ValueError, RuntimeError, TypeError) as error:
        raise ModelUnavailable(
            f"This model's layers take no LoRA adapter ({shown(str(error), 120)}). Choose another model."
        ) from error
    settings = wrapped.model.active_peft_config
    settings.base_model_name_or_path = base_name or Path(settings.base_model_name_or_path or "").name
    problem = _find_fresh_problem(wrapped)
    if problem:
        raise ModelUnavailable(f"An adapter for this model could not be loaded again: {problem} Choose another model.")
    return wrapped


def find_targets(model: nn.Module, targets: str = "all-linear") -> list[str]:
    """Returns the names of the layers that get an adapter, as PEFT's `target_modules` takes them.

    These are the linear layers (also GPT-2's `Conv1D`) inside the blocks of the text model: no head, no router, and
    nothing of a vision or audio tower, whose adapters would never see a gradient. Short names where they mean exactly
    these layers, else whole ones.

    Raises:
        ModelUnavailable: If there is none of the kind.
    """
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    wanted = {name for name in _names_in_blocks(model) & linear.keys() if not _is_router(name, linear[name])}
    if targets != "all-linear":
        is_attention = targets == "attention"
        wanted = {name for name in wanted if any(word in name for word in ATTENTION_WORDS) is is_attention}
    if not wanted:
        kind = "linear" if targets == "all-linear" else targets
        raise ModelUnavailable(
            f"No {kind} layers were found in this model's blocks, so there is nothing to train an adapter on. "
            + ("Choose another model." if targets == "all-linear" else "Set 'LoRA layers' to all-linear.")
        )
    short = {name.rsplit(".", 1)[-1] for name in wanted}
    means_these = {name for name in linear if name.rsplit(".", 1)[-1] in short} == wanted
    return sorted(short if means_these else wanted)


def _names_in_blocks(model: nn.Module) -> set[str]:
    """Returns the names of everything inside the longest list of blocks of the text model."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    prefix = next((name for name, module in model.named_modules() if module is decoder), "")
    lists = {name: module for name, module in decoder.named_modules() if isinstance(module, nn.ModuleList)}
    outermost = {n: m for n, m in lists.items() if not any(n.startswith(f"{other}.") for other in lists)}
    if not outermost:
        return set()
    blocks = max(outermost, key=lambda name: len(outermost[name]))
    start = ".".join(part for part in (prefix, blocks) if part)
    return {f"{start}.{name}" for name, _ in outermost[blocks].named_modules() if name}


def _is_router(name: str, layer: nn.Module) -> bool:
    """A router's few outputs choose experts; one with as many outputs as a layer is a gated unit's own projection."""
    n_outputs = layer.weight.shape[0] if isinstance(layer, nn.Linear) else 0
    return name.rsplit(".", 1)[-1] in ROUTERS and n_outputs < layer.weight.shape[-1]


def _find_fresh_problem(loaded: LoadedModel) -> str | None:
    """Returns why `load_adapter` would refuse the adapter that was just made, None if it would not."""
    state = get_peft_model_state_dict(loaded.model)
    header = {name: {"shape": list(tensor.shape)} for name, tensor in state.items()}
    config = loaded.model.active_peft_config.to_dict()
    as_saved = {
        **config,
        "target_modules": sorted(config["target_modules"]),
        "peft_type": str(config["peft_type"].value),
    }
    return find_problem(as_saved, header) or _fit_problem(loaded, header)


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


def _fit_problem(loaded: LoadedModel, header: Mapping[str, Any]) -> str | None:
    """Peft loads what fits and leaves the rest at random or zero, so every tensor is matched with its layer first."""
    layers = dict(loaded.causal.named_modules())
    for name, tensor in header.items():
        layer_name, _, part = name.removeprefix("base_model.model.").partition(".lora_")
        if name == "__metadata__":
            continue
        features = _features(layers.get(layer_name))
        if part not in ("A.weight", "B.weight") or features is None:
            return f"tensor {shown(name)} belongs to no linear layer of this model."
        found, wanted = tensor["shape"], features[0] if part[0] == "A" else features[1]
        if len(found) != 2 or found[1 if part[0] == "A" else 0] != wanted:
            return f"tensor {shown(name)} has shape {shown(found)}, the layer needs {wanted} features."
    return None


def _features(layer: nn.Module | None) -> tuple[int, int] | None:
    """Returns how many features a linear layer takes and gives; None if it is none. PEFT's own layers know theirs."""
    layer = getattr(layer, "base_layer", layer)
    if isinstance(layer, Conv1D):
        return layer.weight.shape[0], layer.weight.shape[1]
    return (layer.in_features, layer.out_features) if isinstance(layer, nn.Linear) else None


def merge_adapter(loaded: LoadedModel) -> LoadedModel:
    """Folds the active adapter into the base weights; the model can no longer be split into base and aligned."""
    if not isinstance(loaded.model, PeftModel):
        return loaded
    return replace(loaded, model=loaded.model.merge_and_unload())
