"""Section 7 in use: what hosts on the Internet do, through a stateful gateway."""

from functools import partial
from typing import Final

import pytest

from firezone_filter import (
    CidrResource,
    Decision,
    Direction,
    Drop,
    Forward,
    Gateway,
    Reason,
)
from firezone_filter.testing import ACK, FIN, RST, SYN, fragment, icmp_echo, icmp_error, ip, tcp
from tests.numbers import GRE
from tests.rules.solicited import (
    STATEFUL,
    UNSOLICITED,
    answered,
    assert_ends,
    live_flows,
    solicited,
    talks,
    tell,
)
from tests.rules.stories import START, talk
from tests.rules.ways import (
    FOLLOWED_BY_NONE,
    NOT_PASSED,
    Way,
    both_ways,
    direct_ways,
    fragments,
    nat_ways,
    passed,
)
from tests.scenes import (
    ALICE,
    INBOUND,
    OUTBOUND,
    Family,
    at,
    both_directions,
    both_families,
    gateway_for_alice,
    opposite,
    reasons,
)
from tests.translations import TICK

TOO_BIG: Final = {4: (3, 4), 6: (2, 0)}
"""Fragmentation needed (RFC 1191), packet too big (RFC 8201)."""
TIME_EXCEEDED: Final = {4: (11, 0), 6: (3, 0)}
PORT_UNREACHABLE: Final = {4: (3, 3), 6: (1, 4)}

ROUTER: Final = {4: "192.0.2.77", 6: "2001:db8:77::1"}

PASSES: Final = Forward("alice", "db")


def reported(  # noqa: PLR0913 - as many fields as it has
    way: Way,
    direction: Direction,
    error: dict[int, tuple[int, int]],
    far: str,
    quote: bytes,
    *,
    router: str | None = None,
    rest: bytes = bytes(4),
) -> bytes:
    """Build an error; of a router, if one is named, unless the far address is a proxy.

    What a router says about a translated packet reaches the client as the proxy's.
    """
    kind, code = error[way.family.version]
    flow = way.family.flow(direction, far=far if far in way.names.proxies else router or far)
    return icmp_error(flow, kind, code, quoting=quote, rest=rest)


# --- Errors that connections live by ------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@both_directions
@both_ways
def test_path_mtu_discovery(way: Way, direction: Direction, kind: str) -> None:
    # A router reports about what the client sent, or the client about what it got, 1,300 at most.
    def too_big(far: str, port: int = 443) -> bytes:
        quoted = way.packet(opposite(direction), kind, far=far, port=port, payload=bytes(1_400))
        # As much as fits; routers send less than that.
        quote = quoted[: way.family.header + 8]
        router = ROUTER[way.family.version] if direction is INBOUND else None
        return reported(
            way, direction, TOO_BIG, far, quote, router=router, rest=bytes([0, 0, 5, 20])
        )

    handed_in = too_big(way.arrives(direction))
    gateway = solicited(way)
    assert gateway.handle_packet(direction, handed_in) == NOT_PASSED
    tell(gateway, way, "0>S 1<SA 1>" if kind == "tcp" else "0> 1<", kind, until=2.0)
    assert gateway.handle_packet(direction, handed_in) == way.passed(direction, too_big)
    about_none = too_big(way.arrives(direction), port=446)
    assert gateway.handle_packet(direction, about_none) == NOT_PASSED
    # When the connection is over, so is what is said about it.
    idle = 7_440.0 if kind == "tcp" else 120.0
    late = gateway.handle_packet(direction, handed_in, START + 3.0 + idle)
    assert late == NOT_PASSED


