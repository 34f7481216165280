"""What several tests of the page share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import open_browser


@pytest.fixture(scope="module")
def browser(slow: None) -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser
