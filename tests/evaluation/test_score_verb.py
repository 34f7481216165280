"""The verb `score`: sides, judged responses, answers, skills, tasks and judge, its words and its refusals."""

from __future__ import annotations

import json
import math
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bnf_lab.cli.main import build_parser
from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import LabError
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair, group_units
from bnf_lab.data.importers import import_file
from bnf_lab.data.splits import build_split
from bnf_lab.evaluation import sides
from bnf_lab.evaluation.intervals import contrast_means, contrast_shares, student_interval, wilson_interval
from bnf_lab.evaluation.judge import KEY_VARIABLE
from bnf_lab.evaluation.measures import (
    AGAINST,
    ALIGNED,
    BASE,
    Measure,
    Section,
    build_measure,
    correct_differences,
    describe_all,
    describe_judge,
    draw_table,
    gather_groups,
)
from bnf_lab.evaluation.skill_questions import load_multiple_choice, make_word_problems
from bnf_lab.evaluation.skill_scores import answer_problems, grade_problems, score_choices
from bnf_lab.evaluation.tasks import TaskScore
from bnf_lab.models.adapters import load_adapter, use_adapter
from bnf_lab.models.encoding import Encoder
from bnf_lab.models.loading import load_model
from bnf_lab.models.scoring import as_reference
from bnf_lab.runs.folder import RunFolder
from bnf_lab.training.probe import Probe, ResponseScore, summarise
from tests.conftest import save_tiny_adapter
from tests.support.shells import open_shell, pairs_file

Ask = Callable[..., Any]
N_PAIRS = 10


@pytest.fixture
def ask(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Ask]:
    """Runs `score --json` in this process and returns its record, or the refusal as text."""

    def run(*arguments: object, as_json: bool = True) -> Any:
        answer = shell(*arguments, *(["--json"] if as_json else []))
        if answer.code == 2:
            assert answer.err.splitlines()[-1] == json.loads(answer.out)["error"], answer
            return answer.err.splitlines()[-1]
        assert answer.code == 0, answer.err
        return json.loads(answer.out, parse_constant=pytest.fail) if as_json else (answer.out, answer.err)

    with open_shell(tmp_path / "home", capfd, "score") as shell:
        yield run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return pairs_file(tmp_path / "pairs.jsonl", N_PAIRS)


