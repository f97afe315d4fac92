"""Rule 8 of section 3: what is reported, in which order, and what is withdrawn."""

import pytest

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    CidrResource,
    Direction,
    Event,
    Gateway,
    InvalidPolicy,
)
from tests.scenes import ALICE, both_directions, gateway_for_alice

EXHAUSTED = AccessExhausted("alice")


def resource(name: str) -> CidrResource:
    return CidrResource(name, "10.0.0.0/24")


def gateway_with(**expiries: float | None) -> Gateway:
    """Authorize Alice for resources by their names, with their expiries."""
    gateway = gateway_for_alice(now=0.0)
    for name, expires_at in expiries.items():
        gateway.authorize("alice", resource(name), expires_at=expires_at)
    return gateway


def expired(name: str, at: float, *, client_id: str = "alice") -> AuthorizationExpired:
    return AuthorizationExpired(client_id, name, at)


def events_of(gateway: Gateway) -> list[Event]:
    return list(iter(gateway.poll_event, None))


def test_at_first_nothing_is_reported() -> None:
    assert events_of(gateway_with(a=None)) == []


def test_an_expiry_is_reported_with_the_time_that_it_had() -> None:
    gateway = gateway_with(a=1.0, b=None)
    gateway.handle_timeout(5.0)
    assert events_of(gateway) == [expired("a", 1.0)]


def test_an_event_is_reported_once() -> None:
    gateway = gateway_with(a=1.0, b=None)
    gateway.handle_timeout(5.0)
    assert gateway.poll_event() == expired("a", 1.0)
    gateway.handle_timeout(6.0)
    assert gateway.poll_event() is None


def test_expiries_noticed_together_come_by_expires_at() -> None:
    gateway = gateway_with(a=3.0, b=1.0, c=2.0, d=None)
    gateway.handle_timeout(5.0)
    assert events_of(gateway) == [expired("b", 1.0), expired("c", 2.0), expired("a", 3.0)]


def test_exhaustion_follows_the_expiry_of_the_last_authorization() -> None:
    gateway = gateway_with(a=1.0, b=2.0)
    gateway.handle_timeout(1.0)
    assert events_of(gateway) == [expired("a", 1.0)]
    gateway.handle_timeout(2.0)
    assert events_of(gateway) == [expired("b", 2.0), EXHAUSTED]


def test_events_of_two_clients_come_in_the_order_in_which_they_took_effect() -> None:
    gateway = gateway_with(a=1.0, b=3.0)
    gateway.authorize("bob", resource("a"), expires_at=2.0)
    gateway.handle_timeout(5.0)
    assert events_of(gateway) == [
        expired("a", 1.0),
        expired("a", 2.0, client_id="bob"),
        AccessExhausted("bob"),
        expired("b", 3.0),
        EXHAUSTED,
    ]


@both_directions
def test_any_call_may_queue_events(direction: Direction) -> None:
    gateway = gateway_with(a=1.0)
    gateway.handle_packet(direction, b"", 1.0)
    assert events_of(gateway) == [expired("a", 1.0), EXHAUSTED]


def test_exhaustion_follows_the_revocation_of_the_last_authorization() -> None:
    gateway = gateway_with(a=None, b=None)
    gateway.revoke("alice", "a")
    assert events_of(gateway) == []
    gateway.revoke("alice", "b")
    assert events_of(gateway) == [EXHAUSTED]


def test_exhaustion_follows_retain_authorizations_that_leaves_nothing() -> None:
    gateway = gateway_with(a=None, b=None)
    gateway.retain_authorizations({"alice": {"a"}})
    assert events_of(gateway) == []
    gateway.retain_authorizations({})
    assert events_of(gateway) == [EXHAUSTED]


def test_a_client_without_authorizations_is_not_exhausted_by_retain_authorizations() -> None:
    gateway = gateway_with(a=None)
    gateway.retain_authorizations({"alice": {"a"}})
    assert events_of(gateway) == []


def test_a_revocation_is_no_expiry() -> None:
    gateway = gateway_with(a=1.0, b=None)
    gateway.revoke("alice", "a")
    gateway.handle_timeout(2.0)
    assert events_of(gateway) == []


def test_a_revocation_of_nothing_exhausts_nobody() -> None:
    gateway = gateway_for_alice()
    gateway.revoke("alice", "a")
    assert events_of(gateway) == []


def test_a_client_that_has_just_connected_is_not_exhausted() -> None:
    gateway = gateway_with(a=None)
    gateway.client_connected("alice", ALICE)
    assert events_of(gateway) == []


