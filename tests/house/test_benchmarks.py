"""The benchmarks run and report what they say; no test here asserts a time."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from bnf_lab.core.judgements import Message
from bnf_lab.models.encoding import EncodedResponse
from tests.benchmarks.__main__ import main
from tests.benchmarks.children import Child
from tests.benchmarks.loads import spread
from tests.benchmarks.report import Report, Row, ratio_of_medians, show, to_json, write_csv
from tests.benchmarks.scaling import write_files
from tests.benchmarks.step import choose_contenders
from tests.benchmarks.tables import WRITERS, measure_all
from tests.benchmarks.work import Shapes, count_need

REPORT = Report(
    "step", (Row("ours bnf", "step", "s", (3.0, 1.0, 2.0)),), {"trl_over_bnf": 2.5}, {"pairs": "4", "dtype": "float32"}
)


def test_row_has_quantiles_of_all_its_values() -> None:
    assert Row("a", "step", "s", (5.0, 1.0, 2.0, 3.0, 4.0, 6.0)).quantiles == pytest.approx((2.0, 3.5, 5.0))


def test_ratio_compares_what_was_measured_side_by_side() -> None:
    assert ratio_of_medians([2.0, 20.0, 6.0], [1.0, 10.0, 2.0]) == 2.0
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        ratio_of_medians([1.0, 2.0], [1.0])


def test_csv_is_appended_under_one_header(tmp_path: Path) -> None:
    path = tmp_path / "results" / "step.csv"
    write_csv(REPORT, path)
    write_csv(REPORT, path)
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    assert [row["case"] for row in rows] == ["ours bnf", "ratio", "ours bnf", "ratio"]
    assert (rows[0]["p50"], rows[0]["n"], rows[0]["conditions"]) == ("2", "3", "pairs=4 dtype=float32")
    assert (rows[1]["quantity"], rows[1]["p50"]) == ("trl_over_bnf", "2.5")
    assert "torch==" in rows[0]["versions"] and rows[0]["date"] and rows[0]["machine"]


def test_json_is_one_line_with_the_ratios_first() -> None:
    text = to_json(REPORT)
    record = json.loads(text)
    assert "\n" not in text and next(iter(record)) == "ratios"
    assert record["ratios"] == {"trl_over_bnf": 2.5} and record["rows"][0]["p50"] == 2.0
    assert "trl_over_bnf" in show(REPORT) and "ours bnf" in show(REPORT)


def encoded(n_prompt: int, n_response: int) -> EncodedResponse:
    key = (Message("user", "?"),)
    return EncodedResponse("id", (1,) * n_prompt, (1,) * n_response, True, 1.0, key, False)


def test_needed_operations_by_hand() -> None:
    shapes = Shapes(body=((2, 3), (3, 2)), head=(2, 5), n_layers=1, attention_width=2)
    need = count_need([(encoded(4, 2), encoded(4, 3))], shapes, rank=1)
    assert (need.tokens, need.distinct_tokens, need.response_tokens) == (13, 9, 5)
    a_token = 2 * (4 * 2 * 3 + 6 * (2 + 3))  # two matrices: weights there and back, an adapter's with its own gradient
    assert need.flop == 9 * a_token + 5 * 4 * 2 * 5
    assert need.flop_unshared == 13 * a_token + 5 * 4 * 2 * 5
    assert need.attention_flop == 12 * 2 * (10 + (2 * 4 + 3) + (3 * 4 + 6))


def test_unknown_contender_is_named() -> None:
    assert choose_contenders("sft, bnf", is_gpu=False) == ["sft", "bnf"]
    with pytest.raises(SystemExit, match="grpo is none of bnf, sft, trl"):
        choose_contenders("bnf,grpo", is_gpu=False)


def test_a_child_that_breaks_says_why() -> None:
    with Child("loads", "measure_import", path="/nowhere/pairs.jsonl") as child, pytest.raises(RuntimeError) as caught:
        child.ask()
    assert "pairs.jsonl" in str(caught.value)


def test_import_load_is_read_and_stored_whole(tmp_path: Path) -> None:
    source = tmp_path / "pairs.jsonl"
    rows = [{"prompt": "Add 1 and 2.", "chosen": "3", "rejected": "4"}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    files = write_files(source, (100,), tmp_path)
    with Child("loads", "measure_import", path=str(files[100])) as child:
        record = child.ask()
    assert record["n"] == 100 and 0 < record["start_gib"] <= record["peak_gib"]


def test_rows_come_through_every_format(tmp_path: Path) -> None:
    rows = [{"prompt": f"Add {i} and 2.", "chosen": str(i + 2), "rejected": "no"} for i in range(20)]
    measured = list(measure_all(rows, tmp_path))
    assert len(measured) == 4 * len(WRITERS) + 4  # Parquet and Excel have a process of their own
    assert all(row.values[0] > 0 for row in measured if row.unit == "s")


def test_spread_pairs_differ_in_their_prompts() -> None:
    chat = {"prompt": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]}
    texts = [row["prompt"][-1]["content"] for row in spread([chat], 2)]
    assert texts == ["Question 1. Hi", "Question 2. Hi"]


def run_step(model: Path, contenders: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict:
    words = f"step --rounds 1 --pairs 2 --dtype float32 --contenders {contenders} --json".split()
    assert main([*words, "--model", str(model), "--output", str(folder / "step.csv")]) == 0
    assert (folder / "step.csv").exists()
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.slow
def test_step_of_the_lab_itself(tiny_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = run_step(tiny_model_path, "bnf,sft", tmp_path, capsys)
    assert {"bnf_over_sft", "over_floor", "over_floor_unshared"} <= set(record["ratios"])
    assert all(value > 0 for value in record["ratios"].values())
    cases = {(row["case"], row["quantity"]) for row in record["rows"]}
    assert {("ours bnf", "step"), ("ours sft", "peak memory"), ("matrix products float32", "rate")} <= cases
    assert record["conditions"]["dtype"] == "float32"


@pytest.mark.slow
def test_step_of_trl(tiny_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("trl", reason="a requirement of the benchmarks alone")
    record = run_step(tiny_model_path, "bnf,trl", tmp_path, capsys)
    assert {"trl_over_bnf", "memory_over_trl"} <= set(record["ratios"])
