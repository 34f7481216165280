"""`python -m tests.benchmarks {step,scaling,chat,ui}`: each is a module here with `add_arguments` and `run`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

NAMES = ("step", "scaling", "chat", "ui")


def main(arguments: Sequence[str] | None = None) -> int:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    for name in NAMES:
        command = commands.add_parser(name)
        command.add_argument("--output", type=Path, default=None, help="CSV file to append to")
        command.add_argument("--json", action="store_true", help="print one JSON line at the end")
        if words[:1] == [name]:  # each module imports what it measures, and nobody waits for the others
            importlib.import_module(f"tests.benchmarks.{name}").add_arguments(command)
    args = parser.parse_args(words)
    from tests.benchmarks import report as reports

    report = importlib.import_module(f"tests.benchmarks.{args.name}").run(args)
    print(reports.show(report), flush=True)
    if args.output:
        reports.write_csv(report, args.output)
    if args.json:
        print(reports.to_json(report), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
