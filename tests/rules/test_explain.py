"""Section 8: what `explain` says, row by row, and that asking has no effect.

`tests.property.test_explain` holds what it says against what then happens.
"""

from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from attrs import evolve, frozen

from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    Drop,
    Filter,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    InvalidTime,
    Protocol,
    Reason,
    Reject,
    Resource,
    Tcp,
    Translate,
    Udp,
)
from firezone_filter.packet.numbers import RST
from firezone_filter.testing import fragment, icmp, icmp_echo, icmp_error, ip, tcp, udp
from firezone_filter.values.explanations import Candidate, Check, PacketSummary
from tests.numbers import ESP, GRE
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_directions,
    both_families,
    gateway_for_alice,
)
from tests.translations import N4, N6, Names


def checks(gateway: Gateway, *args: Any, **kwargs: Any) -> list[str]:  # noqa: ANN401 - those of `explain`
    """Return the rows by name, with a mark at one that failed."""
    found = gateway.explain(*args, **kwargs).checks
    return [one.name if one.passed else f"{one.name}!" for one in found]


# --- Rows ----------------------------------------------------------------------------------

COMMON = {
    OUTBOUND: ["headers", "multicast", "client"],
    INBOUND: ["headers", "tunnel", "client"],
}
FAR = {way: [*rows, "peer-address"] for way, rows in COMMON.items()}


@frozen
class Row:
    """A packet, and the rows that apply to it behind those that apply to every packet."""

    direction: Direction
    packet: bytes
    rows: list[str]
    client_id: str | None = None


def direct(family: Family) -> dict[str, Row]:
    """Return a packet for each way to be decided that needs no state."""
    flow, back = family.flow(OUTBOUND), family.flow(INBOUND)
    on_link = 9 if family is V4 else 134
    never = 5 if family is V4 else 137
    sent, came = family.udp(OUTBOUND), family.udp(INBOUND)
    own = family.gateway
    both = {
        "malformed": (b"\x45", b"\x45", ["headers!"]),
        "permitted": (sent, came, ["peer-address", "resource"]),
        "port": (family.udp(OUTBOUND, 54), family.udp(INBOUND, 54), ["peer-address", "resource!"]),
        "uncovered": (
            family.udp(OUTBOUND, far=family.stranger),
            family.udp(INBOUND, far=family.stranger),
            ["peer-address", "resource!"],
        ),
        "protocol": (ip(flow, GRE), ip(back, GRE), ["peer-address", "resource!"]),
        "other-protocol": (ip(flow, ESP), ip(back, ESP), ["peer-address", "resource"]),
        "peer": (
            family.udp(OUTBOUND, far=family.neighbour),
            family.udp(INBOUND, far=family.neighbour),
            ["peer-address!"],
        ),
        "on-link": (
            icmp(flow, on_link),
            icmp(back, on_link),
            ["peer-address", "link-local-icmp!"],
        ),
        "own": (
            family.echo(OUTBOUND, far=own),
            family.echo(INBOUND, far=own),
            ["peer-address", "own-address"],
        ),
        "own-port": (
            family.udp(OUTBOUND, far=own),
            family.udp(INBOUND, far=own),
            ["peer-address", "own-address!"],
        ),
        "error": (
            icmp_error(flow, family.unreachable, quoting=came),
            icmp_error(back, family.unreachable, quoting=sent),
            ["peer-address", "icmp-error"],
        ),
        "error-of-another-type": (
            icmp_error(flow, never, quoting=came),
            icmp_error(back, never, quoting=sent),
            ["peer-address", "icmp-error!"],
        ),
        "error-about-a-port": (
            icmp_error(flow, family.unreachable, quoting=family.udp(INBOUND, 54)),
            icmp_error(back, family.unreachable, quoting=family.udp(OUTBOUND, 54)),
            ["peer-address", "icmp-error!"],
        ),
        "first-fragment": (
            fragment(family.udp(OUTBOUND, size=64), 0, 24),
            fragment(family.udp(INBOUND, size=64), 0, 24),
            ["fragment", "peer-address", "resource"],
        ),
        "later-fragment": (
            fragment(family.udp(OUTBOUND, size=64), 24),
            fragment(family.udp(INBOUND, size=64), 24),
            ["fragment!"],
        ),
    }
    found = {}
    for name, (out, back_in, rows) in both.items():
        for way, packet in ((OUTBOUND, out), (INBOUND, back_in)):
            before = [] if name == "malformed" else COMMON[way]
            found[f"{way.value}-{name}"] = Row(way, packet, [*before, *rows])
    return found | {
        "outbound-multicast": Row(
            OUTBOUND, family.udp(OUTBOUND, far=family.multicast), ["headers", "multicast!"]
        ),
        "outbound-nobody": Row(
            OUTBOUND, sent, ["headers", "multicast", "client!"], client_id="nobody"
        ),
        "outbound-unowned": Row(
            OUTBOUND,
            udp(family.flow(OUTBOUND, 53, near=family.spare)),
            ["headers", "multicast", "client!"],
        ),
        "outbound-named": Row(
            OUTBOUND, sent, [*COMMON[OUTBOUND], "source", "peer-address", "resource"], "alice"
        ),
        "outbound-spoofed": Row(OUTBOUND, sent, [*COMMON[OUTBOUND], "source!"], "bob"),
        "inbound-no-peer": Row(
            INBOUND, udp(family.flow(INBOUND, 53, near=family.public)), ["headers", "tunnel!"]
        ),
        "inbound-unowned": Row(
            INBOUND,
            udp(family.flow(INBOUND, 53, near=family.spare)),
            ["headers", "tunnel", "client!"],
        ),
        "inbound-of-another": Row(INBOUND, came, ["headers", "tunnel", "client!"], "bob"),
        "inbound-from-a-proxy": Row(
            INBOUND,
            family.udp(INBOUND, far=family.proxy),
            [*COMMON[INBOUND], "peer-address!"],
        ),
    }


