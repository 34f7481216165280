"""Marks in a real Chromium, where answers of the server come in any order: the page ends with what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browser import LabPage, Watcher, open_page, running_server

SLOW_FIRST_MARK = """
import sys, time
import app
from bnf_lab.lab.marking import MarkingDesks
from bnf_lab.lab.writer import Writer
mark = MarkingDesks.mark

def mark_and_dawdle(self, owner, place, verdict):
    desk = mark(self, owner, place, verdict)
    if place == 0:  # stored, but its drawing comes late
        time.sleep(1.5)
    return desk

MarkingDesks.mark = mark_and_dawdle
Writer.write_candidates = lambda self, prompt, n, **_: iter([tuple(f"Answer {i}." for i in range(n))])
sys.exit(app.main())
"""


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[LabPage]:
    with running_server(tmp_path, program=("-c", SLOW_FIRST_MARK)) as server:
        watcher = Watcher()
        yield open_page(browser, server.url, watcher)
        assert watcher.problems == []


def test_a_mark_whose_drawing_comes_late_does_not_hide_the_next_one(page: LabPage) -> None:
    page.section("Mark answers")
    page.fill("mark-prompt", "Why?")
    page.click("mark-write")
    page.wait("document.querySelector('#mark-prefer-2')?.disabled === false")
    page.page.evaluate("""() => {
        document.querySelector('#mark-prefer-1').click();
        setTimeout(() => document.querySelector('#mark-disprefer-2').click(), 100);
    }""")
    page.wait_judged({"preferred": 1, "dispreferred": 1, "pair": 1, "prompt": 1})
    page.wait("document.querySelectorAll('#mark-cards .lab-chip').length > 0")
    # the late drawing has arrived once both are shown; without a last word from the store it would be the page's end
    page.page.wait_for_timeout(2500)
    assert page.page.locator("#mark-cards .lab-chip").all_inner_texts() == ["preferred", "dispreferred"]
    page.reload()
    page.section("Mark answers")
    page.wait("document.querySelectorAll('#mark-cards .lab-chip').length === 2")
