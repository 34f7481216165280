"""What a run writes down: its state, its metrics, its tokens and its answers. Values only, standard library.

Units: log-likelihoods and shifts in nats/token, logits without unit, times in seconds. This room must not know files.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

LARGEST_FALL = 1.0
"""Nats/token by which preferred responses may become less likely than under the base before the lab speaks up."""


class RunState(StrEnum):
    """Where a run is in its life; the only truth about it."""

    QUEUED = "queued"
    PREPARING = "preparing"
    TRAINING = "training"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"

    @property
    def is_live(self) -> bool:
        """True while a worker process owns the run."""
        return self in (RunState.PREPARING, RunState.TRAINING, RunState.STOPPING)

    @property
    def is_over(self) -> bool:
        return self in (RunState.STOPPED, RunState.FINISHED, RunState.FAILED)


@dataclass(frozen=True)
class RunStatus:
    """The content of `status.json`.

    Attributes:
        state: See `RunState`.
        phase: Plain words for what happens now: "fetching the model", "loading", "reference pass", "training".
        step: Optimiser steps done.
        total_steps: Optimiser steps planned.
        phase_done: Items of the present phase done, where the phase counts any.
        phase_total: Items of the present phase, 0 where it counts none.
        step_seconds: Median duration of a step, seconds; None before the first.
        seconds_left: Estimated time to the end, seconds; None while unknown.
        heartbeat: Unix time of the last sign of life, seconds.
        created_at: Unix time at which the run was made.
        started_at: Unix time at which the worker (last) began.
        ended_at: Unix time at which the run reached a final state.
        failure: Why the run failed, in words for the person.
        notice: What the guard found (the run stopped by itself), in words for the person.
        owner: The workspace the run belongs to; empty for a run from the shell.
        queued_at: Unix time at which the run (last) joined the queue.
        is_diverged: Whether training stopped because a loss or gradient was no longer finite.
    """

    state: RunState
    phase: str = ""
    step: int = 0
    total_steps: int = 0
    phase_done: int = 0
    phase_total: int = 0
    step_seconds: float | None = None
    seconds_left: float | None = None
    heartbeat: float = 0.0
    created_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    failure: str | None = None
    notice: str | None = None
    owner: str = ""
    queued_at: float = 0.0
    is_diverged: bool = False


@dataclass(frozen=True)
class WorkerProcess:
    """The content of `process.json`: the one process that may write the run folder.

    It is a file of its own so that the queue, which starts a worker, and the worker, which reports its status, never
    write the same file at the same time.

    Attributes:
        pid: Process id.
        started: The process's start time (Linux: clock ticks since boot; elsewhere Unix time, seconds), so that a
            re-used pid is never taken for the worker.
    """

    pid: int
    started: str


@dataclass(frozen=True)
class MetricPoint:
    """One recorded moment of a run. A new curve is a new field; None means not measured at this point.

    `source` is "probe" (fixed held-out responses) or "train" (the step's own batch); the two are never mixed
    in one line. Log-likelihoods are means over response tokens, then over responses (nats/token); shifts are policy
    minus reference on the same tokens; natural logarithms throughout.
    """

    step: int
    seconds: float
    source: Literal["probe", "train"]
    # probe: likelihood
    preferred_logp: float | None = None
    preferred_logp_p10: float | None = None
    preferred_logp_p90: float | None = None
    preferred_logp_reference: float | None = None
    preferred_logp_sum: float | None = None
    dispreferred_logp: float | None = None
    dispreferred_logp_p10: float | None = None
    dispreferred_logp_p90: float | None = None
    dispreferred_logp_reference: float | None = None
    dispreferred_logp_sum: float | None = None
    # probe: logits, absolute and as shifts against the reference
    preferred_target_logit: float | None = None
    preferred_target_logit_shift: float | None = None
    preferred_logsumexp: float | None = None
    preferred_logsumexp_shift: float | None = None
    preferred_other_logits_shift: float | None = None
    dispreferred_target_logit: float | None = None
    dispreferred_target_logit_shift: float | None = None
    dispreferred_logsumexp: float | None = None
    dispreferred_logsumexp_shift: float | None = None
    dispreferred_other_logits_shift: float | None = None
    # probe: distributions
    preferred_entropy: float | None = None
    dispreferred_entropy: float | None = None
    preferred_gate: float | None = None
    dispreferred_gate: float | None = None
    kl: float | None = None
    # probe: held-out pairs
    accuracy: float | None = None
    accuracy_shift: float | None = None
    margin: float | None = None
    margin_shift: float | None = None
    # the training batch
    loss: float | None = None
    grad_norm: float | None = None
    learning_rate: float | None = None
    train_preferred_logp: float | None = None
    train_dispreferred_logp: float | None = None
    train_preferred_gate: float | None = None
    train_dispreferred_gate: float | None = None

    @property
    def key(self) -> tuple[str, int]:
        """A replayed step overwrites the earlier point of the same key."""
        return self.source, self.step


@dataclass(frozen=True)
class ProbeResponse:
    """One held-out response as the token inspector shows it: texts and reference values by token."""

    judgement_id: str
    verdict: Literal["preferred", "dispreferred"]
    prompt: str
    tokens: tuple[str, ...]
    reference_logps: tuple[float, ...]
    reference_logits: tuple[float, ...]


@dataclass(frozen=True)
class TokenHeader:
    """First line of `tokens.jsonl`; `is_held_out` is False where too few prompts left none to hold out."""

    responses: tuple[ProbeResponse, ...]
    is_held_out: bool = True
    kind: Literal["header"] = "header"


@dataclass(frozen=True)
class TokenSnapshot:
    """Per-token values of every probe response at one recorded step, in the header's order.

    Attributes:
        logps: log p of each response token, nats.
        logits: Logit of each response token.
        weights: BNF's weight w of each response token, in [0, 1].
    """

    step: int
    logps: tuple[tuple[float, ...], ...]
    logits: tuple[tuple[float, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    kind: Literal["snapshot"] = "snapshot"


@dataclass(frozen=True)
class AnswerPoint:
    """The policy's greedy answer to one fixed prompt at one step; step 0 is the base model's."""

    step: int
    prompt: str
    answer: str
    n_tokens: int
    is_empty: bool = False
    is_repeating: bool = False


def can_stop(state: RunState) -> bool:
    return state in (RunState.QUEUED, RunState.PREPARING, RunState.TRAINING)


def can_resume(state: RunState) -> bool:
    return state in (RunState.STOPPED, RunState.FAILED)


def can_delete(state: RunState) -> bool:
    return not state.is_live
