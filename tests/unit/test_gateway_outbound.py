"""Section 4, outbound: each row of the table, in its order."""

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
    Reject,
    Tcp,
    TunnelAddresses,
    Udp,
)
from tests.builders import ESP, GRE, icmp, icmp_error, ip, patched, tcp, udp
from tests.scenes import (
    OUTBOUND,
    V4,
    V6,
    Family,
    at,
    both_families,
    gateway_for_alice,
    rejection,
)

# --- Malformed -----------------------------------------------------------------------------


@both_families
def test_a_malformed_packet_is_dropped_before_anything_else(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    packet = family.tcp(OUTBOUND, far=family.multicast)[:-1]
    assert gateway.handle_packet(OUTBOUND, packet, client_id="nobody") == Drop(
        Reason.MALFORMED, None
    )


# --- Multicast -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "far"),
    [
        (V4, "224.0.0.0"),
        (V4, "239.255.255.255"),
        (V4, "255.255.255.255"),
        (V6, "ff00::"),
        (V6, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
)
def test_multicast_and_broadcast_are_dropped_before_the_client_is_looked_for(
    family: Family, far: str
) -> None:
    gateway = gateway_for_alice(CidrResource("all", "0.0.0.0/0"), CidrResource("all6", "::/0"))
    packet = family.udp(OUTBOUND, far=far)
    assert gateway.handle_packet(OUTBOUND, packet) == Drop(Reason.MULTICAST, None)
    assert gateway.handle_packet(OUTBOUND, packet, client_id="nobody") == Drop(
        Reason.MULTICAST, None
    )


@pytest.mark.parametrize(
    ("family", "far"),
    [
        (V4, "223.255.255.255"),
        (V4, "240.0.0.0"),
        (V4, "255.255.255.254"),
        (V6, "fe00::"),
        (V6, "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
)
def test_neighbours_of_multicast_and_broadcast_are_no_multicast(family: Family, far: str) -> None:
    gateway = gateway_for_alice(CidrResource("all", "0.0.0.0/0"), CidrResource("all6", "::/0"))
    assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND, far=far)).allowed


# --- Whose packet --------------------------------------------------------------------------


@both_families
def test_a_client_id_that_is_not_connected_is_unknown(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    packet = family.tcp(OUTBOUND)
    for client_id in ("carol", ""):
        assert gateway.handle_packet(OUTBOUND, packet, client_id=client_id) == Drop(
            Reason.UNKNOWN_CLIENT, None
        )


@both_families
def test_without_a_client_id_the_source_tells_the_client(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    assert gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND)) == Forward("alice", "db")


@both_families
def test_without_a_client_id_a_source_that_nobody_owns_is_unknown(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    for source in (family.spare, family.gateway, family.stranger, family.proxy):
        packet = udp(family.flow(OUTBOUND, 53, near=source))
        assert gateway.handle_packet(OUTBOUND, packet) == Drop(Reason.UNKNOWN_CLIENT, None)


@both_families
def test_with_a_client_id_the_source_is_one_of_its_own_addresses(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    packet = family.tcp(OUTBOUND)
    assert gateway.handle_packet(OUTBOUND, packet, client_id="alice") == Forward("alice", "db")


@both_families
def test_with_a_client_id_another_source_is_not_allowed(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    for source in (family.neighbour, family.spare, family.gateway, family.stranger):
        packet = udp(family.flow(OUTBOUND, 53, near=source))
        assert gateway.handle_packet(OUTBOUND, packet, client_id="alice") == Drop(
            Reason.SOURCE_NOT_ALLOWED, "alice"
        )


@both_families
def test_a_client_does_not_borrow_the_access_of_another(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    packet = family.tcp(OUTBOUND)
    assert gateway.handle_packet(OUTBOUND, packet, client_id="bob") == Drop(
        Reason.SOURCE_NOT_ALLOWED, "bob"
    )


@pytest.mark.parametrize(
    ("family", "addresses"),
    [(V4, TunnelAddresses(ipv6=V6.client)), (V6, TunnelAddresses(ipv4=V4.client))],
    ids=["ipv4", "ipv6"],
)
def test_a_client_without_an_address_of_a_family_sends_nothing_in_it(
    family: Family, addresses: TunnelAddresses
) -> None:
    gateway = gateway_for_alice()
    gateway.client_connected("alice", addresses)
    gateway.authorize("alice", family.db())
    packet = family.tcp(OUTBOUND)
    assert gateway.handle_packet(OUTBOUND, packet) == Drop(Reason.UNKNOWN_CLIENT, None)
    assert gateway.handle_packet(OUTBOUND, packet, client_id="alice") == Drop(
        Reason.SOURCE_NOT_ALLOWED, "alice"
    )


# --- Peer addresses ------------------------------------------------------------------------


@both_families
def test_clients_do_not_reach_each_other(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    for far in (family.neighbour, family.spare, family.client):
        decision = gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND, far=far))
        assert rejection(decision) == Reason.PEER_ADDRESS


@pytest.mark.parametrize(
    ("family", "inside", "outside"),
    [
        (V4, "100.64.0.0", "100.63.255.255"),
        (V4, "100.95.255.255", "100.128.0.0"),
        (V6, "fd00:2021:1111::", "fd00:2021:1110:ffff:ffff:ffff:ffff:ffff"),
        (V6, "fd00:2021:1111::1f:ffff", "fd00:2021:1111::20:0"),
    ],
)
def test_the_tunnel_ranges_end_where_the_plan_says(
    family: Family, inside: str, outside: str
) -> None:
    gateway = gateway_for_alice(CidrResource("all", "0.0.0.0/0"), CidrResource("all6", "::/0"))
    refused = gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND, far=inside))
    assert rejection(refused) == Reason.PEER_ADDRESS
    assert gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND, far=outside)).allowed


@both_families
def test_a_peer_address_is_refused_before_its_icmp_is_looked_at(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    link_only = icmp(family.flow(OUTBOUND, far=family.neighbour), 9 if family is V4 else 135)
    assert rejection(gateway.handle_packet(OUTBOUND, link_only)) == Reason.PEER_ADDRESS
    error = icmp_error(
        family.flow(OUTBOUND, far=family.neighbour),
        3 if family is V4 else 1,
        quoting=b"",
    )
    assert gateway.handle_packet(OUTBOUND, error) == Drop(Reason.PEER_ADDRESS, "alice")


# --- ICMP that stays on its link -----------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "kind"), [(V4, 9), (V4, 10), (V6, 133), (V6, 134), (V6, 135), (V6, 136)]
)
def test_link_only_icmp_is_dropped_whatever_the_filters_say(family: Family, kind: int) -> None:
    gateway = gateway_for_alice(family.db())
    for far in (family.host, family.gateway, family.stranger, family.proxy):
        packet = icmp(family.flow(OUTBOUND, far=far), kind)
        assert gateway.handle_packet(OUTBOUND, packet) == Drop(Reason.ICMP, "alice")


@pytest.mark.parametrize(
    ("family", "kind"), [(V4, 8), (V4, 13), (V4, 133), (V6, 132), (V6, 138), (V6, 128)]
)
def test_neighbours_of_link_only_icmp_are_judged_by_the_filters(family: Family, kind: int) -> None:
    gateway = gateway_for_alice(family.db(Icmp()))
    packet = icmp(family.flow(OUTBOUND), kind)
    assert gateway.handle_packet(OUTBOUND, packet) == Forward("alice", "db")


# --- The gateway's own address -------------------------------------------------------------


@both_families
def test_without_own_filters_a_client_may_talk_to_the_gateway_on_every_protocol(
    family: Family,
) -> None:
    gateway = gateway_for_alice()
    own = family.flow(OUTBOUND, far=family.gateway)
    for packet in (
        family.tcp(OUTBOUND, far=family.gateway),
        family.udp(OUTBOUND, far=family.gateway),
        family.echo(OUTBOUND, far=family.gateway),
        ip(own, ESP),
    ):
        assert gateway.handle_packet(OUTBOUND, packet) == Forward("alice", None)


@both_families
def test_own_filters_judge_what_goes_to_the_gateway(family: Family) -> None:
    options = GatewayOptions(own_filters=[Tcp(53), Udp(53)])
    gateway = gateway_for_alice(options=options)

    def reason(packet: bytes) -> Reason:
        return rejection(gateway.handle_packet(OUTBOUND, packet))

    own = family.gateway
    allowed = Forward("alice", None)
    assert gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND, 53, far=own)) == allowed
    assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND, 53, far=own)) == allowed
    assert reason(family.tcp(OUTBOUND, 54, far=own)) == Reason.TCP_PORT
    assert reason(family.udp(OUTBOUND, 52, far=own)) == Reason.UDP_PORT
    assert reason(family.echo(OUTBOUND, far=own)) == Reason.ICMP
    assert reason(ip(family.flow(OUTBOUND, far=own), GRE)) == Reason.PROTOCOL


