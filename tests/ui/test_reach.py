"""axe-core looks at every tab in a real Chromium, in light and in dark; and a normal start logs nothing alarming.

The data folder is the old one of `tests/support/old_home`: judgements, a finished and a stopped run, a chat, drafts.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser import (
    ROOT,
    LabPage,
    Server,
    Watcher,
    in_every_view,
    open_browser,
    open_page,
    pair_rows,
    running_server,
)
from tests.support.workspaces import app_with_workspace

pytestmark = pytest.mark.slow

TABS = ("Preferences", "Train", "Watch", "Chat", "Runs")
SECTIONS = ("Upload", "Demo sets", "Mark answers", "Judgements")
ALARMING = re.compile(r"warning|error|traceback|exception|deprecat|failed", re.IGNORECASE)
RULES = ("heading-order", "empty-table-header")
"""Rules that must hold too, although axe-core finds them less than serious."""


@dataclass
class Place:
    """A server with data, and a browser."""

    server: Server
    browser: Browser


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("reach") / "home"
    with tarfile.open(ROOT / "tests" / "support" / "old_home" / "home.tar.xz") as archive:
        archive.extractall(home, filter="data")
    token = json.loads((home / "expected.json").read_text(encoding="utf-8"))["token"]
    with open_browser() as browser, running_server(home, program=app_with_workspace(token)) as server:
        yield Place(server, browser)


def find_barriers(lab: LabPage) -> list[str]:
    """Returns axe-core's serious and critical findings on what the page shows now, and those of `RULES`."""
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    lab.page.evaluate(axe)
    found: dict[str, Any] = lab.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']} ({each['impact']}): {each['help']}: {node['target']} {node['html'][:120]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical") or each["id"] in RULES
        for node in each["nodes"]
    ]


@in_every_view
def test_axe_core_finds_no_barrier_on_any_tab(place: Place, tmp_path: Path, view: dict[str, Any]) -> None:
    lab = open_page(place.browser, place.server.url, Watcher(), reduced_motion="reduce", **view)
    found = {}
    rows = tmp_path / "rows.jsonl"
    rows.write_text(pair_rows([("Why?", "So.", "No.")]) + '{"prompt": "?", "chosen": "a", "rejected": ""}\n')
    for name in TABS:
        lab.tab(name)
        for section in SECTIONS if name == "Preferences" else ("",):
            if section:
                lab.section(section)
            show(lab, section or name, rows)
            found[f"{name} {section}"] = find_barriers(lab)
    lab.page.context.close()
    assert {tab: barriers for tab, barriers in found.items() if barriers} == {}


ROLES = ("button", "checkbox", "combobox", "link", "radio", "searchbox", "slider", "spinbutton", "tab", "textbox")
SAME = ("What is ", "Fetch the model")
"""Beginnings of names that several controls share because they do the same."""


def list_controls(lab: LabPage) -> list[str]:
    """Returns the role and name of every control as Chromium tells a screen reader."""
    nodes = lab.page.context.new_cdp_session(lab.page).send("Accessibility.getFullAXTree")["nodes"]
    found = [(node["role"]["value"], node.get("name", {}).get("value", "").strip()) for node in nodes if "role" in node]
    return [f"{role} {name}" for role, name in found if role in ROLES and not name.startswith(SAME)]


def test_every_control_has_a_name_of_its_own(place: Place, tmp_path: Path) -> None:
    lab = open_page(place.browser, place.server.url, Watcher())
    rows = tmp_path / "rows.jsonl"
    rows.write_text(pair_rows([("Why?", "So.", "No.")]))
    found = {}
    for name, section in (*(("Preferences", section) for section in SECTIONS[1:]), *((tab, "") for tab in TABS[1:])):
        lab.tab(name)
        if section:
            lab.section(section)
        show(lab, section or name, rows)
        found[section or name] = list_controls(lab)
    lab.page.context.close()
    assert min(map(len, found.values())) > 10
    named = {at: [control for control in controls if control in ROLES] for at, controls in found.items()}
    assert {at: controls for at, controls in named.items() if controls} == {}
    twice = {at: sorted({c for c in controls if controls.count(c) > 1}) for at, controls in found.items()}
    assert {at: controls for at, controls in twice.items() if controls} == {}


def show(lab: LabPage, name: str, rows: Path) -> None:
    """Waits until a tab or section shows what it is for."""
    if name == "Upload":
        lab.page.locator("#upload-file input[type=file]").set_input_files(rows)
        lab.wait_text("#upload-details", "refused")
    ready = {
        "Judgements": "#judgement-lengths .js-plotly-plot",
        "Train": "#train-preflight dd",
        "Watch": "#watch-tokens .lab-tokens *",
        "Chat": ".chat-turn",
        "Runs": "#runs-table td",
    }
    lab.wait("at => !at || document.querySelector(at)?.checkVisibility()", ready.get(name, ""))
    if name == "Watch":
        lab.wait_points("likelihood", more_than=0)


def test_a_start_logs_nothing_alarming(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        log = server.log.read_text(encoding="utf-8")
    assert f"127.0.0.1:{server.port}" in log
    assert find_alarms(log) == []


def find_alarms(log: str) -> list[str]:
    return [line for line in log.splitlines() if ALARMING.search(line)]
