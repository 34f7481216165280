"""Checkpoints: sealed whole or not at all, verified before anybody trusts them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bnf_lab.core import sealed_folders
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.sealed_folders import seal_checkpoint, verify_checkpoint
from bnf_lab.runs.checkpoints import checkpoint_hash, list_checkpoints, newest_checkpoint, remove_stale


def save(run_dir: Path, step: int, content: bytes = b"weights") -> Path:
    staging = run_dir / f"tmp-{step}"
    (staging / "rng").mkdir(parents=True)
    (staging / "adapter_model.safetensors").write_bytes(content)
    (staging / "optimizer.pt").write_bytes(bytes(range(256)) * 40)
    (staging / "rng" / "state.json").write_text('{"step": 1}')
    final = run_dir / f"checkpoint-{step}"
    seal_checkpoint(staging, final)
    return final


def test_a_sealed_checkpoint_verifies_and_leaves_no_staging_folder(tmp_path):
    final = save(tmp_path, 15)
    assert verify_checkpoint(final)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-15"]
    listed = json.loads((final / "MANIFEST.json").read_text())["files"]
    assert sorted(listed) == ["adapter_model.safetensors", "optimizer.pt", "rng/state.json"]


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "optimizer.pt", "rng/state.json", "MANIFEST.json"])
@pytest.mark.parametrize("harm", ["missing", "torn", "empty", "flipped"])
def test_a_torn_checkpoint_does_not_verify_and_the_one_before_it_is_taken(tmp_path, name, harm):
    older, newest = save(tmp_path, 5), save(tmp_path, 10)
    victim = newest / name
    content = victim.read_bytes()
    if harm == "missing":
        victim.unlink()
    else:
        flipped = content[:20] + bytes([content[20] ^ 1]) + content[21:] if len(content) > 20 else content[::-1]
        victim.write_bytes({"torn": content[: len(content) // 2], "empty": b"", "flipped": flipped}[harm])
    assert not verify_checkpoint(newest)
    assert newest_checkpoint(tmp_path) == older


@pytest.mark.parametrize("manifest", ["[]", "{}", '{"files": {}}', '{"files": [1]}', '{"files": {"optimizer.pt": 3}}'])
def test_a_foreign_manifest_does_not_verify(tmp_path, manifest):
    final = save(tmp_path, 1)
    (final / "MANIFEST.json").write_text(manifest)
    assert not verify_checkpoint(final)


def test_a_manifest_cannot_point_outside_its_folder(tmp_path):
    final = save(tmp_path, 1)
    outside = tmp_path / "secret"
    outside.write_bytes(b"weights")
    manifest = json.loads((final / "MANIFEST.json").read_text())
    manifest["files"]["../secret"] = manifest["files"]["adapter_model.safetensors"]
    (final / "MANIFEST.json").write_text(json.dumps(manifest))
    assert not verify_checkpoint(final)


def test_checkpoints_sort_by_number_and_other_names_are_left_alone(tmp_path):
    for step in (9, 10, 100):
        save(tmp_path, step)
    (tmp_path / "checkpoint-abc").mkdir()
    (tmp_path / "checkpoint-7").write_text("a file")
    assert [step for step, _ in list_checkpoints(tmp_path)] == [9, 10, 100]
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-100"
    assert list_checkpoints(tmp_path / "nowhere") == []
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_a_replayed_step_replaces_the_folder_of_its_name(tmp_path):
    torn = save(tmp_path, 4)
    (torn / "optimizer.pt").write_bytes(b"")
    final = save(tmp_path, 4, b"again")
    assert verify_checkpoint(final)
    assert (final / "adapter_model.safetensors").read_bytes() == b"again"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-4"]


def test_stale_staging_folders_are_removed_and_nothing_else(tmp_path):
    kept = save(tmp_path, 3)
    (tmp_path / "tmp-6" / "deep").mkdir(parents=True)
    (tmp_path / "tmp-notes.txt").write_text("mine")
    remove_stale(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-3", "tmp-notes.txt"]
    assert verify_checkpoint(kept)


def test_the_hash_names_the_weights_alone(tmp_path):
    first, same, other = save(tmp_path, 1), save(tmp_path, 2), save(tmp_path, 3, b"other")
    assert len(checkpoint_hash(first)) == 8
    assert checkpoint_hash(first) == checkpoint_hash(same) != checkpoint_hash(other)
    shutil.rmtree(first)
    with pytest.raises(RunRefused, match="checkpoint-1") as refusal:
        checkpoint_hash(first)
    assert str(tmp_path) not in str(refusal.value)


def test_the_manifest_is_synced_after_the_files_and_before_the_rename(tmp_path, monkeypatch):
    events = []
    real_sync, real_write, real_rename = sealed_folders._sync, sealed_folders.write_atomically, os.rename
    monkeypatch.setattr(sealed_folders, "_sync", lambda p: (events.append(("sync", p.name)), real_sync(p)))
    monkeypatch.setattr(
        sealed_folders, "write_atomically", lambda p, t: (events.append(("write", p.name)), real_write(p, t))
    )
    monkeypatch.setattr(
        sealed_folders.os, "rename", lambda a, b: (events.append(("rename", b.name)), real_rename(a, b))
    )
    save(tmp_path, 8)
    manifest, renamed = events.index(("write", "MANIFEST.json")), events.index(("rename", "checkpoint-8"))
    assert {name for kind, name in events[:manifest] if kind == "sync"} == {
        "adapter_model.safetensors",
        "optimizer.pt",
        "state.json",
        "rng",
    }
    assert events[manifest:renamed] == [("write", "MANIFEST.json"), ("sync", "tmp-8")]
    assert events[renamed + 1 :] == [("sync", tmp_path.name)]


WRITER = """
import os, sys
from pathlib import Path
from bnf_lab.core.sealed_folders import seal_checkpoint
run = Path(sys.argv[1])
for step in range(1, 10_000):
    staging = run / f"tmp-{os.getpid()}-{step}"
    staging.mkdir()
    (staging / "adapter_model.safetensors").write_bytes(os.urandom(20_000))
    (staging / "optimizer.pt").write_bytes(os.urandom(50_000))
    seal_checkpoint(staging, run / f"checkpoint-{step % 7}")
    print(step, flush=True)
"""


def test_kill_9_while_saving_never_leaves_a_bad_checkpoint(tmp_path):
    repo = Path(__file__).resolve().parents[2]
    for n_lines in (3, 5, 9):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, cwd=repo)
        for _ in range(n_lines):
            assert writer.stdout.readline()
        writer.kill()
        writer.communicate()
        assert list_checkpoints(tmp_path)
        assert all(verify_checkpoint(path) for _, path in list_checkpoints(tmp_path))
