"""Section 4, inbound: each row of the table, in its order."""

import pytest

from firezone_filter import (
    CidrResource,
    DnsResource,
    Drop,
    Forward,
    GatewayOptions,
    Icmp,
    InternetResource,
    Reason,
    Tcp,
    Udp,
)
from tests.builders import ESP, GRE, icmp, ip, tcp, udp
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    at,
    both_families,
    gateway_for_alice,
)


@both_families
def test_a_malformed_packet_is_dropped_before_anything_else(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    packet = family.tcp(INBOUND)[:-1]
    assert gateway.handle_packet(INBOUND, packet, client_id="nobody") == Drop(
        Reason.MALFORMED, None
    )


# --- Whose packet --------------------------------------------------------------------------


@both_families
def test_a_destination_outside_the_tunnel_ranges_is_no_peer(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    for near in (family.stranger, family.public, family.proxy, family.multicast):
        packet = udp(family.flow(INBOUND, 53, near=near))
        for client_id in (None, "alice", "nobody"):
            assert gateway.handle_packet(INBOUND, packet, client_id=client_id) == Drop(
                Reason.NOT_A_PEER, None
            )


@pytest.mark.parametrize(
    ("family", "inside", "outside"),
    [
        (V4, "100.64.0.0", "100.63.255.255"),
        (V4, "100.95.255.255", "100.96.0.0"),
        (V6, "fd00:2021:1111::", "fd00:2021:1110:ffff:ffff:ffff:ffff:ffff"),
        (V6, "fd00:2021:1111::1f:ffff", "fd00:2021:1111::20:0"),
    ],
)
def test_where_peers_end_is_where_the_plan_says(family: Family, inside: str, outside: str) -> None:
    gateway = gateway_for_alice(family.db())
    packets = [udp(family.flow(INBOUND, 53, near=near)) for near in (inside, outside)]
    assert gateway.handle_packets(INBOUND, packets) == [
        Drop(Reason.UNKNOWN_CLIENT, None),
        Drop(Reason.NOT_A_PEER, None),
    ]


@both_families
def test_a_destination_that_no_client_owns_is_unknown(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    for near in (family.spare, family.gateway):
        packet = udp(family.flow(INBOUND, 53, near=near))
        assert gateway.handle_packet(INBOUND, packet) == Drop(Reason.UNKNOWN_CLIENT, None)


@both_families
def test_a_destination_of_another_client_than_the_one_passed_is_unknown(
    family: Family,
) -> None:
    gateway = gateway_for_alice(family.db())
    packet = family.tcp(INBOUND)
    assert gateway.handle_packet(INBOUND, packet, client_id="alice") == Forward("alice", "db")
    for client_id in ("bob", "nobody", ""):
        assert gateway.handle_packet(INBOUND, packet, client_id=client_id) == Drop(
            Reason.UNKNOWN_CLIENT, None
        )


# --- Peer addresses ------------------------------------------------------------------------


@both_families
def test_nobody_outside_speaks_from_within_the_tunnel_or_the_dns_ranges(
    family: Family,
) -> None:
    everything = CidrResource("all", "0.0.0.0/0" if family is V4 else "::/0")
    gateway = gateway_for_alice(everything, DnsResource("gitlab", "gitlab.example.com"))
    for far in (family.neighbour, family.client, family.spare, family.proxy):
        packet = family.tcp(INBOUND, far=far)
        assert gateway.handle_packet(INBOUND, packet) == Drop(Reason.PEER_ADDRESS, "alice")


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
)
def test_sources_are_refused_as_far_as_the_plan_goes(
    family: Family, inside: str, outside: str
) -> None:
    gateway = gateway_for_alice(CidrResource("all", "0.0.0.0/0"), CidrResource("all6", "::/0"))
    refused = gateway.handle_packet(INBOUND, family.tcp(INBOUND, far=inside))
    assert refused == Drop(Reason.PEER_ADDRESS, "alice")
    assert gateway.handle_packet(INBOUND, family.tcp(INBOUND, far=outside)).allowed


@both_families
def test_a_peer_address_is_refused_before_its_icmp_is_looked_at(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    kinds = (9, 3) if family is V4 else (135, 1)
    packets = [icmp(family.flow(INBOUND, far=family.proxy), kind) for kind in kinds]
    assert gateway.handle_packets(INBOUND, packets) == [
        Drop(Reason.PEER_ADDRESS, "alice"),
        Drop(Reason.PEER_ADDRESS, "alice"),
    ]


# --- ICMP that stays on its link -----------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "kind"), [(V4, 9), (V4, 10), (V6, 133), (V6, 134), (V6, 135), (V6, 136)]
)
def test_link_only_icmp_is_dropped_whatever_the_filters_say(family: Family, kind: int) -> None:
    gateway = gateway_for_alice(family.db())
    for far in (family.host, family.gateway, family.stranger):
        packet = icmp(family.flow(INBOUND, far=far), kind)
        assert gateway.handle_packet(INBOUND, packet) == Drop(Reason.ICMP, "alice")


@pytest.mark.parametrize(("family", "kind"), [(V4, 8), (V4, 13), (V6, 132), (V6, 138)])
def test_neighbours_of_link_only_icmp_are_judged_by_the_filters(family: Family, kind: int) -> None:
    gateway = gateway_for_alice(family.db(Icmp()))
    packet = icmp(family.flow(INBOUND), kind)
    assert gateway.handle_packet(INBOUND, packet) == Forward("alice", "db")


# --- The gateway's own address -------------------------------------------------------------


@both_families
def test_without_own_filters_the_gateway_may_talk_to_a_client(family: Family) -> None:
    gateway = gateway_for_alice()
    own = family.gateway
    packets = (
        family.tcp(INBOUND, far=own),
        family.udp(INBOUND, far=own),
        family.echo(INBOUND, far=own),
        ip(family.flow(INBOUND, far=own), ESP),
    )
    assert gateway.handle_packets(INBOUND, packets) == [Forward("alice", None)] * 4


@both_families
def test_own_filters_judge_what_comes_from_the_gateway(family: Family) -> None:
    gateway = gateway_for_alice(options=GatewayOptions(own_filters=[Tcp(53), Udp(53)]))
    own = family.gateway
    packets = (
        family.tcp(INBOUND, 53, far=own),
        family.tcp(INBOUND, 54, far=own),
        family.udp(INBOUND, 53, far=own),
        family.udp(INBOUND, 52, far=own),
        family.echo(INBOUND, far=own),
        ip(family.flow(INBOUND, far=own), GRE),
    )
    assert gateway.handle_packets(INBOUND, packets) == [
        Forward("alice", None),
        Drop(Reason.TCP_PORT, "alice"),
        Forward("alice", None),
        Drop(Reason.UDP_PORT, "alice"),
        Drop(Reason.ICMP, "alice"),
        Drop(Reason.PROTOCOL, "alice"),
    ]


# --- Resources -----------------------------------------------------------------------------


@both_families
def test_inbound_the_source_port_is_the_resources(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443), Udp("53-54")))
    swapped = f"{at(family.host, 5401)} > {at(family.client, 443)}"
    swapped_udp = f"{at(family.host, 5401)} > {at(family.client, 53)}"
    packets = (
        family.tcp(INBOUND, 443),
        family.udp(INBOUND, 53),
        family.udp(INBOUND, 54),
        tcp(swapped),
        udp(swapped_udp),
    )
    assert gateway.handle_packets(INBOUND, packets) == [
        Forward("alice", "db"),
        Forward("alice", "db"),
        Forward("alice", "db"),
        Drop(Reason.TCP_PORT, "alice"),
        Drop(Reason.UDP_PORT, "alice"),
    ]


