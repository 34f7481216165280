"""What a loss compares the policy with, where that is not simply the base model: other models, adapters, temperatures.

The reference is only ever scored, once, before training; nothing of it stays in memory. This room must not know losses,
plans or pages.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from bnf_lab.core.config import BASE_REFERENCE, RUN_REFERENCE, RunConfig
from bnf_lab.core.errors import RunRefused, shown
from bnf_lab.core.files import write_atomically
from bnf_lab.core.numbers import counted
from bnf_lab.core.paths import models_dir, runs_dir
from bnf_lab.models.adapters import load_adapter, remove_adapter
from bnf_lab.models.encoding import EncodedResponse
from bnf_lab.models.fetch import is_fetched, model_folder
from bnf_lab.models.loading import LoadedModel, load_model, load_tokenizer
from bnf_lab.models.scoring import compute_stats
from bnf_lab.runs.checkpoints import find_adapter
from bnf_lab.runs.folder import RunFolder

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
    if name == BASE_REFERENCE:
        return Reference(temperature=temperature)
    if name.startswith(RUN_REFERENCE):
        adapter = _locate_adapter(name.removeprefix(RUN_REFERENCE), config, home)
        return Reference(adapter=adapter, temperature=temperature)
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
    n_theirs, n_own, n_others = _compare_tokenizers(reference, model)
    if n_others:
        raise RunRefused(
            f"'Reference' {shown(reference.name)} has another tokenizer than {shown(model.name)}: "
            f"{counted(n_theirs, 'token')} against {n_own:,}, {counted(n_others, 'entry', 'differs', 'differ')}."
            " The loss compares the probabilities of the same tokens: choose a model of the same family."
        )


@functools.lru_cache(maxsize=16)  # a page asks at every change of a setting, and each answer takes a second
def _compare_tokenizers(reference: Path, model: Path) -> tuple[int, int, int]:
    """Returns the tokens of both vocabularies, and how many entries are only in one of them."""
    theirs, own = load_tokenizer(reference).get_vocab(), load_tokenizer(model).get_vocab()
    return len(theirs), len(own), len({*theirs.items()} ^ {*own.items()})


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
    loaded = base
    if reference.model:
        loaded = load_model(reference.model, quantization=base.quantization, dtype=base.compute_dtype)
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
    try:
        return load_file(path) if path.exists() else {}
    except (OSError, SafetensorError) as error:
        raise RunRefused(
            f"Run {run_dir.name}: {FILE} cannot be read. Delete that file from the run folder: Resume then scores the"
            " responses again."
        ) from error


def write_references(run_dir: Path, logps: dict[str, Tensor]) -> None:
    """Writes log q of a run's responses; a crash leaves either nothing or all of it."""
    write_atomically(run_dir / FILE, save(logps))
