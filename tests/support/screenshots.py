"""Takes the README's screenshots of the lab after a real run: `python -m tests.support.screenshots [--data-dir DIR]`.

With a data folder of its own (`--data-dir`), a second call finds judgements, run and chat of the first one and only
takes the pictures. `--all DIR` also takes every tab at two widths in light and dark, to be looked at.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from bnf_lab.core.config import EMBEDDED_MODEL
from bnf_lab.core.paths import models_dir
from bnf_lab.models.fetch import fetch_model
from tests.support.browser import ROOT, LabPage, Server, Watcher, open_browser, open_page, running_server

PICTURES = ROOT / "assets" / "screenshots"
WIDE, NARROW = 1440, 390
HEIGHTS = {"Preferences": 960, "Train": 800, "Watch": 1000, "Chat": 875, "Runs": 760}
RUN_SECONDS = 3600
PROMPT = "How do I keep basil alive on a windowsill?"
QUESTION = "What is a comet?"


def main(arguments: Sequence[str] | None = None) -> int:
    """Takes the pictures and returns the exit code."""
    parser = argparse.ArgumentParser(description="Takes the README's screenshots.")
    parser.add_argument("--data-dir", type=Path, help="kept and used again; without it a new one is made and removed")
    parser.add_argument("--all", type=Path, metavar="DIR", help="also every tab, wide and narrow, light and dark")
    args = parser.parse_args(arguments)
    with _data_dir(args.data_dir) as home:
        fetch_model(EMBEDDED_MODEL, models_dir(home))
        with running_server(home) as server, open_browser() as browser:
            state, watcher = _known_browser(server), Watcher()
            lab = open_page(browser, server.url, watcher, storage_state=state, color_scheme="light")
            _make_history(lab)
            lab.page.context.storage_state(path=_state_path(home))
            _take(lab, PICTURES, HEIGHTS)
            for scheme, width in product(("light", "dark"), (WIDE, NARROW)) if args.all else ():
                lab = open_page(
                    browser,
                    server.url,
                    watcher,
                    storage_state=_known_browser(server),
                    color_scheme=scheme,
                    viewport={"width": width, "height": 1000},
                )
                _take(lab, args.all, {}, f"-{width}-{scheme}")
                _take_sections(lab, args.all, f"-{width}-{scheme}")
                lab.page.context.close()
    for problem in (*watcher.problems, *watcher.foreign):
        print(problem, file=sys.stderr)
    return 1 if watcher.problems or watcher.foreign else 0


@contextmanager
def _data_dir(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen.resolve()
        return
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def _state_path(home: Path) -> Path:
    return home / "screenshots-browser.json"


def _known_browser(server: Server) -> Any:
    """Returns what the browser of an earlier call remembered (its workspace), moved to this server's port."""
    path = _state_path(server.data_dir)
    if not path.exists():
        return None
    return json.loads(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{server.port}", path.read_text(encoding="utf-8")))


def _make_history(lab: LabPage) -> None:
    """Makes what the pictures show, where it is not there yet: judgements, a finished run, a chat."""
    _skip_guide(lab)
    if not lab.judged():
        lab.section("Demo sets")
        lab.click("demo-short_answers")
        lab.wait_text("#demo-short_answers", "Added")
    if lab.judged().get("prompt", 0) < 162:
        _mark_answers(lab)
    _measure(lab)
    lab.tab("Runs")
    lab.wait("document.querySelector('#runs-table')?.textContent.trim()")
    if lab.page.locator("#runs-table tr", has_text="finished").count() == 0:
        _train(lab)
    lab.tab("Chat")
    lab.wait_text("#chat-heads .chat-head.aligned", "sha256")
    if lab.page.locator(".chat-turn").count() == 0:
        _chat(lab)


def _skip_guide(lab: LabPage) -> None:
    lab.wait("document.querySelector('#lab-status')?.textContent.trim()")
    skip = lab.page.locator("#lab-guide button[data-act=skip]")
    if skip.is_visible():
        skip.click()
        lab.wait("!document.querySelector('#lab-guide section')")


def _mark_answers(lab: LabPage) -> None:
    lab.section("Mark answers")
    lab.fill("mark-prompt", PROMPT)
    lab.click("mark-write")
    lab.click("mark-prefer-1")
    lab.wait_text("#mark-cards .lab-chip", "preferred")
    lab.click("mark-disprefer-2")
    lab.wait_text("#mark-cards .lab-chip", "dispreferred")


def _measure(lab: LabPage) -> None:
    lab.tab("Train")
    lab.wait("/measure/i.test(document.querySelector('#train-preflight')?.innerText)")
    if lab.page.locator("#train-measure").is_visible():
        lab.click("train-measure")
    lab.wait_text("#train-preflight", "from a measured step")


def _train(lab: LabPage) -> None:
    lab.tab("Train")
    lab.wait("document.querySelector('#train-start')?.disabled === false")
    lab.fill("train-name", "short answers")
    lab.click("train-start")
    lab.wait_text("#watch-status", "Finished", seconds=RUN_SECONDS)


def _chat(lab: LabPage) -> None:
    lab.page.locator("#chat-message textarea").fill(QUESTION)
    lab.page.keyboard.press("Enter")
    for side in ("base", "aligned"):
        lab.wait_text(f".chat-answer.{side} .chat-likelihood", "nats/token")
    lab.page.locator(".chat-answer.aligned .chat-thumb.preferred").click()
    lab.wait_text(".chat-answer.aligned .lab-chip", "preferred")


def _take(lab: LabPage, folder: Path, heights: dict[str, int], suffix: str = "") -> None:
    """Takes each tab: cut to its height where one is given, else the whole page."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in HEIGHTS:
        lab.tab(name)
        _settle(lab, name)
        clip: Any = {"x": 0, "y": 0, "width": WIDE, "height": heights[name]} if name in heights else None
        _shoot(lab, folder / f"{name.lower()}{suffix}.png", clip)


def _take_sections(lab: LabPage, folder: Path, suffix: str) -> None:
    """Takes the other sections of Preferences."""
    lab.tab("Preferences")
    for name in ("Upload", "Demo sets", "Judgements"):
        lab.section(name)
        if name == "Judgements":
            lab.wait("document.querySelectorAll('#judgement-rows .lab-row').length > 0")
        _shoot(lab, folder / f"preferences-{name.split()[0].lower()}{suffix}.png")


def _shoot(lab: LabPage, path: Path, clip: Any = None) -> None:
    lab.page.mouse.move(0, 0)
    lab.page.evaluate("document.activeElement?.blur(); window.scrollTo(0, 0)")
    lab.page.screenshot(path=path, full_page=True, clip=clip, animations="disabled")
    print(f"{path} ({path.stat().st_size // 1024} KiB)")


def _settle(lab: LabPage, name: str) -> None:
    """Waits until a tab shows what its picture is of."""
    counts = lab.judged()
    n_judged = counts["preferred"] + counts["dispreferred"]
    if name == "Preferences":
        lab.section("Mark answers")
        lab.wait("document.querySelectorAll('#mark-cards .lab-chip').length > 1")
    elif name == "Train":
        lab.wait("document.querySelector('#train-start')?.disabled === false")
        counted = (
            "n => [...document.querySelectorAll('#train-preflight b')].some(b => b.textContent.replace(',', '') === n)"
        )
        lab.wait(counted, str(n_judged))
    elif name == "Watch":
        lab.wait_text("#watch-status", "Finished")
        lab.wait_points("feedback", more_than=0)
        lab.wait("document.querySelectorAll('#watch-answers .lab-says').length > 0")
    elif name == "Chat":
        lab.wait("document.querySelectorAll('.chat-turn').length > 0")
        lab.page.evaluate("document.querySelector('#chat-log').scrollTo(0, -1e6)")  # it opens at its newest end
    else:
        lab.wait_text("#runs-table", "finished")


if __name__ == "__main__":
    sys.exit(main())