DIRECT = {f"{family}-{name}": row for family in (V4, V6) for name, row in direct(family).items()}


def gateway_with_db(**options: Any) -> Gateway:  # noqa: ANN401 - those of a gateway
    filters = (Tcp(443), Udp(53), Icmp.echo(), Protocol(ESP))
    return gateway_for_alice(
        *(CidrResource(f"db{one.version}", one.network, filters) for one in (V4, V6)),
        options=GatewayOptions(**options),
    )


@pytest.mark.parametrize("case", DIRECT)
def test_the_rows_are_those_of_the_table_up_to_the_one_that_decides(case: str) -> None:
    row, gateway = DIRECT[case], gateway_with_db()
    assert checks(gateway, row.direction, row.packet, None, row.client_id) == row.rows


@pytest.mark.parametrize("case", DIRECT)
def test_it_decides_as_the_gateway_does(case: str) -> None:
    row, gateway = DIRECT[case], gateway_with_db()
    foretold = gateway.explain(row.direction, row.packet, 1.0, row.client_id).decision
    assert foretold == gateway.handle_packet(row.direction, row.packet, 1.0, row.client_id)


both_names = pytest.mark.parametrize("names", [N4, N6], ids=str)
APP = DnsResource("app", "**.example.com", (Tcp(443), Udp(443), Icmp(), Protocol(GRE)))


def gateway_with_names(names: Names, **options: Any) -> Gateway:  # noqa: ANN401 - those of a gateway
    """Resolve a name of which the last proxy address has no real one."""
    gateway = gateway_for_alice(APP, options=GatewayOptions(**options))
    for proxies, real in ((names.proxies, names.real), (names.proxies[-1:], ())):
        gateway.domain_resolved(
            "alice",
            "app",
            "app.example.com",
            proxy_addresses=proxies,
            resolved_addresses=real,
        )
    return gateway


@both_names
def test_a_packet_to_a_proxy_address_ends_with_its_translation(names: Names) -> None:
    gateway = gateway_with_names(names)
    rows = [*FAR[OUTBOUND], "resource"]
    flow = names.family.flow(OUTBOUND, far=names.proxies[0])
    for packet, reason, last in (
        (names.sent("udp"), None, "translation"),
        (names.sent("echo"), None, "translation"),
        (ip(flow, GRE), Reason.PROTOCOL, "translation!"),
        (icmp(flow, 13 if names is N4 else 139), Reason.PROTOCOL, "translation!"),
        (names.sent("udp", far=names.proxies[-1]), Reason.NO_TRANSLATION, "translation!"),
    ):
        assert checks(gateway, OUTBOUND, packet) == [*rows, last]
        assert getattr(gateway.explain(OUTBOUND, packet).decision, "reason", None) is reason
    assert checks(gateway, OUTBOUND, names.sent("udp", port=22)) == [*FAR[OUTBOUND], "resource!"]
    assert checks(gateway, OUTBOUND, ip(flow, ESP)) == [*FAR[OUTBOUND], "resource!"]


