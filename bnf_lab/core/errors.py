"""Every error the lab means a person to read. Values only: this room knows no other.

A text says where, what was found, what is accepted and what to do. Anything that is not a
`LabError` is a defect: it is logged with its traceback and the person sees a reference number.
"""

from __future__ import annotations

MAX_MESSAGE_CHARS = 500


class LabError(Exception):
    """A refusal or failure whose text is written for the person at the screen."""


class ConfigError(LabError):
    """Settings that cannot be used; `problems` holds every one of them, not just the first."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class ImportRefused(LabError):
    """A file or data set that yields no judgement at all, or exceeds a limit."""


class ModelUnavailable(LabError):
    """A model that cannot be fetched, verified or loaded."""


class AdapterRefused(LabError):
    """An adapter whose files are not a plain LoRA for the model at hand."""


class RunRefused(LabError):
    """A run that cannot start, stop, resume, be read or be exported now."""


class PromptRefused(LabError):
    """A conversation that the model's chat template does not take; the text names it."""


class TrainingDiverged(LabError):
    """A loss or gradient that is not finite; the adapter still holds the last good weights."""


class NotFound(LabError):
    """A record that does not exist for this owner (or belongs to another one)."""


class DataFolderRefused(LabError):
    """A data folder that the lab cannot keep anything in; the text names it and is for who starts the lab."""


class StoreError(LabError):
    """A judgement, chat or run that could not be saved."""


class StoreDamaged(StoreError):
    """A database whose file is not what the lab wrote; a backup can take its place."""


def shown(value: object, limit: int = 60) -> str:
    """Returns `value` as a short one-line quotation that is safe inside a message.

    >>> shown("a" * 80, limit=10)
    "'aaaaaaaaa…'"
    """
    text = repr(value if not isinstance(value, str) else value[: limit + 1])
    if isinstance(value, str):
        return text if len(value) <= limit else repr(value[: limit - 1] + "…")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def clipped(message: str) -> str:
    """Returns `message` cut to the longest text the lab shows (500 characters)."""
    return message if len(message) <= MAX_MESSAGE_CHARS else message[: MAX_MESSAGE_CHARS - 1] + "…"
