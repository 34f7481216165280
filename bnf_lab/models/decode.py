"""One batched, coupled, streamed, stoppable decode: several conversations, each under the base model or an adapter.

Sampling is exact and coupled: rows with the same noise key meet the same random numbers at the same position, so two
answers differ only where their models differ. This room must not know runs, judgements' verdicts or pages.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from bnf_lab.core.errors import LabError, shown
from bnf_lab.core.judgements import Message
from bnf_lab.core.numbers import counted
from bnf_lab.models.decode_layers import decode_layers
from bnf_lab.models.encoding import Encoder
from bnf_lab.models.loading import LoadedModel
from bnf_lab.models.sampling import CoupledSampler

MAX_HELD_TOKENS = 16
_END = object()


@dataclass(frozen=True)
class DecodeRow:
    """One conversation to be answered.

    Attributes:
        messages: The conversation; it ends with the user's turn.
        adapter: Name of a loaded adapter, None for the base model.
        noise_key: Rows with equal keys share their random numbers.
    """

    messages: tuple[Message, ...]
    adapter: str | None = None
    noise_key: int = 0


@dataclass(frozen=True)
class RowUpdate:
    """One row after a step.

    Attributes:
        text: The answer so far, without control tokens and without half a character at its end.
        n_tokens: Tokens so far, a generated end-of-turn token included.
        finish: "end" (the model ended its turn), "length", "stopped", or None while the row goes on.
        token_ids: The answer's tokens once the row is finished, empty before.
    """

    text: str
    n_tokens: int
    finish: str | None = None
    token_ids: tuple[int, ...] = ()


def decode(
    loaded: LoadedModel,
    rows: Sequence[DecodeRow],
    *,
    temperature: float,
    top_p: float,
    max_new_tokens: int,
    seed: int,
    stop: threading.Event | None = None,
) -> Generator[tuple[RowUpdate, ...], None, None]:
    """Answers several conversations together, token by token.

    The model computes in a thread of its own. Closing the generator stops that thread within a step and waits for it;
    an error in it is raised here.

    Args:
        loaded: The model; rows may name its adapters.
        rows: At least one.
        temperature: Divides the logits; 0 takes the most likely token.
        top_p: Samples among the fewest tokens that hold this share of the probability, in (0, 1].
        max_new_tokens: Longest answer, in tokens.
        seed: Decides the random numbers, together with a row's noise key and the position in its answer.
        stop: Ends the decode after the present step when set.

    Returns:
        Yields the rows' states after every step.

    Raises:
        LabError: If a setting is out of range, the template refuses a conversation, or the context is too short.
    """
    _check_settings(temperature, top_p, max_new_tokens)
    prompts = [encode_prompt(loaded, row.messages) for row in rows]
    _check_context(loaded, prompts, max_new_tokens)
    width = max(map(len, prompts))
    stops = [threading.Event(), *([] if stop is None else [stop])]  # the first is the generator's own
    sampler = (
        CoupledSampler([row.noise_key for row in rows], width, temperature=temperature, top_p=top_p, seed=seed)
        if temperature > 0
        else None
    )
    arguments = {
        **_padded_left(loaded, prompts, width),
        "logits_processor": LogitsProcessorList([sampler] if sampler else []),
        "stopping_criteria": StoppingCriteriaList([_AnySet(stops)]),
        "generation_config": _greedy(loaded, max_new_tokens),
    }
    states = [_RowState(loaded.tokenizer, frozenset(end_ids(loaded)), max_new_tokens) for _ in rows]
    produce = functools.partial(_produce, loaded, [row.adapter for row in rows], arguments)
    return _stream(produce, states, stops)


def _greedy(loaded: LoadedModel, max_new_tokens: int) -> GenerationConfig:
    """The token to take is the likeliest one after the sampler has added its noise."""
    pad_id = loaded.tokenizer.pad_token_id
    return GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=pad_id, eos_token_id=end_ids(loaded)
    )


def _padded_left(loaded: LoadedModel, prompts: Sequence[list[int]], width: int) -> dict[str, Tensor]:
    pad_id = loaded.tokenizer.pad_token_id
    rows = [[pad_id] * (width - len(ids)) + ids for ids in prompts]
    mask = [[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts]
    named = {"input_ids": rows, "attention_mask": mask}
    return {name: torch.tensor(values, device=loaded.device) for name, values in named.items()}


def encode_prompt(loaded: LoadedModel, messages: Sequence[Message]) -> list[int]:
    """Returns the ids of a conversation up to where the answer begins.

    Raises:
        LabError: If the model's chat template refuses the conversation.
    """
    return Encoder(loaded.tokenizer, max_tokens=1).encode_prompt(messages)


def end_ids(loaded: LoadedModel) -> list[int]:
    """Returns every token that ends an answer: the template's end of turn, the tokenizer's and the model's own."""
    own = loaded.causal.generation_config.eos_token_id
    known = own if isinstance(own, list) else [own]
    ids = {loaded.tokenizer.eos_token_id, *known, *Encoder(loaded.tokenizer, max_tokens=1).end_ids}
    return sorted(i for i in ids if i is not None)


