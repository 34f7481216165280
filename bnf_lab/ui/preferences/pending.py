"""An import that waits for its click: where its rows come from, what was said about them, what was found in them.

Values only, no component and no lab. What a browser sends is checked here against what was asked.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bnf_lab.core.errors import LabError
from bnf_lab.core.judgements import Verdict, new_id
from bnf_lab.data.mapping import LEAVE_OUT, ImportChoices
from bnf_lab.data.report import ImportReport, Question
from bnf_lab.ui.guard import checked_choice
from bnf_lab.ui.preferences import words

IN_PROMPT = "in prompt"
MEANINGS: dict[str, Verdict | None] = {**{str(verdict): verdict for verdict in Verdict}, LEAVE_OUT: None}
_N_TICKETS = 10_000


@dataclass(frozen=True)
class Origin:
    """Where rows come from: an uploaded file (path, name) or a hub data set (id, config, split)."""

    path: str = ""
    name: str = ""
    dataset_id: str = ""
    config: str | None = None
    split: str = "train"


class Turns:
    """The turns that the events of one import take, and what the last of them left."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.left: Pending | None = None


@dataclass(frozen=True)
class Pending:
    """What the page keeps of an import until its judgements are added.

    Attributes:
        origin: Where its rows come from.
        choices: Everything that was said about them.
        report: What was last found, without the judgements: they are read again when they are added.
        ticket: Names this import, so that two clicks do not add it twice.
        turns: Shared by everything that becomes of this import, see `in_turn`.
    """

    origin: Origin
    choices: ImportChoices = field(default_factory=ImportChoices)
    report: ImportReport | None = None
    ticket: str = field(default_factory=new_id)
    turns: Turns = field(default_factory=Turns, repr=False, compare=False)

    def found(self, report: ImportReport, choices: ImportChoices) -> Pending:
        """Returns it after another look."""
        bounds = (min(report.ratings), max(report.ratings)) if report.ratings else ()
        light = replace(report, judgements=(), ratings=bounds, refused=(), warnings=())
        return replace(self, choices=choices, report=light)

    @property
    def maps_columns(self) -> bool:
        """Whether columns are mapped by hand: it was begun, or there is nothing else that could be said."""
        report = self.seen
        is_asked = any(question.kind == "columns" for question in report.questions)
        is_stuck = bool(report.columns) and not report.taken and not report.questions
        return self.choices.columns is not None or is_asked or is_stuck

    def question(self, kind: str) -> Question:
        """Returns the question of a kind that is open.

        Raises:
            LabError: If there is none.
        """
        asked = next((q for q in self.seen.questions if q.kind == kind), None)
        if asked is None:
            raise LabError(words.NOT_ASKED)
        return asked

    @property
    def seen(self) -> ImportReport:
        if self.report is None:
            raise LabError(words.CLOSED)
        return self.report


def in_turn(
    handler: Callable[..., dict[Any, Any]], state: Any, fields: Iterable[Any] = ()
) -> Callable[..., dict[Any, Any]]:
    """Returns the handler for the events of an open import, of which each begins with what the one before it left.

    Reading a large file takes seconds. Whatever is said meanwhile would otherwise be said of the import as the page
    held it before, and undo what the event before it was about to keep.

    Args:
        handler: Has a `Pending`, or None where nothing is open, among its values; returns (component: value).
        state: The component whose value is what the page keeps of the import.
        fields: What the event was sent. The answer writes them only where another event came between; otherwise they
            hold what was said, or what was said since.
    """
    sent = set(fields)

    @functools.wraps(handler)  # gradio reads from the handler's own signature that it wants the event
    def run(*values: Any) -> dict[Any, Any]:
        held = next((value for value in values if isinstance(value, Pending)), None)
        if held is None:
            return handler(*values)
        with held.turns.lock:
            latest = held.turns.left or held
            updates = handler(*(latest if value is held else value for value in values))
            held.turns.left = updates.get(state, latest)
            return updates if latest != held else {part: new for part, new in updates.items() if part not in sent}

    return run