@both_families
def test_no_resource_opens_the_gateways_own_address(family: Family) -> None:
    options = GatewayOptions(own_filters=[Icmp()])
    everything = CidrResource("all", "0.0.0.0/0" if family is V4 else "::/0")
    gateway = gateway_for_alice(everything, options=options)
    decision = gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND, far=family.gateway))
    assert rejection(decision) == Reason.TCP_PORT


# --- Resources -----------------------------------------------------------------------------


@both_families
def test_a_resource_without_filters_permits_every_protocol(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    packets = (
        family.tcp(OUTBOUND, 1),
        family.udp(OUTBOUND, 65_535),
        family.echo(OUTBOUND),
        ip(family.flow(OUTBOUND), ESP),
        ip(family.flow(OUTBOUND), 0xFF),
    )
    decisions = gateway.handle_packets(OUTBOUND, packets)
    assert decisions == [Forward("alice", "db")] * 5


@both_families
def test_outbound_the_destination_port_is_the_resources(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443), Udp("53-54")))
    for packet in (
        family.tcp(OUTBOUND, 443),
        family.udp(OUTBOUND, 53),
        family.udp(OUTBOUND, 54),
    ):
        assert gateway.handle_packet(OUTBOUND, packet) == Forward("alice", "db")
    swapped = f"{at(family.client, 443)} > {at(family.host, 5401)}"
    assert rejection(gateway.handle_packet(OUTBOUND, tcp(swapped))) == Reason.TCP_PORT
    swapped = f"{at(family.client, 53)} > {at(family.host, 5401)}"
    assert rejection(gateway.handle_packet(OUTBOUND, udp(swapped))) == Reason.UDP_PORT


