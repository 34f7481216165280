"""The verb `chat`: what a model and its adapter answer.

No torch at load. It must not know training or pages.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from typing import Any

from bnf_lab.cli.options import add_model_options, choose_model, whole
from bnf_lab.cli.output import Output, UsageError
from bnf_lab.core.judgements import Message
from bnf_lab.core.numbers import counted
from bnf_lab.lab.chat_records import ChatRequest, PaneUpdate


def add_verbs(verbs: Any) -> None:
    """Adds `chat`."""
    chat = verbs.add_parser("chat", allow_abbrev=False, help="one prompt, answered by base and aligned model")
    chat.add_argument("--prompt", required=True, metavar="TEXT")
    chat.add_argument("--system", default="", metavar="TEXT", help="system prompt")
    chat.add_argument("--temperature", type=float, default=0.7, help="0 takes the most likely token (%(default)s)")
    chat.add_argument("--top-p", type=float, default=0.95, help="share of the probability to sample from (%(default)s)")
    chat.add_argument("--max-new-tokens", type=int, default=256, help="longest answer (%(default)s)")
    chat.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="both answers use it (%(default)s)")
    chat.set_defaults(run=run_chat)
    add_model_options(chat)
    chat.add_argument("--json", action="store_true", help="the result as one JSON document")


def run_chat(args: argparse.Namespace, output: Output) -> int:
    """Answers one prompt; on a terminal word by word."""
    if not args.prompt.strip():
        raise UsageError("--prompt is empty. Give a question or a task.")
    chosen = choose_model(args.adapter, args.model)
    from bnf_lab.lab.chat_engine import ChatEngine  # noqa: PLC0415 - imports torch
    from bnf_lab.models.loading import load_model  # noqa: PLC0415

    system = (Message("system", args.system),) if args.system else ()
    history = (*system, Message("user", args.prompt))
    request = ChatRequest(
        history,
        history,
        chosen.model,
        temperature=args.temperature,
        top_p=args.top_p,
        max_new_tokens=args.max_new_tokens,
        seed=args.seed,
    )
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
    return f"{name}: {counted(pane.n_tokens, 'token')}, {pane.tokens_per_second:.1f} a second{likelihood}"


def _pane_record(pane: PaneUpdate) -> dict[str, Any]:
    return {
        "text": pane.text,
        "n_tokens": pane.n_tokens,
        "tokens_per_second": round(pane.tokens_per_second, 2),
        "finish": pane.finish,
        "logp_base": pane.logp_base,
        "logp_aligned": pane.logp_aligned,
    }
