"""One line of a person's list of runs, from what is registered and what the run's folder says. Standard library.

This room must not know pages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from bnf_lab.core.config import RunConfig, field_default, field_specs
from bnf_lab.core.fields import FieldSpec
from bnf_lab.core.paths import without_folders
from bnf_lab.lab.run_register import RunRow
from bnf_lab.runs.digests import RunDigest, RunDigests
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import RunState, RunStatus
from bnf_lab.runs.verdict import RunVerdict


@dataclass(frozen=True)
class RunSummary:
    """One line of the list of runs; the numbers are those of the first and the last scored step, None before them.

    `obstacle` says why this lab can show the run but not train it on, None if it can; of a run that `is_damaged` there
    is nothing else to show. `stillness` says that a live run has not moved for a while, "" while it moves. `seconds` is
    how long it has trained, over all resumes; `config` is None where the settings cannot be read.
    """

    run_id: str
    name: str
    method: str
    model: str
    collections: tuple[str, ...]
    created_at: str
    status: RunStatus
    accuracy_before: float | None = None
    accuracy: float | None = None
    margin_before: float | None = None
    margin: float | None = None
    preferred_logp_before: float | None = None
    preferred_logp: float | None = None
    dispreferred_logp_before: float | None = None
    dispreferred_logp: float | None = None
    obstacle: str | None = None
    verdict: RunVerdict = field(default_factory=RunVerdict)
    is_damaged: bool = False
    stillness: str = ""
    config: RunConfig | None = None
    seconds: float | None = None
    note: str = ""
    tags: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What a person calls the run: its name, else its data (a run without a name is stored under its id)."""
        return self.name if self.name != self.run_id else ", ".join(self.collections) or self.run_id


def summarise(row: RunRow, digest: RunDigest, stillness: str) -> RunSummary:
    """Returns the line of a run whose folder can be read."""
    first, last = digest.first, digest.last
    return RunSummary(
        row.run_id,
        row.name,
        digest.saved.config.method,
        digest.saved.config.model,
        row.collections,
        row.created_at,
        digest.status,
        accuracy_before=first.accuracy if first else None,
        accuracy=last.accuracy if last else None,
        margin_before=first.margin if first else None,
        margin=last.margin if last else None,
        preferred_logp_before=first.preferred_logp if first else None,
        preferred_logp=last.preferred_logp if last else None,
        dispreferred_logp_before=first.dispreferred_logp if first else None,
        dispreferred_logp=last.dispreferred_logp if last else None,
        obstacle=digest.saved.obstacle,
        verdict=digest.verdict,
        stillness=stillness if digest.status.state.is_live else "",
        config=digest.saved.config,
        seconds=digest.seconds or None,
        note=row.note,
        tags=row.tags,
    )


def summarise_damaged(row: RunRow, why: str) -> RunSummary:
    """Returns the line of a run whose folder cannot be read."""
    failed = RunStatus(RunState.FAILED)
    return RunSummary(
        row.run_id,
        row.name,
        "?",
        "?",
        row.collections,
        row.created_at,
        failed,
        obstacle=why,
        is_damaged=True,
        note=row.note,
        tags=row.tags,
    )


def summarise_folder(folder: RunFolder) -> RunSummary:
    """Returns the line of a run that nobody has registered, as one from the shell.

    Raises:
        LabError: If settings or status cannot be read.
    """
    digest = RunDigests().read(folder)
    try:
        created = datetime.fromtimestamp(digest.status.created_at, UTC).isoformat()
    except (OverflowError, OSError, ValueError):  # no moment that a calendar has
        created = ""
    return summarise(RunRow(folder.run_id, folder.run_id, created, ()), digest, "")


@dataclass(frozen=True)
class SettingLine:
    """One setting of a run in words; `is_default` where a new run would have the same."""

    label: str
    value: str
    is_default: bool


def list_settings(config: RunConfig) -> list[SettingLine]:
    """Returns the settings that the run's method reads, in their own order, without any folder of the machine."""
    specs = {name: spec for name, spec in field_specs().items() if not spec.methods or config.method in spec.methods}
    return [
        SettingLine(
            spec.label, _setting_value(getattr(config, name), spec), getattr(config, name) == field_default(name)
        )
        for name, spec in specs.items()
    ]


def _setting_value(value: object, spec: FieldSpec) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:g}{f' {spec.unit}' if spec.unit else ''}"
    text = str(without_folders(str(value)))
    return spec.choice_labels.get(text, text) or "\N{EN DASH}"
