"""What a base model makes of texts, computed once: token ids, the reference's scores, its answers to fixed prompts.

All of it depends on model, template and text alone, never on a run's settings; so a second run on the same judgements
finds everything, whatever its learning rate, seed, method or length, and only unseen responses are scored. This room
must not know runs or pages.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import torch
from torch import Tensor

from bnf_lab.core.files import hash_texts
from bnf_lab.core.judgements import Judgement
from bnf_lab.core.sealed_folders import MANIFEST
from bnf_lab.models.encoding import EncodedResponse, Encoder
from bnf_lab.models.loading import LoadedModel
from bnf_lab.models.scoring import Group, as_reference, compute_group_features, score_groups
from bnf_lab.models.tensor_cache import TensorCache
from bnf_lab.models.token_stats import TokenStats

logger = logging.getLogger(__name__)

KeyedGroup = list[tuple[str, EncodedResponse]]

# Raise a number when the code gives other values for the same model and text.
TOKENS_VERSION, SCORES_VERSION, ANSWERS_VERSION, FEATURES_VERSION = "2", "2", "1", "2"
N_STATS = 5  # as many as `TokenStats` has fields
SAVED_AT_ONCE = 64  # responses after which a first reference pass is saved, so that a stop loses little
FEATURES_BYTES = 64 * 2**20  # of one probe; larger ones are computed by each run, lest they drive out all else
SMALL_BYTES = 32 * 2**20  # files up to this size are hashed at every start
MODEL_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors")


class ScoreCache:
    """The cached knowledge about one base model.

    Args:
        root: The cache's folder.
        model_dir: Where the model was loaded from.
        loaded: The model; with an adapter, its base is what is scored.
        max_tokens: Longest sequence, as the encoder's.
    """

    def __init__(self, root: Path, model_dir: Path, loaded: LoadedModel, *, max_tokens: int) -> None:
        texts, weights = hash_model(model_dir)
        # some templates print the date
        today = [date.today().isoformat()] if "strftime_now" in str(loaded.tokenizer.chat_template) else []
        tokenizing = [texts, *today, *_versions("transformers", "tokenizers")]
        self._is_exact = loaded.compute_dtype is torch.float32 and loaded.quantization == "none"
        computing = [*tokenizing, weights, loaded.quantization, str(loaded.compute_dtype), *_describe(loaded)]
        self._tokens = TensorCache(root, "tokens", [TOKENS_VERSION, str(max_tokens), *tokenizing])
        self._scores = TensorCache(root, "scores", [SCORES_VERSION, *computing])
        self._answers = TensorCache(root, "answers", [ANSWERS_VERSION, *computing])
        self._features = TensorCache(root, "features", [FEATURES_VERSION, *computing])
        self._encoded: dict[str, Tensor] = {}  # token ids that are not kept yet

    def encode(self, encoder: Encoder, judgements: Sequence[Judgement]) -> Callable[[Judgement], EncodedResponse]:
        """Returns a function like `encoder.encode` that knows the judgements encoded before; see `keep_encoded`."""
        known = self._tokens.load(map(_text_key, judgements))

        def encode(judgement: Judgement) -> EncodedResponse:
            key = _text_key(judgement)
            if key in known:
                return _response(judgement, known[key].tolist())
            response = encoder.encode(judgement)
            self._encoded[key] = _ids(response)
            return response

        return encode

    def keep_encoded(self) -> None:
        """Keeps the token ids of what was encoded anew."""
        self._tokens.save(self._encoded)
        self._encoded = {}

    def reference_stats(
        self,
        loaded: LoadedModel,
        groups: Sequence[Group],
        *,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, TokenStats]:
        """Scores responses under the frozen reference, those alone that no run has scored before.

        Args:
            loaded: The model.
            groups: The responses as forward passes read them. To give policy and reference the same numbers while they
                are the same model, they must be the groups in which the policy reads them.
            on_progress: Called with (responses scored now, responses to score now).

        Returns:
            Judgement id -> `TokenStats` of its response tokens, (n,) float32 on the CPU; of a response in several
            groups, those of the first.
        """
        asked = [self._with_keys(group) for group in groups]
        lengths = {key: len(r.response_ids) for row in asked for key, r in row}
        known = {k: v for k, v in self._scores.load(lengths).items() if _fits(v, lengths[k])}
        missing = self._missing(asked, known)
        n_missing, n_done = sum(map(len, missing)), 0
        logger.info("reference: %d responses to score", n_missing)
        for part in _parts(missing):
            fresh: dict[str, Tensor] = {}
            with as_reference(loaded):
                for row, (_, stats) in zip(part, score_groups(loaded, [_group(row) for row in part]), strict=True):
                    values = (torch.stack(list(vars(of_one).values())) for of_one in stats)
                    fresh |= dict(zip((key for key, _ in row), values, strict=True))
                    n_done += len(row)
                    if on_progress:
                        on_progress(n_done, n_missing)
            self._scores.save(fresh)
            known |= fresh
        return {i: TokenStats(*value.unbind()) for i, value in _by_response(asked, known).items()}

    def reference_features(self, loaded: LoadedModel, groups: Sequence[Group]) -> dict[str, Tensor]:
        """Returns judgement id -> (n, D) on the CPU: the reference's features that predict the response's n tokens.

        All that a run has asked for before is found again; the groups are those of `reference_stats`.
        """
        asked = [self._with_keys(group) for group in groups]
        known = self._features.load(key for row in asked for key, _ in row)
        missing = self._missing(asked, known)
        fresh: dict[str, Tensor] = {}
        with as_reference(loaded):
            computed = compute_group_features(loaded, [_group(row) for row in missing])
            for row, (_, values) in zip(missing, computed, strict=True):
                fresh |= dict(zip((key for key, _ in row), values, strict=True))
        if sum(value.nbytes for value in fresh.values()) <= FEATURES_BYTES:
            self._features.save(fresh)
        return _by_response(asked, known | fresh)

    def _with_keys(self, group: Group) -> KeyedGroup:
        """Returns a group with each response's key: of its ids, and where that decides digits, of its company."""
        texts = [(r.prompt_ids, r.response_ids) for r in group]
        if self._is_exact:
            return [(hash_texts(text), r) for text, r in zip(texts, group, strict=True)]
        company = hash_texts(texts)
        return [(hash_texts([company, place]), r) for place, r in enumerate(group)]

    def _missing(self, asked: Sequence[KeyedGroup], known: Collection[str]) -> list[KeyedGroup]:
        """Returns what is to be computed: whole groups, or where each response stands for itself, these alone."""
        missing: list[KeyedGroup] = []
        seen = set(known)
        for row in asked:
            new = {key: r for key, r in row if key not in seen}
            seen |= new.keys()
            if new:
                missing.append(list(new.items()) if self._is_exact else row)
        return missing

    def load_answer(self, prompt: str, max_tokens: int) -> tuple[str, int] | None:
        """Returns the base model's greedy answer to a prompt and its tokens; None if it never gave one."""
        key = hash_texts([prompt, max_tokens])
        value = self._answers.load([key]).get(key)
        if value is None:
            return None
        text, n_tokens = json.loads(bytes(value.tolist()))
        return text, n_tokens

    def save_answer(self, prompt: str, max_tokens: int, text: str, n_tokens: int) -> None:
        content = json.dumps([text, n_tokens]).encode()
        self._answers.save({hash_texts([prompt, max_tokens]): torch.frombuffer(bytearray(content), dtype=torch.uint8)})


