"""The first packet of a flow: what goes the short way, what the long one, and what each gets.

What is remembered of it is counted here, and how often what is refused is (nothing is). How
flows are forgotten has a file of its own (test_gateway_flow_memory.py), and so has what is
different beside a NAT (test_fresh_nat.py).
"""

from typing import Final

import pytest
from attrs import evolve, frozen

from firezone_filter import (
    CidrResource,
    Decision,
    Direction,
    Drop,
    FlowRefused,
    Forward,
    GatewayOptions,
    Icmp,
    InternetResource,
    Reason,
    Reject,
    Resource,
    Tcp,
    TunnelAddresses,
    Udp,
)
from tests.builders import destination_options, fragment, icmp, ip_fragment, tcp, udp
from tests.records import fetched, only
from tests.scenes import (
    ALICE,
    BOB,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    at,
    both_directions,
    both_families,
    gateway_for_alice,
    refusal,
)
from tests.short_way import needs_the_long_way, no_long_way, remembered
from tests.translations import (
    GONE,
    TICK,
)

PASSED: Final = Forward("alice", "db")
OWN: Final = Forward("alice", None)
QUIET: Final = GatewayOptions(reject=False)
RECORDED: Final = GatewayOptions(flow_records=True)
PORT_REFUSED: Final = {
    "tcp": Drop(Reason.TCP_PORT, "alice"),
    "udp": Drop(Reason.UDP_PORT, "alice"),
}

tcp_and_udp = pytest.mark.parametrize("kind", ["tcp", "udp"])
both_verdicts = pytest.mark.parametrize("port", [443, 444], ids=["permitted", "refused"])


def packet(  # noqa: PLR0913 - as many fields as it has
    family: Family,
    direction: Direction,
    kind: str,
    number: int = 5401,
    *,
    port: int = 443,
    near: str | None = None,
    far: str | None = None,
    payload: bytes = b"",
) -> bytes:
    """Build a packet between a port of the client's and one of the resource's."""
    ends = (at(near or family.client, number), at(far or family.host, port))
    flow = " > ".join(ends if direction is OUTBOUND else ends[::-1])
    return tcp(flow, payload) if kind == "tcp" else udp(flow, payload)


# --- The short way -------------------------------------------------------------------------


@frozen
class Plain:
    """What the client may reach, what it tries, and what it gets."""

    resources: tuple[Resource, ...]
    permitted_by: str | None
    """Which resource permits it, if any does."""
    far: str
    port: int = 443
    reason: Reason | None = None
    """Why nothing permits it, if not because of the port."""

    def expected(self, kind: str) -> Decision:
        if self.permitted_by is not None:
            return Forward("alice", self.permitted_by)
        return PORT_REFUSED[kind] if self.reason is None else Drop(self.reason, "alice")


def wide(family: Family, resource_id: str, *ports: int | str) -> CidrResource:
    """Permit ports everywhere."""
    network = "0.0.0.0/0" if family is V4 else "::/0"
    return CidrResource(
        resource_id, network, [kind(port) for kind in (Tcp, Udp) for port in ports]
    )


def narrow(family: Family, resource_id: str, *ports: int | str) -> CidrResource:
    """Permit ports of the network of "db"."""
    return evolve(wide(family, resource_id, *ports), network=family.network)


def plain_cases(family: Family) -> dict[str, Plain]:
    host, stranger, public = family.host, family.stranger, family.public
    one = (narrow(family, "db", 443),)
    internet = InternetResource("net")
    several = (narrow(family, "a", 443), narrow(family, "b", 444), narrow(family, "c", 443, 445))
    nested = (narrow(family, "db", 443), wide(family, "all", 444, "500-600"))
    beside = (internet, wide(family, "all", 444))
    return {
        "port": Plain(one, "db", host),
        "every-port": Plain((family.db(),), "db", host, 65_535),
        "refused-port": Plain(one, None, host, 444),
        "refused-protocol": Plain((family.db(Icmp()),), None, host),
        "refused-host": Plain(one, None, stranger, reason=Reason.NO_RESOURCE),
        "nothing": Plain((), None, host, reason=Reason.NO_RESOURCE),
        "internet": Plain((internet,), "net", public),
        "not-internet": Plain((internet,), None, stranger, reason=Reason.NOT_INTERNET),
        "excluded": Plain(
            (evolve(internet, exclude=[public]),), None, public, reason=Reason.NOT_INTERNET
        ),
        "internet-beside-network": Plain((internet, *one), None, host, 444),
        "narrower": Plain(nested, "db", host),
        "wider": Plain(nested, "all", host, 500),
        "neither": Plain(nested, None, host, 442),
        "only-wider": Plain(nested, "all", public, 600),
        "not-even-wider": Plain(nested, None, public),
        "greatest": Plain(several, "c", host),
        "middle": Plain(several, "b", host, 444),
        "last": Plain(several, "c", host, 445),
        "none-of-several": Plain(several, None, host, 446),
        "network-before-internet": Plain(beside, "net", public),
        "greater-of-both": Plain(beside, "net", public, 444),
        "network-not-internet": Plain(beside, "all", stranger, 444),
    }


