"""The verbs `export`, which packs a run's adapter, alone or merged, and `report`, its page to keep or to send."""

from __future__ import annotations

import argparse
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bnf_lab.cli.options import find_model, locate_model
from bnf_lab.cli.output import Output
from bnf_lab.core.errors import LabError, RunRefused
from bnf_lab.core.files import write_atomically
from bnf_lab.core.paths import data_home
from bnf_lab.core.scratch import is_abandoned, temporary_folder
from bnf_lab.core.sealed_folders import has_all_files
from bnf_lab.lab.export import export_adapter, export_merged
from bnf_lab.lab.models import worker_environment
from bnf_lab.lab.run_summaries import summarise_folder
from bnf_lab.runs.checkpoints import newest_checkpoint
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.merging import describe_merge

SCRATCH = ".bnf-lab-"
"""Beside the file that is to be made, so that it can be renamed."""


def add_verbs(verbs: Any) -> None:
    """Adds `export` and `report`."""
    export = verbs.add_parser("export", allow_abbrev=False, help="a run's adapter, or merged model, as a zip file")
    export.add_argument("--run", dest="run_dir", type=Path, required=True, metavar="DIR")
    export.add_argument("--output", type=Path, required=True, metavar="FILE")
    export.add_argument("--merged", action="store_true", help="base and adapter as one model, after checking it")
    export.set_defaults(run=run_export)
    report = verbs.add_parser("report", allow_abbrev=False, help="a run as one HTML page to keep or to send")
    report.add_argument("--run", dest="run_dir", type=Path, required=True, metavar="DIR")
    report.add_argument("--output", type=Path, required=True, metavar="FILE")
    report.set_defaults(run=run_report)
    for verb in (export, report):
        verb.add_argument("--json", action="store_true", help="the result as one JSON document")


def run_export(args: argparse.Namespace, output: Output) -> int:
    """Writes a run's newest adapter, or the model merged with it, to a zip file."""
    target = _free_target(args.output)
    folder = RunFolder(args.run_dir.resolve())
    config = folder.read_config()
    adapter = folder.adapter if has_all_files(folder.adapter) else newest_checkpoint(folder.path)
    if adapter is None:
        raise RunRefused(f"Run {folder.run_id} has no adapter yet. It gets one with its first checkpoint.")
    merge = None
    for left in target.parent.glob(f"{SCRATCH}*"):  # of an export that was killed
        if is_abandoned(left):
            shutil.rmtree(left, ignore_errors=True)
    with temporary_folder(SCRATCH, target.parent) as scratch:
        if args.merged:
            output.progress("merging and checking")
            path, merge = export_merged(
                folder, locate_model(config.model), adapter, scratch, environment=worker_environment(data_home())
            )
        else:
            path = export_adapter(folder, adapter, scratch, model=find_model(config.model))
        os.replace(path, target)
    record = {"file": str(target), "bytes": target.stat().st_size, "kind": "merged" if args.merged else "adapter"}
    lines = [f"{target} ({record['bytes'] / 1e6:.1f} MB)", *(describe_merge(merge) if merge else ())]
    output.result({**record, "merge": asdict(merge)} if merge else record, "\n".join(lines))
    return 0


def run_report(args: argparse.Namespace, output: Output) -> int:
    """Writes the report of a run: one HTML page that opens without a network."""
    from bnf_lab.lab.run_report import build_run_report  # noqa: PLC0415 - imports plotly, which `export` has no use for

    target, folder = _free_target(args.output), RunFolder(args.run_dir.resolve())
    write_atomically(target, build_run_report(folder, summarise_folder(folder)))
    n_bytes = target.stat().st_size
    output.result({"file": str(target), "bytes": n_bytes, "kind": "report"}, f"{target} ({n_bytes / 1e6:.1f} MB)")
    return 0


def _free_target(path: Path) -> Path:
    target = path.resolve()
    if target.exists():
        raise LabError(f"--output {target.name} is there already. Choose another name, or delete it.")
    if not target.parent.is_dir():
        raise LabError(f"--output {target.name}: its folder {target.parent.name} does not exist. Make it first.")
    return target
