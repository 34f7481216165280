"""The verbs `fetch-model` and `check`, and the options by which verbs take judgements from files.

No torch at load: `check` starts in a second. It must not know training or chat.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bnf_lab.cli_output import Output
from bnf_lab.config import EMBEDDED_MODEL
from bnf_lab.demos import find_demo_set
from bnf_lab.errors import ImportRefused, LabError, ModelUnavailable, shown
from bnf_lab.fetch import FetchProgress, fetch_model, is_fetched, model_folder
from bnf_lab.home import data_home, models_dir
from bnf_lab.importers import ColumnMapping, ImportReport, RatingRule, import_file
from bnf_lab.preferences import Judgement, Source
from bnf_lab.ratings import CENTRINGS, WEIGHTINGS
from bnf_lab.rows import file_label

DEMO = "demo:"
SHOWN_REFUSALS = 20
MAPPING_FIELDS = tuple(f.name for f in dataclasses.fields(ColumnMapping) if f.name != "kind")


def add_verbs(verbs: Any) -> None:
    """Adds `fetch-model` and `check`."""
    fetch = verbs.add_parser("fetch-model", allow_abbrev=False, help="bring a model to this machine's disk")
    fetch.add_argument("name", nargs="?", default=EMBEDDED_MODEL, help="'embedded' (default) or a hub id")
    fetch.add_argument("--json", action="store_true", help="progress as JSON lines")
    fetch.set_defaults(run=run_fetch_model)
    check = verbs.add_parser("check", allow_abbrev=False, help="report on preference files without storing anything")
    check.add_argument("files", nargs="+", metavar="FILE", help="JSONL, JSON, CSV (also .gz) or Parquet")
    check.add_argument("--model", help="also count tokens with this model's tokenizer")
    check.add_argument("--max-tokens", type=whole(16, 32_768), default=512, help="cut sequences there (%(default)s)")
    check.add_argument("--json", action="store_true", help="one JSON line a file")
    add_import_options(check)
    check.set_defaults(run=run_check)


def add_import_options(parser: argparse.ArgumentParser) -> None:
    """Adds what decides how a file is understood."""
    parser.add_argument(
        "--threshold", type=float, metavar="RATING", help="rating from which an answer is preferred (default: median)"
    )
    parser.add_argument(
        "--centring", choices=CENTRINGS, default=CENTRINGS[0],
        help="compare ratings with that threshold, or with the mean of each prompt's own answers (%(default)s); ranks "
        "always within the prompt",
    )  # fmt: skip
    parser.add_argument(
        "--weighting", choices=WEIGHTINGS, default=WEIGHTINGS[0],
        help="weigh rated answers alike, or by their distance from there (%(default)s); ranks always by distance",
    )  # fmt: skip
    parser.add_argument(
        "--map", action="append", default=[], metavar="FIELD=COLUMN",
        help=f"say which column is which, for columns that are not recognised; FIELD is {', '.join(MAPPING_FIELDS)}",
    )  # fmt: skip


def rating_rule(args: argparse.Namespace) -> RatingRule:
    """Returns what a command line says about ratings.

    Raises:
        ImportRefused: If its choices contradict each other.
    """
    return RatingRule(args.threshold, args.centring, args.weighting)


def whole(low: int, high: int) -> Any:
    """Returns an argparse type for whole numbers in a range."""

    def parse(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() else -1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from {low} to {high}")
        return value

    return parse


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


def model_name(given: str) -> str:
    """Returns a model's name, or `run:FOLDER`, as settings hold it: a folder becomes absolute, other names stay."""
    prefix = "run:" if given.startswith("run:") else ""
    path = Path(given.removeprefix(prefix))
    is_folder = path.is_dir() if prefix else (path / "config.json").is_file()
    return f"{prefix}{path.resolve()}" if is_folder else given


def locate_model(name: str) -> Path:
    """Returns the folder of a model that is on the disk.

    Raises:
        ModelUnavailable: If it is not, with the remedy.
    """
    folder = models_dir(data_home())
    if not is_fetched(name, folder):
        raise ModelUnavailable(
            f"Model {shown(name)} is not on this machine. Run `python -m bnf_lab fetch-model {name}` first, or give a"
            " folder with config.json, safetensors and tokenizer files."
        )
    return model_folder(name, folder)


