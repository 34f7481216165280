"""A conversation as the text that a model reads, and the answer as the text that it is to write next.

Both come from the tokenizer's own chat template, so that a model is trained on what it will be asked to write:

    prompt = what the template renders for generation
    answer = what the template renders behind that prompt once the answer is a turn of the conversation

Where a template's turn does not continue its own generation prompt (DeepSeek-R1 and QwQ open `<think>` in the prompt
and leave thoughts out of turns), the answer is written by hand: without a thought it closes the block first, with one
it opens the block exactly once. This module knows texts; token ids are `encoding`'s. It must not know models or pages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from bnf_lab.core.errors import ModelUnavailable, PromptRefused, shown
from bnf_lab.core.judgements import Message

OPEN, CLOSE = "<think>", "</think>"
# stand for a question and its answer while the template's own text around them is looked for
_ASKED, _TOLD = "\u2603", "\u2602"
_OPENED = re.compile(rf"{OPEN}(\s*)\Z")
_THOUGHT = re.compile(rf"\s*{OPEN}(.*?){CLOSE}\n*", re.DOTALL)
_UNFINISHED = re.compile(rf"\s*{OPEN}\s*")
# A template is a program of the model's author: what it stumbles over is a refusal, not a defect of the lab.
_TEMPLATE_ERRORS = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class RenderedPrompt:
    """A conversation up to where the answer begins.

    Attributes:
        messages: The turns as the template took them.
        text: What it made of them.
    """

    messages: tuple[Message, ...]
    text: str


@dataclass(frozen=True)
class Piece:
    """A part of an answer; in a literal one control tokens that somebody wrote out stay text."""

    text: str
    is_literal: bool


@dataclass(frozen=True)
class _Thought:
    """A response taken apart; `thought` is None where there is none, `is_finished` False where it never ends."""

    thought: str | None
    answer: str
    is_finished: bool = True


_Part = tuple[str, bool]
"""A text, and whether it is a person's own."""


