"""`python -m bnf_lab.training.measure RUN_DIR`: times two steps of a run that is not started, for the estimate.

It loads the model, scores the two steps' responses under the reference, runs the steps' forward and backward passes and
writes the speed to the data home. Nothing is trained or kept.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import LabError
from bnf_lab.core.judgements import Judgement
from bnf_lab.core.scratch import temporary_folder
from bnf_lab.runs.folder import RunFolder
from bnf_lab.training.run import prepare, record_speed
from bnf_lab.training.trainer import BNFTrainer, planned_groups
from bnf_lab.training.worker import Silence

N_STEPS = 3  # the first only warms up


def measure(folder: RunFolder) -> dict[str, float]:
    """Returns seconds per step, seconds per token and the peak memory, and remembers the speed."""
    config = replace(folder.read_training_config(), n_steps=N_STEPS)
    prepared = prepare(folder, config, Silence())
    stats = prepared.cache.reference_stats(prepared.loaded, planned_groups(prepared.plan))
    references = {judgement_id: values.logps for judgement_id, values in stats.items()}
    trainer = BNFTrainer(
        prepared.loaded, config=config, plan=prepared.plan, references=references, output_dir=folder.path
    )
    prepared.loaded.model.train()
    n_micro = len(prepared.plan) // N_STEPS
    seconds_per_token, step_seconds = float("inf"), float("inf")
    for step in range(N_STEPS):
        began, tokens = time.monotonic(), 0
        for micro_batch in prepared.plan[step * n_micro : (step + 1) * n_micro]:
            trainer.compute_loss(prepared.loaded.model, {"micro_batch": micro_batch}).backward()
            tokens += sum(r.n_tokens for r in micro_batch.responses)
        elapsed = time.monotonic() - began
        if step > 0 and elapsed / tokens < seconds_per_token:
            seconds_per_token, step_seconds = elapsed / tokens, elapsed
    record = record_speed(prepared, config, seconds_per_token)
    return {"step_seconds": step_seconds, "seconds_per_token": seconds_per_token, "peak_gib": record.peak_gib}


def measure_data(config: RunConfig, judgements: Iterable[Judgement]) -> dict[str, float]:
    """Returns what `measure` does for data that has no run folder; nothing but the speed is kept."""
    with temporary_folder() as scratch:
        return measure(RunFolder.create(scratch / "run", config, judgements))


def main(arguments: Sequence[str]) -> int:
    try:
        print(json.dumps(measure(RunFolder(Path(arguments[0])))))  # noqa: T201 - its only output
    except LabError as error:
        print(json.dumps({"error": str(error)}))  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
