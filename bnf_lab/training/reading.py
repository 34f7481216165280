"""What a run reads of its judgements, looked at before it starts: one pair token by token, and what is lost of all.

It knows the ids that an encoding cache keeps. It must not know devices, the store or pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from bnf_lab.core.errors import PromptRefused
from bnf_lab.core.judgements import Judgement, Message, Unit
from bnf_lab.core.numbers import counted
from bnf_lab.data.splits import Split
from bnf_lab.models.encoding import Encoder, behind_thought, cut_lengths, join
from bnf_lab.models.encoding_cache import EncodingCache
from bnf_lab.runs.estimates import ReadResponse, TextPiece

MAX_SPELLED = 400  # tokens of a response that are spelled one by one; the rest is one piece
MAX_REFUSED = 100  # refused prompts that are counted; each is rendered anew by every look


@dataclass(frozen=True)
class Reading:
    """What a run reads.

    Attributes:
        train_lengths: Tokens of each training response with its prompt, as the run cuts them, by its id.
        probe_tokens: The same of the held-out ones.
        n_cut: Responses, training and held out, of which or of whose prompt something is cut.
        n_alike: Pairs whose two responses are read as the same tokens.
        warnings: What is lost between the judgements and what the model reads.
        sample: The first pair, or the first response where there is no pair.
    """

    train_lengths: Mapping[str, int]
    probe_tokens: int
    n_cut: int
    n_alike: int
    warnings: tuple[str, ...]
    sample: tuple[ReadResponse, ...]

    @property
    def train_tokens(self) -> int:
        """Tokens of all training responses, each once."""
        return sum(self.train_lengths.values())


@dataclass(frozen=True)
class _Look:
    """A judgement with its token ids, and how many of them are read."""

    judgement: Judgement
    prompt: Sequence[int]
    response: Sequence[int]
    n_prompt: int
    n_response: int

    @property
    def n_read(self) -> int:
        return self.n_prompt + self.n_response

    @property
    def is_cut(self) -> bool:
        return self.n_read < len(self.prompt) + len(self.response)

    @property
    def n_lost(self) -> int:
        return len(self.response) - self.n_response


def read_split(split: Split, model: Path, encodings: EncodingCache, *, max_tokens: int) -> Reading:
    """Reads what a run trains on and holds out, and looks at what becomes of it.

    Raises:
        ModelUnavailable: If the model has no usable chat template.
        PromptRefused: If it does not take some prompts; the text names the first and counts them.
    """
    encoder = encodings.encoder(model)
    train, probe = (_look_at(units, model, encodings, max_tokens) for units in (split.train, split.probe))
    # where nothing is held out the probe is a part of the training responses
    everything = [*train, *probe] if split.is_held_out else train
    by_id = {look.judgement.id: look for look in everything}
    pairs = [(by_id[a.id], by_id[b.id]) for a, b in (unit for unit in _units(split) if len(unit) == 2)]
    alike = [a.is_cut or b.is_cut for a, b in pairs if _read_ids(a) == _read_ids(b)]
    sample = next((unit for unit in split.train if len(unit) == 2), next(iter(split.train), ()))
    return Reading(
        {look.judgement.id: look.n_read for look in train},
        sum(look.n_read for look in probe),
        sum(look.is_cut for look in everything),
        len(alike),
        (
            *_cut_warnings(everything, alike, max_tokens),
            *_thought_warnings(_count_answerless(everything, model, encodings), max_tokens),
            *_system_warnings(everything, encoder),
        ),
        tuple(_sample(by_id[judgement.id], encoder, max_tokens) for judgement in sample),
    )


def _units(split: Split) -> Sequence[Unit]:
    return (*split.train, *split.probe) if split.is_held_out else split.train


def _read_ids(look: _Look) -> Sequence[int]:
    return look.response[: look.n_response]


def _look_at(units: Sequence[Unit], model: Path, encodings: EncodingCache, max_tokens: int) -> list[_Look]:
    judgements = [judgement for unit in units for judgement in unit]
    try:
        ids = encodings.ids(model, judgements)
    except PromptRefused as error:
        raise _counted(judgements, model, encodings) from error
    return [
        _Look(judgement, prompt, response, *cut_lengths(len(prompt), len(response), max_tokens))
        for judgement, (prompt, response) in zip(judgements, ids, strict=True)
    ]


def _counted(judgements: Sequence[Judgement], model: Path, encodings: EncodingCache) -> PromptRefused:
    """Returns the refusal of the first prompt, with the count of all that are refused."""
    by_prompt = {judgement.prompt: judgement for judgement in judgements}
    first, *others = islice(_refusals(list(by_prompt.values()), model, encodings), MAX_REFUSED)
    n = 1 + len(others)
    least = "at least " if n == MAX_REFUSED else ""
    return PromptRefused(f"{first} It is so with {least}{n:,} of {counted(len(by_prompt), 'prompt')}.")


def _refusals(judgements: Sequence[Judgement], model: Path, encodings: EncodingCache) -> Iterator[PromptRefused]:
    for judgement in judgements:
        try:
            encodings.ids(model, [judgement])
        except PromptRefused as error:
            yield error


# -- what is lost


def _cut_warnings(looks: Sequence[_Look], alike: Sequence[bool], limit: int) -> Iterator[str]:
    """Yields what cutting takes; `alike` tells of each pair that is read as one text whether it is so by a cut."""
    if n := sum(look.is_cut for look in looks):
        yield (
            f"{counted(n, 'response', 'with its prompt exceeds', 'with their prompts exceed')} {limit:,} tokens and"
            f" {'is' if n == 1 else 'are'} cut. Raise 'Longest sequence' to keep {'it' if n == 1 else 'them'} whole."
        )
    if n := sum(alike):
        yield (
            f"{counted(n, 'pair', 'is', 'are')} alike after the cut at {limit:,} tokens: the two responses differ only"
            " behind it, so nothing is learned from them. Raise 'Longest sequence'."
        )
    if n := len(alike) - sum(alike):
        yield (
            f"{counted(n, 'pair', 'is', 'are')} alike: both responses are read as the same text, so nothing is learned"
            " from them."
        )


def _thought_warnings(n: int, limit: int) -> Iterator[str]:
    if n:
        yield (
            f"{counted(n, 'response', 'is', 'are')} cut within the thought at {limit:,} tokens: nothing of the answer"
            " behind it is left. Raise 'Longest sequence'."
        )


def _count_answerless(looks: Sequence[_Look], model: Path, encodings: EncodingCache) -> int:
    """Counts responses of which a cut leaves nothing but the thought, or a part of it."""
    cut = [look for look in looks if look.n_lost and behind_thought(look.judgement.response) != look.judgement.response]
    answers = [replace(look.judgement, response=behind_thought(look.judgement.response).strip()) for look in cut]
    bare = encodings.ids(model, [replace(answer, response="") for answer in answers])
    lengths = zip(cut, encodings.ids(model, answers), bare, strict=True)
    return sum(look.n_lost > len(answer) - len(nothing) for look, (_, answer), (_, nothing) in lengths)


def _system_warnings(looks: Sequence[_Look], encoder: Encoder) -> Iterator[str]:
    if encoder.template.has_system_role:
        return
    prompts: set[tuple[Message, ...]] = {look.judgement.prompt for look in looks}
    if n := sum(any(m.role == "system" for m in prompt) for prompt in prompts):
        yield (
            "The model's chat template has no system role: the system text of "
            f"{counted(n, 'prompt', 'stands', 'stand')} before the user's turn."
        )


# -- the sample


def _sample(look: _Look, encoder: Encoder, max_tokens: int) -> ReadResponse:
    read = join(look.judgement, look.prompt, look.response, max_tokens=max_tokens)
    texts = (*encoder.spell(read.response_ids[:MAX_SPELLED]), encoder.text(read.response_ids[MAX_SPELLED:]))
    return ReadResponse(
        str(look.judgement.verdict),
        (
            TextPiece(encoder.text(read.prompt_ids), is_response=False),
            *(TextPiece(text, is_response=True) for text in texts if text),
        ),
        n_prompt_tokens=look.n_prompt,
        n_response_tokens=look.n_response,
        n_prompt_cut=len(look.prompt) - look.n_prompt,
        n_response_cut=look.n_lost,
    )