@pytest.mark.parametrize("case", plain_cases(V4))
@tcp_and_udp
@both_directions
@both_families
def test_a_plain_packet_goes_the_short_way(
    family: Family,
    direction: Direction,
    kind: str,
    case: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = plain_cases(family)[case]
    expected = plain.expected(kind)
    gateway = gateway_for_alice(*plain.resources, options=QUIET)
    no_long_way(monkeypatch)
    found = []
    for number, client_id in ((0, None), (1, "alice")):
        one, other = (
            packet(family, direction, kind, port, port=plain.port, far=plain.far)
            for port in (number, 65_535 - number)
        )
        found.append(gateway.handle_packet(direction, one, client_id=client_id))
        found += gateway.handle_packets(direction, [other], client_id=client_id)
    assert found == [expected] * 4
    # One object for all of them.
    assert len(set(map(id, found))) == 1
    count = 4 if expected.allowed else 0
    assert remembered(gateway) == ((count, 0) if direction is OUTBOUND else (0, count))
    assert sum(gateway.counters().refusals.values()) == 4 - count


@both_directions
@both_families
def test_addresses_port_and_protocol_of_each_flow_are_looked_at(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=QUIET)
    gateway.authorize("bob", CidrResource("bobs", family.network, [Tcp(444)]))
    for number in (5401, 443, 444):
        for near, far, kind, port, expected in (
            (family.client, family.host, "tcp", 443, PASSED),
            (family.client, family.host, "tcp", 442, PORT_REFUSED["tcp"]),
            (family.client, family.host, "tcp", 444, PORT_REFUSED["tcp"]),
            (family.client, family.host, "tcp", 5401, PORT_REFUSED["tcp"]),
            (family.client, family.host, "udp", 443, PORT_REFUSED["udp"]),
            (family.client, family.stranger, "tcp", 443, GONE),
            (family.client, family.spare, "tcp", 443, Drop(Reason.PEER_ADDRESS, "alice")),
            (family.neighbour, family.host, "tcp", 443, Drop(Reason.TCP_PORT, "bob")),
            (family.neighbour, family.host, "tcp", 444, Forward("bob", "bobs")),
        ):
            one = packet(family, direction, kind, number, port=port, near=near, far=far)
            assert gateway.handle_packet(direction, one) == expected


# --- What is refused -----------------------------------------------------------------------


def refused_packets(family: Family, number: int) -> list[bytes]:
    """Build what is refused for as many reasons as there are, from a port of the client's."""
    private = "192.168.0.1" if family is V4 else family.stranger
    return [
        packet(family, OUTBOUND, "tcp", number, port=444),
        packet(family, OUTBOUND, "udp", number),
        packet(family, OUTBOUND, "tcp", number, far=private),
        packet(family, OUTBOUND, "udp", number, far=family.spare),
    ]


REFUSALS: Final = [
    Drop(reason, "alice")
    for reason in (Reason.TCP_PORT, Reason.UDP_PORT, Reason.NOT_INTERNET, Reason.PEER_ADDRESS)
]


def code_of(decision: Decision) -> int:
    """Return why a reply says that its packet was refused."""
    assert isinstance(decision, Reject)
    return decision.reply[21 if decision.reply[0] >> 4 == 4 else 41]


@pytest.mark.parametrize(
    ("family", "codes"), [(V4, [13, 13, 0, 13]), (V6, [1, 1, 3, 1])], ids=["ipv4", "ipv6"]
)
def test_a_refused_packet_of_a_client_gets_the_reply_of_its_reason(
    family: Family, codes: list[int]
) -> None:
    resources = (family.db(Tcp(443)), InternetResource("net"))
    gateway, quiet = (
        gateway_for_alice(*resources, options=options) for options in (GatewayOptions(), QUIET)
    )
    for number, client_id in ((1, None), (2, "alice"), (2, None)):
        packets = refused_packets(family, number)
        decisions = gateway.handle_packets(OUTBOUND, packets, client_id=client_id)
        assert list(map(code_of, decisions)) == codes
        assert quiet.handle_packets(OUTBOUND, packets, client_id=client_id) == REFUSALS
    assert remembered(gateway) == remembered(quiet) == (0, 0)


@both_families
def test_a_reply_quotes_the_packet_that_it_answers_and_goes_back_to_its_client(
    family: Family,
) -> None:
    gateway = gateway_for_alice()
    start, size = (12, 4) if family is V4 else (8, 16)
    for number, payload in ((1, b"first"), (1, b"second"), (2, b"third")):
        refused = packet(family, OUTBOUND, "udp", number, payload=payload)
        decision = gateway.handle_packet(OUTBOUND, refused)
        assert isinstance(decision, Reject)
        assert decision.reply.endswith(refused)
        source, destination = refused[start : start + size], refused[start + size :][:size]
        assert decision.reply[start:].startswith(destination + source)


@both_families
def test_tokens_are_taken_and_come_back(family: Family) -> None:
    options = GatewayOptions(reject_rate=1.0, reject_burst=2)
    gateway = gateway_for_alice(options=options)
    kinds = [
        type(gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, "tcp", number), now))
        for number, now in ((1, 0.0), (2, 0.0), (3, 0.0), (3, 0.5), (5, 1.0), (6, 1.0), (7, 9.0))
    ]
    assert kinds == [Reject, Reject, Drop, Drop, Reject, Drop, Reject]


