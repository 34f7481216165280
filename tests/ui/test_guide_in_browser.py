"""A real Chromium: the guided first run from an empty folder to two answers, and what is left of it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser import VIEWS, LabPage, Server, Watcher, in_every_view, open_page, running_server

COVERED = """() => {
  const news = document.querySelector('.toast-body').getBoundingClientRect();
  const isUnder = (box) => box.left < news.right && box.right > news.left
    && box.top < news.bottom && box.bottom > news.top;
  return [...document.querySelectorAll('button, input, textarea, a')]
    .filter(it => it.offsetParent && !it.closest('.toast-body') && isUnder(it.getBoundingClientRect()))
    .map(it => it.outerHTML.slice(0, 80));
}"""
"""What a toast lies on."""
FETCH_SECONDS, RUN_SECONDS = 300, 1800


@pytest.fixture
def server(slow: None, tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path) as server:
        yield server


def press(page: LabPage, name: str) -> None:
    page.page.locator("#lab-guide").get_by_role("button", name=name).click()


def wait_ticked(page: LabPage, *titles: str) -> None:
    page.wait(
        "titles => [...document.querySelectorAll('#lab-tabs > .tab-wrapper [data-ticked]')]"
        ".map(tab => tab.textContent.trim()).join() === titles.join()",
        list(titles),
    )
    for title in titles:  # a tick describes a tab, the tab keeps its name
        tab = page.page.locator("#lab-tabs").get_by_role("tab", name=title, exact=True).first
        assert tab.get_attribute("aria-description") == "done"


def wait_gone(page: LabPage) -> None:
    page.wait("!document.querySelector('#lab-guide section')")


@pytest.mark.parametrize("view", [VIEWS["1440 light"], VIEWS["390 dark"]], ids=("desktop", "phone"), indirect=True)
def test_the_guided_first_run(browser: Browser, server: Server, view: dict[str, Any]) -> None:
    watcher = Watcher()
    page = open_page(browser, server.url, watcher, **view)
    page.wait_text("#lab-guide", "fetched once")
    press(page, "Fetch the model")
    page.wait_text("#lab-guide", "Add a demo set", seconds=FETCH_SECONDS)
    press(page, "Choose a demo set")
    page.click("demo-short_answers")
    page.wait_text("#lab-guide", "Start training")
    wait_ticked(page, "Preferences")
    press(page, "Set up a quick look")
    page.wait("document.querySelector('#field-n_steps input')?.value === '10'")
    page.wait("document.querySelector('#train-start')?.disabled === false")
    page.click("train-start")
    page.wait_text("#lab-guide", "Watch the likelihoods")
    page.wait_text("#watch-status", "Finished", seconds=RUN_SECONDS)
    page.reload()
    wait_ticked(page, "Preferences", "Train")
    press(page, "Ask both models")
    page.wait_text("#lab-guide", "That was the whole way")
    wait_ticked(page, "Preferences", "Train", "Watch", "Chat")
    press(page, "Close")
    wait_gone(page)
    wait_ticked(page)
    page.reload()
    wait_gone(page)
    assert watcher.problems == []


@in_every_view
def test_the_strip_fits_and_a_skip_is_kept(browser: Browser, server: Server, view: dict[str, Any]) -> None:
    page = open_page(browser, server.url, Watcher(), **view)
    page.wait_text("#lab-guide", "fetched once")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= view["viewport"]["width"]
    strip, tabs = (page.page.locator(name).bounding_box() for name in ("#lab-guide section", "#lab-tabs"))
    assert strip["y"] + strip["height"] <= tabs["y"]
    page.section("Demo sets")
    page.click("demo-short_answers")
    page.wait("document.querySelector('.toast-body')")
    assert page.page.evaluate(COVERED) == []
    press(page, "Skip the guide")
    wait_gone(page)
    page.reload()
    page.wait_text("#lab-status", "not fetched")
    wait_gone(page)
    page.page.context.close()