@pytest.mark.parametrize("probes", ["udp", "echo", "tcp"])
@both_ways
def test_traceroute(way: Way, probes: str) -> None:
    gateway = solicited(way)
    family, router = way.family, ROUTER[way.family.version]
    first_port = 33_434

    def probe(far: str, hops: int) -> bytes:
        port = first_port + hops if probes == "udp" else 443
        flags = SYN
        return way.packet(OUTBOUND, probes, far=far, port=port, hops=hops, flags=flags)

    def exceeded(far: str, hops: int) -> bytes:
        quote = probe(far, hops)
        return reported(way, INBOUND, TIME_EXCEEDED, far, quote, router=router)

    # Nobody is told of probes that were not sent.
    early = exceeded(way.arrives(INBOUND), 1)
    assert gateway.handle_packet(INBOUND, early) == NOT_PASSED
    for hops in range(1, 6):
        sent = probe(way.arrives(OUTBOUND), hops)
        assert gateway.handle_packet(OUTBOUND, sent).allowed
        came = gateway.handle_packet(INBOUND, exceeded(way.arrives(INBOUND), hops))
        assert came == way.passed(INBOUND, partial(exceeded, hops=hops))
        # A router answers no probe by itself, and sends nothing else.
        assert not gateway.handle_packet(INBOUND, family.udp(INBOUND, far=router)).allowed
    # The target's own answer.
    if probes == "udp":

        def unreachable(far: str) -> bytes:
            return reported(way, INBOUND, PORT_UNREACHABLE, far, probe(far, 5))

        came = gateway.handle_packet(INBOUND, unreachable(way.arrives(INBOUND)))
        assert came == way.passed(INBOUND, unreachable)
    else:
        flags = RST | ACK
        came = gateway.handle_packet(INBOUND, way.packet(INBOUND, probes, flags=flags))
        assert came == way.passed(
            INBOUND, lambda far: way.packet(INBOUND, probes, flags=flags, far=far)
        )
    # Errors have prolonged nothing: a minute after the probes nobody reports any more.
    gateway.handle_packet(INBOUND, b"", START + 60.0)
    late = gateway.handle_packet(INBOUND, exceeded(way.arrives(INBOUND), 1))
    if probes == "udp":
        assert late == NOT_PASSED
        assert live_flows(gateway) == 0


# --- Fragments --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "udp", "echo"])
@both_ways
def test_fragments_both_ways(way: Way, kind: str) -> None:
    gateway = solicited(way)
    unasked = fragments(way, INBOUND, kind)
    first = Drop(Reason.NO_RESOURCE, "alice") if way.translated else UNSOLICITED
    expected: list[Decision] = [first, FOLLOWED_BY_NONE, FOLLOWED_BY_NONE]
    assert gateway.handle_packets(INBOUND, unasked) == expected
    sent = gateway.handle_packets(OUTBOUND, fragments(way, OUTBOUND, kind))
    assert sent == passed(way, OUTBOUND, kind)
    assert live_flows(gateway) == 1
    came = gateway.handle_packets(INBOUND, fragments(way, INBOUND, kind))
    assert came == passed(way, INBOUND, kind)
    if kind != "echo":
        # From another port: what was refused is not followed, and what was allowed still is.
        other = fragments(way, INBOUND, kind, port=446, identification=8)
        refused: list[Decision] = [UNSOLICITED, FOLLOWED_BY_NONE, FOLLOWED_BY_NONE]
        assert gateway.handle_packets(INBOUND, other) == refused
    last = fragments(way, INBOUND, kind)[1:]
    assert gateway.handle_packets(INBOUND, last) == passed(way, INBOUND, kind, (1, 2))


@nat_ways
def test_an_unsolicited_first_fragment_of_a_session_and_its_later_ones(way: Way) -> None:
    gateway = solicited(way)
    assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND)).allowed
    parts = fragments(way, INBOUND, port=444)
    refused: list[Decision] = [UNSOLICITED, FOLLOWED_BY_NONE, FOLLOWED_BY_NONE]
    assert gateway.handle_packets(INBOUND, parts) == refused


# --- Connections -------------------------------------------------------------------------------


@both_families
def test_a_second_connection_from_the_server_is_refused(family: Family) -> None:
    # Active FTP: the server connects back from port 20 to a port that the client has named.
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    flow = f"{at(family.client, 5401)} > {at(family.host, 21)}"
    back = " > ".join(flow.split(" > ")[::-1])
    assert reasons(gateway, OUTBOUND, [tcp(flow, flags=SYN)]) == [None]
    assert reasons(gateway, INBOUND, [tcp(back, flags=SYN | ACK)]) == [None]
    assert reasons(gateway, OUTBOUND, [tcp(flow, b"PORT 100,64,0,2,21,26\r\n")]) == [None]
    data = f"{at(family.host, 20)} > {at(family.client, 5402)}"
    connect = tcp(data, flags=SYN)
    assert gateway.handle_packets(INBOUND, [connect] * 3) == [UNSOLICITED] * 3
    assert gateway_for_alice(family.db()).handle_packet(INBOUND, connect) == PASSES
    # Passive FTP: the client connects to a port that the server has named.
    passive = f"{at(family.client, 5402)} > {at(family.host, 50_000)}"
    assert reasons(gateway, OUTBOUND, [tcp(passive, flags=SYN)]) == [None]
    accepted = tcp(" > ".join(passive.split(" > ")[::-1]), flags=SYN | ACK)
    assert gateway.handle_packet(INBOUND, accepted) == PASSES


