"""Judgements in a real Chromium: a pair in one row, edits in place with the focus, errors beside their fields."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser import LabPage, Watcher, in_every_view, open_page, running_server

IN_VIEW = """at => {
    const box = document.querySelector(at)?.getBoundingClientRect();
    return !!box && box.height > 0 && box.top >= 0 && box.bottom <= innerHeight && document.activeElement.matches(at);
}"""
FIELD = "#judgement-rows form[data-edits] textarea"


@pytest.fixture
def page(browser: Browser, tmp_path: Path, view: dict[str, Any]) -> Iterator[LabPage]:
    with running_server(tmp_path) as server:
        watcher = Watcher()
        page = open_page(browser, server.url, watcher, **view)
        yield page
        assert page.page.locator(".toast-body.error").count() == 0
        assert watcher.problems == []


def look(page: LabPage, name: str) -> None:
    """Keeps a picture of the page where `BNF_LAB_PICTURES` names a folder."""
    if folder := os.environ.get("BNF_LAB_PICTURES"):
        page.page.screenshot(path=Path(folder) / f"{name}.png", full_page=name.endswith("390"))


def delete(row: int) -> str:
    """Returns the script that presses a row's button, as the rows stand when the first one waits."""
    rows = "window.rowsThen ??= [...document.querySelectorAll('#judgement-rows .lab-pair [data-act=delete]')]"
    return f"{rows}; rowsThen[{row}].click()"


@pytest.mark.slow
@in_every_view
def test_judgements_are_edited_in_place_and_errors_stay_beside_their_field(page: LabPage) -> None:
    assert page.page.locator("#demo-careful_arithmetic").is_visible()  # the demo sets come first
    look(page, "demo")
    page.click("demo-careful_arithmetic")
    page.wait_text("#preferences-counts", "300 pairs")
    page.section("Judgements")
    page.wait("document.querySelectorAll('#judgement-rows .lab-pair').length === 20")
    assert page.page.locator("#judgement-rows .lab-pair").first.locator("mark").count() >= 2
    page.wait_text("#export-pairs", "Export 300 pairs")
    look(page, "rows")
    page.act_while_one_waits(delete(0), delete(1), delete(2))
    page.wait_text("#export-pairs", "Export 297 pairs")
    row = page.page.locator("#judgement-rows .lab-pair").nth(15)
    row.locator("[data-act=edit]").first.click()
    page.wait(IN_VIEW, FIELD)
    look(page, "edit")
    page.page.locator(FIELD).fill("typed so far")
    page.page.locator("#judgement-rows .lab-pair").nth(3).locator("[data-act=flip]").click()
    page.wait("document.querySelector('#judgement-rows form[data-edits]') !== null")
    assert page.page.locator(FIELD).input_value() == "typed so far"
    page.page.locator(FIELD).fill(" ")
    page.page.locator(FIELD).press("Control+Enter")
    page.wait("at => document.querySelector(at)?.getAttribute('aria-invalid') === 'true'", FIELD)
    page.page.locator(FIELD).fill("my own words")
    page.page.locator(FIELD).press("Control+Enter")
    page.wait_text("#judgement-rows .lab-pair:nth-child(16)", "my own words")

    page.section("Mark answers")
    box = page.page.locator("#mark-prompt textarea")
    box.fill("x" * 9000)
    page.click("mark-write")
    page.wait_text("#tab-preferences .lab-wrong", "9,000 characters; at most 8,000")
    page.wait("document.querySelector('#mark-prompt textarea').getAttribute('aria-invalid') === 'true'")
    page.wait("document.querySelector('#mark-write')?.disabled === false")
    page.page.wait_for_timeout(1500)
    assert len(box.input_value()) == 9000
    look(page, "mark")
    page.page.set_viewport_size({"width": 390, "height": 844})
    page.section("Judgements")
    look(page, "rows-390")
    page.section("Demo sets")
    look(page, "demo-390")
