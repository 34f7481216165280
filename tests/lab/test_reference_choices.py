"""What a page may name as a reference: never a folder of the server, never somebody else's run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import LabError, RunRefused
from bnf_lab.core.judgements import Message, Source, build_pair, now
from bnf_lab.core.sealed_folders import seal_checkpoint
from bnf_lab.lab.lab import Lab
from bnf_lab.runs.folder import RunFolder
from tests.support.pages import idle_lab

CONFIG = RunConfig(model="tiny", n_probe=2)


@pytest.fixture
def lab(tmp_path: Path, tiny_model_path: Path) -> Iterator[Lab]:
    shutil.copytree(tiny_model_path, tmp_path / "home" / "models" / "tiny")
    with idle_lab(tmp_path / "home") as lab:
        yield lab


@pytest.fixture
def owner(lab: Lab) -> str:
    owner = lab.owner_of(lab.new_workspace())
    for i in range(12):
        prompt = (Message("user", f"Say {i}."),)
        lab.judgements.add(owner, "Marked", build_pair(prompt, f"It is {i}.", "Er, well, hm.", source=Source.EDIT))
    return owner


def add_run(lab: Lab, owner: str, run_id: str, adapter: Path, name: str = "") -> Path:
    """Puts a finished run with an adapter into the lab, as its worker would leave it."""
    folder = RunFolder.create(lab.home / "runs" / run_id, CONFIG, [], owner=owner)
    shutil.copytree(adapter, folder.path / "tmp-adapter")
    seal_checkpoint(folder.path / "tmp-adapter", folder.adapter)
    lab.runs.register.add(owner, run_id, name or run_id, now(), collections=("Marked",))
    return folder.path


def config_with(reference: str) -> RunConfig:
    return RunConfig(model="tiny", n_probe=2, reference=reference)


def test_own_runs_with_an_adapter_and_models_that_are_here_are_offered(
    lab: Lab, owner: str, tiny_adapter_path: Path
) -> None:
    add_run(lab, owner, "aaaa", tiny_adapter_path, "First")
    add_run(lab, owner, "bbbb", tiny_adapter_path)
    add_run(lab, lab.owner_of(lab.new_workspace()), "cccc", tiny_adapter_path)
    shutil.rmtree(add_run(lab, owner, "dddd", tiny_adapter_path) / "adapter")
    offered = {choice.value: choice.label for choice in lab.runs.references(owner)}
    assert offered == {"run:bbbb": "Run Marked (bbbb)", "run:aaaa": "Run First (aaaa)", "tiny": "Model tiny"}
    for value in (*offered, "base"):
        assert lab.runs.preflight(owner, config_with(value), None).problems == ()
        run_id = lab.runs.start(owner, config_with(value), None, "")
        assert lab.runs.folder(owner, run_id).read_config().reference == value


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("run:{theirs}", "no run of this workspace"),  # by its id, its folder, a way to its folder
        ("run:{home}/runs/{theirs}", "no run of this workspace"),
        ("run:{home}/runs/{theirs}/adapter", "no run of this workspace"),
        ("run:../runs/{theirs}", "no run of this workspace"),
        ("run:./{theirs}", "no run of this workspace"),
        ("run:/etc", "no run of this workspace"),
        ("run:../x", "no run of this workspace"),
        ("run:", "no run of this workspace"),
        ("run:{mine}/", "no run of this workspace"),
        ("run:{home}/runs/{mine}", "no run of this workspace"),
        ("{home}/models/tiny", "cannot be chosen by its path"),
        ("/etc", "cannot be chosen by its path"),
        ("../models/tiny", "is not understood"),
        ("nowhere", "no model 'nowhere'"),
        ("", "is not understood"),
    ],
)
def test_a_folder_or_somebody_elses_run_is_refused(
    lab: Lab, owner: str, tiny_adapter_path: Path, reference: str, told: str
) -> None:
    add_run(lab, owner, "aaaa", tiny_adapter_path)
    add_run(lab, lab.owner_of(lab.new_workspace()), "cccc", tiny_adapter_path)
    config = config_with(reference.format(home=lab.home, mine="aaaa", theirs="cccc"))
    (problem,) = lab.runs.preflight(owner, config, None).problems
    assert told in problem
    with pytest.raises(LabError, match=told):
        lab.runs.start(owner, config, None, "")
    with pytest.raises(LabError, match=told):
        lab.runs.measure(owner, config, None)
    assert len(lab.runs.summaries(owner)) == 1


def test_a_run_that_was_deleted_is_refused_in_words(lab: Lab, owner: str, tiny_adapter_path: Path) -> None:
    add_run(lab, owner, "aaaa", tiny_adapter_path)
    lab.runs.delete(owner, "aaaa")
    with pytest.raises(RunRefused, match="Choose one of your own runs, the base model, or a model in the lab's"):
        lab.runs.start(owner, config_with("run:aaaa"), None, "")
