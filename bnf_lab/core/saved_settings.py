"""Settings as a run saved them, read by a lab whose settings have changed since. Values only, standard library.

What is new (flags, pages, YAML) is read strictly by `RunConfig.from_dict`. What an earlier or a later lab saved may
have cost hours of training, so it is read here: what can be understood is, the rest is kept and named, and nothing is
guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bnf_lab.core.config import RunConfig, field_default, field_specs
from bnf_lab.core.errors import shown
from bnf_lab.core.fields import find_problem

RENAMED: dict[str, str] = {}
"""Former name of a setting -> its name today: an old run then reads, and resumes, as if it had never been renamed."""

LARGEST = 1e15
"""A number beyond it was never a setting; to calculate with it could fail anywhere."""

DROPPED: dict[str, Any] = {}
"""Name of a setting that is gone -> the value with which a run trained as every run does today: such a run resumes."""


@dataclass(frozen=True)
class SavedSettings:
    """What this lab makes of a run's saved settings.

    Attributes:
        config: The settings as far as this lab has them; a value that it no longer takes is there as it was saved.
        unknown: Settings, by name, that this lab does not have, or whose values are of another kind today.
        problems: Why this lab could not train by these settings as the run did; empty where it could.
    """

    config: RunConfig
    unknown: Mapping[str, Any]
    problems: tuple[str, ...] = ()


def read_saved_settings(values: Mapping[str, Any]) -> SavedSettings:
    """Reads what `RunConfig.to_dict` gave, by whichever lab.

    >>> read_saved_settings({"n_steps": 60, "momentum": 0.9}).problems
    ("'momentum' (0.9 here) is no setting of this lab.",)
    """
    specs, known, unknown, problems = field_specs(), {}, {}, []
    for saved_name, value in values.items():
        name = RENAMED.get(saved_name, saved_name)
        if name not in specs or (name != saved_name and name in values):
            if saved_name not in DROPPED or value != DROPPED[saved_name]:
                unknown[saved_name] = value
                problems.append(f"{shown(saved_name, 40)} ({shown(value, 40)} here) is no setting of this lab.")
            continue
        kind = type(field_default(name))
        problem = find_problem(name, value, specs[name], kind)
        if problem is None:
            known[name] = kind(value)
            continue
        problems.append(problem)
        (known if _is_of_kind(value, kind) else unknown)[name] = value
    return SavedSettings(RunConfig(**known), unknown, tuple(problems))


def _is_of_kind(value: Any, kind: type) -> bool:
    is_alike = type(value) is kind or (kind is float and type(value) is int)
    return is_alike and (kind not in (int, float) or abs(value) <= LARGEST)
