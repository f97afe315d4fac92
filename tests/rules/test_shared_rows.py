"""Sections 4 and 5: the rows that both directions share.

ICMP that stays on its link, the gateway's own address, and which resource answers.
"""

from collections.abc import Mapping

import pytest

from firezone_filter import (
    CidrResource,
    ClientFilterTable,
    Direction,
    Filter,
    Forward,
    GatewayOptions,
    Icmp,
    InternetResource,
    Reason,
    Tcp,
    Udp,
)
from firezone_filter.testing import icmp, ip, tcp, udp
from tests.numbers import ESP, GRE
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    at,
    both_directions,
    both_families,
    gateway_for_alice,
    reasons,
)

DB = Forward("alice", "db")
ON_THEIR_LINK = [(V4, kind) for kind in (9, 10)] + [(V6, kind) for kind in range(133, 137)]
NEIGHBOURS = [(V4, kind) for kind in (0, 2, 6, 8, 13, 133, 137, 255)]
NEIGHBOURS += [(V6, kind) for kind in (128, 129, 132, 138, 255)]


def judged(
    family: Family, direction: Direction, rows: Mapping[bytes, Reason | None], *filters: Filter
) -> None:
    """Check why packets of Alice's are refused by a resource with such filters, if they are."""
    gateway = gateway_for_alice(family.db(*filters))
    assert reasons(gateway, direction, rows) == list(rows.values())


# --- ICMP that stays on its link -----------------------------------------------------------


