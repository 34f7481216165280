"""What a loss compares the policy with, where that is not simply the base model: other models, adapters, temperatures.

The reference is only ever scored, once, before training; nothing of it stays in memory. This room must not know losses,
plans or pages.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from bnf_lab.batches import EncodedResponse
from bnf_lab.checkpoints import find_adapter
from bnf_lab.config import RunConfig
from bnf_lab.errors import RunRefused, shown
from bnf_lab.fetch import is_fetched, model_folder
from bnf_lab.home import models_dir, runs_dir
from bnf_lab.models import LoadedModel, load_adapter, load_model, load_tokenizer, remove_adapter
from bnf_lab.runs import RunFolder
from bnf_lab.scoring import compute_stats

RUN = "run:"
FILE = "reference.safetensors"


@dataclass(frozen=True)
class Reference:
    """A reference found on the disk: another base model, an adapter on the run's own, or neither."""

    model: Path | None = None
    adapter: Path | None = None
    temperature: float = 1.0


def locate_reference(config: RunConfig, home: Path, model: Path) -> Reference:
    """Finds what a run's settings name.

    Args:
        config: The run's settings.
        home: The data folder.
        model: Folder of the run's own base model.

    Raises:
        RunRefused: If there is no such model or adapter, or it does not fit the run's model.
        AdapterRefused: If the folder named holds no adapter.
    """
    name, temperature = config.reference, config.reference_temperature
    if name == "base":
        return Reference(temperature=temperature)
    if name.startswith(RUN):
        return Reference(adapter=_locate_adapter(name.removeprefix(RUN), config, home), temperature=temperature)
    if not is_fetched(name, models_dir(home)):
        raise RunRefused(
            f"'Reference' names the model {shown(name)}, which is not on this machine. Run"
            f" `python -m bnf_lab fetch-model {name}` first, or give base, run:FOLDER or a model's folder."
        )
    path = model_folder(name, models_dir(home))
    _refuse_other_tokenizer(path, model)
    return Reference(model=path, temperature=temperature)


def _locate_adapter(name: str, config: RunConfig, home: Path) -> Path:
    folder = Path(name) if Path(name).is_dir() else runs_dir(home) / Path(name).name
    adapter = find_adapter(folder.resolve(), "'Reference'")
    run = next((path for path in (adapter, adapter.parent) if (path / "status.json").is_file()), None)
    if run is not None and (other := RunFolder(run).read_config().model) != config.model:
        raise RunRefused(
            f"'Reference' is run {run.name}, which trained {shown(other)}; this run trains {shown(config.model)}. An"
            " adapter fits its own base model alone: choose a run of the same model."
        )
    return adapter


def _refuse_other_tokenizer(reference: Path, model: Path) -> None:
    """A reference scores the run's own token ids, so every id must mean the same text to it."""
    theirs, own = load_tokenizer(reference).get_vocab(), load_tokenizer(model).get_vocab()
    if theirs != own:
        n_others = len({*theirs.items()} ^ {*own.items()})
        raise RunRefused(
            f"'Reference' {shown(reference.name)} has another tokenizer than {shown(model.name)}: {len(theirs):,}"
            f" tokens against {len(own):,}, {n_others:,} entries differ. The loss compares the probabilities of the"
            " same tokens: choose a model of the same family."
        )


def compute_reference_logps(
    reference: Reference,
    base: LoadedModel,
    responses: Sequence[EncodedResponse],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Tensor]:
    """Scores responses under a reference; `base` is afterwards as it was.

    Args:
        reference: From `locate_reference`.
        base: The run's base model, without an adapter.
        responses: Each judgement at most once.
        on_progress: Called with (responses done, responses in all).

    Returns:
        Judgement id -> (n,) float32 on the CPU, log q of its response tokens.
    """
    loaded = load_model(reference.model, quantization=base.quantization) if reference.model else base
    if reference.adapter:
        loaded = load_adapter(loaded, reference.adapter, "reference")
    try:
        stats = compute_stats(loaded, responses, temperature=reference.temperature, on_progress=on_progress)
    finally:
        if reference.adapter:
            remove_adapter(loaded)
    del loaded
    gc.collect()
    return {judgement_id: values.logps for judgement_id, values in stats.items()}


def read_references(run_dir: Path) -> dict[str, Tensor]:
    """Returns what a run has written: judgement id -> log q (n,); empty if it has not."""
    path = run_dir / FILE
    return load_file(path) if path.exists() else {}


def write_references(run_dir: Path, logps: dict[str, Tensor]) -> None:
    """Writes log q of a run's responses; a crash leaves either nothing or all of it."""
    temporary = run_dir / f".{FILE}.tmp"
    save_file(logps, temporary)
    temporary.replace(run_dir / FILE)
