"""Waiting at the page: from `python app.py` to a usable page, from Start to the first step, from a metric to its plot.

A real server on a free port of this machine, a real Chromium, a fresh data folder with the embedded model in it. The
first run scores everything; the second differs in its learning rate alone and finds all of it in the cache. Server,
worker and browser share the machine, as they do for a person.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from bnf_lab.core.config import EMBEDDED_MODEL, RunConfig
from tests.benchmarks.report import Report, Row, ratio_of_medians
from tests.benchmarks.work import find_model
from tests.support.browser import LabPage, Server, Watcher, open_browser, open_page, running_server

DEMO = "short_answers"
POLL_SECONDS = 0.02
FIRST, SECOND = "first run", "second run, same data"
STEP_BEGINS = "the first step begins"  # as the worker's log says it

# Notes when the likelihood plot shows another newest step, in milliseconds of this machine's clock.
WATCH_PLOT = """() => {
  window.benchmarkDrawn = [];
  const look = () => {
    const box = document.querySelector('#plot-likelihood .js-plotly-plot');
    const newest = Math.max(-1, ...(box?.data || []).flatMap(line => line.x || []).filter(x => x !== null));
    const seen = window.benchmarkDrawn;
    if (newest >= 0 && (!seen.length || seen.at(-1)[0] !== newest)) seen.push([newest, Date.now()]);
  };
  window.benchmarkTimer ??= setInterval(look, 20);
}"""


@dataclass
class Seconds:
    """What was measured: (case, quantity) -> seconds, a value each time."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(self, case: str, quantity: str, seconds: float) -> None:
        self.values.setdefault((case, quantity), []).append(seconds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, default=None, help="folder in the embedded model's place")
    parser.add_argument("--steps", type=int, default=4, help="optimiser steps of each run")
    parser.add_argument("--responses", type=int, default=RunConfig.responses_per_step, help="responses in a step")
    parser.add_argument("--rounds", type=int, default=1, help="times that everything is done, from a new folder on")


def run(args: argparse.Namespace) -> Report:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # so that server and worker end with it
    measured = Seconds()
    model = (args.model or find_model(EMBEDDED_MODEL)).resolve()
    with open_browser() as browser:
        for _ in range(args.rounds):
            with tempfile.TemporaryDirectory(prefix="bnf-lab-ui-") as folder:
                measure(Path(folder), model, browser, args, measured)
    rows = tuple(Row(case, quantity, "s", tuple(values)) for (case, quantity), values in measured.values.items())
    begins = [measured.values[case, "click to first step begins"] for case in (FIRST, SECOND)]
    return Report(
        "ui",
        rows,
        {"second_over_first_start": ratio_of_medians(begins[1], begins[0])},
        {"model": model.name, "data": DEMO, "steps": str(args.steps), "responses a step": str(args.responses)},
    )


def measure(folder: Path, model: Path, browser: Browser, args: argparse.Namespace, measured: Seconds) -> None:
    """One person's visit, from the command in the terminal to the end of a second run."""
    (folder / "models").mkdir()
    (folder / "models" / "SmolLM2-135M-Instruct").symlink_to(model)
    began = time.time()
    with running_server(folder) as server:
        measured.add("app.py", "to a served page", time.time() - began)
        page = open_page(browser, server.url, Watcher())
        measured.add("app.py", "to a usable page", time.time() - began)
        try:
            page.section("Demo sets")
            page.click(f"demo-{DEMO}")
            page.wait_text(f"#demo-{DEMO}", "Added")
            for case, rate in ((FIRST, 5e-4), (SECOND, 1e-3)):
                began = time.time()
                set_up(page, learning_rate=rate, n_steps=args.steps, responses_per_step=args.responses)
                measured.add(case, "Train tab ready", time.time() - began)
                measure_run(page, server, case, measured)
        finally:
            page.page.context.close()