@both_families
def test_a_silent_refusal_by_filters_names_the_protocol(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443), Udp("53-54")))
    packets = (
        family.tcp(INBOUND, 442),
        family.tcp(INBOUND, 444),
        family.udp(INBOUND, 52),
        family.udp(INBOUND, 55),
        family.echo(INBOUND),
        ip(family.flow(INBOUND), GRE),
        family.tcp(INBOUND, far=family.stranger),
    )
    assert gateway.handle_packets(INBOUND, packets) == [
        Drop(Reason.TCP_PORT, "alice"),
        Drop(Reason.TCP_PORT, "alice"),
        Drop(Reason.UDP_PORT, "alice"),
        Drop(Reason.UDP_PORT, "alice"),
        Drop(Reason.ICMP, "alice"),
        Drop(Reason.PROTOCOL, "alice"),
        Drop(Reason.NO_RESOURCE, "alice"),
    ]


@both_families
def test_the_source_is_matched_and_not_the_destination(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    packet = tcp(family.flow(INBOUND, 443, near=family.neighbour))
    assert gateway.handle_packet(INBOUND, packet) == Drop(Reason.NO_RESOURCE, "bob")


@both_families
def test_what_a_resource_permits_comes_back_whether_or_not_it_was_asked_for(
    family: Family,
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    assert gateway.handle_packet(INBOUND, family.tcp(INBOUND)) == Forward("alice", "db")


@both_families
def test_the_internet_resource_lets_in_what_is_public(family: Family) -> None:
    gateway = gateway_for_alice(InternetResource("internet"))
    packets = (
        family.tcp(INBOUND, far=family.public),
        family.tcp(INBOUND, far=family.host),
        family.tcp(INBOUND, far=family.multicast),
    )
    assert gateway.handle_packets(INBOUND, packets) == [
        Forward("alice", "internet"),
        Drop(Reason.NOT_INTERNET, "alice"),
        Drop(Reason.NOT_INTERNET, "alice"),
    ]


@both_families
def test_a_multicast_source_is_no_resource_however_wide_the_network(family: Family) -> None:
    everything = CidrResource("all", "0.0.0.0/0" if family is V4 else "::/0")
    gateway = gateway_for_alice(everything)
    packet = family.udp(INBOUND, far=family.multicast)
    assert gateway.handle_packet(INBOUND, packet) == Drop(Reason.NO_RESOURCE, "alice")


@both_families
def test_inbound_refusals_are_silent_and_cost_no_token(family: Family) -> None:
    options = GatewayOptions(reject_burst=1, reject_rate=0)
    gateway = gateway_for_alice(options=options)
    refused = gateway.handle_packets(INBOUND, [family.tcp(INBOUND)] * 3)
    assert refused == [Drop(Reason.NO_RESOURCE, "alice")] * 3
    assert not isinstance(gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND)), Drop)


@both_families
def test_what_goes_on_is_the_packet_itself(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    allowed, refused = family.tcp(INBOUND), family.udp(INBOUND)
    assert gateway.handle_packet(INBOUND, allowed).to_send(allowed) is allowed
    assert gateway.handle_packet(INBOUND, refused).to_send(refused) is None
