"""`python -m bnf_lab.merge RUN_DIR MODEL_DIR ADAPTER_DIR TARGET`: merges an adapter into its base and checks it.

Prints one JSON line: the largest mean difference of a response's log-likelihood, or an error.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from bnf_lab.batches import EncodedResponse, Encoder
from bnf_lab.cards import write_model_card
from bnf_lab.errors import LabError, RunRefused
from bnf_lab.models import LoadedModel, load_adapter, load_model, merge_adapter
from bnf_lab.runs import RunFolder
from bnf_lab.scoring import compute_stats
from bnf_lab.splits import split_units

TOLERANCE = 0.05  # nats/token
N_CHECKED = 16
# A short training's updates are smaller than the rounding of bfloat16 weights and would be lost; float32 keeps them.
DTYPES = (torch.bfloat16, torch.float32)


def merge(folder: RunFolder, model: Path, adapter: Path, target: Path) -> float:
    """Merges in float32, saves safetensors, loads them again and compares log-likelihoods.

    The weights are saved in bfloat16, or in float32 where bfloat16 would change what the adapter does.

    Returns:
        The largest difference, over up to 16 of the run's responses, of the mean log-likelihood a token, nats.

    Raises:
        RunRefused: If it exceeds the tolerance; nothing is then left at `target`.
    """
    for dtype in DTYPES:
        difference = _merge_as(dtype, folder, model, adapter, target)
        if difference <= TOLERANCE:
            write_model_card(target / "README.md", folder, folder.read_config())
            return difference
        shutil.rmtree(target)
    raise RunRefused(
        f"The merged model differs from the adapter by {difference:.3f} nats per token; {TOLERANCE} is accepted. It is"
        " not offered. Use the adapter itself."
    )


def _merge_as(dtype: torch.dtype, folder: RunFolder, model: Path, adapter: Path, target: Path) -> float:
    config = folder.read_config()
    loaded = load_adapter(load_model(model, quantization="none", dtype=torch.float32), adapter, "merged")
    encoder = Encoder(loaded.tokenizer, max_tokens=config.max_tokens)
    split = split_units(folder.read_judgements(), n_probe=config.n_probe, seed=config.seed)
    responses = [encoder.encode(j) for unit in split.probe for j in unit][:N_CHECKED]
    before = mean_logps(loaded, responses)
    plain = merge_adapter(loaded)
    plain.model.to(dtype).save_pretrained(target)
    plain.tokenizer.save_pretrained(target)
    after = mean_logps(load_model(target, quantization="none", dtype=dtype), responses)
    return max(abs(a - b) for a, b in zip(before, after, strict=True))


def mean_logps(loaded: LoadedModel, responses: Sequence[EncodedResponse]) -> list[float]:
    """Returns the mean log-likelihood of each response under the model as it is, nats/token."""
    stats = compute_stats(loaded, responses)
    return [stats[r.judgement_id].logps.mean().item() for r in responses]


def main(arguments: Sequence[str]) -> int:
    run, model, adapter, target = map(Path, arguments)
    try:
        difference = merge(RunFolder(run), model, adapter, target)
    except LabError as error:
        print(json.dumps({"error": str(error)}))  # noqa: T201 - its only output
        return 1
    print(json.dumps({"difference": difference}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