class ChatTemplate:
    """A tokenizer's chat template.

    Attributes:
        has_system_role: Whether it renders system messages; else their text goes before the next user turn.
        header: What it writes between a user's text and the answer, from the first control token on; may be empty.
        end: The token that ends an assistant's turn, else the end-of-sequence token.

    Raises:
        ModelUnavailable: If there is no template, or it renders not even a question and an answer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        require_template(tokenizer)
        self._tokenizer = tokenizer
        added = [str(token) for token in tokenizer.added_tokens_decoder.values() if str(token).strip()]
        self._control = tuple(str(t) for t in tokenizer.added_tokens_decoder.values() if t.special)
        question, answer = {"role": "user", "content": _ASKED}, {"role": "assistant", "content": _TOLD}
        asked = self._probe([question], for_answer=True)
        told = self._probe([question, answer], for_answer=False)
        header = asked.rpartition(_ASKED)[2]
        self.header = header[_first(added, header)[0] :]
        before, is_told, self._suffix = told.partition(_TOLD)
        self._lead = before[len(asked) :] if is_told and before.startswith(asked) else ""
        at, self.end = _first(added, self._suffix)
        self._tail = self._suffix[:at] if self.end else ""
        self.end = self.end or str(tokenizer.eos_token or "")
        if not self.end:
            raise _unusable(tokenizer, "neither it nor the tokenizer says how a turn ends")
        self.has_system_role = self._has_system_role()

    def prompt(self, messages: Sequence[Message]) -> RenderedPrompt:
        """Renders a conversation, ready for the assistant's answer.

        System text that the template does not take goes before the user turn that follows it.

        Raises:
            PromptRefused: If the template refuses the turns, or leaves one out.
        """
        given = tuple(messages)
        tried = [given]
        if any(m.role == "system" for m in given):
            tried = [*(tried if self.has_system_role else []), fold_system(given)]
        problem, cause = "", None
        for turns in tried:
            try:
                text = self._apply(_records(turns), for_answer=True)
            except _TEMPLATE_ERRORS as error:
                problem, cause = _reason(error), error
                continue
            lost = next((m for i, m in enumerate(turns) if not _is_in(m, text) and not self._shows(turns, i)), None)
            if lost is None:
                return RenderedPrompt(turns, text)
            problem, cause = f"it leaves out the {lost.role} message {shown(lost.content)}", None
        raise _refused(given, problem) from cause

    def answer(self, prompt: RenderedPrompt, response: str) -> tuple[Piece, ...]:
        """Returns what follows the prompt, up to the token that ends the turn.

        Raises:
            PromptRefused: If the template refuses an answer after these turns.
        """
        opened = _OPENED.search(prompt.text)
        parts = _take_apart(response, is_thinking=opened is not None or OPEN in self._lead)
        for record in _spellings(parts, response):
            written = self._as_turn(prompt, record)
            if written is not None and _fits(written[0], parts, record, is_opened=opened is not None):
                return self._pieces([*_around(written[0], parts.thought), (written[1], True)])
        return self._pieces(self._by_hand(parts, response, opened))

    def _as_turn(self, prompt: RenderedPrompt, record: dict[str, str]) -> tuple[str, str] | None:
        """Returns what the template's own turn has behind the prompt: its lead and the text; None if it differs."""
        try:
            told = self._apply([*_records(prompt.messages), {"role": "assistant", **record}], for_answer=False)
        except _TEMPLATE_ERRORS as error:
            raise _refused(prompt.messages, _reason(error)) from error
        if not told.startswith(prompt.text) or not told.endswith(self._suffix):
            return None
        inner = told[len(prompt.text) : len(told) - len(self._suffix)]
        text = record["content"]
        for trimmed in (text, text.rstrip(), text.lstrip(), text.strip()):
            if inner.endswith(trimmed):
                return inner[: len(inner) - len(trimmed)], trimmed
        return None

    def _by_hand(self, parts: _Thought, response: str, opened: re.Match[str] | None) -> list[_Part]:
        if opened is None:
            return [(self._lead if parts.thought is None or OPEN not in self._lead else "", False), (response, True)]
        gap, thought = opened.group(1), (parts.thought or "").strip()
        if not parts.is_finished:
            return [(thought, True)]
        return [(thought, True), (f"{gap}{CLOSE}{gap}{gap}", False), (parts.answer.lstrip("\n"), True)]

    def _pieces(self, parts: list[_Part]) -> tuple[Piece, ...]:
        """Joins texts; only a person's own in which a control token is written out stays apart."""
        pieces = [Piece("", False)]
        for text, is_own in [*parts[:-1], (parts[-1][0] + self._tail, parts[-1][1])]:
            last = pieces[-1]
            if not is_own or not self._holds_control(text):
                pieces[-1:] = [last, Piece(text, False)] if last.is_literal else [Piece(last.text + text, False)]
                continue
            # white space before it belongs to its first word, as the tokenizer would see it
            bare = last.text.rstrip() if not last.is_literal else last.text
            pieces[-1:] = [Piece(bare, last.is_literal), Piece(last.text[len(bare) :] + text, True)]
        return tuple(piece for piece in pieces if piece.text)

    def _holds_control(self, text: str) -> bool:
        return any(token in text for token in self._control if token not in (OPEN, CLOSE))

    def _has_system_role(self) -> bool:
        try:
            text = self._apply(_records((Message("system", _TOLD), Message("user", _ASKED))), for_answer=True)
        except _TEMPLATE_ERRORS:
            return False
        return _TOLD in text

    def _shows(self, turns: Sequence[Message], place: int) -> bool:
        """Tells whether a turn is rendered at all, if not word by word: some templates take switches out of texts."""
        records = _records(turns)
        records[place]["content"] = _TOLD
        try:
            return _TOLD in self._apply(records, for_answer=True)
        except _TEMPLATE_ERRORS:
            return False

    def _probe(self, records: list[dict[str, str]], *, for_answer: bool) -> str:
        try:
            text = self._apply(records, for_answer=for_answer)
        except _TEMPLATE_ERRORS as error:
            raise _unusable(self._tokenizer, _reason(error)) from error
        if _ASKED not in text:
            raise _unusable(self._tokenizer, "it leaves the user's text out")
        return text

    def _apply(self, records: list[dict[str, str]], *, for_answer: bool) -> str:
        return str(self._tokenizer.apply_chat_template(records, add_generation_prompt=for_answer, tokenize=False))


