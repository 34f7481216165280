"""What leaves the machine names no folder of it, nor its user: zips, cards, reports, tables, JSON, error texts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import LabError
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair, now
from bnf_lab.core.paths import without_places
from bnf_lab.lab.lab import Lab
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import RunState
from bnf_lab.training import worker
from bnf_lab.ui.guard import guarded, toast_text
from bnf_lab.ui.preferences.upload_report import draw_problem
from tests.support.shells import pairs_file

ROOT = Path(__file__).resolve().parents[2]
USER = "ada-b-secret"
SETTINGS = {
    "n_steps": 2,
    "responses_per_step": 4,
    "max_tokens": 200,
    "n_probe": 2,
    "lora_rank": 4,
    "checkpoint_steps": 1,
    "answer_steps": 2,
}
RECIPE = """
title: Own
question: Does it run?
data: demo:short_answers
seeds: 1
settings: {responses_per_step: 4, max_tokens: 200, n_probe: 2, lora_rank: 4, answer_steps: 100, probe_share: 0.01}
arms:
  - method: [bnf]
    learning_rate: 1e-3
compare: method
along: learning_rate
claims:
  - {text: BNF is right, where: {method: bnf}, measure: accuracy, at_least: 0}
"""


@dataclass
class Place:
    """A home folder with the user's name in it, a data folder within, and a public folder for what goes out."""

    home: Path
    public: Path

    @property
    def data(self) -> Path:
        return self.home / "my lab"

    @property
    def model(self) -> Path:
        return self.data / "models" / "tiny"

    @property
    def run(self) -> Path:
        return self.data / "runs" / "abc"

    def verb(self, *line: object) -> Any:
        """Runs a verb for machines; returns the last of its JSON documents and sees that stdout names no folder."""
        variables = {"HOME": str(self.home), "USER": USER, "BNF_LAB_HOME": str(self.data), "OMP_NUM_THREADS": "1"}
        answer = subprocess.run(
            [sys.executable, "-m", "bnf_lab", *map(str, line), "--json"],
            capture_output=True,
            encoding="utf-8",
            check=False,
            cwd=ROOT,
            env=os.environ | variables,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout


@pytest.fixture(scope="module")
def place(slow: None, tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """With a finished run in the data folder of a model that is named by its path there."""
    place = Place(tmp_path_factory.mktemp("homes") / USER, tmp_path_factory.mktemp("public"))
    shutil.copytree(tiny_model_path, place.model)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    data = pairs_file(place.home / "pairs.jsonl", 12)
    place.verb("train", "--data", data, "--output", place.run, "--model", place.model, *flags)
    return place


def check_zip(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            assert USER not in name
            assert USER.encode() not in content, name
        return [Path(name).name for name in archive.namelist()]


@pytest.mark.parametrize("more", [[], ["--merged"]], ids=["adapter", "merged"])
def test_zips_from_the_shell(place: Place, more: list[str]) -> None:
    path = place.public / f"out{len(more)}.zip"
    assert USER not in place.verb("export", "--run", place.run, "--output", path, *more)
    names = check_zip(path)
    assert {"README.md", "tokenizer_config.json"} <= {*names}
    assert ("config.json" if more else "adapter_config.json") in names


def test_zips_and_judgements_from_the_page(place: Place) -> None:
    lab = Lab(place.data)
    try:
        lab.runs.queue.close()
        lab.runs.register.add("me", "abc", "mine", now())
        pair = build_pair((Message("user", "Why?"),), "Yes.", "No.", source=Source.EDIT)
        lab.judgements.add("me", "c", pair)
        check_zip(lab.runs.export_adapter("me", "abc"))
        for text in (lab.runs.export_report("me", "abc"), lab.runs.export_metrics("me", "abc")):
            assert USER not in text.read_text(encoding="utf-8")
        for kind in ("pairs", "unpaired"):
            assert USER not in lab.judgements.export("me", kind).read_text(encoding="utf-8")
        for summary in lab.runs.summaries("me"):
            assert USER not in str((summary.name, summary.status, summary.verdict))
        assert USER not in str(lab.runs.pane_labels("me", "tiny", "abc", "final"))
    finally:
        lab.close()


def test_an_experiments_report_and_tables(place: Place) -> None:
    recipe, out = place.public / "own.yaml", place.public / "out"
    recipe.write_text(RECIPE, encoding="utf-8")
    data = pairs_file(place.home / "more.jsonl", 12)
    settings = ["--set", f"model={place.model}", "--set", "n_steps=2"]
    said = place.verb("experiment", recipe, "--data", data, "--output", out, *settings)
    assert USER not in said
    looked_at = [path for path in out.iterdir() if path.is_file()]
    assert {"report.html", "cells.csv"} <= {path.name for path in looked_at}
    for path in looked_at:
        assert USER.encode() not in path.read_bytes(), path.name


def test_what_verbs_say_to_machines(place: Place) -> None:
    copy = place.public / "run"
    shutil.copytree(place.run, copy)
    data = pairs_file(place.public / "pairs.jsonl", 4)
    assert USER not in place.verb("check", data, "--model", "tiny")
    assert USER not in place.verb("score", "--data", data, "--adapter", copy / "adapter", "--model", "tiny")
    assert USER not in place.verb("chat", "--prompt", "Hello?", "--adapter", copy / "adapter", "--model", "tiny")
    new = place.public / "new"
    assert USER not in place.verb("train", "--data", data, "--output", new, "--model", "tiny", "--dry-run")


# --- error texts


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    home = tmp_path / USER / "my lab"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home.parent))
    monkeypatch.setenv("BNF_LAB_HOME", str(home))
    yield home


def refusals(home: Path) -> list[Exception]:
    path = home / "models" / "a model" / "config.json"
    return [
        LabError(f"{path} cannot be read."),
        LabError(f"Error no file named model.safetensors found in directory {path.parent}."),
        LabError(f"[Errno 13] Permission denied: {str(path)!r}"),
        FileNotFoundError(2, "No such file or directory", str(path)),
        RuntimeError(f"Unable to open file <{path}> in read only mode"),
    ]


def test_a_page_shows_no_folder(home: Path) -> None:
    for error in refusals(home):

        def fail(error: Exception = error) -> None:
            raise error

        with pytest.raises(gr.Error) as shown:
            guarded(fail)()
        assert USER not in str(shown.value), error
        assert USER not in toast_text(str(error))
        assert USER not in draw_problem(str(error))
        assert "config.json" in without_places(str(refusals(home)[0]))


def test_a_status_names_no_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judgement = Judgement((Message("user", "Why?"),), "Yes.", Verdict.PREFERRED)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    for number, error in enumerate(refusals(home)):
        folder = RunFolder.create(home / "runs" / str(number), RunConfig(), [judgement])

        def fail(_: str, error: Exception = error) -> Any:
            raise error

        assert worker.run(folder, import_training=fail) == 1
        assert folder.read_status().state is RunState.FAILED
        assert USER not in (folder.path / "status.json").read_text(encoding="utf-8")
        record = json.loads((folder.path / "status.json").read_text(encoding="utf-8"))
        assert record["failure"]
