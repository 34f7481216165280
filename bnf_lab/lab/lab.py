"""`Lab`: the injected owner of the data folder and of everything behind the pages.

Pages and the shell talk to its parts: `lab.judgements`, `lab.runs`, `lab.models`; `lab.marking`, `lab.chats`,
`lab.writer` and `lab.ahead` for what models write; `lab.drafts` for what is half done, `lab.mappings` for what was said
about files. It knows no gradio and imports no torch until something needs a model. An owner is the hash of a browser's
secret token, so nothing on the disk can be used to act as somebody else.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from bnf_lab.core.data_folder import require_data_folder
from bnf_lab.core.errors import NotFound, StoreDamaged
from bnf_lab.core.paths import SPACE_STORAGE, models_dir, resolved, runs_dir
from bnf_lab.core.scratch import Scratch
from bnf_lab.lab.ahead import WritingAhead
from bnf_lab.lab.backups import DATABASE, Backups, list_backups, say_damaged
from bnf_lab.lab.chats import Chats
from bnf_lab.lab.database import Database
from bnf_lab.lab.drafts import Drafts
from bnf_lab.lab.guide import Guides
from bnf_lab.lab.judgements import Judgements
from bnf_lab.lab.mappings import Mappings
from bnf_lab.lab.marking import MarkingDesks
from bnf_lab.lab.models import Models, worker_environment
from bnf_lab.lab.run_register import RunRegister
from bnf_lab.lab.runs import Runs
from bnf_lab.lab.statements import MIGRATIONS
from bnf_lab.lab.sweeper import sweep
from bnf_lab.lab.upkeep import Task, Upkeep
from bnf_lab.lab.writer import Writer

SWEEP_SECONDS = 3600.0
BACKUP_LOOK_SECONDS = 300.0  # a backup is made once the newest is an hour old, whoever made it

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class Lab:
    """One data folder and its parts; every method of a part takes the owner it acts for.

    Args:
        data_dir: The data folder; made if missing, readable by this user only.
        environment: For helper processes; this process's own by default.

    Attributes:
        scratch: This process's own folder for uploads and for files that are given out; swept every hour.

    Raises:
        LabError: If the data folder or its database cannot be used; the text is for who starts the lab, and the disk is
            as it was.
    """

    def __init__(self, data_dir: Path, *, environment: Mapping[str, str] | None = None) -> None:
        self.home = home = resolved(data_dir)
        require_data_folder(home)
        self._database = database = _open_database(home)
        self._scratch = Scratch(home / "tmp", "lab-")
        self.scratch = scratch = self._scratch.path
        helpers = worker_environment(self.home, environment)
        self.drafts = Drafts(database)
        self.models = Models(models_dir(self.home), helpers)
        self.judgements = Judgements(database, scratch, token_counter=self.models.token_counter)
        self.runs = Runs(self.home, scratch, RunRegister(database), self.judgements, self.models, helpers)
        self.writer = Writer(self.models, self.runs)
        self.marking = MarkingDesks(self.drafts, self.judgements)
        self.ahead = WritingAhead(self.marking, self.writer)
        self.mappings = Mappings(Drafts(database, "mapping"), scratch)
        self.chats = Chats(Drafts(database, "chat"), self.judgements, self.runs, self.writer)
        self.guides = Guides(self.drafts, self.judgements, self.runs, self.models)
        sweep(home, scratch)  # before anything of this lab's own can lie there half-made
        self._upkeep = Upkeep(
            Task(Backups(home, database).make_if_due, BACKUP_LOOK_SECONDS),
            Task(lambda: sweep(home, scratch), SWEEP_SECONDS, is_done_at_once=False),
        )
        self._upkeep.start()
        self.runs.queue.start()

    def close(self) -> None:
        """Ends helper threads and a fetch under way; training workers go on."""
        self.ahead.close()
        self._upkeep.close()
        self.runs.queue.close()
        self.models.close()
        self._database.close()
        self._scratch.close()

    def new_workspace(self) -> str:
        """Returns a fresh secret token of 43 characters for a browser to keep."""
        return secrets.token_urlsafe(32)

    def owner_of(self, token: object) -> str:
        """Returns the owner that a browser's token stands for.

        Raises:
            NotFound: If it is no token this lab could have given.
        """
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise NotFound("This browser has no workspace here yet. Reload the page to get one.")
        return hashlib.sha256(token.encode()).hexdigest()[:32]


def _open_database(home: Path) -> Database:
    """Opens the lab's database; one that is empty although runs or backups are there is damaged."""
    journal = "delete" if home.is_relative_to(SPACE_STORAGE) else "wal"
    is_expected = bool(list_backups(home)) or any(path.is_dir() for path in runs_dir(home).glob("*"))
    try:
        return Database(home / DATABASE, MIGRATIONS, journal=journal, is_expected=is_expected)
    except StoreDamaged as error:
        raise say_damaged(home, error) from error
