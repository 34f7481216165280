"""Which responses each optimiser step and each micro-batch reads. Pure: units and settings -> a plan."""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bnf_lab.core.automatic import pick_micro_batch_size
from bnf_lab.core.config import MAX_STEPS, RunConfig
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.judgements import Judgement, Unit
from bnf_lab.core.methods import method_label
from bnf_lab.core.numbers import counted
from bnf_lab.data.splits import count_judged_both_ways
from bnf_lab.losses import LOSSES, Loss
from bnf_lab.models.encoding import EncodedResponse, order_rows

MEASURED_UNITS = 64  # units whose mean length stands for all
COUNTED_READS = 200_000  # what a longer run reads follows from its first 200,000 responses, which take 0.2 s


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
    cached = functools.cache(encode)
    looked_at = [cached(judgement).n_tokens for unit in usable[:MEASURED_UNITS] for judgement in unit]
    micro_size = pick_micro_batch_size(config, mean_tokens=fmean(looked_at), has_gpu=has_gpu)
    n_micro = _count_micro_batches(config, loss, micro_size, n_processes)
    plan: list[MicroBatch] = []
    for step in itertools.islice(_draw_steps(usable, config), config.n_steps):
        atoms = step if loss.keeps_pairs else [(j,) for unit in step for j in unit if _counts(j, loss)]
        rows = [tuple(map(cached, atom)) for atom in atoms]
        mismatched = _mismatch(rows, config.max_tokens) if loss.needs_reference_point else ()
        n_units = len(rows) if loss.needs_pairs else sum(map(len, rows))
        rows = order_rows(rows)
        bounds = [round(i * len(rows) / n_micro) for i in range(n_micro + 1)]
        plan.extend(_micro_batch(rows[a:b], n_units, mismatched) for a, b in itertools.pairwise(bounds))
    return plan


@dataclass(frozen=True)
class Reads:
    """What the steps of a run read.

    Attributes:
        n_usable: Training responses that the method can read.
        n_read: How many of them the run reads, each once.
        passes: How often it reads each of them, in the mean.
        counts: From a response's id to how often the steps that were counted read it.
        counted_share: Those steps' share of all; below 1, `passes` is an estimate.
    """

    n_usable: int
    n_read: int
    passes: float
    counts: Mapping[str, int]
    counted_share: float


def count_reads(units: Sequence[Unit], config: RunConfig) -> Reads:
    """Counts which responses the steps of `plan_steps` read, without their tokens.

    Raises:
        RunRefused: As `plan_steps` does.
    """
    loss = LOSSES[config.method]
    usable = _usable_units(units, loss, config.method)
    n_usable = sum(_n_counted(unit, loss) for unit in usable)
    counts: Counter[str] = Counter()
    n_reads, n_steps = 0, 0
    for step in itertools.islice(_draw_steps(usable, config), config.n_steps):
        counts.update(judgement.id for unit in step for judgement in unit if _counts(judgement, loss))
        n_reads += sum(_n_counted(unit, loss) for unit in step)
        n_steps += 1
        if n_reads >= COUNTED_READS and len(counts) == n_usable:  # nothing new comes after one pass
            break
    share = n_steps / config.n_steps
    return Reads(n_usable, len(counts), n_reads / share / n_usable, counts, share)


def settle_steps(units: Sequence[Unit], config: RunConfig) -> RunConfig:
    """Returns the settings with the number of steps that their passes over the data take; as they are without passes.

    Raises:
        RunRefused: As `plan_steps` does, or if that are more steps than a run may have.
    """
    if not config.passes:
        return config
    loss = LOSSES[config.method]
    usable = _usable_units(units, loss, config.method)
    wanted = config.passes * sum(_n_counted(unit, loss) for unit in usable) - 1e-6
    n_read, n_steps = 0, 0
    for step in _draw_steps(usable, config):
        n_read += sum(_n_counted(unit, loss) for unit in step)
        n_steps += 1
        if n_read >= min(wanted, COUNTED_READS):
            break
    n_steps = max(n_steps, math.ceil(n_steps * wanted / n_read))
    if n_steps > MAX_STEPS:
        raise RunRefused(
            f"{config.passes:g} passes over the data are {counted(n_steps, 'step')}; a run may have"
            f" {MAX_STEPS:,}. Lower 'Passes over the data' or raise 'Responses per step'."
        )
    return replace(config, n_steps=n_steps)


def _draw_steps(usable: Sequence[Unit], config: RunConfig) -> Iterator[list[Unit]]:
    """Yields the units of one optimiser step after another, without end."""
    order = random.Random(config.seed)  # noqa: S311 - an order, not a secret
    queue: list[Unit] = []
    while True:
        step: list[Unit] = []
        n_responses = 0
        while n_responses < config.responses_per_step:
            queue = queue or order.sample(usable, len(usable))
            step.append(queue.pop())
            n_responses += len(step[-1])
        yield step


def _n_counted(unit: Unit, loss: Loss) -> int:
    return sum(_counts(judgement, loss) for judgement in unit)


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
            f"A step of {config.responses_per_step} responses is too small for {counted(n_processes, 'process')}. Raise"
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
            f"{label} needs pairs: {n_both} of {counted(n_prompts, 'prompt', 'has', 'have')} both verdicts"
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


def widest_tokens(plan: Sequence[MicroBatch]) -> int:
    """Returns the tokens (prompt and response) of the largest micro-batch."""
    return max(sum(r.n_tokens for r in m.responses) for m in plan)
