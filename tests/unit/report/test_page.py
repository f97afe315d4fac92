"""The page of a report, as text; `tests/browser` looks at it."""

import re
from html.parser import HTMLParser

import pytest
from attrs import evolve

from firezone_filter.report.data import ReportData
from firezone_filter.report.page import MAX_BYTES, About, render
from firezone_filter.values.decisions import Reason
from tests.reports import ABOUT, BEGIN_NS, ESCAPING, add, allowed, flow, hostile, night, refused

NIGHT = render(night(), ABOUT)


class Tags(HTMLParser):
    """What a browser would make of a page: its elements, and all text outside of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.ids: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value is not None]

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for each, attributes in self.found if each == tag]


@pytest.mark.parametrize(
    "about",
    [
        About(ESCAPING, ESCAPING),
        About("a", "b", ((ESCAPING, ESCAPING),), (ESCAPING,), {ESCAPING: f"{ESCAPING}!"}),
    ],
)
def test_what_comes_from_outside_is_text_and_nothing_else(about: About) -> None:
    tags = Tags(render(hostile(), about))
    assert tags.all("img") == []
    assert len(tags.all("script")) == 1
    assert [name for _, attributes in tags.found for name in attributes if name[:2] == "on"] == []
    assert ESCAPING in tags.text


def test_what_turns_text_around_or_cannot_be_encoded_is_spelled_out() -> None:
    data = ReportData()
    add(data, allowed("al\u202eice\ud800\0"))
    page = render(data, ABOUT)
    page.encode()
    assert "\\u202eice\\ud800\\x00" in page
    assert "\u202e" not in page


def test_the_page_names_nothing_outside_of_it() -> None:
    # The name of an XML namespace is an address that nobody opens.
    assert set(re.findall(r"\w+://[\w./]*", NIGHT)) == {"http://www.w3.org/2000/svg"}
    assert not re.findall(r"url\(|@import|fetch\(|XMLHttpRequest|innerHTML", NIGHT)
    tags = Tags(NIGHT)
    for attributes in (attributes for _, attributes in tags.found):
        assert not attributes.keys() & {"src", "srcset", "action", "style", "background"}
        assert (attributes.get("href") or "#").startswith("#")


def test_its_policy_permits_its_own_script_and_style_alone() -> None:
    (policy,) = [each["content"] or "" for each in Tags(NIGHT).all("meta") if "http-equiv" in each]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_ids_are_unique_and_what_refers_to_one_finds_it() -> None:
    tags = Tags(NIGHT)
    assert len(tags.ids) == len(set(tags.ids))
    for _, attributes in tags.found:
        for name in ("aria-labelledby", "data-for"):
            assert attributes.get(name) in {None, *tags.ids}
        assert (attributes.get("href") or "#main").removeprefix("#") in tags.ids


def test_all_packets_decided_are_summed_up() -> None:
    text = " ".join(Tags(NIGHT).text.split())
    assert "Packets decided 14,433" in text
    assert "Packets decided Every packet that was decided is in exactly one row." in text
    assert "all packets" not in text.lower()  # those of nobody are not here
    assert "2027-01-15 08:00:00.000 to 2027-01-15 09:59:07.000 UTC (1 h 59 min)" in text


def test_a_refusal_has_its_reason_in_words_and_an_example() -> None:
    data = ReportData()
    add(data, refused("mallory"), 1_234, number=77, text="because <of> this")
    text = " ".join(Tags(render(data, ABOUT)).text.split())
    assert Reason.NO_RESOURCE.description in text
    assert "1,234 no-resource mallory → (no resource) from 2027-01-15 08:00:00.000" in text
    assert "Frame 77, 2027-01-15 08:00:00.000 UTC: because <of> this" in text


def test_refusals_without_an_example_say_so_and_many_are_folded_away() -> None:
    data = ReportData(max_examples=1)
    for place in range(17):
        add(data, refused(f"client-{place}"), 20 - place)
    text = " ".join(Tags(render(data, ABOUT)).text.split())
    assert "There were too many to keep an example of this one." in text
    assert " 2 more " in text


def test_refusals_with_and_without_a_reply_are_one() -> None:
    data = ReportData()
    add(data, refused("eve"), 3, at_s=2)
    add(data, evolve(refused("eve"), kind="reject"), 2, at_s=1)
    page = render(data, ABOUT)
    assert '<span class="count">5</span>' in page
    assert page.count('<details class="example"') == 1


def test_a_large_matrix_says_what_it_leaves_out() -> None:
    data = ReportData()
    for number in range(41):
        add(data, allowed(f"client-{number}", f"resource-{number % 26}"), 99 - number)
    page = render(data, ABOUT)
    assert "The largest are shown, without 1 client and 2 resources." in page


def test_what_belongs_to_nobody_has_a_name() -> None:
    data = ReportData()
    add(data, allowed("alice", None))
    add(data, refused(None, None, Reason.MALFORMED))
    text = Tags(render(data, About("a", "b", (), (), {"db": "Database"}))).text
    for label in ("(the gateway itself)", "(no client)", "(no resource)"):
        assert label in text


def test_a_resource_is_called_by_its_name_beside_its_id() -> None:
    data = ReportData()
    add(data, allowed("alice", "db"))
    assert (
        "Main database"
        in Tags(render(data, About("a", "b", (), (), {"db": "Main database"}))).text
    )


def test_of_a_flow_that_came_late_the_size_is_given_from_the_least_to_the_most() -> None:
    data = ReportData()
    data.flows.floor_bytes, data.flows.floor_packets = 5_000, 7
    add(data, allowed(), 3, size=1_000)
    text = Tags(render(data, ABOUT)).text
    assert "3 to 10" in text
    assert "3 kB to 8 kB" in text


def test_without_a_packet_of_a_client_the_page_says_so() -> None:
    page = render(ReportData(), About("empty.pcap", "p", remarks=("no client appears in it",)))
    assert "so nothing was decided" in page
    assert "no client appears in it" in page
    assert "<svg" not in page


def test_a_page_of_several_days_has_dates_in_its_tables() -> None:
    data = ReportData()
    add(data, allowed())
    add(data, allowed(), at_s=100_000)
    assert "2027-01-16 11:46:40.000</td>" in render(data, ABOUT)
    assert "2027-01-15 08:00:00.000</td>" not in NIGHT


def test_however_much_there_is_to_show_the_page_is_small_enough() -> None:
    data = ReportData()
    # Each of them takes six characters in HTML.
    quotes = '"' * 500
    for place in range(4_000):
        group = refused(f"{place}{quotes}", f"{place}{quotes}", Reason.TCP_PORT)
        data.add(group, flow(f"{place}{quotes}", place), BEGIN_NS + place * 10**9, 100)
        if place < 250:
            add(data, group, text='"' * 8_000)
    page = render(data, ABOUT)
    assert len(page.encode()) <= MAX_BYTES
    assert "The largest rows are shown, without" in page
    assert "The largest are shown, without" in page


def test_the_same_data_give_the_same_page() -> None:
    assert render(night(), ABOUT) == NIGHT


def test_the_ends_of_a_flow_have_ports_if_there_are_any() -> None:
    data = ReportData()
    far = b"\x20\x01" + bytes(13) + b"\5"
    for each in (
        flow()._replace(far=far),
        flow()._replace(protocol=47, near_port=None, far_port=None),
    ):
        data.add(allowed(), each, BEGIN_NS, 100)
    text = " ".join(Tags(render(data, ABOUT)).text.split())
    assert "tcp 100.64.0.2:1 [2001::5]:443" in text
    assert "gre 100.64.0.2 10.0.0.5" in text