@both_names
def test_no_room_for_a_session_fails_the_translation(names: Names) -> None:
    gateway = gateway_with_names(names, max_sessions=0)
    found = gateway.explain(OUTBOUND, names.sent("udp"))
    assert found.decision == Drop(Reason.NAT_EXHAUSTED, "alice")
    assert found.checks[-1].name == "translation"


@both_names
def test_a_packet_of_a_session_is_judged_as_the_client_sees_it(names: Names) -> None:
    gateway = gateway_with_names(names)
    came = names.came("udp")
    assert checks(gateway, INBOUND, came) == [*FAR[INBOUND], "resource!"]
    gateway.handle_packet(OUTBOUND, names.sent("udp"), 0.0)

    found = gateway.explain(INBOUND, came)
    assert [one.name for one in found.checks] == [*FAR[INBOUND], "session", "resource"]
    assert isinstance(found.decision, Translate)
    proxy = ip_address(names.proxies[0])
    assert found.candidates == (Candidate("app", "", proxy, permits=True, reason=None, wins=True),)
    refused = gateway.explain(INBOUND, names.came("udp", port=22))
    assert [one.covers for one in refused.candidates] == [proxy]

    # What is over by a moment has ended by then, and the time has not come for all that.
    late = gateway.explain(INBOUND, came, 60.0)
    assert late.decision == Drop(Reason.EXPIRED_NAT_SESSION, "alice")
    assert (late.checks[-1].name, late.candidates) == ("resource", ())
    assert "ended less than 240 s ago" in late.checks[-1].detail
    assert gateway.explain(INBOUND, came) == found


@both_names
def test_sessions_say_which_port_stands_for_which(names: Names) -> None:
    gateway = gateway_with_names(names)
    proxy, other, real = names.proxies[0], names.proxies[1], names.real[0]
    gateway.domain_resolved(
        "alice",
        "app",
        "app.example.com",
        proxy_addresses=names.proxies,
        resolved_addresses=[real],
    )
    kept = f"translates {proxy} to {real}, the client's port or id 5401, which it keeps"
    sent = names.sent("udp")
    assert gateway.explain(OUTBOUND, sent).checks[-1].detail == f"a new session {kept}"
    gateway.handle_packet(OUTBOUND, sent, 0.0)
    assert gateway.explain(OUTBOUND, sent).checks[-1].detail == f"a live session {kept}"
    session = gateway.explain(INBOUND, names.came("udp")).checks[-2].detail
    assert session == (
        f"a live session of alice {kept}; from here on the packet comes from {proxy}"
    )
    # Another proxy address of the same real one finds the port taken.
    moved = gateway.explain(OUTBOUND, names.sent("udp", far=other)).checks[-1].detail
    assert moved == (
        f"a new session translates {other} to {real}, the client's port or id 5401 to 5402"
    )


@both_names
def test_an_error_about_a_packet_of_a_session_has_the_candidates_of_the_proxy_address(
    names: Names,
) -> None:
    gateway = gateway_with_names(names)
    gateway.handle_packet(OUTBOUND, names.sent("udp"), 0.0)
    quote = names.sent("udp", far=names.real[0])
    error = icmp_error(
        names.family.flow(INBOUND, far=names.family.stranger),
        names.family.unreachable,
        quoting=quote,
    )
    found = gateway.explain(INBOUND, error)
    assert isinstance(found.decision, Translate)
    assert [one.covers for one in found.candidates] == [ip_address(names.proxies[0])]
    assert [one.name for one in found.checks] == [*FAR[INBOUND], "icmp-error"]