@both_families
def test_a_refusal_by_filters_names_the_protocol(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443), Udp("53-54")))

    def reason(packet: bytes) -> Reason:
        return rejection(gateway.handle_packet(OUTBOUND, packet))

    assert reason(family.tcp(OUTBOUND, 442)) == Reason.TCP_PORT
    assert reason(family.tcp(OUTBOUND, 444)) == Reason.TCP_PORT
    assert reason(family.udp(OUTBOUND, 52)) == Reason.UDP_PORT
    assert reason(family.udp(OUTBOUND, 55)) == Reason.UDP_PORT
    assert reason(family.echo(OUTBOUND)) == Reason.ICMP
    assert reason(ip(family.flow(OUTBOUND), GRE)) == Reason.PROTOCOL


@both_families
def test_tcp_is_refused_by_its_port_also_where_there_is_no_tcp_at_all(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Icmp()))
    tcp_decision = gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND))
    udp_decision = gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND))
    assert rejection(tcp_decision) == Reason.TCP_PORT
    assert rejection(udp_decision) == Reason.UDP_PORT


@both_families
def test_the_icmp_filter_permits_every_type_that_may_be_forwarded(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Icmp()))
    kinds = (0, 8, 13, 255) if family is V4 else (128, 129, 138, 255)
    packets = [icmp(family.flow(OUTBOUND), kind) for kind in kinds]
    assert gateway.handle_packets(OUTBOUND, packets) == [Forward("alice", "db")] * 4


@both_families
def test_what_no_resource_covers_is_refused(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    decision = gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND, far=family.stranger))
    assert rejection(decision) == Reason.NO_RESOURCE


@both_families
def test_a_resource_of_another_client_does_not_count(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    packet = tcp(family.flow(OUTBOUND, 443, near=family.neighbour))
    assert rejection(gateway.handle_packet(OUTBOUND, packet)) == Reason.NO_RESOURCE


@both_families
def test_the_internet_resource_permits_what_is_public(family: Family) -> None:
    gateway = gateway_for_alice(InternetResource("internet"))
    public = family.tcp(OUTBOUND, far=family.public)
    private = family.tcp(OUTBOUND, far=family.host)
    assert gateway.handle_packet(OUTBOUND, public) == Forward("alice", "internet")
    assert rejection(gateway.handle_packet(OUTBOUND, private)) == Reason.NOT_INTERNET


@both_families
def test_a_cidr_resource_that_permits_beats_the_internet_resource(family: Family) -> None:
    gateway = gateway_for_alice(InternetResource("internet"), family.db(Tcp(443)))
    permitted = gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND))
    refused = gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND))
    assert permitted == Forward("alice", "db")
    assert rejection(refused) == Reason.UDP_PORT


@both_families
def test_without_a_translation_nothing_covers_a_proxy_address(family: Family) -> None:
    everything = CidrResource("all", "0.0.0.0/0" if family is V4 else "::/0")
    gateway = gateway_for_alice(
        DnsResource("gitlab", "gitlab.example.com"), everything, InternetResource("internet")
    )
    decision = gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND, far=family.proxy))
    assert rejection(decision) == Reason.NO_RESOURCE


@both_families
def test_a_refusal_carries_the_client_and_a_reply_for_it(family: Family) -> None:
    gateway = gateway_for_alice()
    decision = gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND))
    assert isinstance(decision, Reject)
    assert decision.client_id == "alice"
    assert decision.reply
    assert not decision.allowed


@both_families
def test_what_goes_on_is_the_packet_itself(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    allowed, refused = family.tcp(OUTBOUND), family.udp(OUTBOUND)
    assert gateway.handle_packet(OUTBOUND, allowed).to_send(allowed) is allowed
    assert gateway.handle_packet(OUTBOUND, refused).to_send(refused) is None
    assert gateway.handle_packet(OUTBOUND, b"").to_send(b"") is None


@both_families
def test_checksums_and_ttl_are_nobodys_business_here(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    packet = family.tcp(OUTBOUND)
    hop_limit = 8 if family is V4 else 7
    for wrong in (patched(packet, hop_limit, b"\x01"), patched(packet, len(packet) - 4, b"!!")):
        assert gateway.handle_packet(OUTBOUND, wrong).to_send(wrong) is wrong


def test_a_client_has_an_address_of_each_family() -> None:
    gateway = gateway_for_alice(V4.db(), CidrResource("db6", V6.network))
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)) == Forward("alice", "db")
    assert gateway.handle_packet(OUTBOUND, V6.tcp(OUTBOUND)) == Forward("alice", "db6")
