"""Makes the picture of a report that README and the site show: `python -m tests.browser.picture`.

It is two parts of one page: what passed and what did not, and why.
"""

import io
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image

from firezone_filter.cli.command import run
from tests.browser.conftest import NAMES
from tests.snippets import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURE: Final = ROOT / "docs" / "images" / "report.png"
OFFICE: Final = ROOT / "examples" / "office"
WIDTH: Final = 1000
COLOURS: Final = 128


def parts(page: "Page") -> list[Image.Image]:
    """Return the first picture with all above it, and the matrix with the refusals below."""
    shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    charts = page.locator("figure").nth(1).bounding_box()
    matrix = page.get_by_role("heading", name="Clients and resources").bounding_box()
    flows = page.get_by_role("heading", name="Largest flows").bounding_box()
    assert charts is not None
    assert matrix is not None
    assert flows is not None
    bounds = [(0, charts["y"] - 8), (matrix["y"] - 16, flows["y"] - 16)]
    return [shot.crop((0, round(first), WIDTH, round(last))) for first, last in bounds]


def main() -> None:
    """Replay the office, look at its report, and keep the picture."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - tests import this folder

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder, "report.html")
        capture, policy = (str(OFFICE / name) for name in ("office.pcap", "policy.json"))
        run(["replay", capture, "--policy", policy, "--html", str(path)])
        own = Path(playwright.chromium.executable_path)
        program = own if own.exists() else next(filter(None, map(shutil.which, NAMES)))
        browser = playwright.chromium.launch(executable_path=program)
        page = browser.new_page(viewport={"width": WIDTH, "height": 800}, color_scheme="light")
        page.goto(path.as_uri())
        above, below = parts(page)
        browser.close()
    whole = Image.new("RGB", (WIDTH, above.height + below.height), "white")
    whole.paste(above, (0, 0))
    whole.paste(below, (0, above.height))
    PICTURE.parent.mkdir(exist_ok=True)
    whole.quantize(COLOURS).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
