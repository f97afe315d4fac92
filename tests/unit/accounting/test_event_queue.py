"""`EventQueue`: what waits, what replaces it, what withdraws it, and the limit of flow events."""

import pytest
from attrs import evolve

from firezone_filter.accounting import event_queue
from firezone_filter.accounting.event_queue import EventQueue
from firezone_filter.values.events import (
    AccessEvent,
    AccessExhausted,
    AuthorizationExpired,
    Event,
    FlowEvent,
)
from tests.flow_events import ENDED, REFUSED, STARTED

DB_EXPIRED = AuthorizationExpired("alice", "db", 10.0)
DB_EXPIRED_AGAIN = AuthorizationExpired("alice", "db", 20.0)
WEB_EXPIRED = AuthorizationExpired("alice", "web", 10.0)
ALICE_EXHAUSTED = AccessExhausted("alice")
BOBS_DB_EXPIRED = AuthorizationExpired("bob", "db", 10.0)
BOB_EXHAUSTED = AccessExhausted("bob")


def queue_of(*events: AccessEvent) -> EventQueue:
    queue = EventQueue()
    for event in events:
        queue.put(event)
    return queue


def drained(queue: EventQueue) -> list[Event]:
    return list(iter(queue.get, None))


# --- Events about authorizations ---------------------------------------------------------------

# Events that are put, and those that wait then.
ORDERS: dict[str, tuple[list[AccessEvent], list[AccessEvent]]] = {
    "empty": ([], []),
    "in-their-order": (
        [WEB_EXPIRED, DB_EXPIRED, ALICE_EXHAUSTED, BOBS_DB_EXPIRED, BOB_EXHAUSTED],
        [WEB_EXPIRED, DB_EXPIRED, ALICE_EXHAUSTED, BOBS_DB_EXPIRED, BOB_EXHAUSTED],
    ),
    "a-newer-replaces-the-older": (
        [DB_EXPIRED, WEB_EXPIRED, DB_EXPIRED_AGAIN],
        [WEB_EXPIRED, DB_EXPIRED_AGAIN],
    ),
    "an-equal-one-too": (
        [ALICE_EXHAUSTED, BOB_EXHAUSTED, AccessExhausted("alice")],
        [BOB_EXHAUSTED, ALICE_EXHAUSTED],
    ),
    "each-client-has-its-own": ([DB_EXPIRED, BOBS_DB_EXPIRED], [DB_EXPIRED, BOBS_DB_EXPIRED]),
    "each-kind-is-apart": ([ALICE_EXHAUSTED, DB_EXPIRED], [ALICE_EXHAUSTED, DB_EXPIRED]),
    "nothing-piles-up": (
        [AuthorizationExpired("alice", "db", float(at)) for at in range(1_000)],
        [AuthorizationExpired("alice", "db", 999.0)],
    ),
}


@pytest.mark.parametrize(("put", "wait"), ORDERS.values(), ids=ORDERS)
def test_at_most_one_event_of_a_kind_waits_about_the_same_and_the_newest_goes_last(
    put: list[AccessEvent], wait: list[AccessEvent]
) -> None:
    assert drained(queue_of(*put)) == wait


def test_an_event_comes_once_and_can_come_again_when_it_was_fetched() -> None:
    queue = queue_of(DB_EXPIRED)
    assert [queue.get(), queue.get()] == [DB_EXPIRED, None]
    queue.put(DB_EXPIRED)
    assert drained(queue) == [DB_EXPIRED]


