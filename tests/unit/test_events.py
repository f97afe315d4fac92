import pickle

import pytest
from attrs.exceptions import FrozenInstanceError

from firezone_filter.events import AccessExhausted, AuthorizationExpired, Event, EventQueue

DB_EXPIRED = AuthorizationExpired("alice", "db", 10.0)
DB_EXPIRED_AGAIN = AuthorizationExpired("alice", "db", 20.0)
WEB_EXPIRED = AuthorizationExpired("alice", "web", 10.0)
ALICE_EXHAUSTED = AccessExhausted("alice")
BOBS_DB_EXPIRED = AuthorizationExpired("bob", "db", 10.0)
BOB_EXHAUSTED = AccessExhausted("bob")

KINDS = [
    pytest.param(DB_EXPIRED, id="AuthorizationExpired"),
    pytest.param(ALICE_EXHAUSTED, id="AccessExhausted"),
]


def queue_of(*events: Event) -> EventQueue:
    queue = EventQueue()
    for event in events:
        queue.put(event)
    return queue


def drained(queue: EventQueue) -> list[Event]:
    return list(iter(queue.get, None))


@pytest.mark.parametrize("event", KINDS)
def test_an_event_is_frozen(event: Event) -> None:
    with pytest.raises(FrozenInstanceError):
        event.client_id = "eve"  # type: ignore[misc]


@pytest.mark.parametrize("event", KINDS)
def test_an_event_has_slots(event: Event) -> None:
    assert not hasattr(event, "__dict__")


@pytest.mark.parametrize("event", KINDS)
def test_an_event_survives_pickle(event: Event) -> None:
    assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301 - our own bytes


def test_events_compare_by_value() -> None:
    assert AuthorizationExpired("alice", "db", 10.0) == DB_EXPIRED


def test_an_event_can_be_counted_in_a_set() -> None:
    assert len({DB_EXPIRED, AuthorizationExpired("alice", "db", 10.0), ALICE_EXHAUSTED}) == 2


def test_an_event_shows_its_fields() -> None:
    assert repr(ALICE_EXHAUSTED) == "AccessExhausted(client_id='alice')"


def test_an_empty_queue_gives_nothing() -> None:
    assert EventQueue().get() is None


def test_events_come_in_the_order_in_which_they_were_put() -> None:
    events: list[Event] = [
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
    queue = queue_of(ALICE_EXHAUSTED, BOB_EXHAUSTED, ALICE_EXHAUSTED)
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
