"""The verb `fetch-model`: brings a model to this machine."""

from __future__ import annotations

import argparse
from typing import Any

from bnf_lab.cli.options import model_name
from bnf_lab.cli.output import Output
from bnf_lab.core.config import EMBEDDED_MODEL
from bnf_lab.core.errors import ModelUnavailable
from bnf_lab.core.paths import data_home, models_dir
from bnf_lab.models.fetch import FetchProgress, fetch_model, model_folder


def add_verbs(verbs: Any) -> None:
    """Adds `fetch-model`."""
    fetch = verbs.add_parser("fetch-model", allow_abbrev=False, help="bring a model to this machine's disk")
    fetch.add_argument("name", nargs="?", default=EMBEDDED_MODEL, help="'embedded' (default) or a hub id")
    fetch.add_argument("--json", action="store_true", help="progress as JSON lines")
    fetch.set_defaults(run=run_fetch_model, writes_home=True)


def run_fetch_model(args: argparse.Namespace, output: Output) -> int:
    """Fetches a model with a line for every sign of progress; code 1 if it cannot be had, 2 if it has no such name."""
    folder = models_dir(data_home())
    name = model_name(args.name)
    model_folder(name, folder)

    def on_progress(progress: FetchProgress) -> None:
        if output.as_json:
            output.result({"detail": progress.detail, "fraction": progress.fraction}, "")
        elif progress.fraction is None:
            output.progress(progress.detail)
        else:
            output.progress(f"{progress.detail} {progress.fraction:.0%}")

    try:
        path = fetch_model(name, folder, on_progress)
    except ModelUnavailable as error:
        if output.as_json:
            output.result({"error": str(error)}, "")
        output.complain(str(error))
        return 1
    output.result({"detail": "ready", "fraction": 1.0, "model": name}, f"{name} is ready in {path}")
    return 0
