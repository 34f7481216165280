"""What a model can do: multiple choice by likelihood, and word problems by the answers it writes.

This room asks the model as it is now, base or aligned as the caller has set it. It must not know where the questions
come from, runs or pages.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from bnf_lab.core.errors import LabError, shown
from bnf_lab.core.judgements import Judgement, Message, Verdict
from bnf_lab.evaluation.skill_questions import MultipleChoice, WordProblem, parse_number
from bnf_lab.models.decode import DecodeRow, decode
from bnf_lab.models.encoding import EncodedResponse, Encoder
from bnf_lab.models.loading import LoadedModel
from bnf_lab.models.scoring import compute_stats, in_eval

MAX_TOKENS = 512  # of a question with a choice; those that come along have fewer than 100

Progress = Callable[[int, int], None]


def score_choices(
    loaded: LoadedModel, items: Sequence[MultipleChoice], *, size: int = 8, on_progress: Progress | None = None
) -> list[bool]:
    """Tells for each question whether the model finds the right choice the likeliest.

    Each choice is how the assistant's answer to the question alone begins (the others are not shown). Its likelihood
    is normalised per token, mean_t log p(y_t | x, y_<t) over the choice's own tokens, so that a choice is not punished
    for its length. Whether the model would end its turn there is left out: that is a matter of style, which alignment
    changes, and no matter of knowledge. A tie is not right.

    Args:
        loaded: The model as it is now; within `scoring.as_reference` that is the base.
        items: The questions.
        size: Choices in one forward pass; those of one question share its tokens.
        on_progress: Called with (choices done, choices in all).

    Returns:
        Right or wrong, in the order of `items`.

    Raises:
        LabError: If a question with a choice is longer than 512 tokens.
    """
    encoder = Encoder(loaded.tokenizer, max_tokens=MAX_TOKENS)
    responses = [_encode(encoder, item, i, j) for i, item in enumerate(items) for j in range(len(item.choices))]
    own = {r.judgement_id: _own_tokens(encoder, r) for r in responses}
    stats = compute_stats(loaded, responses, size=size, on_progress=on_progress)
    means = {name: float(tokens.logps[own[name]].mean()) for name, tokens in stats.items()}
    return [
        all(means[_name(i, item.answer)] > means[_name(i, j)] for j in range(len(item.choices)) if j != item.answer)
        for i, item in enumerate(items)
    ]


def _name(item: int, choice: int) -> str:
    return f"{item}/{choice}"


def _encode(encoder: Encoder, item: MultipleChoice, i: int, j: int) -> EncodedResponse:
    verdict = Verdict.PREFERRED if j == item.answer else Verdict.DISPREFERRED
    judgement = Judgement((Message("user", item.question),), item.choices[j], verdict, id=_name(i, j))
    response = encoder.encode(judgement)
    if response.is_cut:
        raise LabError(
            f"The question {shown(item.question)} with the choice {shown(item.choices[j])} is longer than"
            f" {encoder.max_tokens} tokens, the most that is accepted. Shorten or delete it."
        )
    return response


def _own_tokens(encoder: Encoder, response: EncodedResponse) -> slice:
    """Returns where a choice's own tokens are: behind the thought that its template closes, before the end of turn."""
    _, frame = encoder.encode_turn(response.prompt_key, "")
    start = _count_equal(frame, response.response_ids)
    rest = frame[start:]
    return slice(start, len(response.response_ids) - _count_equal(rest[::-1], response.response_ids[::-1]))


def _count_equal(first: Sequence[int], second: Sequence[int]) -> int:
    """Returns how many tokens two sequences begin with in common."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def answer_problems(
    loaded: LoadedModel,
    prompts: Sequence[str],
    *,
    adapter: str | None,
    max_new_tokens: int = 64,
    size: int = 8,
    on_progress: Progress | None = None,
) -> list[str]:
    """Lets the model answer each prompt, taking the most likely token each time.

    Args:
        loaded: The model.
        prompts: Each a conversation of its own.
        adapter: Name of the loaded adapter that answers; None for the base.
        max_new_tokens: Longest answer, in tokens.
        size: Prompts answered together, neighbours in length.
        on_progress: Called with (prompts done, prompts in all).

    Returns:
        The answers in the order of `prompts`.

    Raises:
        LabError: If a setting is out of range or a prompt does not fit the model.
    """
    # Ties are broken by the text: who is answered with whom, and so the last bit of a sum, depends on no given order.
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), prompts[i]))
    answers: dict[int, str] = {}
    with in_eval(loaded):
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            rows = [DecodeRow((Message("user", prompts[i]),), adapter) for i in chosen]
            *_, final = decode(loaded, rows, temperature=0.0, top_p=1.0, max_new_tokens=max_new_tokens, seed=0)
            answers |= {i: row.text for i, row in zip(chosen, final, strict=True)}
            if on_progress:
                on_progress(len(answers), len(prompts))
    return [answers[i] for i in range(len(prompts))]


def grade_problems(answers: Sequence[str], problems: Sequence[WordProblem]) -> list[bool]:
    """Tells for each problem whether the number that its answer comes to (`skills.parse_number`) is exactly right."""
    return [parse_number(a) == problem.answer for a, problem in zip(answers, problems, strict=True)]
