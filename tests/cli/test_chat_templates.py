"""Every verb on a model whose chat template takes no system role and insists on turns that alternate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.shells import Shell, open_shell
from tests.support.templates import save_family

FLAGS = ["--n-steps", 1, "--responses-per-step", 2, "--max-tokens", 200, "--n-probe", 1, "--answer-steps", 1]


@pytest.fixture(scope="module")
def gemma(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_family(tiny_model_path, "gemma-2", tmp_path_factory.mktemp("models") / "gemma")


@pytest.fixture
def shell(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with open_shell(tmp_path / "home", capfd) as run:
        yield run


def write(path: Path, *roles: str, n: int = 6) -> Path:
    """Writes n pairs, each on a conversation of these roles."""
    lines: list[dict[str, Any]] = [
        {
            "prompt": [{"role": role, "content": f"The {role} says {i}."} for role in roles],
            "chosen": [{"role": "assistant", "content": f"Yes {i}."}],
            "rejected": [{"role": "assistant", "content": "A comet."}],
        }
        for i in range(n)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_system_text_is_used_by_every_verb(shell: Shell, gemma: Path, tmp_path: Path) -> None:
    data, run = write(tmp_path / "system.jsonl", "system", "user"), tmp_path / "run"
    checked = shell("check", data, "--model", gemma, "--json")
    assert (checked.code, checked.record["taken"]) == (0, 6)
    line = ("train", "--data", data, "--output", run, "--model", gemma, *FLAGS)
    dry = shell(*line, "--dry-run")
    assert dry.code == 0, dry.err
    assert "no system role: the system text of 6 prompts" in dry.out
    assert "  | <bos><start_of_turn>user\n  | The system says" in dry.out
    trained = shell(*line, "--json")
    assert (trained.code, trained.record["state"]) == (0, "finished"), trained.err
    scored = shell("score", "--data", data, "--model", gemma, "--adapter", run / "adapter", "--json")
    assert (scored.code, scored.record["n_pairs"]) == (0, 6), scored.err
    answered = shell("chat", "--model", gemma, "--prompt", "Hi", "--system", "Be brief.", "--max-new-tokens", 4)
    assert answered.code == 0, answered.err


def test_turns_that_do_not_alternate_are_refused_in_words_by_every_verb(
    shell: Shell, gemma: Path, tmp_path: Path
) -> None:
    data = write(tmp_path / "twice.jsonl", "user", "assistant", "user", "user")
    words = "ends in 'The user says 0.' (turns: user, assistant, user, user): Conversation roles must alternate"
    checked = shell("check", data, "--model", gemma, "--json")
    assert (checked.code, checked.record["taken"]) == (0, 6)  # another model may take them
    assert words in " ".join(checked.record["warnings"])
    line = ("train", "--data", data, "--output", tmp_path / "run", "--model", gemma, *FLAGS)
    assert words in shell(*line).refusal
    assert words in shell(*line, "--dry-run").refusal
    assert not (tmp_path / "run").exists()
    scored = shell("score", "--data", data, "--model", gemma)
    assert scored.code == 2
    assert words in scored.err


def test_a_model_without_a_template_is_refused_in_words_by_every_verb(
    shell: Shell, tiny_model_path: Path, tmp_path: Path
) -> None:
    data, model = write(tmp_path / "data.jsonl", "user"), save_family(tiny_model_path, "chatml", tmp_path / "plain")
    (model / "chat_template.jinja").unlink()
    words = "Model 'plain' has no chat template. The lab needs an instruction-tuned model"
    line = ("train", "--data", data, "--output", tmp_path / "run", "--model", model, *FLAGS)
    for verb in (
        ("check", data, "--model", model),
        line,
        (*line, "--dry-run"),
        ("score", "--data", data, "--model", model),
        ("chat", "--model", model, "--prompt", "Hi"),
    ):
        answer = shell(*verb)
        assert answer.code == 2, verb
        assert words in answer.err.splitlines()[-1]
