"""The report, the table and the names of a run's files: everything in them, and no folder of the machine."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from bnf_lab.cli.main import main
from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.judgements import now
from bnf_lab.lab.export import export_metrics, file_stem
from bnf_lab.lab.run_report import FIGURES, build_run_report, list_answers
from bnf_lab.lab.run_summaries import summarise_folder
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import (
    AnswerPoint,
    MetricPoint,
    ProbeResponse,
    RunState,
    RunStatus,
    TokenHeader,
    TokenSnapshot,
)
from tests.support.pages import idle_lab

NASTY = "</script><script>window.hit=1</script>"


def make_run(path: Path, **settings: object) -> RunFolder:
    config = RunConfig(model="/home/ada/models/tiny", reference="run:/home/ada/runs/first", **settings)
    folder = RunFolder.create(path, config, [])
    failure = "No such file: '/home/ada/models/tiny/x.json'"
    folder.write_status(RunStatus(RunState.FAILED, step=20, total_steps=20, failure=failure))
    for step, accuracy in ((0, 0.25), (20, 0.75)):
        folder.append_metric(
            MetricPoint(step, 3.0 * step, "probe", accuracy=accuracy, margin=accuracy - 0.5, preferred_logp=-1.0)
        )
        folder.append_answer(AnswerPoint(step, "Why? " + NASTY, f"Because of {step}.", 3))
    folder.append_metric(MetricPoint(20, 61.5, "train", loss=0.5))
    response = ProbeResponse("j1", "preferred", "Why?", ("a", "b"), (-1.0, -2.0), (3.0, 4.0))
    folder.append_tokens(TokenHeader((response,)))
    folder.append_tokens(TokenSnapshot(20, ((-0.5, -1.0),), ((3.0, 4.0),), ((1.0, 0.5),)))
    return folder


def test_the_report_has_everything_and_plotly_once(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run1", learning_rate=1e-3)
    page = build_run_report(folder, summarise_folder(folder))
    text = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    for said in (
        "Learning rate",
        "<b>0.001</b>",
        "25%",
        "75%",
        "\N{MINUS SIGN}0.25",
        "Because of 0.",
        "Because of 20.",
        "1 min 2 s",
    ):
        assert said in text
    for name, title in FIGURES.items():
        assert f'id="figure-{name}"' in page and title in page
    assert page.count("plotly.js v") == 1
    figures = json.loads(re.search(r'id="figures">(.*?)</script>', page, re.S)[1])
    assert [figure["id"] for figure in figures] == [f"figure-{name}" for name in FIGURES]


def test_the_report_names_no_folder_and_runs_nobodys_script(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run1")
    page = build_run_report(folder, summarise_folder(folder))
    assert "/home/ada" not in page and str(tmp_path) not in page
    assert "tiny" in page and "run:first" in page and "x.json" in page
    assert NASTY not in page


def test_a_damaged_line_is_said_in_the_report_and_refused_in_the_table(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run1")
    with open(folder.path / "metrics.jsonl", "ab") as file:
        file.write(b"garbage\n")
    assert "metrics.jsonl line 4 cannot be read" in build_run_report(folder, summarise_folder(folder))
    with pytest.raises(RunRefused, match="line 4"):
        export_metrics(folder, tmp_path)


def test_a_run_that_has_measured_nothing_has_a_report(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run1", RunConfig(), [])
    assert "nothing measured yet" in build_run_report(folder, summarise_folder(folder))


def test_the_metrics_are_a_table_with_every_number(tmp_path: Path) -> None:
    path = export_metrics(make_run(tmp_path / "run1"), tmp_path, name="Short answers")
    assert path.name == "short-answers-bnf-metrics.csv"
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    assert [(row["step"], row["source"], row["accuracy"]) for row in rows] == [
        ("0", "probe", "0.25"),
        ("20", "probe", "0.75"),
        ("20", "train", ""),
    ]
    assert rows[2]["loss"] == "0.5"


def test_answers_are_the_first_and_the_last_of_each_prompt(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run1", RunConfig(), [])
    for step, prompt, text in ((0, "a", "old"), (5, "a", "mid"), (10, "a", ""), (5, "b", "new")):
        folder.append_answer(AnswerPoint(step, prompt, text, 1, is_empty=not text))
    found = [(a.prompt, a.before, a.after, a.step, a.is_broken) for a in list_answers(folder)]
    assert sorted(found) == [("a", "old", "", 10, True), ("b", None, "new", 5, False)]


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\\b:c*?", "日本", "\ud800", "x" * 300, "con", "<b>", "a\nb"])
def test_a_file_name_holds_nothing_that_a_system_refuses(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", file_stem(name, "a1b2", "../bnf"))
    assert len(file_stem(name, "a1b2", "bnf")) < 80


def test_the_lab_hands_out_files_under_the_runs_name_to_its_owner(tmp_path: Path) -> None:
    with idle_lab(tmp_path / "home") as lab:
        make_run(lab.home / "runs" / "a1b2")
        lab.runs.register.add("me", "a1b2", "a1b2", now(), collections=("short_answers",))
        assert lab.runs.export_report("me", "a1b2").name == "short-answers-bnf-report.html"
        lab.runs.remark("me", "a1b2", "My try", "See <b>this</b>", ("one tag",))
        report = lab.runs.export_report("me", "a1b2")
        assert report.name == "my-try-bnf-report.html"
        page = report.read_text(encoding="utf-8")
        assert "See &lt;b&gt;this" in page and "one tag" in page and str(lab.home) not in page
        for export in (lab.runs.export_report, lab.runs.export_metrics):
            with pytest.raises(Exception, match="not in your workspace"):
                export("somebody else", "a1b2")


def test_the_shell_writes_a_report_and_overwrites_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, target = make_run(tmp_path / "run1"), tmp_path / "report.html"
    words = ["report", "--run", str(folder.path), "--output", str(target)]
    assert main([*words, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["kind"] == "report"
    assert "Because of 20." in target.read_text(encoding="utf-8")
    assert main(words) == 2
    assert "is there already" in capfd.readouterr().err
