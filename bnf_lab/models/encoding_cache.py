"""Token ids of texts, made once for each text and model however many people ask: what a server's estimates read.

Nothing is locked while texts are encoded, so one person's ten thousand answers keep nobody waiting. What is kept is
bounded and holds no text. This room must not know whose judgements these are.
"""

from __future__ import annotations

import hashlib
import json
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from bnf_lab.core.judgements import Judgement
from bnf_lab.models.encoding import EncodedResponse, Encoder, join
from bnf_lab.models.loading import load_tokenizer

T = TypeVar("T")

MAX_BYTES = 64 * 2**20
"""The largest upload (20 MB, some 5 million tokens) takes about 25 MB: two such fit, or a workshop of sixty."""
ENTRY_BYTES = 240  # measured: key, array and their place in the dictionary, beside the ids themselves
MAX_TOKENIZERS = 4  # 50 to 100 MB each
TEXTS_AT_ONCE = 64  # 2.5 times as fast as one by one

_UNCUT = 2**31


@dataclass
class _Model:
    """A model's encoder, made when it is first needed."""

    folder: Path
    lock: threading.Lock = field(default_factory=threading.Lock)
    encoder: Encoder | None = None

    def get(self) -> Encoder:
        """Returns the encoder; whoever comes while it is made waits."""
        with self.lock:
            if self.encoder is None:
                self.encoder = Encoder(load_tokenizer(self.folder), max_tokens=_UNCUT)
            return self.encoder


class EncodingCache:
    """Encodes judgements as `Encoder` does, each text once.

    Args:
        max_bytes: How much is kept; what was asked for longest ago goes first.
    """

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes, self._n_bytes = max_bytes, 0
        self._kept: OrderedDict[bytes, array[int]] = OrderedDict()
        self._models: OrderedDict[Path, _Model] = OrderedDict()
        self._lock = threading.Lock()  # for the two dictionaries alone

    def encode(self, model: Path, judgements: Sequence[Judgement], *, max_tokens: int) -> list[EncodedResponse]:
        """Returns exactly what `Encoder(load_tokenizer(model), max_tokens=max_tokens)` makes of each judgement.

        Raises:
            LabError: If the model has no usable chat template, or it does not take one of the conversations.
        """
        pairs = zip(judgements, self.ids(model, judgements), strict=True)
        return [join(judgement, *ids, max_tokens=max_tokens) for judgement, ids in pairs]

    def count_tokens(self, model: Path, judgements: Sequence[Judgement]) -> list[int]:
        """Returns the tokens of prompt and response of each judgement, uncut; raises as `encode` does."""
        return [len(prompt) + len(response) for prompt, response in self.ids(model, judgements)]

    def encoder(self, model: Path) -> Encoder:
        """Returns the encoder that reads a model's texts; it cuts nothing.

        Raises:
            ModelUnavailable: If the model has no usable chat template.
        """
        with self._lock:
            kept = self._models.setdefault(model, _Model(model))
            self._models.move_to_end(model)
            while len(self._models) > MAX_TOKENIZERS:
                self._models.popitem(last=False)
        return kept.get()

    def ids(self, model: Path, judgements: Sequence[Judgement]) -> list[tuple[array[int], array[int]]]:
        """Returns the ids of each judgement's prompt and response, uncut; raises as `encode` does."""
        prompts = {j.prompt: _key(model, *(text for m in j.prompt for text in (m.role, m.content))) for j in judgements}
        # what a model is to write depends on the conversation before it, so a response is kept with its prompt's name
        keys = [(key := prompts[j.prompt], _key(model, key.hex(), j.response)) for j in judgements]
        found = self._recall(key for pair in keys for key in pair)
        new_prompts = {key: prompt for prompt, key in prompts.items() if key not in found}
        new_turns = {
            key: (j.prompt, j.response) for (_, key), j in zip(keys, judgements, strict=True) if key not in found
        }
        if new_prompts or new_turns:
            encoder = self.encoder(model)
            found |= self._make(new_prompts, encoder.encode_prompts)
            found |= self._make(new_turns, encoder.encode_responses)
        return [(found[prompt], found[response]) for prompt, response in keys]

    def _make(
        self, texts: Mapping[bytes, T], encode: Callable[[Sequence[T]], list[list[int]]]
    ) -> dict[bytes, array[int]]:
        """Encodes and keeps; piece by piece, so that somebody who asks for the same meanwhile finds part of it."""
        made: dict[bytes, array[int]] = {}
        rest = iter(texts)
        while keys := list(islice(rest, TEXTS_AT_ONCE)):
            ids = [array("i", row) for row in encode([texts[key] for key in keys])]
            made |= dict(zip(keys, ids, strict=True))
            with self._lock:
                for key, row in zip(keys, ids, strict=True):
                    self._keep(key, row)
        return made

    def _keep(self, key: bytes, ids: array[int]) -> None:
        if key not in self._kept:
            self._n_bytes += _size(ids)
        self._kept[key] = ids
        while self._n_bytes > self._max_bytes:
            self._n_bytes -= _size(self._kept.popitem(last=False)[1])

    def _recall(self, keys: Iterable[bytes]) -> dict[bytes, array[int]]:
        found = {}
        with self._lock:
            for key in keys:
                if (ids := self._kept.get(key)) is not None:
                    self._kept.move_to_end(key)
                    found[key] = ids
        return found


def _size(ids: array[int]) -> int:
    return ENTRY_BYTES + ids.itemsize * len(ids)


def _key(model: Path, *texts: str) -> bytes:
    """Names texts without holding them."""
    return hashlib.blake2b(json.dumps([str(model), *texts]).encode(), digest_size=16).digest()
