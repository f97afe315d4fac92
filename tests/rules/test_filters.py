"""Section 5, rules 1, 2 and 4: excluded networks, ICMP types and other protocols.

Both families, both directions; the gateway's own filters, and what ICMP errors quote.
"""

from ipaddress import ip_network

import pytest

from firezone_filter import (
    CidrResource,
    Decision,
    Direction,
    DnsResource,
    Drop,
    Filter,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    Protocol,
    Reason,
    Tcp,
    Udp,
)
from firezone_filter.testing import icmp, icmp_echo, icmp_error, ip
from tests.numbers import ESP, GRE
from tests.scenes import (
    ALICE,
    GATEWAY,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_directions,
    both_families,
    gateway_for_alice,
    opposite,
    reasons,
)

AH = 51
DB = Forward("alice", "db")
NOT_PASSED = Drop(Reason.ICMP_ERROR, "alice")

# Pairs of request and answer, types of no pair, and those that never get as far as a filter.
PAIRS = {
    V4: ((8, 0), (13, 14), (15, 16), (17, 18), (42, 43)),
    V6: ((128, 129), (139, 140), (160, 161)),
}
NOT_JUDGED = {V4: {3, 4, 5, 9, 10, 11, 12}, V6: {*range(128), *range(133, 138)}}


def of_family(family: Family, *types: int) -> Icmp:
    return Icmp(types) if family is V4 else Icmp(types_v6=types)


# --- ICMP types ----------------------------------------------------------------------------


@both_directions
@both_families
def test_a_filter_of_icmp_types_permits_these_and_their_partners_either_way(
    family: Family, direction: Direction
) -> None:
    flow = family.flow(direction)
    messages = {kind: icmp(flow, kind) for kind in range(256) if kind not in NOT_JUDGED[family]}
    lone = 150
    for named in (*(one for pair in PAIRS[family] for one in pair), lone):
        permitted = next((pair for pair in PAIRS[family] if named in pair), (lone,))
        gateway = gateway_for_alice(family.db(Tcp(443), of_family(family, named)))
        found = reasons(gateway, direction, messages.values())
        assert dict(zip(messages, found, strict=True)) == {
            kind: None if kind in permitted else Reason.ICMP for kind in messages
        }


@both_directions
@both_families
def test_types_of_one_family_are_none_of_the_other(family: Family, direction: Direction) -> None:
    other = V6 if family is V4 else V4
    rows = [family.echo(direction), family.tcp(direction)]
    gateway = gateway_for_alice(family.db(of_family(other, 8, 128), Tcp(443)))
    assert reasons(gateway, direction, rows) == [Reason.ICMP, None]


@both_directions
@both_families
def test_several_filters_of_icmp_types_add_up(family: Family, direction: Direction) -> None:
    first, second = (pair[0] for pair in PAIRS[family][:2])
    rows = [icmp(family.flow(direction), kind) for pair in PAIRS[family][:3] for kind in pair]
    for both in (
        [of_family(family, first), of_family(family, second)],
        [of_family(family, second), Icmp.echo()],
        [of_family(family, first, second)],
    ):
        gateway = gateway_for_alice(family.db(*both))
        assert reasons(gateway, direction, rows) == [None] * 4 + [Reason.ICMP] * 2
    gateway = gateway_for_alice(family.db(of_family(family, second), Icmp()))
    assert reasons(gateway, direction, rows) == [None] * 6


@both_directions
@both_families
def test_types_say_nothing_of_icmp_that_stays_on_its_link_or_of_errors(
    family: Family, direction: Direction
) -> None:
    # As if every type were named.
    gateway = gateway_for_alice(family.db(Icmp(range(256), range(256))))
    on_link = 9 if family is V4 else 135
    error = icmp_error(family.flow(direction), family.unreachable, quoting=b"")
    rows = [icmp(family.flow(direction), on_link), error]
    assert reasons(gateway, direction, rows) == [Reason.ICMP, Reason.ICMP_ERROR]


@both_directions
@both_families
def test_a_remembered_ping_says_nothing_of_another_type(
    family: Family, direction: Direction
) -> None:
    request, reply = PAIRS[family][0]
    gateway = gateway_for_alice(family.db(of_family(family, request), Tcp(1)))
    pings = [icmp(family.flow(direction), kind, rest=bytes(4)) for kind in (request, reply)]
    others = [icmp(family.flow(direction), kind, rest=bytes(4)) for kind in (150, 255)]
    for _ in range(3):
        assert reasons(gateway, direction, pings) == [None, None]
        assert reasons(gateway, direction, others) == [Reason.ICMP] * 2
    gateway.update_resource(family.db(of_family(family, 150)))
    assert reasons(gateway, direction, [*pings, *others]) == [
        *(Reason.ICMP, Reason.ICMP),
        *(None, Reason.ICMP),
    ]


# --- Other protocols -----------------------------------------------------------------------


