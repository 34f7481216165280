"""How much memory there is: of the machine, or of the container that limits it."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from bnf_lab.core import machine
from bnf_lab.core.machine import GIB, read_device


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)


def test_free_memory_is_part_of_the_whole() -> None:
    device = read_device()
    assert not device.has_gpu
    assert device.label.startswith("CPU, ")
    assert 0.0 < device.free_gib < device.total_gib == psutil.virtual_memory().total / GIB


@pytest.mark.parametrize(
    ("limit", "free"), [(str(3 * 2**20), 2**20), (str(2**20), 0), ("max", None), (str(2**60), None)]
)
def test_a_container_s_limit_counts_where_it_is_the_smaller_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, free: int | None
) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{2 * 2**20}\n")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    if free is None:
        assert read_device().free_gib > 2**20 / GIB
    else:
        assert read_device().free_gib == free / GIB
