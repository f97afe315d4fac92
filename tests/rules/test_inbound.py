"""Section 4, inbound: the rows that only packets to a client have, and their order.

`test_shared_rows` has those that both directions share.
"""

import pytest

from firezone_filter import DnsResource, Drop, Forward, GatewayOptions, Reason, Reject, Tcp
from firezone_filter.testing import icmp, icmp_error, ip_fragment, udp
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_families,
    gateway_for_alice,
    reasons,
)

UNKNOWN = Drop(Reason.UNKNOWN_CLIENT, None)
NOT_A_PEER = Drop(Reason.NOT_A_PEER, None)


@pytest.mark.parametrize(
    ("family", "inside", "outside"),
    [
        (V4, "100.64.0.0", "100.63.255.255"),
        (V4, "100.95.255.255", "100.96.0.0"),
        (V6, "fd00:2021:1111::", "fd00:2021:1110:ffff:ffff:ffff:ffff:ffff"),
        (V6, "fd00:2021:1111::1f:ffff", "fd00:2021:1111::20:0"),
    ],
    ids=["ipv4-first", "ipv4-last", "ipv6-first", "ipv6-last"],
)
def test_a_destination_outside_the_tunnel_ranges_is_no_peer_whoever_is_named(
    family: Family, inside: str, outside: str
) -> None:
    gateway = gateway_for_alice(family.db())
    outsiders = (outside, family.stranger, family.public, family.proxy, family.multicast)
    packets = [udp(family.flow(INBOUND, 53, near=near)) for near in (inside, *outsiders)]
    for client_id in (None, "alice", "nobody"):
        decisions = gateway.handle_packets(INBOUND, packets, client_id=client_id)
        assert decisions == [UNKNOWN, *[NOT_A_PEER] * len(outsiders)]


@both_families
def test_a_packet_is_for_the_client_that_has_its_destination(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    rows = [
        (family.client, None, Forward("alice", "db")),
        (family.client, "alice", Forward("alice", "db")),
        (family.client, "bob", UNKNOWN),
        (family.client, "nobody", UNKNOWN),
        (family.client, "", UNKNOWN),
        # The source is matched with the resources of whom it goes to.
        (family.neighbour, None, Drop(Reason.NO_RESOURCE, "bob")),
        (family.spare, None, UNKNOWN),
        (family.gateway, None, UNKNOWN),
    ]
    found = [
        gateway.handle_packet(INBOUND, udp(family.flow(INBOUND, 53, near=near)), None, client_id)
        for near, client_id, _ in rows
    ]
    assert found == [expected for *_, expected in rows]


@pytest.mark.parametrize(
    ("family", "inside", "outside"),
    [
        (V4, "100.64.0.0", "100.63.255.255"),
        (V4, "100.96.0.0", "100.63.255.255"),
        (V4, "100.127.255.255", "100.128.0.0"),
        (V6, "fd00:2021:1111::1f:ffff", "fd00:2021:1111::20:0"),
        (V6, "fd00:2021:1111:8000::", "fd00:2021:1111:7fff:ffff:ffff:ffff:ffff"),
        (V6, "fd00:2021:1111:8000::1f:ffff", "fd00:2021:1111:8000::20:0"),
    ],
    ids=["ipv4-first", "ipv4-dns", "ipv4-last", "ipv6-last", "ipv6-dns-first", "ipv6-dns-last"],
)
def test_nobody_outside_speaks_from_the_tunnel_or_the_dns_ranges(
    family: Family, inside: str, outside: str
) -> None:
    gateway = gateway_for_alice(family.everything(), DnsResource("git", "git.example.com"))
    peers = (inside, family.neighbour, family.client, family.spare, family.proxy)
    packets = [family.tcp(INBOUND, far=far) for far in (*peers, outside)]
    refused = [Drop(Reason.PEER_ADDRESS, "alice")] * len(peers)
    assert gateway.handle_packets(INBOUND, packets) == [*refused, Forward("alice", "all")]


@both_families
def test_a_multicast_source_is_no_resource_however_wide_the_network(family: Family) -> None:
    gateway = gateway_for_alice(family.everything())
    packet = family.udp(INBOUND, far=family.multicast)
    assert gateway.handle_packet(INBOUND, packet) == Drop(Reason.NO_RESOURCE, "alice")


@both_families
def test_rows_are_checked_in_their_order(family: Family) -> None:
    gateway = gateway_for_alice()
    link_only = 9 if family is V4 else 135

    def later(far: str | None = None, near: str | None = None) -> bytes:
        return ip_fragment(family.flow(INBOUND, far=far, near=near), 17, bytes(8), start=8)

    from_proxy = family.flow(INBOUND, far=family.proxy)
    rows = {
        # Each breaks the row that is named, and the one after it.
        Reason.MALFORMED: udp(family.flow(INBOUND, 53, near=family.stranger))[:-1],
        Reason.NOT_A_PEER: later(near=family.stranger),
        Reason.UNKNOWN_CLIENT: later(near=family.spare),
        Reason.FRAGMENT: later(far=family.proxy),
        Reason.PEER_ADDRESS: icmp_error(from_proxy, family.unreachable, quoting=b""),
        Reason.ICMP_ERROR: icmp_error(family.flow(INBOUND), family.unreachable, quoting=b""),
        Reason.ICMP: icmp(family.flow(INBOUND), link_only),
        Reason.NO_RESOURCE: family.udp(INBOUND),
    }
    assert reasons(gateway, INBOUND, rows.values()) == list(rows)
    assert reasons(gateway, INBOUND, [icmp(from_proxy, link_only)]) == [Reason.PEER_ADDRESS]
    nobodys = family.udp(INBOUND)[:-1]
    assert reasons(gateway, INBOUND, [nobodys], client_id="nobody") == [Reason.MALFORMED]


@both_families
def test_a_permitted_packet_passes_whether_or_not_it_was_asked_for(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    assert gateway.handle_packet(INBOUND, family.tcp(INBOUND)) == Forward("alice", "db")


@both_families
def test_refusals_are_silent_and_cost_no_token(family: Family) -> None:
    gateway = gateway_for_alice(options=GatewayOptions(reject_burst=1, reject_rate=0))
    refused = gateway.handle_packets(INBOUND, [family.tcp(INBOUND)] * 3)
    assert refused == [Drop(Reason.NO_RESOURCE, "alice")] * 3
    assert isinstance(gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND)), Reject)
