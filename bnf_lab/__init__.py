"""BNF Lab: interactive alignment experiments with the Bidirectional Negative Feedback loss (arXiv 2410.04834)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnf_lab.losses import bnf_loss, bnf_token_weights
    from bnf_lab.trainer import BNFTrainer

__all__ = ["BNFTrainer", "bnf_loss", "bnf_token_weights"]

_ROOMS = {"BNFTrainer": "bnf_lab.trainer", "bnf_loss": "bnf_lab.losses", "bnf_token_weights": "bnf_lab.losses"}


def __getattr__(name: str) -> Any:
    """Loads the library's names on first use, so that `import bnf_lab` does not import torch."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'bnf_lab' has no attribute {name!r}")
    return getattr(importlib.import_module(_ROOMS[name]), name)
