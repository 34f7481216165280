"""`python -m bnf_lab VERB`: the lab's engine from the shell, for people and, with `--json`, for machines.

Results go to stdout, everything else to stderr. Exit code 0 is success, 1 a failed run or fetch, 2 bad input with one
line on stderr. A verb is one file here; this one must not know what they do.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from bnf_lab.cli import chat, check, experiment, export, fetch, score, train
from bnf_lab.cli.output import Details, Output, UsageError, reserved_stdout
from bnf_lab.core.data_folder import require_data_folder
from bnf_lab.core.errors import LabError
from bnf_lab.core.machine import share_cores
from bnf_lab.core.paths import data_home

logger = logging.getLogger(__name__)

INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Refuses with an exception, so that every refusal leaves by the same door."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:]}. See `{self.prog} --help`.")


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all verbs.

    A verb's handler is `run`, called with the arguments and an `Output`; with `writes_home` set it keeps files in the
    data folder, which must then be one that takes them.
    """
    parser = _Parser(
        prog="python -m bnf_lab", allow_abbrev=False, description="Align a small language model with your preferences."
    )
    parser.set_defaults(writes_home=False)
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=_Parser)
    for verb in (fetch, check, train, score, chat, export, experiment):
        verb.add_verbs(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    prepare_environment()
    try:
        return _run(given)
    except BrokenPipeError:  # whoever read the output has gone, as `| head` does
        return 1


def _run(given: Sequence[str]) -> int:
    try:
        args = build_parser().parse_args(given)
    except UsageError as error:
        with reserved_stdout() as results:
            return _fail(Output(results, as_json="--json" in given), 2, str(error))
    with reserved_stdout() as results, Details() as details:
        output = Output(results, as_json=args.json)
        try:
            require_data_folder(data_home(), is_written=args.writes_home)
            return args.run(args, output)
        except LabError as error:
            return _fail(output, 2, str(error))
        except KeyboardInterrupt:
            return _fail(output, INTERRUPTED, "Interrupted.")
        except BrokenPipeError:
            raise
        except OSError as error:
            logger.exception("the machine refused")
            return _fail(output, 2, f"{error.filename or 'The disk'}: {error.strerror or error}.{details.save()}")
        except Exception as error:  # the process's last catch point: a defect, told in one line
            logger.exception("unexpected")
            return _fail(output, 1, f"The lab has a defect ({type(error).__name__}).{details.save()}")


def _fail(output: Output, code: int, text: str) -> int:
    if output.as_json:
        output.result({"error": text}, "")
    output.complain(text)
    return code


def prepare_environment() -> None:
    """Sets what libraries read once, at their import: no look-ups on the way, one GPU, no chatter.

    Downloads are helper processes of their own (`fetch`), which ask `BNF_LAB_HUB_OFFLINE` whether the hub may be used.
    """
    os.environ.setdefault("BNF_LAB_HUB_OFFLINE", os.environ.get("HF_HUB_OFFLINE", "0"))
    os.environ["HF_HUB_OFFLINE"] = "1"
    share_cores()
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
    if "LOCAL_RANK" not in os.environ:  # without a launcher the Trainer would spread over all GPUs in one process
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
