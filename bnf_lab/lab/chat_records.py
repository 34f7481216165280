"""What a chat asks for and what it shows. Values only, standard library: read by pages and the lab without torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from bnf_lab.core.judgements import Message


@dataclass(frozen=True)
class ChatRequest:
    """One turn of a chat with the base and the aligned model.

    Attributes:
        base_history: The base pane's conversation: a system prompt if any, turns, at last the user's message.
        aligned_history: The aligned pane's own conversation, with the same last message.
        model: Id of the base model.
        run_id: The run whose adapter answers in the aligned pane; None for the base pane alone.
        checkpoint: Which of the run's adapters: "final", "best" or "checkpoint-N".
        temperature: 0 takes the most likely token; 1 samples from the model as it is.
        top_p: Samples among the fewest tokens that hold this share of the probability, in (0, 1].
        max_new_tokens: Longest answer, in tokens.
        seed: Both panes use the same random numbers.
    """

    base_history: tuple[Message, ...]
    aligned_history: tuple[Message, ...]
    model: str
    run_id: str | None = None
    checkpoint: str = "final"
    temperature: float = 0.7
    top_p: float = 0.95
    max_new_tokens: int = 256
    seed: int = 0


@dataclass(frozen=True)
class AnswerScore:
    """Mean log-likelihood of one answer, nats/token, its end-of-turn token included where it has one.

    Attributes:
        logp_base: Under the base model; None for an answer of no tokens.
        logp_aligned: Under the aligned model; None where there is none.
    """

    logp_base: float | None = None
    logp_aligned: float | None = None


@dataclass(frozen=True)
class PaneUpdate:
    """One pane's answer so far.

    Attributes:
        text: The answer so far.
        n_tokens: Its tokens so far.
        tokens_per_second: Tokens over the seconds since the decode began (reading the conversation included).
        finish: "end" (the model ended its turn), "length", "stopped", or None while the answer goes on.
        score: Its likelihood under both models, once both answers are complete.
    """

    text: str = ""
    n_tokens: int = 0
    tokens_per_second: float = 0.0
    finish: str | None = None
    score: AnswerScore = field(default_factory=AnswerScore)

    @property
    def logp_base(self) -> float | None:
        return self.score.logp_base

    @property
    def logp_aligned(self) -> float | None:
        return self.score.logp_aligned


@dataclass(frozen=True)
class ChatUpdate:
    """Both panes after a step; the last one has `is_done` and the scores. Without an adapter `aligned` stays empty."""

    base: PaneUpdate
    aligned: PaneUpdate
    is_done: bool = False
