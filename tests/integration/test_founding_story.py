"""The bug that this library was built for, told in public names alone.

Filters used to judge only what went from a client towards resources. After a restart the
client came back under the same address with filters that allow nothing, and yet packets of
its old sessions flowed back to it; it had lost its state and reported "Source not allowed".
The cure: the same filters judge both directions, and a client that has just connected is
allowed nothing.
"""

import pytest
from attrs import frozen

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    CidrResource,
    Direction,
    Drop,
    Forward,
    Gateway,
    Reason,
    Reject,
    Tcp,
    TunnelAddresses,
    Udp,
)
from firezone_filter.testing import fragment, icmp_error, tcp, udp


@frozen
class Story:
    """Who talks to whom, in one IP version."""

    alice: TunnelAddresses
    database: CidrResource
    query: bytes
    answer: bytes
    long_query: bytes
    long_answer: bytes
    too_big: bytes


GATEWAY = TunnelAddresses("100.64.0.1", "fd00:2021:1111::1")
FILTERS = (Tcp(5432), Udp(5432))

IPV4 = Story(
    alice=TunnelAddresses(ipv4="100.64.0.2"),
    database=CidrResource("db", "10.0.0.0/24", FILTERS),
    query=tcp("100.64.0.2:5401 > 10.0.0.5:5432", b"select 1"),
    answer=tcp("10.0.0.5:5432 > 100.64.0.2:5401", b"1"),
    long_query=udp("100.64.0.2:5401 > 10.0.0.5:5432", bytes(3_000)),
    long_answer=udp("10.0.0.5:5432 > 100.64.0.2:5401", bytes(3_000)),
    too_big=icmp_error(
        "10.0.9.1 > 100.64.0.2", 3, 4, quoting=tcp("100.64.0.2:5401 > 10.0.0.5:5432")[:28]
    ),
)
IPV6 = Story(
    alice=TunnelAddresses(ipv6="fd00:2021:1111::2"),
    database=CidrResource("db", "fd00:5::/64", FILTERS),
    query=tcp("[fd00:2021:1111::2]:5401 > [fd00:5::5]:5432", b"select 1"),
    answer=tcp("[fd00:5::5]:5432 > [fd00:2021:1111::2]:5401", b"1"),
    long_query=udp("[fd00:2021:1111::2]:5401 > [fd00:5::5]:5432", bytes(3_000)),
    long_answer=udp("[fd00:5::5]:5432 > [fd00:2021:1111::2]:5401", bytes(3_000)),
    too_big=icmp_error(
        "fd00:9::1 > fd00:2021:1111::2",
        2,
        quoting=tcp("[fd00:2021:1111::2]:5401 > [fd00:5::5]:5432"),
    ),
)

both_families = pytest.mark.parametrize("story", [IPV4, IPV6], ids=["ipv4", "ipv6"])
ALLOWED = Forward("alice", "db")
NOTHING = Drop(Reason.NO_RESOURCE, "alice")
NOBODY = Drop(Reason.UNKNOWN_CLIENT, None)


def at_work(story: Story) -> Gateway:
    """Connect Alice, let her work with the database, and look: it works both ways."""
    gateway = Gateway(GATEWAY)
    gateway.client_connected("alice", story.alice, now=1_000.0)
    gateway.authorize("alice", story.database, expires_at=5_000.0)
    for packet in (story.query, fragment(story.long_query, 0, 1_400)):
        assert gateway.handle_packet(Direction.OUTBOUND, packet).to_send(packet) is packet
    for packet in (story.answer, fragment(story.long_answer, 0, 1_400), story.too_big):
        assert gateway.handle_packet(Direction.INBOUND, packet).to_send(packet) is packet
    return gateway


def assert_nothing_passes(gateway: Gateway, story: Story) -> None:
    """Try everything of the old session again: the reason says why it is refused."""
    refused = gateway.handle_packet(Direction.OUTBOUND, story.query)
    assert isinstance(refused, Reject)
    assert (refused.reason, refused.client_id) == (Reason.NO_RESOURCE, "alice")
    assert not refused.allowed
    outbound = gateway.handle_packet(Direction.OUTBOUND, fragment(story.long_query, 1_400, 2_800))
    assert outbound == Drop(Reason.FRAGMENT, "alice")
    inbound = gateway.handle_packets(
        Direction.INBOUND,
        [story.answer, fragment(story.long_answer, 1_400, 2_800), story.too_big],
    )
    assert inbound == [
        NOTHING,
        Drop(Reason.FRAGMENT, "alice"),
        Drop(Reason.ICMP_ERROR, "alice"),
    ]