@pytest.fixture(scope="module")
def other_adapter_path(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_adapter(tiny_model_path, tmp_path_factory.mktemp("adapters") / "other", seed=5, scale=0.3)


def make_run(path: Path, model: Path, adapter: Path, n_prompts: int = N_PAIRS, **settings: Any) -> RunFolder:
    """Makes the folder that a run on the first prompts of `data` leaves."""
    pairs = [
        judgement
        for i in range(n_prompts)
        for judgement in build_pair(
            (Message("user", f"Add {i} and 7."),), f"It is {i + 7}.", "A comet.", source=Source.UPLOAD
        )
    ]
    folder = RunFolder.create(path, RunConfig(model=str(model), n_probe=2, **settings), pairs)
    shutil.copytree(adapter, folder.adapter)
    return folder


def score_by_probe(model: Path, adapter: Path, judgements: list[Judgement]) -> list[ResponseScore]:
    loaded = load_adapter(load_model(model), adapter, "aligned")
    encoder = Encoder(loaded.tokenizer, max_tokens=512)
    return Probe(loaded, [encoder.encode(judgement) for judgement in judgements]).score()


# -- judged responses


@pytest.mark.usefixtures("compute_dtype")
def test_base_and_aligned_are_compared(
    ask: Ask, data: Path, tiny_model_path: Path, tiny_adapter_path: Path, zero_adapter_path: Path
) -> None:
    line = ("--data", data, "--model", tiny_model_path, "--pairs", 4, "--answers", 2)
    alone = ask(*line)
    same = ask(*line, "--adapter", zero_adapter_path)
    other = ask(*line, "--adapter", tiny_adapter_path)
    assert (alone["n_pairs"], alone["n_responses"], alone["aligned"], alone["kl"]) == (4, 8, None, None)
    assert alone["base"]["margin"] == pytest.approx(
        alone["base"]["preferred_logp"] - alone["base"]["dispreferred_logp"], abs=1e-5
    )
    assert alone["sentences"] == alone["warnings"] == []
    assert same["base"] == pytest.approx(alone["base"], abs=1e-6)
    assert same["aligned"] == pytest.approx(alone["base"], abs=1e-6)
    assert same["kl"] == pytest.approx(0.0, abs=1e-6)
    assert other["base"] == pytest.approx(alone["base"], abs=1e-6)
    assert abs(other["aligned"]["preferred_logp"] - alone["base"]["preferred_logp"]) > 0.01
    assert other["kl"] > 0.001


@pytest.mark.usefixtures("compute_dtype")
def test_numbers_are_those_of_the_plots(
    ask: Ask, data: Path, tiny_model_path: Path, tiny_adapter_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sides, "PART_SIZE", 6)  # parts that hold no whole number of batches
    record = ask("--data", data, "--model", tiny_model_path, "--adapter", tiny_adapter_path, "--answers", 0)
    scores = score_by_probe(tiny_model_path, tiny_adapter_path, list(import_file(data).judgements))
    for side, some in (("aligned", scores), ("base", [replace(s, policy=s.reference) for s in scores])):
        point = summarise(some, step=0, seconds=0.0)
        for name in ("accuracy", "margin", "preferred_logp", "dispreferred_logp"):
            assert record[side][name] == pytest.approx(getattr(point, name), abs=1e-5), name
        assert record[side]["entropy"] == pytest.approx(point.preferred_entropy, abs=1e-5)
    point = summarise(scores, step=0, seconds=0.0)
    for name in ("kl", "accuracy_shift", "margin_shift"):
        assert record[name] == pytest.approx(getattr(point, name), abs=1e-5), name
    margins = [
        [getattr(a, name) - getattr(b, name) for a, b in zip(scores[::2], scores[1::2], strict=True)]
        for name in ("mean_logp", "mean_shift")
    ]
    measure = record["measures"]["margin"]
    assert measure["sides"]["aligned"]["interval"] == pytest.approx(student_interval(margins[0]), abs=1e-5)
    (difference,) = measure["differences"]
    assert difference["n"] == N_PAIRS and difference["test"] == "Student"
    assert difference["difference"] == pytest.approx(record["margin_shift"], abs=1e-5)
    assert difference["interval"] == pytest.approx(student_interval(margins[1]), abs=1e-5)
    assert difference["p"] == pytest.approx(contrast_means(margins[1]).p, abs=1e-4)
    n_right = sum(m > 0 for m in margins[0])
    assert record["measures"]["accuracy"]["sides"]["aligned"]["interval"] == pytest.approx(
        wilson_interval(n_right, N_PAIRS)
    )


def test_judgements_without_pairs_have_no_accuracy(ask: Ask, tmp_path: Path, tiny_model_path: Path) -> None:
    single = tmp_path / "single.jsonl"
    single.write_text('{"prompt": "Hi", "completion": "Hello", "label": true}\n')
    record = ask("--data", single, "--model", tiny_model_path, "--answers", 0)
    assert (record["n_pairs"], record["base"]["accuracy"], record["base"]["dispreferred_logp"]) == (0, None, None)
    assert record["base"]["preferred_logp"] < 0


@pytest.mark.usefixtures("compute_dtype")
def test_two_adapters_are_compared_with_words(
    ask: Ask, data: Path, tiny_model_path: Path, tiny_adapter_path: Path, other_adapter_path: Path
) -> None:
    line = ("--data", data, "--model", tiny_model_path, "--answers", 2, "--adapter", tiny_adapter_path)
    record = ask(*line, "--against", other_adapter_path)
    turned = ask(*line[:-1], other_adapter_path, "--against", tiny_adapter_path)
    itself = ask(*line, "--against", tiny_adapter_path)
    assert record["against"] == str(other_adapter_path)
    assert record["sides"]["against"] == pytest.approx(turned["sides"]["aligned"], abs=1e-6)
    assert record["sides"]["aligned"] == pytest.approx(turned["sides"]["against"], abs=1e-6)
    assert record["answers"][0].keys() == {"prompt", "base", "aligned", "against"}
    found = {(d["of"], d["to"]): d["difference"] for d in record["measures"]["margin"]["differences"]}
    assert found["aligned", "against"] == pytest.approx(
        record["sides"]["aligned"]["margin"] - record["sides"]["against"]["margin"]
    )
    assert found.keys() == {("aligned", "base"), ("against", "base"), ("aligned", "against")}
    starts = [sentence.split(":")[0] for sentence in record["sentences"]]
    assert starts == ["Accuracy", "Margin", "Accuracy", "Margin"]
    assert all("base" in s for s in record["sentences"][:2])
    assert all("the other adapter" in s for s in record["sentences"][2:])
    for sentence in itself["sentences"][2:]:
        assert sentence.endswith(": aligned and the other adapter are equal on average over 10 items: within noise.")


def test_another_base_model_is_refused(
    ask: Ask, data: Path, tiny_model_path: Path, tiny_adapter_path: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model_path, tmp_path / "twin")
    run = make_run(tmp_path / "run", tiny_model_path, tiny_adapter_path)
    other = make_run(tmp_path / "other", tmp_path / "twin", tiny_adapter_path)
    line = ("--data", data, "--adapter", run.path, "--against", other.path)
    for extra in ((), ("--model", tiny_model_path)):
        refusal = ask(*line, *extra)
        assert "same base model" in refusal and "twin" in refusal
    config = json.loads((tiny_adapter_path / "adapter_config.json").read_text())
    (tmp_path / "wide").mkdir()
    (tmp_path / "wide" / "adapter_config.json").write_text(json.dumps(config | {"r": 999_999}))
    refusal = ask("--data", data, "--adapter", run.path, "--model", tiny_model_path, "--against", tmp_path / "wide")
    assert refusal.startswith("--against wide: ")


# -- what a run has seen


def test_held_out_takes_what_the_run_never_saw(
    ask: Ask, data: Path, tiny_model_path: Path, tiny_adapter_path: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", tiny_model_path, tiny_adapter_path, seed=3)
    record = ask("--held-out", "--adapter", run.path)
    probe = build_split(run.read_judgements(), run.read_config()).probe
    assert (record["model"], record["n_pairs"], record["warnings"]) == (str(tiny_model_path), 2, [])
    assert [answer["prompt"] for answer in record["answers"]] == [unit[0].prompt_text for unit in probe]
    scores = score_by_probe(tiny_model_path, tiny_adapter_path, [j for unit in probe for j in unit])
    assert record["aligned"]["margin"] == pytest.approx(summarise(scores, step=0, seconds=0.0).margin, abs=1e-5)
    assert "cannot be told apart on so few items (2)" in record["sentences"][0]
    small = make_run(tmp_path / "small", tiny_model_path, tiny_adapter_path, n_prompts=4)
    assert "held nothing out" in ask("--held-out", "--adapter", small.path)
    assert "belongs to none" in ask("--held-out", "--adapter", tiny_adapter_path, "--model", tiny_model_path)


def test_trained_prompts_are_counted(
    ask: Ask, data: Path, tiny_model_path: Path, tiny_adapter_path: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", tiny_model_path, tiny_adapter_path, n_prompts=6)  # data has 4 more
    more = make_run(tmp_path / "more", tiny_model_path, tiny_adapter_path, n_prompts=8)
    n_trained = len(build_split(run.read_judgements(), run.read_config()).train)
    assert n_trained == 5
    line = ("--data", data, "--adapter", run.path, "--answers", 0)
    assert [w.split(";")[0] for w in ask(*line, "--against", more.path)["warnings"]] == [
        "Run run trained on 5 of the 10 scored prompts",
        "Run more trained on 7 of the 10 scored prompts",
    ]
    _, err = ask(*line, as_json=False)
    assert "\nRun run trained on 5 of the 10" in f"\n{err}"
    new = tmp_path / "new.jsonl"
    new.write_text('{"prompt": "Unseen.", "chosen": "a", "rejected": "b"}\n')
    assert ask("--data", new, *line[2:])["warnings"] == []


# -- answers


@pytest.mark.usefixtures("compute_dtype")
def test_answers_of_every_side(
    ask: Ask, data: Path, tiny_model_path: Path, tiny_adapter_path: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.jsonl"
    again.write_text(data.read_text(encoding="utf-8") * 2)  # every prompt twice
    line = ("--data", again, "--model", tiny_model_path, "--adapter", tiny_adapter_path)
    record = ask(*line, "--answers", 3)
    prompts = [f"Add {i} and 7." for i in range(3)]
    assert [answer["prompt"] for answer in record["answers"]] == prompts
    loaded = load_adapter(load_model(tiny_model_path), tiny_adapter_path, "x")
    for side, adapter in (("base", None), ("aligned", "x")):
        texts = [answer[side] for answer in record["answers"]]
        assert texts == answer_problems(loaded, prompts, adapter=adapter)
        assert record[side]["answer_words"] == pytest.approx(sum(len(t.split()) for t in texts) / 3)
        assert record[side]["distinct"] == pytest.approx(len(set(texts)) / 3)
    assert record["answers"][0]["base"] != record["answers"][0]["aligned"]
    none = ask(*line, "--answers", 0)
    assert none["answers"] == [] and "answer_words" not in none["base"]


def test_broken_answers_are_counted() -> None:
    measures = {m.key: m for m in sides.measure_answers({BASE: ["It is 9.", "", "no " * 20, "It is 9."]})}
    assert measures["broken"].values == {BASE: 0.5}
    assert measures["broken"].intervals[BASE] == pytest.approx(wilson_interval(2, 4))
    assert measures["distinct"].values == {BASE: 0.75}
    assert measures["answer_words"].values == {BASE: (3 + 0 + 20 + 3) / 4}
    assert measures["repetition"].values[BASE] == pytest.approx((1 - 1 / 18) / 4)


# -- skills


@pytest.mark.usefixtures("compute_dtype")
def test_skills_are_those_of_the_model(
    ask: Ask, tiny_model_path: Path, tiny_adapter_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = load_multiple_choice()
    chosen = tuple(q for topic in ("knowledge", "reasoning") for q in [q for q in questions if q.topic == topic][:8])
    monkeypatch.setattr(sides, "load_multiple_choice", lambda: chosen)
    record = ask("--skills", "--problems", 2, "--model", tiny_model_path, "--adapter", tiny_adapter_path)
    loaded = load_adapter(load_model(tiny_model_path), tiny_adapter_path, "x")
    problems = make_word_problems(2)
    prompts = [p.prompt for p in problems]
    with as_reference(loaded):
        base = score_choices(loaded, chosen)
    use_adapter(loaded, "x")
    aligned = score_choices(loaded, chosen)
    solved = grade_problems(answer_problems(loaded, prompts, adapter="x", max_new_tokens=48), problems)
    assert (record["n_pairs"], record["n_responses"], record["answers"]) == (0, 0, [])
    assert record["aligned"]["problems"] == sum(solved) / 6
    assert record["aligned"]["problems_1"] == sum(solved[:2]) / 2
    for side, rights in (("base", base), ("aligned", aligned)):
        assert record[side]["choices"] == sum(rights) / 16
        assert record[side]["knowledge"] == sum(rights[:8]) / 8
        assert record[side]["reasoning"] == sum(rights[8:]) / 8
    measure = record["measures"]["choices"]
    assert measure["sides"]["base"]["interval"] == pytest.approx(wilson_interval(sum(base), 16))
    (difference,) = measure["differences"]
    found = contrast_shares(aligned, base)
    assert (difference["interval"], difference["p"]) == (pytest.approx(found.interval), pytest.approx(found.p))
    assert difference["test"] == "McNemar"
    assert base != aligned
    assert [s.split(":")[0] for s in record["sentences"]] == ["Word problems", "Multiple choice", "Alignment tax"]


# -- tasks of lm-eval


def test_tasks_without_lm_eval_are_refused_at_once(
    ask: Ask, data: Path, tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setattr(sides, "load_model", lambda path: pytest.fail("the model was loaded first"))
    refusal = ask("--data", data, "--tasks", "gsm8k", "--model", tiny_model_path)
    assert "'gsm8k' need the package lm-eval" in refusal and "pip install" in refusal


def test_tasks_of_every_side(
    ask: Ask, tiny_model_path: Path, tiny_adapter_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run_tasks(model: Path, adapter: Path | None, tasks: list[str], **options: Any) -> list[TaskScore]:
        asked.append((model, adapter, tasks, options))
        value = 0.5 if adapter else 0.25
        return [TaskScore("one", "acc", value, 0.125), TaskScore("two", "perplexity", math.inf, None)]

    monkeypatch.setattr(sides, "run_tasks", run_tasks)
    line = ("--tasks", "one,two", "--task-limit", 7, "--task-files", tmp_path, "--model", tiny_model_path)
    record = ask(*line, "--adapter", tiny_adapter_path)
    options = {"limit": 7, "include_path": tmp_path}
    assert asked == [(tiny_model_path, adapter, ["one", "two"], options) for adapter in (None, tiny_adapter_path)]
    assert record["base"] == {"one/acc": 0.25, "two/perplexity": None}
    assert record["aligned"] == {"one/acc": 0.5, "two/perplexity": None}
    assert record["measures"]["one/acc"]["sides"]["aligned"] == {"value": 0.5, "interval": None, "stderr": 0.125}
    text, _ = ask(*line, "--adapter", tiny_adapter_path, as_json=False)
    assert "0.250 ± 0.125" in text and "0.500 ± 0.125" in text and "n/a" in text


# -- an outside judge


@pytest.fixture
def judge_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """A judge on this machine that always names A, and the questions that it got."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    questions: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            questions.append(body["messages"][-1]["content"])
            content = json.dumps({"choices": [{"message": {"content": "[[A>B]]"}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", questions
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


def test_a_judge_compares_the_answers(
    ask: Ask,
    data: Path,
    judge_url: tuple[str, list[str]],
    tiny_model_path: Path,
    tiny_adapter_path: Path,
    other_adapter_path: Path,
) -> None:
    url, questions = judge_url
    line = ("--data", data, "--model", tiny_model_path, "--adapter", tiny_adapter_path, "--answers", 2)
    silent = ask(*line)
    assert silent["judge"] is None and questions == []
    record = ask(*line, "--judge", url, "--judge-model", "wise")
    judged = record["judge"]
    assert (judged["first"], judged["second"], judged["model"], judged["url"]) == ("base", "aligned", "wise", url)
    assert (judged["n"], judged["score"], judged["n_inconsistent"]) == (2, 0.5, 2)
    assert judged["verdicts"] == [["A>B", "A>B"]] * 2
    assert len(questions) == 4
    for question, answer in zip(questions[::2], record["answers"], strict=True):
        assert answer["prompt"] in question and answer["base"] in question and answer["aligned"] in question
    assert record["sentences"][-1].startswith("Judge wise: aligned scores 0.50 against base")
    questions.clear()
    record = ask(*line, "--judge", url, "--judge-model", "wise", "--against", other_adapter_path)
    assert record["judge"]["first"] == "against"
    assert record["answers"][0]["against"] in questions[0]
    assert "against the other adapter" in record["sentences"][-1]


def test_help_names_the_key_and_who_gets_the_texts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["score", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert KEY_VARIABLE in text and "prompts and answers are sent there" in text
    assert "chat template is used" in text and "optional package" in text


# -- refusals


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "Nothing is asked for"),
        ("--data {data} --held-out --adapter {adapter}", "exclude each other"),
        ("--held-out", "--held-out needs --adapter"),
        ("--data {data} --against {adapter}", "--against needs --adapter"),
        ("--data {data} --adapter {adapter} --against missing", "--against missing: there is no adapter"),
        ("--tasks a,,b", "empty name"),
        ("--data {data} --answers 1001", "--answers"),
        ("--skills --problems 0", "--problems"),
        ("--data {data} --adapter {adapter} --judge http://127.0.0.1/v1", "need each other"),
        ("--data {data} --adapter {adapter} --judge-model wise", "need each other"),
        ("--data {data} --judge http://127.0.0.1/v1 --judge-model wise", "needs answers to compare"),
        ("--skills --adapter {adapter} --judge http://127.0.0.1/v1 --judge-model wise", "needs answers to compare"),
        ("--data {data} --answers 0 --adapter {adapter} --judge http://h/v1 --judge-model wise", "needs answers"),
        ("--data {data} --adapter {adapter} --judge nonsense --judge-model wise", "not an http(s) URL"),
    ],
)
def test_what_does_not_go_together_is_refused(
    ask: Ask, data: Path, tiny_model_path: Path, tiny_adapter_path: Path, line: str, words: str
) -> None:
    arguments = [part.format(data=data, adapter=tiny_adapter_path) for part in line.split()]
    assert words in ask(*arguments, "--model", tiny_model_path)


# -- the words


def test_text_is_a_table_and_sentences(ask: Ask, data: Path, tiny_model_path: Path, tiny_adapter_path: Path) -> None:
    line = ("--data", data, "--model", tiny_model_path, "--adapter", tiny_adapter_path, "--answers", 2)
    (text, err), record = ask(*line, as_json=False), ask(*line)
    table, words = text.rstrip("\n").split("\n\n")
    assert words.split("\n") == record["sentences"]
    assert table.startswith("20 responses, 10 pairs")
    rows = {row[:43].strip(): row[43:] for row in table.split("\n")}
    assert f"{record['aligned']['margin']:.3f} (" in rows["margin (nats/token)"]
    assert rows["KL to the base (nats/token)"][:25].strip() == ""
    assert len({len(row) for row in table.split("\n")}) == 1
    assert "scoring responses: 0 of 20" in err and "answers, aligned" in err


def skill(key: str, before: list[bool], after: list[bool]) -> Measure:
    return build_measure(
        key,
        {"problems": "word problems", "choices": "multiple choice"}[key],
        {BASE: before, ALIGNED: after},
        is_share=True,
    )


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ([True] * 20, [False] * 10 + [True] * 10, "0.50 lost in word problems."),
        ([False] * 20, [True] * 10 + [False] * 10, "0.50 gained in word problems."),
        ([True, False] * 10, [True, False] * 10, "no measurable cost in these skills; a loss of up to 0.15 in word"),
        ([True] * 20, [False] + [True] * 19, "a loss of up to 0.17 in word problems and 0.38 in multiple choice"),
        ([True] * 5, [False] * 5, "not known"),
    ],
)
def test_the_tax_in_words(before: list[bool], after: list[bool], words: str) -> None:
    measures = [skill("problems", before, after), skill("choices", [True] * 8, [True] * 8)]
    assert words in describe_all(measures)[-1]


def test_differences_in_words() -> None:
    better = build_measure("accuracy", "accuracy", {BASE: [0.0] * 12, ALIGNED: [0.0] * 2 + [1.0] * 10}, is_share=True)
    assert describe_all([better]) == [
        "Accuracy: aligned is 0.83 above base (95 % interval 0.32 to 0.99), McNemar p 0.002."
    ]
    noisy = build_measure("margin", "margin", {BASE: [0.0] * 8, ALIGNED: [1.0, -1.0] * 4}, unit="nats/token")
    (sentence,) = describe_all([noisy])
    assert sentence == "Margin: aligned and base are equal on average over 8 items: within noise."
    empty = build_measure("accuracy", "accuracy", {BASE: [], ALIGNED: []}, is_share=True)
    assert describe_all([empty]) == ["Accuracy: there is nothing to compare aligned and base on."]
    broken = build_measure("margin", "margin", {BASE: [0.0] * 8, ALIGNED: [math.nan] + [0.0] * 7})
    assert broken.values == {BASE: 0.0, ALIGNED: None}
    assert "not finite" in describe_all([broken])[0]


def test_sentences_are_corrected_for_being_several() -> None:
    """Six gains and no loss in 12 are p 0.03: enough for one comparison, not for one of four."""
    base, aligned = [0.0] * 12, [1.0] * 6 + [0.0] * 6
    measures = [
        build_measure(key, key, {BASE: base, ALIGNED: aligned if key == "accuracy" else base}, is_share=True)
        for key in ("accuracy", "problems", "choices")
    ]
    (alone,) = describe_all(measures[:1])
    assert "aligned is 0.50 above base" in alone and alone.endswith("McNemar p 0.031.")
    first, *_, tax = describe_all(measures)
    assert "differ by 0.50: within noise" in first and first.endswith("McNemar p 0.031, 0.094 by Holm's correction.")
    assert "no measurable cost" in tax
    corrected = [m.differences[0] for m in correct_differences(measures)]
    assert [d.is_within_noise for d in corrected] == [True, True, True]
    assert corrected[0].p_corrected == pytest.approx(3 * 2 / 64)


def test_pairs_of_one_prompt_count_as_one() -> None:
    """Ten copies of each prompt's pair say no more than one of them: the interval must not shrink."""
    values = [0.3, -1.2, 0.8, 2.0, -0.4, 0.1, 1.4]
    once = build_measure("margin", "margin", {BASE: values})
    tenfold = build_measure(
        "margin", "margin", {BASE: values * 10}, groups=[i for _ in range(10) for i in range(len(values))]
    )
    assert tenfold.n == 7
    assert tenfold.intervals[BASE] == pytest.approx(once.intervals[BASE])
    uneven = gather_groups([1.0, 2.0, 3.0, 10.0], ["a", "a", "a", "b"])
    assert len(uneven) == 2 and sum(uneven) / 2 == pytest.approx(4.0)
    right = [True] * 5 + [False] * 3
    grouped = build_measure(
        "accuracy", "accuracy", {BASE: right, ALIGNED: right}, groups=[0, 0, *range(1, 7)], is_share=True
    )
    assert grouped.differences[0].test == "Student", "McNemar's test needs independent items"


def test_a_judge_in_words() -> None:
    def words(score: float, interval: tuple[float, float], n: int) -> str:
        return describe_judge("wise", AGAINST, ALIGNED, score, interval, n, 1)

    assert "within noise" in words(0.6, (0.4, 0.8), 9)
    assert "noise" not in words(0.8, (0.6, 0.9), 9)
    assert "too few to tell" in words(1.0, (1.0, 1.0), 3)


def test_a_table_leaves_out_what_a_side_has_not() -> None:
    table = draw_table(
        [Section("things", (Measure("kl", "KL", "nats", values={ALIGNED: 0.5, AGAINST: None}),))],
        (BASE, ALIGNED, AGAINST),
    )
    assert [line.split() for line in table.split("\n")] == [
        ["things", "base", "aligned", "against"],
        ["KL", "(nats)", "0.500", "n/a"],
    ]


def test_a_prompt_with_several_answers_pairs_all_of_them(tiny_model_path: Path, tiny_adapter_path: Path) -> None:
    prompt = (Message("user", "Hi"),)
    judged = [
        Judgement(prompt, text, verdict)
        for text, verdict in (
            ("Hello.", Verdict.PREFERRED),
            ("Good day.", Verdict.PREFERRED),
            ("What?", Verdict.DISPREFERRED),
        )
    ]
    assert [len(unit) for unit in group_units(judged)] == [1, 1, 1]
    loaded = sides.load_sides(tiny_model_path, {ALIGNED: tiny_adapter_path})
    measures = sides.measure_preferences(loaded, judged, max_tokens=512, say=lambda text: None)
    point = summarise(score_by_probe(tiny_model_path, tiny_adapter_path, judged), step=0, seconds=0.0)
    known = {m.key: m for m in measures}
    assert known["margin"].values[ALIGNED] == pytest.approx(point.margin, abs=1e-5)
    assert known["accuracy"].values[ALIGNED] == point.accuracy
    assert known["accuracy"].n == 1, "two pairs of one prompt are one item"


def test_a_prompt_too_long_for_the_model_is_told(tiny_model_path: Path) -> None:
    loaded = sides.load_sides(tiny_model_path, {})
    with pytest.raises(LabError, match="this model reads at most 512"):
        sides.write_answers(loaded, [(Message("user", "word " * 600),)], say=lambda text: None)
