"""Settings of other labs: understood where that is possible, kept and named where it is not, never guessed."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from bnf_lab.core import saved_settings
from bnf_lab.core.config import RunConfig, field_specs
from bnf_lab.core.errors import ConfigError
from bnf_lab.core.saved_settings import DROPPED, RENAMED, read_saved_settings


def test_what_this_lab_saves_it_reads_as_it_was() -> None:
    config = RunConfig(method="dpo", n_steps=7, beta=0.3, answer_prompts="One\nTwo")
    saved = read_saved_settings(json.loads(json.dumps(config.to_dict())))
    assert (saved.config, dict(saved.unknown), saved.problems) == (config, {}, ())


def test_a_setting_that_came_later_has_its_default() -> None:
    values = RunConfig(n_steps=7).to_dict()
    del values["reference_temperature"]
    assert read_saved_settings(values).config == RunConfig(n_steps=7)
    assert not read_saved_settings(values).problems


def test_a_renamed_setting_is_read_under_its_name_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RENAMED, "epochs", "n_steps")
    saved = read_saved_settings({"epochs": 9, "beta": 0.2})
    assert (saved.config, dict(saved.unknown), saved.problems) == (RunConfig(n_steps=9, beta=0.2), {}, ())
    both = read_saved_settings({"epochs": 9, "n_steps": 3})
    assert both.config.n_steps == 3
    assert both.unknown == {"epochs": 9}


def test_a_renamed_setting_s_value_is_checked_as_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RENAMED, "epochs", "n_steps")
    assert read_saved_settings({"epochs": "many"}).unknown == {"n_steps": "many"}


@pytest.mark.parametrize(("value", "is_said"), [(True, False), (False, True), (None, True)])
def test_a_dropped_setting_is_said_unless_it_had_the_value_that_all_have_now(
    monkeypatch: pytest.MonkeyPatch, value: Any, is_said: bool
) -> None:
    monkeypatch.setitem(DROPPED, "guard", True)
    saved = read_saved_settings({"guard": value, "n_steps": 5})
    assert saved.config == RunConfig(n_steps=5)
    assert saved.unknown == ({"guard": value} if is_said else {})
    assert ["'guard'" in problem for problem in saved.problems] == ([True] if is_said else [])


def test_an_unknown_setting_is_kept_and_said_with_its_value() -> None:
    saved = read_saved_settings({"momentum": 0.9, "n_steps": 5, "<b>" * 100: "x" * 1000})
    assert saved.config == RunConfig(n_steps=5)
    assert saved.unknown == {"momentum": 0.9, "<b>" * 100: "x" * 1000}
    assert saved.problems[0] == "'momentum' (0.9 here) is no setting of this lab."
    assert all(len(problem) < 150 for problem in saved.problems)


@pytest.mark.parametrize(("name", "value"), [("method", "ppo"), ("n_steps", 10**6), ("seed", -1), ("beta", 99)])
def test_a_value_that_is_no_longer_taken_is_shown_as_it_was_and_said(name: str, value: Any) -> None:
    saved = read_saved_settings({name: value})
    assert getattr(saved.config, name) == value
    assert not saved.unknown
    assert name in saved.problems[0]


@pytest.mark.parametrize("value", [None, "7", [7], {"a": 1}, True, 2.5])
def test_a_value_of_another_kind_is_kept_aside_and_said(value: Any) -> None:
    saved = read_saved_settings({"n_steps": value})
    assert saved.config == RunConfig()
    assert saved.unknown == {"n_steps": value}
    assert "whole number" in saved.problems[0]


def test_new_settings_are_as_strict_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RENAMED, "epochs", "n_steps")
    monkeypatch.setitem(DROPPED, "guard", True)
    for values in ({"epochs": 3}, {"guard": True}, {"momentum": 0.9}):
        with pytest.raises(ConfigError, match="is not a setting"):
            RunConfig.from_dict(values)


def test_the_tables_name_settings_of_today_and_only_former_ones() -> None:
    assert set(RENAMED.values()) <= set(field_specs())
    assert not {*RENAMED, *DROPPED} & set(field_specs())
    assert not set(RENAMED) & set(DROPPED)


def test_every_setting_is_of_a_kind_that_can_be_told_apart() -> None:
    """What is not of these kinds would be kept aside whatever its value."""
    assert {type(f.default) for f in dataclasses.fields(RunConfig)} <= {bool, int, float, str}
    assert saved_settings.read_saved_settings(RunConfig().to_dict()).problems == ()
