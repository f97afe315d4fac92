"""Section 4, ICMP errors: judged by the packet that they quote, in the other direction."""

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    Drop,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    Reason,
    Tcp,
    Udp,
)
from tests.builders import (
    ESP,
    GRE,
    Extension,
    authentication,
    destination_options,
    fragment,
    fragment_header,
    hop_by_hop,
    icmp,
    icmp_echo,
    icmp_error,
    ip,
    ip_fragment,
    patched,
    routing,
    tcp,
    udp,
)
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
)

REFUSED = Drop(Reason.ICMP_ERROR, "alice")

UNREACHABLE = {4: 3, 6: 1}


def opposite(direction: Direction) -> Direction:
    return INBOUND if direction is OUTBOUND else OUTBOUND


def error_about(
    family: Family, direction: Direction, quote: bytes, *, far: str | None = None
) -> bytes:
    """Build an ICMP error that reports, in *direction*, about a packet of the other one."""
    return icmp_error(family.flow(direction, far=far), UNREACHABLE[family.version], quoting=quote)


# --- Which types ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "kind"), [(V4, 3), (V4, 11), (V4, 12), (V6, 1), (V6, 2), (V6, 3), (V6, 4)]
)
@both_directions
def test_an_error_about_a_permitted_packet_passes_whatever_the_filters_say_of_icmp(
    family: Family, kind: int, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    quote = family.tcp(opposite(direction))
    error = icmp_error(family.flow(direction), kind, quoting=quote)
    assert gateway.handle_packet(direction, error) == Forward("alice", "db")


@pytest.mark.parametrize(
    ("family", "kind"),
    [(V4, 4), (V4, 5), (V6, 0), (V6, 5), (V6, 6), (V6, 100), (V6, 126), (V6, 127), (V6, 137)],
)
@both_directions
def test_quench_redirects_and_undefined_errors_never_pass(
    family: Family, kind: int, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    quote = family.tcp(opposite(direction))
    error = icmp_error(family.flow(direction), kind, quoting=quote)
    assert gateway.handle_packet(direction, error) == REFUSED


@pytest.mark.parametrize(
    ("family", "kind"), [(V4, 2), (V4, 6), (V4, 13), (V4, 137), (V6, 128), (V6, 138)]
)
@both_directions
def test_neighbours_of_the_error_types_are_judged_by_the_filters(
    family: Family, kind: int, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Icmp()))
    message = icmp(family.flow(direction), kind, body=b"no quote")
    assert gateway.handle_packet(direction, message) == Forward("alice", "db")


# --- Path-MTU discovery --------------------------------------------------------------------


def test_fragmentation_needed_reaches_the_client() -> None:
    gateway = gateway_for_alice(V4.db(Tcp(443)))
    quote = tcp(V4.flow(OUTBOUND, 443), bytes(1_400))[:28]
    error = icmp_error(
        V4.flow(INBOUND, far=V4.stranger), 3, 4, quoting=quote, rest=b"\x00\x00\x05\x14"
    )
    assert gateway.handle_packet(INBOUND, error) == Forward("alice", "db")


def test_packet_too_big_reaches_the_client() -> None:
    gateway = gateway_for_alice(V6.db(Tcp(443)))
    quote = tcp(V6.flow(OUTBOUND, 443), bytes(1_400))[:1_232]
    error = icmp_error(
        V6.flow(INBOUND, far=V6.stranger), 2, quoting=quote, rest=b"\x00\x00\x05\x00"
    )
    assert gateway.handle_packet(INBOUND, error) == Forward("alice", "db")


# --- Whose error ---------------------------------------------------------------------------


@both_families
def test_inbound_any_router_may_report_within_the_tables_limits(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    quote = family.udp(OUTBOUND)
    for far in (family.host, family.stranger, family.public, family.gateway):
        error = error_about(family, INBOUND, quote, far=far)
        assert gateway.handle_packet(INBOUND, error) == Forward("alice", "db")


@both_families
def test_inbound_no_peer_or_proxy_reports_anything(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    quote = family.udp(OUTBOUND)
    for far in (family.neighbour, family.spare, family.proxy):
        error = error_about(family, INBOUND, quote, far=far)
        assert gateway.handle_packet(INBOUND, error) == Drop(Reason.PEER_ADDRESS, "alice")


@both_families
def test_inbound_the_quoted_source_is_the_errors_destination(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    for near in (family.neighbour, family.spare, family.stranger):
        quote = udp(family.flow(OUTBOUND, 53, near=near))
        error = error_about(family, INBOUND, quote)
        assert gateway.handle_packet(INBOUND, error) == REFUSED


@both_families
def test_outbound_the_quoted_source_is_the_errors_destination(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    quote = family.udp(INBOUND)
    error = error_about(family, OUTBOUND, quote, far=family.stranger)
    assert gateway.handle_packet(OUTBOUND, error) == REFUSED


@both_families
def test_outbound_the_quoted_destination_is_the_errors_source(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    gateway.authorize("bob", family.db())
    quote = udp(family.flow(INBOUND, 53, near=family.neighbour))
    assert gateway.handle_packet(OUTBOUND, error_about(family, OUTBOUND, quote)) == REFUSED


@both_directions
@both_families
def test_a_quote_in_the_errors_own_direction_is_refused(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    error = error_about(family, direction, family.udp(direction))
    assert gateway.handle_packet(direction, error) == REFUSED


# --- What the filters say of the quote -----------------------------------------------------


@both_directions
@both_families
def test_the_resources_port_in_the_quote_decides(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443), Udp("53-54")))
    back = opposite(direction)
    for quote, permitted in (
        (family.tcp(back, 442), False),
        (family.tcp(back, 443), True),
        (family.tcp(back, 444), False),
        (family.udp(back, 52), False),
        (family.udp(back, 53), True),
        (family.udp(back, 54), True),
        (family.udp(back, 55), False),
        (family.echo(back), False),
        (ip(family.flow(back), GRE), False),
    ):
        decision = gateway.handle_packet(direction, error_about(family, direction, quote))
        assert decision == (Forward("alice", "db") if permitted else REFUSED)


@both_directions
@both_families
def test_the_clients_port_in_the_quote_does_not_count(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    ends = (at(family.client, 443), at(family.host, 5401))
    quote = tcp(" > ".join(ends[::-1] if direction is OUTBOUND else ends))
    assert gateway.handle_packet(direction, error_about(family, direction, quote)) == REFUSED


@both_directions
@both_families
def test_an_error_about_a_ping_passes_where_icmp_is_permitted(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Icmp()))
    quote = family.echo(opposite(direction))
    decision = gateway.handle_packet(direction, error_about(family, direction, quote))
    assert decision == Forward("alice", "db")


@both_families
def test_a_quote_that_no_resource_covers_is_refused(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    quote = family.udp(OUTBOUND, far=family.stranger)
    assert gateway.handle_packet(INBOUND, error_about(family, INBOUND, quote)) == REFUSED


@both_families
def test_the_resource_that_permits_the_quote_is_named_and_not_that_of_the_router(
    family: Family,
) -> None:
    router = "10.0.1.0/24" if family is V4 else "fd00:6::/64"
    gateway = gateway_for_alice(family.db(Tcp(443)), CidrResource("routers", router))
    error = error_about(family, INBOUND, family.tcp(OUTBOUND), far=family.stranger)
    assert gateway.handle_packet(INBOUND, error) == Forward("alice", "db")


@both_families
def test_an_error_about_the_internet_is_judged_by_the_internet_resource(
    family: Family,
) -> None:
    gateway = gateway_for_alice(InternetResource("internet"))
    public = error_about(family, INBOUND, family.tcp(OUTBOUND, far=family.public))
    private = error_about(family, INBOUND, family.tcp(OUTBOUND))
    assert gateway.handle_packet(INBOUND, public) == Forward("alice", "internet")
    assert gateway.handle_packet(INBOUND, private) == REFUSED


@both_directions
@both_families
def test_an_error_ends_with_the_permission_of_what_it_quotes(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    error = error_about(family, direction, family.tcp(opposite(direction)))
    assert gateway.handle_packet(direction, error).allowed
    gateway.revoke("alice", "db")
    assert gateway.handle_packet(direction, error) == REFUSED


# --- The gateway's own address in the quote ------------------------------------------------


def gateway_with_a_name_server() -> Gateway:
    return gateway_for_alice(options=GatewayOptions(own_filters=[Udp(53)]))


@both_directions
@both_families
def test_own_filters_judge_an_error_about_the_gateway(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_with_a_name_server()
    back, own = opposite(direction), family.gateway
    permitted = error_about(family, direction, family.udp(back, 53, far=own), far=own)
    refused = error_about(family, direction, family.udp(back, 54, far=own), far=own)
    assert gateway.handle_packet(direction, permitted) == Forward("alice", None)
    assert gateway.handle_packet(direction, refused) == REFUSED


@both_families
def test_a_router_may_report_about_the_gateway_too(family: Family) -> None:
    gateway = gateway_with_a_name_server()
    quote = family.udp(OUTBOUND, 53, far=family.gateway)
    error = error_about(family, INBOUND, quote, far=family.stranger)
    assert gateway.handle_packet(INBOUND, error) == Forward("alice", None)


@both_families
def test_the_gateway_reports_about_what_own_filters_do_not_permit_of_icmp(
    family: Family,
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=GatewayOptions(own_filters=[Tcp(1)]))
    error = error_about(family, INBOUND, family.tcp(OUTBOUND), far=family.gateway)
    assert gateway.handle_packet(INBOUND, error) == Forward("alice", "db")


# --- Far addresses in the tunnel or DNS ranges ---------------------------------------------


@both_families
def test_inbound_a_quoted_peer_or_proxy_is_refused(family: Family) -> None:
    everything = CidrResource("all", "0.0.0.0/0" if family is V4 else "::/0")
    gateway = gateway_for_alice(everything)
    for far in (family.neighbour, family.spare, family.proxy):
        error = error_about(family, INBOUND, family.udp(OUTBOUND, far=far))
        assert gateway.handle_packet(INBOUND, error) == REFUSED


@both_families
def test_outbound_an_error_to_a_proxy_is_refused_without_a_session(family: Family) -> None:
    everything = CidrResource("all", "0.0.0.0/0" if family is V4 else "::/0")
    gateway = gateway_for_alice(everything)
    quote = family.udp(INBOUND, far=family.proxy)
    error = error_about(family, OUTBOUND, quote, far=family.proxy)
    assert gateway.handle_packet(OUTBOUND, error) == REFUSED


@both_families
def test_outbound_an_error_to_a_peer_is_a_packet_to_a_peer(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    quote = udp(family.flow(INBOUND, 53, far=family.neighbour))
    error = error_about(family, OUTBOUND, quote, far=family.neighbour)
    assert gateway.handle_packet(OUTBOUND, error) == Drop(Reason.PEER_ADDRESS, "alice")


# --- What of the quote must be there -------------------------------------------------------


@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmp"])
@both_directions
@both_families
def test_a_quote_passes_from_8_transport_bytes_on(
    family: Family, direction: Direction, protocol: str
) -> None:
    gateway = gateway_for_alice(family.db())
    back = opposite(direction)
    quote = {"tcp": family.tcp(back), "udp": family.udp(back), "icmp": family.echo(back)}[protocol]
    header = 20 if family is V4 else 40
    enough = error_about(family, direction, quote[: header + 8])
    short = error_about(family, direction, quote[: header + 7])
    assert gateway.handle_packet(direction, enough) == Forward("alice", "db")
    assert gateway.handle_packet(direction, short) == REFUSED


@both_directions
@both_families
def test_other_protocols_need_no_transport_bytes_in_the_quote(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    quote = ip(family.flow(opposite(direction)), ESP)
    assert gateway.handle_packet(direction, error_about(family, direction, quote)).allowed
    short = error_about(family, direction, quote[:-1])
    assert gateway.handle_packet(direction, short) == REFUSED


@both_directions
@both_families
def test_an_error_without_a_quote_is_refused(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db())
    assert gateway.handle_packet(direction, error_about(family, direction, b"")) == REFUSED


@both_directions
@both_families
def test_a_quote_of_no_ip_version_is_refused(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db())
    quote = patched(family.udp(opposite(direction)), 0, b"\x55")
    assert gateway.handle_packet(direction, error_about(family, direction, quote)) == REFUSED


@both_directions
@both_families
def test_a_quote_whose_length_field_lies_passes(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db())
    place = 2 if family is V4 else 4
    quote = patched(family.udp(opposite(direction)), place, b"\xff\xff")
    decision = gateway.handle_packet(direction, error_about(family, direction, quote))
    assert decision == Forward("alice", "db")


@both_directions
def test_ipv4_options_in_the_quote_are_walked(direction: Direction) -> None:
    gateway = gateway_for_alice(V4.db(Udp(53)))
    back = opposite(direction)
    quote = udp(V4.flow(back, 53), b"data", options=b"\x94\x04\x00\x00\x01")
    permitted = error_about(V4, direction, quote[: 28 + 8])
    short = error_about(V4, direction, quote[: 28 + 7])
    routed = udp(V4.flow(back, 53), options=b"\x83\x07\x04\x0a\x00\x00\x05")
    assert gateway.handle_packet(direction, permitted) == Forward("alice", "db")
    assert gateway.handle_packet(direction, short) == REFUSED
    assert gateway.handle_packet(direction, error_about(V4, direction, routed)) == REFUSED


@pytest.mark.parametrize(
    "chain",
    [
        [hop_by_hop()],
        [destination_options(2), authentication(2)],
        [routing(), fragment_header()],
        [destination_options()] * 8,
    ],
)
@both_directions
def test_ipv6_extension_headers_in_the_quote_are_walked(
    direction: Direction, chain: list[Extension]
) -> None:
    gateway = gateway_for_alice(V6.db(Udp(53)))
    back = opposite(direction)
    permitted = udp(V6.flow(back, 53), b"data", extensions=chain)[:-4]
    assert gateway.handle_packet(direction, error_about(V6, direction, permitted)).allowed
    short = error_about(V6, direction, permitted[:-1])
    assert gateway.handle_packet(direction, short) == REFUSED
    refused = error_about(V6, direction, udp(V6.flow(back, 54), extensions=chain))
    assert gateway.handle_packet(direction, refused) == REFUSED


@pytest.mark.parametrize(
    "chain",
    [
        [destination_options()] * 9,
        [routing(0)],
        [routing(2, 1)],
        [destination_options(), hop_by_hop()],
    ],
)
@both_directions
def test_ipv6_extension_headers_that_break_the_rules_spoil_the_quote(
    direction: Direction, chain: list[Extension]
) -> None:
    gateway = gateway_for_alice(V6.db())
    quote = udp(V6.flow(opposite(direction), 53), extensions=chain)
    assert gateway.handle_packet(direction, error_about(V6, direction, quote)) == REFUSED


# --- Never passed --------------------------------------------------------------------------


@both_directions
@both_families
def test_an_error_about_a_first_fragment_passes(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    back = opposite(direction)
    first = fragment(family.udp(back, size=32), 0, 16)
    assert gateway.handle_packet(direction, error_about(family, direction, first)).allowed
    refused = error_about(family, direction, fragment(family.udp(back, 54, size=32), 0, 16))
    assert gateway.handle_packet(direction, refused) == REFUSED


@both_directions
@both_families
def test_an_error_about_a_later_fragment_is_refused(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db())
    later = fragment(family.udp(opposite(direction), size=32), 16)
    assert gateway.handle_packet(direction, error_about(family, direction, later)) == REFUSED


@both_directions
@both_families
def test_an_error_that_is_a_first_fragment_is_refused(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    error = error_about(family, direction, family.udp(opposite(direction), size=32))
    assert gateway.handle_packet(direction, error).allowed
    assert gateway.handle_packet(direction, fragment(error, 0, 64)) == REFUSED
    assert gateway.handle_packet(direction, fragment(error, 64)) == Drop(Reason.FRAGMENT, "alice")


@both_directions
def test_an_error_in_an_atomic_fragment_is_an_ordinary_error(direction: Direction) -> None:
    gateway = gateway_for_alice(V6.db())
    quote = V6.udp(opposite(direction))
    error = icmp_error(V6.flow(direction), 1, quoting=quote, extensions=[fragment_header()])
    assert gateway.handle_packet(direction, error) == Forward("alice", "db")


@pytest.mark.parametrize(
    ("family", "kind"),
    [(V4, 3), (V4, 4), (V4, 5), (V4, 11), (V4, 12), (V6, 0), (V6, 1), (V6, 127), (V6, 137)],
)
@both_directions
def test_an_error_about_an_error_is_refused(
    family: Family, kind: int, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    quoted_error = icmp(family.flow(opposite(direction)), kind, body=family.udp(direction))
    error = error_about(family, direction, quoted_error)
    assert gateway.handle_packet(direction, error) == REFUSED


@both_directions
@both_families
def test_a_quote_of_the_other_ip_version_is_refused(family: Family, direction: Direction) -> None:
    other = V6 if family is V4 else V4
    gateway = gateway_for_alice(V4.db(), CidrResource("db6", V6.network))
    error = error_about(family, direction, other.udp(opposite(direction)))
    assert gateway.handle_packet(direction, error) == REFUSED


@both_directions
@both_families
def test_a_quote_of_the_other_icmp_is_refused(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db())
    other = 58 if family is V4 else 1
    quote = ip(family.flow(opposite(direction)), other, bytes(8))
    assert gateway.handle_packet(direction, error_about(family, direction, quote)) == REFUSED


@both_directions
@both_families
def test_an_error_keeps_no_decision_for_fragments(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db())
    number = 1 if family is V4 else 58
    error = error_about(family, direction, family.udp(opposite(direction)))
    assert gateway.handle_packet(direction, error).allowed
    later = ip_fragment(family.flow(direction), number, bytes(8), start=64, identification=0)
    assert gateway.handle_packet(direction, later) == Drop(Reason.FRAGMENT, "alice")


@both_families
def test_a_refused_error_is_never_answered(family: Family) -> None:
    gateway = gateway_for_alice()
    error = icmp_error(
        family.flow(OUTBOUND, far=family.stranger),
        UNREACHABLE[family.version],
        quoting=icmp_echo(family.flow(INBOUND, far=family.stranger)),
    )
    assert gateway.handle_packet(OUTBOUND, error) == REFUSED