def _parts(groups: Sequence[KeyedGroup]) -> Iterator[list[KeyedGroup]]:
    """Cuts groups into parts of about `SAVED_AT_ONCE` responses."""
    part: list[KeyedGroup] = []
    for row in groups:
        part.append(row)
        if sum(map(len, part)) >= SAVED_AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def _group(row: KeyedGroup) -> Group:
    return tuple(r for _, r in row)


def _by_response(asked: Sequence[KeyedGroup], known: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns judgement id -> value; of a response in several groups, that of the first."""
    found: dict[str, Tensor] = {}
    for key, response in (pair for row in asked for pair in row):
        found.setdefault(response.judgement_id, known[key])
    return found


def _fits(value: Tensor, n_tokens: int) -> bool:
    fits = value.dtype is torch.float32 and value.shape == (N_STATS, n_tokens)
    if not fits:
        logger.warning("cache: a value of %s %s is ignored", value.dtype, tuple(value.shape))
    return fits


def _text_key(judgement: Judgement) -> str:
    return hash_texts([[(m.role, m.content) for m in judgement.prompt], judgement.response])


def _ids(response: EncodedResponse) -> Tensor:
    ids = (response.is_cut, len(response.prompt_ids), *response.prompt_ids, *response.response_ids)
    return torch.tensor(ids, dtype=torch.int32)


def _response(judgement: Judgement, ids: list[int]) -> EncodedResponse:
    is_cut, n_prompt, *tokens = ids
    return EncodedResponse(
        judgement.id,
        tuple(tokens[:n_prompt]),
        tuple(tokens[n_prompt:]),
        judgement.is_preferred,
        judgement.weight,
        judgement.prompt,
        bool(is_cut),
    )


def hash_model(folder: Path) -> tuple[str, str]:
    """Returns the hashes of a model's small files (config, tokenizer, template) and of its weights.

    Gigabytes are not read at every start: large files count by what the folder's manifest says of them where they have
    the size it says and have not changed since, else by size and time of change.
    """
    sealed, sealed_at = _read_manifest(folder)
    small, large = [], []
    paths = {path for pattern in MODEL_FILES for path in folder.glob(pattern) if path.name != MANIFEST}
    for path in sorted(paths):
        stat = path.stat()
        entry = sealed.get(path.name)
        if stat.st_size <= SMALL_BYTES:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        elif entry is not None and entry["bytes"] == stat.st_size and stat.st_ctime_ns <= sealed_at:
            digest = entry["sha256"]
        else:
            digest = f"{stat.st_size} bytes of {stat.st_mtime_ns}"
        (large if path.suffix == ".safetensors" else small).append((path.name, digest))
    return hash_texts(small), hash_texts(large)


def _read_manifest(folder: Path) -> tuple[dict[str, dict], int]:
    """Returns the manifest's entries and when it was written, nanoseconds (a time that no copy or `touch` sets)."""
    path = folder / MANIFEST
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["files"]), path.stat().st_ctime_ns
    except (OSError, ValueError, LookupError, TypeError):
        return {}, 0  # a folder of the person's own has none


def _versions(*names: str) -> list[str]:
    return [f"{name} {importlib.metadata.version(name)}" for name in names]


def _describe(loaded: LoadedModel) -> list[str]:
    """Returns what of machine and libraries decides the last digits of a matrix product."""
    device = loaded.device
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    quantizer = _versions("bitsandbytes") if loaded.quantization == "nf4" else []
    return [device.type, kind, torch.__version__, torch.get_float32_matmul_precision(), *quantizer]
