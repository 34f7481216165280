"""One optimiser step: the lab's BNF, fine-tuning on the same tokens, and TRL's DPO, taken in turns in one run.

Each contender is a process of its own that trains one step when it is its turn: so they see the same moods of the
machine, round by round, and each has its own peak of memory. The first round only warms up.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bnf_lab.core.machine import read_device
from bnf_lab.models.encoding import Encoder
from bnf_lab.models.loading import load_tokenizer, pick_compute_dtype, pick_device
from tests.benchmarks.children import Child, say
from tests.benchmarks.contenders import RANK
from tests.benchmarks.report import Report, Row, ratio_of_medians
from tests.benchmarks.work import Need, count_need, default_pairs, find_model, read_pairs, read_shapes, write_judgements

LABELS = {
    "bnf": "ours bnf",
    "sft": "ours sft",
    "trl": "trl dpo",
    "trl-precomputed": "trl dpo precomputed",
    "trl-liger": "trl dpo liger",
    "trl-sft": "trl sft",
}
OURS = ("bnf", "sft")
ONLY_IF_NAMED = ("trl-sft",)
SPARE_GIB = 4.0  # for the system, the parent and what else runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="measured steps of each contender (one more warms up)")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no further round after this long")
    parser.add_argument("--pairs", type=int, default=4, help="pairs in a step")
    parser.add_argument(
        "--dtype",
        choices=("auto", "bfloat16", "float32"),
        default="auto",
        help="weights and matrix products of every contender; auto: what the lab picks here",
    )
    parser.add_argument(
        "--contenders", default="", help=f"comma-separated: {', '.join(LABELS)}; default: what runs here, but the last"
    )
    parser.add_argument("--model", default="embedded", help="embedded, random:0.5b, random:1.5b or a folder")
    parser.add_argument("--max-tokens", type=int, default=512, help="longest sequence")
    parser.add_argument("--data", type=Path, default=None, help="JSON lines of pairs")


def run(args: argparse.Namespace) -> Report:
    """Measures and reports."""
    device = pick_device()
    dtype = str(pick_compute_dtype(device)).removeprefix("torch.") if args.dtype == "auto" else args.dtype
    names = choose_contenders(args.contenders, is_gpu=device.type == "cuda")
    model = find_model(args.model)
    units = read_pairs(args.data, model, args.max_tokens)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = Path(folder) / "judgements.jsonl"
        write_judgements(units, path)
        spec = {
            "model": str(model),
            "dtype": dtype,
            "judgements": str(path),
            "n_pairs": args.pairs,
            "n_steps": args.rounds + 1,
            "max_tokens": args.max_tokens,
        }
        children, plan = start_contenders(names, spec, [unit[0].pair_id for unit in units], stack)
        needs = _count_needs(plan[1 : args.rounds + 1], units, model, args.max_tokens)
        largest = max(needs, key=lambda need: need.tokens)
        spec = {"n_tokens": largest.distinct_tokens, "n_response": largest.response_tokens, "model": str(model)}
        rates = stack.enter_context(Child("work", "measure_rates", **spec))
        rates.receive()
        other = "bfloat16" if dtype == "float32" else "float32"
        other_rate = rates.ask(dtype=other, rough=True)["flop_a_second"]
        say(f"matrix products in {other}: {other_rate / 1e9:.1f} GFLOP/s")
        limits = {"rounds": args.rounds, "minutes": args.minutes}
        steps, speeds, is_tight = take_turns(children, rates, dtype, **limits)
    needs = needs[: len(speeds)]
    check_steps(steps, needs, args.pairs)
    conditions = {
        "device": device.type,
        "model": model.name,
        "dtype": dtype,
        "pairs": str(args.pairs),
        "data": (args.data or default_pairs()).name,
        "rounds": str(len(speeds)),
        "max_tokens": str(args.max_tokens),
        "threads": str(torch.get_num_threads()),
        "trl": f"its defaults but bf16={dtype == 'bfloat16'}, so that all compute in one precision",
        "between steps": "freed memory is given back" if is_tight else "freed memory is kept",
        "floor": "products with weight matrices only, a shared prompt once; no attention products",
    }
    return build_report(steps, speeds, needs, {dtype: None, other: other_rate}, conditions)


def choose_contenders(wanted: str, *, is_gpu: bool) -> list[str]:
    """Returns the names asked for, or all that can run here.

    Raises:
        SystemExit: If a name is none of the contenders.
    """
    if wanted:
        names = [name.strip() for name in wanted.split(",")]
        unknown = [name for name in names if name not in LABELS]
        if unknown:
            raise SystemExit(f"--contenders: {', '.join(unknown)} is none of {', '.join(LABELS)}.")
        return names
    if importlib.util.find_spec("trl") is None:
        say("trl is not installed (pip install -r tests/benchmarks/requirements.txt): only the lab's own steps")
        return list(OURS)
    has_liger = is_gpu and importlib.util.find_spec("liger_kernel") is not None
    return [name for name in LABELS if name not in ONLY_IF_NAMED and (name != "trl-liger" or has_liger)]


def start_contenders(
    names: Sequence[str], spec: dict[str, Any], pair_ids: Sequence[str], stack: contextlib.ExitStack
) -> tuple[dict[str, Child], list[list[str]]]:
    """Starts the processes one after the other; the lab's plan decides which pairs are in which step of all.

    Returns:
        The children by name, and the pair ids of each step.
    """
    children: dict[str, Child] = {}
    plans: list[list[list[str]]] = []
    order = list(pair_ids[: spec["n_steps"] * spec["n_pairs"]])
    for name in sorted(names, key=lambda name: name not in OURS):
        say(f"{LABELS[name]}: loading")
        children[name] = stack.enter_context(Child("contenders", "contend", contender=name, order=order, **spec))
        plans.append(children[name].receive()["plan"])
        if [sorted(step) for step in plans[-1]] != [sorted(step) for step in plans[0]]:
            raise RuntimeError(f"{LABELS[name]} would train on other pairs than {LABELS[next(iter(children))]}.")
        order = [pair_id for step in plans[0] for pair_id in step]
    return children, plans[0]


def take_turns(
    children: Mapping[str, Child], rates: Child, dtype: str, *, rounds: int, minutes: float
) -> tuple[dict[str, list[dict[str, Any]]], list[float], bool]:
    """Lets each contender take one step a round, in an order that rotates; the first round is not kept.

    Returns:
        Each contender's records, the rate of matrix products in each round, and whether the contenders together would
        need more memory than there is, so that each gave back what it had freed after its step.
    """
    steps: dict[str, list[dict[str, Any]]] = {name: [] for name in children}
    speeds: list[float] = []
    names, peaks = list(children), {}
    is_tight = True  # nobody knows yet what a step takes
    end = time.monotonic() + 60 * minutes
    for number in range(rounds + 1):
        if speeds and time.monotonic() > end:
            say(f"{minutes:g} minutes are over after {len(speeds)} rounds")
            break
        for name in names[number % len(names) :] + names[: number % len(names)]:
            record = children[name].ask(step=number)
            peaks[name] = record["peak_gib"]
            say(f"round {number} {LABELS[name]}: {record['seconds']:.2f} s, {record['peak_gib']:.2f} GiB")
            if is_tight:
                children[name].ask(rest=True)
            if number:
                steps[name].append(record)
        is_tight = is_tight and sum(peaks.values()) + SPARE_GIB > read_device().total_gib
        if number:
            speeds.append(rates.ask(dtype=dtype)["flop_a_second"])
            say(f"round {number} matrix products: {speeds[-1] / 1e9:.1f} GFLOP/s")
    return steps, speeds, is_tight


def check_steps(steps: Mapping[str, Sequence[Mapping[str, Any]]], needs: Sequence[Need], n_pairs: int) -> None:
    """Sees to it that every contender trained its whole adapter on the same tokens.

    Raises:
        RuntimeError: If one did not.
    """
    room = 4 * n_pairs  # TRL keeps what a template writes behind the end of a turn, the lab stops at its token
    for name, records in steps.items():
        alive, present = records[-1]["gradients"]
        if not present or alive < present:
            raise RuntimeError(f"{LABELS[name]}: only {alive} of {present} adapter matrices have a gradient.")
        for record, need in zip(records, needs, strict=True):
            if not need.tokens <= record["tokens"] <= need.tokens + room:
                raise RuntimeError(f"{LABELS[name]} trained on {record['tokens']} tokens instead of {need.tokens}.")


def _count_needs(
    plan: Sequence[Sequence[str]], units: Sequence[Sequence[Any]], model: Path, max_tokens: int
) -> list[Need]:
    encoder = Encoder(load_tokenizer(model), max_tokens=max_tokens)
    shapes, by_pair = read_shapes(model), {unit[0].pair_id: unit for unit in units}
    return [count_need([[encoder.encode(j) for j in by_pair[p]] for p in step], shapes, RANK) for step in plan]


def build_report(
    steps: Mapping[str, Sequence[Mapping[str, Any]]],
    speeds: Sequence[float],
    needs: Sequence[Need],
    other_rates: Mapping[str, float | None],
    conditions: Mapping[str, str],
) -> Report:
    """Turns records into rows and ratios; a ratio is the median of the ratios of the same round."""
    dtype, other = other_rates
    seconds = {name: [r["seconds"] for r in records] for name, records in steps.items()}
    peaks = {name: max(r["peak_gib"] for r in records) for name, records in steps.items()}
    rows: list[Row] = []
    for name, values in seconds.items():
        label = LABELS[name]
        rows += [
            Row(label, "step", "s", tuple(values)),
            Row(label, "real tokens", "token/s", tuple(n.tokens / s for n, s in zip(needs, values, strict=True))),
            Row(
                label,
                "response tokens",
                "token/s",
                tuple(n.response_tokens / s for n, s in zip(needs, values, strict=True)),
            ),
            Row(label, "peak memory", "GiB", (peaks[name],)),
        ]
    floors = [n.flop / rate for n, rate in zip(needs, speeds, strict=True)]
    rows += [
        Row("floor", "step", "s", tuple(floors)),
        Row("floor", "needed", "TFLOP", tuple(n.flop / 1e12 for n in needs)),
        Row("floor", "needed, no sharing", "TFLOP", tuple(n.flop_unshared / 1e12 for n in needs)),
        Row("floor", "attention (not in it)", "TFLOP", tuple(n.attention_flop / 1e12 for n in needs)),
        Row("floor", "tokens in a step", "token", tuple(float(n.tokens) for n in needs)),
        Row(f"matrix products {dtype}", "rate", "GFLOP/s", tuple(rate / 1e9 for rate in speeds)),
        Row(f"matrix products {other}", "rate", "GFLOP/s", ((other_rates[other] or 0.0) / 1e9,)),
    ]
    ratios = _ratios(seconds, peaks)
    if "bnf" in seconds:
        ratios["over_floor"] = ratio_of_medians(seconds["bnf"], floors)
        ratios["over_floor_unshared"] = ratio_of_medians(
            seconds["bnf"], [n.flop_unshared / rate for n, rate in zip(needs, speeds, strict=True)]
        )
        if dtype == "float32" and other_rates[other] and other_rates[other] > max(speeds):
            bfloat16 = [n.flop / other_rates[other] for n in needs]
            ratios["over_bfloat16_floor"] = ratio_of_medians(seconds["bnf"], bfloat16)
    return Report("step", tuple(rows), ratios, conditions)


def _ratios(seconds: Mapping[str, Sequence[float]], peaks: Mapping[str, float]) -> dict[str, float]:
    wanted = {
        "bnf_over_sft": ("bnf", "sft"),
        "trl_over_bnf": ("trl", "bnf"),
        "trl_precomputed_over_bnf": ("trl-precomputed", "bnf"),
        "trl_liger_over_bnf": ("trl-liger", "bnf"),
        "trl_sft_over_bnf": ("trl-sft", "bnf"),
    }
    ratios = {
        name: ratio_of_medians(seconds[above], seconds[below])
        for name, (above, below) in wanted.items()
        if above in seconds and below in seconds
    }
    if "bnf" in peaks and "trl" in peaks:
        ratios["memory_over_trl"] = peaks["bnf"] / peaks["trl"]
    return ratios