@both_ways
def test_dns_over_udp(way: Way) -> None:
    query = way.packet(OUTBOUND, port=53, payload=b"query")
    answer = way.packet(INBOUND, port=53, payload=b"answer")
    delivered = way.passed(
        INBOUND, lambda far: way.packet(INBOUND, port=53, payload=b"answer", far=far)
    )
    for second, end in ((60.0 - TICK, 180.0 - TICK), (1.0, 121.0)):
        gateway = solicited(way)
        assert gateway.handle_packet(OUTBOUND, query).allowed
        spoofed = way.packet(INBOUND, port=5353, payload=b"answer")
        assert gateway.handle_packet(INBOUND, spoofed) == UNSOLICITED
        wrong_client_port = way.packet(INBOUND, number=5402, port=53, payload=b"answer")
        assert not gateway.handle_packet(INBOUND, wrong_client_port).allowed
        assert gateway.handle_packet(INBOUND, answer, START + second) == delivered
        # Another answer, late: a retransmission of a slow server's.
        assert gateway.handle_packet(INBOUND, answer, START + end - TICK) == delivered
        assert gateway.handle_packet(INBOUND, answer, START + end - TICK + 120.0) != delivered
    # Too late at all.
    gateway = solicited(way)
    assert gateway.handle_packet(OUTBOUND, query).allowed
    assert not gateway.handle_packet(INBOUND, answer, START + 60.0).allowed


@both_ways
def test_tcp_that_is_idle_for_long(way: Way) -> None:
    assert_ends(way, "0>S 0<SA 0> 0>+9 0<+9 1>", 7_441.0)
    # The client's keepalives prolong it, and its answers to those of the server.
    hours = " ".join(f"{second}> {second}<" for second in range(7_200, 86_400, 7_200))
    assert_ends(way, f"0>S 0<SA 0> {hours}", 79_200.0 + 7_440.0)
    # Those of the server that nobody answers do not.
    hour = " ".join(f"{second}<" for second in range(60, 7_440, 60))
    assert_ends(way, f"0>S 0<SA 0> {hour}", 7_440.0)


@both_ways
def test_simultaneous_open(way: Way) -> None:
    gateway = solicited(way)
    tell(gateway, way, "0>S 0<S 0>SA 0<SA 1>+9 2<+9", until=2.0)
    assert gateway.handle_packet(INBOUND, way.packet(INBOUND, "tcp")) == answered(way)
    # The SYN that comes in without one of the client's is refused.
    gateway = solicited(way)
    syn = way.packet(INBOUND, "tcp", flags=SYN)
    first = gateway.handle_packet(INBOUND, syn)
    assert not first.allowed
    # The client's SYN ACK to it would begin the flow.
    synack = way.packet(OUTBOUND, "tcp", flags=SYN | ACK)
    assert gateway.handle_packet(OUTBOUND, synack).allowed
    assert gateway.handle_packet(INBOUND, syn).allowed


# --- The founding bug, by packets --------------------------------------------------------------


def downloading(family: Family) -> Gateway:
    """Let a download run, by TCP and by UDP, and pings and a tunnel beside."""
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    talk(gateway, "0>S 0<SA 0>+100 1<+1000 1<+1000 1>", family)
    for _, sent, came in talks(family):
        assert gateway.handle_packets(OUTBOUND, [sent] * 2, 1.0) == [PASSES] * 2
        assert gateway.handle_packets(INBOUND, [came] * 2, 1.0) == [PASSES] * 2
    return gateway