def set_up(page: LabPage, **settings: float) -> None:
    """Fills the form and waits until the run may be started."""
    page.tab("Train")
    ready = "document.querySelector('#train-start')?.disabled === false"
    page.wait(ready)
    for name, value in settings.items():
        page.fill(f"field-{name}", value)
    page.wait_text("#train-preflight", "for the plots")
    page.page.wait_for_timeout(1000)  # the check of the last field has been asked for by now
    page.wait(ready)


def measure_run(page: LabPage, server: Server, case: str, measured: Seconds) -> None:
    """Starts a run by its button and follows it in its folder and on the page until it is over."""
    before = set(server.data_dir.glob("runs/*"))
    page.page.evaluate(WATCH_PLOT)
    clicked = time.time()
    page.click("train-start")

    def run_dir() -> Path | None:
        return next(iter(set(server.data_dir.glob("runs/*/process.json")) - {p / "process.json" for p in before}), None)

    path = await_value(page, run_dir).parent
    measured.add(case, "click to worker started", time.time() - clicked)
    phases = follow(page, path, clicked)
    for quantity, moment in phases.items():
        measured.add(case, f"click to {quantity}", moment - clicked)
    written: dict[int, float] = {}
    while read_json(path / "status.json").get("state") not in ("finished", "failed", "stopped"):
        note_points(path, written)
        page.page.wait_for_timeout(1000 * POLL_SECONDS)
    if read_json(path / "status.json")["state"] != "finished":
        raise RuntimeError(f"{case}: {read_json(path / 'status.json').get('failure')}")
    note_points(path, written)
    last = max(written)
    page.wait(
        "([n, at]) => window.benchmarkDrawn.some(([step, drawn]) => step === n && drawn >= at)",
        [last, 1000 * written[last]],
    )
    drawn = page.page.evaluate("() => window.benchmarkDrawn")
    for step, at in written.items():
        # an earlier run's plot stands there at first; the points of step 1 came before this loop looked
        later = [moment / 1000 - at for n, moment in drawn if n == step > 1 and moment / 1000 >= at]
        if later:
            measured.add(case, "metric written to plot drawn", later[0])
    page.page.evaluate("() => { window.benchmarkDrawn = []; }")


def follow(page: LabPage, path: Path, clicked: float) -> dict[str, float]:
    """Returns when each stage of the start was reached, by this machine's clock, up to the first step's end."""
    stages: dict[str, Callable[[], Any]] = {
        "model being loaded": lambda: (
            "loading" in read_json(path / "status.json").get("phase", "")
            or read_json(path / "status.json").get("phase") in ("reference pass", "training")
        ),
        "reference pass": lambda: read_json(path / "status.json").get("phase") in ("reference pass", "training"),
        "training": lambda: read_json(path / "status.json").get("phase") == "training",
        "first step begins": lambda: STEP_BEGINS in (path / "worker.log").read_text(errors="replace"),
        "first step ends": lambda: read_json(path / "status.json").get("step", 0) >= 1,
    }
    moments = {}
    for name, is_reached in stages.items():
        await_value(page, lambda reached=is_reached: reached() or is_failed(path))
        moments[name] = time.time()
    return moments


def is_failed(path: Path) -> bool:
    return read_json(path / "status.json").get("state") == "failed"


def note_points(path: Path, written: dict[int, float]) -> None:
    """Notes when the newest point of the run was written; looked at far more often than points come."""
    lines = (path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    steps = [json.loads(line)["step"] for line in lines if line.endswith(b"\n")]
    if steps and max(steps) not in written:
        written[max(steps)] = (path / "metrics.jsonl").stat().st_mtime


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def await_value(page: LabPage, read: Callable[[], Any], seconds: float = 900) -> Any:
    """Returns the first true value, asked for every few milliseconds while the browser goes on."""
    end = time.monotonic() + seconds
    while not (value := read()):
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds:.0f} s in vain")
        page.page.wait_for_timeout(1000 * POLL_SECONDS)
    return value
