"""BNF Lab: interactive alignment experiments with the Bidirectional Negative Feedback loss (arXiv 2410.04834).

The names below are the library's front door; each room's own `__init__` says which modules others may use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnf_lab.core.config import RunConfig
    from bnf_lab.data.importers import import_file
    from bnf_lab.losses import LOSSES
    from bnf_lab.losses.bnf import bnf_loss, bnf_token_weights
    from bnf_lab.training.trainer import BNFTrainer

__all__ = ["LOSSES", "BNFTrainer", "RunConfig", "bnf_loss", "bnf_token_weights", "import_file"]

_PLACES = {
    "BNFTrainer": "bnf_lab.training.trainer",
    "LOSSES": "bnf_lab.losses",
    "RunConfig": "bnf_lab.core.config",
    "bnf_loss": "bnf_lab.losses.bnf",
    "bnf_token_weights": "bnf_lab.losses.bnf",
    "import_file": "bnf_lab.data.importers",
}


def __getattr__(name: str) -> Any:
    """Loads the library's names on first use, so that `import bnf_lab` does not import torch."""
    if name not in _PLACES:
        raise AttributeError(f"module 'bnf_lab' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
