"""How fast this machine trained each model, remembered for the next estimate. Standard library.

`speeds.json` in the data home holds one `SpeedRecord` for each model and kind of weights.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bnf_lab.files import write_atomically


@dataclass(frozen=True)
class SpeedRecord:
    """What one run measured.

    Attributes:
        seconds_per_token: Duration of a training step by the tokens (prompt and response) in it.
        peak_gib: Largest memory of the process, or of the GPU where there is one, GiB.
        start_seconds: From the worker's first line to the loaded model, seconds.
        answer_seconds: A round of sample answers, seconds.
    """

    seconds_per_token: float
    peak_gib: float
    start_seconds: float = 15.0
    answer_seconds: float = 6.0


def read_speed(home: Path, *, model: str, quantization: str) -> SpeedRecord | None:
    """Returns what was measured for this model here; None if it never ran."""
    values = _read(home).get(f"{model}|{quantization}")
    return SpeedRecord(**values) if values else None


def write_speed(home: Path, *, model: str, quantization: str, record: SpeedRecord) -> None:
    speeds = _read(home) | {f"{model}|{quantization}": asdict(record)}
    write_atomically(home / "speeds.json", json.dumps(speeds, indent=2))


def _read(home: Path) -> dict[str, Any]:
    path = home / "speeds.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def read_peak_gib(device: Any) -> float:
    """Returns the peak memory of this process (or of a torch CUDA device), GiB."""
    if device.type == "cuda":
        return float(sys.modules["torch"].cuda.max_memory_allocated(device)) / 2**30
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii", errors="replace").splitlines() if status.exists() else []
    for line in lines:  # getrusage, on Linux, starts a child with the peak of the process that started it
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20
