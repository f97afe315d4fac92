"""Sections 4 and 6, ICMP errors: judged by the packet that they quote, in the other direction.

Through the NAT an error is translated together with its quote.
"""

from functools import partial

from firezone_filter import (
    CidrResource,
    Decision,
    Direction,
    Drop,
    Forward,
    GatewayOptions,
    InternetResource,
    Reason,
    Tcp,
    Udp,
)
from firezone_filter.testing import icmp_error, ip
from tests.numbers import ESP
from tests.rules.ways import (
    NEVER_PASS,
    NOT_PASSED,
    PASS,
    PERMITTING,
    Way,
    about,
    both_ways,
    quoting,
)
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    Family,
    both_directions,
    both_families,
    gateway_for_alice,
    opposite,
)
from tests.translations import every_kind

# --- Which types ---------------------------------------------------------------------------


@every_kind
@both_directions
@both_ways
def test_an_error_passes_where_the_packet_that_it_quotes_may(
    way: Way, direction: Direction, kind: str
) -> None:
    gateway = way.gateway(PERMITTING[kind], kind=kind)
    for number in PASS[way.family.version]:
        build = partial(quoting, way, direction, kind=kind, error=number)
        decision = gateway.handle_packet(direction, build(way.arrives(direction)))
        assert decision == way.passed(direction, build)


@both_directions
@both_ways
def test_quench_redirects_and_undefined_errors_never_pass(way: Way, direction: Direction) -> None:
    gateway, far = way.gateway(), way.arrives(direction)
    errors = [
        quoting(way, direction, far, error=number) for number in NEVER_PASS[way.family.version]
    ]
    assert gateway.handle_packets(direction, errors) == [NOT_PASSED] * len(errors)


@both_directions
@both_ways
def test_an_error_carries_its_mtu_and_its_code(way: Way, direction: Direction) -> None:
    gateway = way.gateway(kind="tcp")
    number, code, size = (3, 4, 28) if way.family is V4 else (2, 0, 1_232)

    def build(far: str) -> bytes:
        quote = way.packet(opposite(direction), "tcp", far=far, payload=bytes(1_400))[:size]
        return about(way, direction, far, quote, kind=number, code=code, rest=b"\0\0\x05\x14")

    decision = gateway.handle_packet(direction, build(way.arrives(direction)))
    assert decision == way.passed(direction, build)


# --- Whose error ---------------------------------------------------------------------------


@both_ways
def test_inbound_any_router_may_report_within_the_tables_limits(way: Way) -> None:
    gateway, family, far = way.gateway(), way.family, way.arrives(INBOUND)
    for router in (far, way.names.real[2], family.stranger, family.public, family.gateway):
        told = gateway.handle_packet(INBOUND, quoting(way, INBOUND, far, router=router))
        # Through the NAT the proxy appears as its source: the client knows no other.
        assert told == way.passed(INBOUND, partial(quoting, way, INBOUND))
    for peer in (family.neighbour, family.spare, family.proxy):
        told = gateway.handle_packet(INBOUND, quoting(way, INBOUND, far, router=peer))
        assert told == Drop(Reason.PEER_ADDRESS, "alice")


@both_ways
def test_inbound_the_quoted_source_is_the_errors_destination(way: Way) -> None:
    gateway, family, far = way.gateway(), way.family, way.arrives(INBOUND)
    gateway.authorize("bob", CidrResource("direct", far))
    quotes = [
        ip(family.flow(OUTBOUND, near=near, far=far), 17, way.packet(OUTBOUND)[family.header :])
        for near in (family.neighbour, family.spare, family.stranger)
    ]
    errors = [about(way, INBOUND, far, quote) for quote in quotes]
    assert gateway.handle_packets(INBOUND, errors) == [NOT_PASSED] * len(errors)


@both_ways
def test_outbound_the_quote_is_of_what_came_from_where_the_error_goes(way: Way) -> None:
    gateway, family, far = way.gateway(), way.family, way.arrives(OUTBOUND)
    gateway.authorize("alice", CidrResource("beside", way.names.real[1]))
    elsewhere = [
        quoting(way, OUTBOUND, far, router=other)
        for other in (way.names.real[1], family.stranger, family.public)
    ]
    to_bob = ip(family.flow(INBOUND, near=family.neighbour, far=far), ESP)
    for error in (*elsewhere, about(way, OUTBOUND, far, to_bob)):
        assert gateway.handle_packet(OUTBOUND, error) == NOT_PASSED
    to_peer = quoting(way, OUTBOUND, family.neighbour)
    assert gateway.handle_packet(OUTBOUND, to_peer) == Drop(Reason.PEER_ADDRESS, "alice")


