"""The shell: every verb for people and for machines, and its refusals, on the tiny model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bnf_lab.cli import check
from bnf_lab.cli import fetch as fetch_verb
from bnf_lab.core.errors import ModelUnavailable
from bnf_lab.models.fetch import FetchProgress
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import RunState
from tests.support.shells import Shell, open_shell, pairs_file

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "n_steps": 3,
    "responses_per_step": 4,
    "max_tokens": 200,
    "n_probe": 2,
    "checkpoint_steps": 2,
    "answer_steps": 3,
    "learning_rate": 0.01,
}
FLAGS = [part for name, value in SETTINGS.items() for part in ("--" + name.replace("_", "-"), str(value))]


@pytest.fixture
def shell(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with open_shell(tmp_path / "home", capfd) as run:
        yield run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return pairs_file(tmp_path / "pairs.jsonl")


@pytest.fixture(scope="module")
def trained(slow: None, tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three steps, made by the shell in a process of its own."""
    folder = tmp_path_factory.mktemp("runs")
    command = [
        sys.executable,
        "-m",
        "bnf_lab",
        "train",
        "--data",
        str(pairs_file(folder / "pairs.jsonl")),
        "--output",
        str(folder / "run"),
        "--model",
        str(tiny_model_path),
        *FLAGS,
    ]
    environment = os.environ | {"BNF_LAB_HOME": str(folder / "home")}
    (folder / "home").mkdir()
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert answer.returncode == 0, answer.stderr
    assert "finished at step 3 of 3" in answer.stdout
    for words in ("held-out accuracy", "margin", "preferred log-likelihood", "dispreferred log-likelihood"):
        assert f"\n{words}" in answer.stdout
    assert "training: step" in answer.stderr
    assert "grad_norm" not in answer.stdout + answer.stderr  # the Trainer's own prints are in the run's log
    return folder / "run"


