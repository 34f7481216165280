"""Options that several verbs share, and what they stand for: data, model, run."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnf_lab.cli.output import Output
from bnf_lab.core.config import EMBEDDED_MODEL, RUN_REFERENCE
from bnf_lab.core.errors import ImportRefused, LabError, ModelUnavailable, shown
from bnf_lab.core.judgements import Judgement, Source, Verdict
from bnf_lab.core.numbers import counted
from bnf_lab.core.paths import data_home, models_dir
from bnf_lab.data.demo_sets import find_demo_set
from bnf_lab.data.formats.rows import file_label
from bnf_lab.data.importers import import_file
from bnf_lab.data.layouts.catalogue import LAYOUTS
from bnf_lab.data.mapping import LEAVE_OUT, ColumnMapping, ImportChoices, read_choices
from bnf_lab.data.ratings import CENTRINGS, WEIGHTINGS
from bnf_lab.data.report import ImportReport
from bnf_lab.models.fetch import is_fetched, model_folder
from bnf_lab.runs.checkpoints import find_adapter
from bnf_lab.runs.folder import RunFolder

DEMO = "demo:"
MAPPING_FIELDS = tuple(f.name for f in dataclasses.fields(ColumnMapping) if f.name != "kind")


def add_import_options(parser: argparse.ArgumentParser) -> None:
    """Adds what decides how a file is understood."""
    parser.add_argument(
        "--threshold", type=float, metavar="RATING", help="rating from which an answer is preferred (default: median)"
    )
    parser.add_argument(
        "--centring",
        choices=CENTRINGS,
        help="compare ratings with that threshold, or with the mean of each prompt's own answers (default: "
        f"{CENTRINGS[0]}); ranks always within the prompt",
    )
    parser.add_argument(
        "--weighting",
        choices=WEIGHTINGS,
        help=f"weigh rated answers alike, or by their distance from there (default: {WEIGHTINGS[0]}); ranks always by "
        "distance",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="FIELD=PLACE",
        help="say which column is which, for columns that are not recognised: FIELD is "
        f"{', '.join(MAPPING_FIELDS)}; PLACE is a column or a path such as completions[].response; or a mapping FILE",
    )
    parser.add_argument("--layout", choices=[layout.key for layout in LAYOUTS], help="read it as this layout")
    parser.add_argument("--part", metavar="NAME", help="which split or sheet, of a file with several")
    parser.add_argument("--decides", metavar="NAME", help="what decides, where a layout offers a choice")
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="VALUE=VERDICT",
        help=f"what a label means: {', '.join(map(str, Verdict))}, or '{LEAVE_OUT}'",
    )
    parser.add_argument(
        "--leave-out", action="append", default=[], metavar="COLUMN", help="a column of text to leave out"
    )
    parser.add_argument(
        "--in-prompt", action="append", default=[], metavar="COLUMN", help="a column of text that belongs to the prompt"
    )
    parser.add_argument(
        "--turn-round", action="store_true", help="turn pairs round whose scores contradict their order"
    )


def whole(low: int, high: int) -> Any:
    """Returns an argparse type for whole numbers in a range."""

    def parse(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() else -1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from {low} to {high}")
        return value

    return parse


def model_name(given: str) -> str:
    """Returns a model's name, or `run:FOLDER`, as settings hold it: a folder becomes absolute, other names stay."""
    prefix = RUN_REFERENCE if given.startswith(RUN_REFERENCE) else ""
    path = Path(given.removeprefix(prefix))
    is_folder = path.is_dir() if prefix else (path / "config.json").is_file()
    return f"{prefix}{path.resolve()}" if is_folder else given


def find_model(name: str) -> Path | None:
    """Returns the folder of a model; None if it is not on the disk."""
    folder = models_dir(data_home())
    return model_folder(name, folder) if is_fetched(name, folder) else None


def locate_model(name: str) -> Path:
    """Returns the folder of a model that is on the disk.

    Raises:
        ModelUnavailable: If it is not, with the remedy.
    """
    path = find_model(name)
    if path is None:
        raise ModelUnavailable(
            f"Model {shown(name)} is not on this machine. Run `python -m bnf_lab fetch-model {name}` first, or give a"
            " folder with config.json, safetensors and tokenizer files."
        )
    return path


HOW_TO_ANSWER = {
    "columns": "In the shell: --map FIELD=PLACE.",
    "column": "In the shell: --in-prompt COLUMN, --map FIELD=PLACE, or --leave-out COLUMN.",
    "layout": "In the shell: --layout NAME.",
    "labels": "In the shell: --label VALUE=preferred and so on.",
    "part": "In the shell: --part NAME.",
}