def run_check(args: argparse.Namespace, output: Output) -> int:
    """Reports on every file; code 2 if one of them yields no judgement at all."""
    mapping, rule, count_tokens = build_mapping(args.map), rating_rule(args), None
    if args.model is not None:
        count_tokens = _token_counter(locate_model(model_name(args.model)))
    code = 0
    for file in args.files:
        try:
            report = import_file(
                require_file(file), mapping=mapping, rule=rule, count_tokens=count_tokens, max_tokens=args.max_tokens,
            )  # fmt: skip
            problem = _why_nothing(report)
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
    from bnf_lab.preflight import Counter  # noqa: PLC0415 - seconds of imports that a plain check does not need

    counter = Counter(data_home())
    return lambda judgements: counter.count_tokens(model, judgements)


def _record(report: ImportReport) -> dict[str, Any]:
    refused = [{"row": r.row, "reason": r.reason} for r in report.refused]
    if report.needs_mapping:
        refused.insert(0, {"row": 0, "reason": _why_nothing(report)})
    return {"file": report.file, "taken": report.taken, "refused": refused, "warnings": list(report.warnings)}


def _empty_record(file: str, reason: str) -> dict[str, Any]:
    return {"file": file_label(file), "taken": 0, "refused": [{"row": 0, "reason": reason}], "warnings": []}


def _why_nothing(report: ImportReport) -> str | None:
    """Returns why a file yields no judgement; None if it yields some."""
    if report.judgements:
        return None
    if report.needs_mapping:
        return f"{report.warnings[0]} In the shell: --map FIELD=COLUMN."
    first = f" First: {report.refused[0].reason}" if report.refused else ""
    return f"{report.file}: none of its {report.n_rows} rows can be taken.{first}"


def _describe(report: ImportReport) -> str:
    n_preferred = sum(j.is_preferred for j in report.judgements)
    lines = [
        f"{report.file}: {report.taken} of {report.n_rows} rows taken"
        f" ({n_preferred} preferred, {len(report.judgements) - n_preferred} dispreferred responses),"
        f" {len(report.refused)} refused"
    ]
    if report.how is not None:
        lines.append(f"  {report.how}")
    lines += [f"  refused: {r.reason}" for r in report.refused[:SHOWN_REFUSALS]]
    if len(report.refused) > SHOWN_REFUSALS:
        lines.append(f"  refused: {len(report.refused) - SHOWN_REFUSALS} more; --json lists them all")
    return "\n".join([*lines, *(f"  warning: {text}" for text in report.warnings)])


def read_judgements(
    sources: Sequence[str], *, mapping: Sequence[str], rule: RatingRule, output: Output
) -> tuple[Judgement, ...]:
    """Returns the judgements of files and demo sets, in their order; says on stderr how ratings count and what is
    left out.

    Raises:
        LabError: If one of them yields no judgement.
    """
    columns, judgements = build_mapping(mapping), []
    for source in sources:
        if source.startswith(DEMO):
            name = source.removeprefix(DEMO)
            report = import_file(find_demo_set(name), name=name, source=Source.DEMO)
        else:
            report = import_file(require_file(source), mapping=columns, rule=rule)
        problem = _why_nothing(report)
        if problem:
            raise ImportRefused(problem)
        if report.how is not None:
            output.complain(f"{report.file}: {report.how}.")
        if report.refused:
            output.complain(
                f"{report.file}: {len(report.refused)} of {report.n_rows} rows are left out;"
                " `python -m bnf_lab check` says why."
            )
        judgements += report.judgements
    return tuple(judgements)


def require_file(name: str) -> Path:
    """Returns the path of a file that is there.

    Raises:
        ImportRefused: If there is none.
    """
    path = Path(name)
    if not path.is_file():
        raise ImportRefused(
            f"{file_label(name)}: there is no such file. Give a JSONL, JSON, CSV or Parquet file, or, to train or"
            " score, demo:NAME."
        )
    return path


def build_mapping(pairs: Sequence[str]) -> ColumnMapping | None:
    """Builds a mapping from `FIELD=COLUMN` texts; its kind follows from the fields.

    Raises:
        LabError: If a text is none or a field is not known.

    >>> build_mapping(["prompt=question", "response=answer", "rating=stars"]).kind
    'ratings'
    """
    if not pairs:
        return None
    columns: dict[str, str] = {}
    for pair in pairs:
        name, _, column = pair.partition("=")
        if name not in MAPPING_FIELDS or not column:
            raise LabError(
                f"--map is {shown(pair)}; FIELD=COLUMN is needed, where FIELD is one of {', '.join(MAPPING_FIELDS)}."
            )
        columns[name] = column
    kinds = {"rank": "ranks", "rating": "ratings", "label": "labels"}
    return ColumnMapping(next((kind for part, kind in kinds.items() if part in columns), "pairs"), **columns)