# -- bad input


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "VERB"),
        ("tain", "'tain'"),
        ("check", "FILE"),
        ("check {data} --unknown", "--unknown"),
        ("check {data} --threshold high", "--threshold"),
        ("check {data} --centring row", "--centring"),
        ("check {data} --weighting rank", "--weighting"),
        ("check {data} --map answer=a", "FIELD=PLACE"),
        ("check {data} --model nobody/nothing", "fetch-model nobody/nothing"),
        ("check missing.csv", "missing.csv"),
        ("fetch-model ../elsewhere", "not understood"),
        ("train --data {data}", "--output"),
        ("train --output {new}", "--data is missing"),
        ("train --data missing.csv --output {new}", "missing.csv"),
        ("train --data demo:nothing --output {new}", "short_answers"),
        ("train --data {data} --output {new} --learn 1", "--learn"),
        ("train --data {data} --output {new} --learning-rate fast", "learning_rate is 'fast'"),
        ("train --data {data} --output {new} --n-steps 0 --method sft", "n_steps is 0"),
        ("train --data {data} --output {new} --config missing.yaml", "missing.yaml"),
        ("train --data {data} --output {new} --resume", "no run to resume"),
        ("train --data {data} --output {new} --resume --dry-run", "exclude each other"),
        ("train --data {data} --output {new} --model /nowhere/model", "no config.json"),
        ("score --data {data} --pairs 0", "--pairs"),
        ("score --data {data} --adapter missing", "there is no adapter"),
        ("score --data {data}", "fetch-model embedded"),
        ("chat --prompt Hello", "fetch-model embedded"),
        ("chat --prompt {empty}", "--prompt is empty"),
        ("chat --prompt Hello --seed -1", "--seed"),
        ("export --run missing --output {new}", "cannot be read"),
        ("export --run {new} --output {data}", "there already"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_bad_input_is_one_line_and_code_2(
    shell: Shell, data: Path, tmp_path: Path, line: str, words: str, as_json: bool
) -> None:
    places = {"data": data, "new": tmp_path / "new", "empty": ""}
    arguments = [part.format(**places) for part in line.split()]
    answer = shell(*arguments, *(["--json"] if as_json and arguments else []))
    assert words in answer.refusal
    assert "Traceback" not in answer.err
    if as_json and arguments and arguments[0] != "check":
        assert words in answer.record["error"]
    elif not as_json:
        assert answer.out == ""
    assert not (tmp_path / "new").exists()


def test_a_defect_is_one_line_with_its_details_in_a_file(
    shell: Shell, data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("seven")

    monkeypatch.setattr(check, "import_file", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answer = shell("check", data)
    assert answer.code == 1
    assert answer.err.count("\n") == 1
    details = Path(answer.err.split("Details: ")[1].strip())
    assert "ZeroDivisionError: seven" in details.read_text(encoding="utf-8")


def test_nothing_heavy_is_imported_for_help_and_check() -> None:
    code = (
        "import sys; from bnf_lab.cli.main import build_parser; build_parser();"
        "print(sorted({'torch', 'transformers', 'gradio', 'pandas', 'datasets'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "[]"


def test_prints_of_libraries_do_not_reach_stdout(shell: Shell, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = check.import_file

    def chatty(*arguments: Any, **options: Any) -> Any:
        print("hello from a library")
        os.write(1, b"hello from C\n")
        return real(*arguments, **options)

    monkeypatch.setattr(check, "import_file", chatty)
    answer = shell("check", data, "--json")
    assert answer.record["taken"] == 10
    assert "hello from C" in answer.err


# -- fetch-model


def test_fetch_model_writes_its_progress_as_json_lines(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(name: str, folder: Path, on_progress: Callable[[FetchProgress], None]) -> Path:
        on_progress(FetchProgress("waiting", None))
        on_progress(FetchProgress("downloading", 0.5))
        return folder / name

    monkeypatch.setattr(fetch_verb, "fetch_model", fetch)
    answer = shell("fetch-model", "--json")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert [(line["detail"], line["fraction"]) for line in lines] == [
        ("waiting", None),
        ("downloading", 0.5),
        ("ready", 1.0),
    ]
    assert shell("fetch-model").out.startswith("embedded is ready in ")


def test_a_failed_fetch_says_why(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object) -> Path:
        raise ModelUnavailable("The index is asleep.")

    monkeypatch.setattr(fetch_verb, "fetch_model", fetch)
    answer = shell("fetch-model", "--json")
    assert (answer.code, answer.record) == (1, {"error": "The index is asleep."})
    assert answer.err == "The index is asleep.\n"


# -- check


def test_check_reports_every_file(shell: Shell, data: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    good = {"prompt": "a", "chosen": "b", "rejected": "c"}
    bad.write_text(f"{json.dumps(good)}\n{json.dumps({**good, 'chosen': True})}\n")
    garbage = tmp_path / "garbage.csv"
    garbage.write_bytes(b"\x00\xff\xfe" * 50)
    answer = shell("check", data, bad, garbage, "--json")
    records = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.code == 2
    assert [(r["file"], r["taken"]) for r in records] == [("pairs.jsonl", 10), ("bad.jsonl", 1), ("garbage.csv", 0)]
    assert [(r["layout"], r["preferred"], r["dispreferred"]) for r in records] == [
        ("TRL preference: pairs", 10, 10),
        ("TRL preference: pairs", 1, 1),
        (None, 0, 0),
    ]
    assert [r["row"] for r in records[1]["refused"]] == [2]
    assert "chosen" in records[1]["refused"][0]["reason"]
    assert len(records[2]["refused"]) == 1
    assert records[2]["refused"][0]["row"] == 0
    assert answer.err == records[2]["refused"][0]["reason"] + "\n"
    text = shell("check", data, bad)
    assert text.code == 0
    assert "pairs.jsonl: 10 of 10 rows taken (10 preferred, 10 dispreferred responses), 0 refused" in text.out
    assert "refused: row 2" in text.out


def test_check_takes_a_threshold_and_a_mapping(shell: Shell, tmp_path: Path) -> None:
    rated = tmp_path / "rated.csv"
    rated.write_text("frage,antwort,sterne\nHi,Hello,1\nHo,Hey,3\nHa,Huh,5\n")
    unmapped = shell("check", rated, "--json")
    assert unmapped.code == 2
    assert "--map" in unmapped.record["refused"][0]["reason"]
    columns = ["--map", "prompt=frage", "--map", "response=antwort", "--map", "rating=sterne"]
    assert "(2 preferred, 1 dispreferred response)" in shell("check", rated, *columns).out
    assert "(1 preferred, 2 dispreferred responses)" in shell("check", rated, *columns, "--threshold", 4).out


def test_check_says_how_ratings_and_ranks_count(shell: Shell, tmp_path: Path) -> None:
    rated, ranks = tmp_path / "rated.csv", tmp_path / "ranks.csv"
    rated.write_text("prompt,completion,rating\nHi,Hello,1\nHi,Hey,4\nHa,Huh,5\n")
    ranks.write_text("frage,antwort,platz\nHi,Hello,2\nHi,Hey,1\n")
    assert "\n  preferred from a rating of 4, dispreferred below; all weights 1\n" in shell("check", rated).out
    chosen = shell("check", rated, "--centring", "prompt", "--weighting", "distance").out
    assert "2 of 3 rows taken (1 preferred, 1 dispreferred response), 1 refused" in chosen
    assert "\n  preferred above each prompt's own mean, dispreferred below; weights by distance\n" in chosen
    assert "warning: 1 prompt left out (row 3)" in chosen
    columns = ["--map", "prompt=frage", "--map", "response=antwort", "--map", "rank=platz"]
    assert "\n  ranks (1 = best): preferred where better" in shell("check", ranks, *columns).out
    refusal = shell("check", rated, "--centring", "prompt", "--threshold", 3).refusal
    assert "The threshold of ratings is 3, but with the centring 'prompt'" in refusal


def test_check_counts_tokens_of_a_model(shell: Shell, data: Path, tiny_model_path: Path) -> None:
    plain = shell("check", data, "--json")
    counted = shell("check", data, "--json", "--model", tiny_model_path, "--max-tokens", 16)
    assert not any("token" in text for text in plain.record["warnings"])
    assert any("16 tokens" in text for text in counted.record["warnings"])


# -- train


def test_train_ends_with_the_runs_own_numbers(trained: Path) -> None:
    folder = RunFolder(trained)
    assert folder.read_status().state == "finished"
    assert {name: folder.read_config().to_dict()[name] for name in SETTINGS} == SETTINGS
    assert folder.read_process() is None
    assert (trained / "adapter" / "adapter_model.safetensors").is_file()
    assert "grad_norm" in folder.log.read_text()


def test_resuming_a_finished_run_repeats_its_result(shell: Shell, trained: Path) -> None:
    answer = shell("train", "--output", trained, "--resume", "--json")
    points = [p for p in RunFolder(trained).read_metrics() if p.source == "probe"]
    assert answer.code == 0
    for when, point in (("before", points[0]), ("after", points[-1])):
        names = ("step", "accuracy", "margin", "preferred_logp", "dispreferred_logp")
        assert answer.record[when] == {name: getattr(point, name) for name in names}
    assert answer.record["before"]["preferred_logp"] != answer.record["after"]["preferred_logp"]
    assert answer.record["adapter"] == str(trained / "adapter")


def test_a_run_is_neither_overwritten_nor_changed(shell: Shell, trained: Path, data: Path, tmp_path: Path) -> None:
    assert "already holds a run" in shell("train", "--data", data, "--output", trained).refusal
    resume = ("train", "--output", trained, "--resume")
    assert "--n-steps 3" in shell(*resume, "--n-steps", 9).refusal
    assert shell(*resume, "--n-steps", 3).code == 0
    assert shell(*resume, "--data", trained.parent / "pairs.jsonl").code == 0
    assert "other judgements" in shell(*resume, "--data", pairs_file(tmp_path / "other.jsonl", 3)).refusal


def test_settings_come_from_a_file_and_flags_win(
    shell: Shell, data: Path, tiny_model_path: Path, tmp_path: Path
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(f"model: {tiny_model_path}\nn_steps: 50\nlearning_rate: 5e-3\nmax_tokens: 200\nn_probe: 1\n")
    line = ("train", "--data", data, "--output", tmp_path / "run", "--config", config)
    answer = shell(*line, "--n-steps", 2, "--answer-steps", 100, "--json")
    assert answer.code == 0
    assert (answer.record["state"], answer.record["step"]) == ("finished", 2)
    used = RunFolder(tmp_path / "run").read_config()
    assert (used.learning_rate, used.n_steps, used.max_tokens) == (0.005, 2, 200)
    config.write_text("n_step: 3\n")
    assert "'n_step' is not a setting" in shell(*line[:-3], tmp_path / "other", *line[-2:]).refusal
    config.write_text("- 3\n")
    assert "run.yaml" in shell(*line[:-3], tmp_path / "other", *line[-2:]).refusal


def test_a_run_s_own_config_json_is_a_file_of_settings(shell: Shell, data: Path, trained: Path, tmp_path: Path) -> None:
    config = trained / "config.json"
    assert json.loads(config.read_text())["version"] == 1
    line = ("train", "--data", data, "--output", tmp_path / "run", "--config", config, "--prepare-only")
    assert shell(*line, "--n-steps", 5).code == 0
    assert RunFolder(tmp_path / "run").read_config() == replace(RunFolder(trained).read_config(), n_steps=5)


@pytest.mark.parametrize("changes", [{"momentum": 0.9}, {"version": 99}])
def test_a_run_of_another_lab_is_reported_and_not_trained_on(
    shell: Shell, trained: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    path = tmp_path / "run"
    shutil.copytree(trained, path)
    folder = RunFolder(path)
    (path / "config.json").write_text(json.dumps(json.loads((path / "config.json").read_text()) | changes))
    assert shell("train", "--output", path, "--resume", "--json").record["state"] == "finished"
    folder.write_status(replace(folder.read_status(), state=RunState.STOPPED))
    refusal = shell("train", "--output", path, "--resume").refusal
    assert ("newer lab" if "version" in changes else "'momentum' (0.9 here)") in refusal
    assert folder.read_status().state is RunState.STOPPED


def test_a_dry_run_measures_and_leaves_nothing(shell: Shell, data: Path, tiny_model_path: Path, tmp_path: Path) -> None:
    line = ("train", "--data", data, "--output", tmp_path / "run", "--dry-run", "--model", tiny_model_path, *FLAGS)
    record = shell(*line, "--json").record
    assert (record["n_responses"], record["n_pairs"], record["problems"]) == (20, 10, [])
    assert record["step_seconds"] > 0
    assert record["seconds"] > 0
    assert record["memory_gib"] > 0
    assert record["n_tokens"] > 0
    assert not (tmp_path / "run").exists()


def test_a_prepared_run_waits_for_a_worker(shell: Shell, data: Path, tiny_model_path: Path, tmp_path: Path) -> None:
    line = ("train", "--data", data, "--output", tmp_path / "run", "--model", tiny_model_path, *FLAGS)
    assert shell(*line, "--prepare-only", "--json").record == {"state": "queued"}
    folder = RunFolder(tmp_path / "run")
    assert folder.read_process() is None
    assert len(folder.read_judgements()) == 20
    answer = shell("train", "--output", tmp_path / "run", "--resume", "--json")
    assert (answer.code, answer.record["state"]) == (0, "finished")


def test_a_dry_run_names_the_problems(shell: Shell, tiny_model_path: Path, tmp_path: Path) -> None:
    single = tmp_path / "single.jsonl"
    single.write_text('{"prompt": "Hi", "completion": "Hello", "label": true}\n')
    line = ("train", "--data", single, "--output", tmp_path / "run", "--method", "dpo", "--model", tiny_model_path)
    answer = shell(*line, "--dry-run", "--json")
    assert "needs pairs" in answer.refusal
    assert "needs pairs" in answer.record["problems"][0]
    assert "needs pairs" in shell(*line).refusal
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_ctrl_c_saves_a_checkpoint_from_which_the_run_resumes(
    shell: Shell, data: Path, tiny_model_path: Path, tmp_path: Path
) -> None:
    line = ["train", "--data", data, "--output", tmp_path / "run", "--model", tiny_model_path, *FLAGS]
    line += ["--n-steps", 1500, "--checkpoint-steps", 5000, "--answer-steps", 5000, "--json"]
    command = [sys.executable, "-m", "bnf_lab", *map(str, line)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        for text in process.stderr:
            if text.startswith("training: step") and not text.startswith("training: step 0"):
                process.send_signal(signal.SIGINT)
                break
        out, _ = process.communicate(timeout=120)
    record = json.loads(out)
    assert (process.returncode, record["state"]) == (0, "stopped")
    assert 0 < record["step"] < 1500
    assert (tmp_path / "run" / f"checkpoint-{record['step']}").is_dir()
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    folder = RunFolder(tmp_path / "run")
    config = folder.read_config().to_dict() | {"n_steps": record["step"] + 2}
    (folder.path / "config.json").write_text(json.dumps(config))
    resumed = shell("train", "--output", folder.path, "--resume", "--json").record
    assert (resumed["state"], resumed["step"]) == ("finished", record["step"] + 2)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_a_failed_run_is_code_1_and_one_line(
    shell: Shell, data: Path, tiny_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ModelUnavailable("The model is made of cheese.")

    monkeypatch.setattr("bnf_lab.training.run.train", broken)
    answer = shell("train", "--data", data, "--output", tmp_path / "run", "--model", tiny_model_path, "--json")
    assert answer.code == 1
    assert answer.record["error"] == "The model is made of cheese."
    assert answer.err.splitlines()[-1] == "The run failed: The model is made of cheese."
    assert "Traceback" not in answer.err
    assert "Traceback" in (tmp_path / "run" / "worker.log").read_text()


# -- score, chat, export


def test_score_finds_the_model_of_a_run(shell: Shell, data: Path, trained: Path, tiny_model_path: Path) -> None:
    for adapter in (trained, trained / "adapter", trained / "checkpoint-2"):
        record = shell("score", "--data", data, "--adapter", adapter, "--pairs", 1, "--answers", 0, "--json").record
        assert record["model"] == str(tiny_model_path)
        assert record["aligned"] is not None


def test_chat_answers_with_both_models(
    shell: Shell, tiny_model_path: Path, tiny_adapter_path: Path, zero_adapter_path: Path
) -> None:
    line = ("chat", "--prompt", "Add 3 and 4.", "--model", tiny_model_path, "--max-new-tokens", 6, "--seed", 3)
    alone, same, other = (
        shell(*line, "--json", *adapter).record
        for adapter in ([], ["--adapter", zero_adapter_path], ["--adapter", tiny_adapter_path])
    )
    assert alone["aligned"] is None
    assert alone["base"]["text"] == same["base"]["text"] == same["aligned"]["text"] == other["base"]["text"]
    assert other["aligned"]["text"] != other["base"]["text"]
    assert other["base"]["logp_base"] == pytest.approx(alone["base"]["logp_base"], abs=0.02)
    text = shell(*line, "--adapter", tiny_adapter_path).out
    assert text.startswith("[base] ")
    assert "\n\n[aligned] " in text
    assert "tokens, " in text
    assert "top-p" in shell(*line, "--top-p", 0).refusal.lower()


def test_export_writes_the_adapter_or_the_merged_model(shell: Shell, trained: Path, tmp_path: Path) -> None:
    adapter, merged = tmp_path / "adapter.zip", tmp_path / "merged.zip"
    assert shell("export", "--run", trained, "--output", adapter, "--json").record["file"] == str(adapter)
    record = shell("export", "--run", trained, "--output", merged, "--merged", "--json").record
    assert record["kind"] == "merged"
    assert 0 <= record["merge"]["difference"] <= record["merge"]["accepted"]
    assert record["merge"]["seen_difference"] >= 0
    contents = [{name.split("/")[-1] for name in zipfile.ZipFile(path).namelist()} for path in (adapter, merged)]
    adapter = {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    assert contents[0] == adapter | {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= contents[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter.zip", "home", "merged.zip"]
