"""Base and aligned replies from one model in memory.

This room owns the one model of the web process, its few adapters and whose turn it is. It knows adapters by their
folders and must not know owners, runs or pages.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from bnf_lab.core.errors import AdapterRefused, LabError
from bnf_lab.core.judgements import Message
from bnf_lab.lab.chat_records import AnswerScore, ChatRequest, ChatUpdate, PaneUpdate
from bnf_lab.models.adapters import delete_adapter, load_adapter, use_adapter
from bnf_lab.models.decode import DecodeRow, RowUpdate, decode, encode_prompt
from bnf_lab.models.encoding import EncodedResponse, Encoder
from bnf_lab.models.loading import LoadedModel
from bnf_lab.models.packing import Batch, build_batch
from bnf_lab.models.scoring import as_reference, in_eval, score_batch

logger = logging.getLogger(__name__)

MAX_ADAPTERS = 4
STOP_POLL_SECONDS = 0.1


class ChatEngine:
    """Answers with one model at a time; whoever comes meanwhile waits in order of arrival.

    A generator that is closed, or ends in an error, gives its turn back.
    """

    def __init__(self, load: Callable[[str], LoadedModel], *, max_adapters: int = MAX_ADAPTERS) -> None:
        """Prepares an engine that holds no model yet.

        Args:
            load: From a model id to the loaded base model; called on first use and when another model is asked for.
            max_adapters: How many adapters are kept in memory.
        """
        self._load = load
        self._max_adapters = max_adapters
        self._turns = _Turns()
        self._model_id: str | None = None
        self._loaded: LoadedModel | None = None
        self._adapters: OrderedDict[tuple[Path, str], str] = OrderedDict()
        self._n_adapters_loaded = 0

    def reply(
        self, request: ChatRequest, adapter: Path | None = None, *, stop: threading.Event | None = None
    ) -> Generator[ChatUpdate, None, None]:
        """Answers in both panes at once, then scores each answer under both models.

        Args:
            request: The conversations and settings; `run_id` and `checkpoint` are not read here.
            adapter: Folder of the aligned pane's adapter; without it the base pane answers alone.
            stop: Ends both answers after the present step when set.

        Yields:
            The panes after each step, at last with scores and `is_done`.

        Raises:
            LabError: If the model, the adapter or the conversation cannot be used.
        """
        with self._turns.turn(stop) as is_my_turn, _memory_errors():
            if not is_my_turn:
                nothing = PaneUpdate(finish="stopped")
                yield ChatUpdate(nothing, nothing if adapter else PaneUpdate(), is_done=True)
                return
            loaded, name = self._prepare(request.model, adapter)
            rows = [DecodeRow(request.base_history)]
            if name is not None:
                rows.append(DecodeRow(request.aligned_history, name))
            panes = [_Pane(time.monotonic()) for _ in rows]
            # in half precision a row's digits depend on how many there are: the base pane's words must not depend on
            # whether another pane is beside it, so it has company in any case
            twins = rows if name is None and loaded.compute_dtype is not torch.float32 else []
            steps = decode(
                loaded,
                [*rows, *twins],
                temperature=request.temperature,
                top_p=request.top_p,
                max_new_tokens=request.max_new_tokens,
                seed=request.seed,
                stop=stop,
            )
            with contextlib.closing(steps):
                for updates in steps:
                    for pane, update in zip(panes, updates, strict=False):
                        pane.see(update)
                    yield _chat_update(panes)
            answers = [
                _encoded(encode_prompt(loaded, row.messages), pane.token_ids)
                for row, pane in zip(rows, panes, strict=True)
            ]
            for pane, score in zip(panes, _score(loaded, name, answers), strict=True):
                pane.shown = replace(pane.shown, score=score)
            yield _chat_update(panes, is_done=True)

    def write_candidates(
        self,
        model: str,
        messages: tuple[Message, ...],
        n: int,
        *,
        temperature: float,
        max_new_tokens: int,
        seed: int,
        top_p: float = 1.0,
        adapter: Path | None = None,
        stop: threading.Event | None = None,
    ) -> Generator[tuple[str, ...], None, None]:
        """Writes `n` independent answers to one conversation, streamed together.

        Args:
            model: Id of the base model.
            messages: The conversation; it ends with the user's message.
            n: How many answers.
            temperature: 0 makes all of them equal.
            max_new_tokens: Longest answer, in tokens.
            seed: Decides the random numbers of all answers.
            top_p: As in `decode`.
            adapter: Folder of the adapter that answers, None for the base model.
            stop: Ends the answers after the present step when set.

        Yields:
            The n texts after each step.

        Raises:
            LabError: If the model, the adapter or the conversation cannot be used.
        """
        with self._turns.turn(stop) as is_my_turn, _memory_errors():
            if not is_my_turn:
                yield ("",) * n
                return
            loaded, name = self._prepare(model, adapter)
            rows = [DecodeRow(messages, name, noise_key) for noise_key in range(n)]
            steps = decode(
                loaded, rows, temperature=temperature, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed, stop=stop
            )
            with contextlib.closing(steps):
                for updates in steps:
                    yield tuple(update.text for update in updates)

    def score_answers(
        self, model: str, answers: Sequence[tuple[tuple[Message, ...], str]], *, adapter: Path | None = None
    ) -> list[AnswerScore]:
        """Scores given answers (conversation, response), each with the end-of-turn token behind it.

        Raises:
            LabError: If the model, the adapter or a conversation cannot be used.
        """
        with self._turns.turn() as _, _memory_errors():
            loaded, name = self._prepare(model, adapter)
            encoder = Encoder(loaded.tokenizer, max_tokens=1)
            return _score(loaded, name, [_encoded(*encoder.encode_turn(*answer)) for answer in answers])

    def unload(self) -> None:
        """Frees the model, once nobody is being answered; the next question loads it again."""
        with self._turns.turn():
            self._drop()

    def _prepare(self, model: str, adapter: Path | None) -> tuple[LoadedModel, str | None]:
        """Returns the model asked for and the name its adapter is loaded under. Only called in one's turn."""
        if self._loaded is None or self._model_id != model:
            self._drop()
            self._loaded, self._model_id = self._load(model), model
        if adapter is None:
            return self._loaded, None
        key = (adapter, _content_hash(adapter))
        loaded = self._loaded if key in self._adapters else self._add_adapter(self._loaded, key)
        self._adapters.move_to_end(key)
        return loaded, self._adapters[key]

    def _add_adapter(self, base: LoadedModel, key: tuple[Path, str]) -> LoadedModel:
        """Returns the model with one adapter more; the one that was asked for longest ago goes where there are many."""
        self._n_adapters_loaded += 1
        name = f"adapter{self._n_adapters_loaded}"
        try:
            self._loaded = loaded = load_adapter(base, key[0], name)
        except AdapterRefused:
            raise  # refused before any of it touched the model
        except torch.OutOfMemoryError:
            self._drop()
            raise
        except Exception as error:  # peft, safetensors and torch each have their own
            self._drop()  # peft may have left half an adapter in the layers
            logger.warning("adapter in %s cannot be loaded", key[0], exc_info=True)
            raise AdapterRefused(
                f"The adapter cannot be loaded ({type(error).__name__}). Choose another checkpoint; the server's log"
                " has the details."
            ) from error
        self._adapters[key] = name
        while len(self._adapters) > self._max_adapters:
            _, oldest = self._adapters.popitem(last=False)
            delete_adapter(loaded, oldest)
        return loaded

    def _drop(self) -> None:
        self._loaded, self._model_id = None, None
        self._adapters.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class _Turns:
    """A lock that is passed on in order of arrival and belongs to no thread, so that any thread may close a reply."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()  # its first entry has the turn

    @contextlib.contextmanager
    def turn(self, stop: threading.Event | None = None) -> Iterator[bool]:
        """Waits for the turn and holds it; gives False, without a turn, if `stop` is set meanwhile."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
        try:
            with self._changed:
                while not (is_mine := self._waiting[0] is ticket) and not (stop is not None and stop.is_set()):
                    self._changed.wait(None if stop is None else STOP_POLL_SECONDS)
            yield is_mine
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()


