"""Marks of a time axis."""

import pytest

from firezone_filter.report.scales import marks

S = 10**9
DAY = 86_400 * S
BEGIN = 1_800_000_000 * S


@pytest.mark.parametrize(
    ("span", "labels"),
    [
        (S // 1_000, ["08:00:00\n2027-01-15", "08:00:00.0005", "08:00:00.001"]),
        (S // 2, ["08:00:00\n2027-01-15", "08:00:00.2", "08:00:00.4"]),
        (3 * S, ["08:00:00\n2027-01-15", "08:00:01", "08:00:02", "08:00:03"]),
        (7_200 * S, ["08:00\n2027-01-15", "09:00", "10:00"]),
        (DAY, ["12:00\n2027-01-15", "00:00\n2027-01-16"]),
        (3 * DAY, ["2027-01-16", "2027-01-17", "2027-01-18"]),
    ],
)
def test_marks_stand_at_round_times(span: int, labels: list[str]) -> None:
    assert [label for _, label in marks(BEGIN, BEGIN + span, 3)] == labels


@pytest.mark.parametrize("exponent", range(6, 19))
def test_whatever_the_span_there_are_some_marks_and_not_too_many(exponent: int) -> None:
    for digit in (1, 2, 3, 7):
        first, last = BEGIN + 12_345, BEGIN + 12_345 + digit * 10**exponent
        if last < 2**32 * S:
            found = marks(first, last, 4)
            assert 1 <= len(found) <= 5
            assert all(first <= time_ns <= last for time_ns, _ in found)
