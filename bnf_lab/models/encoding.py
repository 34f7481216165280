"""Judgements -> token ids.

This module knows tokenizers and their chat templates (`chat_template`) and nothing of models, files or pages. Which
responses a step reads is the plan's (`training.plan`); here is only in which order they share most.
"""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from bnf_lab.core.errors import RunRefused
from bnf_lab.core.judgements import Judgement, Message
from bnf_lab.models.chat_template import CLOSE, ChatTemplate, Piece, RenderedPrompt

PROMPTS_AT_HAND = 64  # rendered ones: responses to one prompt mostly come one after another

Turn = tuple[Sequence[Message], str]
"""A prompt and a response to it."""


@dataclass(frozen=True)
class EncodedResponse:
    """One judged response as token ids; the response ends with the end-of-turn token unless it was cut."""

    judgement_id: str
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    is_preferred: bool
    weight: float
    prompt_key: tuple[Message, ...]
    is_cut: bool

    @property
    def n_tokens(self) -> int:
        return len(self.prompt_ids) + len(self.response_ids)


class Encoder:
    """Turns judgements into token ids by a tokenizer's chat template.

    The one place where a conversation becomes what a model reads: training, counting, scoring and chat all ask it.
    Threads may share one.

    Raises:
        ModelUnavailable: If the tokenizer has no usable chat template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.template = ChatTemplate(tokenizer)
        self.end_ids = [tokenizer.convert_tokens_to_ids(self.template.end)]
        self._render = functools.lru_cache(PROMPTS_AT_HAND)(self.template.prompt)
        self._splitting: PreTrainedTokenizerBase | None = None
        self._lock = threading.Lock()

    def encode_prompt(self, prompt: Sequence[Message]) -> list[int]:
        """Returns the ids of the rendered conversation up to where the assistant's answer begins.

        Raises:
            PromptRefused: If the template does not take the conversation.
        """
        return self.encode_prompts([prompt])[0]

    def encode_prompts(self, prompts: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Returns what `encode_prompt` gives for each of some prompts."""
        return self._ids([self._render(tuple(prompt)).text for prompt in prompts])

    def encode_turn(self, prompt: Sequence[Message], response: str) -> tuple[list[int], list[int]]:
        """Returns the ids of a prompt and of all that the model is to write behind it, its end of turn included.

        Together they are what the template makes of the conversation with the response as its last turn. Exceptions:
        an end-of-sequence token ends a turn that the template leaves open, what the template writes behind the end of
        a turn is left out, and thoughts stand where `chat_template` says. A control token written out inside a
        response stays text: only the template may end a turn.

        Raises:
            PromptRefused: If the template does not take the conversation.
        """
        return self.encode_prompt(prompt), self.encode_responses([(prompt, response)])[0]

    def encode_responses(self, turns: Sequence[Turn]) -> list[list[int]]:
        """Returns the ids of some responses, each as `encode_turn` gives them behind its prompt.

        A response is tokenised as it comes out behind its prompt, since its first word's token may depend on what is
        before. That is looked at from the last control tokens on, over which no token reaches. Where a token would
        reach over the border itself (a line break at the prompt's end and one at the response's beginning), the
        response is tokenised alone: a prompt's ids never depend on what follows.
        """
        rendered = [self._render(tuple(prompt)) for prompt, _ in turns]
        answers = [self.template.answer(p, response) for p, (_, response) in zip(rendered, turns, strict=True)]
        contexts = [self._context(prompt) for prompt in rendered]
        known = list(dict.fromkeys(contexts))
        before = dict(zip(known, self._ids(known), strict=True))
        texts = [context + _text(answer) for context, answer in zip(contexts, answers, strict=True)]
        found = []
        for context, answer, ids in zip(contexts, answers, self._ids(texts), strict=True):
            n_before = len(before[context])
            is_whole = ids[:n_before] == before[context] and not any(piece.is_literal for piece in answer)
            found.append((ids[n_before:] if is_whole else self._piecewise(answer)) + self.end_ids)
        return found

    def encode(self, judgement: Judgement) -> EncodedResponse:
        """Encodes one judgement; where it exceeds `max_tokens` it is cut as `join` says.

        Raises:
            PromptRefused: If the template does not take the conversation.
        """
        return join(judgement, *self.encode_turn(judgement.prompt, judgement.response), max_tokens=self.max_tokens)

    def text(self, ids: Sequence[int]) -> str:
        """Returns the exact text of tokens, control tokens included."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def spell(self, ids: Sequence[int]) -> list[str]:
        """Returns the text of each token; tokens that only together spell a character are one entry."""
        texts: list[str] = []
        start = known = 0  # a token's text can depend on the one before it
        for end in range(1, len(ids) + 1):
            new = self.text(ids[start:end])[len(self.text(ids[start:known])) :]
            if (new and not new.endswith("\ufffd")) or end == len(ids):
                texts.append(new)
                start, known = known, end
        return texts

    def _context(self, prompt: RenderedPrompt) -> str:
        header = self.template.header
        return header if header and prompt.text.endswith(header) else prompt.text

    def _piecewise(self, answer: Sequence[Piece]) -> list[int]:
        ids = (self._ids([piece.text], split_special_tokens=piece.is_literal)[0] for piece in answer)
        return [i for row in ids for i in row]

    def _ids(self, texts: Sequence[str], *, split_special_tokens: bool = False) -> list[list[int]]:
        if not texts:
            return []
        tokenizer = self._splitter() if split_special_tokens else self.tokenizer
        options = {"add_special_tokens": False, "split_special_tokens": split_special_tokens}
        ids: list[list[int]] = tokenizer(list(texts), **options)["input_ids"]
        return ids

    def _splitter(self) -> PreTrainedTokenizerBase:
        """Returns a tokenizer of its own for texts whose special tokens are split, made when there is the first one.

        Splitting is a state of the tokenizer, not of a call, and threads would change it under each other's feet.
        """
        with self._lock:
            if self._splitting is None:
                self._splitting = copy.deepcopy(self.tokenizer)
                self._splitting(["."], split_special_tokens=True)  # sets the state for good
            return self._splitting


def _text(answer: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in answer)


def cut_lengths(n_prompt: int, n_response: int, max_tokens: int) -> tuple[int, int]:
    """Returns how many tokens of a prompt and of its response are read; see `join`.

    >>> cut_lengths(3, 4, 16), cut_lengths(30, 40, 16), cut_lengths(3, 40, 16), cut_lengths(30, 4, 16)
    ((3, 4), (8, 8), (3, 13), (12, 4))
    """
    n_kept = min(n_response, max_tokens - min(n_prompt, max_tokens // 2))
    return min(n_prompt, max_tokens - n_kept), n_kept


def join(judgement: Judgement, prompt: Sequence[int], response: Sequence[int], *, max_tokens: int) -> EncodedResponse:
    """Puts the ids of a judgement's prompt and response together, at most `max_tokens` of them.

    Where both exceed that, the response keeps at least half of the room and its beginning, the prompt keeps its end.
    Ids are cut, never texts: another `max_tokens` needs no new look at a text.

    Raises:
        RunRefused: If the prompt has no ids.
    """
    if not prompt:
        raise RunRefused("The model's chat template makes nothing of a prompt. Choose an instruction-tuned model.")
    n_prompt, n_response = cut_lengths(len(prompt), len(response), max_tokens)
    return EncodedResponse(
        judgement.id,
        tuple(prompt[len(prompt) - n_prompt :]),
        tuple(response[:n_response]),
        judgement.is_preferred,
        judgement.weight,
        judgement.prompt,
        is_cut=n_prompt + n_response < len(prompt) + len(response),
    )


def behind_thought(response: str) -> str:
    """Returns what stands behind a response's thought; all of it where it has none."""
    return response.rpartition(CLOSE)[2]


def order_for_packing(responses: Iterable[EncodedResponse]) -> list[EncodedResponse]:
    """Sorts responses so that neighbours have one prompt, whose tokens they then share, or else similar lengths."""
    return [row[0] for row in order_rows([(r,) for r in responses])]


def order_rows(rows: Sequence[tuple[EncodedResponse, ...]]) -> list[tuple[EncodedResponse, ...]]:
    """Sorts rows of responses to one prompt each as `order_for_packing` does."""
    longest: dict[tuple[int, ...], int] = {}
    for row in rows:
        longest[row[0].prompt_ids] = max(longest.get(row[0].prompt_ids, 0), *(r.n_tokens for r in row))
    return sorted(rows, key=lambda row: (longest[row[0].prompt_ids], row[0].prompt_ids, row[0].n_tokens))
