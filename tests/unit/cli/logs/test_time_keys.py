"""The sort keys of times."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.cli.logs.time_keys import is_real, time_key

NOON = "2026-08-22T12:00:00"

MOMENTS = st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29))  # noqa: DTZ001 - zones are drawn apart
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.builds(lambda moment, zone: moment.replace(tzinfo=zone), MOMENTS, ZONES)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"{NOON}Z", NOON),
        (f"{NOON}.000000000Z", NOON),
        (f"{NOON}.5Z", f"{NOON}.5"),
        (f"{NOON}.500Z", f"{NOON}.5"),
        (f"{NOON}.123456789Z", f"{NOON}.123456789"),
        (f"{NOON}.{'1' * 40}Z", f"{NOON}.{'1' * 40}"),
        ("2026-08-22t12:00:00z", NOON),
        ("2026-08-22 12:00:00Z", NOON),
        (NOON, NOON),
        (f"{NOON}+00:00", NOON),
        (f"{NOON}-00:00", NOON),
        ("2026-08-22T14:00:00+02:00", NOON),
        ("2026-08-22T06:30:00-05:30", NOON),
        ("2026-08-23T01:00:00.25+13:00", f"{NOON}.25"),
        (f"{NOON}+0000", NOON),
        (f"{NOON}-0000", NOON),
        (f"{NOON}.5+0000", f"{NOON}.5"),
        ("2026-08-22T14:00:00+0200", NOON),
        ("2026-08-22T06:30:00-0530", NOON),
        ("2026-08-22 14:00:00+02", NOON),
        ("2026-08-22T01:00:00-11", NOON),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:60"),
        ("2017-01-01T00:59:60.5+01:00", "2016-12-31T23:59:60.5"),
        ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59"),
    ],
)
def test_a_time_has_a_key(text: str, key: str) -> None:
    assert time_key(text) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "noon",
        "2026-08-22",
        f"{NOON}Z ",
        f"{NOON}Z\n",
        f"{NOON}.Z",
        f"{NOON}ZZ",
        f"{NOON}+2:00",
        f"{NOON}+24:00",
        f"{NOON}+2400",
        f"{NOON}+24",
        f"{NOON}+0260",
        f"{NOON}+020",
        f"{NOON}+02:",
        f"{NOON}+",
        f"{NOON}0000",
        f"{NOON}+02:60",
        f"+{NOON}Z",
        "12026-08-22T12:00:00Z",
        "2026-13-22T12:00:00Z",
        "2026-00-22T12:00:00Z",
        "2026-08-32T12:00:00Z",
        "2026-08-00T12:00:00Z",
        "2026-08-22T24:00:00Z",
        "2026-08-22T12:60:00Z",
        "2026-08-22T12:00:61Z",
        "2026-08-22T12:00Z",
        "٢٠٢٦-08-22T12:00:00Z",
        "2026-02-31T12:00:00+01:00",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "0000-01-01T00:00:00+00:00",
    ],
)
def test_any_other_text_has_no_key(text: str) -> None:
    assert time_key(text) is None


@given(TIMES, TIMES)
def test_keys_sort_as_times_do(one: datetime, other: datetime) -> None:
    first, second = time_key(one.isoformat()), time_key(other.isoformat())
    assert first is not None
    assert second is not None
    assert ((first < second), (first == second)) == (one < other, one == other)


@given(TIMES)
def test_a_key_is_in_utc(time: datetime) -> None:
    key = time_key(time.isoformat())
    assert key is not None
    assert time_key(time.astimezone(UTC).isoformat()) == key


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (f"{NOON}Z", f"{NOON}.000000001Z"),
        (f"{NOON}.0999Z", f"{NOON}.1Z"),
        (f"{NOON}.1Z", f"{NOON}.11Z"),
        ("2016-12-31T23:59:59.9Z", "2016-12-31T23:59:60Z"),
        ("2016-12-31T23:59:60.9Z", "2017-01-01T00:00:00Z"),
    ],
)
def test_earlier_times_sort_first(earlier: str, later: str) -> None:
    assert (time_key(earlier) or "") < (time_key(later) or "")


@pytest.mark.parametrize(
    ("key", "real"),
    [
        (NOON, True),
        ("2024-02-29T00:00:00", True),
        ("2026-02-29T00:00:00", False),
        ("2026-02-31T00:00:00.5", False),
        ("0000-01-01T00:00:00", False),
        ("", False),
    ],
)
def test_a_key_may_be_of_a_day_that_does_not_exist(key: str, *, real: bool) -> None:
    assert is_real(key) is real