@pytest.mark.parametrize(("family", "kind"), ON_THEIR_LINK)
@both_directions
def test_router_and_neighbour_discovery_is_dropped_whatever_the_filters_say(
    family: Family, kind: int, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    ends = [family.host, family.gateway, family.stranger]
    ends += [family.proxy] if direction is OUTBOUND else []
    packets = [icmp(family.flow(direction, far=far), kind) for far in ends]
    assert reasons(gateway, direction, packets) == [Reason.ICMP] * len(packets)
    assert not any(hasattr(one, "reply") for one in gateway.handle_packets(direction, packets))


@pytest.mark.parametrize(("family", "kind"), NEIGHBOURS)
@both_directions
def test_other_icmp_is_judged_by_the_filters(
    family: Family, kind: int, direction: Direction
) -> None:
    message = icmp(family.flow(direction), kind)
    judged(family, direction, {message: None}, Icmp())
    judged(family, direction, {message: Reason.ICMP}, Tcp(), Udp())


# --- Filters -------------------------------------------------------------------------------


@both_directions
@both_families
def test_filters_permit_their_ports_and_a_refusal_names_the_protocol(
    family: Family, direction: Direction
) -> None:
    rows: dict[bytes, Reason | None] = {
        family.tcp(direction, 442): Reason.TCP_PORT,
        family.tcp(direction, 443): None,
        family.tcp(direction, 444): Reason.TCP_PORT,
        family.udp(direction, 52): Reason.UDP_PORT,
        family.udp(direction, 53): None,
        family.udp(direction, 54): None,
        family.udp(direction, 55): Reason.UDP_PORT,
        family.echo(direction): Reason.ICMP,
        ip(family.flow(direction), GRE): Reason.PROTOCOL,
    }
    judged(family, direction, rows, Tcp(443), Udp("53-54"))


@both_directions
@both_families
def test_the_port_is_the_resources_and_not_the_clients(
    family: Family, direction: Direction
) -> None:
    ends = [at(family.client, 443), at(family.host, 5401)]
    swapped = " > ".join(ends if direction is OUTBOUND else ends[::-1])
    rows = {tcp(swapped): Reason.TCP_PORT, udp(swapped): Reason.UDP_PORT}
    judged(family, direction, rows, Tcp(443), Udp(443))


@both_directions
@both_families
def test_a_port_is_refused_as_such_also_where_its_protocol_is_not_permitted_at_all(
    family: Family, direction: Direction
) -> None:
    rows = {family.tcp(direction): Reason.TCP_PORT, family.udp(direction): Reason.UDP_PORT}
    judged(family, direction, rows, Icmp())


@both_directions
@both_families
def test_no_filters_permit_every_protocol(family: Family, direction: Direction) -> None:
    packets = [
        family.tcp(direction, 1),
        family.udp(direction, 65_535),
        family.echo(direction),
        *(ip(family.flow(direction), number) for number in (ESP, 255)),
    ]
    judged(family, direction, dict.fromkeys(packets))


# --- The gateway's own address -------------------------------------------------------------


@both_directions
@both_families
def test_own_filters_judge_what_goes_to_the_gateway_and_comes_from_it(
    family: Family, direction: Direction
) -> None:
    own, flow = family.gateway, family.flow(direction, far=family.gateway)
    rows: dict[bytes, Reason | None] = {
        family.tcp(direction, 53, far=own): None,
        family.tcp(direction, 54, far=own): Reason.TCP_PORT,
        family.udp(direction, 53, far=own): None,
        family.udp(direction, 52, far=own): Reason.UDP_PORT,
        family.echo(direction, far=own): Reason.ICMP,
        ip(flow, GRE): Reason.PROTOCOL,
    }
    # No resource opens the gateway's own address, however wide its network.
    strict = GatewayOptions(own_filters=[Tcp(53), Udp(53)])
    gateway = gateway_for_alice(family.everything(), options=strict)
    assert reasons(gateway, direction, rows) == list(rows.values())
    # None at all permit every protocol.
    permissive = gateway_for_alice(options=GatewayOptions(own_filters=()))
    allowed = permissive.handle_packets(direction, rows)
    assert allowed == [Forward("alice", None)] * len(rows)


@both_directions
@both_families
def test_by_default_clients_may_ping_the_gateway_and_ask_its_name_server(
    family: Family, direction: Direction
) -> None:
    own, flow = family.gateway, family.flow(direction, far=family.gateway)
    rows: dict[bytes, Reason | None] = {
        family.echo(direction, far=own): None,
        family.udp(direction, 53535, far=own): None,
        family.tcp(direction, 53535, far=own): None,
    }
    for port in (22, 53, 443, 8080, 53534, 53536):
        rows[family.udp(direction, port, far=own)] = Reason.UDP_PORT
        rows[family.tcp(direction, port, far=own)] = Reason.TCP_PORT
    rows[ip(flow, GRE)] = rows[ip(flow, ESP)] = Reason.PROTOCOL
    # For a client that has just connected, and whatever it is authorized for.
    for gateway in (gateway_for_alice(), gateway_for_alice(family.everything())):
        assert reasons(gateway, direction, rows) == list(rows.values())


@both_directions
@both_families
def test_own_filters_may_permit_icmp_alone(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(options=GatewayOptions(own_filters=[Icmp()]))
    own = family.gateway
    packets = [family.echo(direction, far=own), family.tcp(direction, far=own)]
    assert reasons(gateway, direction, packets) == [None, Reason.TCP_PORT]


# --- Special addresses and local services --------------------------------------------------

SPECIAL = {
    V4: [
        *("0.0.0.0", "0.255.255.255", "127.0.0.1", "127.255.255.255"),  # noqa: S104
        *("224.0.0.1", "255.255.255.255"),
    ],
    V6: [
        *("::", "::1", "::2", "::10.0.0.5", "::ffff:ffff", "ff02::1"),
        *("::ffff:0:0", "::ffff:10.0.0.5", "::ffff:255.255.255.255"),
        # NAT64 and 6to4 forms: of loopback, of a cloud's metadata, of the plan's ranges.
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::6440:2", "64:ff9b::6460:1"),
        *("64:ff9b::", "64:ff9b::e000:1", "64:ff9b::ffff:ffff"),
        *("2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:6440:2::", "2002:6460:1::"),
        *("2002::", "2002:e000:1::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
}
ORDINARY = {
    V4: ["1.0.0.0", "126.255.255.255", "128.0.0.0", "240.0.0.1", "192.0.0.1"],
    V6: [
        *("::1:0:0", "::fffe:ffff:ffff", "::1:0:0:0", "fec0::1", "4000::1"),
        *("64:ff9b::a00:5", "64:ff9b::7eff:ffff", "64:ff9b::8000:0", "64:ff9b::a9fd:ffff"),
        *("64:ff9b::a9ff:0", "64:ff9b::1:0:0", "64:ff9b:1::7f00:1"),
        *("2002:a00:5::1", "2002:7eff:ffff::", "2002:8000::", "2002:a9ff::"),
    ],
}
SERVICES = {
    V4: ["169.254.0.0", "169.254.169.254", "169.254.255.255"],
    V6: [
        *("fe80::", "fe80::1", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        *("fd00:ec2::", "fd00:ec2::254", "fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff"),
        *("fd20:ce::", "fd20:ce::254", "fd20:ce:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
}
BESIDE_SERVICES = {
    V4: ["169.253.255.255", "169.255.0.0"],
    V6: [
        *("fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::"),
        *("fd00:ec1:ffff:ffff:ffff:ffff:ffff:ffff", "fd00:ec3::"),
        *("fd20:cd:ffff:ffff:ffff:ffff:ffff:ffff", "fd20:cf::"),
    ],
}
AROUND_SERVICES = {
    V4: ["0.0.0.0/0", "128.0.0.0/1", "169.252.0.0/14", "169.254.0.0/15"],
    V6: ["::/0", "fc00::/7", "fe00::/7", "fe80::/9", "fd00:ec2::/31", "fd20:ce::/31"],
}


def covered(family: Family, direction: Direction, network: str, addresses: list[str]) -> set[str]:
    """Return those of several addresses that a resource of a network covers."""
    gateway = gateway_for_alice(CidrResource("net", network))
    packets = [family.tcp(direction, far=address) for address in addresses]
    refused = reasons(gateway, direction, packets)
    assert set(refused) <= {None, Reason.NO_RESOURCE, Reason.MULTICAST}
    return {address for address, why in zip(addresses, refused, strict=True) if why is None}


@both_directions
@both_families
def test_no_network_covers_a_special_address_however_wide_or_narrow_it_is(
    family: Family, direction: Direction
) -> None:
    widest = family.everything().network
    asked = SPECIAL[family] + ORDINARY[family]
    assert covered(family, direction, str(widest), asked) == set(ORDINARY[family])
    for special in SPECIAL[family]:
        assert covered(family, direction, special, [special]) == set()


@both_directions
@both_families
def test_a_wide_network_covers_no_local_service(family: Family, direction: Direction) -> None:
    for network in AROUND_SERVICES[family]:
        assert covered(family, direction, network, SERVICES[family]) == set()
    beside = BESIDE_SERVICES[family]
    widest = str(family.everything().network)
    assert covered(family, direction, widest, beside) == set(beside)


@both_directions
@both_families
def test_a_network_inside_their_range_covers_local_services(
    family: Family, direction: Direction
) -> None:
    services = SERVICES[family]
    for service in services:
        assert covered(family, direction, service, services) == {service}
    inside = {
        V4: {"169.254.0.0/16": services, "169.254.169.0/24": services[1:2]},
        V6: {
            "fe80::/10": services[:3],
            "fe80::/64": services[:2],
            "fd00:ec2::/32": services[3:6],
            "fd00:ec2::/64": services[3:5],
            "fd20:ce::/32": services[6:],
        },
    }
    for network, expected in inside[family].items():
        assert covered(family, direction, network, services) == set(expected)


@both_directions
@both_families
def test_a_local_service_is_judged_by_the_networks_meant_for_it_and_no_other(
    family: Family, direction: Direction
) -> None:
    service = SERVICES[family][1]
    gateway = gateway_for_alice(
        family.everything(), InternetResource("internet"), CidrResource("meta", service, [Tcp(80)])
    )
    packets = [family.tcp(direction, port, far=service) for port in (80, 443)]
    assert reasons(gateway, direction, packets) == [None, Reason.TCP_PORT]
    assert gateway.handle_packet(direction, packets[0]) == Forward("alice", "meta")
    gateway.update_resource(CidrResource("meta", service, [Udp(53)]))
    assert reasons(gateway, direction, packets) == [Reason.TCP_PORT] * 2
    gateway.revoke("alice", "meta")
    assert reasons(gateway, direction, packets) == [Reason.NOT_INTERNET] * 2
    gateway.revoke("alice", "internet")
    assert reasons(gateway, direction, packets) == [Reason.NO_RESOURCE] * 2


@both_families
def test_a_table_by_itself_knows_neither_special_addresses_nor_local_services(
    family: Family,
) -> None:
    table = ClientFilterTable()
    table.allow(family.everything().network, "all")
    for address in (*SPECIAL[family], *SERVICES[family], family.client, family.proxy):
        assert table.permits(address, 6, 443)


# --- Which resource ------------------------------------------------------------------------


@both_directions
@both_families
def test_nothing_covers_an_address_outside_all_networks_of_the_client(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    gateway.authorize("bob", CidrResource("other", family.stranger))
    packets = [family.tcp(direction), family.tcp(direction, far=family.stranger)]
    assert reasons(gateway, direction, packets) == [None, Reason.NO_RESOURCE]
    bobs = tcp(family.flow(direction, 443, near=family.neighbour))
    assert reasons(gateway, direction, [bobs]) == [Reason.NO_RESOURCE]


@both_directions
@both_families
def test_the_internet_resource_permits_what_is_public_and_nothing_else(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(InternetResource("internet"))
    public, private = (family.tcp(direction, far=far) for far in (family.public, family.host))
    assert gateway.handle_packet(direction, public) == Forward("alice", "internet")
    refused = [private]
    refused += [family.tcp(direction, far=family.multicast)] if direction is INBOUND else []
    assert reasons(gateway, direction, refused) == [Reason.NOT_INTERNET] * len(refused)


@both_directions
@both_families
def test_a_resource_that_permits_goes_first_and_then_the_longer_prefix(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(
        InternetResource("internet"), family.everything(Udp(53)), family.db(Tcp(443))
    )
    permitted = gateway.handle_packets(direction, [family.tcp(direction), family.udp(direction)])
    assert permitted == [DB, Forward("alice", "all")]
    # Of those that refuse, the one with the longest prefix says why.
    assert reasons(gateway, direction, [family.udp(direction, 54)]) == [Reason.UDP_PORT]


@both_directions
@both_families
def test_what_goes_on_is_the_packet_itself(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    for packet, sent in (
        (one := family.tcp(direction), one),
        (family.udp(direction), None),
        (b"", None),
    ):
        assert gateway.handle_packet(direction, packet).to_send(packet) is sent
