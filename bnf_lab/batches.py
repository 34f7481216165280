"""Judgements -> token ids -> the plan of a run.

This room knows a tokenizer's chat template and nothing of models, files or pages. Everything is decided before the
first step: which responses are held out, in which order the others come and what each micro-batch holds, so that a
resumed run sees the same data as an uninterrupted one.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from transformers import PreTrainedTokenizerBase

from bnf_lab.config import RunConfig, pick_micro_batch_size
from bnf_lab.errors import RunRefused
from bnf_lab.losses import Loss
from bnf_lab.preferences import Judgement, Message, group_units

PROBE_LIMIT = 32
MIN_PROMPTS_TO_HOLD_OUT = 5
MEASURED_UNITS = 64  # units whose mean length stands for all
_MARK = "\u2603"  # stands for a response while the template's end-of-turn text is looked for

Unit = tuple[Judgement, ...]


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
    """The responses of one forward pass, and over how many units the loss of the whole step is averaged."""

    responses: tuple[EncodedResponse, ...]
    pairs: tuple[tuple[int, int], ...]
    n_units_in_step: int


@dataclass(frozen=True)
class Split:
    """Units to train on and units held out; `is_held_out` is False where there were too few prompts to hold any out."""

    train: tuple[Unit, ...]
    probe: tuple[Unit, ...]
    is_held_out: bool


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


def split_units(judgements: Iterable[Judgement], *, n_probe: int, seed: int) -> Split:
    """Holds units out by prompt, so that the probe shares no prompt with the training part.

    Args:
        judgements: All of the run's data.
        n_probe: Pairs wanted in the probe, at most 32; as many single responses of each verdict where there are no
            pairs. At most a fifth of the prompts is held out.
        seed: Decides which.

    Returns:
        The split. With fewer than 5 prompts nothing is held out and the probe repeats training units.
    """
    units = group_units(judgements)
    by_prompt: dict[tuple[Message, ...], list[Unit]] = {}
    for unit in units:
        by_prompt.setdefault(unit[0].prompt, []).append(unit)
    prompts = list(by_prompt)
    random.Random(seed).shuffle(prompts)  # noqa: S311 - a split, not a secret
    held_out = len(prompts) >= MIN_PROMPTS_TO_HOLD_OUT
    budget = max(1, len(prompts) // 5) if held_out else len(prompts)
    probe, used = _fill_probe([by_prompt[p] for p in prompts[:budget]], min(n_probe, PROBE_LIMIT))
    chosen = set(prompts[:used]) if held_out else set()
    train = [unit for unit in units if unit[0].prompt not in chosen]
    return Split(tuple(train), tuple(probe), held_out)


def _fill_probe(groups: list[list[Unit]], wanted: int) -> tuple[list[Unit], int]:
    """Takes whole prompts until each verdict has `wanted` responses; returns the units and the prompts used."""
    probe: list[Unit] = []
    counts = {True: 0, False: 0}
    for used, group in enumerate(groups):
        if min(counts.values()) >= wanted or max(counts.values()) >= PROBE_LIMIT:
            return probe, used
        for unit in group:
            verdicts = [j.is_preferred for j in unit]
            if all(counts[v] < PROBE_LIMIT for v in verdicts):
                probe.append(unit)
                for verdict in verdicts:
                    counts[verdict] += 1
    return probe, len(groups)


def plan_steps(
    units: Sequence[Unit],
    config: RunConfig,
    loss: Loss,
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
        loss: The run's loss.
        encode: From a judgement to its tokens.
        has_gpu: Decides the size of a micro-batch where the settings leave it open.
        n_processes: How many processes share each step; its micro-batches are a multiple of them.

    Raises:
        RunRefused: If there is nothing to train on, a pairwise loss finds no pair, or a step is too small for the
            processes.
    """
    usable = _usable_units(units, loss)
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
        atoms = step if loss.needs_pairs else [(judgement,) for unit in step for judgement in unit]
        rows = order_rows([tuple(map(cached, atom)) for atom in atoms])
        bounds = [round(i * len(rows) / n_micro) for i in range(n_micro + 1)]
        plan.extend(_micro_batch(rows[a:b], len(rows)) for a, b in itertools.pairwise(bounds))
    return plan


def _count_micro_batches(config: RunConfig, loss: Loss, micro_size: int, n_processes: int) -> int:
    """Returns the micro-batches of one step, equally many for every process and none of them empty."""
    size = 2 if loss.needs_pairs else 1
    n_atoms = math.ceil(config.responses_per_step / size)
    if n_atoms < n_processes:
        raise RunRefused(
            f"A step of {config.responses_per_step} responses is too small for {n_processes} processes. Raise"
            f" 'Responses per step' to at least {n_processes * size}, or start fewer processes."
        )
    wanted = math.ceil(n_atoms / max(1, micro_size // size))
    return min(math.ceil(wanted / n_processes), n_atoms // n_processes) * n_processes


def order_for_packing(responses: Iterable[EncodedResponse]) -> list[EncodedResponse]:
    """Sorts responses so that neighbours have one prompt, whose tokens they then share, or else similar lengths."""
    return [row[0] for row in order_rows([(r,) for r in responses])]


def order_rows(rows: Sequence[tuple[EncodedResponse, ...]]) -> list[tuple[EncodedResponse, ...]]:
    """Sorts rows of responses to one prompt each as `order_for_packing` does."""
    longest: dict[tuple[int, ...], int] = {}
    for row in rows:
        longest[row[0].prompt_ids] = max(longest.get(row[0].prompt_ids, 0), *(r.n_tokens for r in row))
    return sorted(rows, key=lambda row: (longest[row[0].prompt_ids], row[0].prompt_ids, row[0].n_tokens))


def _usable_units(units: Sequence[Unit], loss: Loss) -> list[Unit]:
    if not units:
        raise RunRefused("There is no judgement to train on. Upload, mark or load some under Preferences first.")
    usable = [unit for unit in units if len(unit) == 2 or not loss.needs_pairs]
    if not usable:
        n_prompts = len({unit[0].prompt for unit in units})
        raise RunRefused(
            f"{loss.label} needs pairs: 0 of {n_prompts} prompts have a preferred and a dispreferred response as a"
            " pair. Mark both for some prompts, or choose BNF, which needs no pairs."
        )
    return usable


def _micro_batch(rows: Sequence[tuple[EncodedResponse, ...]], n_units: int) -> MicroBatch:
    responses = tuple(r for row in rows for r in row)
    pairs = tuple((i, i + 1) for i in range(0, len(responses), 2)) if len(rows[0]) == 2 else ()
    return MicroBatch(responses, pairs, n_units)