# What waits, what is withdrawn of it (an event, or a client's id for all), and what is left.
WITHDRAWN: dict[str, tuple[list[AccessEvent], AccessEvent | str, list[AccessEvent]]] = {
    "one": ([DB_EXPIRED, ALICE_EXHAUSTED], ALICE_EXHAUSTED, [DB_EXPIRED]),
    "whenever-it-expired": ([DB_EXPIRED], DB_EXPIRED_AGAIN, []),
    "of-one-client": ([ALICE_EXHAUSTED, BOB_EXHAUSTED], ALICE_EXHAUSTED, [BOB_EXHAUSTED]),
    "what-does-not-wait": ([DB_EXPIRED], WEB_EXPIRED, [DB_EXPIRED]),
    "all": (
        [DB_EXPIRED, BOBS_DB_EXPIRED, WEB_EXPIRED, BOB_EXHAUSTED, ALICE_EXHAUSTED],
        "alice",
        [BOBS_DB_EXPIRED, BOB_EXHAUSTED],
    ),
    "all-of-nobody": ([DB_EXPIRED], "bob", [DB_EXPIRED]),
}


@pytest.mark.parametrize(("put", "withdrawn", "left"), WITHDRAWN.values(), ids=WITHDRAWN)
def test_a_withdrawn_event_does_not_come_and_can_be_put_again(
    put: list[AccessEvent], withdrawn: AccessEvent | str, left: list[AccessEvent]
) -> None:
    queue = queue_of(*put)
    if isinstance(withdrawn, str):
        queue.withdraw_all(withdrawn)
    else:
        queue.withdraw(withdrawn)
    queue.put(DB_EXPIRED_AGAIN)
    assert drained(queue) == [*(one for one in left if one != DB_EXPIRED), DB_EXPIRED_AGAIN]


def test_a_fetched_event_is_not_withdrawn_again() -> None:
    queue = queue_of(DB_EXPIRED, WEB_EXPIRED)
    queue.get()
    queue.withdraw_all("alice")
    assert drained(queue) == []


@pytest.mark.parametrize("way", ["get", "withdraw", "withdraw_all"])
def test_nothing_is_kept_of_a_client_without_events(way: str) -> None:
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
    queue.put_flow(STARTED)
    assert drained(queue) == [DB_EXPIRED, ENDED, ALICE_EXHAUSTED, STARTED]


def test_equal_flow_events_all_come() -> None:
    assert drained(queue_of_flows(REFUSED, STARTED, REFUSED)) == [REFUSED, STARTED, REFUSED]


def test_nothing_withdraws_a_flow_event() -> None:
    queue = queue_of_flows(STARTED, ENDED, REFUSED)
    queue.put(DB_EXPIRED)
    queue.put(ALICE_EXHAUSTED)
    queue.withdraw(ALICE_EXHAUSTED)
    queue.withdraw_all("alice")
    assert drained(queue) == [STARTED, ENDED, REFUSED]


def test_the_maximum_of_flow_events_is_that_of_the_rules() -> None:
    assert event_queue.MAX_FLOW_EVENTS == 65_536


def test_flow_events_beyond_the_maximum_are_lost_and_counted_and_fetching_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "MAX_FLOW_EVENTS", 2)
    queue = queue_of_flows(STARTED, ENDED, REFUSED, REFUSED)
    assert queue.flow_events_lost == 2
    assert queue.get() == STARTED
    queue.put_flow(REFUSED)
    queue.put_flow(REFUSED)
    assert (drained(queue), queue.flow_events_lost) == ([ENDED, REFUSED], 3)


def test_events_of_access_neither_take_room_from_flow_events_nor_make_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "MAX_FLOW_EVENTS", 1)
    queue = queue_of(DB_EXPIRED, WEB_EXPIRED)
    queue.put_flow(STARTED)
    queue.put(ALICE_EXHAUSTED)
    assert queue.get() == DB_EXPIRED
    queue.put_flow(ENDED)
    assert (drained(queue), queue.flow_events_lost) == ([WEB_EXPIRED, STARTED, ALICE_EXHAUSTED], 1)


def test_the_first_now_is_the_time_of_all_flow_events_that_wait() -> None:
    queue = queue_of_flows(STARTED, ENDED)
    queue.put(ALICE_EXHAUSTED)
    queue.start_clock(500.0)
    assert drained(queue) == [
        evolve(STARTED, flow_start=500.0),
        evolve(ENDED, flow_start=500.0, last_packet=500.0, flow_end=500.0),
        ALICE_EXHAUSTED,
    ]
