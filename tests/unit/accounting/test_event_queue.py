"""`EventQueue`: the order of events, what replaces and withdraws them, and their limit."""

import pytest
from attrs import evolve

from firezone_filter.accounting import event_queue
from firezone_filter.accounting.event_queue import EventQueue, Expiry
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
        queue.put(event, 0.0)
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
    queue.put(DB_EXPIRED, 0.0)
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
    queue.put(DB_EXPIRED_AGAIN, 0.0)
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
    assert not queue._by_client


# --- Flow events --------------------------------------------------------------------------------


def queue_of_flows(*flow_events: FlowEvent) -> EventQueue:
    queue = EventQueue()
    for event in flow_events:
        queue.put_flow(event, 0.0)
    return queue


def test_flow_events_come_in_their_order_among_the_others() -> None:
    queue = queue_of(DB_EXPIRED)
    queue.put_flow(ENDED, 0.0)
    queue.put(ALICE_EXHAUSTED, 0.0)
    queue.put_flow(STARTED, 0.0)
    assert drained(queue) == [DB_EXPIRED, ENDED, ALICE_EXHAUSTED, STARTED]


def test_equal_flow_events_all_come() -> None:
    assert drained(queue_of_flows(REFUSED, STARTED, REFUSED)) == [REFUSED, STARTED, REFUSED]


def test_nothing_withdraws_a_flow_event() -> None:
    queue = queue_of_flows(STARTED, ENDED, REFUSED)
    queue.put(DB_EXPIRED, 0.0)
    queue.put(ALICE_EXHAUSTED, 0.0)
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
    queue.put_flow(REFUSED, 0.0)
    queue.put_flow(REFUSED, 0.0)
    assert (drained(queue), queue.flow_events_lost) == ([ENDED, REFUSED], 3)


def test_events_of_access_neither_take_room_from_flow_events_nor_make_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "MAX_FLOW_EVENTS", 1)
    queue = queue_of(DB_EXPIRED, WEB_EXPIRED)
    queue.put_flow(STARTED, 0.0)
    queue.put(ALICE_EXHAUSTED, 0.0)
    assert queue.get() == DB_EXPIRED
    queue.put_flow(ENDED, 0.0)
    assert (drained(queue), queue.flow_events_lost) == ([WEB_EXPIRED, STARTED, ALICE_EXHAUSTED], 1)


# --- Expiries ----------------------------------------------------------------------------------


def test_an_expiry_comes_before_what_was_done_at_that_moment_whenever_it_is_made() -> None:
    queue = EventQueue()
    queue.put_flow(STARTED, 9.0)
    queue.put_flow(REFUSED, 10.0)
    queue.put_flow(ENDED, 20.0)
    queue.put_expiry(DB_EXPIRED_AGAIN, Expiry(20.0, 1))
    queue.put_expiry(WEB_EXPIRED, Expiry(10.0, 2))
    queue.put_expiry(BOBS_DB_EXPIRED, Expiry(10.0, 1))
    queue.put_expiry(BOB_EXHAUSTED, Expiry(21.0, 1))
    expected = [
        STARTED,
        BOBS_DB_EXPIRED,
        WEB_EXPIRED,
        REFUSED,
        DB_EXPIRED_AGAIN,
        ENDED,
        BOB_EXHAUSTED,
    ]
    assert queue.waiting() == expected
    assert drained(queue) == expected


def test_the_flows_that_an_expiry_ends_come_between_its_access_events() -> None:
    queue = EventQueue()
    expiry = Expiry(10.0, 1)
    queue.put_flow_of_expiry(ENDED, expiry)
    queue.put_expiry(ALICE_EXHAUSTED, expiry)
    queue.put_expiry(DB_EXPIRED, expiry)
    queue.put_flow_of_expiry(evolve(ENDED, client_id="bob"), expiry)
    queue.put_expiry(WEB_EXPIRED, Expiry(10.0, 2))
    assert drained(queue) == [
        DB_EXPIRED,
        ENDED,
        evolve(ENDED, client_id="bob"),
        ALICE_EXHAUSTED,
        WEB_EXPIRED,
    ]


