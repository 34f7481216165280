"""lm-eval as an optional outside examiner: without it, without the hub, and for real on a task made here."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import pytest

from bnf_lab.core.errors import LabError
from bnf_lab.evaluation import tasks
from bnf_lab.evaluation.tasks import TaskScore, run_tasks
from tests.support.disks import full_disk

WHY_SKIPPED = "the optional package lm-eval is not installed"
ITEMS = [
    {"question": f"What is {a} + {b}?", "choices": [str(a + b), str(a + b + 1)], "answer": 0}
    for a in range(1, 6)
    for b in range(3, 8)
]
CHOICE_TASK = """\
task: bnf_tiny_choice
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: answer
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""
ANSWER_TASK = """\
task: bnf_tiny_answer
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{choices[answer]}}}}"
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 4
  do_sample: false
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""
GROUP = """\
group: bnf_tiny
task: [bnf_tiny_choice]
aggregate_metric_list:
  - metric: acc
    weight_by_size: true
metadata:
  version: 1.0
"""


@pytest.fixture
def task_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    data = tmp_path / "items.jsonl"
    data.write_text("".join(json.dumps(item) + "\n" for item in ITEMS), encoding="utf-8")
    for name, text in (("choice", CHOICE_TASK), ("answer", ANSWER_TASK), ("group", GROUP)):
        (folder / f"{name}.yaml").write_text(text.format(data=data), encoding="utf-8")
    return folder


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets are prepared in a cache; the test's own one, so that nothing is found there or left there."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("BNF_LAB_HUB_OFFLINE", "1")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(LabError, match=r"'gsm8k,arc_easy' need the package lm-eval.*pip install 'lm-eval"):
        run_tasks(tmp_path, None, ["gsm8k", "arc_easy"])


def test_a_reply_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies while it answers must be told as one that died, not as a torn reply."""
    reply = tmp_path / "reply.json"
    monkeypatch.setattr(tasks, "_evaluate", lambda order: [TaskScore("task", "acc", 0.5, None)] * 50)
    monkeypatch.setattr(sys, "argv", ["tasks", str(reply)])
    monkeypatch.setattr(sys, "stdin", io.StringIO("{}"))
    with full_disk(), pytest.raises(OSError, match="too large"):
        tasks._main()
    assert not reply.exists()


@pytest.mark.usefixtures("compute_dtype")
def test_scores_of_a_local_task(tiny_model_path: Path, task_folder: Path, caches: None) -> None:
    """lm-eval's numbers are those that the model's own likelihoods give."""
    pytest.importorskip("lm_eval", reason=WHY_SKIPPED)
    scores = run_tasks(tiny_model_path, None, ["bnf_tiny", "bnf_tiny_answer"], include_path=task_folder, limit=4)
    found = {(score.task, score.metric): score for score in scores}
    share = share_of_first_choices(tiny_model_path, None, ITEMS[:4])
    assert set(found) == {("bnf_tiny", "acc"), ("bnf_tiny_choice", "acc"), ("bnf_tiny_answer", "exact_match")}
    assert found["bnf_tiny_choice", "acc"].value == share == found["bnf_tiny", "acc"].value
    assert found["bnf_tiny_choice", "acc"].stderr == pytest.approx((share * (1 - share) / 3) ** 0.5)
    assert found["bnf_tiny_answer", "exact_match"] == TaskScore("bnf_tiny_answer", "exact_match", 0.0, 0.0)


@pytest.mark.usefixtures("compute_dtype")
def test_the_adapter_is_what_is_scored(
    tiny_model_path: Path, tiny_adapter_path: Path, task_folder: Path, caches: None
) -> None:
    pytest.importorskip("lm_eval", reason=WHY_SKIPPED)
    (score,) = run_tasks(tiny_model_path, tiny_adapter_path, ["bnf_tiny_choice"], include_path=task_folder)
    share = share_of_first_choices(tiny_model_path, tiny_adapter_path, ITEMS)
    assert score.value == pytest.approx(share)
    assert share != share_of_first_choices(tiny_model_path, None, ITEMS), "the adapter must change the answer here"


def share_of_first_choices(model_path: Path, adapter: Path | None, items: list[dict]) -> float:
    """The same score by hand: how often the right choice, written after the chat prompt, is the likelier one."""
    import torch

    from bnf_lab.models.adapters import load_adapter
    from bnf_lab.models.loading import compute_context, load_model

    loaded = load_model(model_path)
    if adapter:
        loaded = load_adapter(loaded, adapter, "aligned")
    hits = 0
    for item in items:
        prompt = loaded.tokenizer.apply_chat_template(
            [{"role": "user", "content": item["question"]}], add_generation_prompt=True, tokenize=False
        )
        totals = []
        for choice in item["choices"]:
            n_prompt = len(loaded.tokenizer(prompt, add_special_tokens=False).input_ids)
            ids = loaded.tokenizer(prompt + choice, add_special_tokens=False, return_tensors="pt").input_ids
            with torch.no_grad(), compute_context(loaded):
                logps = loaded.causal(ids).logits.float().log_softmax(-1)[0, :-1]
            totals.append(logps[range(len(logps)), ids[0, 1:]][n_prompt - 1 :].sum().item())
        hits += totals[item["answer"]] == max(totals)
    return hits / len(items)


@pytest.mark.parametrize(
    ("task", "words"),
    [("gsm8k", "'gsm8k' cannot be made ready.*The hub is switched off"), ("gsm8kk", "no task 'gsm8kk'.*gsm8k")],
)
def test_what_cannot_be_had_is_told_in_seconds(tiny_model_path: Path, caches: None, task: str, words: str) -> None:
    pytest.importorskip("lm_eval", reason=WHY_SKIPPED)
    started = time.monotonic()
    with pytest.raises(LabError, match=words):
        run_tasks(tiny_model_path, None, [task], limit=1)
    assert time.monotonic() - started < 120  # most of it is lm-eval reading its 14,000 task files


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("metric: acc\n", "metric: bnf_no_such_metric\n", "metric 'bnf_no_such_metric', a script on the hub"),
        ("task: bnf_tiny_choice\n", "task: bnf_tiny_choice\nunsafe_code: true\n", "runs code that the model writes"),
        ("test_split: test\n", "test_split: absent\n", "'bnf_tiny_choice' cannot be made ready.*absent"),
    ],
)
def test_tasks_that_the_lab_does_not_run(
    tiny_model_path: Path,
    task_folder: Path,
    caches: None,
    old: str,
    new: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("lm_eval", reason=WHY_SKIPPED)
    # where the package `evaluate` would find and run a metric of that name
    script = task_folder / "bnf_no_such_metric" / "bnf_no_such_metric.py"
    script.parent.mkdir()
    script.write_text(f"open({str(task_folder / 'ran')!r}, 'w')\n", encoding="utf-8")
    monkeypatch.chdir(task_folder)
    path = task_folder / "choice.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(LabError, match=words):
        run_tasks(tiny_model_path, None, ["bnf_tiny_choice"], include_path=task_folder)
    assert not (task_folder / "ran").exists()