@both_families
def test_with_stateful_there_is_a_row_of_flows(family: Family) -> None:
    gateway = gateway_with_db(stateful=True)
    rows = {way: [*one, "resource"] for way, one in FAR.items()}
    sent, came = family.tcp(OUTBOUND), family.tcp(INBOUND)
    reset = tcp(family.flow(OUTBOUND, 443), flags=RST)
    answer = icmp_echo(family.flow(OUTBOUND), reply=True)
    words = {
        sent: "it begins a flow",
        reset: "it belongs to no live flow, and its RST begins none",
        answer: "it belongs to no flow, and begins none: of ICMP only requests do",
    }
    for packet, detail in words.items():
        found = gateway.explain(OUTBOUND, packet)
        assert [one.name for one in found.checks] == [*rows[OUTBOUND], "flow"]
        assert found.checks[-1].detail == detail
    assert checks(gateway, INBOUND, came) == [*rows[INBOUND], "flow!"]

    gateway.handle_packet(OUTBOUND, sent, 0.0)
    assert checks(gateway, INBOUND, came) == [*rows[INBOUND], "flow"]
    for packet in (sent, reset):
        detail = gateway.explain(OUTBOUND, packet).checks[-1].detail
        assert detail == "it belongs to a live flow that alice began"
    # The gateway itself is exempt.
    own = family.echo(OUTBOUND, far=family.gateway)
    assert checks(gateway, OUTBOUND, own)[-1] == "own-address"


@both_families
def test_no_room_for_a_flow_fails_its_row(family: Family) -> None:
    gateway = gateway_with_db(stateful=True, max_flows=0)
    found = gateway.explain(OUTBOUND, family.tcp(OUTBOUND))
    assert found.decision == Drop(Reason.FLOWS_EXHAUSTED, "alice")
    assert found.checks[-1].name == "flow"
    assert "0 of 16384" in found.checks[-1].detail


@both_families
@both_directions
def test_an_error_about_a_flow_that_is_not_live_names_who_would_have_permitted_it(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_with_db(stateful=True)
    quote = family.udp(INBOUND if direction is OUTBOUND else OUTBOUND)
    error = icmp_error(family.flow(direction), family.unreachable, quoting=quote)
    found = gateway.explain(direction, error)
    assert found.decision == Drop(Reason.ICMP_ERROR, "alice")
    assert [one.permits for one in found.candidates] == [True]
    gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND), 0.0)
    assert gateway.explain(direction, error).decision == Forward("alice", f"db{family.version}")


@both_families
@both_directions
def test_a_fragment_says_what_it_follows_or_why_it_does_not(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_with_db()
    whole, other = (tcp(family.flow(direction, port), bytes(64)) for port in (443, 80))
    first, later = fragment(whole, 0, 24), fragment(whole, 24)
    gateway.handle_packet(direction, first, 0.0)
    for packet, now, words in (
        (first, 0.0, "a first fragment, with identification 7: it has the transport header"),
        (fragment(other, 0, 24), 0.0, "was allowed, with other ports"),
        (later, 29.0, "from byte 24, identification 7: it follows its first fragment"),
        (fragment(whole, 16), 0.0, "it overlaps the 20 bytes that were judged"),
        (later, 30.0, "no first fragment of its packet was allowed"),
        (fragment(whole, 24, identification=8), 0.0, "no first fragment"),
    ):
        found = gateway.explain(direction, packet, now)
        row = next(one for one in found.checks if one.name == "fragment")
        assert words in row.detail
        assert found.candidates == () or packet is first


# --- Candidates ----------------------------------------------------------------------------

WIDE = CidrResource("wide", "10.0.0.0/8", [Tcp(80)], name="All of it")
NETS = (
    WIDE,
    CidrResource("net", "10.0.0.0/24", [Tcp(443), Udp(53)]),
    CidrResource("pet", "10.0.0.0/24", [Tcp(444)]),
    CidrResource("not", "10.0.0.0/16", exclude=["10.0.0.4/30"]),
    InternetResource("web", exclude=["9.9.9.0/24"]),
)
NET, BIG = ip_network("10.0.0.0/24"), ip_network("10.0.0.0/8")
TCP_PORT, NOT_INTERNET = Reason.TCP_PORT, Reason.NOT_INTERNET


def candidate(
    resource_id: str, covers: object, reason: Reason | None = None, *, wins: bool = False
) -> Candidate:
    name = WIDE.name if resource_id == "wide" else ""
    return Candidate(resource_id, name, covers, reason is None, reason, wins)  # type: ignore[arg-type]


@both_directions
@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (
            443,
            (
                candidate("net", NET, wins=True),
                candidate("pet", NET, TCP_PORT),
                candidate("wide", BIG, TCP_PORT),
                candidate("web", None, NOT_INTERNET),
            ),
        ),
        (
            80,
            (
                candidate("wide", BIG, wins=True),
                candidate("pet", NET, TCP_PORT),
                candidate("net", NET, TCP_PORT),
                candidate("web", None, NOT_INTERNET),
            ),
        ),
        (
            22,
            (
                candidate("pet", NET, TCP_PORT, wins=True),
                candidate("net", NET, TCP_PORT),
                candidate("wide", BIG, TCP_PORT),
                candidate("web", None, NOT_INTERNET),
            ),
        ),
    ],
    ids=["longest-prefix", "shorter-prefix-that-permits", "none-permits"],
)
def test_candidates_are_all_that_cover_the_address_best_first(
    port: int, expected: tuple[Candidate, ...], direction: Direction
) -> None:
    gateway = gateway_for_alice(*NETS)
    found = gateway.explain(direction, V4.tcp(direction, port))
    assert (found.candidates, found.excluded, found.client_id) == (expected, ("not",), "alice")


