from ipaddress import ip_address

import pytest
from attrs import evolve

from firezone_filter.accounting import event_queue as events
from firezone_filter.accounting.event_queue import EventQueue
from firezone_filter.values.decisions import Direction, Reason
from firezone_filter.values.events import (
    AccessEvent,
    AccessExhausted,
    AuthorizationExpired,
    Event,
    FlowEnd,
    FlowEnded,
    FlowEvent,
    FlowRefused,
    FlowStarted,
)

DB_EXPIRED = AuthorizationExpired("alice", "db", 10.0)
DB_EXPIRED_AGAIN = AuthorizationExpired("alice", "db", 20.0)
WEB_EXPIRED = AuthorizationExpired("alice", "web", 10.0)
ALICE_EXHAUSTED = AccessExhausted("alice")
BOBS_DB_EXPIRED = AuthorizationExpired("bob", "db", 10.0)
BOB_EXHAUSTED = AccessExhausted("bob")

BEGUN = FlowStarted(
    client_id="alice",
    resource_id="db",
    protocol=6,
    inner_src_ip=ip_address("100.64.0.2"),
    inner_src_port=5401,
    inner_dst_ip=ip_address("10.0.0.5"),
    inner_dst_port=443,
    domain=None,
    flow_start=1.0,
)
ENDED = FlowEnded(
    client_id="alice",
    resource_id="db",
    protocol=6,
    inner_src_ip=ip_address("100.64.0.2"),
    inner_src_port=5401,
    inner_dst_ip=ip_address("10.0.0.5"),
    inner_dst_port=443,
    domain=None,
    flow_start=1.0,
    last_packet=2.0,
    flow_end=3.0,
    tx_packets=4,
    tx_bytes=5,
    rx_packets=6,
    rx_bytes=7,
    cause=FlowEnd.RST,
)
REFUSED = FlowRefused(
    client_id="alice",
    direction=Direction.OUTBOUND,
    reason=Reason.NO_RESOURCE,
    far_ip=ip_address("10.0.0.5"),
    protocol=6,
    far_port=22,
    first_packet=1.0,
    last_packet=2.0,
    packets=3,
    ip_bytes=120,
)


def queue_of(*events: AccessEvent) -> EventQueue:
    queue = EventQueue()
    for event in events:
        queue.put(event)
    return queue


def drained(queue: EventQueue) -> list[Event]:
    return list(iter(queue.get, None))


def test_an_empty_queue_gives_nothing() -> None:
    assert EventQueue().get() is None


def test_events_come_in_the_order_in_which_they_were_put() -> None:
    events: list[AccessEvent] = [
        WEB_EXPIRED,
        DB_EXPIRED,
        ALICE_EXHAUSTED,
        BOBS_DB_EXPIRED,
        BOB_EXHAUSTED,
    ]
    assert drained(queue_of(*events)) == events


def test_an_event_comes_once() -> None:
    queue = queue_of(DB_EXPIRED)
    queue.get()
    assert queue.get() is None


def test_a_newer_event_about_the_same_replaces_the_older_and_goes_last() -> None:
    queue = queue_of(DB_EXPIRED, WEB_EXPIRED, DB_EXPIRED_AGAIN)
    assert drained(queue) == [WEB_EXPIRED, DB_EXPIRED_AGAIN]


def test_an_equal_event_goes_last_too() -> None:
    queue = queue_of(ALICE_EXHAUSTED, BOB_EXHAUSTED, AccessExhausted("alice"))
    assert drained(queue) == [BOB_EXHAUSTED, ALICE_EXHAUSTED]


def test_the_same_resource_of_two_clients_makes_two_events() -> None:
    assert drained(queue_of(DB_EXPIRED, BOBS_DB_EXPIRED)) == [DB_EXPIRED, BOBS_DB_EXPIRED]


def test_events_of_two_kinds_replace_not_each_other() -> None:
    assert drained(queue_of(ALICE_EXHAUSTED, DB_EXPIRED)) == [ALICE_EXHAUSTED, DB_EXPIRED]


def test_an_event_that_was_fetched_can_come_again() -> None:
    queue = queue_of(DB_EXPIRED)
    queue.get()
    queue.put(DB_EXPIRED)
    assert drained(queue) == [DB_EXPIRED]


def test_a_withdrawn_event_does_not_come() -> None:
    queue = queue_of(DB_EXPIRED, ALICE_EXHAUSTED)
    queue.withdraw(ALICE_EXHAUSTED)
    assert drained(queue) == [DB_EXPIRED]


def test_withdrawing_needs_not_know_when_it_expired() -> None:
    queue = queue_of(DB_EXPIRED)
    queue.withdraw(DB_EXPIRED_AGAIN)
    assert drained(queue) == []


def test_withdrawing_leaves_other_clients_events() -> None:
    queue = queue_of(ALICE_EXHAUSTED, BOB_EXHAUSTED)
    queue.withdraw(ALICE_EXHAUSTED)
    assert drained(queue) == [BOB_EXHAUSTED]


