"""Watch in a real Chromium: the inspector by keyboard and by touch, what terms mean, and plot tools beside legends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser import LabPage, Server, Watcher, in_every_view, open_page, running_server
from tests.support.watched import STEPS, TOKENS

CHOSEN = "document.querySelector('#watch-tokens [aria-selected=true]')"
FOCUSED = "document.activeElement"


@pytest.fixture(scope="module")
def server(slow: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("home"), program=("-m", "tests.support.watched")) as server:
        yield server


def open_watch(server: Server, browser: Browser, watcher: Watcher, **options: object) -> LabPage:
    page = open_page(browser, server.url, watcher, **options)
    page.tab("Watch")
    page.wait_text("#watch-status", "Stopped")
    page.wait_points("feedback", more_than=0)
    page.wait("n => document.querySelectorAll('#watch-tokens [role=option]').length === n", len(TOKENS))
    return page


@pytest.fixture
def page(server: Server, browser: Browser, view: dict[str, Any]) -> Iterator[LabPage]:
    watcher = Watcher()
    page = open_watch(server, browser, watcher, **view)
    yield page
    page.page.context.close()
    assert watcher.problems == []


@in_every_view
def test_the_inspector_by_keyboard(page: LabPage) -> None:
    page.page.locator("#watch-step input").focus()
    press = page.page.keyboard.press
    for at in reversed(range(len(STEPS) - 1)):  # one press, one recorded step
        press("ArrowLeft")
        page.wait_text("#watch-at", f"Step {STEPS[at]},")
        page.wait_text("#watch-step output", f"step {STEPS[at]} ({at + 1} of {len(STEPS)} recorded)")
    press("ArrowLeft")
    press("End")
    page.wait_text("#watch-at", f"Step {STEPS[-1]} (the newest)")
    press("Tab")
    assert page.page.evaluate(f"{FOCUSED}.getAttribute('role')") == "option"  # the strip is one stop
    press("ArrowRight")
    press("ArrowRight")
    assert page.page.evaluate(f"{CHOSEN} === {FOCUSED}")
    name = page.page.evaluate(f"{CHOSEN}.getAttribute('aria-label')")
    assert name.startswith("is: token 3, p ")
    values = page.text("#watch-tokens .lab-token-values")
    assert values.startswith("is token 3 p ") and "reference q" in values and "BNF weight w" in values
    press("End")
    assert page.text("#watch-tokens .lab-token-values").startswith(f". token {len(TOKENS)} ")
    press("Tab")
    assert page.page.evaluate(f"{FOCUSED}.getAttribute('role')") != "option"


def test_the_slider_moved_fast_ends_where_it_was_let_go(page: LabPage) -> None:
    slider = "document.querySelector('#watch-step input')"
    move = "SLIDER.value = {}; SLIDER.dispatchEvent(new Event('input', {{bubbles: true}}))".replace("SLIDER", slider)
    page.act_while_one_waits(*(move.format(at) for at in (0, 2, 1)))
    page.wait_text("#watch-at", f"Step {STEPS[1]},")
    page.reload()
    page.wait_text("#watch-at", f"Step {STEPS[1]},")


def test_a_chosen_token_stays_chosen_when_the_step_changes(page: LabPage) -> None:
    page.page.locator("#watch-tokens [role=option]").nth(3).click()
    before = page.text("#watch-tokens .lab-token-values")
    page.page.locator("#watch-step input").press("Home")
    page.wait("old => document.querySelector('.lab-token-values').innerText.replace(/\\s+/g, ' ') !== old", before)
    assert page.text("#watch-tokens .lab-token-values").startswith("a token 4 p ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_inspector_by_touch(server: Server, browser: Browser, scheme: str) -> None:
    watcher = Watcher()
    size = {"width": 390, "height": 844}
    page = open_watch(server, browser, watcher, viewport=size, has_touch=True, is_mobile=True, color_scheme=scheme)
    page.page.locator("#watch-tokens [role=option]").nth(2).tap()
    page.wait_text("#watch-tokens .lab-token-values", "is token 3 p ")
    assert page.page.evaluate(f"{CHOSEN} === {FOCUSED}")
    page.page.locator("#watch-tokens [role=option]").nth(4).tap()
    page.wait_text("#watch-tokens .lab-token-values", "ball token 5 p ")
    page.page.context.close()
    assert watcher.problems == []


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_what_a_term_means_by_keyboard(page: LabPage, key: str) -> None:
    asks = page.page.locator("#tab-watch .lab-ask-term:visible")
    asks.first.focus()
    page.page.keyboard.press("Tab")
    assert page.page.evaluate(f"{FOCUSED}.className") == "lab-ask-term"
    name = page.page.evaluate(f"{FOCUSED}.getAttribute('aria-label')")
    page.page.keyboard.press(key)
    page.wait("document.querySelectorAll('.lab-meaning:popover-open').length === 1")
    term = name.removeprefix("What is ").removesuffix("?")
    assert page.text(".lab-meaning:popover-open").startswith(term)
    page.page.keyboard.press("Escape")
    page.wait("document.querySelector('.lab-meaning:popover-open') === null")
    assert page.page.evaluate(f"{FOCUSED}.getAttribute('aria-label')") == name


OVERLAPS = """() => [...document.querySelectorAll('.lab-plot')].filter(plot => plot.offsetWidth).map(plot => {
    const tools = plot.querySelector('.modebar').getBoundingClientRect();
    const drawn = [...plot.querySelectorAll('.legend .traces, .main-svg .gtitle, .cartesianlayer .plot')];
    const hit = drawn.map(part => part.getBoundingClientRect()).filter(part => part.width && part.height
        && part.left < tools.right && tools.left < part.right && part.top < tools.bottom && tools.top < part.bottom);
    return {plot: plot.dataset.title, tools: tools.width, drawn: drawn.length, hit: hit.length};
})"""


@pytest.mark.parametrize("width", [1440, 1000, 720])
def test_plot_tools_cover_no_legend(server: Server, browser: Browser, width: int) -> None:
    page = open_watch(server, browser, Watcher(), viewport={"width": width, "height": 1000})
    page.page.locator("#watch-more > button").click()
    page.wait_points("training", more_than=0)
    found = page.page.evaluate(OVERLAPS)
    page.page.context.close()
    assert len(found) > 3
    assert all(plot["drawn"] > 0 and plot["tools"] > 0 for plot in found), found
    assert [plot for plot in found if plot["hit"]] == []
