"""Attention over packed tokens, and which models allow it: the one place where a packed batch becomes sequences again.

Registered with transformers under a name of its own, so that any model which takes its attention from that register
can read packed batches; without `packed_rows` it is transformers' SDPA to the letter. Which short cuts a model allows
(its head split off, its batches packed) is found by trying them. This room must not know peft, files or losses.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from bnf_lab.models.heads import OutputHead, backbone, find_head
from bnf_lab.models.packing import Packed, pack_sequences

NAME = "packed_sdpa"
KNOWN_LAYERS = {"full_attention", "sliding_attention"}


def packed_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed_rows: Packed | None = None,
    windows: list[int | None] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Lets each of a packed batch's sequences attend to itself.

    The sequences are laid side by side, padded, for this product alone: causal attention never looks at padding behind
    a sequence, so no mask is needed and the fastest kernels apply.

    Args:
        module: The model's attention layer.
        query: (1, H, N, d); `key` and `value` (1, h, N, d).
        attention_mask: Of no meaning for packed tokens.
        packed_rows: The sequences; None for ordinary batches, whose shapes are those of transformers.
        windows: Collects the window that each layer hands over, while a model is tried.
        options: As transformers hands them on.

    Returns:
        (1, N, H, d), and None for the attention weights, as transformers expects.
    """
    if packed_rows is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    n_rows, width = packed_rows.rows.shape
    index = packed_rows.rows.flatten()

    def side_by_side(states: Tensor) -> Tensor:
        return states[0].index_select(1, index).unflatten(1, (n_rows, width)).transpose(0, 1)

    if windows is not None:
        windows.append(options.get("sliding_window"))
    mask = _window_mask(width, options.get("sliding_window"), query.device)
    states = map(side_by_side, (query, key, value))
    output, _ = sdpa_attention_forward(module, *states, mask, **options)
    return output.flatten(0, 1).index_select(0, packed_rows.places).unsqueeze(0), None


def _window_mask(width: int, window: int | None, device: torch.device) -> Tensor | None:
    """Returns (1, 1, S, S) for layers that see only the last `window` tokens; None where that is everything."""
    if window is None or width <= window:
        return None
    ones = torch.ones(width, width, dtype=torch.bool, device=device)
    return (ones.tril() & ~ones.tril(-window))[None, None]


def use_packed_attention(model: PreTrainedModel) -> bool:
    """Gives a model this attention where its own is SDPA; returns whether it has it now.

    Whether the model then reads packed batches rightly is for the caller to try: a model may mix tokens elsewhere.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ()) - KNOWN_LAYERS
    if config._attn_implementation != "sdpa" or kinds:
        return False
    AttentionInterface.register(NAME, packed_sdpa)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    return config._attn_implementation == NAME


def has_window(model: PreTrainedModel) -> bool:
    """Returns whether a model's configuration names a window or a chunk that bounds what a token sees."""
    values = model.config.get_text_config().to_dict()
    names = [name for name in values if ("window" in name or "chunk" in name) and name != "max_window_layers"]
    return any(type(values[name]) is int and values[name] > 0 for name in names)


def packed_arguments(packed: Packed) -> dict[str, Any]:
    """Returns a transformers model's arguments for a packed batch."""
    return {
        "input_ids": packed.input_ids.unsqueeze(0),
        "position_ids": packed.position_ids.unsqueeze(0),
        "packed_rows": packed,
        # transformers takes a mask of four dimensions as it is; without one it would build N x N from the positions
        "attention_mask": torch.ones(1, 1, 1, 1, dtype=torch.bool, device=packed.input_ids.device),
        "use_cache": False,
    }


def padded_arguments(packed: Packed) -> dict[str, Any]:
    """Returns a transformers model's arguments for the same sequences as padded rows."""
    return {"input_ids": packed.input_ids[packed.rows], "attention_mask": packed.row_mask, "use_cache": False}


logger = logging.getLogger(__name__)


@torch.no_grad()
def try_layouts(model: PreTrainedModel) -> tuple[OutputHead | None, bool]:
    """Tries what speed rests on against the model's own logits of two short padded sequences.

    Returns:
        The output head that gives the logits from the backbone's hidden states (None where there is none), and whether
        a packed batch gives them (models that mix tokens outside their attention fail). What fails is computed the
        ordinary way.
    """
    packed, _ = pack_sequences([[5, 6, 7, 8], [5, 6, 9]])
    packed = packed.to(model.device)
    padded = model(**padded_arguments(packed)).logits
    expected = padded.flatten(0, 1)[packed.places]
    rounding = 2e-2 if expected.dtype is torch.bfloat16 else 1e-4
    head = find_head(model)
    if head is not None:
        hidden = backbone(model)(**padded_arguments(packed)).last_hidden_state
        weight = head.linear.weight
        # Mamba keeps them in float32; while a run computes, autocast does this
        apart = head(hidden.to(weight.dtype) if weight.is_floating_point() else hidden)
        # A plain head makes the same products in the same shapes. A scale and a cap were proved in float32 by
        # `find_head`; here the model rounds after each of them where it computes in bfloat16.
        is_plain = head.scale == 1.0 and head.cap is None
        head = head if _distance(apart, padded) < (1e-6 if is_plain else rounding) else None
    packs = use_packed_attention(model) and _packs(model, packed, expected, rounding)
    if not packs and model.config.get_text_config()._attn_implementation == NAME:
        model.set_attn_implementation("sdpa")
    return head, packs


def _packs(model: PreTrainedModel, packed: Packed, expected: Tensor, rounding: float) -> bool:
    windows: list[int | None] = []
    try:
        found = model(**packed_arguments(packed), windows=windows).logits[0]
    except (TypeError, ValueError) as error:
        logger.info("this model takes no packed batches: %s", error)
        return False
    # A window shows at length only. Models that tell it to their masks alone, not to their attention, cannot pack.
    is_told = any(window is not None for window in windows) or not has_window(model)
    return is_told and _distance(found, expected) < rounding


def _distance(found: Tensor, expected: Tensor) -> float:
    """Returns how far apart two tensors are, relative to the second."""
    if found.shape != expected.shape:
        return float("inf")
    return ((found.float() - expected.float()).norm() / expected.float().norm()).item()
