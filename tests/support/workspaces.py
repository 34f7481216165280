"""A workspace that a test fills by hand, and the app that gives every new browser this one."""

from __future__ import annotations

import json

from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import now
from bnf_lab.core.sealed_folders import seal_checkpoint
from bnf_lab.lab.lab import Lab
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import MetricPoint, RunState, RunStatus

_KNOWN_TOKEN = """
import sys
from bnf_lab.lab.lab import Lab
Lab.new_workspace = lambda self: {!r}
import app
sys.exit(app.main())
"""


def app_with_workspace(token: str) -> tuple[str, str]:
    """Returns the `program` of `running_server` whose new browsers get the workspace of this token."""
    return "-c", _KNOWN_TOKEN.format(token)


def add_run(
    lab: Lab,
    token: str,
    run_id: str = "run1",
    *,
    state: RunState = RunState.FINISHED,
    has_adapter: bool = True,
    name: str = "",
) -> str:
    """Writes a run of 30 steps with two measurements and, if wanted, an adapter; returns its id."""
    owner = lab.owner_of(token)
    folder = RunFolder.create(lab.home / "runs" / run_id, RunConfig(), [], owner=owner)
    folder.write_status(RunStatus(state, step=30, total_steps=30, owner=owner))
    for step, logp in ((0, -0.96), (30, -0.851)):
        folder.append_metric(
            MetricPoint(
                step,
                0.0,
                "probe",
                preferred_logp=logp,
                dispreferred_logp=2 * logp,
                accuracy=0.33 if step == 0 else 1.0,
                margin=-logp,
            )
        )
    if has_adapter:
        (folder.path / "tmp-final").mkdir()
        for file in ("adapter_model.safetensors", "adapter_config.json", "README.md"):
            (folder.path / "tmp-final" / file).write_text(json.dumps({"run": run_id}))
        seal_checkpoint(folder.path / "tmp-final", folder.adapter)
    lab.runs.register.add(owner, run_id, name or run_id, now(), collections=("short_answers",))
    return run_id
