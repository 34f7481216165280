"""The machine the lab runs on, by psutil and nvidia-smi, without importing torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from bnf_lab.core.numbers import counted


@dataclass(frozen=True)
class DeviceInfo:
    """What the models run on; memory in GiB (the GPU's where there is one)."""

    label: str
    has_gpu: bool
    free_gib: float
    total_gib: float


GIB = 2**30
CGROUP = Path("/sys/fs/cgroup")

SHARED_CORES = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "2000"}
"""Lets PyTorch's threads sleep while they wait for each other. By default they spin, and where pages, chat and a run
share few cores the spinning takes the others' time: a training step beside other work took 7.5 s so and 22 s with
spinning. A wait of some 40 microseconds, as between two small operations, is still spun through: alone on the machine a
step then takes 17.6 s instead of 18.2. Read by the OpenMP library when torch is imported."""


def read_device() -> DeviceInfo:
    """Returns the first NVIDIA GPU with its memory, else the CPU with the machine's memory."""
    return _read_gpu() or _read_cpu()


def share_cores() -> None:
    """Sets `SHARED_CORES` for this process unless the person chose otherwise; call it before torch is imported."""
    for name, value in SHARED_CORES.items():
        os.environ.setdefault(name, value)


def _read_gpu() -> DeviceInfo | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=name,memory.free,memory.total", "--format=csv,noheader,nounits", "--id=0"]
    try:
        answer = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=10, check=True)  # noqa: S603
        name, free_mib, total_mib = (part.strip() for part in answer.stdout.strip().split(","))
        return DeviceInfo(name, True, float(free_mib) / 1024, float(total_mib) / 1024)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None  # a driver that is installed but not working: PyTorch cannot use the GPU either


def _read_cpu() -> DeviceInfo:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory()
    label = f"CPU, {counted(cores, 'core')}"
    return DeviceInfo(label, False, _within_container(memory.available) / GIB, memory.total / GIB)


def _within_container(free: int) -> int:
    """Returns how many of the machine's free bytes this process may still take, where a container limits it."""
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.exists() and used.exists() and (text := limit.read_text(encoding="ascii").strip()) != "max":
        free = min(free, int(text) - int(used.read_text(encoding="ascii")))
    return max(0, free)
