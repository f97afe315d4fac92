"""How a report spells numbers and times."""

import pytest

from firezone_filter.report.words import (
    MAX_NAME,
    brief_number,
    counted,
    duration,
    moment,
    printable_lines,
    share,
    short_number,
    shortened,
    size,
)

S = 10**9


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (1_234_567, "1.23 MB"),
        (5 * 10**9, "5 GB"),
        (10**12, "1.0 TB"),
        (10**16, "10,000.0 TB"),
    ],
)
def test_bytes_have_the_unit_that_suits_them(value: int, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (950, "950"), (1_500, "1.5 k"), (2e7, "20 M"), (3e9, "3 G"), (4e12, "4 T")],
)
def test_scales_have_short_numbers(value: float, text: str) -> None:
    assert short_number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (999_999, "999,999"), (1_000_000, "1 M"), (12_345_678, "12.3 M")]
)
def test_narrow_columns_have_exact_numbers_that_fit(value: int, text: str) -> None:
    assert brief_number(value) == text


def test_what_is_counted_is_singular_once() -> None:
    assert [counted(value, "client") for value in (0, 1, 2_000)] == [
        "0 clients",
        "1 client",
        "2,000 clients",
    ]


def test_of_what_cannot_be_printed_only_ends_of_lines_act() -> None:
    assert printable_lines("a\nb\t\u202e\ud800") == "a\nb\\t\\u202e\\ud800"


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 9_999, "< 0.1 %"),
        (9_999, 10_000, "> 99.9 %"),
        (1, 3, "33.3 %"),
    ],
)
def test_a_share_is_nothing_or_all_only_if_it_is(part: int, whole: int, text: str) -> None:
    assert share(part, whole) == text


@pytest.mark.parametrize(
    ("span_ns", "text"),
    [
        (0, "0 s"),
        (S // 4, "0.25 s"),
        (59 * S, "59 s"),
        (60 * S, "1 min"),
        (3_600 * S, "1 h"),
        (90_061 * S, "1 d 1 h"),
        (119 * 60 * S, "1 h 59 min"),
    ],
)
def test_a_span_of_time_has_its_two_largest_units(span_ns: int, text: str) -> None:
    assert duration(span_ns) == text


def test_a_moment_has_milliseconds() -> None:
    assert moment(1_500_000_000_123_456_789) == "2017-07-14 02:40:00.123"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x" * MAX_NAME, "x" * MAX_NAME),
        ("x" * (MAX_NAME + 1), "x" * MAX_NAME + "…"),
        ("\n" * MAX_NAME, "\\n" * (MAX_NAME // 2) + "…"),
    ],
)
def test_a_long_name_is_cut(name: str, text: str) -> None:
    assert shortened(name) == text
