"""The adapters of runs, as a run folder has them and as chat can choose them. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AdapterChoice:
    """An adapter that chat can use: "final", "best" or "checkpoint-N" of a run, with a short hash of its weights."""

    run_id: str
    checkpoint: str
    label: str
    hash: str
    model: str


@dataclass(frozen=True)
class Adapter:
    """An adapter as its run folder has it: name, words for it, hash of its weights, id of its base model."""

    checkpoint: str
    words: str
    hash: str
    model: str
