"""Pairs from a model's own answers: its first sentence preferred, the whole answer dispreferred.

This room knows the questions beside it and how to tell a usable answer; it must not know where sets are kept. Both
responses are the model's own words, so that likelihoods start close together and only the length is judged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bnf_lab.models import LoadedModel, load_model

QUESTIONS = Path(__file__).with_name("questions.txt")
MAX_NEW_TOKENS = 120
BATCH_SIZE = 24
MIN_CHARS, MAX_CHARS = 25, 240
# A full stop after one of these, or after a single letter or digit, does not end a sentence.
ABBREVIATIONS = r"(?<!\b[A-Za-z0-9])(?<!\b(?:Mr|Dr|St|vs))(?<!\bMrs)(?<!\be\.g)(?<!\bi\.e)(?<!\betc)"
SENTENCE_END = re.compile(ABBREVIATIONS + r"[.!?][\"')]*(?=\s|$)")
BAD_START = re.compile(r"(?i)(sure|certainly|great question|as an ai|i'm |i am |here (is|are)|\d+[.)]|[-*#])")


def make_rows(model_folder: Path) -> list[dict[str, object]]:
    """Asks every question and keeps the usable answers, in TRL's conversational preference schema.

    Decoding is greedy; other kernels or batch sizes may still round differently, so another machine may write a few
    other words.
    """
    questions = QUESTIONS.read_text(encoding="utf-8").splitlines()
    loaded = load_model(model_folder, quantization="none")
    rows: list[dict[str, object]] = []
    for start in range(0, len(questions), BATCH_SIZE):
        batch = questions[start : start + BATCH_SIZE]
        for question, answer in zip(batch, _answer(loaded, batch), strict=True):
            first = find_first_sentence(answer)
            if first:
                rows.append(
                    {
                        "prompt": [{"role": "user", "content": question}],
                        "chosen": [{"role": "assistant", "content": first}],
                        "rejected": [{"role": "assistant", "content": answer}],
                    }
                )
    return rows


def find_first_sentence(answer: str) -> str | None:
    """Returns the first sentence of a finished answer of several sentences, or None if it does not stand alone.

    >>> find_first_sentence("Paris is the capital of France. It lies on the Seine.")
    'Paris is the capital of France.'
    """
    ends = [match.end() for match in SENTENCE_END.finditer(answer)]
    if len(ends) < 2 or ends[-1] != len(answer):
        return None
    first = answer[: ends[0]]
    if not MIN_CHARS <= len(first) <= MAX_CHARS or "\n" in first or ":" in first or BAD_START.match(first):
        return None
    return first


def _answer(loaded: LoadedModel, questions: Sequence[str]) -> list[str]:
    """Returns the model's greedy answers; one that did not end by itself comes back empty."""
    tokenizer = loaded.tokenizer
    chats = [[{"role": "user", "content": question}] for question in questions]
    batch = tokenizer.apply_chat_template(
        chats, add_generation_prompt=True, padding=True, padding_side="left", return_tensors="pt", return_dict=True
    ).to(loaded.device)
    output = loaded.model.generate(
        **batch, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, pad_token_id=tokenizer.pad_token_id
    )
    answers = []
    for tokens in output[:, batch["input_ids"].shape[1] :].tolist():
        has_ended = tokenizer.eos_token_id in tokens
        answers.append(tokenizer.decode(tokens, skip_special_tokens=True).strip() if has_ended else "")
    return answers
