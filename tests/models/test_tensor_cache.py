"""The cache on the disk: what is found again, what is ignored, what is thrown away."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from bnf_lab.models.tensor_cache import STALE_SECONDS, TensorCache, throw_away_oldest


def build(root: Path, *depends_on: str) -> TensorCache:
    return TensorCache(root, "scores", depends_on or ("model",))


def shards(cache: TensorCache) -> list[Path]:
    return sorted(cache.folder.glob("*.safetensors"))


def test_what_was_saved_is_found_by_another_process(tmp_path: Path) -> None:
    values = {"a": torch.tensor([[-1.5, -0.25]]), "b": torch.tensor([3, 4], dtype=torch.int32)}
    build(tmp_path).save(values)
    found = build(tmp_path).load(["a", "b", "c"])
    assert found.keys() == values.keys()
    assert all(torch.equal(found[k], v) and found[k].dtype is v.dtype for k, v in values.items())


def test_other_circumstances_find_nothing(tmp_path: Path) -> None:
    build(tmp_path, "model", "bfloat16").save({"a": torch.ones(1)})
    assert build(tmp_path, "model", "float32").load(["a"]) == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-3]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x00" * 200),
        lambda path: path.write_text("<html>not found</html>"),
    ],
)
def test_a_damaged_file_is_logged_thrown_away_and_written_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage
) -> None:
    cache = build(tmp_path)
    cache.save({"a": torch.ones(3)})
    damage(shards(cache)[0])
    with caplog.at_level(logging.WARNING):
        assert cache.load(["a"]) == {}
    assert "damaged" in caplog.text
    assert shards(cache) == []
    cache.save({"a": torch.ones(3)})
    assert cache.load(["a"])["a"].tolist() == [1, 1, 1]


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    cache = build(tmp_path)
    cache.save({"a": torch.ones(1)})
    (cache.folder / "notes.txt").write_text("mine")
    assert set(cache.load(["a"])) == {"a"}
    throw_away_oldest(tmp_path, limit=0)
    assert [path.name for path in cache.folder.iterdir()] == ["notes.txt"]


def test_the_oldest_in_use_go_first(tmp_path: Path) -> None:
    cache = build(tmp_path)
    for k in range(3):
        cache.save({f"k{k}": torch.zeros(100)})
    by_key = {key: path for path in shards(cache) for key in ("k0", "k1", "k2") if key.encode() in path.read_bytes()}
    for age, key in enumerate(("k2", "k0", "k1"), start=1):
        os.utime(by_key[key], (1000.0 * age, 1000.0 * age))
    cache.load(["k2"])  # the oldest, but in use now
    size = by_key["k0"].stat().st_size
    throw_away_oldest(tmp_path, limit=2 * size)
    assert set(cache.load(["k0", "k1", "k2"])) == {"k1", "k2"}


def test_what_a_killed_process_left_is_removed_in_time(tmp_path: Path) -> None:
    cache = build(tmp_path)
    cache.save({"a": torch.ones(1)})
    fresh, stale = cache.folder / ".fresh.tmp", cache.folder / ".stale.tmp"
    for path in (fresh, stale):
        path.write_bytes(b"half")
    old = stale.stat().st_mtime - 2 * STALE_SECONDS
    os.utime(stale, (old, old))
    throw_away_oldest(tmp_path)
    assert (fresh.exists(), stale.exists()) == (True, False)


def test_a_disk_that_refuses_is_only_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "root").write_text("a file where the folder should be")
    cache = build(tmp_path / "root")
    with caplog.at_level(logging.WARNING):
        cache.save({"a": torch.ones(1)})
    assert "nothing could be saved" in caplog.text
    assert cache.load(["a"]) == {}


def test_many_may_write_and_read_at_once(tmp_path: Path) -> None:
    def work(k: int) -> None:
        cache = build(tmp_path)
        for i in range(5):
            cache.save({f"{k}-{i}": torch.full((4,), float(k)), "shared": torch.ones(2)})
            assert cache.load([f"{k}-{i}"])[f"{k}-{i}"].tolist() == [k] * 4

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(build(tmp_path).load([f"{k}-{i}" for k in range(8) for i in range(5)])) == 40
