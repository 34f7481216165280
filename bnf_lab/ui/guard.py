"""The one place where handlers are wired, errors are caught and typed input is checked.

How every tab wires an event::

    listen(button.click, mark, [session.token, box], [table], lane=Lane.MARK)

`listen` makes the event private, gives it the queue lane of its kind and wraps the handler in
`guarded`. A handler is a plain function or generator; its first input is always `session.token` and its
first line is `owner = lab.owner_of(token)`, because gradio's own session id is chosen by the client.
It raises `LabError`s and never returns one as text. Every text a browser sends goes through
`checked_text`, every number through `checked_number`: gradio enforces neither on the server.
This room must not know any tab.
"""

from __future__ import annotations

import functools
import html
import inspect
import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any

import gradio as gr
from gradio.events import Dependency

from bnf_lab.core.errors import LabError, clipped, shown
from bnf_lab.core.numbers import counted, is_number
from bnf_lab.core.paths import without_places
from bnf_lab.ui import words as common_words

logger = logging.getLogger("bnf_lab.ui")


class FieldRefused(LabError):
    """What a field holds cannot be taken; `field` is what the page calls it, see `field_notes`."""

    def __init__(self, field: str, text: str) -> None:
        self.field = field
        super().__init__(text)


class Lane(Enum):
    """A kind of work with its own queue: (concurrency id, how many at a time over all people)."""

    MARK = ("mark", 8)
    """Reads and writes of the store: short."""
    TICK = ("tick", 4)
    """Timers."""
    CHAT = ("chat", 2)
    """Anything that makes a model write."""
    START = ("start", 1)
    """Starting, measuring and exporting runs."""
    UPLOAD = ("upload", 2)
    """Reading files and data sets."""


Event = Callable[..., Dependency] | Sequence[Callable[..., Dependency]]
"""What `listen` wires: one event, or those of the fields that are sent together."""


def listen(
    event: Event,
    handler: Callable[..., Any],
    inputs: Sequence[Any] = (),
    outputs: Sequence[Any] = (),
    *,
    lane: Lane = Lane.MARK,
    **options: Any,
) -> Dependency:
    """Wires `handler` to `event` privately, guarded and in its lane.

    Args:
        event: A component's event (`button.click`), a dependency's `.then` / `.success`; or a sequence: the events
            of the fields of one form, which are one event then. It never runs twice at a time in a page, and runs
            once more with what the fields hold where one of them was changed meanwhile; side by side, the answer to
            the first change could come last, or the second would be dropped. The answer must not write what fields
            hold that it was sent: it would take back what was chosen while it was under way.
        handler: Function or generator over the inputs, token first.
        inputs: Components whose values the handler receives.
        outputs: Components the handler's results go to.
        lane: The queue that limits how many of this kind run at once.
        options: Passed on to gradio (`js`, `cancels`, ...). Progress overlays are off unless asked for. `trigger_mode`
            says what becomes of an event while the one before it is under way: without it it is dropped ("once"),
            which suits a button that is pressed twice. An area with many buttons needs "multiple", and what draws
            after an event "always_last", which runs once more when the first has ended.

    Returns:
        Gradio's dependency, for `.then` and `cancels`.
    """
    options.setdefault("show_progress", "hidden")
    if not callable(event):
        options.setdefault("trigger_mode", "always_last")
        event = functools.partial(gr.on, list(event))
    concurrency_id, limit = lane.value
    return event(
        fn=guarded(handler),
        inputs=list(inputs),
        outputs=list(outputs),
        api_visibility="private",
        concurrency_id=concurrency_id,
        concurrency_limit=limit,
        **options,
    )