def test_withdrawing_what_does_not_wait_changes_nothing() -> None:
    queue = queue_of(DB_EXPIRED)
    queue.withdraw(WEB_EXPIRED)
    assert drained(queue) == [DB_EXPIRED]


def test_all_about_a_client_can_be_withdrawn() -> None:
    queue = queue_of(DB_EXPIRED, BOBS_DB_EXPIRED, WEB_EXPIRED, BOB_EXHAUSTED, ALICE_EXHAUSTED)
    queue.withdraw_all("alice")
    assert drained(queue) == [BOBS_DB_EXPIRED, BOB_EXHAUSTED]


def test_withdrawing_all_about_a_client_without_events_changes_nothing() -> None:
    queue = queue_of(DB_EXPIRED)
    queue.withdraw_all("bob")
    assert drained(queue) == [DB_EXPIRED]


def test_a_fetched_event_is_not_withdrawn_again() -> None:
    queue = queue_of(DB_EXPIRED, WEB_EXPIRED)
    queue.get()
    queue.withdraw_all("alice")
    assert drained(queue) == []


def test_an_event_can_come_after_all_were_withdrawn() -> None:
    queue = queue_of(DB_EXPIRED)
    queue.withdraw_all("alice")
    queue.put(DB_EXPIRED_AGAIN)
    assert drained(queue) == [DB_EXPIRED_AGAIN]


def test_events_that_nobody_fetches_do_not_pile_up() -> None:
    queue = queue_of(*[AuthorizationExpired("alice", "db", float(at)) for at in range(1_000)])
    assert drained(queue) == [AuthorizationExpired("alice", "db", 999.0)]


@pytest.mark.parametrize("way", ["get", "withdraw", "withdraw_all"])
def test_nothing_is_remembered_of_a_client_without_events(way: str) -> None:
    queue = queue_of(DB_EXPIRED)
    arguments = {"get": (), "withdraw": (DB_EXPIRED,), "withdraw_all": ("alice",)}
    getattr(queue, way)(*arguments[way])
    assert queue._by_client == {}


# --- Flow events --------------------------------------------------------------------------------


def queue_of_flows(*flow_events: FlowEvent) -> EventQueue:
    queue = EventQueue()
    for event in flow_events:
        queue.put_flow(event)
    return queue


def test_flow_events_come_in_their_order_among_the_others() -> None:
    queue = queue_of(DB_EXPIRED)
    queue.put_flow(ENDED)
    queue.put(ALICE_EXHAUSTED)
    queue.put_flow(BEGUN)
    assert drained(queue) == [DB_EXPIRED, ENDED, ALICE_EXHAUSTED, BEGUN]


def test_equal_flow_events_all_come() -> None:
    assert drained(queue_of_flows(REFUSED, BEGUN, REFUSED)) == [REFUSED, BEGUN, REFUSED]


def test_nothing_withdraws_a_flow_event() -> None:
    queue = queue_of_flows(BEGUN, ENDED, REFUSED)
    queue.put(DB_EXPIRED)
    queue.put(ALICE_EXHAUSTED)
    queue.withdraw(ALICE_EXHAUSTED)
    queue.withdraw_all("alice")
    assert drained(queue) == [BEGUN, ENDED, REFUSED]


def test_flow_events_beyond_the_maximum_are_lost_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "MAX_FLOW_EVENTS", 2)
    queue = queue_of_flows(BEGUN, ENDED, REFUSED, REFUSED)
    assert queue.flow_events_lost == 2
    assert drained(queue) == [BEGUN, ENDED]


def test_each_flow_event_that_is_fetched_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_FLOW_EVENTS", 2)
    queue = queue_of_flows(BEGUN, ENDED)
    assert queue.get() == BEGUN
    queue.put_flow(REFUSED)
    queue.put_flow(REFUSED)
    assert (drained(queue), queue.flow_events_lost) == ([ENDED, REFUSED], 1)


def test_events_of_access_take_no_room_from_those_of_flows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "MAX_FLOW_EVENTS", 1)
    queue = queue_of(DB_EXPIRED, WEB_EXPIRED)
    queue.put_flow(BEGUN)
    queue.put(ALICE_EXHAUSTED)
    assert drained(queue) == [DB_EXPIRED, WEB_EXPIRED, BEGUN, ALICE_EXHAUSTED]


def test_access_events_make_no_room_for_flow_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_FLOW_EVENTS", 1)
    queue = queue_of(DB_EXPIRED)
    queue.put_flow(BEGUN)
    assert queue.get() == DB_EXPIRED
    queue.put_flow(ENDED)
    assert (drained(queue), queue.flow_events_lost) == ([BEGUN], 1)


def test_the_first_now_is_the_time_of_all_flow_events_that_wait() -> None:
    queue = queue_of_flows(BEGUN, ENDED)
    queue.put(ALICE_EXHAUSTED)
    queue.start_clock(500.0)
    assert drained(queue) == [
        evolve(BEGUN, flow_start=500.0),
        evolve(ENDED, flow_start=500.0, last_packet=500.0, flow_end=500.0),
        ALICE_EXHAUSTED,
    ]
