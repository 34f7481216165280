"""The machine the lab runs on, without importing torch. Standard library."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from bnf_lab.lab_records import DeviceInfo

GIB = 2**30

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
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
        name, free_mib, total_mib = (part.strip() for part in answer.stdout.strip().split(","))
        return DeviceInfo(name, True, float(free_mib) / 1024, float(total_mib) / 1024)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None  # a driver that is installed but not working: PyTorch cannot use the GPU either


def _read_cpu() -> DeviceInfo:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    label = f"CPU, {cores} core{'s' if cores > 1 else ''}"
    return DeviceInfo(label, False, _read_free_gib(total), total)


def _read_free_gib(total: float) -> float:
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():  # macOS says what is free in no simple way; the whole is an honest upper bound
        return total
    values = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines() if ":" in line)
    free = int(values["MemAvailable"].split()[0]) / 2**20
    limit = Path("/sys/fs/cgroup/memory.max")
    used = Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (text := limit.read_text(encoding="ascii").strip()) != "max":
        free = min(free, (int(text) - int(used.read_text(encoding="ascii"))) / GIB)
    return max(0.0, free)
