"""What a person has set up for the next run and not started yet: settings and judgements. Knows no page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import ConfigError
from bnf_lab.lab.drafts import Drafts

_NAME = "train"


@dataclass(frozen=True)
class TrainDraft:
    """A run that is not started yet.

    Attributes:
        config: Its settings.
        left_out: Collections that it is not trained on; those that come later are trained on.
        since: The moment whose later judgements were chosen by themselves; None if they were not.
    """

    config: RunConfig = field(default_factory=RunConfig)
    left_out: tuple[str, ...] = ()
    since: str | None = None


def load_draft(drafts: Drafts, owner: str) -> TrainDraft:
    """Returns the draft as it was left, a new one where there is none."""
    record = drafts.load(owner, _NAME) or {}
    try:
        config = RunConfig.from_dict(record.get("config", {}))
    except ConfigError:  # an older version of the lab had other settings
        config = RunConfig()
    return TrainDraft(config, tuple(record.get("left_out", ())), record.get("since"))


def save_draft(drafts: Drafts, owner: str, draft: TrainDraft) -> None:
    """Keeps a draft."""
    record = {"config": draft.config.to_dict(), "left_out": list(draft.left_out), "since": draft.since}
    if record != drafts.load(owner, _NAME):
        drafts.save(owner, _NAME, record)


def choose_since(drafts: Drafts, owner: str, moment: str, collections: Sequence[str]) -> None:
    """Chooses exactly the judgements made after a moment; `collections` are all there are, which are left out."""
    save_draft(drafts, owner, TrainDraft(load_draft(drafts, owner).config, tuple(collections), moment))
