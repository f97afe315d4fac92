"""A report in a real Chromium: it renders, filters, sorts, prints, and runs nothing of others."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from firezone_filter.report.page import About, render
from tests.reports import ABOUT, ESCAPING, hostile, night

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Opening = Callable[..., "Page"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    (folder / "night.html").write_text(render(night(), ABOUT))
    about = About(ESCAPING, ESCAPING, ((ESCAPING, "1"),), (ESCAPING,), {ESCAPING: f"{ESCAPING}!"})
    (folder / "hostile.html").write_text(render(hostile(), about))
    return folder


@pytest.fixture
def opened(browser: "Browser", files: Path) -> Iterator[Opening]:
    """Open a page; whatever it complains about or asks the network for fails the test."""
    with watching() as watch:
        contexts = []

        def open_page(name: str = "night", **options: Any) -> "Page":  # noqa: ANN401 - playwright's
            context = browser.new_context(**options)
            contexts.append(context)
            page = context.new_page()
            watch(page)
            page.goto((files / f"{name}.html").as_uri())
            return page

        yield open_page
        for context in contexts:
            context.close()


@contextmanager
def watching() -> Iterator[Callable[["Page"], None]]:
    seen: list[str] = []

    def watch(page: "Page") -> None:
        page.on("console", lambda message: seen.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: seen.append(f"error: {error}"))
        page.on("dialog", lambda dialog: seen.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: seen.append(f"request: {request.url}"))

    yield watch
    assert [one for one in seen if not one.startswith("request: file://")] == []
    assert all(one.endswith(".html") for one in seen)


def shown_rows(page: "Page", table: str = "packet-table") -> list[list[str]]:
    rows: list[list[str]] = page.evaluate(
        """id => [...document.querySelectorAll(`#${id} tbody tr`)]
            .filter(row => row.offsetParent)
            .map(row => [...row.cells].map(cell => cell.innerText))""",
        table,
    )
    return rows


def colour_counts(png: bytes) -> dict[bytes, int]:
    """Count the colours of a PNG picture with filters as Chromium writes them."""
    header = png.index(b"IHDR") + 4
    width = int.from_bytes(png[header : header + 4])
    depth = {2: 3, 6: 4}[png[header + 9]]
    data, at = b"", 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + size]
        at += size + 12
    raw, stride = zlib.decompress(data), width * depth
    before = bytearray(stride)
    counts: dict[bytes, int] = {}
    for start in range(0, len(raw), stride + 1):
        line = unfiltered(
            raw[start], bytearray(raw[start + 1 : start + 1 + stride]), before, depth
        )
        for x in range(0, stride, depth * 4):  # every fourth is enough
            colour = bytes(line[x : x + 3])
            counts[colour] = counts.get(colour, 0) + 1
        before = line
    return counts


def unfiltered(kind: int, line: bytearray, above: bytearray, depth: int) -> bytearray:
    for x in range(len(line)):
        left = line[x - depth] if x >= depth else 0
        corner = above[x - depth] if x >= depth else 0
        if kind == 4:
            estimate = left + above[x] - corner
            nearest = [left, above[x], corner]
            add = min(nearest, key=lambda each: abs(estimate - each))
        else:
            add = (0, left, above[x], (left + above[x]) // 2)[kind]
        line[x] = line[x] + add & 0xFF
    return line


# --- It renders ----------------------------------------------------------------------------


def test_it_renders_in_colours_light_and_dark(opened: Opening) -> None:
    size = {"width": 1000, "height": 700}
    light = opened(color_scheme="light", viewport=size).screenshot()
    dark = opened(color_scheme="dark", viewport=size).screenshot()
    for picture, is_dark in ((light, False), (dark, True)):
        counts = colour_counts(picture)
        assert len(counts) > 20
        page = max(counts, key=lambda colour: counts[colour])
        assert (max(page) < 64) is is_dark
        # The picture of all packets decided is there: what passed fills a good part of the screen.
        teal = sum(count for colour, count in counts.items() if colour[1] > colour[0] + 60)
        assert teal > 0.05 * sum(counts.values())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_switch_wins_over_the_system(opened: Opening, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    background = "getComputedStyle(document.body).backgroundColor"
    by_system = page.evaluate(background)
    other = {"light": "Dark", "dark": "Light"}[scheme]
    page.get_by_role("button", name=other, exact=True).click()
    assert page.evaluate(background) != by_system
    page.get_by_role("button", name="Auto", exact=True).click()
    assert page.evaluate(background) == by_system


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_window(opened: Opening, width: int) -> None:
    for name in ("night", "hostile"):
        page = opened(name, viewport={"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_can_be_read_without_scripts(opened: Opening) -> None:
    page = opened(java_script_enabled=False)
    assert page.locator("svg.plot").first.is_visible()
    assert not page.locator("form").first.is_visible()
    assert page.locator("#packet-table tbody tr").last.is_visible()


def test_it_prints_with_every_example_unfolded(opened: Opening) -> None:
    page = opened()
    folded = page.locator("details.example:not([open])")
    assert folded.count() > 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert folded.count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert folded.count() > 0
    printed = page.pdf(prefer_css_page_size=True)
    assert printed.startswith(b"%PDF-")
    assert len(printed) > 20_000


def test_printed_heads_are_text_since_buttons_are_not_repeated(opened: Opening) -> None:
    page = opened("night")
    page.emulate_media(media="print")
    sort = page.locator("#flow-table .sort").first
    assert sort.evaluate("(button) => getComputedStyle(button).display") == "contents"


# --- Filters and sorting -------------------------------------------------------------------


def test_filters_leave_the_rows_that_fit_all_of_them(opened: Opening) -> None:
    page = opened()
    every = shown_rows(page)
    form = page.locator("form[data-for=packet-table]")
    form.get_by_label("Outcome").select_option("refused")
    refused = shown_rows(page)
    assert refused == [row for row in every if row[3] == "drop"]
    form.get_by_label("Client").select_option(label="alice")
    assert shown_rows(page) == [row for row in refused if row[0] == "alice"]
    assert form.locator("output").inner_text() == "1 of 9 rows, 12 packets"
    form.get_by_role("button", name="Reset").click()
    page.wait_for_function("document.querySelectorAll('#packet-table tr[hidden]').length === 0")
    assert shown_rows(page) == every


def test_the_search_finds_any_text_of_a_row(opened: Opening) -> None:
    page = opened()
    page.locator("form[data-for=packet-table] input").fill("NO-RES")
    assert [row[0] for row in shown_rows(page)] == ["mallory"]
    page.locator("form[data-for=flow-table] input").fill("mallory")
    flows = shown_rows(page, "flow-table")
    assert flows
    assert {row[0] for row in flows} == {"mallory"}


def test_columns_sort_by_numbers_or_words_both_ways(opened: Opening) -> None:
    page = opened()
    for column, name in ((5, "Packets"), (7, "First (UTC)"), (0, "Client")):
        head = page.locator("#packet-table th").nth(column)
        orders = []
        for _ in range(2):
            head.get_by_role("button", name=name).click()
            orders.append([row[column].replace(",", "") for row in shown_rows(page)])
        key = int if column == 5 else str
        first = sorted(orders[0], key=key, reverse=column != 0)
        assert orders == [first, first[::-1]]
    assert head.get_attribute("aria-sort") == "descending"
    assert page.locator("#packet-table [aria-sort]").count() == 1


def test_a_cell_of_the_matrix_leads_to_its_rows(opened: Opening) -> None:
    page = opened()
    page.locator(".matrix tbody tr", has_text="mallory").locator("button").click()
    assert [row[:5] for row in shown_rows(page)] == [
        ["mallory", "(no resource)", "outbound", "drop", "no-resource"]
    ]


# --- Pictures ------------------------------------------------------------------------------


def test_a_name_chosen_in_a_legend_stands_out(opened: Opening) -> None:
    page = opened()
    picture = page.locator("#client-passed")
    key = picture.get_by_role("button", name="bob")
    key.click()
    assert picture.locator(".series.dim").count() == 2
    key.click()
    assert picture.locator(".series.dim").count() == 0


def test_the_keyboard_reads_a_picture(opened: Opening) -> None:
    page = opened()
    page.locator("#all .plots").focus()
    page.keyboard.press("End")
    readout = page.locator("#all .readout")
    assert (
        readout.inner_text() == "2027-01-15 09:59:00.000 to 09:59:30.000: refused 39, passed 114"
    )
    page.keyboard.press("Home")
    assert readout.inner_text().startswith("2027-01-15 08:00:00.000")
    page.keyboard.press("ArrowRight")
    assert readout.inner_text().startswith("2027-01-15 08:01:00.000")
    page.keyboard.press("Tab")
    assert readout.inner_text() == ""


def test_the_pointer_reads_a_picture(opened: Opening) -> None:
    page = opened()
    page.locator("#all .plot-1 .hit").first.hover()
    assert "passed 114" in page.locator("#all .readout").inner_text()


# --- For everybody -------------------------------------------------------------------------


def test_headings_tables_and_fields_say_what_they_are(opened: Opening) -> None:
    page = opened()
    faults = page.evaluate(
        """() => {
          const all = (query) => [...document.querySelectorAll(query)];
          const faults = [];
          if (all("h1").length !== 1) faults.push("h1");
          let level = 0;
          all("h1, h2, h3, h4").forEach((each) => {
            const own = Number(each.tagName[1]);
            if (own > level + 1) faults.push(`skips to ${each.textContent}`);
            level = own;
          });
          all("th").forEach((each) => each.scope || faults.push(`th ${each.textContent}`));
          all("input, select").forEach((each) => each.labels.length || faults.push(each.name));
          all("button").forEach((each) => each.innerText.trim() || each.textContent.trim()
            || faults.push(each.outerHTML));
          all("[role=region], [role=group], [role=img]").forEach((each) =>
            each.getAttribute("aria-label") || each.getAttribute("aria-labelledby")
            || faults.push(each.outerHTML.slice(0, 80)));
          return faults;
        }"""
    )
    assert faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(opened: Opening, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    poor = page.evaluate(
        """() => {
          const canvas = document.createElement("canvas").getContext("2d",
            { willReadFrequently: true });
          const rgb = (colour) => {
            canvas.clearRect(0, 0, 1, 1);
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data];
          };
          const light = ([r, g, b]) => [r, g, b].map((one) => one / 255).map((one) =>
            one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
            .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
          const behind = (element) => {
            for (let each = element; each; each = each.parentElement) {
              const colour = rgb(getComputedStyle(each).backgroundColor);
              if (colour[3] === 255) return colour;
            }
            return [255, 255, 255, 255];
          };
          const poor = new Set();
          document.querySelectorAll("body *").forEach((each) => {
            if (![...each.childNodes].some((one) => one.nodeType === 3 && one.data.trim())) return;
            if (each.closest("script, title") || !each.getClientRects().length) return;
            const style = getComputedStyle(each);
            const ink = each.closest("svg") ? style.fill : style.color;
            const [a, b] = [light(rgb(ink)), light(behind(each))].sort((x, y) => y - x);
            const ratio = (a + 0.05) / (b + 0.05);
            if (ratio < 4.5) poor.add(`${each.tagName}.${each.className} ${ratio.toFixed(2)}`);
          });
          return [...poor];
        }"""
    )
    assert poor == []


# --- Against the page ----------------------------------------------------------------------


def test_ids_that_try_to_be_scripts_are_text(opened: Opening) -> None:
    page = opened("hostile")
    assert page.locator("img").count() == 0
    assert page.title().startswith(ESCAPING)
    assert shown_rows(page)[0][0] == ESCAPING
    assert page.locator("pre").first.inner_text() == ESCAPING
    page.locator("form[data-for=packet-table]").get_by_label("Client").select_option(
        label=ESCAPING
    )
    assert len(shown_rows(page)) == 2
    page.locator("#all .hit").first.hover()


def test_a_script_that_gets_into_the_page_does_not_run(browser: "Browser", tmp_path: Path) -> None:
    path = tmp_path / "broken.html"
    injected = "<script>window.ran = true</script><img src=x onerror='window.ran = true'>"
    path.write_text(render(night(), ABOUT).replace("</main>", f"{injected}</main>"))
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.evaluate("window.ran") is None
    page.close()
