"""Answers to the next prompt, written while a person judges those to the present one. Knows no component, no torch.

At most one prompt ahead, at most one such writing in the whole lab, and none while somebody is being answered. Only
complete answers are kept. What goes wrong is logged: the person has them written as usual then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from dataclasses import asdict, dataclass, field

from bnf_lab.core.judgements import Message
from bnf_lab.lab.marking import MarkingDesks
from bnf_lab.lab.writer import Writer

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0
"""A writing ends within a step; a model that is being loaded is not waited for."""


@dataclass
class _Writing:
    """A writing under way.

    Attributes:
        owner: Whose desk it is for.
        prompt: What is answered.
        steps: The answers after each step.
        aside: Tells it to end.
        answers: As far as they are written.
        stepping: Held during a step, and until the answers are kept after the last one.
        is_taken: Whether the person has come for it; what remains is theirs to read.
        is_over: Whether there is nothing more to read.
    """

    owner: str
    prompt: str
    steps: Generator[tuple[str, ...], None, None]
    aside: threading.Event
    answers: tuple[str, ...] = ()
    stepping: threading.Lock = field(default_factory=threading.Lock)
    is_taken: bool = False
    is_over: bool = False


class WritingAhead:
    """Writes ahead for all desks.

    Args:
        marking: The desks.
        writer: Writes.
    """

    def __init__(self, marking: MarkingDesks, writer: Writer) -> None:
        self._marking, self._writer = marking, writer
        self._writing: _Writing | None = None
        self._thread: threading.Thread | None = None

    def begin(self, owner: str) -> None:
        """Starts on the prompt after the one at hand, if it has no answers yet and nobody is being answered."""
        asked = self._marking.next_unanswered(owner)
        aside = self._writer.precedence.begin_aside() if asked else None
        if asked is None or aside is None:
            return
        prompt, settings = asked
        steps = self._writer.write_candidates((Message("user", prompt),), **asdict(settings), aside=aside)
        self._writing = writing = _Writing(owner, prompt, steps, aside)
        self._thread = threading.Thread(target=self._write, args=(writing,), name="writing-ahead", daemon=True)
        self._thread.start()

    def is_writing(self, owner: str, prompt: str) -> bool:
        """Returns whether a prompt's answers are being written ahead."""
        writing = self._writing
        if writing is None or writing.is_over or writing.aside.is_set():
            return False
        return (writing.owner, writing.prompt) == (owner, prompt)

    def take(self, owner: str, prompt: str) -> Generator[tuple[str, ...], None, None]:
        """Streams a prompt's answers on to the person who has come for them, as if they had just asked.

        Yields:
            The answers so far, and after each further step; nothing if they are not being written, or were complete
            meanwhile and are kept.
        """
        writing = self._writing
        if writing is None or (writing.owner, writing.prompt) != (owner, prompt):
            return
        with self._writer.precedence.taking(writing.aside) as is_alive:
            if not is_alive:
                return
            writing.is_taken = True
            with writing.stepping:  # the thread has made its last step then
                if writing.is_over:
                    return
            try:
                yield writing.answers
                yield from writing.steps
            finally:
                writing.steps.close()
                writing.is_over = True

    def close(self) -> None:
        """Ends a writing under way, which keeps nothing."""
        if self._writing is not None:
            self._writer.precedence.end_aside(self._writing.aside)
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _write(self, writing: _Writing) -> None:
        try:
            while self._step(writing):
                pass
        except Exception:  # the thread's last catch point: nobody waits for these answers
            logger.exception("writing ahead failed")
        finally:
            if not writing.is_taken:
                self._writer.precedence.end_aside(writing.aside)

    def _step(self, writing: _Writing) -> bool:
        """Makes one step and returns whether there is another one to make here; keeps the answers after the last."""
        with writing.stepping:
            if writing.is_taken:
                return False
            try:
                answers = next(writing.steps, None)
            except Exception:
                writing.is_over = True
                raise
            if answers is not None:
                writing.answers = answers
                return True
            writing.is_over = True
            if not writing.aside.is_set():
                self._marking.keep_ahead(writing.owner, writing.prompt, writing.answers)
            return False