def test_an_authorization_withdraws_a_queued_exhaustion() -> None:
    gateway = gateway_with(a=None)
    gateway.revoke("alice", "a")
    gateway.authorize("alice", resource("a"))
    assert events_of(gateway) == []


def test_an_authorization_does_not_withdraw_a_queued_expiry() -> None:
    gateway = gateway_with(a=1.0)
    gateway.handle_timeout(1.0)
    gateway.authorize("alice", resource("a"))
    assert events_of(gateway) == [expired("a", 1.0)]


def test_an_authorization_of_another_client_withdraws_nothing() -> None:
    gateway = gateway_with(a=1.0)
    gateway.handle_timeout(1.0)
    gateway.authorize("bob", resource("a"))
    assert events_of(gateway) == [expired("a", 1.0), EXHAUSTED]


def test_an_authorization_that_raises_withdraws_nothing() -> None:
    gateway = gateway_with(a=None)
    gateway.revoke("alice", "a")
    with pytest.raises(TypeError):
        gateway.authorize("alice", "db")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="50 years"):
        gateway.authorize("alice", resource("a"), expires_at=1e12)
    assert events_of(gateway) == [EXHAUSTED]


def test_a_newer_exhaustion_replaces_the_older_and_goes_last() -> None:
    gateway = gateway_with(a=1.0)
    gateway.handle_timeout(1.0)
    gateway.authorize("alice", resource("b"), expires_at=2.0)
    gateway.handle_timeout(2.0)
    assert events_of(gateway) == [expired("a", 1.0), expired("b", 2.0), EXHAUSTED]


def test_a_newer_expiry_of_the_same_resource_replaces_the_older_and_goes_last() -> None:
    gateway = gateway_with(a=1.0, b=2.0, c=None)
    gateway.handle_timeout(2.0)
    gateway.authorize("alice", resource("a"), expires_at=3.0)
    gateway.handle_timeout(3.0)
    assert events_of(gateway) == [expired("b", 2.0), expired("a", 3.0)]


def test_events_of_the_same_resource_of_two_clients_both_wait() -> None:
    gateway = gateway_with(a=1.0, b=None)
    gateway.authorize("bob", resource("b"))
    gateway.authorize("bob", resource("a"), expires_at=1.0)
    gateway.handle_timeout(1.0)
    assert events_of(gateway) == [expired("a", 1.0), expired("a", 1.0, client_id="bob")]


def test_an_expiry_in_the_past_is_reported_at_once() -> None:
    gateway = gateway_with(a=None, b=None)
    gateway.update_expiry("alice", "a", -1.0)
    assert events_of(gateway) == [expired("a", -1.0)]
    gateway.update_expiry("alice", "b", 0.0)
    assert events_of(gateway) == [expired("b", 0.0), EXHAUSTED]


def test_disconnecting_forgets_the_clients_events_and_no_others() -> None:
    gateway = gateway_with(a=1.0)
    gateway.authorize("bob", resource("a"), expires_at=1.0)
    gateway.handle_timeout(1.0)
    gateway.client_disconnected("alice")
    assert events_of(gateway) == [
        expired("a", 1.0, client_id="bob"),
        AccessExhausted("bob"),
    ]


def test_reconnecting_forgets_the_clients_events_also_those_of_the_same_call() -> None:
    gateway = gateway_with(a=1.0, b=2.0)
    gateway.authorize("bob", resource("a"), expires_at=2.0)
    gateway.handle_timeout(1.0)
    gateway.client_connected("alice", ALICE, 2.0)
    assert events_of(gateway) == [
        expired("a", 2.0, client_id="bob"),
        AccessExhausted("bob"),
    ]


def test_disconnecting_with_authorizations_reports_nothing() -> None:
    gateway = gateway_with(a=1.0)
    gateway.client_disconnected("alice")
    gateway.handle_timeout(2.0)
    assert events_of(gateway) == []


def test_updates_report_nothing() -> None:
    gateway = gateway_with(a=5.0)
    gateway.update_resource(CidrResource("a", "10.0.0.0/24", name="renamed"))
    gateway.update_expiry("alice", "a", 6.0)
    with pytest.raises(InvalidPolicy):
        gateway.update_resource(CidrResource("a", "10.0.0.0/25"))
    assert events_of(gateway) == []


def test_a_host_that_never_fetches_pays_for_what_there_is() -> None:
    gateway = gateway_with(a=1.0)
    for now in range(1, 1_000):
        gateway.handle_timeout(float(now))
        gateway.authorize("alice", resource("a"), expires_at=float(now + 1))
    gateway.handle_timeout(1_000.0)
    assert events_of(gateway) == [expired("a", 1_000.0), EXHAUSTED]
