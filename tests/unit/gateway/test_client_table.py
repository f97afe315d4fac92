"""`ClientTable`: upkeep in the smallest steps, and which events come of it in which order."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    CidrResource,
    Event,
    Gateway,
    Tcp,
)
from firezone_filter.gateway import clients, gateway
from firezone_filter.gateway.expiries import Expiries
from tests.scenes import OUTBOUND, V4, gateway_for_alice

MANY = 100
"""Calls enough for everything."""


@pytest.fixture(autouse=True)
def small_steps() -> Iterator[None]:
    """Let each call take one step."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (clients, gateway):
            patch.setattr(module, "STEPS_OF_A_PACKET", 1)
            patch.setattr(module, "STEPS_OF_A_TIMEOUT", 1)
        yield


def resource(name: str) -> CidrResource:
    return CidrResource(name, "10.0.0.0/24", [Tcp()])


def waiting(**expiries: float | None) -> Gateway:
    """Authorize Alice; what has ended by 10 waits behind three resources of Bob."""
    made = gateway_for_alice()
    made.handle_timeout(0.0)
    for number in range(3):
        made.authorize("bob", resource(f"bobs-{number}"), expires_at=9.0)
    made.authorize("bob", resource("bobs-last"))
    for name, expires_at in expiries.items():
        made.authorize("alice", resource(name), expires_at=expires_at)
    made.handle_timeout(10.0)
    assert len(made._clients.by_id["alice"].access.authorizations) == len(expiries)
    return made


def of_alice(made: Gateway) -> list[Event]:
    events: list[Event] = list(iter(made.poll_event, None))
    assert events[:3] == [
        AuthorizationExpired("bob", f"bobs-{number}", 9.0) for number in range(3)
    ]
    return events[3:]


def expired(name: str, at: float = 10.0) -> AuthorizationExpired:
    return AuthorizationExpired("alice", name, at)


def settle(made: Gateway, now: float) -> None:
    made.handle_timeout(now)
    for _ in range(MANY):
        if made.poll_timeout() != now:
            return
        made.handle_timeout(now)
    pytest.fail("it does not come to an end")  # pragma: no cover


later = pytest.mark.parametrize("taken_apart", [False, True], ids=["waiting", "taken-apart"])


@later
def test_everything_is_done_in_the_end_and_its_events_come_in_order(*, taken_apart: bool) -> None:
    made = waiting(d=10.0, a=10.0, c=9.5, b=10.0)
    if taken_apart:
        settle(made, 10.0)
        assert made.counters().authorizations == 1
    assert of_alice(made) == [
        expired("c", 9.5),
        *map(expired, "dab"),
        AccessExhausted("alice"),
    ]


def test_packets_alone_get_everything_done() -> None:
    made = waiting(a=10.0, b=10.0)
    for _ in range(MANY):
        made.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), 10.0)
    assert not made._clients.by_id["alice"].access.authorizations
    assert of_alice(made) == [expired("a"), expired("b"), AccessExhausted("alice")]


def test_polling_alone_gets_everything_done() -> None:
    made = waiting(a=10.0, b=10.0)
    assert of_alice(made) == [expired("a"), expired("b"), AccessExhausted("alice")]
    assert not made._clients.by_id["alice"].access.authorizations


# --- Access that is exhausted ----------------------------------------------------------------


@later
def test_revoking_the_last_that_lives_exhausts_access_once_and_last(*, taken_apart: bool) -> None:
    made = waiting(a=10.0, b=10.0, lives=None, ends_later=20.0)
    assert made.revoke("alice", "lives")
    assert made.revoke("alice", "ends_later")
    if taken_apart:
        settle(made, 10.0)
    assert of_alice(made) == [expired("a"), expired("b"), AccessExhausted("alice")]


@later
def test_an_expiry_that_has_passed_exhausts_access_as_revoking_does(*, taken_apart: bool) -> None:
    made = waiting(a=10.0, lives=None)
    assert made.update_expiry("alice", "lives", 3.0)
    if taken_apart:
        settle(made, 10.0)
    assert of_alice(made) == [expired("a"), expired("lives", 3.0), AccessExhausted("alice")]


@pytest.mark.parametrize("ends_at", [None, 15.0])
@later
def test_revoking_one_of_several_that_live_exhausts_nothing_yet(
    ends_at: float | None, *, taken_apart: bool
) -> None:
    made = waiting(a=10.0, b=None, c=ends_at)
    assert made.revoke("alice", "b")
    if ends_at is None:
        made.revoke("alice", "c")
    if taken_apart:
        settle(made, 15.0)
    made.handle_timeout(15.0)
    ends = [] if ends_at is None else [expired("c", ends_at)]
    assert of_alice(made) == [expired("a"), *ends, AccessExhausted("alice")]


@later
def test_authorizing_while_others_wait_leaves_access_that_is_not_exhausted(
    *, taken_apart: bool
) -> None:
    for again in ("a", "new"):
        made = waiting(a=10.0, b=10.0, lives=None)
        made.revoke("alice", "lives")
        made.authorize("alice", resource(again))
        if taken_apart:
            settle(made, 10.0)
        assert of_alice(made) == [expired("a"), expired("b")]
        assert made.authorizations("alice") == {again: None}


def test_retaining_nothing_while_others_wait_ends_the_rest_after_them() -> None:
    made = waiting(a=10.0, lives=None)
    made.retain_authorizations({})
    events = of_alice(made)
    assert events[0] == expired("a")
    assert set(events[1:]) == {AccessExhausted("alice"), AccessExhausted("bob")}
    assert made.authorizations("alice") == made.authorizations("bob") == {}


def test_a_client_that_disconnects_takes_its_events_along_and_leaves_the_others() -> None:
    made = waiting(a=10.0, b=10.0)
    made.client_disconnected("alice")
    assert of_alice(made) == []
    settle(made, 10.0)
    assert made.poll_timeout() is None


@pytest.mark.parametrize("held", [False, True], ids=["new", "held"])
def test_an_authorization_whose_expiry_cannot_be_set_is_taken_back(*, held: bool) -> None:
    made = gateway_for_alice()
    made.handle_timeout(0.0)
    if held:
        made.authorize("alice", V4.db(Tcp(443)))
    failing = patch.object(Expiries, "set", side_effect=MemoryError)
    with failing, pytest.raises(MemoryError):
        made.authorize("alice", V4.db(Tcp(80)), expires_at=10.0)
    assert made.authorizations("alice") == ({"db": None} if held else {})
    found = {
        port: made.handle_packet(OUTBOUND, V4.tcp(OUTBOUND, port)).allowed for port in (80, 443)
    }
    assert found == {80: False, 443: held}
