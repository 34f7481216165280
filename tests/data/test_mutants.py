"""Mutants of every sample: a true report or a clear error. `python -m tests.benchmarks.fuzz_imports` has many more."""

from __future__ import annotations

from tests.benchmarks.fuzz_imports import check_report, run, write_mutant
from tests.data.samples.pairs import SAMPLES
from tests.data.samples.record import check, write


def test_mutants_are_read_truly_or_refused_in_words(tmp_path):
    findings = run(range(400), 20, tmp_path)
    assert findings.found == []
    assert set(findings.ends) >= {"taken", "asked", "refused", "nothing taken"}


def test_a_mutant_is_the_same_for_its_number(tmp_path):
    first = [write_mutant(n, 1, tmp_path)[0].read_bytes() for n in range(20)]
    assert [write_mutant(n, 1, tmp_path)[0].read_bytes() for n in range(20)] == first
    assert len(set(first)) > 15


def test_a_text_that_is_not_in_the_file_is_found(tmp_path):
    path = write(SAMPLES[0], tmp_path / "a.jsonl")
    report = check(SAMPLES[0], path)
    assert check_report(report, path) == ""
    path.write_text(path.read_text().replace("apple", "pear"))
    assert "'An apple.' is not in the file" in check_report(report, path)