def guarded(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the handler with the one catch point around it.

    A `LabError` reaches the person in its own words. Anything else is a defect: it is logged with its traceback under
    a reference number, and the person sees only the number.
    """

    def told(error: Exception) -> Any:
        raise _shown_error(error) from None

    return caught(handler, told)


def caught(
    handler: Callable[..., Any], told: Callable[[Exception], Any], each: Callable[[Any], Any] = lambda result: result
) -> Callable[..., Any]:
    """Returns the handler, a generator or not, with its errors caught.

    Args:
        handler: The handler.
        told: From an error to what the handler then returns or yields.
        each: From each result to what takes its place.
    """
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def run_generator(*values: Any) -> Iterator[Any]:
            try:
                yield from map(each, handler(*values))
            except Exception as error:
                yield told(error)

        return run_generator

    @functools.wraps(handler)
    def run(*values: Any) -> Any:
        try:
            return each(handler(*values))
        except Exception as error:
            return told(error)

    return run


def describe_error(error: Exception) -> str:
    """Returns what a person is told of an error, as plain text; a defect is logged under the number that they see."""
    if isinstance(error, LabError):
        return clipped(without_places(str(error)))
    reference = uuid.uuid4().hex[:8]
    logger.error("Unexpected failure, reference %s", reference, exc_info=error)
    return common_words.DEFECT.format(reference=reference)


def _shown_error(error: Exception) -> gr.Error:
    if isinstance(error, gr.Error):
        return error
    text = toast_text(describe_error(error))
    if isinstance(error, LabError):
        return gr.Error(text, title=common_words.ERROR_TITLE, duration=20, print_exception=False)
    return gr.Error(text, title=common_words.DEFECT_TITLE, print_exception=False)


def toast_text(text: str) -> str:
    """Returns `text` for `gr.Error` / `gr.Info` / `gr.Warning`, which would render it as HTML; no folders."""
    return html.escape(clipped(without_places(text))).replace("\n", "<br>")


def tell(text: str) -> None:
    """Shows a short, escaped notice in the corner of the page."""
    gr.Info(toast_text(text), title="", duration=4)


def checked_text(value: object, what: str, *, limit: int, required: bool = True) -> str:
    """Returns a textbox's value, refusing what is not a text, is too long or (if required) is blank.

    Args:
        value: What the browser sent.
        what: The box's name as the page shows it.
        limit: Most characters accepted.
        required: Whether a blank text is refused.

    Raises:
        FieldRefused: Naming the box, what was found and what is accepted.
    """
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise FieldRefused(what, f"{what} is {shown(value)}; it must be a text. Type it again.")
    if len(value) > limit:
        raise FieldRefused(
            what, f"{what} has {counted(len(value), 'character')}; at most {limit:,} are accepted. Shorten it."
        )
    if required and not value.strip():
        raise FieldRefused(what, f"{what} is empty. Type something first.")
    return value


def checked_number(value: object, what: str, *, minimum: float, maximum: float) -> float:
    """Returns a slider's or number box's value, refusing anything outside the range.

    Raises:
        FieldRefused: Naming the box, what was found and what is accepted.
    """
    if not is_number(value) or not minimum <= value <= maximum:
        raise FieldRefused(what, f"{what} is {shown(value)}; it must be a number from {minimum:g} to {maximum:g}.")
    return float(value)


def checked_whole(value: object, what: str, *, minimum: int, maximum: int) -> int:
    """Returns a slider's or number box's whole number, refusing anything outside the range and any fraction.

    Raises:
        FieldRefused: Naming the box, what was found and what is accepted.
    """
    if not is_number(value) or value != int(value) or not minimum <= value <= maximum:
        raise FieldRefused(
            what, f"{what} is {shown(value)}; it must be a whole number from {minimum:,} to {maximum:,}."
        )
    return int(value)


def checked_choice(value: object, what: str, choices: Sequence[str]) -> str:
    """Returns a chosen option, refusing anything that was not offered.

    Raises:
        FieldRefused: Naming the box, what was found and what is accepted.
    """
    if value not in choices:
        raise FieldRefused(what, f"{what} is {shown(value)}; it must be one of: {', '.join(choices)}.")
    return str(value)