def test_what_an_expiry_causes_replaces_what_a_hook_did_and_the_reverse() -> None:
    queue = queue_of(ALICE_EXHAUSTED, DB_EXPIRED, BOB_EXHAUSTED)
    queue.put_expiry(AccessExhausted("alice"), Expiry(5.0, 1))
    queue.put_expiry(DB_EXPIRED_AGAIN, Expiry(5.0, 1))
    assert queue.waiting() == [BOB_EXHAUSTED, DB_EXPIRED_AGAIN, ALICE_EXHAUSTED]
    queue.put(AccessExhausted("alice"), 6.0)
    queue.put_flow(STARTED, 6.0)
    assert drained(queue) == [BOB_EXHAUSTED, DB_EXPIRED_AGAIN, ALICE_EXHAUSTED, STARTED]


# What waits (expiries by key, others by `now`), a pending expiry, whether it comes first: before
# its withdrawal has begun, and afterwards.
FIRST: dict[str, tuple[list[Expiry | float], Expiry, bool, bool]] = {
    "nothing-waits": ([], Expiry(10.0, 5), True, True),
    "before-another": ([9.0], Expiry(10.0, 5), False, False),
    "at-the-moment-of-another": ([10.0], Expiry(10.0, 5), True, True),
    "an-earlier-expiry": ([Expiry(9.0, 6)], Expiry(10.0, 5), False, False),
    "a-lower-number": ([Expiry(10.0, 4)], Expiry(10.0, 5), False, False),
    "its-own-flows": ([Expiry(10.0, 5)], Expiry(10.0, 5), True, False),
    "a-higher-number": ([Expiry(10.0, 6)], Expiry(10.0, 5), True, True),
    "a-later-expiry": ([Expiry(11.0, 1)], Expiry(10.0, 5), True, True),
    "both": ([9.0, Expiry(11.0, 1)], Expiry(10.0, 5), False, False),
}


@pytest.mark.parametrize(("waits", "pending", "new", "begun"), FIRST.values(), ids=FIRST)
def test_an_expiry_that_is_still_to_be_withdrawn_comes_before_what_took_effect_later(
    waits: list[Expiry | float], pending: Expiry, *, new: bool, begun: bool
) -> None:
    queue = EventQueue()
    for place in waits:
        if isinstance(place, Expiry):
            queue.put_flow_of_expiry(ENDED, place)
        else:
            queue.put_flow(STARTED, place)
    assert queue.comes_first(pending, has_begun=False) is new
    assert queue.comes_first(pending, has_begun=True) is begun


@pytest.mark.parametrize("event", [DB_EXPIRED, ALICE_EXHAUSTED])
def test_whether_an_event_waits_can_be_asked(event: AccessEvent) -> None:
    queue = EventQueue()
    assert not queue.is_waiting(event)
    queue.put_expiry(event, Expiry(10.0, 1))
    assert queue.is_waiting(event)
    assert not queue.is_waiting(WEB_EXPIRED)
    queue.withdraw(event)
    assert not queue.is_waiting(event)


@pytest.mark.parametrize("expires", [True, False])
@pytest.mark.parametrize("all_of_client", [True, False])
def test_what_is_put_and_withdrawn_over_and_over_does_not_pile_up(
    *, expires: bool, all_of_client: bool
) -> None:
    queue = queue_of(BOB_EXHAUSTED)
    place = queue.reserve(0.0)
    for number in range(1_000):
        now = float(number)
        event = AuthorizationExpired("alice", "db", now)
        if expires:
            queue.put_expiry(event, Expiry(now, number))
        else:
            queue.put(event, now)
        if all_of_client:
            queue.withdraw_all("alice")
        else:
            queue.withdraw(event)
        queue.release(queue.reserve(now))
    assert len(queue._ended) + len(queue._others) < 300
    queue.put_in(place, ENDED)
    queue.release(place)
    assert drained(queue) == [BOB_EXHAUSTED, ENDED]


