"""The guided first run: how far a new workspace has come, read from what is stored. Knows no page, no torch.

Steps that a person takes by hand count as those taken from the guide, and a restart changes nothing. A workspace that
was used before there was a guide never sees it, nor one whose person has skipped or ended it.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnf_lab.lab.drafts import Drafts
from bnf_lab.lab.judgements import Judgements
from bnf_lab.lab.models import Models
from bnf_lab.lab.runs import Runs

_NAME = "guide"
STEPS = ("fetch", "add", "train", "show")


@dataclass(frozen=True)
class Progress:
    """How far a person has come.

    Attributes:
        done: Those of `STEPS` that are done.
        is_fetching: Whether the model is on its way.
    """

    done: frozenset[str]
    is_fetching: bool = False

    @property
    def now(self) -> str:
        """The first step that is not done; empty when all are."""
        return next((step for step in STEPS if step not in self.done), "")


class Guides:
    """The guides of all workspaces.

    Args:
        drafts: Where it is kept that one was begun, seen through or ended.
        judgements: Tell whether anything is judged.
        runs: Tell whether anything was trained.
        models: Tell how it stands with the embedded model.
    """

    def __init__(self, drafts: Drafts, judgements: Judgements, runs: Runs, models: Models) -> None:
        self._drafts, self._judgements, self._runs, self._models = drafts, judgements, runs, models

    def progress(self, owner: str) -> Progress | None:
        """Returns how far the owner has come; None where there is no guide (any more)."""
        record = self._drafts.load(owner, _NAME)
        if record is not None and record["is_over"]:
            return None
        has_judged = self._judgements.count_since(owner, "") > 0
        has_run = bool(self._runs.last_began(owner))
        if record is None:
            is_over = has_judged or has_run
            self._save(owner, is_over=is_over)
            if is_over:
                return None
        model = self._models.status()
        done = {
            "fetch": model.state == "ready",
            "add": has_judged,
            "train": has_run,
            "show": has_run and bool(record and record["is_seen"]),
        }
        return Progress(frozenset(step for step, is_done in done.items() if is_done), model.state == "fetching")

    def see(self, owner: str) -> None:
        """Notes that the person has come to see what a run made of the model; counts once one has ended."""
        progress = self.progress(owner)
        if progress is not None and progress.now == "show":
            self._save(owner, is_seen=any(run.status.state.is_over for run in self._runs.summaries(owner)))

    def end(self, owner: str) -> None:
        """Ends the guide for good."""
        self._save(owner, is_over=True)

    def _save(self, owner: str, *, is_over: bool = False, is_seen: bool = False) -> None:
        self._drafts.save(owner, _NAME, {"is_over": is_over, "is_seen": is_seen})
