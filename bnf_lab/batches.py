"""Judgements -> token ids -> the plan of a run.

This room knows a tokenizer's chat template and nothing of models, files or pages. Everything is decided before the
first step: in which order the responses come and what each micro-batch holds, so that a resumed run sees the same data
as an uninterrupted one.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from transformers import PreTrainedTokenizerBase

from bnf_lab.config import RunConfig, pick_micro_batch_size
from bnf_lab.errors import RunRefused
from bnf_lab.losses import LOSSES, Loss
from bnf_lab.preferences import Judgement, Message, Unit
from bnf_lab.settings import method_label
from bnf_lab.splits import count_judged_both_ways

MEASURED_UNITS = 64  # units whose mean length stands for all
_MARK = "\u2603"  # stands for a response while the template's end-of-turn text is looked for


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


@dataclass(frozen=True)
class MicroBatch:
    """The responses of one forward pass, and over how many units the loss of the whole step is averaged.

    `mismatched` are the whole step's responses under other prompts, from which KTO's reference point is estimated;
    empty for other losses.
    """

    responses: tuple[EncodedResponse, ...]
    pairs: tuple[tuple[int, int], ...]
    n_units_in_step: int
    mismatched: tuple[EncodedResponse, ...] = ()


class Encoder:
    """Turns judgements into token ids by a tokenizer's chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.end_ids = _end_of_turn_ids(tokenizer)

    def encode_prompt(self, prompt: Sequence[Message]) -> list[int]:
        """Returns the ids of the rendered conversation up to where the assistant's answer begins."""
        return self._ids(render_prompt(self.tokenizer, prompt))

    def encode(self, judgement: Judgement) -> EncodedResponse:
        """Encodes one judgement.

        Where prompt and response exceed `max_tokens`, the response keeps at least half of the room and its beginning,
        the prompt keeps its end.
        """
        prompt = self.encode_prompt(judgement.prompt)
        if not prompt:
            raise RunRefused("The model's chat template makes nothing of a prompt. Choose an instruction-tuned model.")
        # a control token written out inside an answer stays text: only the template may end a turn
        response = self._ids(judgement.response, split_special_tokens=True) + self.end_ids
        is_cut = len(prompt) + len(response) > self.max_tokens
        response = response[: self.max_tokens - min(len(prompt), self.max_tokens // 2)]
        prompt = prompt[-(self.max_tokens - len(response)) :]
        return EncodedResponse(
            judgement.id,
            tuple(prompt),
            tuple(response),
            judgement.is_preferred,
            judgement.weight,
            judgement.prompt,
            is_cut,
        )

    def _ids(self, text: str, *, split_special_tokens: bool = False) -> list[int]:
        options = {"add_special_tokens": False, "split_special_tokens": split_special_tokens}
        return self.tokenizer(text, **options)["input_ids"]


def render_prompt(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[Message]) -> str:
    """Renders a conversation with the tokenizer's chat template, ready for the assistant's answer."""
    messages = [{"role": m.role, "content": m.content} for m in prompt]
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)


def _end_of_turn_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Returns the token that ends an assistant's turn in this chat template, else the end-of-sequence token."""
    user = [{"role": "user", "content": "?"}]
    whole = tokenizer.apply_chat_template([*user, {"role": "assistant", "content": _MARK}], tokenize=False)
    suffix = tokenizer(whole.partition(_MARK)[2], add_special_tokens=False)["input_ids"]
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    return suffix[:1] if suffix and suffix[0] in special else [tokenizer.eos_token_id]


def plan_steps(
    units: Sequence[Unit],
    config: RunConfig,
    encode: Callable[[Judgement], EncodedResponse],
    *,
    has_gpu: bool = False,
    n_processes: int = 1,
) -> list[MicroBatch]:
    """Lays out every micro-batch of a run, in order.

    Each pass over the data is shuffled by the seed. A step takes whole units until it has `responses_per_step`
    responses, the same for every loss, and is cut into equally many micro-batches in the order of `order_for_packing`;
    only pairwise losses keep a pair in one micro-batch whatever its size.

    Args:
        units: What to train on.
        config: The run's settings.
        encode: From a judgement to its tokens.
        has_gpu: Decides the size of a micro-batch where the settings leave it open.
        n_processes: How many processes share each step; its micro-batches are a multiple of them.

    Raises:
        RunRefused: If there is nothing to train on, a pairwise loss finds no pair, or a step is too small for the
            processes.
    """
    loss = LOSSES[config.method]
    usable = _usable_units(units, loss, config.method)
    order = random.Random(config.seed)  # noqa: S311 - an order, not a secret
    cached = functools.cache(encode)
    looked_at = [cached(judgement).n_tokens for unit in usable[:MEASURED_UNITS] for judgement in unit]
    micro_size = pick_micro_batch_size(config, mean_tokens=fmean(looked_at), has_gpu=has_gpu)
    n_micro = _count_micro_batches(config, loss, micro_size, n_processes)
    plan: list[MicroBatch] = []
    queue: list[Unit] = []
    for _ in range(config.n_steps):
        step: list[Unit] = []
        while sum(map(len, step)) < config.responses_per_step:
            queue = queue or order.sample(usable, len(usable))
            step.append(queue.pop())
        atoms = step if loss.keeps_pairs else [(j,) for unit in step for j in unit if _counts(j, loss)]
        rows = [tuple(map(cached, atom)) for atom in atoms]
        mismatched = _mismatch(rows, config.max_tokens) if loss.needs_reference_point else ()
        n_units = len(rows) if loss.needs_pairs else sum(map(len, rows))
        rows = order_rows(rows)
        bounds = [round(i * len(rows) / n_micro) for i in range(n_micro + 1)]
        plan.extend(_micro_batch(rows[a:b], n_units, mismatched) for a, b in itertools.pairwise(bounds))
    return plan


def _counts(judgement: Judgement, loss: Loss) -> bool:
    return judgement.is_preferred or loss.reads_dispreferred


def _count_micro_batches(config: RunConfig, loss: Loss, micro_size: int, n_processes: int) -> int:
    """Returns the micro-batches of one step, equally many for every process and none of them empty."""
    size = 2 if loss.keeps_pairs else 1
    # a pair is one row where it stays together, and where only its preferred side counts
    per_row = 2 if loss.keeps_pairs or not loss.reads_dispreferred else 1
    n_atoms = math.ceil(config.responses_per_step / per_row)
    if n_atoms < n_processes:
        raise RunRefused(
            f"A step of {config.responses_per_step} responses is too small for {n_processes} processes. Raise"
            f" 'Responses per step' to at least {n_processes * per_row}, or start fewer processes."
        )
    wanted = math.ceil(n_atoms / max(1, micro_size // size))
    return min(math.ceil(wanted / n_processes), n_atoms // n_processes) * n_processes


def _mismatch(rows: Sequence[tuple[EncodedResponse, ...]], max_tokens: int) -> tuple[EncodedResponse, ...]:
    """Puts each response of a step under the next other prompt, cut where both exceed `max_tokens`."""
    responses = [r for row in rows for r in row]
    found = []
    for index, response in enumerate(responses):
        others = (*responses[index + 1 :], *responses[:index])
        prompt = next((o for o in others if o.prompt_ids != response.prompt_ids), None)
        room = max_tokens - len(prompt.prompt_ids) if prompt else 0
        if room > 0:
            name = f"{prompt.judgement_id}+{response.judgement_id}"
            found.append(replace(prompt, judgement_id=name, response_ids=response.response_ids[:room]))
    return tuple(found)


def order_for_packing(responses: Iterable[EncodedResponse]) -> list[EncodedResponse]:
    """Sorts responses so that neighbours have one prompt, whose tokens they then share, or else similar lengths."""
    return [row[0] for row in order_rows([(r,) for r in responses])]


def order_rows(rows: Sequence[tuple[EncodedResponse, ...]]) -> list[tuple[EncodedResponse, ...]]:
    """Sorts rows of responses to one prompt each as `order_for_packing` does."""
    longest: dict[tuple[int, ...], int] = {}
    for row in rows:
        longest[row[0].prompt_ids] = max(longest.get(row[0].prompt_ids, 0), *(r.n_tokens for r in row))
    return sorted(rows, key=lambda row: (longest[row[0].prompt_ids], row[0].prompt_ids, row[0].n_tokens))


def _usable_units(units: Sequence[Unit], loss: Loss, method: str) -> list[Unit]:
    """Returns the units that the loss can learn from.

    Raises:
        RunRefused: If there are none.
    """
    if not units:
        raise RunRefused("There is no judgement to train on. Upload, mark or load some under Preferences first.")
    label = method_label(method)
    if loss.keeps_pairs and not any(len(unit) == 2 for unit in units):
        n_both, n_prompts = count_judged_both_ways(units)
        raise RunRefused(
            f"{label} needs pairs: {n_both} of {n_prompts} prompts have both verdicts"
            f"{', but none as a pair' if n_both else ''}. Give a preferred and a dispreferred response to the same"
            " prompt as one pair, or choose BNF, which needs no pairs."
        )
    usable = [unit for unit in units if len(unit) == 2 or not loss.needs_pairs]
    usable = [unit for unit in usable if any(_counts(judgement, loss) for judgement in unit)]
    if not usable:
        raise RunRefused(
            f"{label} learns from preferred responses alone: 0 of {sum(map(len, units))} are preferred. Mark some as"
            " preferred, or choose BNF, which learns from both."
        )
    return usable


def _micro_batch(
    rows: Sequence[tuple[EncodedResponse, ...]], n_units: int, mismatched: tuple[EncodedResponse, ...]
) -> MicroBatch:
    starts = itertools.accumulate((len(row) for row in rows), initial=0)
    pairs = tuple((start, start + 1) for start, row in zip(starts, rows, strict=False) if len(row) == 2)
    return MicroBatch(tuple(r for row in rows for r in row), pairs, n_units, mismatched)
