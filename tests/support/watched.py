"""A lab in whose new workspaces a stopped run lies already, written by hand: `python -m tests.support.watched ...`.

It takes the arguments of `app.py`. So Watch can be tried in a browser without any training.
"""

from __future__ import annotations

import math
import sys
import time

import app
from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, Message, Verdict, now
from bnf_lab.lab.lab import Lab
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import (
    AnswerPoint,
    MetricPoint,
    ProbeResponse,
    RunState,
    RunStatus,
    TokenHeader,
    TokenSnapshot,
)

RUN_ID = "watched"
STEPS = (0, 4, 9, 15)
"""The recorded steps; 30 are planned."""
TOKENS = ("A", " comet", " is", " a", " ball", " of", " ice", ".", "\n", "It", " is", " <b>very</b>", " cold", ".")
PROMPTS = ("What is a comet?", "How do I keep basil alive on a windowsill?")


def make_run(lab: Lab, token: str) -> RunFolder:
    """Writes the run into the token's workspace: likelihoods that part, tokens that move, answers that shorten."""
    owner = lab.owner_of(token)
    judgements = [Judgement((Message("user", PROMPTS[0]),), "A ball of ice.", Verdict.PREFERRED)]
    config = RunConfig(n_steps=30)
    folder = RunFolder.create(lab.runs.queue.path_of(f"{RUN_ID}-{owner[:6]}"), config, judgements, owner=owner)
    lab.runs.register.add(owner, folder.run_id, RUN_ID, now(), collections=("short_answers",))
    folder.append_tokens(TokenHeader(tuple(map(_response, ("preferred", "dispreferred")))))
    for step in STEPS:
        folder.append_metric(_probe_point(step))
        folder.append_tokens(_snapshot(step))
        for prompt in PROMPTS:
            answer = f"Answer {step}. " * (9 - step // 2)
            folder.append_answer(AnswerPoint(step, prompt, answer, len(answer) // 3))
    for step in range(1, STEPS[-1] + 1):
        folder.append_metric(
            MetricPoint(step, float(step), "train", loss=0.1 - step / 20, grad_norm=9 / step, train_preferred_logp=-1.1)
        )
    moment = time.time()
    folder.write_status(
        RunStatus(
            RunState.STOPPED, step=STEPS[-1], total_steps=30, owner=owner, started_at=moment - 90, ended_at=moment
        )
    )
    return folder


def _response(verdict: str) -> ProbeResponse:
    logps = tuple(-0.2 - 0.15 * place for place in range(len(TOKENS)))
    return ProbeResponse(verdict, verdict, PROMPTS[0], TOKENS, logps, tuple(12.0 for _ in TOKENS))  # type: ignore[arg-type]


def _snapshot(step: int) -> TokenSnapshot:
    reference = _response("preferred").reference_logps
    up = tuple(min(-0.01, q + step / 40 * (place % 3 - 1)) for place, q in enumerate(reference))
    down = tuple(q - step / 5 * (place % 4) / 3 for place, q in enumerate(reference))
    weights = tuple(
        tuple(min(1.0, math.exp(p - q) * math.expm1(q) / math.expm1(p)) for p, q in zip(row, reference, strict=True))
        for row in (up, down)
    )
    logits = tuple(tuple(12 + p - q for p, q in zip(row, reference, strict=True)) for row in (up, down))
    return TokenSnapshot(step, (up, down), logits, weights)


def _probe_point(step: int) -> MetricPoint:
    share = step / 30
    return MetricPoint(
        step,
        float(step),
        "probe",
        preferred_logp=-0.99 + 0.2 * share,
        preferred_logp_p10=-1.4,
        preferred_logp_p90=-0.5,
        preferred_logp_reference=-0.99,
        dispreferred_logp=-0.89 - 2.5 * share,
        dispreferred_logp_p10=-1.3 - 3 * share,
        dispreferred_logp_p90=-0.4 - 2 * share,
        dispreferred_logp_reference=-0.89,
        preferred_target_logit_shift=0.5 * share,
        preferred_logsumexp_shift=0.3 * share,
        preferred_other_logits_shift=0.1 * share,
        dispreferred_target_logit_shift=-2 * share,
        dispreferred_logsumexp_shift=0.5 * share,
        dispreferred_other_logits_shift=0.2 * share,
        preferred_entropy=1.2,
        dispreferred_entropy=1.3 + share,
        preferred_gate=1 - 0.1 * share,
        dispreferred_gate=1 - share,
        kl=0.8 * share,
        accuracy=0.33 + share,
        accuracy_shift=0.5 + share,
        margin=-0.1 + 2.7 * share,
        margin_shift=2.7 * share,
    )


def main() -> int:
    """Starts the lab; each new workspace finds the run in it."""
    make_workspace = Lab.new_workspace

    def new_workspace(lab: Lab) -> str:
        token = make_workspace(lab)
        make_run(lab, token)
        return token

    Lab.new_workspace = new_workspace  # type: ignore[method-assign]
    return app.main()


if __name__ == "__main__":
    sys.exit(main())
