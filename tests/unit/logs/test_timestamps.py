"""Times as log lines spell them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.logs.timestamps import format_time, nanoseconds, rfc3339


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (999_999_999, "1970-01-01T00:00:00.999999999Z"),
        (1_000_000_000, "1970-01-01T00:00:01.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (4_294_967_295_999_999_999, "2106-02-07T06:28:15.999999999Z"),
        (-62_135_596_800_000_000_000, "0001-01-01T00:00:00.000000000Z"),
        (253_402_300_799_999_999_999, "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_times_have_nine_digits(time_ns: int, text: str) -> None:
    assert rfc3339(time_ns) == text


@pytest.mark.parametrize(
    "time_ns", [-62_135_596_800_000_000_001, 253_402_300_800_000_000_000, 10**40, -(10**40)]
)
def test_a_time_of_a_year_that_has_not_four_digits_cannot_be_spelled(time_ns: int) -> None:
    with pytest.raises(OverflowError):
        rfc3339(time_ns)


@pytest.mark.parametrize(
    ("seconds", "time_ns"),
    [
        (1, 1_000_000_000),
        (1.5, 1_500_000_000),
        (1_790_000_000.123, 1_790_000_000_123_000_000),
        (1_790_000_000.1234567, 1_790_000_000_123_456_700),
        (-0.25, -250_000_000),
        (1e-9, 1),
        (1e-10, 0),
        (2**60, 2**60 * 1_000_000_000),
    ],
)
def test_seconds_keep_the_digits_that_they_are_written_with(seconds: float, time_ns: int) -> None:
    assert nanoseconds(seconds) == time_ns


class Odd(float):
    def __repr__(self) -> str:
        return "odd"  # pragma: no cover - nobody asks, and that is the claim


def test_seconds_of_a_kind_that_writes_itself_in_another_way_are_seconds_too() -> None:
    assert nanoseconds(Odd(1.5)) == 1_500_000_000


@given(st.integers(0, 2**32 * 1_000_000))
def test_microseconds_survive_being_a_float(microseconds: int) -> None:
    assert nanoseconds(microseconds / 1_000_000) == microseconds * 1000


def test_a_time_is_spelled() -> None:
    assert format_time(1_790_000_000.5) == "2026-09-21T14:13:20.500000000Z"


@pytest.mark.parametrize("seconds", [1e300, -1e300, math.inf, 10**400])
def test_what_no_year_has_stays_a_number(seconds: float) -> None:
    assert format_time(seconds) == seconds


def test_what_is_no_number_stays_so() -> None:
    assert math.isnan(float(format_time(math.nan)))
