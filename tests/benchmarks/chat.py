"""Chat: seconds a token and seconds to the first token, one pane against two, interleaved through `ChatEngine`.

Three cases take turns in every round, with the same prompt and the same number of tokens: the base pane alone on an
engine that has never seen an adapter (the plain model: the strictest yardstick), the aligned answer alone, and both
panes as a person sees them. No answer may end early: the ends of turn get no probability in any case.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from bnf_lab.core.config import EMBEDDED_MODEL
from bnf_lab.core.judgements import Message
from bnf_lab.lab.chat_engine import ChatEngine
from bnf_lab.lab.chat_records import ChatRequest
from bnf_lab.models.adapters import add_lora
from bnf_lab.models.decode import end_ids
from bnf_lab.models.loading import LoadedModel, load_model
from tests.benchmarks.report import Report, Row, ratio_of_medians
from tests.benchmarks.work import find_model

PROMPT = "Please explain to a child how the tides of the sea come about, and what the moon has to do with it."
BASE, ALIGNED, BOTH = "base pane alone", "aligned pane alone", "two panes"
WARM_UP_ROUNDS = 1


@dataclass
class Timings:
    """What one case took, a value a round: the whole answer, its first token, each later token, the scores behind."""

    answer: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    token: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def add(self, seconds: list[float], n_tokens: int) -> None:
        first, last, end = seconds[0], seconds[n_tokens - 1], seconds[-1]
        self.answer.append(last)
        self.first.append(first)
        self.token.append((last - first) / (n_tokens - 1))
        self.scores.append(end - last)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, default=None, help="model folder (default: the embedded model, fetched)")
    parser.add_argument("--tokens", type=int, default=48, help="new tokens in each answer")
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds, after one to warm up")
    parser.add_argument("--top-p", type=float, default=0.95)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--threads", type=int, default=None, help="PyTorch's threads (default: its own choice)")


def run(args: argparse.Namespace) -> Report:
    if args.threads:
        torch.set_num_threads(args.threads)
    path = args.model or find_model(EMBEDDED_MODEL)
    with tempfile.TemporaryDirectory() as folder:
        adapter = save_adapter(path, Path(folder))
        cases = build_cases(args, path, adapter)
        cold = seconds_of(cases[BOTH])[0]  # the model and the adapter are loaded from the disk
        timings = measure(cases, n_tokens=args.tokens, n_rounds=args.rounds)
    return build_report(args, timings, cold)


def save_adapter(model: Path, folder: Path) -> Path:
    """Saves a LoRA adapter (r = 16, all linear layers) that changes the model a little."""
    loaded = add_lora(load_model(model), rank=16, alpha=32, dropout=0.0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in loaded.model.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.002 * torch.randn(weight.shape, generator=generator))
    loaded.model.save_pretrained(folder)
    return folder


def build_cases(args: argparse.Namespace, path: Path, adapter: Path) -> dict[str, Callable[[], Iterator[object]]]:
    def load(_: str) -> LoadedModel:
        return never_ending(load_model(path))

    question = (Message("user", PROMPT),)
    settings = {"temperature": args.temperature, "top_p": args.top_p, "max_new_tokens": args.tokens, "seed": 1}
    request = ChatRequest(question, question, "model", **settings)
    plain, engine = ChatEngine(load), ChatEngine(load)
    return {
        BASE: lambda: plain.reply(request),
        ALIGNED: lambda: engine.write_candidates("model", question, 1, adapter=adapter, **settings),
        BOTH: lambda: engine.reply(request, adapter),
    }


def never_ending(loaded: LoadedModel) -> LoadedModel:
    """Gives the ends of a turn no probability, so that every answer has its full length."""
    ends = end_ids(loaded)

    def forbid(module: object, inputs: object, logits: torch.Tensor) -> None:
        logits[..., ends] = float("-inf")

    loaded.causal.get_output_embeddings().register_forward_hook(forbid)
    return loaded


def seconds_of(start: Callable[[], Iterator[object]]) -> list[float]:
    """Returns when each update came, in seconds after the question."""
    began = time.perf_counter()
    return [time.perf_counter() - began for _ in start()]


def measure(cases: dict[str, Callable[[], Iterator[object]]], *, n_tokens: int, n_rounds: int) -> dict[str, Timings]:
    timings = {name: Timings() for name in cases}
    for i in range(WARM_UP_ROUNDS + n_rounds):
        for name, start in cases.items():
            seconds = seconds_of(start)
            if len(seconds) < n_tokens:
                raise RuntimeError(f"{name}: {len(seconds)} updates where {n_tokens} tokens were asked for")
            if i >= WARM_UP_ROUNDS:
                timings[name].add(seconds, n_tokens)
    return timings


def build_report(args: argparse.Namespace, timings: dict[str, Timings], cold: float) -> Report:
    rows = []
    for name, case in timings.items():
        rows += [
            Row(name, "whole answer", "s", tuple(case.answer)),
            Row(name, "first token", "s", tuple(case.first)),
            Row(name, "each later token", "s", tuple(case.token)),
            Row(name, "speed of each pane", "token/s", tuple(args.tokens / s for s in case.answer)),
        ]
    rows.append(Row(BOTH, "scores after the answer", "s", tuple(timings[BOTH].scores)))
    rows.append(Row(f"{BOTH}, nothing loaded", "first token", "s", (cold,)))
    base, aligned, both = timings[BASE], timings[ALIGNED], timings[BOTH]
    ratios = {
        "two_over_one": ratio_of_medians(both.answer, base.answer),
        "two_over_one_aligned": ratio_of_medians(both.answer, aligned.answer),
        "two_over_one_token": ratio_of_medians(both.token, base.token),
        "two_over_one_first_token": ratio_of_medians(both.first, base.first),
    }
    conditions = {
        "new tokens": str(args.tokens),
        "rounds": str(args.rounds),
        "temperature": str(args.temperature),
        "top-p": str(args.top_p),
        "threads": str(torch.get_num_threads()),
        "one pane": BASE,
        "adapter": "r=16 all-linear",
    }
    return Report("chat", tuple(rows), ratios, conditions)
