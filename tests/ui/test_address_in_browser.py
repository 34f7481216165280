"""A real Chromium: the address holds tab, run and step; reload, restart, Back and links keep them; the title counts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser

from bnf_lab.core.config import RunConfig
from bnf_lab.core.judgements import Judgement, Message, Verdict, now
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.processes import identify_process
from bnf_lab.runs.records import MetricPoint, ProbeResponse, RunState, RunStatus, TokenHeader, TokenSnapshot
from tests.support.browser import LabPage, Server, Watcher, in_every_view, open_page, running_server
from tests.support.pages import idle_lab
from tests.support.workspaces import app_with_workspace

JUDGEMENTS = [Judgement((Message("user", "Hi"),), "Hello", Verdict.PREFERRED)]
TOTAL = 30


@dataclass
class Place:
    """A lab with a finished run ("older") and one that trains ("newer"), whose worker only sleeps."""

    server: Server
    newer: RunFolder

    def step(self, step: int) -> None:
        owner = self.newer.read_status().owner
        self.newer.write_status(RunStatus(RunState.TRAINING, owner=owner, step=step, total_steps=TOTAL))


@pytest.fixture(scope="module")
def place(slow: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("address")
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1800)"])
    try:
        with idle_lab(home) as lab:
            token = lab.new_workspace()
            make_run(lab, token, "older", RunStatus(RunState.FINISHED, step=TOTAL, total_steps=TOTAL))
            newer = make_run(lab, token, "newer", RunStatus(RunState.TRAINING, step=5, total_steps=TOTAL))
            newer.write_process(identify_process(worker.pid))
        with running_server(home, program=app_with_workspace(token)) as server:
            yield Place(server, newer)
    finally:
        worker.kill()
        worker.wait()


def make_run(lab, token: str, run_id: str, status: RunStatus) -> RunFolder:
    owner = lab.owner_of(token)
    folder = RunFolder.create(lab.runs.queue.path_of(run_id), RunConfig(), JUDGEMENTS, owner=owner)
    lab.runs.register.add(owner, run_id, run_id, now())
    folder.append_tokens(
        TokenHeader(tuple(ProbeResponse(v, v, f"{v} prompt", ("a", "b"), (-1.0, -2.0), (3.0, 4.0)) for v in Verdict))
    )
    for step in (0, 2, 4):
        folder.append_metric(MetricPoint(step, float(step), "probe", preferred_logp=-1.0, dispreferred_logp=-2.0))
        rows = ((-1.0 - step, -2.0), (-1.5, -2.5))
        folder.append_tokens(TokenSnapshot(step, rows, rows, ((1.0, 0.5), (0.2, 0.3))))
    folder.write_status(RunStatus(status.state, owner=owner, step=status.step, total_steps=status.total_steps))
    return folder


@pytest.fixture
def page(browser: Browser, place: Place, view: dict[str, Any]) -> Iterator[LabPage]:
    watcher = Watcher()
    page = open_page(browser, place.server.url, watcher, **view)
    wait_address(page, run="newer")
    yield page
    page.page.context.close()
    # gradio writes into the console what a page that is left behind does not wait for
    assert [problem for problem in watcher.problems if problem.startswith("page error")] == []


def wait_address(page: LabPage, **expected: str) -> None:
    """Waits until the address holds exactly these."""
    page.wait(
        """wanted => {
            const now = Object.fromEntries(new URLSearchParams(location.search)), names = Object.keys(wanted);
            return names.length === Object.keys(now).length && names.every(name => now[name] === wanted[name]);
        }""",
        expected,
    )


def wait_shown(page: LabPage, tab: str, run: str | None = None) -> None:
    """Waits until a tab is in front and, where asked, a run is chosen in Watch."""
    page.wait(
        "name => document.querySelector('#lab-tabs > .tab-wrapper [role=tab][aria-selected=true]')?.textContent.trim()"
        " === name",
        tab,
    )
    if run:
        page.wait("run => document.querySelector('#watch-run input')?.value.startsWith(run)", run)


def choose_run(page: LabPage, run: str) -> None:
    page.page.locator("#watch-run input").click()
    page.page.get_by_role("option", name=run).first.click()


def look_at(page: LabPage, step: int) -> None:
    """Moves the slider back until the address names the step."""
    page.page.locator("#watch-step input[type=range]").focus()
    at = None
    while at != str(step):
        page.page.keyboard.press("ArrowLeft")
        at = page.wait(
            "at => { const now = new URLSearchParams(location.search).get('step'); return now !== at && now; }", at, 30
        )


@in_every_view
def test_back_and_forward_go_through_tabs_and_runs_without_a_reload(page: LabPage) -> None:
    page.page.evaluate("window.isSame = true")
    page.section("Mark answers")
    wait_address(page, run="newer", section="mark")
    page.fill("mark-prompt", "A draft that stays")
    page.tab("Watch")
    wait_address(page, run="newer", tab="watch")
    choose_run(page, "older")
    wait_address(page, run="older", tab="watch")
    look_at(page, 2)
    wait_address(page, run="older", tab="watch", step="2")
    page.tab("Runs")
    wait_address(page, run="older", tab="runs")
    page.wait_text("#runs-title", "older")
    page.page.locator("#runs-table").get_by_role("button", name="newer").first.click()
    page.wait_text("#runs-title", "newer")
    wait_address(page, run="newer", tab="runs")
    page.page.evaluate("history.back()")
    page.wait_text("#runs-title", "older")
    wait_address(page, run="older", tab="runs")
    for tab, run, expected in (
        ("Watch", "older", {"run": "older", "tab": "watch", "step": "2"}),
        ("Watch", "newer", {"run": "newer", "tab": "watch"}),
        ("Preferences", None, {"run": "newer", "section": "mark"}),
    ):
        page.page.evaluate("history.back()")
        wait_shown(page, tab, run)
        wait_address(page, **expected)
    assert page.page.locator("#mark-prompt textarea").input_value() == "A draft that stays"
    page.page.evaluate("history.go(2)")
    wait_shown(page, "Watch", "older")
    page.wait_text("#watch-at", "Step 2")
    assert page.page.evaluate("window.isSame")


@in_every_view
def test_a_link_into_a_run_and_a_reload_show_the_same(page: LabPage, place: Place) -> None:
    page.page.goto(f"{place.server.url}?tab=watch&run=older&step=2&response=1&__theme=dark")
    for visit in range(2):
        if visit:
            page.reload()
        wait_shown(page, "Watch", "older")
        page.wait_text("#watch-at", "Step 2")
        page.wait_text("#watch-prompt", "dispreferred prompt")
        wait_address(page, tab="watch", run="older", step="2", response="1", __theme="dark")


@pytest.mark.parametrize("at", ["tab=train", "tab=watch", "tab=chat", "tab=runs", "section=mark", "section=judgements"])
def test_a_page_opened_anywhere_says_nothing_is_wrong(page: LabPage, place: Place, at: str) -> None:
    page.page.goto(f"{place.server.url}?{at}")
    page.wait_ready()
    page.page.wait_for_timeout(2000)  # longer than the first events take
    assert page.page.locator(".toast-body").all_inner_texts() == []


def test_a_link_to_a_run_of_somebody_else_is_said_and_the_newest_is_shown(page: LabPage, place: Place) -> None:
    page.page.goto(f"{place.server.url}?tab=watch&run=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&step=2")
    page.wait_ready()
    page.wait_text("#lab-address-note", "not in this workspace")
    assert page.page.locator("#lab-address-note img").count() == 0
    wait_shown(page, "Watch", "newer")
    choose_run(page, "older")
    wait_address(page, tab="watch", run="older")
    page.wait("!document.querySelector('#lab-address-note')?.offsetParent")


def test_the_title_counts_the_steps_of_the_run_that_is_shown(page: LabPage, place: Place) -> None:
    for step in (12, 13):
        place.step(step)
        page.wait(f"document.title === 'step {step}/{TOTAL} · BNF Lab'")
    page.tab("Watch")
    choose_run(page, "older")
    page.wait("document.title === 'BNF Lab'")


def test_arrows_move_between_tabs(page: LabPage) -> None:
    page.page.locator("#lab-tabs").get_by_role("tab", name="Preferences", exact=True).first.focus()
    for key, tab in (("ArrowRight", "Train"), ("End", "Runs"), ("ArrowRight", "Preferences"), ("ArrowLeft", "Runs")):
        page.page.keyboard.press(key)
        wait_shown(page, tab)
        assert page.page.evaluate("document.activeElement.textContent.trim()") == tab


def test_a_restart_of_the_server_brings_the_same_place_back(browser: Browser, place: Place) -> None:
    watcher = Watcher()
    page = open_page(browser, f"{place.server.url}?tab=watch&run=older&step=2", watcher)
    page.wait_text("#watch-at", "Step 2")
    page.page.evaluate("window.isSame = true")
    watcher.is_server_away = True
    place.server.stop()
    place.server.start()
    page.wait("window.isSame === undefined && document.querySelector('#watch-at') !== null")
    wait_shown(page, "Watch", "older")
    page.wait_text("#watch-at", "Step 2")
    assert parse_qs(urlsplit(page.page.url).query) == {"tab": ["watch"], "run": ["older"], "step": ["2"]}
    page.page.context.close()
