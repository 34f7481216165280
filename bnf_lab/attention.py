"""Attention over packed tokens: the one place where a packed batch becomes sequences again.

Registered with transformers under a name of its own, so that any model which takes its attention from that register
can read packed batches; without `packed_rows` it is transformers' SDPA to the letter. This room must not know peft,
files or losses.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from bnf_lab.packing import Packed

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
