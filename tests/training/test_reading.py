"""What the preflight says of the texts that a run will read: one pair token by token, and what is lost of the rest."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from bnf_lab.cli.train_words import describe_check
from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair
from bnf_lab.core.machine import read_device
from bnf_lab.models.encoding import Encoder
from bnf_lab.models.loading import load_tokenizer
from bnf_lab.runs.estimates import Preflight, ReadResponse
from bnf_lab.training.preflight import Counter
from bnf_lab.training.reading import MAX_SPELLED
from tests.support.templates import save_family

FLOATS = (Message("user", "What floats?"),)
COMMON = "Z" * 60  # a letter that the tokenizer never merged: one token each


@pytest.fixture(scope="module")
def family(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory):
    made: dict[str, Path] = {}

    def build(name: str) -> Path:
        if name not in made:
            made[name] = save_family(tiny_model_path, name, tmp_path_factory.mktemp("families") / name)
        return made[name]

    return build


def check(model: Path, judgements: list[Judgement], tmp_path: Path, **settings: int) -> Preflight:
    config = RunConfig(model=str(model), n_probe=1, **{"max_tokens": 64, **settings})
    return Counter(tmp_path).check(judgements, config, read_device(), model)


def pairs(*answers: tuple[str, str], prompts: str = "What floats?") -> list[Judgement]:
    return [
        judgement
        for i, (good, bad) in enumerate(answers)
        for judgement in build_pair((Message("user", f"{i}: {prompts}"),), good, bad, source=Source.UPLOAD)
    ]


def texts(read: ReadResponse) -> tuple[str, str]:
    """The prompt, and the response."""
    parts = ["".join(p.text for p in read.pieces if p.is_response is flag) for flag in (False, True)]
    return parts[0], parts[1]


# -- the sample


def test_the_sample_is_one_pair_as_the_model_reads_it(family, tmp_path):
    found = check(family("qwen-3"), pairs(("A cork.", "<think>\nno\n</think>\n\nA stone.")), tmp_path)
    better, worse = found.reading
    assert (better.verdict, worse.verdict) == ("preferred", "dispreferred")
    prompt = "<|im_start|>user\n0: What floats?<|im_end|>\n<|im_start|>assistant\n"
    assert texts(better) == (prompt, "<think>\n\n</think>\n\nA cork.<|im_end|>")
    assert texts(worse) == (prompt, "<think>\nno\n</think>\n\nA stone.<|im_end|>")
    for read in found.reading:
        assert sum(piece.is_response for piece in read.pieces) == read.n_response_tokens
        assert [piece.is_response for piece in read.pieces].index(True) == 1
        assert (read.n_prompt_cut, read.n_response_cut) == (0, 0)
        assert "<think>" in [piece.text for piece in read.pieces]


def test_the_sample_is_what_training_reads_and_says_what_is_cut(family, tmp_path):
    model = family("chatml")
    (judgement, _) = long = pairs(("Q" * 90, COMMON), prompts="W" * 50)
    read = check(model, long, tmp_path, max_tokens=32).reading[0]
    encoder = Encoder(load_tokenizer(model), max_tokens=32)
    encoded = encoder.encode(judgement)
    assert texts(read) == (encoder.text(encoded.prompt_ids), encoder.text(encoded.response_ids))
    assert read.n_prompt_tokens + read.n_response_tokens == 32
    whole_prompt, whole_response = encoder.encode_turn(judgement.prompt, judgement.response)
    assert read.n_prompt_cut == len(whole_prompt) - 16 > 0
    assert read.n_response_cut == len(whole_response) - 16 == 90 + 1 - 16


def test_a_pair_is_shown_before_a_response_alone(family, tmp_path):
    single = Judgement(FLOATS, "Wood.", Verdict.PREFERRED)
    alone = check(family("chatml"), [single], tmp_path)
    assert [texts(read)[1] for read in alone.reading] == ["Wood.<|im_end|>"]
    both = check(family("chatml"), [single, *pairs(("A cork.", "A stone."))], tmp_path)
    assert [texts(read)[1] for read in both.reading] == ["A cork.<|im_end|>", "A stone.<|im_end|>"]
    assert check(family("chatml"), [], tmp_path).reading == ()


def test_of_a_long_response_the_first_tokens_are_spelled(family, tmp_path):
    read = check(family("chatml"), pairs(("Z" * 900, "no")), tmp_path, max_tokens=1024).reading[0]
    assert len(read.pieces) == 1 + MAX_SPELLED + 1
    assert texts(read)[1] == "Z" * 900 + "<|im_end|>"
    assert read.n_response_tokens == 901


# -- what is lost


def test_pairs_that_are_alike_after_the_cut_are_counted(family, tmp_path):
    cut = pairs(*[(f"{COMMON} good {i}", f"{COMMON} bad {i}") for i in range(3)], ("yes", "no"), (COMMON, "no"))
    found = check(family("chatml"), cut, tmp_path)
    assert found.n_alike == 3
    (told,) = (text for text in found.warnings if "alike" in text)
    assert told.startswith("3 pairs are alike after the cut at 64 tokens")
    assert "Raise 'Longest sequence'" in told
    whole = check(family("chatml"), cut, tmp_path, max_tokens=256)
    assert whole.n_alike == 0
    assert not any("alike" in text for text in whole.warnings)


def test_held_out_pairs_are_counted_once(family, tmp_path):
    many = pairs(*[(f"{COMMON} good", f"{COMMON} bad")] * 10)
    assert check(family("chatml"), many, tmp_path).n_alike == 10
    few = check(family("chatml"), many[:6], tmp_path)  # none is held out: the plots show the training responses
    assert few.n_alike == 3


def test_pairs_that_a_template_makes_alike_are_told_apart_from_cut_ones(family, tmp_path):
    found = check(family("gemma-2"), pairs(("Yes.", "Yes.\n"), ("yes", "no")), tmp_path)
    assert found.n_alike == 1
    (told,) = (text for text in found.warnings if "alike" in text)
    assert told.startswith("1 pair is alike: both responses are read as the same text")
    assert "Longest sequence" not in told


def test_answers_behind_the_cut_are_counted(family, tmp_path):
    long = [(f"<think>\n{COMMON}\n</think>\n\nA cork.", "<think>\nno\n</think>\n\nA stone.")] * 2
    found = check(family("deepseek-r1"), pairs(*long), tmp_path)
    assert any(text.startswith("2 responses are cut within the thought at 64 tokens") for text in found.warnings)
    whole = check(family("deepseek-r1"), pairs(*long), tmp_path, max_tokens=128)
    assert not any("thought" in text for text in whole.warnings)


def test_a_system_text_that_moves_is_said(family, tmp_path):
    system = [
        judgement
        for i in range(6)
        for judgement in build_pair(
            (Message("system", "Be brief."), Message("user", f"Q{i}?")), "Yes.", "No.", source=Source.UPLOAD
        )
    ]
    found = check(family("gemma-2"), system, tmp_path)
    assert found.problems == ()
    assert any("no system role: the system text of 6 prompts" in text for text in found.warnings)
    assert texts(found.reading[0])[0].count("Be brief.") == 1
    assert not any("system" in text for text in check(family("chatml"), system, tmp_path).warnings)


def test_prompts_that_the_template_refuses_keep_the_run_from_starting(family, tmp_path):
    wrong = [
        Judgement((Message("user", "One."), Message("user", f"Two {i}.")), answer, Verdict.PREFERRED)
        for i in range(3)
        for answer in ("A", "B")
    ]
    found = check(family("mistral-0.3"), [*pairs(("yes", "no")), *wrong], tmp_path)
    (problem,) = found.problems
    assert "ends in 'Two 0.' (turns: user, user)" in problem
    assert "must alternate" in problem
    assert "It is so with 3 of 4 prompts." in problem
    assert (found.n_responses, found.n_tokens, found.reading) == (8, None, ())


def test_a_model_without_a_template_keeps_the_run_from_starting(tiny_model_path, tmp_path):
    model = save_family(tiny_model_path, "chatml", tmp_path / "plain")
    (model / "chat_template.jinja").unlink()
    (problem,) = check(model, pairs(("yes", "no")), tmp_path).problems
    assert "'plain' has no chat template" in problem


# -- how the shell says it


def test_the_shell_shows_the_text_with_the_response_between_brackets(family, tmp_path):
    config = RunConfig(n_probe=1)
    found = check(family("chatml"), pairs(("A cork.\x1b[2J", "Q" * 3000)), tmp_path, max_tokens=4096)
    lines = describe_check({**asdict(found), "step_seconds": None, "peak_gib": None}, config).split("\n")
    start = lines.index("what the model reads, the response between >>> and <<<:")
    assert lines[start + 1 : start + 5] == [
        f"  preferred: {found.reading[0].n_prompt_tokens} tokens of the prompt (0 before them cut),"
        f" {found.reading[0].n_response_tokens} of the response (0 behind them cut)",
        "  | <|im_start|>user",
        "  | 0: What floats?<|im_end|>",
        "  | <|im_start|>assistant",
    ]
    assert lines[start + 5] == "  | >>>A cork.\\x1b[2J<|im_end|><<<"
    assert "characters ...]Q" in lines[-1]
    assert "0 pairs alike" in "\n".join(lines)
    unknown = describe_check({**asdict(Preflight()), "step_seconds": None, "peak_gib": None}, config)
    assert "what the model reads" not in unknown
