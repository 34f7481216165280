"""Benchmarks of others: hands a model to EleutherAI's lm-eval and reads its scores. An optional package, late imported.

lm-eval works in a process of its own (`python -m bnf_lab.evaluation.tasks`), because libraries read the hub's offline
switch once, at import, and the lab's own processes keep it on. That process goes to the hub for data alone, and only
if the person did not switch the hub off; code from the hub is never run: the lab loads the model itself, `datasets` no
longer knows scripts, metric scripts are refused, and so are tasks that run what the model writes. A task's YAML file
in the person's own folder may name functions beside it; that code is theirs.
This room must not know judgements, runs or the lab's own scores.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import json
import logging
import numbers
import os
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bnf_lab.core.child_processes import run_module
from bnf_lab.core.errors import LabError, clipped, shown
from bnf_lab.core.files import write_atomically
from bnf_lab.core.numbers import finite
from bnf_lab.core.scratch import temporary_folder

logger = logging.getLogger(__name__)

INSTALL = "pip install 'lm-eval>=0.4.13'"


@dataclass(frozen=True)
class TaskScore:
    """One number of one task.

    Attributes:
        task: The task's name; a group's own mean comes under the group's name.
        metric: lm-eval's name of it, with the filter of the answers where there is one: "exact_match,strict-match".
        value: In the metric's own unit; a perplexity may be infinite.
        stderr: Standard error of `value`; None where lm-eval knows none.
    """

    task: str
    metric: str
    value: float
    stderr: float | None


def run_tasks(
    model_dir: Path,
    adapter: Path | None,
    tasks: Sequence[str],
    *,
    limit: int | None = None,
    include_path: Path | None = None,
    batch_size: int = 8,
    chat_template: bool = True,
) -> list[TaskScore]:
    """Scores a model, with its adapter if given, on tasks that lm-eval knows.

    Args:
        model_dir: Folder of the base model.
        adapter: Folder of the adapter to put on it.
        tasks: Names of tasks or groups of tasks.
        limit: Only the first so many items of each task; None for all.
        include_path: Folder with task files (YAML) of the person's own.
        batch_size: Sequences at once.
        chat_template: Whether the model is asked in its chat format, as everywhere in the lab; lm-eval's own default,
            and that of many published numbers, is plain text.

    Raises:
        LabError: If lm-eval is missing or too old, a task is unknown, its data are out of reach, or it fails.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise LabError(
            f"Tasks {shown(','.join(tasks))} need the package lm-eval, which is not installed. Install it "
            f"with: {INSTALL}"
        )
    if not tasks:
        raise LabError("No task was named. Name tasks of lm-eval, for example gsm8k.")
    order = {
        "model": str(model_dir.resolve()),
        "adapter": str(adapter.resolve()) if adapter else None,
        "tasks": list(tasks),
        "limit": limit,
        "include_path": str(include_path.resolve()) if include_path else None,
        "batch_size": batch_size,
        "chat_template": chat_template,
    }
    return [TaskScore(**score) for score in _ask(order)]


def _ask(order: dict[str, Any]) -> list[dict[str, Any]]:
    """Lets a process of lm-eval's own carry out the order."""
    with temporary_folder() as scratch:
        reply, log = scratch / "reply.json", scratch / "log"
        with open(log, "wb") as said:
            order_text = json.dumps(order).encode()
            done = run_module(
                "bnf_lab.evaluation.tasks",
                reply,
                environment=_environment(),
                input=order_text,
                stdout=said,
                stderr=said,
            )
        answer = json.loads(reply.read_bytes()) if reply.is_file() else {}
        if "scores" not in answer:
            logger.warning("lm-eval's process said: %s", log.read_text(encoding="utf-8", errors="replace")[-4000:])
    if "scores" not in answer:
        raise LabError(
            answer.get("refused")
            or (
                f"Tasks {shown(','.join(order['tasks']))}: lm-eval's process ended with status {done.returncode}. Too"
                " little memory is the usual cause: use a smaller batch or fewer items. The log has its words."
            )
        )
    scores: list[dict[str, Any]] = answer["scores"]
    return scores