@pytest.mark.parametrize("disconnected", [False, True])
@both_families
def test_a_client_that_has_restarted_gets_nothing_of_its_old_sessions(
    family: Family, *, disconnected: bool
) -> None:
    gateway = downloading(family)
    if disconnected:
        gateway.client_disconnected("alice")
    gateway.client_connected("alice", ALICE, 2.0)
    gateway.authorize("alice", family.db())
    old = [came for _, _, came in talks(family)]
    old += [
        tcp(family.flow(INBOUND, 443), bytes(1_000)),
        tcp(family.flow(INBOUND, 443), flags=FIN | ACK),
        tcp(family.flow(INBOUND, 443), flags=RST),
        family.udp(INBOUND, size=1_000),
        fragment(family.udp(INBOUND, size=1_000), 0, 800),
    ]
    # Retransmissions of a minute.
    for now in (2.0, 3.0, 5.0, 9.0, 17.0, 33.0, 62.0):
        assert gateway.handle_packets(INBOUND, old, now) == [UNSOLICITED] * len(old)
    later = fragment(family.udp(INBOUND, size=1_000), 800)
    assert gateway.handle_packet(INBOUND, later) == Drop(Reason.FRAGMENT, "alice")
    error = icmp_error(
        family.flow(INBOUND), family.unreachable, quoting=tcp(family.flow(OUTBOUND, 443))
    )
    assert gateway.handle_packet(INBOUND, error) == Drop(Reason.ICMP_ERROR, "alice")
    assert gateway.counters().flows == 0
    # A new download, from another port, works; the old one does not come along.
    ends = [at(family.client, 5402), at(family.host, 443)]
    assert gateway.handle_packet(OUTBOUND, tcp(" > ".join(ends), flags=SYN)) == PASSES
    new = tcp(" > ".join(ends[::-1]), flags=SYN | ACK)
    assert gateway.handle_packet(INBOUND, new) == PASSES
    assert gateway.handle_packets(INBOUND, old) == [UNSOLICITED] * len(old)


@both_families
def test_without_stateful_they_reach_it_once_it_is_authorized_again(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    talk(gateway, "0>S 0<SA 0>+100 1<+1000", family)
    gateway.client_connected("alice", ALICE)
    old = tcp(family.flow(INBOUND, 443), bytes(1_000))
    assert gateway.handle_packet(INBOUND, old) == Drop(Reason.NO_RESOURCE, "alice")
    gateway.authorize("alice", family.db())
    assert gateway.handle_packet(INBOUND, old) == PASSES
    assert gateway.counters().flows == 0


@both_families
def test_a_gateway_that_starts_anew_learns_running_flows_from_the_clients_next_packet(
    family: Family,
) -> None:
    downloading(family)
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    data = tcp(family.flow(INBOUND, 443), bytes(1_000))
    assert gateway.handle_packets(INBOUND, [data] * 2, 1.0) == [UNSOLICITED] * 2
    # The client's ACK from the middle of the connection, and it runs on.
    assert gateway.handle_packet(OUTBOUND, tcp(family.flow(OUTBOUND, 443), flags=ACK)) == PASSES
    assert gateway.handle_packets(INBOUND, [data] * 2) == [PASSES] * 2
    for _, sent, came in talks(family):
        if came[family.header :] != family.tcp(INBOUND)[family.header :]:
            assert gateway.handle_packet(INBOUND, came) == UNSOLICITED
        assert gateway.handle_packet(OUTBOUND, sent) == PASSES
        assert gateway.handle_packet(INBOUND, came) == PASSES
    # It is closed like any other.
    talk(gateway, "2>FA 3<FA 4>", family)
    assert gateway.handle_packet(INBOUND, data, 244.0 - TICK) == PASSES
    assert gateway.handle_packet(INBOUND, data, 244.0) == UNSOLICITED


@direct_ways
def test_data_of_an_old_connection_counts_for_the_new_one_that_reuses_its_ports(way: Way) -> None:
    # The known limit of section 7: sequence numbers are not looked at.
    gateway = solicited(way)
    tell(gateway, way, "0>S 0<SA 0> 1>F 2<F 10>S 11<FA", until=11.0)
    assert gateway.handle_packet(INBOUND, way.packet(INBOUND, "tcp")) == answered(way)


@both_families
def test_nobody_on_a_permitted_port_speaks_to_a_client_unasked(family: Family) -> None:
    networks = [CidrResource("wide", family.network), family.everything()]
    gateway = gateway_for_alice(*networks, options=STATEFUL)
    scan = [
        *(family.tcp(INBOUND, port) for port in (22, 80, 443, 5432)),
        *(tcp(family.flow(INBOUND, port), flags=SYN) for port in (22, 80, 443)),
        *(family.udp(INBOUND, port) for port in (53, 123, 443)),
        icmp_echo(family.flow(INBOUND)),
        icmp_echo(family.flow(INBOUND), reply=True),
        ip(family.flow(INBOUND), GRE, bytes(8)),
    ]
    assert gateway.handle_packets(INBOUND, scan) == [UNSOLICITED] * len(scan)
    assert gateway.counters().refusals[INBOUND, Reason.UNSOLICITED] == len(scan)
