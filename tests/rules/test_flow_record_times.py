"""Flow records and time: when a host is woken, and what the first `now` means."""

from collections.abc import Callable
from itertools import pairwise
from math import inf, isfinite, nextafter

import pytest

from firezone_filter import FlowEnd, FlowEnded, FlowRefused, FlowStarted, Gateway, InvalidTime
from firezone_filter.testing import FIN, SYN, tcp
from tests.records import ends, fetched, names, only, recording, refusals, the_record
from tests.scenes import ALICE, INBOUND, OUTBOUND, V4

START = 1_790_000_000.0
LAST_TIMES = {
    "float": nextafter(2.0**33, 0.0),
    "int": 2**33 - 1,
    # Of a first `now` nothing is asked but that it is finite.
    "-int": -(2**1024 - 2**970 - 1),
}

first_times = pytest.mark.parametrize("first", [-5_000.0, 0.0, START])


def begun(now: float | None = START) -> Gateway:
    gateway = recording(V4.db(), now=now)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), now)
    return gateway


def refused(now: float | None = START) -> Gateway:
    gateway = recording(now=now)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), now)
    return gateway


def finished(now: float | None = START) -> Gateway:
    """Let there be a connection that both ends have closed."""
    gateway = recording(V4.db(), now=now)
    for direction, flags in ((OUTBOUND, SYN), (OUTBOUND, FIN), (INBOUND, FIN)):
        gateway.handle_packet(direction, tcp(V4.flow(direction, 443), flags=flags))
    return gateway


MAKE: dict[str, Callable[[float | None], Gateway]] = {
    "begun": begun,
    "refused": refused,
    "finished": finished,
}
every_make = pytest.mark.parametrize("make", MAKE)


def wake(gateway: Gateway) -> list[float]:
    """Call a host each time that it is to be called; return when."""
    woken = []
    while (due := gateway.poll_timeout()) is not None:
        woken.append(due)
        assert len(woken) < 10
        gateway.handle_timeout(due)
    return woken


# --- When a host is woken ------------------------------------------------------------------


def test_a_host_is_woken_at_the_first_moment_at_which_there_is_something_to_report() -> None:
    assert recording(V4.db(), now=START).poll_timeout() is None
    assert begun().poll_timeout() == nextafter(START + 120, inf)
    assert refused().poll_timeout() == START + 60
    assert finished().poll_timeout() == START


def test_a_host_is_woken_for_what_comes_first() -> None:
    gateway = begun()
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, far=V4.stranger), START + 30)
    assert gateway.poll_timeout() == START + 90
    for expiry, due in ((START + 80, START + 80), (START + 100, START + 90)):
        gateway.update_expiry("alice", "db", expiry)
        assert gateway.poll_timeout() == due
    gateway.handle_timeout(START + 90)
    assert names(gateway) == ["started", "refused"]


def test_a_host_that_is_woken_too_early_is_woken_again() -> None:
    gateway = begun()
    fetched(gateway)
    gateway.handle_packet(INBOUND, V4.udp(INBOUND), START + 100)
    assert wake(gateway) == [nextafter(START + 120, inf), nextafter(START + 220, inf)]
    assert ends(gateway) == [(FlowEnd.IDLE, nextafter(START + 220, inf))]


@every_make
@pytest.mark.parametrize("now", [0.0, -0.0, -START, 0.1, START, -1e15, 8e9, 5, -7, 8 * 10**9])
def test_after_a_timeout_the_next_is_later_or_none(make: str, now: float) -> None:
    gateway = MAKE[make](now)
    woken = wake(gateway)
    assert woken
    assert all(earlier < later for earlier, later in pairwise(woken))
    assert {type(event) for event in fetched(gateway)} & {FlowEnded, FlowRefused}


@every_make
def test_a_host_is_not_woken_for_a_client_that_has_gone(make: str) -> None:
    gateway = MAKE[make](START)
    gateway.client_disconnected("alice")
    gateway.handle_timeout(START + 60)
    assert gateway.poll_timeout() is None


# --- Odd times -----------------------------------------------------------------------------


@pytest.mark.parametrize("now", [-1e15, -1_000.0, -120.0, -60.0, -0.0, 0.0, -120, 0, 8e9])
def test_records_end_whatever_clock_the_host_has(now: float) -> None:
    gateway = begun(now)
    gateway.handle_timeout(nextafter(now + 120, inf))
    (record,) = only(FlowEnded, fetched(gateway))
    assert (record.cause, record.flow_start, record.last_packet) == (FlowEnd.IDLE, now, now)
    (refusal,) = refusals(refused(now), now + 60)
    assert (refusal.first_packet, refusal.last_packet) == (now, now)


