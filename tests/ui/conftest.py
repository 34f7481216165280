"""What several tests of the page share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser import VIEWS, open_browser


@pytest.fixture(scope="module")
def browser(slow: None) -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def view(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options of `open_page`; the desktop in light where a test is not `in_every_view`."""
    chosen: dict[str, Any] = getattr(request, "param", VIEWS["1440 light"])
    return chosen