def why_nothing(report: ImportReport) -> str | None:
    """Returns why a file yields no judgement; None if it yields some."""
    if report.judgements:
        return None
    if report.questions:
        question = report.questions[0]
        options = f" Options: {', '.join(option.value for option in question.options[:8])}." if question.options else ""
        return f"{question.text}{options} {HOW_TO_ANSWER[question.kind]}"
    first = f" First: {report.refused[0].reason}" if report.refused else ""
    return f"{report.file}: none of its {counted(report.n_rows, 'row')} can be taken.{first}"


def read_judgements(sources: Sequence[str], *, choices: ImportChoices, output: Output) -> tuple[Judgement, ...]:
    """Returns the judgements of files and demo sets, in their order; says on stderr how ratings count and what is
    left out.

    Raises:
        LabError: If one of them yields no judgement.
    """
    judgements: list[Judgement] = []
    for source in sources:
        if source.startswith(DEMO):
            name = source.removeprefix(DEMO)
            report = import_file(find_demo_set(name), name=name, source=Source.DEMO)
        else:
            report = import_file(require_file(source), choices=choices)
        problem = why_nothing(report)
        if problem:
            raise ImportRefused(problem)
        if report.how is not None:
            output.complain(f"{report.file}: {report.how}.")
        if report.refused:
            output.complain(
                f"{report.file}: {len(report.refused)} of {counted(report.n_rows, 'row', 'is', 'are')} left out;"
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


def import_choices(args: argparse.Namespace) -> ImportChoices:
    """Returns what a command line says about its files.

    Raises:
        LabError: If a text is none, or a field or verdict is not known.
    """
    files = [given for given in args.map if "=" not in given]
    base = read_choices(require_file(files[0])).to_dict() if files else {}
    columns = build_mapping([given for given in args.map if given not in files])
    rule = {"threshold": args.threshold, "centring": args.centring, "weighting": args.weighting}
    said = {
        "layout": args.layout,
        "part": args.part,
        "decides": args.decides,
        "labels": dict(given.rpartition("=")[::2] for given in args.label),
        "leave_out": args.leave_out,
        "in_prompt": args.in_prompt,
        "turn_round": args.turn_round,
        "columns": {"kind": columns.kind, **columns.chosen} if columns else None,
        "ratings": base.get("ratings", {}) | {name: value for name, value in rule.items() if value is not None},
    }
    return ImportChoices.from_dict(
        {**base, **{name: value for name, value in said.items() if value}}, "the command line"
    )


def build_mapping(pairs: Sequence[str]) -> ColumnMapping | None:
    """Builds a mapping from `FIELD=PLACE` texts; its kind follows from the fields.

    Raises:
        LabError: If a text is none or a field is not known.

    >>> build_mapping(["prompt=question", "response=answers[].text", "rating=answers[].stars"]).kind
    'ratings'
    """
    if not pairs:
        return None
    columns: dict[str, str] = {}
    for pair in pairs:
        name, _, column = pair.partition("=")
        if name not in MAPPING_FIELDS or not column:
            raise LabError(
                f"--map is {shown(pair)}; FIELD=PLACE is needed, where FIELD is one of {', '.join(MAPPING_FIELDS)}."
            )
        columns[name] = column
    kinds = {"rank": "ranks", "rating": "ratings", "label": "labels"}
    return ColumnMapping(next((kind for part, kind in kinds.items() if part in columns), "pairs"), **columns)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds which base model and adapter are meant."""
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="an adapter, a checkpoint or a run folder")
    parser.add_argument("--model", help="base model (default: the one of the adapter's run, else embedded)")


@dataclass(frozen=True)
class Chosen:
    """A base model and the adapter to put on it, if any; `model` is the name, the others are folders.

    `run` is the run that trained the adapter, where the folder shows it.
    """

    model: str
    model_path: Path
    adapter: Path | None
    run: RunFolder | None


def choose_model(adapter: Path | None, model: str | None, flag: str = "--adapter") -> Chosen:
    """Finds what `--adapter` (or another flag) and `--model` mean.

    Raises:
        LabError: If there is no such adapter or model.
    """
    path, run = None, None
    if adapter is not None:
        path = find_adapter(adapter.resolve(), flag)
        run = next((RunFolder(p) for p in (path, path.parent) if (p / "status.json").is_file()), None)
    own_model = run.read_config().model if run else None
    name = model_name(model) if model is not None else own_model or EMBEDDED_MODEL
    return Chosen(name, locate_model(name), path, run)
