"""Small tensors by content, kept between runs in `DATA/cache/`: what is there need not be computed again.

A value's folder is named by the hash of everything that its values depend on, so a value is never stale. In the folder
lie shards, safetensors files of key -> tensor; each is written whole under a name of its own, so any number of
processes may add at once. It is a cache: every file may be missing, torn or thrown away at any time, and a disk that
refuses costs time, never a run. This room must not know what the tensors mean.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bnf_lab.core.files import hash_texts, write_atomically

logger = logging.getLogger(__name__)

CACHE_LIMIT_BYTES = 512 * 2**20
"""Size of the whole cache; what was used longest ago is thrown away. A scored response takes 20 bytes a token."""
STALE_SECONDS = 3600.0  # a temporary file this old belongs to a process that was killed


class TensorCache:
    """Values of one kind that depend on the same things.

    Args:
        root: The cache's folder, shared by all kinds; made when something is saved.
        kind: What the values are, in one word.
        depends_on: Everything besides the key that decides a value.
    """

    def __init__(self, root: Path, kind: str, depends_on: Sequence[str]) -> None:
        self._root = root
        self.folder = root / f"{kind}-{hash_texts(depends_on)[:24]}"

    def load(self, keys: Iterable[str]) -> dict[str, Tensor]:
        """Returns the values that are known of these keys."""
        wanted = set(keys)
        found: dict[str, Tensor] = {}
        for path in sorted(self.folder.glob("*.safetensors")) if wanted else ():
            try:
                with safe_open(path, "pt") as shard:
                    here = wanted.intersection(shard.keys()) - found.keys()
                    found |= {key: shard.get_tensor(key) for key in here}
                if here:
                    with contextlib.suppress(OSError):
                        os.utime(path)  # the oldest are thrown away first, and this one is in use
            except FileNotFoundError:
                continue  # thrown away by another process just now
            except OSError as error:
                logger.warning("cache: %s cannot be read now (%s)", path.name, error)
            except SafetensorError as error:
                logger.warning("cache: %s is damaged and thrown away (%s)", path.name, error)
                _remove(path)
        return found

    def save(self, values: Mapping[str, Tensor]) -> None:
        """Keeps values for later runs; a disk that refuses is only logged."""
        if not values:
            return
        path = self.folder / f"{uuid.uuid4().hex}.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(path, save({key: value.contiguous() for key, value in values.items()}))
            throw_away_oldest(self._root)
        except OSError as error:
            logger.warning("cache: nothing could be saved (%s)", error)


def throw_away_oldest(root: Path, limit: int = CACHE_LIMIT_BYTES) -> None:
    """Removes the shards used longest ago until the cache is within its limit, and what killed processes left."""
    shards = []
    for path in root.glob("*/*"):
        try:
            stat = path.stat()
        except FileNotFoundError:  # another process throws away, too
            continue
        if path.suffix == ".safetensors":
            shards.append((stat.st_mtime_ns, stat.st_size, path))
        elif path.suffix == ".tmp" and time.time() - stat.st_mtime > STALE_SECONDS:
            _remove(path)
    total = sum(size for _, size, _ in shards)
    for _, size, path in sorted(shards):
        if total <= limit:
            return
        _remove(path)
        total -= size


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # gone already, or a disk that refuses
        path.unlink()
