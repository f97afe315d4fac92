"""Section 4, outbound: the rows that only packets from a client have, and their order.

`test_shared_rows` has those that both directions share.
"""

import pytest

from firezone_filter import (
    CidrResource,
    DnsResource,
    Drop,
    Forward,
    InternetResource,
    Reason,
    Reject,
    TunnelAddresses,
)
from firezone_filter.testing import icmp, icmp_error, ip_fragment, patched, udp
from tests.scenes import OUTBOUND, V4, V6, Family, both_families, gateway_for_alice, reasons

UNKNOWN = Drop(Reason.UNKNOWN_CLIENT, None)


def foreign(client_id: str) -> Drop:
    return Drop(Reason.SOURCE_NOT_ALLOWED, client_id)


@pytest.mark.parametrize(
    ("family", "inside", "outside"),
    [
        (V4, ["224.0.0.0", "239.255.255.255"], ["223.255.255.255", "240.0.0.0"]),
        (V4, ["255.255.255.255"], ["255.255.255.254"]),
        (V6, ["ff00::", "ffff:" * 7 + "ffff"], ["fe00::", "feff:" + "ffff:" * 6 + "ffff"]),
    ],
    ids=["ipv4", "broadcast", "ipv6"],
)
def test_multicast_and_broadcast_are_dropped_whoever_sends_them(
    family: Family, inside: list[str], outside: list[str]
) -> None:
    gateway = gateway_for_alice(family.everything())
    refused = [family.udp(OUTBOUND, far=far) for far in inside]
    allowed = [family.udp(OUTBOUND, far=far) for far in outside]
    for client_id in (None, "nobody"):
        decisions = gateway.handle_packets(OUTBOUND, refused, client_id=client_id)
        assert decisions == [Drop(Reason.MULTICAST, None)] * len(refused)
    assert gateway.handle_packets(OUTBOUND, allowed) == [Forward("alice", "all")] * len(allowed)


@both_families
def test_a_packet_is_of_the_client_that_is_named_or_that_has_its_source(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    rows = [
        (family.client, None, Forward("alice", "db")),
        (family.client, "alice", Forward("alice", "db")),
        # Nobody borrows the access of another.
        (family.client, "bob", foreign("bob")),
        (family.neighbour, "alice", foreign("alice")),
        (family.client, "carol", UNKNOWN),
        (family.client, "", UNKNOWN),
    ]
    for nobody in (family.spare, family.gateway, family.stranger, family.proxy):
        rows += [(nobody, "alice", foreign("alice")), (nobody, None, UNKNOWN)]
    found = [
        gateway.handle_packet(OUTBOUND, udp(family.flow(OUTBOUND, 53, near=source)), None, name)
        for source, name, _ in rows
    ]
    assert found == [expected for *_, expected in rows]


@pytest.mark.parametrize(
    ("family", "addresses"),
    [(V4, TunnelAddresses(ipv6=V6.client)), (V6, TunnelAddresses(ipv4=V4.client))],
    ids=["ipv4", "ipv6"],
)
def test_a_client_sends_nothing_in_a_family_in_which_it_has_no_address(
    family: Family, addresses: TunnelAddresses
) -> None:
    gateway = gateway_for_alice()
    gateway.client_connected("alice", addresses)
    gateway.authorize("alice", family.db())
    assert gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND)) == UNKNOWN
    named = gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND), client_id="alice")
    assert named == foreign("alice")


