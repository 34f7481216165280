"""Makes the demo preference sets beside this file and their index: the one place that says what each set is.

    python assets/preferences/make_demo_sets.py                  the sets made by rule, byte for byte the same anywhere
    python assets/preferences/make_demo_sets.py --model FOLDER   all of them; FOLDER holds SmolLM2-135M-Instruct
    python assets/preferences/make_demo_sets.py --only short_answers --model FOLDER

Rows are JSON lines in TRL's conversational schemas: `prompt, chosen, rejected` for pairs, `prompt, completion, label`
for responses judged alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SEED = 20240
BY_RULE = "Written by a rule in this repository, under its licence."


@dataclass(frozen=True)
class DemoSet:
    """One set: what the index says of it, and the function that makes its rows from a model's folder."""

    name: str
    title: str
    description: str
    kind: str
    origin: str
    make: Callable[[Path | None], list[dict[str, Any]]]
    needs_model: bool = False


def _make_short_answers(model: Path | None) -> list[dict[str, Any]]:
    # The script runs from anywhere, so the package above it has to be made importable first.
    sys.path.insert(0, str(HERE.parents[1]))
    import short_answers  # noqa: PLC0415 - brings torch, which the sets by rule do not need

    return short_answers.make_rows(model)


def _make_careful_arithmetic(_model: Path | None) -> list[dict[str, Any]]:
    import careful_arithmetic  # noqa: PLC0415

    return careful_arithmetic.make_rows(300, SEED)


def _make_honest_uncertainty(_model: Path | None) -> list[dict[str, Any]]:
    import honest_uncertainty  # noqa: PLC0415

    return honest_uncertainty.make_rows(SEED)


def _make_dialogue_tone(_model: Path | None) -> list[dict[str, Any]]:
    import dialogue_tone  # noqa: PLC0415

    return dialogue_tone.make_rows(SEED)


def _make_small_code(_model: Path | None) -> list[dict[str, Any]]:
    import small_code  # noqa: PLC0415

    return small_code.make_rows(SEED)


SETS = (
    DemoSet(
        "short_answers",
        "Short answers",
        "Everyday questions: the model's own first sentence is preferred to its whole answer.",
        "pairs",
        "Answers of SmolLM2-135M-Instruct (Apache-2.0) to questions written for this repository.",
        _make_short_answers,
        needs_model=True,
    ),
    DemoSet(
        "careful_arithmetic",
        "Careful arithmetic",
        "Word problems: a right solution is preferred to a nearly identical one with a single slip.",
        "pairs",
        BY_RULE,
        _make_careful_arithmetic,
    ),
    DemoSet(
        "honest_uncertainty",
        "Honest uncertainty",
        "Single answers, no pairs: admitting what cannot be known is preferred, making it up or doubting facts is not.",
        "unpaired",
        BY_RULE,
        _make_honest_uncertainty,
    ),
    DemoSet(
        "dialogue_tone",
        "Dialogue tone",
        "Everyday requests and complaints: advice in warm, polite words is preferred to the same advice said coldly.",
        "pairs",
        BY_RULE,
        _make_dialogue_tone,
    ),
    DemoSet(
        "small_code",
        "Small code",
        "Tiny Python tasks: a right short function is preferred to a nearly identical one with a single bug.",
        "pairs",
        BY_RULE,
        _make_small_code,
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the sets asked for and the index; returns the exit status."""
    parser = argparse.ArgumentParser(description="Makes the demo preference sets.")
    parser.add_argument("--model", type=Path, help="folder of the embedded model, for the sets that need it")
    parser.add_argument("--only", choices=[demo.name for demo in SETS], help="make this set alone")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: beside this script)")
    options = parser.parse_args(arguments)
    wanted = [demo for demo in SETS if options.only in (None, demo.name)]
    if options.only and wanted[0].needs_model and not options.model:
        parser.error(f"{options.only} is made from a model's answers: name its folder with --model.")
    for demo in wanted:
        if demo.needs_model and not options.model:
            sys.stdout.write(f"{demo.name}: left as it is, it needs --model\n")
            continue
        rows = demo.make(options.model)
        _write(options.out / f"{demo.name}.jsonl", "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
        sys.stdout.write(f"{demo.name}: {len(rows)} rows\n")
    _write(options.out / "index.json", json.dumps(_index(options.out), indent=2, ensure_ascii=False) + "\n")
    return 0


def _index(folder: Path) -> list[dict[str, Any]]:
    """Describes the sets that are in the folder, in their order here."""
    entries = []
    for demo in SETS:
        path = folder / f"{demo.name}.jsonl"
        if path.exists():
            rows = len(path.read_text(encoding="utf-8").splitlines())
            entry = {"name": demo.name, "title": demo.title, "description": demo.description, "rows": rows}
            entries.append({**entry, "kind": demo.kind, "origin": demo.origin})
    return entries


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    sys.exit(main())
