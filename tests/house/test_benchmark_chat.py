"""The benchmark of the chat runs, on the tiny model, and reports what it stands for."""

from __future__ import annotations

import argparse

from tests.benchmarks import chat


def test_it_reports_each_case_and_the_ratios(tiny_model_path):
    parser = argparse.ArgumentParser()
    chat.add_arguments(parser)
    args = parser.parse_args(["--model", str(tiny_model_path), "--tokens", "3", "--rounds", "2"])
    report = chat.run(args)
    parts = ("", "_aligned", "_token", "_first_token")
    assert set(report.ratios) == {f"two_over_one{part}" for part in parts}
    answers = {row.case: row.values for row in report.rows if row.quantity == "whole answer"}
    assert set(answers) == {chat.BASE, chat.ALIGNED, chat.BOTH}
    assert all(len(values) == 2 and min(values) > 0 for values in answers.values())
    assert min(report.ratios.values()) > 0
