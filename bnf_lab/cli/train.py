"""The verb `train`: the worker's own training, in the foreground, on a run folder of the person's choice.

Flags are generated from `RunConfig`. No torch at load. It must not know chat or pages.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bnf_lab.cli.options import add_import_options, find_model, import_choices, model_name, read_judgements
from bnf_lab.cli.output import Output, UsageError
from bnf_lab.cli.train_words import describe_check, describe_status, report_end
from bnf_lab.core.config import RunConfig, field_default, field_specs, override
from bnf_lab.core.errors import LabError, RunRefused, shown
from bnf_lab.core.judgements import Judgement
from bnf_lab.core.machine import read_device
from bnf_lab.core.numbers import counted
from bnf_lab.core.paths import data_home
from bnf_lab.experiments.yaml_files import plain_settings, read_yaml
from bnf_lab.lab.models import refuse_unobtainable
from bnf_lab.runs.estimates import Preflight, describe_passes
from bnf_lab.runs.folder import RunFolder, claim_run
from bnf_lab.runs.records import RunState
from bnf_lab.training import worker

POLL_SECONDS = 0.3


def add_verbs(verbs: Any) -> None:
    """Adds `train` with a flag for every setting."""
    parser = verbs.add_parser("train", allow_abbrev=False, help="align a model with judged responses")
    parser.add_argument("--data", action="append", default=[], metavar="FILE|demo:NAME", help="may be repeated")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the run folder")
    parser.add_argument("--config", type=Path, metavar="YAML", help="settings by name; flags go before them")
    parser.add_argument("--dry-run", action="store_true", help="count, measure and estimate, but do not train")
    parser.add_argument(
        "--prepare-only", action="store_true", help="write the run folder for a worker that is started otherwise"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the stopped or failed run in --output")
    parser.add_argument("--json", action="store_true", help="the result as one JSON document")
    add_import_options(parser)
    group = parser.add_argument_group("settings")
    for name, spec in field_specs().items():
        choices = f" One of: {', '.join(spec.choices)}." if spec.choices else ""
        default = f" (default: {field_default(name)})" if field_default(name) != "" else ""
        text = f"{spec.help}{choices}{default}".replace("%", "%%")
        group.add_argument(flag(name), dest=f"setting_{name}", metavar=spec.unit.upper() or "VALUE", help=text)
    parser.set_defaults(run=run_train, writes_home=True)


def flag(name: str) -> str:
    """Returns the flag of a setting.

    >>> flag("learning_rate")
    '--learning-rate'
    """
    return "--" + name.replace("_", "-")


def run_train(args: argparse.Namespace, output: Output) -> int:
    """Trains, resumes or only estimates; ends with the held-out numbers before and after."""
    given = read_settings(args)
    if args.dry_run + args.resume + args.prepare_only > 1:
        raise UsageError("--dry-run, --prepare-only and --resume exclude each other. Leave all but one of them out.")
    if args.resume:
        folder = _open_run(args, given, output)
        if folder.read_status().state is RunState.FINISHED:
            return report_end(folder, output)
        folder.read_training_config()  # refuses, before anything is written, what this lab would train otherwise
    else:
        config, path = RunConfig.from_dict(given), args.output.resolve()
        if (path / "config.json").exists():
            raise RunRefused(f"--output {path.name} already holds a run. Choose another folder, or --resume that run.")
        judgements = _require_judgements(args, output)
        check = _check(config, judgements)
        if args.dry_run:
            return _dry_run(config, judgements, check, output)
        if check.problems or check.n_steps is None:
            raise RunRefused(" ".join(check.problems))
        for warning in check.warnings:
            output.complain(f"Note: {warning}")
        if config.passes:
            output.complain(f"Note: {describe_passes(config.passes)}: {counted(check.n_steps, 'step')}.")
        folder = RunFolder.create(path, replace(config, n_steps=check.n_steps), judgements)
        if args.prepare_only:
            status = folder.read_status()
            output.result({"state": status.state}, f"{folder.run_id} is {status.state}; start a worker on it.")
            return 0
    claim_run(folder)
    with _restored_signals(), _log_to(folder.log), _progress(folder, output):
        worker.run(folder)
    folder.clear_process()
    return report_end(folder, output)


def read_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the settings that were given, in the file or by flags; flags win.

    Raises:
        LabError: If the file is no YAML mapping.
        UsageError: If flags give steps and passes.
    """
    values = _read_config_file(args.config) if args.config else {}
    flags = {name: text for name in field_specs() if (text := getattr(args, f"setting_{name}")) is not None}
    flags = plain_settings(flags)
    if flags.get("passes") and "n_steps" in flags:
        raise UsageError("--n-steps and --passes are both given. Leave one of them out: passes decide how many steps.")
    values = override(plain_settings(values), flags)
    for name in ("model", "reference"):
        if isinstance(values.get(name), str):
            values[name] = model_name(values[name])
    return values