@both_families
def test_nothing_that_comes_in_takes_a_token(family: Family) -> None:
    gateway = gateway_for_alice(options=GatewayOptions(reject_burst=1))
    assert gateway.handle_packet(INBOUND, packet(family, INBOUND, "tcp")) == GONE
    assert isinstance(gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, "tcp")), Reject)
    assert gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, "tcp")) == GONE


@both_directions
@both_families
def test_every_packet_that_is_refused_is_counted(family: Family, direction: Direction) -> None:
    for options in (QUIET, GatewayOptions(), GatewayOptions(reject_burst=2), RECORDED):
        gateway = gateway_for_alice(family.db(Tcp(443)), options=options)
        for number in (1, 2, 2, 3):
            gateway.handle_packet(direction, packet(family, direction, "tcp", number, port=444))
        gateway.handle_packets(
            direction, [packet(family, direction, "udp", number) for number in (1, 2)]
        )
        refusals = gateway.counters().refusals
        assert refusals[direction, Reason.TCP_PORT] == 4
        assert refusals[direction, Reason.UDP_PORT] == 2
        assert sum(refusals.values()) == 6
        assert remembered(gateway) == (0, 0)


# --- Whose it is ---------------------------------------------------------------------------


NOBODY: Final = Drop(Reason.UNKNOWN_CLIENT, None)
OTHERS: Final = {
    OUTBOUND: {"bob": Drop(Reason.SOURCE_NOT_ALLOWED, "bob"), "nobody": NOBODY, "": NOBODY},
    INBOUND: {"bob": NOBODY, "nobody": NOBODY, "": NOBODY},
}


@both_verdicts
@both_directions
@both_families
def test_what_one_client_may_do_does_not_count_for_the_id_of_another(
    family: Family, direction: Direction, port: int
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=QUIET)
    one = packet(family, direction, "tcp", port=port)
    for _ in range(2):
        for client_id, expected in OTHERS[direction].items():
            assert gateway.handle_packet(direction, one, client_id=client_id) == expected
            assert gateway.handle_packets(direction, [one], client_id=client_id) == [expected]
        # The second time round, what is asked for is remembered.
        mine = gateway.handle_packet(direction, one, client_id="alice")
        assert mine == (PASSED if port == 443 else PORT_REFUSED["tcp"])
    assert sum(remembered(gateway)) == (port == 443)


