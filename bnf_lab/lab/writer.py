"""What models write for people: a turn of a chat, answers to be marked. No torch until somebody asks for words."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Generator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from bnf_lab.core.judgements import Message
from bnf_lab.core.late_imports import Late
from bnf_lab.lab.chat_records import ChatRequest, ChatUpdate
from bnf_lab.lab.models import Models
from bnf_lab.lab.precedence import Precedence
from bnf_lab.lab.runs import Runs

if TYPE_CHECKING:
    from bnf_lab.lab.chat_engine import ChatEngine


class Writer:
    """Finds the model and the adapter that are asked for and has the one engine of this process write.

    Args:
        models: Base models.
        runs: Whose adapters are asked for.

    Attributes:
        precedence: Who is being answered.
    """

    def __init__(self, models: Models, runs: Runs) -> None:
        self._runs = runs
        self.precedence = Precedence()
        self._engine = Late(lambda: _make_engine(models))

    def reply(
        self, owner: str, request: ChatRequest, *, stop: threading.Event | None = None
    ) -> Generator[ChatUpdate, None, None]:
        """Streams one turn of both panes; `stop` ends it with scores, closing the iterator without."""
        adapter: Path | None = None
        if request.run_id is not None:
            adapter = self._runs.adapter_path(owner, request.run_id, request.checkpoint)
        with self.precedence.person():
            yield from self._engine().reply(request, adapter, stop=stop)

    def write_candidates(
        self,
        prompt: tuple[Message, ...],
        *,
        n: int,
        temperature: float,
        max_new_tokens: int,
        model: str,
        seed: int | None = None,
        aside: threading.Event | None = None,
    ) -> Generator[tuple[str, ...], None, None]:
        """Streams `n` answers of a base model to one prompt; without a seed each call writes others.

        With an `aside`, which `precedence.begin_aside` gives, they are for nobody who waits and end once it is set.
        """
        chosen = secrets.randbits(31) if seed is None else seed
        with self.precedence.person() if aside is None else nullcontext():
            yield from self._engine().write_candidates(
                model, prompt, n, temperature=temperature, max_new_tokens=max_new_tokens, seed=chosen, stop=aside
            )


def _make_engine(models: Models) -> ChatEngine:
    from bnf_lab.lab.chat_engine import ChatEngine  # noqa: PLC0415 - imports torch
    from bnf_lab.models.loading import load_model  # noqa: PLC0415

    return ChatEngine(lambda model: load_model(models.locate(model)))