def test_whole_numbers_and_fractions_may_take_turns() -> None:
    gateway = begun(1_000)
    gateway.handle_packet(INBOUND, V4.udp(INBOUND), 1_000.5)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), 1_001)
    gateway.handle_timeout(1_121)
    assert only(FlowEnded, fetched(gateway)) == []
    gateway.handle_timeout(1_121.001)
    assert ends(gateway) == [(FlowEnd.IDLE, 1_121.001)]


@pytest.mark.parametrize("last", LAST_TIMES)
def test_the_last_of_all_times_is_a_time(last: str) -> None:
    now = LAST_TIMES[last]
    gateway = begun(now)
    due = gateway.poll_timeout()
    assert due is None or isfinite(due)
    gateway.handle_timeout(now)
    assert the_record(gateway).last_packet == float(now)
    gateway = refused(now)
    gateway.handle_timeout(now)
    due = gateway.poll_timeout()
    assert due is None or now < due


@pytest.mark.parametrize(
    "now",
    [inf, -inf, float("nan"), 2**1024, 1_000 * START, START + 2e9, START - 2e9],
    ids=["inf", "-inf", "nan", "int", "milliseconds", "later", "earlier"],
)
def test_a_time_that_is_none_changes_no_record(now: float) -> None:
    gateway = begun()
    before = gateway.counters()
    with pytest.raises(InvalidTime):
        gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), now)
    with pytest.raises(InvalidTime):
        gateway.handle_timeout(now)
    assert gateway.counters() == before
    assert the_record(gateway).tx_packets == 1


def test_time_that_runs_backwards_ends_nothing_and_begins_nothing_earlier() -> None:
    gateway = begun()
    gateway.handle_timeout(START - 1_000)
    gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), START - 1_000)
    gateway.handle_packet(OUTBOUND, V4.echo(OUTBOUND), START - 1_000)
    assert [event.flow_start for event in only(FlowStarted, fetched(gateway))] == [START] * 2


# --- Before the first `now` ----------------------------------------------------------------


@first_times
def test_what_began_and_ended_before_the_clock_did_so_at_the_first_now(first: float) -> None:
    gateway = begun(None)
    gateway.handle_timeout(first)
    assert gateway.poll_timeout() == nextafter(first + 120, inf)
    gateway.handle_timeout(first + 121)
    (record,) = only(FlowEnded, fetched(gateway))
    times = (record.flow_start, record.last_packet, record.flow_end)
    assert times == (first, first, first + 121)
    gateway = begun(None)
    gateway.revoke("alice", "db")
    gateway.handle_timeout(first)
    begin, end, _ = fetched(gateway)
    assert isinstance(begin, FlowStarted)
    assert isinstance(end, FlowEnded)
    assert (begin.flow_start, end.flow_start, end.last_packet, end.flow_end) == (first,) * 4


@first_times
def test_what_waits_from_before_the_clock_counts_from_the_first_now(first: float) -> None:
    gateway = finished(None)
    assert "ended: fin" not in names(gateway)
    gateway.handle_packet(OUTBOUND, b"", first)
    assert gateway.poll_timeout() == first
    gateway.handle_timeout(first)
    assert ends(gateway) == [(FlowEnd.FIN, first)]
    gateway = refused(None)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), first)
    assert gateway.poll_timeout() == first + 60
    (record,) = refusals(gateway, first + 60)
    assert (record.first_packet, record.last_packet, record.packets) == (first, first, 2)


def test_the_order_of_events_from_before_the_clock_stays() -> None:
    gateway = begun(None)
    gateway.handle_packets(OUTBOUND, [V4.tcp(OUTBOUND), V4.echo(OUTBOUND)])
    gateway.revoke("alice", "db")
    gateway.handle_timeout(START)
    expected = ["started"] * 2 + ["ended: revoked"] * 2 + ["access exhausted"]
    assert names(gateway) == expected


def test_before_the_clock_time_stands_still_and_events_can_be_fetched() -> None:
    gateway = begun(None)
    (begin,) = only(FlowStarted, fetched(gateway))
    assert begin.flow_start == 0.0
    gateway.client_connected("alice", ALICE)
    (end,) = only(FlowEnded, fetched(gateway))
    assert (end.flow_start, end.flow_end) == (0.0, 0.0)
    # A flow whose start was fetched by then starts with the clock all the same.
    gateway = begun(None)
    fetched(gateway)
    gateway.handle_timeout(START)
    assert the_record(gateway).flow_start == START
