"""What a benchmark found and its shape: rows with p20 / p50 / p80, ratios, CSV with machine, versions and date."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from bnf_lab.core.machine import read_device

LIBRARIES = ("torch", "transformers", "peft", "trl", "gradio", "bitsandbytes", "liger-kernel")


@dataclass(frozen=True)
class Row:
    """One measured quantity.

    Attributes:
        case: What was measured ("ours bnf", "trl dpo", "two panes").
        quantity: Of what ("step", "first token", "peak memory").
        unit: "s", "token/s", "GiB", "1".
        values: Every single measurement, in order.
    """

    case: str
    quantity: str
    unit: str
    values: tuple[float, ...]

    @property
    def quantiles(self) -> tuple[float, float, float]:
        p20, p50, p80 = np.quantile(self.values, [0.2, 0.5, 0.8]).tolist()
        return p20, p50, p80


@dataclass(frozen=True)
class Report:
    """All rows of one benchmark, the ratios it stands for, and what must be known to read them (`conditions`)."""

    benchmark: str
    rows: tuple[Row, ...]
    ratios: Mapping[str, float] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)


def ratio_of_medians(above: Sequence[float], below: Sequence[float]) -> float:
    """Returns the median of the ratios of measurements that were taken one after the other (same round, same index)."""
    return float(np.median([a / b for a, b in zip(above, below, strict=True)]))


def describe_machine() -> dict[str, str]:
    """Returns machine, versions and date, as they stand in every line of the CSV."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{read_device().label}, {_processor()}",
        "python": platform.python_version(),
        "versions": " ".join(f"{name}=={version}" for name, version in versions.items()),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    lines = dict(line.split(":", 1) for line in info.read_text(encoding="ascii").split("\n\n")[0].splitlines())
    values = {key.strip(): value.strip() for key, value in lines.items()}
    flags = values.get("flags", "").split()
    kind = next((k for k in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if k in flags), "")
    return f"{values.get('model name', platform.machine())} {kind}".strip()


def write_csv(report: Report, path: Path) -> None:
    """Appends the report's rows and ratios to a CSV file; a new file gets a header."""
    machine = describe_machine()
    conditions = " ".join(f"{key}={value}" for key, value in report.conditions.items())
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", newline="", encoding="utf-8") as file:
        names = ["benchmark", "case", "quantity", "unit", "p20", "p50", "p80", "n", "conditions", *machine]
        writer = csv.DictWriter(file, names)
        if is_new:
            writer.writeheader()
        for row in (*report.rows, *(Row("ratio", name, "1", (value,)) for name, value in report.ratios.items())):
            p20, p50, p80 = (f"{value:.6g}" for value in row.quantiles)
            writer.writerow(
                {
                    "benchmark": report.benchmark,
                    "case": row.case,
                    "quantity": row.quantity,
                    "unit": row.unit,
                    "p20": p20,
                    "p50": p50,
                    "p80": p80,
                    "n": len(row.values),
                    "conditions": conditions,
                    **machine,
                }
            )


def show(report: Report) -> str:
    """Returns a table for people."""
    lines = [f"{report.benchmark}: {', '.join(f'{k} {v}' for k, v in report.conditions.items())}"]
    for row in report.rows:
        p20, p50, p80 = row.quantiles
        lines.append(f"  {row.case:32} {row.quantity:24} {p50:12.4g} {row.unit:8} ({p20:.4g} to {p80:.4g})")
    lines += [f"  ratio {name:45} {value:12.4g}" for name, value in report.ratios.items()]
    return "\n".join(lines)


def to_json(report: Report) -> str:
    """Returns the report on one line; `ratios` first."""
    rows = [asdict(row) | dict(zip(("p20", "p50", "p80"), row.quantiles, strict=True)) for row in report.rows]
    return json.dumps(
        {
            "ratios": dict(report.ratios),
            "benchmark": report.benchmark,
            "conditions": dict(report.conditions),
            "machine": describe_machine(),
            "rows": rows,
        }
    )