@both_families
def test_while_the_client_is_authorized_both_directions_pass(story: Story) -> None:
    gateway = at_work(story)
    assert gateway.handle_packet(Direction.OUTBOUND, story.query, 2_000.0) == ALLOWED
    assert gateway.handle_packet(Direction.INBOUND, story.answer, 2_000.0) == ALLOWED


@both_families
def test_when_the_client_has_gone_nothing_passes_in_either_direction(story: Story) -> None:
    gateway = at_work(story)
    assert gateway.client_disconnected("alice")
    assert gateway.handle_packet(Direction.OUTBOUND, story.query) == NOBODY
    assert gateway.handle_packet(Direction.INBOUND, story.answer) == NOBODY


@both_families
def test_when_it_comes_back_its_old_sessions_do_not_reach_it(story: Story) -> None:
    gateway = at_work(story)
    gateway.client_disconnected("alice")
    gateway.client_connected("alice", story.alice, now=1_001.0)
    assert_nothing_passes(gateway, story)


@both_families
def test_a_reconnect_that_nobody_announced_stops_the_old_sessions_too(story: Story) -> None:
    gateway = at_work(story)
    # The client crashed: no client_disconnected, only a new handshake.
    gateway.client_connected("alice", story.alice, now=1_001.0)
    assert_nothing_passes(gateway, story)


@both_families
def test_another_client_under_the_old_address_gets_nothing_of_the_old_sessions(
    story: Story,
) -> None:
    gateway = at_work(story)
    gateway.client_disconnected("alice")
    gateway.client_connected("mallory", story.alice, now=1_001.0)
    answer = gateway.handle_packet(Direction.INBOUND, story.answer)
    assert answer == Drop(Reason.NO_RESOURCE, "mallory")


@both_families
def test_once_authorized_again_the_client_is_back_at_work(story: Story) -> None:
    gateway = at_work(story)
    gateway.client_connected("alice", story.alice, now=1_001.0)
    assert_nothing_passes(gateway, story)
    gateway.authorize("alice", story.database)
    assert gateway.handle_packet(Direction.OUTBOUND, story.query) == ALLOWED
    assert gateway.handle_packet(Direction.INBOUND, story.answer) == ALLOWED


@both_families
def test_authorized_again_for_less_the_old_sessions_stay_stopped(story: Story) -> None:
    gateway = at_work(story)
    gateway.client_connected("alice", story.alice, now=1_001.0)
    less = CidrResource("db", story.database.network, [Udp(5432)])
    gateway.authorize("alice", less)
    answer = gateway.handle_packet(Direction.INBOUND, story.answer)
    assert answer == Drop(Reason.TCP_PORT, "alice")


@both_families
def test_the_old_expiry_does_not_end_the_new_session(story: Story) -> None:
    gateway = at_work(story)
    gateway.client_connected("alice", story.alice, now=1_001.0)
    gateway.authorize("alice", story.database)
    assert gateway.poll_timeout() is None
    gateway.handle_timeout(5_000.0)
    assert gateway.poll_event() is None
    assert gateway.handle_packet(Direction.INBOUND, story.answer) == ALLOWED


@both_families
def test_revocation_and_expiry_stop_both_directions_as_a_reconnect_does(story: Story) -> None:
    revoked, expired = at_work(story), at_work(story)
    assert revoked.revoke("alice", "db")
    assert_nothing_passes(revoked, story)
    assert revoked.poll_event() == AccessExhausted("alice")
    assert expired.poll_timeout() == 1_030.0  # a fragment is forgotten first
    expired.handle_timeout(5_000.0)
    assert_nothing_passes(expired, story)
    assert expired.poll_event() == AuthorizationExpired("alice", "db", 5_000.0)
    assert expired.poll_event() == AccessExhausted("alice")
