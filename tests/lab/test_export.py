"""The process that merges: it works in the lab's data folder and asks no hub, whichever way it is started."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bnf_lab.cli.main import main
from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.judgements import now
from bnf_lab.core.sealed_folders import seal_checkpoint
from bnf_lab.lab.export import export_merged
from bnf_lab.lab.lab import Lab
from bnf_lab.lab.models import worker_environment
from bnf_lab.runs.folder import RunFolder

MERGE = "bnf_lab.training.merge"


def make_run(home: Path, tiny_model_path: Path, owner: str = "") -> RunFolder:
    """A finished run of a model in the data folder, with an adapter whose contents nobody reads here."""
    model = home / "models" / "tiny"
    model.parent.mkdir(parents=True, exist_ok=True)
    model.symlink_to(tiny_model_path)
    folder = RunFolder.create(home / "runs" / "run1", RunConfig(model="tiny"), [], owner=owner)
    staging = folder.path / "tmp-final"
    staging.mkdir()
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (staging / name).write_text("{}")
    seal_checkpoint(staging, folder.adapter)
    return folder


@pytest.fixture
def merges(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The environments that merge processes were given; each of them answers that it cannot merge."""
    given: list[dict[str, str]] = []
    honest = subprocess.run

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        if MERGE not in command:
            return honest(command, **options)
        given.append(dict(options["env"]))
        return subprocess.CompletedProcess(command, 0, stdout=json.dumps({"error": "merged nothing"}), stderr="")

    monkeypatch.setattr("bnf_lab.core.child_processes.subprocess.run", run)
    # the server's or the shell's own variables are not what the process needs
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return given


def merge_from_a_page(home: Path, tiny_model_path: Path) -> str:
    lab = Lab(home)
    try:
        owner = lab.owner_of(lab.new_workspace())
        folder = make_run(home, tiny_model_path, owner)
        lab.runs.register.add(owner, folder.run_id, "", now())
        with pytest.raises(RunRefused, match="merged nothing") as refusal:
            lab.runs.export_merged(owner, folder.run_id)
    finally:
        lab.close()
    return str(refusal.value)


def merge_from_the_shell(home: Path, tiny_model_path: Path) -> str:
    folder = make_run(home, tiny_model_path)
    code = main(["export", "--run", str(folder.path), "--output", str(home / "out.zip"), "--merged"])
    return f"exit code {code}"


@pytest.mark.parametrize("merge", [merge_from_a_page, merge_from_the_shell])
def test_the_merge_process_knows_the_data_folder_and_asks_no_hub(
    tmp_path: Path,
    tiny_model_path: Path,
    merges: list[dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    merge: Callable[[Path, Path], str],
) -> None:
    home = tmp_path / "home"
    # a page's lab need not be in the folder that the variable names; the shell's always is
    elsewhere = home if merge is merge_from_the_shell else tmp_path / "elsewhere"
    monkeypatch.setenv("BNF_LAB_HOME", str(elsewhere))
    said = merge(home, tiny_model_path)
    assert len(merges) == 1, said
    (environment,) = merges
    assert environment["BNF_LAB_HOME"] == str(home)
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_a_merge_asks_no_hub_whatever_it_is_given(
    tmp_path: Path, tiny_model_path: Path, merges: list[dict[str, str]]
) -> None:
    folder = make_run(tmp_path, tiny_model_path)
    with pytest.raises(RunRefused, match="merged nothing"):
        export_merged(folder, tiny_model_path, folder.adapter, tmp_path, environment={"HF_HUB_OFFLINE": "0", "A": "b"})
    assert (merges[0]["HF_HUB_OFFLINE"], merges[0]["A"]) == ("1", "b")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, "0"),
        ({"HF_HUB_OFFLINE": "1"}, "1"),
        ({"HF_HUB_OFFLINE": "1", "BNF_LAB_HUB_OFFLINE": "0"}, "0"),
    ],
)
def test_helpers_know_whether_hubs_may_be_asked_at_all(tmp_path: Path, given: dict[str, str], kept: str) -> None:
    """The shell forbids its own libraries the hub and remembers what the person had asked for."""
    assert worker_environment(tmp_path, given)["BNF_LAB_HUB_OFFLINE"] == kept


def test_the_shell_names_the_data_folder_where_no_variable_does(
    tmp_path: Path, tiny_model_path: Path, merges: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BNF_LAB_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("bnf_lab.core.paths.SPACE_STORAGE", tmp_path / "no storage")
    merge_from_the_shell(tmp_path / ".bnf-lab", tiny_model_path)
    assert merges[0]["BNF_LAB_HOME"] == str(tmp_path / ".bnf-lab")
    assert merges[0]["HF_HUB_OFFLINE"] == "1"
