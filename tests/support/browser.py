"""Drives the real lab in a real Chromium: the server of the README's command, a page, and what went wrong on it.

Shared by the journey test and the script that takes the README's screenshots. Nothing here sleeps for a fixed time:
every wait is for a condition, with a time-out that is generous because machines are shared.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Download, Page, Request, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.processes import kill_process

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 300
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@dataclass
class Server:
    """The app as a process of its own, on this machine only; started again it keeps port and data folder."""

    data_dir: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    program: tuple[str, ...] = ("app.py",)
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def log(self) -> Path:
        return self.data_dir / "server.log"

    def start(self) -> None:
        """Starts the README's command and waits until the page is served."""
        self.port = self.port or free_port()
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", **self.variables}
        environment.pop("PYTEST_CURRENT_TEST", None)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, "--port", str(self.port), "--data-dir", str(self.data_dir)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        wait_until(self._answers, "the lab to serve its page", self.tail)

    def stop(self) -> None:
        """Ends the server as Ctrl+C would, and by force if it does not listen."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Ends the server without a warning, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)

    def tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def _answers(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            pytest.fail(f"The lab ended before it served a page:\n{self.tail()}")
        try:
            with urllib.request.urlopen(self.url, timeout=5) as reply:
                return reply.status == 200
        except (urllib.error.URLError, OSError):
            return False


def free_port() -> int:
    """Returns a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(
    is_true: Callable[[], Any], what: str, details: Callable[[], str] = lambda: "", seconds: float = PATIENCE_SECONDS
) -> Any:
    """Returns the first true value of `is_true()`, asked again and again; fails in words when the time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = is_true()
        if value:
            return value
        time.sleep(0.2)
    pytest.fail(f"Waited {seconds:.0f} s in vain for {what}.\n{details()}")


@contextlib.contextmanager
def running_server(data_dir: Path, **options: Any) -> Iterator[Server]:
    """A server for the length of a block, and nothing of it afterwards: its workers, which outlive it, end too."""
    server = Server(data_dir, **options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        for config in data_dir.glob("runs/*/config.json"):
            worker = RunFolder(config.parent).read_process()
            if worker is not None:
                kill_process(worker)


def find_chromium() -> str:
    """Returns the browser's path; without one, skips the test here and fails it where CI promises a browser."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say(f"No browser: none of {', '.join(CHROMIUM_NAMES)} is installed. On Debian: apt-get install chromium.")
    return str(found)


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium for the length of a block."""
    executable = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_ARGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watcher:
    """Notes what must never happen on a page: errors in its console, requests that leave this machine."""

    problems: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    is_server_away: bool = False

    def attach(self, page: Page) -> None:
        page.on("pageerror", lambda error: self._note(f"page error: {error}"))
        page.on("console", lambda message: message.type == "error" and self._note(f"console: {message.text}"))
        page.on("request", self._look)

    def _note(self, problem: str) -> None:
        if not self.is_server_away:
            self.problems.append(problem)

    def _look(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
            self.foreign.append(request.url)


@dataclass
class LabPage:
    """The lab as a person meets it: tabs, buttons, plots."""

    page: Page
    url: str
    watcher: Watcher

    def open(self) -> None:
        """Opens the page and waits until it knows its workspace."""
        self.page.goto(self.url, wait_until="domcontentloaded")
        self.wait_ready()

    def reload(self) -> None:
        """Loads the page anew; the requests which that cuts off are no problem of the page."""
        self.watcher.is_server_away = True
        self.page.reload(wait_until="domcontentloaded")
        self.watcher.is_server_away = False
        self.wait_ready()

    def wait_ready(self) -> None:
        """Waits until header and counts are drawn, which the store has to be asked for."""
        self.wait("document.querySelector('#lab-status .lab-fact') !== null")
        self.wait("(document.querySelector('#preferences-counts')?.textContent || '').trim().length > 0")

    def tab(self, name: str) -> None:
        """Shows a tab by the name a person reads."""
        self.page.locator("#lab-tabs").get_by_role("tab", name=name, exact=True).first.click()

    def section(self, name: str) -> None:
        """Shows a section of Preferences."""
        self.page.locator("#tab-preferences").get_by_role("tab", name=name, exact=True).click()

    def fill(self, elem_id: str, text: Any) -> None:
        """Types into a field as a person would: whole value, then on to the next field."""
        box = self.page.locator(f"#{elem_id}").locator("textarea, input").first
        box.fill(str(text))
        box.blur()

    def click(self, elem_id: str) -> None:
        """Presses a button once it can be pressed."""
        self.page.locator(f"#{elem_id}:not([disabled])").click()

    def act_while_one_waits(self, *acts: str) -> None:
        """Does things 100 ms apart, of which the first takes a second and more to reach the server.

        Args:
            acts: JavaScript expressions.
        """
        self.page.evaluate(
            """async acts => {
              const send = window.fetch;
              let n = 0;
              window.fetch = async (...asked) => {
                const isEvent = String(asked[0]?.url ?? asked[0]).includes('queue/join');
                if (isEvent && n++ === 0) await new Promise(done => setTimeout(done, 1500));
                return send(...asked);
              };
              for (const act of acts) {
                (0, eval)(act);
                await new Promise(done => setTimeout(done, 100));
              }
              await new Promise(done => setTimeout(done, 2000));
              window.fetch = send;
            }""",
            list(acts),
        )

    def text(self, selector: str) -> str:
        return " ".join(self.page.locator(selector).first.inner_text().split())

    def wait(self, expression: str, argument: Any = None, seconds: float = PATIENCE_SECONDS) -> Any:
        """Waits until a JavaScript expression (or function of `argument`) is true, and returns its value."""
        try:
            return self.page.wait_for_function(expression, arg=argument, timeout=1000 * seconds).json_value()
        except PlaywrightTimeout:
            shown = self.text("body")[:3000]
        pytest.fail(f"Waited {seconds:.0f} s in vain for {expression} with {argument}. The page shows:\n{shown}")

    def wait_text(self, selector: str, text: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Waits until an element shows a text; line breaks count as spaces."""
        self.wait(
            "([at, text]) => [...document.querySelectorAll(at)].some("
            "e => e.innerText.replace(/\\s+/g, ' ').toLowerCase().includes(text.toLowerCase()))",
            [selector, text],
            seconds,
        )

    def judged(self) -> dict[str, int]:
        """Returns the counts above Preferences by what they count: preferred, dispreferred, pairs, prompts."""
        cells: list[list[str]] = self.page.evaluate(
            "[...document.querySelectorAll('#preferences-counts .lab-number')].map(cell =>"
            " [cell.querySelector('span').textContent, cell.querySelector('b').textContent])"
        )
        return {what.rstrip("s"): int(n.replace(",", "")) for what, n in cells}

    def wait_judged(self, expected: dict[str, int]) -> None:
        """Waits until the counts above Preferences are the expected ones; they are drawn after the event."""
        wait_until(lambda: self.judged() == expected, f"the counts {expected}", lambda: f"Counted: {self.judged()}")

    def n_points(self, plot: str) -> int:
        """Returns how many points the longest line of a live plot has; 0 before it is drawn."""
        return int(self.page.evaluate(f"({N_POINTS})('{plot}')"))

    def wait_points(self, plot: str, more_than: int) -> int:
        """Waits until a live plot has more points than that, and returns how many."""
        self.wait(f"([name, n]) => ({N_POINTS})(name) > n", [plot, more_than])
        return self.n_points(plot)

    def x_range(self, plot: str) -> list[float]:
        """Returns what the x axis of a live plot shows now."""
        return list(self.page.evaluate(f"({PLOT})('{plot}')._fullLayout.xaxis.range"))

    def drag(self, plot: str, start: float, end: float) -> None:
        """Zooms a live plot with the mouse, from one share of its width to another."""
        area = self.page.locator(f"#plot-{plot} .nsewdrag").first
        area.scroll_into_view_if_needed()
        box = area.bounding_box()
        if box is None:
            pytest.fail(f"The plot {plot} is not on the page.")
        height = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + start * box["width"], height)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + end * box["width"], height, steps=8)
        self.page.mouse.up()

    def download(self, elem_id: str, folder: Path) -> Path:
        """Presses an export button and returns the file that the browser was handed."""
        with self.page.expect_download(timeout=1000 * PATIENCE_SECONDS) as waiting:
            self.click(elem_id)
        arrived: Download = waiting.value
        path = folder / arrived.suggested_filename
        arrived.save_as(path)
        return path


