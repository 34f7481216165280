"""Which short cuts a model allows, found by trying them: its head split off, its batches packed.

This room must not know peft, files or losses.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bnf_lab.attention import NAME, has_window, packed_arguments, padded_arguments, use_packed_attention
from bnf_lab.packing import Packed, pack_sequences

logger = logging.getLogger(__name__)


@torch.no_grad()
def try_layouts(model: PreTrainedModel) -> tuple[bool, bool]:
    """Tries what speed rests on against the model's own logits of two short padded sequences.

    Returns:
        Whether the output head applied to the backbone's hidden states gives the logits (models that scale or soft-cap
        them fail), and whether a packed batch gives them (models that mix tokens outside their attention fail). What
        fails is computed the ordinary way.
    """
    packed, _ = pack_sequences([[5, 6, 7, 8], [5, 6, 9]])
    packed = packed.to(model.device)
    padded = model(**padded_arguments(packed)).logits
    expected = padded.flatten(0, 1)[packed.places]
    head = model.get_output_embeddings()
    apart = None if head is None else head(backbone(model)(**padded_arguments(packed)).last_hidden_state)
    # the same products in the same shapes: even a soft cap that hardly shows here is a difference
    splits_head = apart is not None and _distance(apart, padded) < 1e-6
    rounding = 2e-2 if expected.dtype is torch.bfloat16 else 1e-4
    packs = use_packed_attention(model) and _packs(model, packed, expected, rounding)
    if not packs and model.config.get_text_config()._attn_implementation == NAME:
        model.set_attn_implementation("sdpa")
    return splits_head, packs


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


def backbone(model: PreTrainedModel) -> nn.Module:
    """Returns the model without its output head."""
    return getattr(model, model.base_model_prefix)
