"""The verb `check`: what is in preference files, row by row, without storing anything.

No torch at load: `check` starts in a second. It must not know training or chat.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from bnf_lab.cli.options import (
    add_import_options,
    find_model,
    import_choices,
    locate_model,
    model_name,
    require_file,
    whole,
    why_nothing,
)
from bnf_lab.cli.output import Output
from bnf_lab.core.config import EMBEDDED_MODEL
from bnf_lab.core.errors import LabError
from bnf_lab.core.numbers import counted
from bnf_lab.core.paths import data_home
from bnf_lab.data.formats.rows import file_label
from bnf_lab.data.importers import import_file
from bnf_lab.data.report import ImportReport

SHOWN_REFUSALS = 20


def add_verbs(verbs: Any) -> None:
    """Adds `check`."""
    check = verbs.add_parser("check", allow_abbrev=False, help="report on preference files without storing anything")
    check.add_argument("files", nargs="+", metavar="FILE", help="JSONL, JSON, CSV (also .gz) or Parquet")
    check.add_argument(
        "--model",
        help="whose tokenizer counts what is cut (default: the embedded model's where it is here, else an estimate)",
    )
    check.add_argument("--max-tokens", type=whole(16, 32_768), default=512, help="cut sequences there (%(default)s)")
    check.add_argument("--json", action="store_true", help="one JSON line a file")
    add_import_options(check)
    check.set_defaults(run=run_check)


def run_check(args: argparse.Namespace, output: Output) -> int:
    """Reports on every file; code 2 if one of them yields no judgement at all."""
    choices, count_tokens = import_choices(args), None
    model = locate_model(model_name(args.model)) if args.model is not None else find_model(EMBEDDED_MODEL)
    if model is not None:
        count_tokens = _token_counter(model)
    code = 0
    for file in args.files:
        try:
            report = import_file(
                require_file(file),
                choices=choices,
                count_tokens=count_tokens,
                max_tokens=args.max_tokens,
            )
            problem = why_nothing(report)
            output.result(_record(report), _describe(report))
        except LabError as error:
            problem = str(error)
            if output.as_json:
                output.result(_empty_record(file, problem), "")
        if problem:
            code = 2
            output.complain(problem)
    return code


def _token_counter(model: Path) -> Any:
    from bnf_lab.training.preflight import Counter  # noqa: PLC0415 - seconds of imports that a plain check does not need

    counter = Counter(data_home())
    return lambda judgements: counter.count_tokens(model, judgements)


def _record(report: ImportReport) -> dict[str, Any]:
    refused = [{"row": r.row, "reason": r.reason} for r in report.refused]
    if report.questions:
        refused.insert(0, {"row": 0, "reason": why_nothing(report)})
    return {
        "file": report.file,
        "kind": report.kind,
        "layout": report.layout,
        "source": report.source,
        "rows": report.n_rows,
        "taken": report.taken,
        "preferred": report.n_preferred,
        "dispreferred": report.n_dispreferred,
        "how": report.how,
        "decides": list(report.decides),
        "unused": list(report.unused),
        "questions": [dataclasses.asdict(question) for question in report.questions],
        "refused": refused,
        "notes": list(report.notes),
        "warnings": list(report.warnings),
    }


def _empty_record(file: str, reason: str) -> dict[str, Any]:
    return {
        "file": file_label(file),
        "layout": None,
        "taken": 0,
        "preferred": 0,
        "dispreferred": 0,
        "refused": [{"row": 0, "reason": reason}],
        "warnings": [],
    }


def _describe(report: ImportReport) -> str:
    lines = [
        f"{report.file}: {report.taken} of {counted(report.n_rows, 'row')} taken"
        f" ({report.n_preferred} preferred, {counted(report.n_dispreferred, 'dispreferred response')}),"
        f" {len(report.refused)} refused"
    ]
    if report.layout:
        lines.append(f"  read as {report.layout}" + (f" ({report.kind})" if report.kind else ""))
    if report.how is not None:
        lines.append(f"  {report.how}")
    if len(report.decides) > 1:
        lines.append(f"  decided by {report.decides[0]}; --decides takes {', '.join(report.decides[1:])} instead")
    if report.unused:
        lines.append(f"  columns not used: {', '.join(report.unused)}")
    lines += [f"  {note}" for note in report.notes]
    lines += [f"  refused: {r.reason}" for r in report.refused[:SHOWN_REFUSALS]]
    if len(report.refused) > SHOWN_REFUSALS:
        lines.append(f"  refused: {len(report.refused) - SHOWN_REFUSALS} more; --json lists them all")
    return "\n".join([*lines, *(f"  warning: {text}" for text in report.warnings)])
