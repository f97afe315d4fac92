"""A headless Chromium: that of playwright if it is installed, or one of the system."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


# Not for longer: as long as playwright is there, no other test can run an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        program = Path(playwright.chromium.executable_path)
        if program.exists():
            chromium = playwright.chromium.launch()
        elif found := next(filter(None, map(shutil.which, NAMES)), None):
            chromium = playwright.chromium.launch(executable_path=found)
        else:
            pytest.skip("no Chromium: playwright install --only-shell chromium")
        yield chromium
        chromium.close()