def _read_config_file(path: Path) -> dict[str, Any]:
    where, remedy = f"--config {path.name}", "Give lines such as `n_steps: 30`."
    values = read_yaml(path, where, remedy)
    if not isinstance(values, dict):
        raise LabError(f"{where}: it holds {shown(values, 40)}. {remedy}")
    values.pop("version", None)  # of the run folder: a run's own config.json is a file of settings too
    return values


def _require_judgements(args: argparse.Namespace, output: Output) -> tuple[Judgement, ...]:
    if not args.data:
        raise UsageError("--data is missing. Give a file of judged responses or demo:short_answers.")
    return read_judgements(args.data, choices=import_choices(args), output=output)


def _open_run(args: argparse.Namespace, given: dict[str, Any], output: Output) -> RunFolder:
    """Returns the run to resume, after a look whether it is the one that the rest of the command line describes."""
    folder = RunFolder(args.output.resolve())
    if not (folder.path / "config.json").is_file():
        raise RunRefused(f"{folder.run_id} holds no run to resume. Leave out --resume to start one there.")
    stored = folder.read_config().to_dict()
    asked = RunConfig.from_dict(given).to_dict()
    settled = {"n_steps"} if asked["passes"] else set()  # what the passes came to
    others = [f"{flag(name)} {stored[name]}" for name in given if asked[name] != stored[name] and name not in settled]
    if others:
        raise RunRefused(
            f"The run in {folder.run_id} was started with {', '.join(others)}. A resumed run keeps its settings: leave"
            " them out, or start a new run in another folder."
        )
    if args.data and _contents(_require_judgements(args, output)) != _contents(folder.read_judgements()):
        raise RunRefused(
            f"The run in {folder.run_id} was started with other judgements. A resumed run keeps its own: leave out"
            " --data, or start a new run in another folder."
        )
    return folder


def _contents(judgements: Any) -> list[tuple[Any, ...]]:
    return [(j.prompt, j.response, j.verdict, j.weight) for j in judgements]


def _check(config: RunConfig, judgements: tuple[Judgement, ...]) -> Preflight:
    from bnf_lab.training.preflight import Counter  # noqa: PLC0415 - imports torch

    path = find_model(config.model)
    if path is None and Path(config.model).is_absolute():
        name = Path(config.model).name
        raise RunRefused(f"Model {shown(name)} has no config.json. Give a folder with a model, or its name.")
    if path is None:
        refuse_unobtainable(config.model, os.environ)
    return Counter(data_home()).check(judgements, config, read_device(), path)


def _dry_run(config: RunConfig, judgements: tuple[Judgement, ...], check: Preflight, output: Output) -> int:
    """Says what the run would be, with a step measured on this machine."""
    measured: dict[str, float] = {}
    if check.n_tokens is not None and not check.problems:
        from bnf_lab.training.measure import measure_data  # noqa: PLC0415 - imports torch

        output.progress("measuring a step")
        measured = measure_data(config, judgements)
        check = _check(config, judgements)
    record = {**asdict(check), "step_seconds": measured.get("step_seconds"), "peak_gib": measured.get("peak_gib")}
    output.result(record, describe_check(record, config))
    if check.problems:
        output.complain(" ".join(check.problems))
    return 2 if check.problems else 0


@contextlib.contextmanager
def _restored_signals() -> Iterator[None]:
    """The worker's handlers finish a step and save; afterwards the shell's own are back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Sends what the worker logs and prints to the run's log, as when the queue starts it."""
    with open(path, "a", encoding="utf-8", errors="backslashreplace") as log, contextlib.redirect_stdout(log):
        handler = logging.StreamHandler(log)
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
        logging.getLogger().addHandler(handler)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(handler)


@contextlib.contextmanager
def _progress(folder: RunFolder, output: Output) -> Iterator[None]:
    """Follows the run's status from a thread, as any reader of the folder does."""
    done = threading.Event()

    def follow() -> None:
        told = ""
        while not done.wait(POLL_SECONDS):
            with contextlib.suppress(RunRefused):  # the worker's next word mends it, or its end says what is wrong
                text = describe_status(folder.read_status())
                if text and text != told:
                    output.progress(told := text)

    thread = threading.Thread(target=follow, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
