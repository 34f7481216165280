"""Settings: strict, every problem at once, and texts parsed as flags are."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnf_lab.core.config import RunConfig, field_default, field_specs, override, parse_field
from bnf_lab.core.errors import ConfigError
from bnf_lab.core.paths import data_home


def test_defaults_are_accepted_and_come_back() -> None:
    config = RunConfig()
    assert RunConfig.from_dict(config.to_dict()) == config
    assert RunConfig.from_dict({}) == config


def test_every_problem_is_told_at_once() -> None:
    values = {"methd": 1, "learning_rate": "fast", "n_steps": 2.5, "method": "ppo", "seed": -1, "model": 3}
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_dict(values)
    problems = caught.value.problems
    assert len(problems) == len(values)
    text = str(caught.value)
    for word in ("methd", "learning_rate", "whole number", "bnf, sft, dpo, nll", "from 0 to", "must be a text"):
        assert word in text


@pytest.mark.parametrize("name", sorted(field_specs()))
def test_every_number_has_a_range_and_refuses_what_lies_outside(name: str) -> None:
    spec = field_specs()[name]
    assert spec.label
    assert spec.help
    if isinstance(field_default(name), int | float) and not isinstance(field_default(name), bool):
        for wrong in (spec.minimum - 1, spec.maximum + 1, float("nan"), float("inf"), True, None, "1"):
            with pytest.raises(ConfigError):
                RunConfig.from_dict({name: wrong})
        for right in (spec.minimum, spec.maximum):
            assert getattr(RunConfig.from_dict({name: right}), name) == right


def test_whole_numbers_from_a_number_box_become_whole() -> None:
    config = RunConfig.from_dict({"n_steps": 30.0, "beta": 1})
    assert isinstance(config.n_steps, int)
    assert isinstance(config.beta, float)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("n_steps", "12", 12),
        ("learning_rate", "1e-3", 1e-3),
        ("method", "dpo", "dpo"),
        ("n_steps", "many", "many"),
        ("n_steps", "2.5", 2.5),
        ("n_steps", "1e2", 100.0),
    ],
)
def test_flags_are_parsed_by_type(name: str, text: str, value: object) -> None:
    assert parse_field(name, text) == value


def test_a_later_number_of_steps_ends_earlier_passes() -> None:
    assert override({"passes": 2.0}, {"n_steps": 5}) == {"passes": 0.0, "n_steps": 5}
    assert override({"n_steps": 5}, {"passes": 2.0}) == {"n_steps": 5, "passes": 2.0}
    assert override({"passes": 2.0}, {"passes": 3.0, "n_steps": 5}) == {"passes": 3.0, "n_steps": 5}
    assert override({"passes": 2.0}, {"beta": 1.0}) == {"passes": 2.0, "beta": 1.0}


def test_the_data_folder_is_resolved_when_asked(tmp_path: Path) -> None:
    assert data_home({"BNF_LAB_HOME": str(tmp_path)}) == tmp_path.resolve()
    assert data_home({}) in (Path("/data/bnf-lab"), Path.home() / ".bnf-lab")
