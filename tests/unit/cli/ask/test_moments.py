"""The moments after `--at`."""

from datetime import UTC, datetime

import pytest

from firezone_filter.cli.ask.moments import to_moment

NOW = datetime(2026, 8, 22, 12, 0, tzinfo=UTC)
NOON = NOW.timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1790000000", 1_790_000_000),
        ("1790000000.25", 1_790_000_000.25),
        ("0", 0),
        ("2026-08-22T12:00:00Z", NOON),
        ("2026-08-22T14:00:00.5+02:00", NOON + 0.5),
        ("2016-12-31T23:59:60Z", 1_483_228_800),
        ("2026-08-22", NOON - 12 * 3_600),
        ("tomorrow", NOON + 12 * 3_600),
        ("now", NOON),
        ("-1h", NOON - 3_600),
    ],
)
def test_a_moment_is_seconds_or_any_time_that_logs_take(text: str, seconds: float) -> None:
    assert to_moment(text, NOW) == seconds


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("soon", "'soon' is neither a date nor a time: .*, 1790000000 \\(Unix seconds\\)"),
        ("-5", "'-5' is neither"),
        ("1_790_000_000", "is neither"),
        ("١٧٩", "is neither"),
        ("1790000000000", "milliseconds\\?"),
        ("2300-01-01", "milliseconds\\?"),
    ],
)
def test_anything_else_is_told(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        to_moment(text, NOW)