def require_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Makes sure that a tokenizer has a chat template.

    Raises:
        ModelUnavailable: If it has none.
    """
    if not tokenizer.chat_template:
        raise ModelUnavailable(
            f"Model {_name(tokenizer)} has no chat template. The lab needs an instruction-tuned model, whose tokenizer"
            " says how a conversation is written; choose another."
        )


def fold_system(messages: Sequence[Message]) -> tuple[Message, ...]:
    r"""Puts the text of system messages before the user turn that follows them; a blank one is left out.

    >>> fold_system((Message("system", "Be brief."), Message("user", "Hi")))
    (Message(role='user', content='Be brief.\n\nHi'),)
    """
    folded: list[Message] = []
    waiting: list[str] = []
    for message in messages:
        if message.role == "system":
            waiting += [message.content] if message.content.strip() else []
        elif message.role == "user":
            folded.append(Message("user", "\n\n".join([*waiting, message.content])))
            waiting = []
        else:
            folded.append(message)
    if waiting:
        before = [folded.pop().content] if folded and folded[-1].role == "user" else []
        folded.append(Message("user", "\n\n".join([*before, *waiting])))
    return tuple(folded)


def _take_apart(response: str, *, is_thinking: bool) -> _Thought:
    """Finds the thought at a response's beginning; where prompts open the block, a response may only close it."""
    if found := _THOUGHT.match(response):
        return _Thought(found.group(1), response[found.end() :])
    if found := _UNFINISHED.match(response):
        return _Thought(response[found.end() :], "", is_finished=False)
    if is_thinking and CLOSE in response:
        thought, _, answer = response.partition(CLOSE)
        return _Thought(thought, answer.lstrip("\n"))
    return _Thought(None, response)


def _spellings(parts: _Thought, response: str) -> Iterator[dict[str, str]]:
    """Yields an assistant's turn in the ways in which templates take thoughts: apart, else inside the text."""
    if parts.thought is not None and parts.is_finished:
        thought = parts.thought.strip()
        yield {"content": parts.answer, "reasoning_content": thought, "thinking": thought}
    yield {"content": response}


def _fits(lead: str, parts: _Thought, record: dict[str, str], *, is_opened: bool) -> bool:
    """Tells whether a template's lead to an answer opens at most one block, closes it and keeps the thought."""
    n_opened, n_closed = is_opened + lead.count(OPEN), lead.count(CLOSE)
    if not n_opened == n_closed <= 1:
        return False
    if parts.thought is None:
        return True
    if "thinking" not in record:  # the thought stands in the text itself
        return n_opened == 0
    thought = parts.thought.strip()
    return thought in lead if thought else n_opened == 1


def _around(lead: str, thought: str | None) -> list[_Part]:
    """Parts what a template writes before an answer at the thought in it."""
    own = (thought or "").strip()
    if not own:
        return [(lead, False)]
    before, own, after = lead.partition(own)
    return [(before, False), (own, True), (after, False)]


def _is_in(message: Message, text: str) -> bool:
    """Tells whether a message is in the rendered text, as it is or as JSON; an earlier thought may be left out."""
    content = message.content.rpartition(CLOSE)[2] if message.role == "assistant" else message.content
    content = content.strip()
    return content in text or json.dumps(content, ensure_ascii=False)[1:-1] in text


def _records(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in messages]


def _first(tokens: Sequence[str], text: str) -> tuple[int, str]:
    """Returns where the first of these tokens stands in a text, and which one; the text's end and "" if none does."""
    found = [(text.index(token), -len(token), token) for token in tokens if token in text]
    at, _, token = min(found, default=(len(text), 0, ""))
    return at, token


def _reason(error: Exception) -> str:
    words = str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
    return shown(words.strip().rstrip("."), 200)[1:-1]


def _refused(messages: Sequence[Message], reason: str) -> PromptRefused:
    roles = ", ".join(m.role for m in messages[:8]) + (", ..." if len(messages) > 8 else "")
    return PromptRefused(
        f"The model's chat template does not take the conversation that ends in {shown(messages[-1].content)} (turns:"
        f" {roles}): {reason}. Most templates take a system message if any, then user and assistant in turn, the user"
        " first. Mend or delete it, or choose another model."
    )


def _unusable(tokenizer: PreTrainedTokenizerBase, reason: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"The chat template of model {_name(tokenizer)} cannot be used: {reason}. One that renders a user's question"
        " and the assistant's answer is needed; choose another model."
    )


def _name(tokenizer: PreTrainedTokenizerBase) -> str:
    return shown(Path(tokenizer.name_or_path).name)
