"""The child processes of the scaling benchmark: one training load, one import, one reference pass each."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bnf_lab.core.judgements import Judgement, Message, Source, Verdict, build_pair
from tests.benchmarks.children import Channel, read_peak_gib

WORDS = ("one", "two", "three", "four", "five", "six", "and", "or", "then", "so", "but", "more", "less", "sum")
OWNER, COLLECTION = "benchmark", "pairs"
RUN_STEPS = 1


def measure_import(channel: Channel, *, path: str) -> None:
    """Imports a file into a fresh store and counts what is there, as the app does."""
    from bnf_lab.data.importers import import_file
    from tests.support.records import open_records

    channel.receive()
    start_gib, began = read_peak_gib(), time.perf_counter()
    report = import_file(Path(path))
    read_seconds, n = time.perf_counter() - began, len(report.judgements)
    with tempfile.TemporaryDirectory() as folder:
        store = open_records(Path(folder) / "lab.sqlite")
        began = time.perf_counter()
        store.judgements.add(OWNER, COLLECTION, report.judgements)
        store_seconds = time.perf_counter() - began
        began = time.perf_counter()
        counts = store.judgements.totals(OWNER)
        count_seconds, peak_gib = time.perf_counter() - began, read_peak_gib()
        store.close()
    if counts.preferred + counts.dispreferred != n or report.refused:
        raise RuntimeError(f"{n} judgements were read, {len(report.refused)} rows refused, {counts} stored.")
    channel.send(
        n=n, read=read_seconds, store=store_seconds, count=count_seconds, start_gib=start_gib, peak_gib=peak_gib
    )


def measure_run_start(channel: Channel, *, path: str, model: str, dtype: str, max_tokens: int) -> None:
    """Tokenises all of a file, then prepares a run of one step over it: split, plan, that step's reference pass."""
    import torch

    from bnf_lab.core.config import RunConfig
    from bnf_lab.data.importers import import_file
    from bnf_lab.models.adapters import add_lora
    from bnf_lab.models.encoding import Encoder
    from bnf_lab.models.loading import load_model
    from bnf_lab.training.trainer import BNFTrainer

    channel.receive()
    judgements = import_file(Path(path)).judgements
    loaded = load_model(Path(model), quantization="none", dtype=getattr(torch, dtype))
    encoder = Encoder(loaded.tokenizer, max_tokens=max_tokens)
    began = time.perf_counter()
    n_tokens = sum(encoder.encode(j).n_tokens for j in judgements)
    tokenise_seconds = time.perf_counter() - began
    loaded = add_lora(loaded, rank=16, alpha=32, dropout=0.0)
    config = RunConfig(n_steps=RUN_STEPS, responses_per_step=2, max_tokens=max_tokens, n_probe=32)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        BNFTrainer.from_judgements(loaded, judgements, config, output_dir=folder)
        start_seconds = time.perf_counter() - began
    channel.send(tokenise=tokenise_seconds, n_tokens=n_tokens, start=start_seconds, peak_gib=read_peak_gib())


def measure_reference(channel: Channel, *, path: str, model: str, dtype: str, max_tokens: int, n: int) -> None:
    """Scores the first `n` responses of a file under the reference."""
    import torch

    from bnf_lab.data.importers import import_file
    from bnf_lab.models.encoding import Encoder
    from bnf_lab.models.loading import load_model
    from bnf_lab.models.scoring import compute_reference_stats

    channel.receive()
    loaded = load_model(Path(model), quantization="none", dtype=getattr(torch, dtype))
    encoder = Encoder(loaded.tokenizer, max_tokens=max_tokens)
    responses = [encoder.encode(j) for j in import_file(Path(path)).judgements[:n]]
    compute_reference_stats(loaded, responses[:2])
    began = time.perf_counter()
    compute_reference_stats(loaded, responses)
    seconds = time.perf_counter() - began
    channel.send(seconds=seconds, n_tokens=sum(r.n_tokens for r in responses), peak_gib=read_peak_gib())


def measure_training(channel: Channel, *, model: str, dtype: str, n_tokens: int, n_responses: int, steps: int) -> None:
    """Trains on made-up responses of one length; every step after the first is reported."""
    import torch

    from bnf_lab.core.config import RunConfig
    from bnf_lab.models.adapters import add_lora
    from bnf_lab.models.encoding import Encoder
    from bnf_lab.models.loading import load_model
    from bnf_lab.training.trainer import BNFTrainer
    from tests.benchmarks.contenders import Entrant, Finished, Turns

    loaded = load_model(Path(model), quantization="none", dtype=getattr(torch, dtype))
    judgements = made_up(n_responses, n_tokens, Encoder(loaded.tokenizer, max_tokens=n_tokens))
    config = RunConfig(
        n_steps=steps + 1, responses_per_step=n_responses, max_tokens=n_tokens, n_probe=1, checkpoint_steps=100_000
    )
    loaded = add_lora(loaded, rank=config.lora_rank, alpha=config.lora_alpha, dropout=0.0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = BNFTrainer.from_judgements(loaded, judgements, config, output_dir=folder)
        plan, n_micro = list(trainer.train_dataset), trainer.args.gradient_accumulation_steps
        tokens = [
            sum(r.n_tokens for micro in plan[i : i + n_micro] for r in micro.responses)
            for i in range(0, len(plan), n_micro)
        ]
        trainer.add_callback(Turns(channel, Entrant(trainer, [], tokens)))
        try:
            trainer.train()
        except Finished:
            return


def made_up(n_responses: int, n_tokens: int, encoder: Any) -> list[Judgement]:
    """Returns judgements that are cut to exactly `n_tokens`, half of it prompt: pairs, or one response for one.

    There is one prompt more than a step needs where there are enough prompts for one to be held out.
    """
    words = random.Random(0)  # noqa: S311 - filler, not a secret

    def text() -> str:
        return " ".join(words.choice(WORDS) for _ in range(n_tokens))

    def prompt() -> tuple[Message, ...]:
        # a prompt is cut to what its response leaves, but a short one is no longer than its own half
        whole = text().split()
        empty = len(encoder.encode_prompt((Message("user", ""),)))
        return (Message("user", " ".join(whole[: max(1, n_tokens // 2 - empty)])),)

    if n_responses == 1:
        return [Judgement(prompt(), text(), Verdict.PREFERRED, source=Source.DEMO)]
    n_pairs = n_responses // 2 + (1 if n_responses // 2 >= 4 else 0)
    return [j for _ in range(n_pairs) for j in build_pair(prompt(), text(), text(), source=Source.DEMO)]


def spread(pairs: Sequence[dict[str, Any]], n_pairs: int) -> Iterator[dict[str, Any]]:
    """Yields `n_pairs` different pairs: the real ones again and again, each with its number in the prompt."""
    for number in range(n_pairs):
        row = pairs[number % len(pairs)]
        prompt, mark = row["prompt"], f"Question {number + 1}. "
        if isinstance(prompt, str):
            yield row | {"prompt": mark + prompt}
        else:
            yield row | {"prompt": [*prompt[:-1], prompt[-1] | {"content": mark + prompt[-1]["content"]}]}