def _environment() -> dict[str, str]:
    """Returns the variables of lm-eval's process: the person's wish about the hub, and short waits."""
    wish = os.environ.get("BNF_LAB_HUB_OFFLINE", os.environ.get("HF_HUB_OFFLINE", "0"))
    return os.environ | {
        "HF_HUB_OFFLINE": wish,
        "HF_HUB_ETAG_TIMEOUT": "8",
        "HF_HUB_DOWNLOAD_TIMEOUT": "20",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def _refuse_metric_scripts() -> None:
    """Puts a module in place of `evaluate`, which runs scripts from the hub whatever its offline switch says."""

    def load(path: str, *_: object, **__: object) -> None:
        raise LabError(
            f"The metric {shown(path)} is a script on the hub, and the lab runs no code from there. Choose "
            "another task."
        )

    sys.modules["evaluate"] = types.ModuleType("evaluate")
    sys.modules["evaluate"].load = load  # type: ignore[attr-defined]


def _evaluate(order: Mapping[str, Any]) -> list[TaskScore]:
    """Carries out an order; runs in lm-eval's process."""
    _refuse_metric_scripts()
    from lm_eval.tasks import TaskManager  # noqa: PLC0415 - an optional package

    if not hasattr(TaskManager, "load"):
        raise LabError(f"The package lm-eval is too old. Renew it with: {INSTALL}")
    manager = TaskManager(include_path=order["include_path"])
    for name in order["tasks"]:
        if name not in manager.all_tasks:
            raise LabError(f"lm-eval knows no task {shown(name)}. {_suggest(name, manager.all_tasks)}")
    built = [task for name in order["tasks"] for task in _build(manager, name)]
    return _read_scores(_answer(order, manager, built))


def _answer(order: Mapping[str, Any], manager: Any, built: list[Any]) -> Mapping[str, Mapping[str, Any]]:
    """Loads the model, lets it answer the tasks and returns lm-eval's table of results."""
    import torch  # noqa: PLC0415 - seconds of imports that a refusal does not need
    from lm_eval import simple_evaluate  # noqa: PLC0415
    from lm_eval.models.huggingface import HFLM  # noqa: PLC0415

    from bnf_lab.models.adapters import load_adapter  # noqa: PLC0415
    from bnf_lab.models.loading import compute_context, load_model  # noqa: PLC0415

    loaded = load_model(Path(order["model"]))
    if order["adapter"]:
        loaded = load_adapter(loaded, Path(order["adapter"]), "aligned")
    with _failures_told(f"Tasks {shown(','.join(order['tasks']))} failed"), compute_context(loaded):
        # lm-eval switches autocast off around each pass unless it is told of it, and a float32 adapter needs it then
        mixed = None if loaded.compute_dtype is torch.float32 else loaded.compute_dtype
        # the transformers model itself: the adapter is inside its layers
        model = HFLM(
            loaded.causal,
            tokenizer=loaded.tokenizer,
            batch_size=order["batch_size"],
            backend="causal",
            softmax_dtype="float32",
            mixed_precision_dtype=mixed,
            trust_remote_code=False,
        )
        results: dict[str, dict[str, Any]] = simple_evaluate(
            model,
            tasks=built,
            task_manager=manager,
            limit=order["limit"],
            log_samples=False,
            apply_chat_template=order["chat_template"],
            confirm_run_unsafe_code=False,
        )["results"]
    return results


def _build(manager: Any, name: str) -> list[Any]:
    """Returns a group as it is, or a task, or what stands under a tag; downloads the data."""
    with _failures_told(f"Task {shown(name)} cannot be made ready"):
        found = manager.load([name])
    for task in found["tasks"].values():
        if getattr(task, "UNSAFE_CODE", False):
            raise LabError(
                f"Task {shown(task.task_name)} runs code that the model writes, which the lab does not do. "
                "Choose another task."
            )
        unknown = [metric for metric, function in getattr(task, "_metric_fn_list", {}).items() if function is None]
        if unknown:
            raise LabError(
                f"Task {shown(task.task_name)} needs the metric {shown(unknown[0])}, a script on the hub. "
                "The lab runs no code from there. Choose another task."
            )
    group = found.get("groups", {}).get(name)
    return [group] if group else list(found["tasks"].values())


@contextlib.contextmanager
def _failures_told(what: str) -> Iterator[None]:
    """Turns whatever a task raises into words: a task is other people's code and data, so it may be anything."""
    try:
        yield
    except LabError:
        raise
    except Exception as error:
        logger.exception("%s", what)
        said = " ".join(str(error).split())
        raise LabError(clipped(f"{what} ({type(error).__name__}: {shown(said, 200)}). {_remedy(error)}")) from error


def _remedy(error: Exception) -> str:
    from huggingface_hub.constants import HF_HUB_OFFLINE  # noqa: PLC0415 - only lm-eval's process needs it

    if isinstance(error, ImportError):
        return "It needs a package more: install the one named there."
    if HF_HUB_OFFLINE:
        return "The hub is switched off (HF_HUB_OFFLINE=1) and what is not on this machine cannot be fetched. Unset it."
    return "Check that the hub can be reached and the task's page for what it needs."


def _suggest(name: str, known: Sequence[str]) -> str:
    near = [other for other in known if other.startswith(name)] or difflib.get_close_matches(name, known)
    near.sort(key=len)
    return f"Did you mean {', '.join(near[:3])}?" if near else "`lm-eval ls tasks` lists them."


def _read_scores(results: Mapping[str, Mapping[str, Any]]) -> list[TaskScore]:
    """Reads lm-eval's table of results, whose keys are "metric,filter" and "metric_stderr,filter"."""
    scores = []
    for task, numbers_of_task in results.items():
        for key, value in numbers_of_task.items():
            metric, _, answer_filter = key.partition(",")
            if not answer_filter or metric.endswith("_stderr") or not isinstance(value, numbers.Real):
                continue
            error = numbers_of_task.get(f"{metric}_stderr,{answer_filter}")
            stderr = finite(float(error)) if isinstance(error, numbers.Real) else None  # "N/A" where there is none
            name = metric if answer_filter == "none" else key
            scores.append(TaskScore(task, name, float(value), stderr))
    return scores


def _main() -> None:
    order = json.load(sys.stdin)
    try:
        reply: dict[str, Any] = {"scores": [asdict(score) for score in _evaluate(order)]}
    except LabError as error:
        reply = {"refused": str(error)}
    write_atomically(Path(sys.argv[1]), json.dumps(reply))


if __name__ == "__main__":
    _main()