VIEWS: dict[str, dict[str, Any]] = {
    f"{width} {scheme}": {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
    for width, height in ((1440, 1000), (390, 844))
    for scheme in ("light", "dark")
}
"""Options of `open_page`: a desktop and a phone, in light and in dark."""
in_every_view = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS, indirect=True)
"""Runs a test, whose page is opened with the fixture `view`, in each of them."""
PLOT = "name => document.querySelector('#plot-' + name + ' .js-plotly-plot')"
N_POINTS = f"""name => Math.max(0, ...(({PLOT})(name)?.data || []).map(
  line => (line.x || []).filter(x => x !== null).length))"""


def open_page(browser: Browser, url: str, watcher: Watcher, **options: Any) -> LabPage:
    """Opens the lab in a browser of its own, which is a workspace of its own."""
    options.setdefault("viewport", {"width": 1440, "height": 1000})
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(1000 * PATIENCE_SECONDS)
    watcher.attach(page)
    lab = LabPage(page, url, watcher)
    lab.open()
    return lab


def pair_rows(pairs: Sequence[tuple[str, str, str]]) -> str:
    """Returns JSONL of (prompt, preferred, dispreferred) in TRL's plain preference schema."""
    rows = (dict(zip(("prompt", "chosen", "rejected"), pair, strict=True)) for pair in pairs)
    return "".join(json.dumps(row) + "\n" for row in rows)
