"""Choices by likelihood and written answers, on the tiny model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bnf_lab.core.errors import LabError
from bnf_lab.core.judgements import Message
from bnf_lab.evaluation.skill_questions import MultipleChoice, WordProblem, load_multiple_choice, make_word_problems
from bnf_lab.evaluation.skill_scores import answer_problems, grade_problems, score_choices
from bnf_lab.models.adapters import load_adapter
from bnf_lab.models.decode import DecodeRow, decode, encode_prompt
from bnf_lab.models.loading import load_model
from bnf_lab.models.scoring import as_reference
from tests.support.templates import save_family

ITEMS = load_multiple_choice()[::5]
PROMPTS = [problem.prompt for problem in make_word_problems(2, seed=1)]


def mean_logp(loaded, question, choice, around=""):
    """Mean log p of a choice's own tokens, by the plain model on one unpacked sequence."""
    prompt = encode_prompt(loaded, (Message("user", question),))
    prompt += loaded.tokenizer(around, add_special_tokens=False)["input_ids"]
    answer = loaded.tokenizer(choice, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([prompt + answer])
    with torch.no_grad():
        logps = loaded.model(ids).logits[0].log_softmax(dim=-1)
    targets = ids[0, len(prompt) :, None]
    return logps[len(prompt) - 1 : -1].gather(1, targets).mean().item()


def likeliest(loaded, item):
    means = [mean_logp(loaded, item.question, choice) for choice in item.choices]
    return means.index(max(means))


def test_the_choice_of_highest_mean_likelihood_is_the_models_answer(tiny_loaded):
    chosen = [likeliest(tiny_loaded, item) for item in ITEMS]
    assert len(set(chosen)) > 1
    assert score_choices(tiny_loaded, ITEMS) == [c == i.answer for c, i in zip(chosen, ITEMS, strict=True)]
    answered_so = [replace(item, answer=place) for item, place in zip(ITEMS, chosen, strict=True)]
    assert all(score_choices(tiny_loaded, answered_so, size=3))


def test_the_reference_is_the_base(tiny_loaded, tiny_adapter_path):
    base = score_choices(tiny_loaded, ITEMS)
    loaded = load_adapter(tiny_loaded, tiny_adapter_path, "a")
    assert score_choices(loaded, ITEMS) != base
    with as_reference(loaded):
        assert score_choices(loaded, ITEMS) == base


@pytest.mark.parametrize("name", ["qwen-3", "deepseek-r1"])
def test_what_a_template_writes_around_a_choice_does_not_count(tiny_model_path, tmp_path, name):
    loaded = load_model(save_family(tiny_model_path, name, tmp_path / name), quantization="none", dtype=torch.float32)
    around = {"qwen-3": "<think>\n\n</think>\n\n", "deepseek-r1": "\n</think>\n\n"}[name]
    chosen = []
    for item in ITEMS:
        means = [mean_logp(loaded, item.question, choice, around) for choice in item.choices]
        chosen.append(means.index(max(means)))
    assert len(set(chosen)) > 1
    assert score_choices(loaded, ITEMS) == [c == i.answer for c, i in zip(chosen, ITEMS, strict=True)]


def test_a_tie_is_not_right(tiny_loaded):
    items = [MultipleChoice("Which?", ("same", "same"), place, "reasoning") for place in (0, 1)]
    assert score_choices(tiny_loaded, items) == [False, False]


def test_choices_report_progress_and_none_is_none(tiny_loaded):
    seen = []
    score_choices(tiny_loaded, ITEMS[:3], size=5, on_progress=lambda *at: seen.append(at))
    assert seen == [(5, 12), (10, 12), (12, 12)]
    assert score_choices(tiny_loaded, []) == []


def test_a_question_too_long_is_refused(tiny_loaded):
    with pytest.raises(LabError, match="is longer than 512 tokens"):
        score_choices(tiny_loaded, [replace(ITEMS[0], question="Why? " * 400)])


def test_answers_are_greedy_and_in_the_given_order(tiny_loaded):
    alone = []
    for prompt in PROMPTS:
        *_, rows = decode(
            tiny_loaded, [DecodeRow((Message("user", prompt),))], temperature=0.0, top_p=1.0, max_new_tokens=12, seed=0
        )
        alone.append(rows[0].text)
    seen = []
    answers = answer_problems(
        tiny_loaded, PROMPTS, adapter=None, max_new_tokens=12, size=4, on_progress=lambda *at: seen.append(at)
    )
    assert answers == alone
    assert len(set(answers)) > 1
    assert seen == [(4, 6), (6, 6)]
    backwards = answer_problems(tiny_loaded, PROMPTS[::-1], adapter=None, max_new_tokens=12, size=4)
    assert backwards == answers[::-1]
    assert answer_problems(tiny_loaded, [], adapter=None) == []


def test_the_named_adapter_answers(tiny_loaded, tiny_adapter_path):
    base = answer_problems(tiny_loaded, PROMPTS[:3], adapter=None, max_new_tokens=12)
    loaded = load_adapter(tiny_loaded, tiny_adapter_path, "a")
    assert answer_problems(loaded, PROMPTS[:3], adapter=None, max_new_tokens=12) == base
    assert answer_problems(loaded, PROMPTS[:3], adapter="a", max_new_tokens=12) != base


def test_grades():
    problems = [WordProblem("?", 12, 1)] * 4
    assert grade_problems(["A: 12", "It is 12.0 in all", "13", "twelve"], problems) == [True, True, False, False]
    with pytest.raises(ValueError, match="longer"):
        grade_problems(["12"], problems)
