"""Times in log lines."""

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
def test_a_time_outside_the_years_1_to_9999_raises(time_ns: int) -> None:
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
def test_seconds_keep_their_decimal_digits(seconds: float, time_ns: int) -> None:
    assert nanoseconds(seconds) == time_ns


class Odd(float):
    def __repr__(self) -> str:
        return "odd"  # pragma: no cover - not called, and that is the claim


def test_a_float_with_a_repr_of_its_own_keeps_its_digits() -> None:
    assert nanoseconds(Odd(1.5)) == 1_500_000_000


@given(st.integers(0, 2**32 * 1_000_000))
def test_microseconds_survive_being_a_float(microseconds: int) -> None:
    assert nanoseconds(microseconds / 1_000_000) == microseconds * 1000


def test_a_time_is_formatted_in_utc() -> None:
    assert format_time(1_790_000_000.5) == "2026-09-21T14:13:20.500000000Z"


@pytest.mark.parametrize(
    "seconds",
    [1e300, -1e300, math.inf, math.nan, 10**400],
    ids=["late", "early", "infinite", "nan", "huge"],
)
def test_a_number_that_is_no_time_stays_a_number(seconds: float) -> None:
    assert format_time(seconds) is seconds