class Tickets:
    """Tickets that are taken once: of two quick clicks the second finds nothing left to do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: deque[str] = deque(maxlen=_N_TICKETS)

    def take(self, ticket: str) -> bool:
        """Returns whether nobody took it before."""
        with self._lock:
            if ticket in self._used:
                return False
            self._used.append(ticket)
            return True

    def give_back(self, ticket: str) -> None:
        """Lets it be taken again, where what it was taken for failed."""
        with self._lock:
            self._used.remove(ticket)


def answer(pending: Pending, act: str, value: object, fields: object) -> ImportChoices:
    """Returns the choices after an answer.

    Args:
        pending: The import that is open.
        act: What is answered, a key of `ANSWERS`.
        value: What the pressed button stands for.
        fields: Name -> value of the radio buttons beside it.

    Raises:
        LabError: If it was not asked, or is not complete.
    """
    given = dict(fields) if isinstance(fields, dict) else {}
    return ANSWERS[checked_choice(act, words.ANSWER, tuple(ANSWERS))](pending, value, given)


def _part(pending: Pending, value: object, fields: Mapping[str, Any]) -> ImportChoices:
    offered = [option.value for option in pending.question("part").options]
    if "part" not in fields:
        raise LabError(words.PART_MISSING)
    return replace(pending.choices, part=checked_choice(fields["part"], words.PART, offered))


def _layout(pending: Pending, value: object, fields: Mapping[str, Any]) -> ImportChoices:
    report = pending.seen
    asked = [option for question in report.questions if question.kind == "layout" for option in question.options]
    key = checked_choice(value, words.LAYOUT, [option.value for option in (*asked, *report.layouts)])
    return replace(pending.choices, layout=key, columns=None, labels={}, decides="")


def _labels(pending: Pending, value: object, fields: Mapping[str, Any]) -> ImportChoices:
    meant = {
        option.value: MEANINGS[checked_choice(fields.get(str(i), LEAVE_OUT), option.label, tuple(MEANINGS))]
        for i, option in enumerate(pending.question("labels").options)
    }
    if not any(meant.values()):
        raise LabError(words.LABELS_MISSING)
    return replace(pending.choices, labels=meant)


def _column(pending: Pending, value: object, fields: Mapping[str, Any]) -> ImportChoices:
    names = [option.value for option in pending.question("column").options]
    if not all(str(i) in fields for i in range(len(names))):
        raise LabError(words.COLUMN_MISSING)
    said = {name: checked_choice(fields[str(i)], name, (IN_PROMPT, LEAVE_OUT)) for i, name in enumerate(names)}
    choices = pending.choices
    return replace(
        choices,
        in_prompt=(*choices.in_prompt, *(name for name in names if said[name] == IN_PROMPT)),
        leave_out=(*choices.leave_out, *(name for name in names if said[name] == LEAVE_OUT)),
    )


def _turn(pending: Pending, value: object, fields: Mapping[str, Any]) -> ImportChoices:
    return replace(pending.choices, turn_round=True)


def _forget(pending: Pending, value: object, fields: Mapping[str, Any]) -> ImportChoices:
    what = checked_choice(value, words.ANSWER, tuple(_FORGOTTEN))
    default = ImportChoices()
    return replace(pending.choices, **{name: getattr(default, name) for name in _FORGOTTEN[what]})


_FORGOTTEN = {
    "part": ("part", "layout", "decides", "labels", "leave_out", "in_prompt", "columns", "turn_round", "ratings"),
    "layout": ("layout", "decides", "labels"),
    "labels": ("labels",),
    "columns": ("columns", "labels"),
    "leave_out": ("leave_out",),
    "in_prompt": ("in_prompt",),
    "turn_round": ("turn_round",),
}
"""What is taken back -> the choices that hung on it."""

ANSWERS: dict[str, Callable[[Pending, object, Mapping[str, Any]], ImportChoices]] = {
    "part": _part,
    "layout": _layout,
    "labels": _labels,
    "column": _column,
    "turn": _turn,
    "forget": _forget,
}
