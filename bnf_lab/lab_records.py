"""What the lab tells its pages and the shell. Values only, standard library."""

from __future__ import annotations

from dataclasses import dataclass

from bnf_lab.records import RunStatus


@dataclass(frozen=True)
class ModelStatus:
    """Whether the embedded model can be used: "missing", "fetching", "ready" or "failed", with words and a share."""

    state: str
    detail: str
    fraction: float | None = None


@dataclass(frozen=True)
class DeviceInfo:
    """What the models run on; memory in GiB (the GPU's where there is one)."""

    label: str
    has_gpu: bool
    free_gib: float
    total_gib: float


@dataclass(frozen=True)
class ModelChoice:
    """A base model that can be chosen: its id for `RunConfig.model` and its name for people."""

    id: str
    label: str
    is_fetched: bool = True


@dataclass(frozen=True)
class DemoSet:
    """A preference set that comes with the lab."""

    name: str
    title: str
    description: str
    n_rows: int


@dataclass(frozen=True)
class Preflight:
    """What a run would be, before it starts.

    Attributes:
        n_responses: Judged responses chosen.
        n_pairs: Complete pairs among them.
        n_train_responses: Responses left for training.
        n_probe_pairs: Units held out for the plots.
        n_tokens: Prompt and response tokens of the training responses; None until the model is fetched.
        n_truncated: Training and held-out responses that are cut; None until the model is fetched.
        memory_gib: Estimated peak memory of the run; None until the model is fetched.
        free_gib: Free memory of the device now.
        seconds: Estimated duration of the whole run; None until a step was measured.
        problems: What keeps the run from starting, each with its remedy.
        warnings: What should be known before it starts.
    """

    n_responses: int = 0
    n_pairs: int = 0
    n_train_responses: int = 0
    n_probe_pairs: int = 0
    n_tokens: int | None = None
    n_truncated: int | None = None
    memory_gib: float | None = None
    free_gib: float = 0.0
    seconds: float | None = None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunSummary:
    """One line of the list of runs; the numbers are those of the first and the last scored step, None before them."""

    run_id: str
    name: str
    method: str
    model: str
    collections: tuple[str, ...]
    created_at: str
    status: RunStatus
    accuracy_before: float | None = None
    accuracy: float | None = None
    margin: float | None = None
    preferred_logp_before: float | None = None
    preferred_logp: float | None = None
    dispreferred_logp_before: float | None = None
    dispreferred_logp: float | None = None
    has_adapter: bool = False


@dataclass(frozen=True)
class AdapterChoice:
    """An adapter that chat can use: "final", "best" or "checkpoint-N" of a run, with a short hash of its weights."""

    run_id: str
    checkpoint: str
    label: str
    hash: str
    model: str
