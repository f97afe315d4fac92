"""The site is read from a disk, without a network."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import pytest

from tests.site import build

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("furo", reason="the extra `docs` is not installed")

PAGES = ["index", "reference/api/gateway", "reference/commands", "explanation/rules"]
DESKTOP, PHONE = 1280, 390


@pytest.fixture(scope="module")
def site(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> str:  # noqa: ARG001 - without one nothing is built
    folder = tmp_path_factory.mktemp("site")
    build(folder)
    return (folder / "site").as_uri()


class Reader:
    """Opens pages, and keeps what goes wrong."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        self.wrong: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("requestfailed", lambda request: self.wrong.append(request.url))
        page.on("console", lambda message: self.wrong.append(message.text))


@pytest.fixture
def reader(browser: "Browser") -> Iterator[Reader]:
    context = browser.new_context(offline=True)
    yield Reader(context.new_page())
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_and_loads_nothing_from_elsewhere(
    name: str, width: int, scheme: Literal["light", "dark"], site: str, reader: Reader
) -> None:
    reader.page.emulate_media(color_scheme=scheme)
    reader.page.set_viewport_size({"width": width, "height": 844})
    reader.page.goto(f"{site}/{name}.html")
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= width
    assert reader.wrong == []


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("poll_timeout", "firezone_filter.Gateway.poll_timeout"),
        ("tcp-port", "firezone_filter.Reason.TCP_PORT"),
        ("FZ203", "Lint"),
        ("--since", "firezone-filter-replay.--since"),
    ],
    ids=["name", "reason", "lint", "option"],
)
def test_the_search_finds(words: str, found: str, width: int, site: str, reader: Reader) -> None:
    reader.page.set_viewport_size({"width": width, "height": 844})
    reader.page.goto(f"{site}/index.html")
    if width == PHONE:
        reader.page.locator(".nav-overlay-icon").click()
    reader.page.get_by_role("textbox").fill(words)
    reader.page.keyboard.press("Enter")
    results = reader.page.locator("#search-results ul.search")
    results.get_by_role("link", name=found, exact=True).first.wait_for()
    assert reader.wrong == []
