"""One Chromium for the tests of a file."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.test_browser_live import CHROMIUM, SWITCHES, WAIT

expect.set_options(timeout=WAIT)  # five seconds are too few on a machine that others use; what is there ends the wait


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
        yield running
        running.close()