@pytest.mark.parametrize(
    ("far", "words"),
    [
        ("9.9.9.9", "web permits the Internet, but excludes 9.9.9.9"),
        ("192.168.0.1", "192.168.0.1 is not public, and web permits the Internet alone"),
        ("1.1.1.1", "1.1.1.1 is public, and web permits the Internet"),
    ],
)
def test_the_internet_says_what_it_is(far: str, words: str) -> None:
    gateway = gateway_for_alice(*NETS)
    found = gateway.explain(OUTBOUND, V4.tcp(OUTBOUND, far=far))
    assert found.checks[-1].detail == f"tcp to port 443: {words}"
    assert [(one.resource_id, one.covers) for one in found.candidates] == [("web", None)]


def test_what_only_excludes_the_address_is_named_where_nothing_covers_it() -> None:
    gateway = gateway_for_alice(NETS[3])
    found = gateway.explain(OUTBOUND, V4.tcp(OUTBOUND))
    assert (found.candidates, found.excluded) == ((), ("not",))
    assert found.checks[-1].detail == (
        "tcp to port 443: no resource of alice covers 10.0.0.5 (excluded by not)"
    )


@pytest.mark.parametrize(
    ("packet", "filters", "words"),
    [
        (V4.tcp(OUTBOUND, 22), [], "tcp to port 22 … every protocol"),
        (V4.tcp(OUTBOUND, 22), [Tcp([443, "8000-8100"])], "tcp to port 22 … tcp 443, 8000-8100"),
        (
            V4.udp(OUTBOUND),
            [Udp(list(range(60, 80, 2)))],
            "udp to port 53 … udp 60, 62, 64, 66, 68, 70, 72, 74 and 2 more",
        ),
        (V4.udp(OUTBOUND), [Tcp()], "udp to port 53 … no udp"),
        (V4.echo(OUTBOUND), [Icmp()], "icmp type 8 … icmp of every type"),
        (V4.echo(OUTBOUND), [Icmp([13]), Icmp([40])], "icmp type 8 … icmp types 13, 14, 40"),
        (V4.echo(OUTBOUND), [Icmp(types_v6=[128])], "icmp type 8 … no icmp"),
        (ip(V4.flow(OUTBOUND), GRE), [Tcp(), Protocol(GRE)], "gre … gre"),
        (ip(V4.flow(OUTBOUND), 253), [Tcp()], "protocol 253 … no protocol 253"),
    ],
)
def test_the_row_of_resources_says_what_was_asked_and_what_is_permitted(
    packet: bytes, filters: list[Filter], words: str
) -> None:
    gateway = gateway_for_alice(V4.db(*filters))
    asked, permitted = words.split(" … ")
    assert gateway.explain(OUTBOUND, packet).checks[-1].detail == (
        f"{asked}: 10.0.0.5 is in 10.0.0.0/24 of db, which permits {permitted}"
    )


# --- What was read ---------------------------------------------------------------------------