@dataclass
class _Pane:
    """What one pane shows, and the clock of its answer."""

    started: float
    shown: PaneUpdate = field(default_factory=PaneUpdate)
    token_ids: tuple[int, ...] = ()

    def see(self, update: RowUpdate) -> None:
        if self.shown.finish is not None:
            return
        speed = self.shown.tokens_per_second
        if update.n_tokens > self.shown.n_tokens:
            speed = update.n_tokens / max(time.monotonic() - self.started, 1e-6)
        self.shown = PaneUpdate(update.text, update.n_tokens, speed, update.finish)
        self.token_ids = update.token_ids


def _chat_update(panes: Sequence[_Pane], *, is_done: bool = False) -> ChatUpdate:
    aligned = panes[1].shown if len(panes) > 1 else PaneUpdate()
    return ChatUpdate(panes[0].shown, aligned, is_done)


def _encoded(prompt: Sequence[int], response: Sequence[int]) -> EncodedResponse:
    return EncodedResponse("", tuple(prompt), tuple(response), True, 1.0, (), is_cut=False)


def _score(loaded: LoadedModel, adapter: str | None, answers: Sequence[EncodedResponse]) -> list[AnswerScore]:
    """Scores answers in one pass under the base model and one under the adapter."""
    scores = [AnswerScore() for _ in answers]
    filled = [i for i, answer in enumerate(answers) if answer.response_ids]
    if not filled:
        return scores
    batch = build_batch([answers[i] for i in filled]).to(loaded.device)
    with in_eval(loaded):
        with as_reference(loaded):
            base = _mean_logps(loaded, batch)
        aligned: Sequence[float | None] = [None] * len(filled)
        if adapter is not None:
            use_adapter(loaded, adapter)
            aligned = _mean_logps(loaded, batch)
    for i, logp_base, logp_aligned in zip(filled, base, aligned, strict=True):
        scores[i] = AnswerScore(logp_base, logp_aligned)
    return scores


def _mean_logps(loaded: LoadedModel, batch: Batch) -> list[float]:
    return [row.logps.mean().item() for row in score_batch(loaded, batch).split(batch.lengths)]


def _content_hash(adapter: Path) -> str:
    """Returns a hash of what decides an adapter's answers, so that a new checkpoint at the same place is noticed."""
    digest = hashlib.sha256()
    try:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            with open(adapter / name, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise AdapterRefused(
            "The adapter's files cannot be read: adapter_config.json and adapter_model.safetensors are needed. Choose"
            " another checkpoint."
        ) from error
    return digest.hexdigest()


@contextlib.contextmanager
def _memory_errors() -> Iterator[None]:
    """Says in plain words that the accelerator is full."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        logger.warning("out of memory while answering", exc_info=True)
        raise LabError(
            "There is not enough free GPU memory for this answer. Ask for a shorter one, clear the chat, or wait until"
            " the active run has ended."
        ) from error