@both_directions
@both_families
def test_a_filter_of_a_protocol_permits_it_as_a_whole_and_no_other(
    family: Family, direction: Direction
) -> None:
    flow = family.flow(direction)
    rows: dict[bytes, Reason | None] = {
        ip(flow, GRE): None,
        ip(flow, GRE, b"\x30\x81\x88\x0b"): None,
        ip(flow, GRE - 1): Reason.PROTOCOL,
        ip(flow, GRE + 1): Reason.PROTOCOL,
        ip(flow, ESP): Reason.PROTOCOL,
        family.tcp(direction): Reason.TCP_PORT,
        family.udp(direction): Reason.UDP_PORT,
        family.echo(direction): Reason.ICMP,
    }
    gateway = gateway_for_alice(family.db(Protocol(GRE)))
    for _ in range(2):
        assert reasons(gateway, direction, rows) == list(rows.values())
    gateway.update_resource(family.db(Protocol(ESP), Protocol(255), Tcp()))
    last = ip(flow, 255)
    assert reasons(gateway, direction, [*list(rows)[:1], ip(flow, ESP), last]) == [
        Reason.PROTOCOL,
        None,
        None,
    ]


@both_directions
def test_authentication_headers_are_a_protocol_of_ipv4_and_walked_over_in_ipv6(
    direction: Direction,
) -> None:
    packet = ip(V4.flow(direction), AH, bytes(12))
    for filters, reason in (([Protocol(AH)], None), ([Protocol(GRE)], Reason.PROTOCOL)):
        assert reasons(gateway_for_alice(V4.db(*filters)), direction, [packet]) == [reason]


# --- The gateway's own filters -------------------------------------------------------------


@both_directions
@both_families
def test_by_default_clients_may_ping_the_gateway_and_send_it_no_other_icmp(
    family: Family, direction: Direction
) -> None:
    flow = family.flow(direction, far=family.gateway)
    kinds = [kind for kind in range(256) if kind not in NOT_JUDGED[family]]
    found = reasons(gateway_for_alice(), direction, [icmp(flow, kind) for kind in kinds])
    assert [kind for kind, reason in zip(kinds, found, strict=True) if reason is None] == sorted(
        PAIRS[family][0]
    )
    assert set(found) == {None, Reason.ICMP}


@both_directions
@both_families
def test_own_filters_may_name_types_and_protocols(family: Family, direction: Direction) -> None:
    own, flow = family.gateway, family.flow(direction, far=family.gateway)
    request, answer = PAIRS[family][1]
    rows: dict[bytes, Reason | None] = {
        icmp(flow, request): None,
        icmp(flow, answer): None,
        family.echo(direction, far=own): Reason.ICMP,
        ip(flow, GRE): None,
        ip(flow, ESP): Reason.PROTOCOL,
        family.udp(direction, 53535, far=own): Reason.UDP_PORT,
    }
    options = GatewayOptions(own_filters=[of_family(family, request), Protocol(GRE)])
    gateway = gateway_for_alice(family.everything(), options=options)
    assert reasons(gateway, direction, rows) == list(rows.values())


# --- ICMP errors about them ----------------------------------------------------------------


def error_about(family: Family, direction: Direction, quote: bytes, far: str) -> bytes:
    return icmp_error(family.flow(direction, far=far), family.unreachable, quoting=quote)


# Filters, and whether an error about a ping and one about GRE pass.
QUOTED: list[tuple[list[Filter], bool, bool]] = [
    ([Icmp()], True, False),
    ([Icmp.echo()], True, False),
    ([Icmp([13], [139])], False, False),
    ([Icmp([8], [128]), Protocol(GRE)], True, True),
    ([Protocol(ESP)], False, False),
    ([], True, True),
]


@pytest.mark.parametrize(("filters", "ping", "gre"), QUOTED)
@both_directions
@both_families
def test_an_error_passes_if_the_type_and_protocol_that_it_quotes_are_permitted(
    family: Family, direction: Direction, filters: list[Filter], *, ping: bool, gre: bool
) -> None:
    back = opposite(direction)
    for resource, options, far, passes in (
        (family.db(*filters), GatewayOptions(), family.host, DB),
        (family.db(), GatewayOptions(own_filters=filters), family.gateway, Forward("alice", None)),
    ):
        gateway = gateway_for_alice(resource, options=options)
        rows: dict[bytes, Decision] = {
            error_about(family, direction, family.echo(back, far=far), far): (
                passes if ping else NOT_PASSED
            ),
            error_about(family, direction, ip(family.flow(back, far=far), GRE), far): (
                passes if gre else NOT_PASSED
            ),
        }
        assert gateway.handle_packets(direction, rows) == list(rows.values())


# --- Excluded networks ---------------------------------------------------------------------


def without(family: Family, *filters: Filter, resource_id: str = "db") -> CidrResource:
    """Return the resource that covers the host's network but for the host."""
    return CidrResource(resource_id, family.network, filters, exclude=[family.host])


def beside(family: Family, by: int) -> str:
    """Return the address next to the host's, which is covered."""
    return str(ip_network(family.host).network_address + by)


