"""Runs in a real Chromium: found, sorted, chosen, said of, and taken along as files that need no network."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browser import LabPage, Server, Watcher, open_page, running_server
from tests.support.pages import idle_lab
from tests.support.workspaces import add_run, app_with_workspace

NAMES = ("first try", "short and sweet", "long and slow")
"""Oldest first."""


@pytest.fixture(scope="module")
def server(slow: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("runs")
    with idle_lab(home) as lab:
        token = lab.new_workspace()
        for n, name in enumerate(NAMES, 1):
            add_run(lab, token, f"run{n}", name=name)
    with running_server(home, program=app_with_workspace(token)) as server:
        yield server


@pytest.fixture
def page(server: Server, browser: Browser) -> Iterator[LabPage]:
    watcher = Watcher()
    page = open_runs(server, browser, watcher, accept_downloads=True)
    yield page
    page.page.context.close()
    assert (watcher.problems, watcher.foreign) == ([], [])


def open_runs(server: Server, browser: Browser, watcher: Watcher, **options: object) -> LabPage:
    page = open_page(browser, f"{server.url}?tab=runs", watcher, **options)
    page.wait_text("#runs-title", NAMES[-1])
    page.fill("runs-search", "")
    wait_listed(page, set(NAMES))
    return page


def listed(page: LabPage) -> list[str]:
    """Returns the names in the list, from the top."""
    return page.page.locator("#runs-table .runs-name").all_inner_texts()


def wait_listed(page: LabPage, names: set[str]) -> None:
    page.wait(
        "names => [...document.querySelectorAll('#runs-table .runs-name')].map(e => e.innerText).sort().join()"
        " === names.join()",
        sorted(names),
    )


def choose(page: LabPage, name: str) -> None:
    page.page.locator("#runs-table").get_by_role("button", name=name, exact=True).click()
    page.wait_text("#runs-title", name)


def test_runs_are_searched_and_what_was_searched_stays_after_a_reload(page: LabPage) -> None:
    page.fill("runs-search", "AND sweet")
    wait_listed(page, {NAMES[1]})
    page.reload()
    wait_listed(page, {NAMES[1]})
    assert page.page.locator("#runs-search textarea, #runs-search input").input_value() == "AND sweet"
    page.fill("runs-search", "nothing like this")
    page.wait_text("#runs-table", "No run matches")


def test_a_heading_sorts_and_says_so(page: LabPage) -> None:
    heading = page.page.locator("#runs-table th", has=page.page.get_by_role("button", name="Run", exact=True))
    heading.get_by_role("button").click()
    page.wait("document.querySelector('#runs-table th[aria-sort]')?.innerText.trim() === 'Run'")
    first, way = listed(page), heading.get_attribute("aria-sort")
    assert first in (sorted(NAMES), sorted(NAMES, reverse=True))
    heading.get_by_role("button").click()
    page.wait("was => document.querySelector('#runs-table th[aria-sort]').ariaSort !== was", way)
    assert listed(page) == first[::-1]


def test_columns_are_chosen(page: LabPage) -> None:
    def headings() -> list[str]:
        return [text.strip() for text in page.page.locator("#runs-table th").all_inner_texts()]

    assert "Per step" in headings()
    page.page.locator("#runs-choose > button").click()
    page.page.locator("#runs-columns").get_by_label("Per step").click()
    page.wait("!document.querySelector('#runs-table').innerText.includes('Per step')")
    page.page.locator("#runs-columns").get_by_label("Per step").click()
    page.wait_text("#runs-table th", "Per step")


def test_name_tags_and_note_are_kept(page: LabPage) -> None:
    choose(page, NAMES[0])
    page.fill("runs-tags", "workshop, short")
    page.fill("runs-note", "Too short to tell.")
    page.click("runs-save")
    page.wait_text("#runs-table .runs-tag", "workshop")
    page.reload()
    choose(page, NAMES[0])
    page.wait_text("#runs-title .runs-note", "Too short to tell.")
    page.wait("document.querySelector('#runs-tags :is(input, textarea)').value === 'workshop, short'")


def test_figures_numbers_and_report_are_files_named_after_the_run(page: LabPage, tmp_path: Path) -> None:
    choose(page, NAMES[1])
    page.tab("Watch")
    page.wait_points("likelihood", more_than=0)
    page.tab("Runs")
    choose(page, NAMES[1])
    assert page.page.locator("#runs-panel .js-plotly-plot").count() == 1  # it only loads the library
    assert not page.page.locator("#runs-panel .js-plotly-plot").is_visible()
    png = page.download("runs-figure-png", tmp_path)
    assert png.name == "short-and-sweet-bnf-likelihood.png"
    data = png.read_bytes()
    assert data.startswith(b"\x89PNG") and struct.unpack(">I", data[16:20]) == (2000,)
    svg = page.download("runs-figure-svg", tmp_path)
    drawn = svg.read_text(encoding="utf-8")
    assert drawn.startswith("<svg") and "nats/token" in drawn
    rows = page.download("runs-export-metrics", tmp_path)
    assert rows.suffix == ".csv" and len(rows.read_text(encoding="utf-8").splitlines()) == 3


def test_a_figure_is_a_file_though_watch_was_never_opened(page: LabPage, tmp_path: Path) -> None:
    assert page.download("runs-figure-svg", tmp_path).suffix == ".svg"


def test_the_report_opens_without_a_network(page: LabPage, browser: Browser, tmp_path: Path) -> None:
    choose(page, NAMES[1])
    report, watcher = page.download("runs-export-report", tmp_path), Watcher()
    assert report.suffix == ".html"
    alone = browser.new_context(offline=True).new_page()
    watcher.attach(alone)
    alone.goto(report.as_uri())
    alone.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 0")
    assert NAMES[1] in alone.inner_text("h1")
    alone.context.close()
    assert (watcher.problems, watcher.foreign) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_runs_on_a_phone(server: Server, browser: Browser, scheme: str) -> None:
    watcher = Watcher()
    size = {"width": 390, "height": 844}
    page = open_runs(server, browser, watcher, viewport=size, is_mobile=True, has_touch=True, color_scheme=scheme)
    choose(page, NAMES[0])
    assert page.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    page.page.get_by_role("button", name=f"Open {NAMES[0]} in Watch").tap()
    page.wait("document.querySelector('#watch-page')?.offsetParent !== null")
    page.wait("run => document.querySelector('#watch-run input')?.value.startsWith(run)", NAMES[0])
    page.page.context.close()
    assert watcher.problems == []
