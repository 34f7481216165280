"""From a model's last hidden states to its logits: a linear layer, then a scale and a soft cap where a model has them.

Which of them a model has is asked of the model itself, never read from the names in its configuration. This room must
not know peft, files, batches or losses.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

N_ASKED = 2  # positions
FAR = 1e6  # beyond every cap


@dataclass(frozen=True)
class OutputHead:
    """The function z = s (W x + b), or z = c tanh(s (W x + b) / c) where a model soft-caps its logits.

    Attributes:
        linear: From features (..., D) to raw logits W x + b (..., V).
        scale: s. Granite divides by a constant, Cohere multiplies by one, MiniCPM divides its hidden states.
        cap: c, None where nothing caps. Gemma 2 caps at 30.
    """

    linear: nn.Module
    scale: float = 1.0
    cap: float | None = None

    def __call__(self, features: Tensor) -> Tensor:
        """Returns float32 logits (..., V)."""
        return self.finish(self.linear(features))

    def finish(self, raw: Tensor) -> Tensor:
        """Returns the float32 logits of raw ones, in float32 throughout."""
        raw = raw.float()
        if self.cap is not None:
            return torch.tanh(raw * (self.scale / self.cap)) * self.cap
        return raw if self.scale == 1.0 else raw * self.scale

    def apply_slopes_(self, gradients: Tensor, logits: Tensor) -> None:
        """Turns gradients of the logits into those of the raw logits, in place: dz / draw = s (1 - (z / c)^2).

        Args:
            gradients: (..., V) float32, changed.
            logits: (..., V) float32, of no more use afterwards.
        """
        if self.cap is not None:
            gradients.mul_(logits.div_(self.cap).square_().neg_().add_(1))
        if self.scale != 1.0:
            gradients.mul_(self.scale)

    def tempered(self, temperature: float) -> OutputHead:
        """Returns the head whose logits are these, divided by a temperature."""
        cap = None if self.cap is None else self.cap / temperature
        return replace(self, scale=self.scale / temperature, cap=cap)


def find_head(model: PreTrainedModel) -> OutputHead | None:
    """Finds what a model makes of its last hidden states; None if it is nothing that `OutputHead` can say.

    The model's own `forward` runs between two stand-ins: its backbone answers with known hidden states, its output
    layer with known raw logits of every size, in float32. So its weights play no part (a model on the "meta" device,
    without any, can be asked), and a cap far above this model's usual logits is found as well.
    """
    linear = model.get_output_embeddings()
    weight = getattr(linear, "weight", None)
    n_words, width = getattr(linear, "out_features", None), getattr(linear, "in_features", None)
    if weight is None or n_words is None or width is None:
        return None
    hidden = (torch.arange(N_ASKED * width) % 29 - 13.5).view(1, N_ASKED, width)  # exact in every dtype, never 0
    raw = _raw_logits(n_words)
    try:
        given, found = _ask(model, linear, hidden, raw)
    except Exception as error:  # a stranger's `forward`, given what it never saw: whatever it says, the answer is no
        logger.info("this model's output head is not split off: %s: %s", type(error).__name__, error)
        return None
    before = (given[0].float() / hidden).flatten() if [g.shape for g in given] == [hidden.shape] else hidden.flatten()
    has_bias = getattr(linear, "bias", None) is not None
    if not torch.allclose(before, before[0], rtol=1e-5, atol=0) or (before[0] != 1 and has_bias):
        return None  # something else than a factor stands before the output layer
    head = _fit(linear, raw, found) if found.shape == raw.shape else None
    return head and replace(head, scale=head.scale * before[0].item())


def _raw_logits(n_words: int) -> Tensor:
    """Returns (1, N, V): 1, a value beyond every cap, then both signs from 0.01 to 300 in changing places."""
    places = torch.arange(N_ASKED * n_words) * 0.6180339887 % 1  # golden section: even, and no two alike
    signs = 1 - 2.0 * (torch.arange(N_ASKED * n_words) % 2)
    raw = signs * 10 ** (4.4771213 * places - 2)
    raw[0], raw[-1] = 1.0, FAR
    return raw.view(1, N_ASKED, n_words)


def _ask(model: PreTrainedModel, linear: nn.Module, hidden: Tensor, raw: Tensor) -> tuple[list[Tensor], Tensor]:
    """Returns what the output layer was given each time it was called, and the logits made of its answer."""
    given: list[Tensor] = []

    def answer(features: Tensor) -> Tensor:
        given.append(features)
        return raw.clone()

    with contextlib.ExitStack() as stack:
        # OPT calls its backbone's decoder past the backbone
        for body in {backbone(model), model.get_decoder()} - {model}:
            stack.enter_context(forward_replaced(body, lambda *_, **__: _Outputs(hidden)))
        stack.enter_context(forward_replaced(linear, answer))
        logits = model(input_ids=torch.zeros(hidden.shape[:2], dtype=torch.long), use_cache=False).logits
    return given, logits.float()


def _fit(linear: nn.Module, raw: Tensor, found: Tensor) -> OutputHead | None:
    near, far = found[0, 0, 0].item(), found[0, -1, -1].item()
    if not (math.isfinite(near) and math.isfinite(far)):
        return None
    if math.isclose(near * FAR, far, rel_tol=1e-5):
        head = OutputHead(linear, scale=near)
    elif abs(near) < abs(far):
        scale = far * math.atanh(near / far)
        head = OutputHead(linear, scale=1.0 if math.isclose(scale, 1.0, rel_tol=1e-5) else scale, cap=far)
    else:
        return None
    return head if torch.allclose(head.finish(raw), found, rtol=1e-5, atol=1e-6) else None


class _Outputs(tuple):
    """What a backbone returns, with nothing in it but hidden states."""

    def __new__(cls, hidden: Tensor) -> _Outputs:
        made = super().__new__(cls, (hidden,))
        made.last_hidden_state = hidden
        return made

    def __getattr__(self, name: str) -> Any:
        return None


@contextlib.contextmanager
def forward_replaced(layer: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Gives a module another `forward` for a while."""
    kept = vars(layer).get("forward")
    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward
        if kept is not None:
            layer.forward = kept


def backbone(model: PreTrainedModel) -> nn.Module:
    """Returns the model without its output head."""
    # Llama 4's text model keeps it under another name than its `base_model_prefix` says (transformers 5.23)
    found = getattr(model, model.base_model_prefix, None)
    return found if isinstance(found, nn.Module) else model.model