@both_directions
@both_families
def test_a_resource_does_not_cover_what_it_excludes(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(without(family, Tcp(443)))
    far = (beside(family, -1), family.host, beside(family, 1))
    permitted = [family.tcp(direction, far=one) for one in far]
    refused = [family.tcp(direction, 22, far=one) for one in far]
    for _ in range(2):
        assert reasons(gateway, direction, permitted) == [None, Reason.NO_RESOURCE, None]
        # Nothing of a resource concerns what it excludes, nor would its refusal tell the truth.
        assert reasons(gateway, direction, refused) == [
            Reason.TCP_PORT,
            Reason.NO_RESOURCE,
            Reason.TCP_PORT,
        ]


@both_directions
@both_families
def test_another_resource_permits_what_one_excludes(family: Family, direction: Direction) -> None:
    wide = family.everything(Udp(53))
    same = CidrResource("az", family.network, [Udp(53), Tcp(1)])
    lower = CidrResource("a", family.network, [Udp(53), Tcp(1)])
    internet = InternetResource("internet")
    rows = [family.udp(direction, 53), family.tcp(direction)]
    for other, refused in (
        (wide, Reason.TCP_PORT),
        (same, Reason.TCP_PORT),
        (lower, Reason.TCP_PORT),
        (internet, Reason.NOT_INTERNET),
    ):
        gateway = gateway_for_alice(without(family), other)
        decisions = gateway.handle_packets(direction, rows)
        if other is internet:
            assert reasons(gateway, direction, rows) == [refused] * 2
        else:
            assert decisions[0] == Forward("alice", other.id)
            assert reasons(gateway, direction, rows) == [None, refused]
        # What is not excluded is still the first one's.
        near = family.tcp(direction, far=beside(family, 1))
        assert gateway.handle_packet(direction, near) == DB


@both_families
def test_an_error_about_what_is_excluded_does_not_pass(family: Family) -> None:
    gateway = gateway_for_alice(without(family))
    for direction in (OUTBOUND, INBOUND):
        for far, expected in ((family.host, NOT_PASSED), (beside(family, 1), DB)):
            error = error_about(family, direction, family.tcp(opposite(direction), far=far), far)
            assert gateway.handle_packet(direction, error) == expected


@both_families
def test_a_name_permits_an_address_that_a_network_excludes(family: Family) -> None:
    name = DnsResource("name", "app.example.com", [Tcp(443)])
    gateway = gateway_for_alice(without(family, Tcp(443)), name)
    gateway.domain_resolved(
        "alice",
        "name",
        "app.example.com",
        proxy_addresses=[family.proxy],
        resolved_addresses=[family.host],
    )
    assert gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND, far=family.proxy)).allowed
    direct = gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND))
    assert direct.reason is Reason.NO_RESOURCE  # type: ignore[union-attr]


@both_directions
@both_families
def test_what_is_excluded_changes_at_once_and_remembered_decisions_with_it(
    family: Family, direction: Direction
) -> None:
    gateway, packet = gateway_for_alice(family.db()), family.tcp(direction)

    def allowed() -> bool:
        return all(gateway.handle_packet(direction, packet).allowed for _ in range(2))

    changes = (
        (without(family), False),
        (CidrResource("db", family.network, exclude=[beside(family, 1)]), True),
        (without(family, Tcp(443)), False),
        (family.db(), True),
    )
    assert allowed()
    for resource, expected in changes:
        gateway.authorize("alice", resource)
        assert allowed() is expected
    for resource, expected in changes:
        assert gateway.update_resource(resource) == 1
        assert allowed() is expected


@both_families
def test_types_are_judged_at_proxy_addresses_too(family: Family) -> None:
    def gateway_with(*filters: Filter) -> Gateway:
        gateway = Gateway(GATEWAY)
        gateway.client_connected("alice", ALICE, 0.0)
        gateway.authorize("alice", DnsResource("name", "app.example.com", filters))
        gateway.domain_resolved(
            "alice",
            "name",
            "app.example.com",
            proxy_addresses=[family.proxy],
            resolved_addresses=[family.host],
        )
        return gateway

    ping = family.echo(OUTBOUND, far=family.proxy)
    reply = icmp_echo(family.flow(INBOUND), reply=True)
    for permitting in (Icmp.echo(), Icmp(), of_family(family, *PAIRS[family][0])):
        gateway = gateway_with(permitting)
        assert gateway.handle_packet(OUTBOUND, ping).allowed
        assert gateway.handle_packet(INBOUND, reply).allowed
    for refusing in (of_family(family, 150), Tcp()):
        found = reasons(gateway_with(refusing), OUTBOUND, [ping])
        assert found == [Reason.ICMP]
    # Other protocols have no translation, whatever filters permit.
    gre = ip(family.flow(OUTBOUND, far=family.proxy), GRE)
    assert reasons(gateway_with(Protocol(GRE)), OUTBOUND, [gre]) == [Reason.PROTOCOL]
