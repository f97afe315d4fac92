"""The time of a capture, whatever its time stamps say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.replay.clock import CaptureClock, begin, earliest_begin
from firezone_filter.values.times import MAX_AHEAD

T = 1_700_000_000 * NS_PER_S
S = NS_PER_S
YEARS_50 = MAX_AHEAD * NS_PER_S
END = 2**32 * NS_PER_S
LAST = END - NS_PER_S
EXPIRY = [1_700_000_100.0]
EARLIEST = (1_700_000_100 - MAX_AHEAD) * S


# --- The begin ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param([T], T, id="one packet"),
        pytest.param([T, T + S, T + 2 * S], T, id="in order"),
        pytest.param([T, T - S, T + S], T, id="out of order"),
        pytest.param([0, T, T + S], T, id="the first in 1970"),
        pytest.param([0, 0, T, T + S, T + S], T, id="the first two in 1970"),
        pytest.param([LAST, T, T + S], T, id="the first in 2106"),
        pytest.param([T, 0, T], T, id="the second in 1970"),
        pytest.param([-1, T], T, id="the first before 1970"),
        pytest.param([END, T], T, id="the first after 2106"),
        pytest.param([EARLIEST, EARLIEST + YEARS_50], EARLIEST, id="50 years later"),
    ],
)
@pytest.mark.parametrize("expiries", [[], EXPIRY], ids=["no expiry", "expiry"])
def test_a_capture_begins_when_most_of_its_first_packets_confirm(
    times: list[int], expected: int, expiries: list[float]
) -> None:
    assert begin(times, expiries) == expected


@pytest.mark.parametrize("times", [[0, T], [T, 0], [T, LAST], [LAST, T]])
def test_of_two_that_contradict_each_other_the_policy_chooses(times: list[int]) -> None:
    assert begin(times, EXPIRY) == T


@pytest.mark.parametrize(
    ("times", "expected", "by_policy"),
    [
        pytest.param([T, 0, 0], 0, T, id="most in 1970"),
        pytest.param([0] * 5 + [T + S, T], 0, T + S, id="most, and first, in 1970"),
        pytest.param([0, S], 0, None, id="all in 1970"),
        pytest.param([0] * 8, 0, None, id="all at 0"),
        pytest.param([EARLIEST - 1], EARLIEST - 1, None, id="just too early"),
        pytest.param([EARLIEST - 1, EARLIEST], EARLIEST - 1, EARLIEST, id="just early enough"),
        pytest.param([-1], None, None, id="before 1970"),
        pytest.param([END], None, None, id="after 2106"),
        pytest.param([-1, END, 2**80], None, None, id="before and after"),
    ],
)
def test_a_capture_never_begins_before_its_policy_can(
    times: list[int], expected: int | None, by_policy: int | None
) -> None:
    assert (begin(times, []), begin(times, EXPIRY)) == (expected, by_policy)


@pytest.mark.parametrize(
    ("expiries", "expected"),
    [
        ([], 0),
        (EXPIRY, EARLIEST),
        ([1_000.0, *EXPIRY], EARLIEST),
        ([1_700_000_099.5], EARLIEST),
        ([1_000.0], 0),
        ([8e9], 0),
        ([1e300], 0),
    ],
)
def test_a_policy_can_begin_50_years_before_its_last_expiry(
    expiries: list[float], expected: int
) -> None:
    assert earliest_begin(expiries) == expected


@given(st.lists(st.integers(-END, 2 * END), min_size=1, max_size=8), st.lists(st.floats(0, 1e10)))
def test_a_begin_is_always_a_time(times: list[int], expiries: list[float]) -> None:
    found = begin(times, expiries)
    assert found is None or earliest_begin(expiries) <= found < END


# --- Later packets -----------------------------------------------------------------------


@pytest.mark.parametrize("time_ns", [-1, END, 2**70, T - YEARS_50 - S, T + YEARS_50 + S, 0])
def test_an_odd_time_counts_as_the_latest(time_ns: int) -> None:
    clock = CaptureClock(T)
    assert clock.advance(time_ns)
    assert clock == CaptureClock(T, odd=1)


@pytest.mark.parametrize("time_ns", [T, T + 1, T + YEARS_50])
def test_a_later_time_counts(time_ns: int) -> None:
    clock = CaptureClock(T)
    assert not clock.advance(time_ns)
    assert (clock.latest_ns, clock.seconds) == (time_ns, time_ns / NS_PER_S)
    assert (clock.odd, clock.earlier) == (0, 0)


def test_an_earlier_time_counts_as_the_latest_and_the_earliest_is_told() -> None:
    clock = CaptureClock(T)
    for time_ns in (T - 1, T - YEARS_50, T - S, T):
        assert not clock.advance(time_ns)
    assert clock == CaptureClock(T, earlier=3, earlier_by_ns=YEARS_50)


def test_earlier_means_than_the_latest_and_not_only_than_the_last() -> None:
    clock = CaptureClock(T)
    for time_ns in (T + 10, T + 5, T + 6):
        clock.advance(time_ns)
    assert (clock.earlier, clock.earlier_by_ns) == (2, 5)


# --- Before the first right time stamp ---------------------------------------------------


@pytest.mark.parametrize("time_ns", [-1, 0, EARLIEST - 1, EARLIEST + 2 * YEARS_50 + S, END])
def test_an_odd_time_does_not_set_the_clock(time_ns: int) -> None:
    clock = CaptureClock(EARLIEST, EARLIEST, is_set=False)
    assert clock.advance(time_ns)
    assert clock == CaptureClock(EARLIEST, EARLIEST, odd=1, is_set=False)


@pytest.mark.parametrize("time_ns", [EARLIEST, T, T + 1_000 * S, EARLIEST + 2 * YEARS_50])
def test_the_first_right_time_sets_the_clock(time_ns: int) -> None:
    clock = CaptureClock(EARLIEST, EARLIEST, is_set=False)
    assert not clock.advance(time_ns)
    assert clock == CaptureClock(time_ns, EARLIEST)


def test_a_time_at_which_the_policy_cannot_begin_is_odd_later_too() -> None:
    clock = CaptureClock(EARLIEST + S, EARLIEST)
    assert [clock.advance(time_ns) for time_ns in (EARLIEST, EARLIEST - 1)] == [False, True]
