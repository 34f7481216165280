"""The settings of a run. Values only, standard library: no torch, no files, no pages.

Widgets, command-line flags, validation and the table in the README are generated from the
metadata of `RunConfig`'s fields, so a new setting is one new field and the code that reads it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bnf_lab.core.errors import ConfigError, shown
from bnf_lab.core.fields import FieldSpec, find_problem, setting
from bnf_lab.core.methods import METHODS

EMBEDDED_MODEL = "embedded"
BASE_REFERENCE, RUN_REFERENCE = "base", "run:"
"""What `reference` says for the run's own base model, and how it begins where an earlier run's adapter is meant."""
EMBEDDED_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
EMBEDDED_DOWNLOAD = "93 MB"
"""What fetching the embedded model brings over the network, as every page and text says it."""
MAX_STEPS = 100_000


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run, saved to `config.json` before any model is loaded."""

    method: str = setting(
        "bnf",
        "Method",
        "BNF needs neither pairs nor tuning; the others are there for contrast.",
        "essential",
        choices=tuple(METHODS),
        choice_labels={name: method.label for name, method in METHODS.items()},
    )
    model: str = setting(
        EMBEDDED_MODEL,
        "Model",
        "`embedded` (SmolLM2-135M-Instruct), a hub id such as owner/name, or a folder in the lab's models folder.",
        "essential",
        max_chars=500,
    )
    learning_rate: float = setting(
        5e-4,
        "Learning rate",
        "Size of one step. BNF stands more of it than others do; try 1e-4 to 1e-3 first.",
        "essential",
        minimum=1e-6,
        maximum=1e-1,
    )
    n_steps: int = setting(
        30,
        "Steps",
        "Optimiser steps. 30 steps of the embedded model take four to ten minutes on two CPU cores.",
        "essential",
        unit="steps",
        minimum=1,
        maximum=MAX_STEPS,
        step=1,
    )
    passes: float = setting(
        0.0,
        "Passes over the data",
        "How often each training response is read. Above 0 it decides, and the run gets as many steps as that takes;"
        " 0: as many as n_steps says.",
        "essential",
        unit="passes",
        minimum=0.0,
        maximum=1000.0,
        may_be_blank=True,
    )
    responses_per_step: int = setting(
        8,
        "Responses per step",
        "Judged responses behind one optimiser step (8 = four pairs).",
        "essential",
        unit="responses",
        minimum=1,
        maximum=1024,
        step=1,
    )
    n_probe: int = setting(
        12,
        "Held-out pairs",
        "Kept out of training and scored for the plots (at most 32).",
        "essential",
        unit="pairs",
        minimum=1,
        maximum=32,
        step=1,
    )
    beta: float = setting(
        0.1,
        "Beta",
        "How strongly the method holds the policy to the reference.",
        "advanced",
        minimum=1e-3,
        maximum=10.0,
        methods=("dpo", "ipo", "slic", "kto", "hybrid"),
    )
    simpo_beta: float = setting(
        2.0,
        "SimPO beta",
        "Scale of the gap between a pair's mean log-likelihoods.",
        "advanced",
        minimum=1e-2,
        maximum=100.0,
        methods=("simpo", "hybrid"),
    )
    simpo_gamma: float = setting(
        1.0,
        "SimPO gamma",
        "Margin that the scaled gap has to exceed; half of SimPO beta to begin with.",
        "advanced",
        minimum=0.0,
        maximum=100.0,
        methods=("simpo", "hybrid"),
    )
    orpo_lambda: float = setting(
        0.1,
        "ORPO lambda",
        "Weight of the ratio of odds beside the fine-tuning.",
        "advanced",
        minimum=0.0,
        maximum=100.0,
        methods=("orpo",),
    )
    kto_desirable: float = setting(
        1.0,
        "KTO weight of preferred",
        "Raise it where preferred responses are rare.",
        "advanced",
        minimum=0.0,
        maximum=100.0,
        methods=("kto",),
    )
    kto_undesirable: float = setting(
        1.0,
        "KTO weight of dispreferred",
        "Raise it where dispreferred responses are rare.",
        "advanced",
        minimum=0.0,
        maximum=100.0,
        methods=("kto",),
    )
    hybrid_weight: float = setting(
        0.5,
        "Contrastive weight",
        "How much the contrastive term counts beside BNF; 0 is plain BNF.",
        "advanced",
        minimum=0.0,
        maximum=10.0,
        methods=("hybrid",),
    )
    hybrid_term: str = setting(
        "dpo",
        "Contrastive term",
        "Which loss stands beside BNF.",
        "advanced",
        choices=("dpo", "simpo"),
        choice_labels={"dpo": "DPO", "simpo": "SimPO"},
        methods=("hybrid",),
    )
    micro_batch_size: int = setting(
        0,
        "Responses at once",
        "Responses in one forward pass; fewer need less memory and give the same result. 0 takes as many of"
        " mean length as hold 512 tokens on a CPU, 2048 on a GPU.",
        "advanced",
        unit="responses",
        minimum=0,
        maximum=256,
        step=1,
    )
    max_tokens: int = setting(
        512,
        "Longest sequence",
        "Prompt and response are cut to this many tokens together.",
        "advanced",
        unit="tokens",
        minimum=16,
        maximum=32_768,
        step=1,
    )
    lora_rank: int = setting(
        16, "LoRA rank", "Width of the trained low-rank update.", "advanced", minimum=1, maximum=256, step=1
    )
    lora_alpha: int = setting(
        32,
        "LoRA alpha",
        "Scale of the update; the factor applied is alpha / rank.",
        "advanced",
        minimum=1,
        maximum=1024,
        step=1,
    )
    lora_dropout: float = setting(
        0.0,
        "LoRA dropout",
        "Share of the adapter's input dropped while training.",
        "advanced",
        minimum=0.0,
        maximum=0.9,
        step=0.05,
    )
    lora_targets: str = setting(
        "all-linear",
        "LoRA layers",
        "Which layers get an adapter.",
        "advanced",
        choices=("all-linear", "attention", "mlp"),
    )
    quantization: str = setting(
        "auto",
        "Base weights",
        "auto: NF4 on a GPU, plain weights on a CPU (bfloat16, or float32 where that is faster).",
        "advanced",
        choices=("auto", "nf4", "none"),
    )
    schedule: str = setting(
        "constant",
        "Schedule",
        "How the learning rate changes over the run.",
        "advanced",
        choices=("constant", "linear", "cosine"),
    )
    warmup_steps: int = setting(
        0,
        "Warm-up",
        "Steps over which the learning rate rises from zero.",
        "advanced",
        unit="steps",
        minimum=0,
        maximum=10_000,
        step=1,
    )
    weight_decay: float = setting(
        0.0, "Weight decay", "AdamW's decay of the adapter weights.", "advanced", minimum=0.0, maximum=1.0
    )
    max_grad_norm: float = setting(
        1.0, "Gradient clipping", "Longest gradient that is applied unscaled.", "advanced", minimum=0.01, maximum=1000.0
    )
    checkpoint_steps: int = setting(
        15,
        "Checkpoint every",
        "Steps between two saved checkpoints.",
        "advanced",
        unit="steps",
        minimum=1,
        maximum=100_000,
        step=1,
    )
    answer_steps: int = setting(
        10,
        "Answer every",
        "Steps between two rounds of sample answers.",
        "advanced",
        unit="steps",
        minimum=1,
        maximum=100_000,
        step=1,
    )
    answer_prompts: str = setting(
        "",
        "Sample prompts",
        "Up to three prompts, one a line, answered during the run. Empty: taken from the held-out prompts.",
        "advanced",
        max_chars=2000,
    )
    probe_share: float = setting(
        0.0,
        "Time for plots",
        "Largest share of the run's time spent scoring the held-out responses; 0 means 0.2 on a CPU, 0.05 on a GPU.",
        "advanced",
        minimum=0.0,
        maximum=0.9,
        step=0.01,
    )
    pair_fraction: float = setting(
        1.0,
        "Share of pairs kept",
        "Of the training pairs; the others lose one side at random.",
        "experiment",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    label_noise: float = setting(
        0.0,
        "Flipped verdicts",
        "Share of the training verdicts turned round; a pair turns as a whole.",
        "experiment",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    contradictions: float = setting(
        0.0,
        "Contradictions",
        "Share of the training data that comes a second time with the opposite verdict.",
        "experiment",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    reference: str = setting(
        BASE_REFERENCE,
        "Reference",
        "What the loss compares with: base, run:FOLDER (an earlier run's or any adapter), or a model with the same"
        " tokenizer.",
        "experiment",
        max_chars=500,
    )
    reference_temperature: float = setting(
        1.0,
        "Reference temperature",
        "The reference's logits are divided by it.",
        "experiment",
        minimum=0.1,
        maximum=10.0,
    )
    seed: int = setting(
        0,
        "Seed",
        "Decides the split, the data order and the adapter's first weights.",
        "advanced",
        minimum=0,
        maximum=2**31 - 1,
        step=1,
    )

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """Builds a config from plain values, refusing anything it does not know.

        Args:
            values: Field name to value. Absent fields take their defaults; texts are not coerced
                to numbers (flags and widgets use `parse_field` first).

        Raises:
            ConfigError: With one line for every problem found, each naming what is accepted.
        """
        specs = field_specs()
        problems = [
            f"'{shown(name, 40)[1:-1]}' is not a setting. Settings are: {', '.join(specs)}."
            for name in values
            if name not in specs
        ]
        known = {name: value for name, value in values.items() if name in specs}
        for name, value in known.items():
            problem = find_problem(name, value, specs[name], type(field_default(name)))
            if problem:
                problems.append(problem)
        if problems:
            raise ConfigError(tuple(problems))
        return cls(**{name: _typed(name, value) for name, value in known.items()})


def field_specs() -> dict[str, FieldSpec]:
    """Returns every setting's metadata by field name, in the order of declaration."""
    return {f.name: f.metadata["spec"] for f in dataclasses.fields(RunConfig)}


def field_default(name: str) -> Any:
    """Returns the default of a setting; its type is the setting's type."""
    return next(f.default for f in dataclasses.fields(RunConfig) if f.name == name)


def override(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings with later ones put over them; a later number of steps also ends earlier passes.

    >>> override({"passes": 2.0, "beta": 0.1}, {"n_steps": 40})
    {'passes': 0.0, 'beta': 0.1, 'n_steps': 40}
    """
    ended = {"passes": 0.0} if "n_steps" in later and "passes" in earlier else {}
    return {**earlier, **ended, **later}


def parse_field(name: str, text: str) -> Any:
    """Converts a flag's text to the setting's type; leaves what does not parse for `from_dict` to refuse."""
    kind = type(field_default(name))
    try:
        if kind is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        if kind is int and any(c in text for c in ".eE"):
            return float(text)  # which is refused unless it is whole
        return kind(text)
    except (KeyError, ValueError):
        return text


def _typed(name: str, value: Any) -> Any:
    return type(field_default(name))(value)
