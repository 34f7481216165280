"""The verbs `score`, `chat` and `export`: what a model and its adapter say of given answers, answer, or become.

No torch at load. It must not know training or pages.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bnf_lab.chat_records import ChatRequest, PaneUpdate
from bnf_lab.checkpoints import find_adapter, has_all_files, newest_checkpoint
from bnf_lab.cli_data import add_import_options, locate_model, model_name, rating_rule, read_judgements, whole
from bnf_lab.cli_output import Output, UsageError
from bnf_lab.config import EMBEDDED_MODEL
from bnf_lab.errors import LabError, RunRefused
from bnf_lab.exports import export_adapter, export_merged
from bnf_lab.preferences import Judgement, Message, group_units
from bnf_lab.runs import RunFolder

SCORES = {
    "preferred_logp": "preferred log-likelihood (nats/token)",
    "dispreferred_logp": "dispreferred log-likelihood (nats/token)",
    "accuracy": "accuracy",
    "margin": "margin (nats/token)",
}


def add_verbs(verbs: Any) -> None:
    """Adds `score`, `chat` and `export`."""
    score = verbs.add_parser("score", allow_abbrev=False, help="log-likelihoods of judged responses, base and aligned")
    score.add_argument("--data", action="append", required=True, metavar="FILE|demo:NAME", help="may be repeated")
    score.add_argument("--pairs", type=whole(1, 10_000), default=32, help="score the first N pairs (%(default)s)")
    score.add_argument("--max-tokens", type=whole(16, 32_768), default=512, help="cut sequences there (%(default)s)")
    add_import_options(score)
    score.set_defaults(run=run_score)
    chat = verbs.add_parser("chat", allow_abbrev=False, help="one prompt, answered by base and aligned model")
    chat.add_argument("--prompt", required=True, metavar="TEXT")
    chat.add_argument("--system", default="", metavar="TEXT", help="system prompt")
    chat.add_argument("--temperature", type=float, default=0.7, help="0 takes the most likely token (%(default)s)")
    chat.add_argument("--top-p", type=float, default=0.95, help="share of the probability to sample from (%(default)s)")
    chat.add_argument("--max-new-tokens", type=int, default=256, help="longest answer (%(default)s)")
    chat.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="both answers use it (%(default)s)")
    chat.set_defaults(run=run_chat)
    for parser in (score, chat):
        parser.add_argument("--adapter", type=Path, metavar="DIR", help="an adapter, a checkpoint or a run folder")
        parser.add_argument("--model", help="base model (default: the one of the adapter's run, else embedded)")
    export = verbs.add_parser("export", allow_abbrev=False, help="a run's adapter, or merged model, as a zip file")
    export.add_argument("--run", dest="run_dir", type=Path, required=True, metavar="DIR")
    export.add_argument("--output", type=Path, required=True, metavar="FILE")
    export.add_argument("--merged", action="store_true", help="base and adapter as one model, after checking it")
    export.set_defaults(run=run_export)
    for parser in (score, chat, export):
        parser.add_argument("--json", action="store_true", help="the result as one JSON document")


@dataclass(frozen=True)
class Chosen:
    """A base model and the adapter to put on it, if any; `model` is the name, the others are folders."""

    model: str
    model_path: Path
    adapter: Path | None


def choose_model(adapter: Path | None, model: str | None) -> Chosen:
    """Finds what `--adapter` and `--model` mean.

    Raises:
        LabError: If there is no such adapter or model.
    """
    path, own_model = None, None
    if adapter is not None:
        path = find_adapter(adapter.resolve(), "--adapter")
        run = next((p for p in (path, path.parent) if (p / "status.json").is_file()), None)
        own_model = RunFolder(run).read_config().model if run else None
    name = model_name(model) if model is not None else own_model or EMBEDDED_MODEL
    return Chosen(name, locate_model(name), path)


def run_score(args: argparse.Namespace, output: Output) -> int:
    """Scores the first pairs under base and aligned model with the numbers of the plots."""
    chosen = choose_model(args.adapter, args.model)
    judgements = read_judgements(args.data, mapping=args.map, rule=rating_rule(args), output=output)
    units = group_units(judgements)[: args.pairs]
    output.progress(f"scoring {sum(map(len, units))} responses")
    points = _score(chosen, [j for unit in units for j in unit], args.max_tokens)
    base, aligned = (p and {name: p[name] for name in SCORES} for p in points)
    record = {
        "model": chosen.model, "adapter": str(chosen.adapter) if chosen.adapter else None,
        "n_pairs": sum(len(unit) == 2 for unit in units), "n_responses": sum(map(len, units)),
        "base": base, "aligned": aligned, "kl": points[1] and points[1]["kl"],
        "accuracy_shift": points[1] and points[1]["accuracy_shift"],
        "margin_shift": points[1] and points[1]["margin_shift"],
    }  # fmt: skip
    output.result(record, _describe_scores(record))
    return 0


def _score(
    chosen: Chosen, judgements: Sequence[Judgement], max_tokens: int
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Returns the probe's point for the base model and, with an adapter, for the aligned one."""
    from bnf_lab.batches import Encoder  # noqa: PLC0415 - these rooms import torch
    from bnf_lab.models import load_adapter, load_model  # noqa: PLC0415
    from bnf_lab.probe import Probe, summarise  # noqa: PLC0415

    loaded = load_model(chosen.model_path)
    encoder = Encoder(loaded.tokenizer, max_tokens=max_tokens)
    if chosen.adapter:
        loaded = load_adapter(loaded, chosen.adapter, "aligned")
    scores = Probe(loaded, [encoder.encode(j) for j in judgements]).score()
    base = [replace(score, policy=score.reference) for score in scores]
    points = [asdict(summarise(some, step=0, seconds=0.0)) for some in (base, scores)]
    return points[0], points[1] if chosen.adapter else None


def _describe_scores(record: dict[str, Any]) -> str:
    sides = [("base", record["base"])] + ([("aligned", record["aligned"])] if record["aligned"] else [])
    lines = [f"{record['n_responses']} responses, {record['n_pairs']} pairs"]
    lines.append(f"{'':40}" + "".join(f"{name:>9}" for name, _ in sides))
    for name, label in SCORES.items():
        values = (side[name] for _, side in sides)
        lines.append(f"{label:40}" + "".join("      n/a" if v is None else f"{v:9.3f}" for v in values))
    if record["kl"] is not None:
        lines.append(f"{'KL to the base (nats/token)':40}{record['kl']:18.3f}")
    return "\n".join(lines)


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
