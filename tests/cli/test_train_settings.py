"""`train --config`: a stranger's file of settings costs nothing, and says what is wrong with it in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bnf_lab.core.config import EMBEDDED_DOWNLOAD
from bnf_lab.experiments.yaml_files import FILE_BYTES
from bnf_lab.models.fetch import WHEEL_BYTES
from bnf_lab.runs.folder import RunFolder
from tests.support.shells import Shell, open_shell, pairs_file

README = Path(__file__).parents[2] / "README.md"
PACKAGE = README.parent / "bnf_lab"

BOMB = "\n".join(
    ["b0: &b0 [x, x, x, x, x, x, x, x, x]"] + [f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]" for i in range(1, 12)]
)


@pytest.fixture
def shell(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with open_shell(tmp_path / "home", capfd, "train") as run:
        yield run


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "it has aliases (`*name`). Write out what they stand for."),
        ("n_steps: &n 3\nlora_rank: *n\n", "it has aliases"),
        ("a: [1, 2\n", "it cannot be read"),
        ("[" * 5000, "it cannot be read"),
        (f"n_steps: {'9' * 5000}\n", "it cannot be read"),
        ("a: !!python/object/apply:os.system ['true']\n", "it cannot be read"),
        ("- 1\n", "it holds [1]. Give lines such as `n_steps: 30`."),
        ("", "it holds None. Give lines such as `n_steps: 30`."),
        (f"n_steps: {' ' * FILE_BYTES}3\n", "it is larger than 100,000 bytes"),
    ],
    ids=["bomb", "alias", "open", "deep", "digits", "object", "list", "empty", "size"],
)
def test_what_is_no_file_of_settings_is_refused_in_one_line(
    shell: Shell, tmp_path: Path, text: str, words: str
) -> None:
    config = tmp_path / "odd.yaml"
    config.write_text(text, encoding="utf-8")
    refusal = shell("--output", tmp_path / "run", "--config", config).refusal
    assert refusal.startswith("--config odd.yaml: ")
    assert words in refusal
    assert len(refusal) < 500
    assert not (tmp_path / "run").exists()


# -- steps and passes


@pytest.fixture
def line(tmp_path: Path, tiny_model_path: Path) -> tuple[object, ...]:
    """Ten pairs, of which nine are left for training: 18 responses."""
    data = pairs_file(tmp_path / "pairs.jsonl")
    return ("--data", data, "--output", tmp_path / "run", "--model", tiny_model_path, "--n-probe", 1)


def test_passes_are_recorded_as_the_steps_that_they_take(
    shell: Shell, tmp_path: Path, line: tuple[object, ...]
) -> None:
    answer = shell(*line, "--passes", 2, "--responses-per-step", 4, "--prepare-only")
    assert "2.0 passes over the data: 9 steps." in answer.err
    folder = RunFolder(tmp_path / "run")
    assert (folder.read_config().n_steps, folder.read_config().passes) == (9, 2.0)
    assert folder.read_status().total_steps == 9
    resume = ("--output", tmp_path / "run", "--resume")
    assert "--passes 2.0" in shell(*resume, "--passes", 3).refusal
    assert "--n-steps 9" in shell(*resume, "--n-steps", 8).refusal


def test_a_dry_run_says_what_is_read(shell: Shell, line: tuple[object, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnf_lab.training.measure.measure_data", lambda *_: {})
    few = (*line, "--n-steps", 2, "--responses-per-step", 4, "--dry-run")
    assert "2 steps read 8 of 18 responses, 0.4 passes over the data" in shell(*few).out
    record = shell(*few, "--json").record
    assert (record["n_steps"], record["n_read"], record["passes"]) == (2, 8, pytest.approx(8 / 18))
    assert 0 < record["n_tokens_read"] < record["n_tokens"]
    record = shell(*line, "--passes", 0.5, "--dry-run", "--json").record
    assert (record["n_steps"], record["n_read"]) == (2, 16)


@pytest.mark.parametrize(
    ("settings", "flags", "expected"),
    [
        ("passes: 2\n", (), (5, 2.0)),
        ("passes: 2\nn_steps: 7\n", (), (5, 2.0)),  # as a run's own config.json says it
        ("passes: 2\n", ("--n-steps", 7), (7, 0.0)),
        ("n_steps: 7\n", ("--passes", 2), (5, 2.0)),
        ("n_steps: 7\n", ("--passes", 0), (7, 0.0)),
        ("n_steps: 7.0\n", (), (7, 0.0)),
        ("", ("--n-steps", "7.0", "--passes", 0), (7, 0.0)),
    ],
)
def test_what_is_given_later_decides_the_length(
    shell: Shell, tmp_path: Path, line: tuple[object, ...], settings: str, flags: tuple[object, ...], expected: object
) -> None:
    (tmp_path / "run.yaml").write_text(settings or "seed: 0\n", encoding="utf-8")
    assert shell(*line, "--config", tmp_path / "run.yaml", *flags, "--prepare-only").code == 0
    config = RunFolder(tmp_path / "run").read_config()
    assert (config.n_steps, config.passes) == expected


@pytest.mark.parametrize(
    ("settings", "flags", "told"),
    [
        ("", ("--n-steps", 7, "--passes", 2), "--n-steps and --passes are both given"),
        ("", ("--n-steps", 2.5), "n_steps is 2.5; it must be a whole number from 1"),
        ("n_steps: 2.5\n", (), "n_steps is 2.5; it must be a whole number from 1"),
        ("lora_rank: '8.5'\n", (), "lora_rank is 8.5; it must be a whole number from 1"),
        ("", ("--n-steps", 0), "n_steps is 0; it must be from 1"),
        ("", ("--passes", -1), "passes is -1.0; it must be from 0"),
        ("passes: many\n", (), "passes is 'many'; it must be a number"),
        ("", ("--passes", "inf"), "passes is inf"),
    ],
)
def test_a_length_that_cannot_be_is_refused_in_words(
    shell: Shell, tmp_path: Path, line: tuple[object, ...], settings: str, flags: tuple[object, ...], told: str
) -> None:
    (tmp_path / "run.yaml").write_text(settings or "seed: 0\n", encoding="utf-8")
    assert told in shell(*line, "--config", tmp_path / "run.yaml", *flags).refusal
    assert not (tmp_path / "run").exists()


# -- a model that is not here


def test_a_model_that_is_not_here_is_spoken_of_once_with_the_way_to_get_it(
    shell: Shell, line: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    dry = (*line[:4], "--dry-run")
    assert shell(*dry).out.count("on this machine yet") == 1
    assert f"SmolLM2-135M-Instruct ({EMBEDDED_DOWNLOAD}, about a minute)" in shell(*dry).out
    assert "python -m bnf_lab fetch-model`" in shell(*dry).out
    assert "There is no model 'nonsense'" in shell(*dry, "--model", "nonsense").refusal
    for offline, code in (("0", 0), ("1", 2)):
        monkeypatch.setenv("BNF_LAB_HUB_OFFLINE", offline)
        answer = shell(*dry, "--model", "you/other")
        assert answer.code == code
        assert ("fetch-model you/other" in answer.out) is (code == 0)
        assert ("HF_HUB_OFFLINE forbids" in answer.err) is (code == 2)


def test_the_size_of_the_embedded_model_is_the_same_everywhere() -> None:
    assert f"{WHEEL_BYTES / 1e6:.0f} MB" == EMBEDDED_DOWNLOAD
    said = {
        path: re.findall(r"\b9\d MB", path.read_text(encoding="utf-8")) for path in (README, *PACKAGE.rglob("*.py"))
    }
    assert {size for sizes in said.values() for size in sizes} == {EMBEDDED_DOWNLOAD}