@both_directions
@both_families
def test_addresses_that_are_nobodys_stay_so(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(wide(family, "all"), options=QUIET)
    for near, expected in (
        (family.spare, (NOBODY, NOBODY)),
        (family.stranger, (NOBODY, Drop(Reason.NOT_A_PEER, None))),
    ):
        one = packet(family, direction, "tcp", near=near)
        decided = expected[direction is INBOUND]
        assert gateway.handle_packets(direction, [one, one]) == [decided] * 2
    assert remembered(gateway) == (0, 0)
    assert sum(gateway.counters().refusals.values()) == 4


class Incomparable(str):
    """A text that cannot be compared with anything, nor looked up: asking raises."""

    __slots__ = ()
    __eq__ = None  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


@both_verdicts
@both_directions
@both_families
def test_an_id_that_is_equal_but_another_object_is_the_same_client(
    family: Family, direction: Direction, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=QUIET)
    first = gateway.handle_packet(direction, packet(family, direction, "tcp", port=port))
    no_long_way(monkeypatch)
    for number, client_id in (
        (5402, "ALICE".lower()),
        (5402, Incomparable("alice")),
        (5403, Incomparable("alice")),
    ):
        other = packet(family, direction, "tcp", number, port=port)
        assert gateway.handle_packet(direction, other, client_id=client_id) is first
        assert gateway.handle_packets(direction, [other], client_id=client_id)[0] is first


@both_directions
@both_families
def test_clients_that_swap_addresses_do_not_get_what_the_other_may_do(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=QUIET)
    gateway.authorize("bob", family.db(Tcp(444)))
    for near in (family.client, family.neighbour):
        for port in (443, 444):
            gateway.handle_packet(
                direction, packet(family, direction, "tcp", port=port, near=near)
            )
    assert sum(remembered(gateway)) == 2
    gateway.client_disconnected("alice")
    gateway.client_connected("bob", ALICE)
    gateway.client_connected("alice", BOB)
    assert remembered(gateway) == (0, 0)
    gateway.authorize("alice", family.db(Tcp(443)))
    gateway.authorize("bob", family.db(Tcp(444)))
    for near, port, expected in (
        (family.client, 443, Drop(Reason.TCP_PORT, "bob")),
        (family.client, 444, Forward("bob", "db")),
        (family.neighbour, 443, PASSED),
        (family.neighbour, 444, PORT_REFUSED["tcp"]),
    ):
        for number in (5401, 5402, 5403):
            swapped = packet(family, direction, "tcp", number, port=port, near=near)
            assert gateway.handle_packet(direction, swapped) == expected


@both_directions
@both_families
def test_a_new_flow_brings_the_time_at_which_what_permits_it_expires(
    family: Family, direction: Direction
) -> None:
    for batch in (False, True):
        gateway = gateway_for_alice(family.db(), options=QUIET)
        gateway.update_expiry("alice", "db", 10.0)
        for number, now, expected in (
            (1, 0.0, PASSED),
            (2, 10.0 - TICK, PASSED),
            (3, 10.0, GONE),
            (1, 10.0, GONE),
        ):
            other = packet(family, direction, "tcp", number)
            decided = (
                gateway.handle_packets(direction, [other], now)
                if batch
                else [gateway.handle_packet(direction, other, now)]
            )
            assert decided == [expected]


# --- Addresses that are special ------------------------------------------------------------


PEER: Final = Drop(Reason.PEER_ADDRESS, "alice")
MULTICAST: Final = Drop(Reason.MULTICAST, None)

UNSPECIFIED: Final = {V4: ("0.0.0.0", "127.0.0.1"), V6: ("::", "::1", "::ffff:10.0.0.5")}  # noqa: S104


def special(family: Family) -> list[tuple[str, Decision, Decision]]:
    """Return far addresses with what Alice gets who sends there, or is sent from there."""
    return [
        (family.gateway, OWN, OWN),
        *((peer, PEER, PEER) for peer in (family.spare, family.neighbour, family.client)),
        (family.proxy, GONE, PEER),
        (family.multicast, MULTICAST, GONE),
        ("255.255.255.255" if family is V4 else "ff0e::1", MULTICAST, GONE),
        *((one, GONE, GONE) for one in UNSPECIFIED[family]),
    ]


@tcp_and_udp
@both_directions
@both_families
def test_special_addresses_inside_a_wide_network_go_the_long_way(
    family: Family, direction: Direction, kind: str
) -> None:
    gateway = gateway_for_alice(wide(family, "all"), options=QUIET)
    for far, sent, came in special(family):
        expected = sent if direction is OUTBOUND else came
        for number in (1, 2, 2):
            one = packet(family, direction, kind, number, far=far)
            assert gateway.handle_packet(direction, one) == expected
        other = packet(family, direction, kind, 3, far=far)
        # Multicast ends before anything is judged.
        assert needs_the_long_way(gateway, direction, other) is (expected is not MULTICAST)
    assert sum(remembered(gateway)) == 2
    # Three times each, the gateway itself is not refused; and multicast once more.
    refused = 3 * (len(special(family)) - 1) + 2 * (direction is OUTBOUND)
    assert sum(gateway.counters().refusals.values()) == refused


@both_directions
@both_families
def test_the_gateways_own_filters_and_addresses_are_followed(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(options=evolve(QUIET, own_filters=[Tcp(443)]))
    for addresses, mine, other in (
        (TunnelAddresses(V4.gateway, V6.gateway), family.gateway, family.spare),
        (TunnelAddresses(V4.spare, V6.spare), family.spare, family.gateway),
    ):
        gateway.set_addresses(addresses)
        for far, port, expected in (
            (mine, 443, OWN),
            (mine, 444, PORT_REFUSED["tcp"]),
            (other, 443, PEER),
        ):
            for number in (1, 2, 1):
                one = packet(family, direction, "tcp", number, port=port, far=far)
                assert gateway.handle_packet(direction, one) == expected
        assert sum(remembered(gateway)) == 2


# --- Where flows are recorded --------------------------------------------------------------


@tcp_and_udp
@both_directions
@both_families
def test_where_flows_are_recorded_each_has_a_record(
    family: Family, direction: Direction, kind: str
) -> None:
    gateway = gateway_for_alice(family.db(), options=RECORDED)
    for number in (1, 2, 3):
        for way in (OUTBOUND, direction):
            one = packet(family, way, kind, number, payload=b"data")
            assert gateway.handle_packet(way, one) == PASSED
    counters = gateway.counters()
    assert counters.recorded_flows == 3
    assert (counters.tx_packets, counters.rx_packets) == (
        (6, 0) if direction is OUTBOUND else (3, 3)
    )


@both_directions
@both_families
def test_where_flows_are_recorded_only_the_gateway_itself_is_remembered(
    family: Family, direction: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=RECORDED)
    for number in (1, 2):
        own = packet(family, direction, "tcp", number, far=family.gateway)
        assert gateway.handle_packet(direction, own) == OWN
    assert sum(remembered(gateway)) == 2
    assert gateway.counters().recorded_flows == 0
    no_long_way(monkeypatch)
    assert gateway.handle_packet(direction, own) == OWN
    # What is refused goes the short way.
    refused = packet(family, direction, "tcp", port=444)
    assert refusal(gateway.handle_packet(direction, refused)) == Reason.TCP_PORT
    gateway.handle_timeout(1e6)
    assert len(only(FlowRefused, fetched(gateway))) == 1
    assert sum(remembered(gateway)) == 2


# --- What is no plain packet of a flow -----------------------------------------------------


def shaped(direction: Direction, port: int) -> list[bytes]:
    """Build packets with options, with headers, in fragments."""
    return [
        udp(V4.flow(direction, port), options=b"\x01"),
        tcp(V4.flow(direction, port), options=b"\x01" * 20),
        udp(V6.flow(direction, port), extensions=[destination_options()]),
        fragment(tcp(V6.flow(direction, port)), 0, more=False),
        fragment(udp(V4.flow(direction, port), bytes(40)), 0, 16, identification=port),
        fragment(udp(V6.flow(direction, port), bytes(40)), 0, 16, identification=port),
        icmp(V4.flow(direction), 8),
        icmp(V6.flow(direction), 128),
    ]


@both_directions
def test_what_is_no_plain_packet_of_a_flow_goes_the_long_way(direction: Direction) -> None:
    gateway = gateway_for_alice(V4.db(Tcp(443), Udp(443)), options=QUIET)
    gateway.authorize("alice", CidrResource("db6", V6.network, [Tcp(443), Udp(443)]))
    for port, allowed in ((443, 6), (444, 0)):
        packets = shaped(direction, port)
        assert all(needs_the_long_way(gateway, direction, one) for one in packets)
        decisions = gateway.handle_packets(direction, packets)
        assert sum(decision.allowed for decision in decisions) == allowed
        assert remembered(gateway) == (0, 0)


@both_verdicts
@both_directions
@both_families
def test_a_later_fragment_of_what_looks_like_a_known_flow_is_a_fragment(
    family: Family, direction: Direction, port: int
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=QUIET)
    first = packet(family, direction, "tcp", port=port)
    gateway.handle_packet(direction, first)
    # What stands where the ports would be.
    later = ip_fragment(family.flow(direction), 6, first[20 if family is V4 else 40 :], start=8)
    assert gateway.handle_packet(direction, later) == Drop(Reason.FRAGMENT, "alice")
