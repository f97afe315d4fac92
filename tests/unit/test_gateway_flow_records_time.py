"""Flow records and time: when a host is woken, and what the first `now` means."""

import sys
from itertools import pairwise
from math import inf, isfinite, nextafter

import pytest

from firezone_filter import FlowEnd, FlowEnded, FlowRefused, FlowStarted, Gateway, InvalidTime
from firezone_filter.accounting import event_queue as events
from tests.builders import FIN, SYN, tcp
from tests.records import ends, fetched, names, only, recording, refusals, the_record
from tests.scenes import ALICE, INBOUND, OUTBOUND, V4

START = 1_790_000_000.0
LARGEST = sys.float_info.max
LARGEST_INT = 2**1024 - 2**970 - 1
"""The greatest whole number that some `float` stands for."""


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


# --- When a host is woken -----------------------------------------------------------------------


def test_without_flows_and_refusals_nobody_is_woken() -> None:
    assert recording(V4.db(), now=START).poll_timeout() is None


def test_a_host_is_woken_right_after_the_120_seconds() -> None:
    assert begun().poll_timeout() == nextafter(START + 120, inf)


def test_a_host_is_woken_for_refusals_after_a_minute() -> None:
    assert refused().poll_timeout() == START + 60


def test_a_host_is_woken_for_what_comes_first() -> None:
    gateway = begun()
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, far=V4.stranger), START + 30)
    assert gateway.poll_timeout() == START + 90
    gateway.update_expiry("alice", "db", START + 80)
    assert gateway.poll_timeout() == START + 80
    gateway.update_expiry("alice", "db", START + 100)
    assert gateway.poll_timeout() == START + 90


def test_a_host_that_is_woken_too_early_is_woken_again() -> None:
    gateway = begun()
    fetched(gateway)
    gateway.handle_packet(INBOUND, V4.udp(INBOUND), START + 100)
    woken = []
    while (due := gateway.poll_timeout()) is not None:
        woken.append(due)
        gateway.handle_timeout(due)
    assert woken == [nextafter(START + 120, inf), nextafter(START + 220, inf)]
    assert ends(gateway) == [(FlowEnd.IDLE, nextafter(START + 220, inf))]


@pytest.mark.parametrize("make", [begun, refused, finished])
@pytest.mark.parametrize("now", [0.0, -0.0, -START, 0.1, START, 1e15, 5, -7, 10**15], ids=str)
def test_after_a_timeout_the_next_is_later_or_none(make: object, now: float) -> None:
    assert callable(make)
    gateway: Gateway = make(now)
    woken = []
    while (due := gateway.poll_timeout()) is not None:
        woken.append(due)
        gateway.handle_timeout(due)
    assert woken
    assert all(earlier < later for earlier, later in pairwise(woken))
    assert {type(event) for event in fetched(gateway)} & {FlowEnded, FlowRefused}


@pytest.mark.parametrize("make", [begun, refused, finished])
def test_a_host_that_has_gone_away_is_not_woken_for_a_client(make: object) -> None:
    assert callable(make)
    gateway: Gateway = make()
    gateway.client_disconnected("alice")
    gateway.handle_timeout(START + 60)
    assert gateway.poll_timeout() is None


# --- Odd times ---------------------------------------------------------------------------------


@pytest.mark.parametrize("now", [-1_000.0, -120.0, -60.0, -0.0, 0.0, -120, 0, 2**53, 1e300])
def test_flows_end_whatever_clock_the_host_has(now: float) -> None:
    gateway = begun(now)
    gateway.handle_timeout(nextafter(now + 120, inf))
    (record,) = only(FlowEnded, fetched(gateway))
    assert (record.cause, record.flow_start, record.last_packet) == (FlowEnd.IDLE, now, now)


@pytest.mark.parametrize("now", [-1_000.0, -60.0, -0.0, 0.0, -60, 0, 2**53, 1e300])
def test_refusals_are_reported_whatever_clock_the_host_has(now: float) -> None:
    (record,) = refusals(refused(now), now + 60)
    assert (record.first_packet, record.last_packet) == (now, now)


def test_whole_numbers_and_fractions_may_take_turns() -> None:
    gateway = begun(1_000)
    gateway.handle_packet(INBOUND, V4.udp(INBOUND), 1_000.5)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), 1_001)
    gateway.handle_timeout(1_121)
    assert only(FlowEnded, fetched(gateway)) == []
    gateway.handle_timeout(1_121.001)
    assert ends(gateway) == [(FlowEnd.IDLE, 1_121.001)]


