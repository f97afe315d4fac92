"""What the roster keeps, in which order it ends things, and what it lets go."""

import gc

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    Drop,
    Gateway,
    Reason,
    Tcp,
    TunnelAddresses,
)
from firezone_filter.resources import compile_filters
from tests.builders import fragment, udp

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND
ANSWER = udp("10.0.0.5:53 > 100.64.0.2:5000")


def gateway_with_a_session(now: float) -> Gateway:
    """Return a gateway with a session that nothing has come back to yet."""
    gateway = Gateway(TunnelAddresses("100.64.0.1"))
    gateway.client_connected("alice", TunnelAddresses("100.64.0.2"), now=now)
    gateway.authorize("alice", DnsResource("dns", "a.example.com"))
    gateway.domain_resolved(
        "alice",
        "dns",
        "a.example.com",
        proxy_addresses=["100.96.0.1"],
        resolved_addresses=["10.0.0.5"],
    )
    gateway.handle_packet(OUTBOUND, udp("100.64.0.2:5000 > 100.96.0.1:53"))
    return gateway


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
def test_an_expiry_in_the_past_ends_nothing_before_the_call_that_sets_it(
    noticed: bool,  # noqa: FBT001 - a case
) -> None:
    gateway = gateway_with_a_session(now=1000.0)
    gateway.handle_packet(OUTBOUND, b"", 1060.0)
    if noticed:
        gateway.handle_packet(INBOUND, udp("10.0.0.77:53 > 100.64.0.2:5000"))
    gateway.update_expiry("alice", "dns", 1059.0)
    assert gateway.handle_packet(INBOUND, ANSWER) == Drop(Reason.EXPIRED_NAT_SESSION, "alice")


@pytest.mark.parametrize(
    ("expires_at", "reason"),
    [(1060.0, Reason.EXPIRED_NAT_SESSION), (1059.5, Reason.NO_RESOURCE)],
)
def test_what_is_noticed_late_ends_in_the_order_of_its_moments(
    expires_at: float, reason: Reason
) -> None:
    gateway = gateway_with_a_session(now=1000.0)
    gateway.update_expiry("alice", "dns", expires_at)
    assert gateway.handle_packet(INBOUND, ANSWER, 1100.0) == Drop(reason, "alice")


def test_a_name_alone_leaves_nothing_to_be_forgotten() -> None:
    gateway = gateway_with_a_session(now=0.0)
    assert gateway._site.reminders.earliest() is None


def test_an_end_is_let_go_when_it_has_been_remembered_for_its_time() -> None:
    gateway = gateway_with_a_session(now=0.0)
    gateway.handle_timeout(299.0)
    assert gateway._site.reminders.earliest() == 300.0
    gateway.handle_timeout(300.0)
    assert gateway._site.reminders.earliest() is None


def test_fragments_are_let_go_one_after_another() -> None:
    gateway = Gateway(TunnelAddresses("100.64.0.1"))
    gateway.client_connected("alice", TunnelAddresses("100.64.0.2"), now=0.0)
    gateway.authorize("alice", CidrResource("net", "10.0.0.0/8"))
    whole = udp("100.64.0.2:5000 > 10.0.0.5:53", payload=bytes(64))
    for now in (0.0, 10.0):
        first = fragment(whole, 0, 24, identification=int(now))
        assert gateway.handle_packet(OUTBOUND, first, now).allowed
    client = gateway._roster.clients["alice"]
    left = []
    for now in (29.0, 30.0, 39.0, 40.0):
        gateway.handle_timeout(now)
        left.append(len(client.fragments))
    assert left == [2, 1, 1, 0]


def test_a_client_that_has_gone_leaves_nothing_to_be_forgotten() -> None:
    gateway = gateway_with_a_session(now=0.0)
    gateway.handle_timeout(100.0)
    gateway.client_disconnected("alice")
    assert gateway._site.reminders.earliest() is None


def test_filters_that_nobody_uses_are_let_go() -> None:
    gateway = gateway_with_a_session(now=0.0)
    filters = (Tcp(1), Tcp(3), Tcp(5))
    gateway.authorize("alice", CidrResource("net", "10.0.0.0/8", filters))
    assert filters in compile_filters
    gateway.client_disconnected("alice")
    gc.collect()
    assert filters not in compile_filters


class Unhashable(str):
    """A text that cannot be a key."""

    __slots__ = ()

    __hash__ = None  # type: ignore[assignment]


def test_an_id_of_another_class_is_taken_as_the_text_that_it_is() -> None:
    gateway = gateway_with_a_session(now=0.0)
    gateway.client_connected(Unhashable("bob"), TunnelAddresses("100.64.0.3"), now=1.0)
    packet = udp("100.64.0.3:5000 > 100.64.0.1:53")
    assert gateway.handle_packet(OUTBOUND, packet, client_id=Unhashable("bob")).allowed
    assert type(gateway.clients()[-1]) is str
