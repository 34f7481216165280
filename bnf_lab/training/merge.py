"""`python -m bnf_lab.training.merge RUN_DIR MODEL_DIR ADAPTER_DIR TARGET`: merges an adapter into its base, checked.

Prints one JSON line: a `MergeRecord`, or an error.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import safe_open

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import LabError, RunRefused
from bnf_lab.data.splits import split_units
from bnf_lab.models.adapters import load_adapter, merge_adapter
from bnf_lab.models.encoding import EncodedResponse, Encoder
from bnf_lab.models.loading import LoadedModel, load_model, load_tokenizer
from bnf_lab.models.scoring import compute_stats
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.merging import MergeRecord
from bnf_lab.runs.model_card import write_model_card

TOLERANCE = 0.05  # nats/token
N_CHECKED = 16
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def merge(folder: RunFolder, model: Path, adapter: Path, target: Path) -> MergeRecord:
    """Merges in float32, saves safetensors, loads them again and compares log-likelihoods.

    The weights keep the dtype of the base model's, or are float32 where that would change what the adapter does: a
    short training's updates are smaller than the rounding of bfloat16 weights. They are compared with the adapter on
    the base in float32, which decides, and with the adapter as the run computed it, which is told.

    Raises:
        RunRefused: If they differ by more than the tolerance even in float32; nothing is then left at `target`.
    """
    config = folder.read_config()
    responses = _checked_responses(folder, config, model)
    seen = load_adapter(load_model(model, quantization=config.quantization), adapter, "seen")
    seen_as = (seen.quantization, _dtype_name(seen.compute_dtype))
    seen_logps = mean_logps(seen, responses)
    del seen
    own, lost = _read_dtype(model), None
    for dtype in dict.fromkeys((own, torch.float32)):
        exact_logps = _save_merged(dtype, model, adapter, target, responses)
        merged_logps = mean_logps(load_model(target, quantization="none", dtype=dtype), responses)
        difference = _largest_difference(merged_logps, exact_logps)
        if difference <= TOLERANCE:
            from_seen = _largest_difference(merged_logps, seen_logps)
            names = _dtype_name(dtype), _dtype_name(own)
            record = MergeRecord(*names, difference, from_seen, *seen_as, TOLERANCE, len(responses), lost)
            write_model_card(target / "README.md", folder, config, merge=record)
            return record
        shutil.rmtree(target)
        lost = difference
    raise RunRefused(
        f"The merged model differs from the adapter by {difference:.3f} nats per token; {TOLERANCE} is accepted. It is"
        " not offered. Use the adapter itself."
    )


def _read_dtype(model: Path) -> torch.dtype:
    """Returns the dtype of most of a model's weights; bfloat16 for files in formats that nothing computes in."""
    sizes: Counter[str] = Counter()
    for path in model.glob("*.safetensors"):
        with safe_open(path, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping
                piece = tensors.get_slice(name)
                sizes[piece.get_dtype()] += math.prod(piece.get_shape())
    return DTYPES.get(max(sizes, key=lambda name: sizes[name], default=""), torch.bfloat16)


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _checked_responses(folder: RunFolder, config: RunConfig, model: Path) -> list[EncodedResponse]:
    encoder = Encoder(load_tokenizer(model), max_tokens=config.max_tokens)
    split = split_units(folder.read_judgements(), n_probe=config.n_probe, seed=config.seed)
    return [encoder.encode(j) for unit in split.probe for j in unit][:N_CHECKED]


def _save_merged(
    dtype: torch.dtype, model: Path, adapter: Path, target: Path, responses: Sequence[EncodedResponse]
) -> list[float]:
    """Saves base and adapter folded together; returns what the adapter says on the base in float32."""
    loaded = load_adapter(load_model(model, quantization="none", dtype=torch.float32), adapter, "merged")
    logps = mean_logps(loaded, responses)
    plain = merge_adapter(loaded)
    plain.model.to(dtype).save_pretrained(target)
    plain.tokenizer.save_pretrained(target)
    return logps


def _largest_difference(left: Sequence[float], right: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(left, right, strict=True))


def mean_logps(loaded: LoadedModel, responses: Sequence[EncodedResponse]) -> list[float]:
    """Returns the mean log-likelihood of each response under the model as it is, nats/token."""
    stats = compute_stats(loaded, responses)
    return [stats[r.judgement_id].logps.mean().item() for r in responses]


def main(arguments: Sequence[str]) -> int:
    run, model, adapter, target = map(Path, arguments)
    try:
        record = merge(RunFolder(run), model, adapter, target)
    except LabError as error:
        print(json.dumps({"error": str(error)}))  # noqa: T201 - its only output
        return 1
    print(json.dumps(asdict(record)))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
