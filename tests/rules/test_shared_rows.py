"""Sections 4 and 5: the rows that both directions share.

ICMP that stays on its link, the gateway's own address, and which resource answers.
"""

from collections.abc import Mapping

import pytest

from firezone_filter import (
    CidrResource,
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
from tests.builders import ESP, GRE, icmp, ip, tcp, udp
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
    allowed = gateway_for_alice().handle_packets(direction, rows)
    assert allowed == [Forward("alice", None)] * len(rows)


@both_directions
@both_families
def test_own_filters_may_permit_icmp_alone(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(options=GatewayOptions(own_filters=[Icmp()]))
    own = family.gateway
    packets = [family.echo(direction, far=own), family.tcp(direction, far=own)]
    assert reasons(gateway, direction, packets) == [None, Reason.TCP_PORT]


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
