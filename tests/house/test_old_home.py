"""A data folder from before `bnf_lab` became twelve rooms opens today: its workspace, its database and its runs.

`tests/support/old_home/home.tar.xz` was made by commit b7e0a18 (`README.md` beside it says how), with what that lab
itself said of it in `expected.json`.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.lab.lab import Lab
from bnf_lab.runs import folder as run_folder
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import RunState
from bnf_lab.ui.runs import tab as runs_tab
from bnf_lab.ui.session import STORAGE_KEY, STORAGE_SECRET, keep_or_make_token
from bnf_lab.ui.train import tab as train_tab
from bnf_lab.ui.watch import tab as watch_tab
from bnf_lab.ui.watch.inspector import Look
from bnf_lab.ui.watch.tab import Shown
from tests.support.pages import build_page, idle_lab

ARCHIVE = Path(__file__).resolve().parents[1] / "support" / "old_home" / "home.tar.xz"
PATIENCE_SECONDS = 180


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "home", filter="data")
    return tmp_path / "home"


@pytest.fixture
def said(home: Path) -> dict[str, Any]:
    """What the lab that made the folder said of it."""
    return json.loads((home / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture
def lab(home: Path) -> Iterator[Lab]:
    with idle_lab(home) as lab:
        yield lab


def test_the_browser_s_workspace_is_still_that_workspace(lab: Lab, said: dict[str, Any]) -> None:
    assert (said["storage_key"], said["storage_secret"]) == (STORAGE_KEY, STORAGE_SECRET)
    assert keep_or_make_token(lab, said["token"]) == said["token"]
    assert lab.owner_of(said["token"]) == said["owner"]


def test_judgements_are_there_word_for_word(lab: Lab, said: dict[str, Any]) -> None:
    stored = lab.judgements.find(said["owner"])
    assert [[entry.judgement.to_dict(), entry.collection] for entry in stored] == said["judgements"]
    assert lab.judgements.totals(said["owner"]).pairs == 7


def test_chat_and_unfinished_work_are_there(lab: Lab, said: dict[str, Any]) -> None:
    owner = said["owner"]
    record = json.loads(json.dumps(lab.chats.load(owner).to_record()))
    assert record["settings"].pop("weights") == ""  # is younger than this home
    assert record == said["chat"]
    answer = lab.chats.reconcile(owner).turns[0].aligned
    assert (answer.mark, answer.content) == ("edited", "It is 3, of course.")
    marking = lab.marking.load(owner)
    assert (marking.prompts, marking.prompt) == (("What is a comet?", "And the sea?"), "And the sea?")
    page = build_page(lab, train_tab.build)
    fields = page.tab.handlers.parts.fields
    drawn = page.tab.handlers.redraw(said["token"], "")
    assert (drawn[fields["n_steps"]]["value"], drawn[fields["method"]]["value"]) == (12, "dpo")
    assert drawn[page.tab.handlers.parts.collections].value == ["marked"]


@pytest.mark.parametrize("which", ["finished", "stopped"])
def test_runs_are_listed_with_the_numbers_they_had(lab: Lab, said: dict[str, Any], which: str) -> None:
    expected = said[which]
    run = next(run for run in lab.runs.summaries(said["owner"]) if run.run_id == expected["id"])
    numbers = {name: getattr(run, name) for name in ("accuracy", "margin", "preferred_logp_before", "preferred_logp")}
    status = {"id": run.run_id, "name": run.name, "state": str(run.status.state), "step": run.status.step}
    assert status | numbers == expected
    assert run.obstacle is None
    page = build_page(lab, runs_tab.build)
    table = str(page.tab.redraw.handler(said["token"], run.run_id)[0])
    for text in (expected["state"], f"{abs(expected['preferred_logp']):.2f}", f"{abs(expected['margin']):.2f}"):
        assert text in table


def test_watch_reads_curves_tokens_and_answers(lab: Lab, said: dict[str, Any]) -> None:
    page = build_page(lab, watch_tab.build)
    do, token = page.tab.handlers, said["token"]
    asked = do.redraw(token, said["finished"]["id"])
    drawn = do.draw(token, asked[do.parts.asked], Shown(), Look())
    curves = json.loads(drawn[do.parts.figures["likelihood"]])["data"]
    preferred = next(curve for curve in curves if curve["meta"] == "preferred_logp")
    assert preferred["x"] == [0, 1, 2]
    assert preferred["y"][0] == pytest.approx(said["finished"]["preferred_logp_before"], abs=1e-4)
    assert preferred["y"][-1] == pytest.approx(said["finished"]["preferred_logp"], abs=1e-4)
    assert json.loads(drawn[do.parts.inspector.feedback])["data"]
    assert json.loads(drawn[do.parts.inspector.slider]) == {"steps": [0, 1, 2], "step": 2}
    assert "Say 99." in drawn[do.parts.answers]


def test_the_adapter_is_offered_and_packed(lab: Lab, said: dict[str, Any]) -> None:
    owner, run_id = said["owner"], said["finished"]["id"]
    choice = next(choice for choice in lab.runs.adapters(owner) if choice.run_id == run_id)
    assert (choice.hash, choice.model) == (said["hash"], "tiny")
    with zipfile.ZipFile(lab.runs.export_adapter(owner, run_id)) as archive:
        packed = {Path(name).name for name in archive.namelist()}
    assert {"adapter_model.safetensors", "adapter_config.json", "README.md"} <= packed


def check_description(folder: Path) -> None:
    """Every file of the run folder stands in the table of `runs/folder.py`."""
    described = re.findall(r"^    (\S+?)/?  ", run_folder.__doc__, flags=re.MULTILINE)
    for path in folder.iterdir():
        assert re.sub(r"(?<=checkpoint-)\d+", "N", path.name) in described


def test_every_file_of_a_run_folder_is_described(home: Path) -> None:
    for folder in (home / "runs").glob("*/"):
        check_description(folder)


def test_the_line_of_metrics_that_is_shown_is_one_of_this_folder(home: Path, said: dict[str, Any]) -> None:
    shown = re.search(r"^    (\{.*?\})$", run_folder.__doc__, flags=re.MULTILINE | re.DOTALL)[1]
    lines = (home / "runs" / said["finished"]["id"] / "metrics.jsonl").read_text().splitlines()
    assert json.loads(shown) in map(json.loads, lines)


@pytest.mark.slow
def test_a_stopped_run_is_trained_to_its_end_from_its_checkpoint(
    home: Path, said: dict[str, Any], tiny_model_path: Path
) -> None:
    shutil.copytree(tiny_model_path, home / "models" / "tiny")
    folder, owner = RunFolder(home / "runs" / said["stopped"]["id"]), said["owner"]
    before = folder.read_metrics()
    lab = Lab(home)
    try:
        lab.runs.resume(owner, folder.run_id)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not folder.read_status().state.is_over and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        lab.close()
    check_description(folder.path)
    status = folder.read_status()
    assert (status.state, status.step) == (RunState.FINISHED, 8), folder.log.read_text(encoding="utf-8")
    after = folder.read_metrics()
    trained = [point.step for point in after if point.source == "train"]
    assert trained == list(range(1, 9))
    kept = {point.key: point for point in after}
    assert all(kept[point.key] == point for point in before), "a step before the checkpoint was trained again"
    assert folder.read_training_config() == RunConfig(**json.loads((folder.path / "config.json").read_text()))