@pytest.mark.parametrize("now", [LARGEST, LARGEST_INT, -LARGEST_INT], ids=["float", "int", "-int"])
def test_the_last_of_all_times_is_a_time(now: float) -> None:
    gateway = begun(now)
    due = gateway.poll_timeout()
    assert due is None or isfinite(due)
    gateway.handle_timeout(now)
    assert the_record(gateway).last_packet == now


@pytest.mark.parametrize("now", [LARGEST, LARGEST_INT, -LARGEST_INT], ids=["float", "int", "-int"])
def test_at_the_last_of_all_times_refusals_do_no_harm(now: float) -> None:
    gateway = refused(now)
    gateway.handle_timeout(now)
    due = gateway.poll_timeout()
    assert due is None or now < due


@pytest.mark.parametrize("now", [inf, -inf, float("nan"), 2**1024])
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


# --- Before the first `now` ---------------------------------------------------------------------


@pytest.mark.parametrize("first", [-5_000.0, 0.0, START], ids=str)
def test_a_flow_from_before_the_clock_begins_with_the_first_now(first: float) -> None:
    gateway = begun(None)
    gateway.handle_timeout(first)
    assert gateway.poll_timeout() == nextafter(first + 120, inf)
    gateway.handle_timeout(first + 121)
    (record,) = only(FlowEnded, fetched(gateway))
    assert (record.flow_start, record.last_packet, record.flow_end) == (
        first,
        first,
        first + 121,
    )


@pytest.mark.parametrize("first", [-5_000.0, 0.0, START], ids=str)
def test_what_began_and_ended_before_the_clock_did_so_at_the_first_now(first: float) -> None:
    gateway = begun(None)
    gateway.revoke("alice", "db")
    gateway.handle_timeout(first)
    begin, end, _ = fetched(gateway)
    assert isinstance(begin, FlowStarted)
    assert isinstance(end, FlowEnded)
    assert (begin.flow_start, end.flow_start, end.last_packet, end.flow_end) == (first,) * 4


@pytest.mark.parametrize("first", [-5_000.0, 0.0, START], ids=str)
def test_fins_from_before_the_clock_end_their_flow_at_the_first_now(first: float) -> None:
    gateway = finished(None)
    assert "ended: fin" not in names(gateway)
    gateway.handle_packet(OUTBOUND, b"", first)
    assert gateway.poll_timeout() == first
    gateway.handle_timeout(first)
    assert ends(gateway) == [(FlowEnd.FIN, first)]


@pytest.mark.parametrize("first", [-5_000.0, 0.0, START], ids=str)
def test_what_was_refused_before_the_clock_waits_a_minute_from_the_first_now(
    first: float,
) -> None:
    gateway = refused(None)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), first)
    assert gateway.poll_timeout() == first + 60
    (record,) = refusals(gateway, first + 60)
    assert (record.first_packet, record.last_packet, record.packets) == (first, first, 2)


def test_the_order_of_events_from_before_the_clock_stays() -> None:
    gateway = begun(None)
    gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND))
    gateway.handle_packet(OUTBOUND, V4.echo(OUTBOUND))
    gateway.revoke("alice", "db")
    gateway.handle_timeout(START)
    assert names(gateway) == [
        "started",
        "started",
        "ended: revoked",
        "ended: revoked",
        "access exhausted",
    ]


def test_before_the_clock_time_stands_still_and_events_can_be_fetched() -> None:
    gateway = begun(None)
    (begin,) = fetched(gateway)
    assert isinstance(begin, FlowStarted)
    assert begin.flow_start == 0.0
    gateway.client_connected("alice", ALICE)
    (end,) = fetched(gateway)
    assert isinstance(end, FlowEnded)
    assert (end.flow_start, end.flow_end) == (0.0, 0.0)


def test_a_flow_whose_start_was_fetched_before_the_clock_starts_with_it_all_the_same() -> None:
    gateway = begun(None)
    fetched(gateway)
    gateway.handle_timeout(START)
    assert the_record(gateway).flow_start == START


def test_without_any_time_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_FLOW_EVENTS", 10)
    gateway = begun(None)
    for _ in range(20):
        gateway.revoke("alice", "db")
        gateway.authorize("alice", V4.db())
        gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))
        gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, far=V4.stranger))
    assert len(fetched(gateway)) == 10