def _check_settings(temperature: float, top_p: float, max_new_tokens: int) -> None:
    if not 0 <= temperature <= 100:
        raise LabError(f"Temperature is {shown(temperature)}; 0 to 100 is accepted.")
    if not 0 < top_p <= 1:
        raise LabError(f"Top-p is {shown(top_p)}; above 0 and at most 1 is accepted.")
    if max_new_tokens < 1:
        raise LabError(f"The answer's length is {shown(max_new_tokens)} tokens; at least 1 is needed.")


def _check_context(loaded: LoadedModel, prompts: list[list[int]], max_new_tokens: int) -> None:
    room = getattr(loaded.causal.config.get_text_config(), "max_position_embeddings", None)
    longest = max(map(len, prompts))
    if room is not None and longest + max_new_tokens > room:
        raise LabError(
            f"The conversation has {counted(longest, 'token')} and the answer may have {max_new_tokens}, together"
            f" {longest + max_new_tokens}; this model reads at most {room}. Clear the chat, shorten the message or ask"
            " for a shorter answer."
        )


def _stream(
    produce: Callable[[queue.SimpleQueue[Any]], None], states: list[_RowState], stops: list[threading.Event]
) -> Generator[tuple[RowUpdate, ...], None, None]:
    steps: queue.SimpleQueue[Any] = queue.SimpleQueue()
    thread = threading.Thread(target=produce, args=(steps,), name="decode", daemon=True)
    if not any(stop.is_set() for stop in stops):
        thread.start()
    else:
        steps.put(_END)
    try:
        while (item := steps.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            for state, token in zip(states, item, strict=True):
                state.add(token)
            yield tuple(state.update for state in states)
        if any(state.finish is None for state in states):
            for state in states:
                state.finish = state.finish or "stopped"
            yield tuple(state.update for state in states)
    finally:
        stops[0].set()
        if thread.ident is not None:
            thread.join()


def _produce(
    loaded: LoadedModel, adapters: Sequence[str | None], arguments: dict[str, Any], steps: queue.SimpleQueue[Any]
) -> None:
    """Generates; puts each step's tokens, then an error if there was one, then the end, into the queue."""
    try:
        layers = decode_layers(loaded.causal, adapters, loaded.compute_dtype)
        with torch.inference_mode(), _plain_generation(loaded.causal), layers:
            loaded.causal.generate(**arguments, streamer=_Steps(steps))
    except BaseException as error:  # handed to the consumer, whatever it is
        steps.put(error)
    finally:
        steps.put(_END)


@contextlib.contextmanager
def _plain_generation(causal: PreTrainedModel) -> Iterator[None]:
    """Hides the model's own generation defaults, which `generate` would mix into ours."""
    own = causal.generation_config
    causal.generation_config = GenerationConfig()
    try:
        yield
    finally:
        causal.generation_config = own


class _Steps(BaseStreamer):
    """Receives the prompts (R, S), which are skipped, and then each step's tokens (R,)."""

    def __init__(self, steps: queue.SimpleQueue[Any]) -> None:
        self.steps = steps

    def put(self, value: Tensor) -> None:
        if value.dim() == 1:
            self.steps.put(value.tolist())

    def end(self) -> None:
        """The end is announced by `_produce`, which also sees errors."""


class _AnySet(StoppingCriteria):
    def __init__(self, events: Sequence[threading.Event]) -> None:
        self.events = events

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        is_set = any(event.is_set() for event in self.events)
        return torch.full((len(input_ids),), is_set, dtype=torch.bool, device=input_ids.device)


class _RowState:
    """What one row has said so far; detokenises a few tokens at a time, never the whole answer again."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: frozenset[int], max_new_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.ends = ends
        self.max_new_tokens = max_new_tokens
        self.ids: list[int] = []
        self.finish: str | None = None
        self.settled = ""  # text of ids[: self.n_settled]
        self.n_settled = 0
        self.window = 0  # where decoding restarts: a token's text can depend on the one before it
        self.pending = ""

    def add(self, token: int) -> None:
        if self.finish is not None:
            return
        self.ids.append(token)
        if token in self.ends:
            self.finish = "end"
        elif len(self.ids) == self.max_new_tokens:
            self.finish = "length"
        self._detokenise()

    def _detokenise(self) -> None:
        known = self._text(self.ids[self.window : self.n_settled])
        new = self._text(self.ids[self.window :])[len(known) :]
        is_whole = bool(new) and not new.endswith("\ufffd")
        if is_whole or len(self.ids) - self.n_settled > MAX_HELD_TOKENS:
            self.settled += new
            self.window, self.n_settled, new = self.n_settled, len(self.ids), ""
        # Half a character decodes to U+FFFD; it is held back until the rest arrives or the model ends its turn.
        self.pending = new if self.finish == "end" else new.rstrip("\ufffd")

    def _text(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    @property
    def update(self) -> RowUpdate:
        ids = tuple(self.ids) if self.finish is not None else ()
        return RowUpdate(self.settled + self.pending, len(self.ids), self.finish, ids)
