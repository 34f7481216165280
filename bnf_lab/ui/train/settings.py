"""Whole sets of settings: presets, and a run's settings as the file that the command line reads. Knows no page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bnf_lab.core.config import RUN_REFERENCE, RunConfig, field_default, field_specs
from bnf_lab.lab.drafts import Drafts
from bnf_lab.lab.train_drafts import load_draft, save_draft
from bnf_lab.ui.train import words


@dataclass(frozen=True)
class Preset:
    """Settings for one purpose; `changes` are those that are not at their defaults."""

    label: str
    changes: Mapping[str, Any] = field(default_factory=dict)


PRESETS: dict[str, Preset] = {
    "quick": Preset(
        words.QUICK,
        {"n_steps": 10, "responses_per_step": 4, "n_probe": 6, "checkpoint_steps": 5, "answer_steps": 5},
    ),
    "default": Preset(words.DEFAULT),
    "careful": Preset(
        words.CAREFUL,
        {
            "learning_rate": 2e-4,
            "n_steps": 90,
            "n_probe": 32,
            "schedule": "cosine",
            "warmup_steps": 5,
        },
    ),
}


def apply_preset(name: str, config: RunConfig) -> RunConfig:
    """Returns a preset's settings; method and model stay as they are, all else comes from the preset."""
    return replace(RunConfig(method=config.method, model=config.model), **PRESETS[name].changes)


def choose_preset(name: str, drafts: Drafts, owner: str) -> None:
    """Keeps a preset's settings as those of the owner's next run."""
    draft = load_draft(drafts, owner)
    save_draft(drafts, owner, replace(draft, config=apply_preset(name, draft.config)))


def write_yaml(config: RunConfig) -> str:
    """Returns the settings as `train --config` reads them: the essential ones and what is not at its default.

    >>> "n_steps: 7" in write_yaml(RunConfig(n_steps=7)).splitlines()
    True
    """
    lines = [words.YAML_HEAD]
    if config.reference.startswith(RUN_REFERENCE):
        lines.append(words.YAML_REFERENCE)
    for name, spec in field_specs().items():
        value = getattr(config, name)
        if spec.group == "essential" or value != field_default(name):
            lines.append(f"{name}: {json.dumps(value)}")
    return "\n".join(lines) + "\n"
