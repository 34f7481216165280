"""Pairs from a model's own answers: its first sentence preferred, the whole answer dispreferred.

This room knows the questions beside it and how to tell a usable answer; it must not know where sets are kept. Both
responses are the model's own words, so that likelihoods start close together and only the length is judged. An answer
counts as whole up to its last full sentence within `MAX_NEW_TOKENS`: this model seldom ends by itself before that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bnf_lab.models.loading import LoadedModel, load_model

QUESTIONS = Path(__file__).with_name("questions.txt")
MAX_NEW_TOKENS = 96
BATCH_SIZE = 40
LEFT_OUT = "- "
MIN_CHARS, MAX_CHARS = 25, 240
# A full stop after one of these, or after a single letter or digit, does not end a sentence.
ABBREVIATIONS = r"(?<!\b[A-Za-z0-9])(?<!\b(?:Mr|Dr|St|vs))(?<!\bMrs)(?<!\be\.g)(?<!\bi\.e)(?<!\betc)"
SENTENCE_END = re.compile(ABBREVIATIONS + r"[.!?][\"')]*(?=\s|$)")
BAD_START = re.compile(r"(?i)(sure|certainly|great question|as an ai|i'm |i am |here (is|are)|\d+[.)]|[-*#])")


def make_rows(model_folder: Path) -> list[dict[str, object]]:
    """Asks every question and keeps the usable answers, in TRL's conversational preference schema.

    A question marked with `LEFT_OUT` is asked too, since a batch's other answers may depend on it by rounding, but its
    answer is not kept: a person read it and found it wrong or unclear. Decoding is greedy; another machine's kernels
    may still round differently and so write a few other words.
    """
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    loaded = load_model(model_folder, quantization="none")
    rows: list[dict[str, object]] = []
    for start in range(0, len(lines), BATCH_SIZE):
        batch = lines[start : start + BATCH_SIZE]
        for line, answer in zip(batch, _answer(loaded, [text.removeprefix(LEFT_OUT) for text in batch]), strict=True):
            responses = split_answer(answer)
            if responses and not line.startswith(LEFT_OUT):
                rows.append(
                    {
                        "prompt": [{"role": "user", "content": line}],
                        "chosen": [{"role": "assistant", "content": responses[0]}],
                        "rejected": [{"role": "assistant", "content": responses[1]}],
                    }
                )
    return rows


def split_answer(answer: str) -> tuple[str, str] | None:
    """Returns the first sentence and the whole answer up to its last full sentence.

    None if there are not two sentences, or if the first does not stand alone as an answer.

    >>> split_answer("Paris is the capital of France. It lies on the Seine. Its")
    ('Paris is the capital of France.', 'Paris is the capital of France. It lies on the Seine.')
    """
    ends = [match.end() for match in SENTENCE_END.finditer(answer)]
    if len(ends) < 2:
        return None
    first = answer[: ends[0]]
    if not MIN_CHARS <= len(first) <= MAX_CHARS or "\n" in first or ":" in first or BAD_START.match(first):
        return None
    return first, answer[: ends[-1]]


def _answer(loaded: LoadedModel, questions: Sequence[str]) -> list[str]:
    """Returns the model's greedy answers, cut off after `MAX_NEW_TOKENS`."""
    tokenizer = loaded.tokenizer
    tokenizer.padding_side = "left"  # generation continues from the last position of every row
    chats = [[{"role": "user", "content": question}] for question in questions]
    batch = tokenizer.apply_chat_template(
        chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    ).to(loaded.device)
    output = loaded.model.generate(
        **batch, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, pad_token_id=tokenizer.pad_token_id
    )
    texts = tokenizer.batch_decode(output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return [text.strip() for text in texts]