@both_families
def test_the_packet_is_summarized(family: Family) -> None:
    gateway = gateway_with_db()
    own, far = ip_address(family.client), ip_address(family.host)
    sent = family.udp(OUTBOUND, size=64)
    expected = PacketSummary(family.version, own, far, 17, 5401, 53, None, None, None, len(sent))
    assert gateway.explain(OUTBOUND, sent).packet == expected

    first, later = fragment(sent, 0, 24), fragment(sent, 24)
    size = len(first)
    assert gateway.explain(OUTBOUND, first).packet == evolve(
        expected, fragment="first", length=size
    )
    assert gateway.explain(OUTBOUND, later).packet == evolve(
        expected, fragment="later", source_port=None, destination_port=None, length=len(later)
    )

    error = icmp_error(family.flow(INBOUND), family.unreachable, 4, quoting=sent)
    assert gateway.explain(INBOUND, error).packet == PacketSummary(
        family.version,
        far,
        own,
        family.icmp,
        None,
        None,
        family.unreachable,
        4,
        None,
        len(error),
        expected,
    )
    unreadable = icmp_error(family.flow(INBOUND), family.unreachable, quoting=b"")
    found = gateway.explain(INBOUND, unreadable)
    assert found.packet is not None
    assert found.packet.quoted is None
    assert found.checks[-1].detail == (
        "the packet that it quotes is malformed: the packet is empty"
    )


@both_families
@both_directions
def test_an_error_that_never_passes_says_why(family: Family, direction: Direction) -> None:
    gateway = gateway_with_db()
    other = INBOUND if direction is OUTBOUND else OUTBOUND
    flow, quoted = family.flow(direction), family.udp(other, size=64)
    error = partial(icmp_error, flow, family.unreachable)
    peer = udp(family.flow(other, 53, far=family.spare))
    details = {
        "an ICMP error that is itself a fragment never passes": fragment(
            error(quoting=quoted), 0, 24
        ),
        "it quotes a later fragment, which has no ports": error(quoting=fragment(quoted, 24)),
        "it quotes an ICMP error": error(
            quoting=icmp_error(family.flow(other), family.unreachable, quoting=quoted)
        ),
        f"it quotes a packet {family.flow(direction)}, and not one "
        + (family.flow(other) if direction is OUTBOUND else f"from {family.client}"): error(
            quoting=family.udp(direction)
        ),
    }
    if direction is INBOUND:
        details[
            f"it quotes udp to port 53 of {family.spare}, which is inside the tunnel, and no live "
            "session translates it"
        ] = error(quoting=peer)
        own = udp(family.flow(other, 54, far=family.gateway))
        details[
            f"it quotes udp to port 54 of {family.gateway}, the gateway's own address: "
            "own_filters permit udp 53535"
        ] = error(quoting=own)
    for detail, packet in details.items():
        found = gateway.explain(direction, packet)
        assert found.checks[-1] == Check("icmp-error", passed=False, detail=detail)
        assert found.candidates == ()


@pytest.mark.parametrize(
    ("packet", "fault"),
    [
        (b"", "the packet is empty (0 bytes)"),
        (bytes(40), "the version is neither 4 nor 6 (40 bytes)"),
        (V4.tcp(OUTBOUND) + b"0", "the IPv4 length field is not the number of bytes (41 bytes)"),
        (V4.tcp(OUTBOUND)[:8], "the IPv4 header is cut off (8 bytes)"),
        (
            udp(V4.flow(OUTBOUND, 53), options=b"\x83\x03\x04"),
            "the IPv4 options are malformed, or a source route (32 bytes)",
        ),
    ],
    ids=["empty", "version", "length", "cut", "source-route"],
)
def test_a_malformed_packet_says_which_rule_it_breaks(packet: bytes, fault: str) -> None:
    found = gateway_with_db().explain(OUTBOUND, packet)
    assert found.checks == (Check("headers", passed=False, detail=fault),)
    assert (found.packet, found.client_id) == (None, None)


# --- Moments and effects ---------------------------------------------------------------------


def test_a_later_moment_sees_expiries_and_nothing_ends_for_that() -> None:
    gateway = gateway_for_alice()
    gateway.authorize("alice", V4.db(), expires_at=100.0)
    packet = V4.tcp(OUTBOUND)
    for now, allowed in ((None, True), (99.0, True), (100.0, False), (50.0, True)):
        assert gateway.explain(OUTBOUND, packet, now).decision.allowed is allowed
    assert gateway.poll_timeout() == 100.0
    assert gateway.handle_packet(OUTBOUND, packet, 99.0).allowed
    assert gateway.poll_event() is None
    assert gateway.explain(OUTBOUND, packet, 0.0).decision.allowed


