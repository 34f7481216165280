"""The verbs `chat` and `export`: what a model and its adapter answer, or become.

No torch at load. It must not know training or pages.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnf_lab.chat_records import ChatRequest, PaneUpdate
from bnf_lab.checkpoints import find_adapter, has_all_files, newest_checkpoint
from bnf_lab.cli_data import locate_model, model_name, whole
from bnf_lab.cli_output import Output, UsageError
from bnf_lab.config import EMBEDDED_MODEL
from bnf_lab.errors import LabError, RunRefused
from bnf_lab.exports import export_adapter, export_merged
from bnf_lab.preferences import Message
from bnf_lab.runs import RunFolder


def add_verbs(verbs: Any) -> None:
    """Adds `chat` and `export`."""
    chat = verbs.add_parser("chat", allow_abbrev=False, help="one prompt, answered by base and aligned model")
    chat.add_argument("--prompt", required=True, metavar="TEXT")
    chat.add_argument("--system", default="", metavar="TEXT", help="system prompt")
    chat.add_argument("--temperature", type=float, default=0.7, help="0 takes the most likely token (%(default)s)")
    chat.add_argument("--top-p", type=float, default=0.95, help="share of the probability to sample from (%(default)s)")
    chat.add_argument("--max-new-tokens", type=int, default=256, help="longest answer (%(default)s)")
    chat.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="both answers use it (%(default)s)")
    chat.set_defaults(run=run_chat)
    add_model_options(chat)
    export = verbs.add_parser("export", allow_abbrev=False, help="a run's adapter, or merged model, as a zip file")
    export.add_argument("--run", dest="run_dir", type=Path, required=True, metavar="DIR")
    export.add_argument("--output", type=Path, required=True, metavar="FILE")
    export.add_argument("--merged", action="store_true", help="base and adapter as one model, after checking it")
    export.set_defaults(run=run_export)
    for parser in (chat, export):
        parser.add_argument("--json", action="store_true", help="the result as one JSON document")


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


def run_chat(args: argparse.Namespace, output: Output) -> int:
    """Answers one prompt; on a terminal word by word."""
    if not args.prompt.strip():
        raise UsageError("--prompt is empty. Give a question or a task.")
    chosen = choose_model(args.adapter, args.model)
    from bnf_lab.chat import ChatEngine  # noqa: PLC0415 - imports torch
    from bnf_lab.models import load_model  # noqa: PLC0415

    system = (Message("system", args.system),) if args.system else ()
    history = (*system, Message("user", args.prompt))
    request = ChatRequest(
        history, history, chosen.model, temperature=args.temperature, top_p=args.top_p,
        max_new_tokens=args.max_new_tokens, seed=args.seed,
    )  # fmt: skip
    names = ("base", "aligned") if chosen.adapter else ("base",)
    screen, panes = _Panes(output, names), ()
    replies = ChatEngine(lambda _: load_model(chosen.model_path)).reply(request, chosen.adapter)
    with contextlib.closing(replies):
        for update in replies:
            panes = (update.base, update.aligned)[: len(names)]
            if not output.as_json and (output.is_terminal or update.is_done):
                screen.show(panes)
    sides = dict(zip(names, panes, strict=True))
    record = {"prompt": args.prompt, "model": chosen.model, "adapter": str(chosen.adapter) if chosen.adapter else None}
    record |= {name: _pane_record(sides[name]) if name in sides else None for name in ("base", "aligned")}
    output.result(record, "\n".join(_describe_pane(name, pane) for name, pane in sides.items()))
    return 0


class _Panes:
    """Writes answers one below the other, each as far as it is known."""

    def __init__(self, output: Output, names: Sequence[str]) -> None:
        self._output, self._names = output, names
        self._place, self._written = 0, ""

    def show(self, panes: Sequence[PaneUpdate]) -> None:
        """Writes what is new; a later answer waits until those above it are complete."""
        while self._place < len(self._names):
            text = panes[self._place].text
            if not self._written:
                self._output.write(f"[{self._names[self._place]}] ")
                self._written = " "
            self._output.write(text[len(self._written) - 1 :])
            self._written = f" {text}"
            if panes[self._place].finish is None:
                return
            self._output.write("\n\n")
            self._place, self._written = self._place + 1, ""


def _describe_pane(name: str, pane: PaneUpdate) -> str:
    scores = (("base", pane.logp_base), ("aligned", pane.logp_aligned))
    known = [f"{v:.3f} under {model}" for model, v in scores if v is not None]
    likelihood = f"; nats/token: {', '.join(known)}" if known else ""
    return f"{name}: {pane.n_tokens} tokens, {pane.tokens_per_second:.1f} a second{likelihood}"


def _pane_record(pane: PaneUpdate) -> dict[str, Any]:
    return {
        "text": pane.text, "n_tokens": pane.n_tokens, "tokens_per_second": round(pane.tokens_per_second, 2),
        "finish": pane.finish, "logp_base": pane.logp_base, "logp_aligned": pane.logp_aligned,
    }  # fmt: skip


def run_export(args: argparse.Namespace, output: Output) -> int:
    """Writes a run's newest adapter, or the model merged with it, to a zip file."""
    target = args.output.resolve()
    if target.exists():
        raise LabError(f"--output {target.name} is there already. Choose another name, or delete it.")
    if not target.parent.is_dir():
        raise LabError(f"--output {target.name}: its folder {target.parent.name} does not exist. Make it first.")
    folder = RunFolder(args.run_dir.resolve())
    config = folder.read_config()
    adapter = folder.adapter if has_all_files(folder.adapter) else newest_checkpoint(folder.path)
    if adapter is None:
        raise RunRefused(f"Run {folder.run_id} has no adapter yet. It gets one with its first checkpoint.")
    with tempfile.TemporaryDirectory(prefix=".bnf-lab-", dir=target.parent) as scratch:
        if args.merged:
            output.progress("merging and checking")
            path = export_merged(folder, locate_model(config.model), adapter, Path(scratch))
        else:
            path = export_adapter(folder, adapter, Path(scratch))
        os.replace(path, target)
    record = {"file": str(target), "bytes": target.stat().st_size, "kind": "merged" if args.merged else "adapter"}
    output.result(record, f"{target} ({record['bytes'] / 1e6:.1f} MB)")
    return 0
