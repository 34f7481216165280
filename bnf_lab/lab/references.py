"""What a person may have a loss compared with: the run's own base, an own run, a model of the lab. No torch.

In the shell a reference may be any folder. From a page it never is one: a path would tell what lies on the server, and
somebody else's run would lend its adapter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bnf_lab.core.config import BASE_REFERENCE, RUN_REFERENCE
from bnf_lab.core.errors import NotFound, RunRefused, shown
from bnf_lab.lab.models import Models
from bnf_lab.lab.run_register import RunRegister, RunRow


@dataclass(frozen=True)
class ReferenceChoice:
    """What may stand in the base model's place: its value for `RunConfig.reference`, and its name for people."""

    value: str
    label: str


def list_references(runs: Iterable[RunRow], models: Models) -> list[ReferenceChoice]:
    """Returns the choices: these runs, then every model that is here."""
    here = [ReferenceChoice(model.id, f"Model {model.label}") for model in models.choices() if model.is_fetched]
    return [*(ReferenceChoice(f"{RUN_REFERENCE}{run.run_id}", _label(run)) for run in runs), *here]


def check_reference(owner: str, reference: str, register: RunRegister, models: Models) -> None:
    """Refuses a reference that `owner` may not choose on a page.

    Raises:
        RunRefused: If it names a folder, or a run that is not the owner's.
        ModelUnavailable: If it names a model that this lab cannot have; see `Models.find`.
    """
    if reference == BASE_REFERENCE:
        return
    if not reference.startswith(RUN_REFERENCE):
        models.find(reference)
        return
    try:
        register.get(owner, reference.removeprefix(RUN_REFERENCE))
    except NotFound as error:
        raise RunRefused(
            f"'Reference' is {shown(reference)}, which is no run of this workspace. Choose one of your own runs, the"
            " base model, or a model in the lab's models folder. A folder can be given in the shell alone."
        ) from error


def _label(run: RunRow) -> str:
    """Returns a run's own name, else its data (a run without a name is stored under its id), and its id."""
    name = run.name if run.name != run.run_id else ", ".join(run.collections)
    return f"Run {name} ({run.run_id})"
