"""Which series a picture has, and how it is drawn."""

from xml.etree import ElementTree as ET

from firezone_filter.report.data import ReportData
from firezone_filter.report.drawing import Size, draw
from firezone_filter.report.pictures import MAX_COLUMNS, MAX_SERIES, Picture, all_packets, pictures
from firezone_filter.values.decisions import Reason
from tests.reports import add, allowed, night, refused

SVG = "{http://www.w3.org/2000/svg}"


def labels(data: ReportData, name: str) -> list[str]:
    return [each.label for each in picture(data, name).series]


def picture(data: ReportData, name: str) -> Picture:
    (found,) = [each for each in pictures(data) if each.name == name]
    return found


def test_every_packet_is_in_the_picture_of_all() -> None:
    data = night()
    totals = {each.label: each.total for each in all_packets(data).series}
    assert totals == {"refused": 753, "passed": 13_680}


def test_pictures_side_by_side_have_fewer_columns_and_lose_nothing() -> None:
    data = night()
    for each in pictures(data):
        assert len(each.edges_ns) - 1 <= MAX_COLUMNS
    by_client = picture(data, "client-passed"), picture(data, "client-refused")
    assert sum(series.total for each in by_client for series in each.series) == 14_433


def test_a_name_has_one_colour_in_both_pictures() -> None:
    data = night()
    colours = [
        {series.label: series.colour for series in picture(data, name).series}
        for name in ("client-refused", "client-passed")
    ]
    assert colours[0]["bob"] == colours[1]["bob"]


def test_more_names_than_colours_are_joined() -> None:
    data = ReportData()
    for place in range(MAX_SERIES + 1):
        add(data, allowed(f"client-{place}", f"resource-{place}"), 20 - place)
    expected = [f"client-{place}" for place in range(MAX_SERIES - 1)]
    assert labels(data, "client-passed") == [*expected, "(2 others)"]
    assert labels(data, "client-refused") == []


def test_as_many_names_as_colours_are_told_apart() -> None:
    data = ReportData()
    for place in range(MAX_SERIES):
        add(data, allowed(f"client-{place}"), 20 - place)
    assert labels(data, "client-passed") == [f"client-{place}" for place in range(MAX_SERIES)]


def test_more_reasons_than_colours_are_joined() -> None:
    data = ReportData()
    for place, reason in enumerate(Reason):
        add(data, refused(reason=reason), 100 - place)
    shown, others = labels(data, "reason-refused"), f"({len(Reason) - MAX_SERIES + 1} others)"
    assert shown == [*[each.value for each in list(Reason)[: MAX_SERIES - 1]], others]
    total = sum(each.total for each in picture(data, "reason-refused").series)
    assert total == sum(100 - place for place in range(len(Reason)))


def test_a_drawing_has_nothing_that_would_clash_with_the_page() -> None:
    root = ET.fromstring(draw(all_packets(night()), Size(900, 200)))  # noqa: S314 - ours
    names = {name for element in root.iter() for name in element.attrib}
    assert not names & {"id", "style", "clip-path"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "g", "path", "text", "rect", "title")
    }


def test_each_column_with_packets_says_its_numbers() -> None:
    data = ReportData()
    add(data, allowed(), 1_500)
    add(data, refused(), 2)
    add(data, allowed(), 3, at_s=0.1)
    root = ET.fromstring(draw(all_packets(data), Size(900, 200)))  # noqa: S314 - ours
    assert [title.text for title in root.iter(f"{SVG}title")] == [
        "2027-01-15 08:00:00.000 to 08:00:00.001: refused 2, passed 1,500",
        "2027-01-15 08:00:00.100 to 08:00:00.101: passed 3",
    ]