@pytest.mark.parametrize("kind", ["network", "excluding", "internet", "name"])
def test_what_is_over_at_a_later_moment_still_counts_now(kind: str) -> None:
    gateway = gateway_for_alice()
    far, resources = V4.host, list[Resource]()
    for number in range(8):
        match kind:
            case "network":
                resources.append(CidrResource(f"{number}", V4.network))
            case "excluding":
                resources.append(CidrResource(f"{number}", V4.network, exclude=["10.0.0.9/32"]))
            case "internet":
                far = "1.1.1.1"
                resources.append(InternetResource(f"{number}"))
            case _:
                far = N4.proxies[0]
                resources.append(DnsResource(f"{number}", "**.example.com"))
    for number, resource in enumerate(resources):
        gateway.authorize("alice", resource, expires_at=10.0 * (8 - number))
        if kind == "name":
            gateway.domain_resolved(
                "alice", f"{number}", "app.example.com",
                proxy_addresses=N4.proxies, resolved_addresses=N4.real,
            )  # fmt: skip
    packet = V4.tcp(OUTBOUND, far=far)
    # The greatest id, which would answer, is over, and so are more and more of those below it.
    gateway.handle_packet(OUTBOUND, b"", 10.0)
    for now in (85.0, 55.0, 10.0):
        assert gateway.explain(OUTBOUND, packet, now).decision.allowed is (now < 80.0)
    decision = gateway.handle_packet(OUTBOUND, packet, 10.0)
    assert isinstance(decision, Forward | Translate)
    assert decision.resource_id == "6"


def test_asking_takes_no_token_and_counts_nothing() -> None:
    gateway = gateway_with_db(reject_burst=1, reject_rate=0.0)
    refused = V4.tcp(OUTBOUND, 22)
    before = gateway.counters()
    for _ in range(3):
        assert isinstance(gateway.explain(OUTBOUND, refused).decision, Reject)
    assert gateway.counters() == before
    assert isinstance(gateway.handle_packet(OUTBOUND, refused), Reject)
    foretold = gateway.explain(OUTBOUND, refused).decision
    assert foretold == Drop(Reason.TCP_PORT, "alice")


def test_before_the_first_now_everything_counts_from_that() -> None:
    gateway = gateway_for_alice(V4.db(), now=None)
    first, later = (fragment(V4.udp(OUTBOUND, size=64), *ends) for ends in ((0, 24), (24,)))
    gateway.handle_packet(OUTBOUND, first)
    for now in (None, -5.0, 1_800_000_000.0):
        assert gateway.explain(OUTBOUND, later, now).decision.allowed
    assert gateway.handle_packet(OUTBOUND, later, 1_800_000_000.0).allowed
    assert not gateway.explain(OUTBOUND, later, 1_800_000_030.0).decision.allowed


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("outbound", b""), TypeError),
        ((OUTBOUND, "text"), TypeError),
        ((OUTBOUND, b"", "now"), TypeError),
        ((OUTBOUND, b"", True), TypeError),
        ((OUTBOUND, b"", None, 7), TypeError),
        ((OUTBOUND, b"", float("nan")), InvalidTime),
        ((OUTBOUND, b"", 2.0**33), InvalidTime),
        ((OUTBOUND, b"", 51 * 31_557_600.0), InvalidTime),
        ((OUTBOUND, b"", -51 * 31_557_600.0), InvalidTime),
    ],
    ids=["direction", "packet", "now", "bool", "client-id", "nan", "late", "ahead", "behind"],
)
def test_arguments_are_checked_as_by_handle_packet(
    arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    gateway = gateway_with_db()
    for call in (gateway.explain, gateway.handle_packet):
        with pytest.raises(error):
            call(*arguments)


def test_any_bytes_like_object_is_a_packet() -> None:
    gateway, packet = gateway_with_db(), V4.tcp(OUTBOUND)
    expected = gateway.explain(OUTBOUND, packet)
    assert expected.decision.allowed
    for other in (bytearray(packet), memoryview(packet)):
        assert gateway.explain(OUTBOUND, other) == expected
