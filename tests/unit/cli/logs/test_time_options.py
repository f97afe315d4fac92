"""The times after `--since` and `--until`."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firezone_filter.cli.logs.time_keys import time_key
from firezone_filter.cli.logs.time_options import to_key

NOW = datetime(2026, 8, 22, 12, 30, 15, 250_000, tzinfo=UTC)


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put this computer into Berlin: UTC+2 in summer, UTC+1 in winter."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


MOMENTS = [
    ("2026-08-22T12:00:00Z", "2026-08-22T12:00:00"),
    ("2026-08-22t12:00:00z", "2026-08-22T12:00:00"),
    ("2026-08-22 12:00:00Z", "2026-08-22T12:00:00"),
    ("2026-08-22T12:00:00.50+02:00", "2026-08-22T10:00:00.5"),
    ("2026-08-22T12:00:00+0200", "2026-08-22T10:00:00"),
    ("2026-08-22T12:00+02", "2026-08-22T10:00:00"),
    ("2016-12-31T23:59:60Z", "2016-12-31T23:59:60"),
    ("14:30Z", "2026-08-22T14:30:00"),
    ("00:30+02:00", "2026-08-21T22:30:00"),
    ("now", "2026-08-22T12:30:15.25"),
    ("-1h", "2026-08-22T11:30:15.25"),
    ("-90s", "2026-08-22T12:28:45.25"),
    ("-15m", "2026-08-22T12:15:15.25"),
    ("-1H30M", "2026-08-22T11:00:15.25"),
    ("-2d", "2026-08-20T12:30:15.25"),
    ("-1w", "2026-08-15T12:30:15.25"),
    ("-0s", "2026-08-22T12:30:15.25"),
]
IN_UTC = [
    ("2026-08-22", "2026-08-22T00:00:00"),
    ("0001-01-01", "0001-01-01T00:00:00"),
    ("9999-12-31", "9999-12-31T00:00:00"),
    ("2026-08-22T12:00:00", "2026-08-22T12:00:00"),
    ("2026-08-22 14:30", "2026-08-22T14:30:00"),
    ("today", "2026-08-22T00:00:00"),
    ("Yesterday", "2026-08-21T00:00:00"),
    ("tomorrow", "2026-08-23T00:00:00"),
    ("14:30", "2026-08-22T14:30:00"),
    ("9:05", "2026-08-22T09:05:00"),
    ("9:05:07", "2026-08-22T09:05:07"),
    ("14:30:05", "2026-08-22T14:30:05"),
    ("14:30:05.0120", "2026-08-22T14:30:05.012"),
    ("23:59:59.999999999", "2026-08-22T23:59:59.999999999"),
    ("yesterday 14:30", "2026-08-21T14:30:00"),
    ("yesterdayT14:30", "2026-08-21T14:30:00"),
]
IN_BERLIN = [
    ("2026-08-22", "2026-08-21T22:00:00"),
    ("2026-01-22", "2026-01-21T23:00:00"),
    ("2026-08-22T12:00:00.25", "2026-08-22T10:00:00.25"),
    ("2026-01-22 12:00", "2026-01-22T11:00:00"),
    ("today", "2026-08-21T22:00:00"),
    ("yesterday", "2026-08-20T22:00:00"),
    ("14:30", "2026-08-22T12:30:00"),
    ("00:30", "2026-08-21T22:30:00"),
    # The hour that there is twice, and the one that there is not.
    ("2026-10-25 02:30", "2026-10-25T00:30:00"),
    ("2026-03-29 02:30", "2026-03-29T01:30:00"),
]


@pytest.mark.parametrize(("text", "key"), MOMENTS + IN_UTC)
def test_a_time_is_in_utc(text: str, key: str) -> None:
    assert to_key(text, NOW) == key


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(("text", "key"), MOMENTS + IN_UTC)
def test_the_zone_of_the_computer_plays_no_part_in_that(text: str, key: str) -> None:
    assert to_key(text, NOW) == key


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(("text", "key"), MOMENTS + IN_BERLIN)
def test_a_time_without_a_zone_may_be_local(text: str, key: str) -> None:
    assert to_key(text, NOW, local=True) == key


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("today", "2026-08-22T22:00:00"),
        ("yesterday", "2026-08-21T22:00:00"),
        ("01:00", "2026-08-22T23:00:00"),
    ],
)
def test_the_local_day_may_have_begun_before_that_of_utc(text: str, key: str) -> None:
    late = datetime(2026, 8, 22, 23, 0, tzinfo=UTC)
    assert to_key(text, late, local=True) == key


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "noon",
        "soon 12:00",
        "2026-8-22",
        "2026-02-31",
        "2026-02-31T00:00:00Z",
        "2026-02-31T12:00:00+01:00",
        "2026-13-01",
        "0000-01-01",
        "22.8.2026",
        "2026-08-22Z",
        "todayZ",
        "Z",
        "+02:00",
        "14",
        "14:3",
        "24:00",
        "14:60",
        "14:30:61",
        "14:30:05.",
        "T14:30",
        "2026-08-2214:30",
        "2026-08-22T",
        "2026-08-22 yesterday",
        "14:30 yesterday",
        "1h",
        "+1h",
        "-1",
        "-h",
        "-1y",
        "-1h ",
        "-1.5h",
        "--1h",
        "-999999999w",
        "-3000w3000w99999w",
        "-9999999999999999w",
        "-0999999999999999w",
        "٢٠٢٦-08-22",
    ],
)
def test_anything_else_is_reported(text: str, *, local: bool) -> None:
    with pytest.raises(ValueError, match="neither a date nor a time"):
        to_key(text, NOW, local=local)


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize("text", ["0001-01-01", "0001-01-01T00:30"])
def test_a_local_time_before_the_first_year_of_utc_is_reported(text: str) -> None:
    with pytest.raises(ValueError, match="neither a date nor a time"):
        to_key(text, NOW, local=True)


@given(st.integers(0, 10**9))
def test_any_number_of_seconds_may_have_passed(seconds: int) -> None:
    then = (NOW - timedelta(seconds=seconds)).isoformat()
    assert to_key(f"-{seconds}s", NOW) == time_key(then)


DAYS = ["2026-08-22", "2026-02-31", "0001-01-01", "today", "tomorrow"]
OTHERS = ["9:30", "14:30:05.5", "T", "Z", "+0200", "-23", "-", "1", "h", " "]


@given(st.lists(st.sampled_from(DAYS + OTHERS), max_size=4).map("".join))
@example("today 14:30:05.5+0200")
def test_any_text_is_a_time_or_reported(text: str) -> None:
    try:
        key = to_key(text, NOW)
    except ValueError:
        return
    assert time_key(f"{key}Z") == key