@both_directions
@both_ways
def test_a_quote_in_the_errors_own_direction_is_refused(way: Way, direction: Direction) -> None:
    error = about(way, direction, way.arrives(direction), way.packet(direction))
    assert way.gateway().handle_packet(direction, error) == NOT_PASSED


# --- What the filters say of the quote -----------------------------------------------------


@every_kind
@both_directions
@both_ways
def test_the_resources_port_in_the_quote_decides(
    way: Way, direction: Direction, kind: str
) -> None:
    gateway = way.gateway(Tcp(443), Udp("53-54"), kind=kind)
    permitted = {"tcp": {443}, "udp": {53, 54}, "echo": set[int]()}[kind]
    # The client's port is one that they permit.
    for port in (52, 53, 54, 55, 442, 443, 444):
        error = quoting(way, direction, way.arrives(direction), kind, port=port)
        assert gateway.handle_packet(direction, error).allowed == (port in permitted)
    swapped = quoting(way, direction, way.arrives(direction), kind, number=443, port=5401)
    assert gateway.handle_packet(direction, swapped) == NOT_PASSED


@both_ways
def test_the_resource_of_the_quote_is_named_and_not_that_of_the_router(way: Way) -> None:
    gateway, far = way.gateway(), way.arrives(INBOUND)
    gateway.authorize("alice", CidrResource("routers", way.family.stranger))
    error = quoting(way, INBOUND, far, router=way.family.stranger)
    assert gateway.handle_packet(INBOUND, error) == way.passed(
        INBOUND, partial(quoting, way, INBOUND)
    )
    about_no_resource = quoting(way, INBOUND, way.family.host, number=9)
    assert gateway.handle_packet(INBOUND, about_no_resource) == NOT_PASSED


@both_directions
@both_ways
def test_an_error_ends_with_the_permission_of_its_quote(way: Way, direction: Direction) -> None:
    gateway, error = way.gateway(), quoting(way, direction, way.arrives(direction))
    assert gateway.handle_packet(direction, error).allowed
    gateway.revoke("alice", "app")
    assert gateway.handle_packet(direction, error) == NOT_PASSED


# --- Far addresses of no resource ----------------------------------------------------------


@both_directions
@both_families
def test_own_filters_judge_an_error_about_the_gateway_whoever_sends_it(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(), options=GatewayOptions(own_filters=[Udp(53)]))
    back, own = opposite(direction), family.gateway

    def error(port: int, far: str) -> bytes:
        quote = family.udp(back, port, far=own)
        return icmp_error(family.flow(direction, far=far), family.unreachable, quoting=quote)

    rows: dict[bytes, Decision] = {
        error(53, own): Forward("alice", None),
        error(54, own): NOT_PASSED,
    }
    if direction is INBOUND:
        rows[error(53, family.stranger)] = Forward("alice", None)
        quote = family.tcp(OUTBOUND)
        by_gateway = icmp_error(family.flow(INBOUND, far=own), family.unreachable, quoting=quote)
        rows[by_gateway] = Forward("alice", "db")
    assert gateway.handle_packets(direction, rows) == list(rows.values())


@both_families
def test_a_quoted_peer_or_proxy_without_a_session_is_refused(family: Family) -> None:
    gateway = gateway_for_alice(family.everything())

    def error(direction: Direction, far: str, router: str) -> bytes:
        quote = family.udp(opposite(direction), far=far)
        return icmp_error(family.flow(direction, far=router), family.unreachable, quoting=quote)

    inbound = [
        error(INBOUND, far, family.host) for far in (family.neighbour, family.spare, family.proxy)
    ]
    assert gateway.handle_packets(INBOUND, inbound) == [NOT_PASSED] * 3
    outbound = error(OUTBOUND, family.proxy, family.proxy)
    assert gateway.handle_packet(OUTBOUND, outbound) == NOT_PASSED


@both_families
def test_an_error_about_the_internet_is_judged_by_the_internet_resource(family: Family) -> None:
    gateway = gateway_for_alice(InternetResource("internet"))
    errors = [
        icmp_error(
            family.flow(INBOUND, far=family.stranger),
            family.unreachable,
            quoting=family.tcp(OUTBOUND, far=far),
        )
        for far in (family.public, family.host)
    ]
    assert gateway.handle_packets(INBOUND, errors) == [Forward("alice", "internet"), NOT_PASSED]