# --- Places -------------------------------------------------------------------------------------


def test_what_stands_behind_a_place_waits_for_its_events() -> None:
    queue = EventQueue()
    queue.put_flow(STARTED, 10.0)
    place = queue.reserve(10.0)
    queue.put_flow(REFUSED, 11.0)
    queue.put_expiry(WEB_EXPIRED, Expiry(11.0, 1))
    queue.put_expiry(DB_EXPIRED, Expiry(10.0, 1))
    got = [queue.get(), queue.get(), queue.get()]
    assert (got, queue.is_blocked) == ([DB_EXPIRED, STARTED, None], True)
    queue.put_in(place, ENDED)
    assert queue.waiting() == [ENDED, WEB_EXPIRED, REFUSED]
    assert not queue.is_blocked
    assert [queue.get(), queue.get()] == [ENDED, None]
    queue.put_in(place, ENDED)
    queue.release(place)
    assert drained(queue) == [ENDED, WEB_EXPIRED, REFUSED]
    assert not queue.is_blocked


def test_an_expiry_is_not_blocked_by_a_later_place() -> None:
    queue = EventQueue()
    queue.reserve(10.0)
    queue.put_expiry(DB_EXPIRED, Expiry(10.0, 1))
    assert not queue.is_blocked
    assert [queue.get(), queue.get(), queue.is_blocked] == [DB_EXPIRED, None, True]


@pytest.mark.parametrize("events", [[], [ENDED, STARTED]], ids=["empty", "filled"])
def test_a_place_that_is_finished_as_the_last_leaves_its_events_alone(
    events: list[FlowEvent],
) -> None:
    queue = EventQueue()
    place = queue.reserve(10.0)
    for event in events:
        queue.put_in(place, event)
    queue.release(place)
    assert list(queue._others) == [10.0, *events]
    queue.put_flow(REFUSED, 10.0)
    assert drained(queue) == [*events, REFUSED]


def test_there_is_one_limit_for_the_flow_events_of_both_lines_and_all_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "MAX_FLOW_EVENTS", 3)
    queue = EventQueue()
    place = queue.reserve(10.0)
    for _ in range(2):
        queue.put_flow(STARTED, 10.0)
        queue.put_in(place, ENDED)
        queue.put_flow_of_expiry(ENDED, Expiry(10.0, 1))
    assert queue.flow_events_lost == 3
    queue.release(place)
    assert drained(queue) == [ENDED, ENDED, STARTED]
    queue.put_flow(STARTED, 11.0)
    assert (drained(queue), queue.flow_events_lost) == ([STARTED], 3)


# --- The clock ----------------------------------------------------------------------------------


def test_what_waits_when_the_clock_is_set_comes_first_in_its_order() -> None:
    queue = queue_of(BOB_EXHAUSTED)
    queue.put_flow(STARTED, 20.0)
    queue.put_expiry(DB_EXPIRED, Expiry(10.0, 1))
    queue.set_clock()
    queue.put_flow(REFUSED, 5.0)
    queue.put_expiry(WEB_EXPIRED, Expiry(5.0, 1))
    queue.withdraw(BOB_EXHAUSTED)
    assert drained(queue) == [DB_EXPIRED, STARTED, WEB_EXPIRED, REFUSED]


def test_the_first_now_is_the_time_of_all_flow_events_that_wait() -> None:
    queue = queue_of_flows(STARTED, ENDED)
    queue.put(ALICE_EXHAUSTED, 0.0)
    queue.start_clock(500.0)
    assert drained(queue) == [
        evolve(STARTED, flow_start=500.0),
        evolve(ENDED, flow_start=500.0, last_packet=500.0, flow_end=500.0),
        ALICE_EXHAUSTED,
    ]