@pytest.mark.parametrize(
    ("family", "inside", "outside"),
    [
        (V4, "100.64.0.0", "100.63.255.255"),
        (V4, "100.95.255.255", "100.128.0.0"),
        (V6, "fd00:2021:1111::", "fd00:2021:1110:ffff:ffff:ffff:ffff:ffff"),
        (V6, "fd00:2021:1111::1f:ffff", "fd00:2021:1111::20:0"),
    ],
    ids=["ipv4-first", "ipv4-last", "ipv6-first", "ipv6-last"],
)
def test_clients_reach_nobody_in_the_tunnel_ranges_but_the_gateway(
    family: Family, inside: str, outside: str
) -> None:
    gateway = gateway_for_alice(family.everything())
    peers = [inside, family.neighbour, family.spare, family.client]
    packets = [family.tcp(OUTBOUND, 53535, far=far) for far in (*peers, outside, family.gateway)]
    refused = [Reason.PEER_ADDRESS] * len(peers)
    assert reasons(gateway, OUTBOUND, packets) == [*refused, None, None]


@both_families
def test_in_the_dns_ranges_only_dns_resources_cover_an_address(family: Family) -> None:
    names = DnsResource("gitlab", "gitlab.example.com")
    gateway = gateway_for_alice(names, family.everything(), InternetResource("internet"))
    packet = family.tcp(OUTBOUND, far=family.proxy)
    assert reasons(gateway, OUTBOUND, [packet]) == [Reason.NO_RESOURCE]


@both_families
def test_rows_are_checked_in_their_order(family: Family) -> None:
    gateway = gateway_for_alice()
    link_only = 9 if family is V4 else 135

    def later(far: str | None = None, near: str | None = None) -> bytes:
        return ip_fragment(family.flow(OUTBOUND, far=far, near=near), 17, bytes(8), start=8)

    rows = {
        # Each breaks the row that is named, and the one after it.
        Reason.MALFORMED: family.udp(OUTBOUND, far=family.multicast)[:-1],
        Reason.MULTICAST: later(far=family.multicast, near=family.spare),
        Reason.SOURCE_NOT_ALLOWED: later(near=family.spare),
        Reason.FRAGMENT: later(far=family.neighbour),
        Reason.PEER_ADDRESS: icmp_error(
            family.flow(OUTBOUND, far=family.neighbour), family.unreachable, quoting=b""
        ),
        Reason.ICMP_ERROR: icmp_error(family.flow(OUTBOUND), family.unreachable, quoting=b""),
        Reason.ICMP: icmp(family.flow(OUTBOUND), link_only),
        Reason.NO_RESOURCE: family.udp(OUTBOUND),
    }
    assert reasons(gateway, OUTBOUND, rows.values(), client_id="alice") == list(rows)
    link_only_to_peer = icmp(family.flow(OUTBOUND, far=family.neighbour), link_only)
    assert reasons(gateway, OUTBOUND, [link_only_to_peer]) == [Reason.PEER_ADDRESS]
    unowned = later(near=family.spare)
    assert reasons(gateway, OUTBOUND, [unowned]) == [Reason.UNKNOWN_CLIENT]
    nobodys = family.udp(OUTBOUND)[:-1]
    assert reasons(gateway, OUTBOUND, [nobodys], client_id="nobody") == [Reason.MALFORMED]


@both_families
def test_a_refusal_carries_the_client_and_a_reply_for_it(family: Family) -> None:
    decision = gateway_for_alice().handle_packet(OUTBOUND, family.tcp(OUTBOUND))
    assert isinstance(decision, Reject)
    assert (decision.client_id, decision.allowed, bool(decision.reply)) == ("alice", False, True)


@both_families
def test_checksums_and_hop_limits_are_nobodys_business_here(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    packet = family.tcp(OUTBOUND)
    hop_limit = 8 if family is V4 else 7
    for wrong in (patched(packet, hop_limit, b"\x01"), patched(packet, len(packet) - 4, b"!!")):
        assert gateway.handle_packet(OUTBOUND, wrong).to_send(wrong) is wrong


def test_a_client_has_an_address_of_each_family() -> None:
    gateway = gateway_for_alice(V4.db(), CidrResource("db6", V6.network))
    packets = [V4.tcp(OUTBOUND), V6.tcp(OUTBOUND)]
    expected = [Forward("alice", "db"), Forward("alice", "db6")]
    assert gateway.handle_packets(OUTBOUND, packets) == expected
