"""Whatever a remote party sends, memory stays within the named maxima."""

import gc
import random
from collections import Counter, deque
from ipaddress import ip_address
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import pytest
from attrs import evolve

from firezone_filter import (
    CidrResource,
    Decision,
    Direction,
    DnsResource,
    Forward,
    Gateway,
    GatewayOptions,
    InvalidPolicy,
    Reason,
    Translate,
)
from firezone_filter.gateway.flow_cache import MAX_FLOWS
from firezone_filter.gateway.fragments import MAX_KEPT
from firezone_filter.nat.ends import MAX_REMEMBERED
from firezone_filter.nat.proxies import MAX_PROXIES
from firezone_filter.nat.sessions import PORT_SEARCH
from firezone_filter.testing import RST, fragment, tcp, udp
from tests.scenes import ALICE, BOB, GATEWAY, INBOUND, OUTBOUND, V4, both_directions, refusal

QUIET = GatewayOptions(reject=False)
FIRST_PROXY = ip_address(V4.proxy)
RESOLVED = "10.0.0.5"
CODE = type, ModuleType, FunctionType, BuiltinFunctionType, MethodType


def gateway(options: GatewayOptions = QUIET) -> Gateway:
    """Let Alice and Bob reach a network, and a name by as many proxies as there may be."""
    made = Gateway(GATEWAY, options=options)
    for client_id, addresses in (("alice", ALICE), ("bob", BOB)):
        made.client_connected(client_id, addresses, 0.0)
        made.authorize(client_id, CidrResource("net", "10.1.0.0/16"))
        made.authorize(client_id, DnsResource("dns", "example.com"))
    return made


def resolve(made: Gateway, client_id: str, count: int) -> None:
    made.domain_resolved(
        client_id,
        "dns",
        "example.com",
        proxy_addresses=[FIRST_PROXY + n for n in range(count)],
        resolved_addresses=[RESOLVED],
    )


def sizes(made: Gateway) -> list[int]:
    """Return the sizes of all containers that a gateway holds, the largest first."""
    seen = {id(made)}
    waiting: deque[object] = deque([made])
    found = []
    while waiting:
        one = waiting.popleft()
        if isinstance(one, dict | list | tuple | set | frozenset | deque):
            found.append(len(one))
        for other in gc.get_referents(one):
            if id(other) not in seen and not isinstance(other, CODE):
                seen.add(id(other))
                waiting.append(other)
    return sorted(found, reverse=True)


def outcomes(decisions: list[Decision]) -> Counter[type[Decision] | Reason]:
    return Counter(refusal(one) or type(one) for one in decisions)


@both_directions
def test_flows_remembered_of_one_client_have_a_maximum(direction: Direction) -> None:
    made = gateway()
    near, far = V4.client, "10.1.0.1"
    peak = []

    for port in range(1, 3 * MAX_FLOWS + 1):
        ends = (f"{near}:{port}", f"{far}:53")
        packet = udp(" > ".join(ends if direction is OUTBOUND else ends[::-1]))
        assert made.handle_packet(direction, packet) == Forward("alice", "net")
        if port % MAX_FLOWS == 0:
            peak.append(sum(sizes(made)))

    assert sizes(made)[0] == MAX_FLOWS
    assert len(set(peak)) == 1


@both_directions
def test_fragments_remembered_of_one_client_have_a_maximum(direction: Direction) -> None:
    made = gateway()
    ends = (f"{V4.client}:1", "10.1.0.1:53")
    packet = udp(" > ".join(ends if direction is OUTBOUND else ends[::-1]), bytes(8))

    for identification in range(3 * MAX_KEPT):
        made.handle_packet(direction, fragment(packet, 0, 8, identification=identification))

    # The newest are those that are left.
    for identification, follows in (
        (3 * MAX_KEPT - 1, True),
        (2 * MAX_KEPT, True),
        (2 * MAX_KEPT - 1, False),
    ):
        later = fragment(packet, 8, identification=identification)
        assert made.handle_packet(direction, later).allowed is follows
    assert sizes(made)[0] == MAX_KEPT


def test_nothing_refused_is_remembered() -> None:
    made = gateway()
    resolve(made, "alice", 4)
    draw = random.Random(1)

    def flood(count: int) -> None:
        for _ in range(count):
            port, other = draw.randrange(65_536), draw.randrange(65_536)
            far = f"10.2.{draw.randrange(256)}.{draw.randrange(256)}:{other}"
            whole = udp(f"{V4.client}:{port} > {far}", bytes(16))
            back = udp(f"{far} > {V4.client}:{port}", bytes(16))
            for packet in (whole, fragment(whole, 0, 8, identification=port)):
                assert refusal(made.handle_packet(OUTBOUND, packet)) is Reason.NO_RESOURCE
            assert refusal(made.handle_packet(INBOUND, back)) is Reason.NO_RESOURCE
            assert refusal(made.handle_packet(INBOUND, draw.randbytes(60))) is Reason.MALFORMED

    # What is made once for each reason is made by the first of all.
    flood(1)
    before = sizes(made)
    flood(2_000)

    assert sizes(made) == before
    assert made.counters().cached_flows == 0


def test_sessions_of_one_client_and_of_all_have_maxima() -> None:
    made = gateway(evolve(QUIET, max_sessions_per_client=50, max_sessions=80))
    for client_id in ("alice", "bob"):
        resolve(made, client_id, 4)

    def send(near: str) -> Counter[type[Decision] | Reason]:
        decided: list[Decision] = []
        for port in range(1, 101):
            flow, back = f"{near}:{port} > {V4.proxy}:53", f"{RESOLVED}:53 > {near}:{port}"
            decided.append(made.handle_packet(OUTBOUND, udp(flow)))
            made.handle_packet(INBOUND, udp(back))  # answered sessions give way to none
        return outcomes(decided)

    assert send(V4.client) == {Translate: 50, Reason.NAT_EXHAUSTED: 50}
    assert send(V4.neighbour) == {Translate: 30, Reason.NAT_EXHAUSTED: 70}
    # Those that there are go on.
    assert send(V4.client) == {Translate: 50, Reason.NAT_EXHAUSTED: 50}


def test_ends_of_sessions_remembered_of_one_client_have_a_maximum() -> None:
    made = gateway()
    resolve(made, "alice", 1)
    count = MAX_REMEMBERED + 100

    for port in range(1, count + 1):
        reset = tcp(f"{V4.client}:{port} > {V4.proxy}:443", flags=RST)
        assert made.handle_packet(OUTBOUND, reset, 1.0).allowed

    late = [tcp(f"{RESOLVED}:443 > {V4.client}:{port}") for port in range(1, count + 1)]
    assert outcomes(made.handle_packets(INBOUND, late)) == {
        Reason.NO_RESOURCE: 100,
        Reason.EXPIRED_NAT_SESSION: MAX_REMEMBERED,
    }
    assert sizes(made)[0] == MAX_REMEMBERED


def test_the_youngest_end_is_remembered_whatever_was_over_before_and_not_looked_at() -> None:
    made = gateway()
    resolve(made, "alice", 1)
    held, late = f"{V4.client}:65000 > {V4.proxy}:443", f"{RESOLVED}:443 > {V4.client}:65000"
    made.handle_packet(OUTBOUND, tcp(held), 1.0)
    made.handle_packet(INBOUND, tcp(late), 1.0)
    made.handle_packets(
        OUTBOUND,
        [udp(f"{V4.client}:{port} > {V4.proxy}:53") for port in range(1, MAX_REMEMBERED + 1)],
    )

    # The others are over at 61 s, and this one with the client's RST.
    made.handle_packet(OUTBOUND, tcp(held), 100.0)
    assert made.handle_packet(OUTBOUND, tcp(held, flags=RST), 100.0).allowed
    for _ in range(2):
        decision = made.handle_packet(INBOUND, tcp(late), 100.0)
        assert not decision.allowed
        assert decision.reason is Reason.EXPIRED_NAT_SESSION
        made.handle_timeout(100.0)


def test_proxies_of_one_client_have_a_maximum() -> None:
    made = gateway()

    with pytest.raises(InvalidPolicy):
        resolve(made, "alice", MAX_PROXIES + 1)
    assert sizes(made)[0] < MAX_PROXIES
    resolve(made, "alice", MAX_PROXIES)

    assert sizes(made)[0] == MAX_PROXIES


def test_the_search_for_a_port_has_an_end() -> None:
    made = gateway()
    resolve(made, "alice", MAX_PROXIES)

    flows = [udp(f"{V4.client}:1000 > {FIRST_PROXY + n}:53") for n in range(PORT_SEARCH + 11)]

    assert outcomes(made.handle_packets(OUTBOUND, flows)) == {
        Translate: PORT_SEARCH + 1,
        Reason.NAT_EXHAUSTED: 10,
    }


def test_events_that_nobody_fetches_are_at_most_one_of_a_kind() -> None:
    made = gateway()

    for moment in range(1_000):
        made.authorize("bob", CidrResource("net", "10.1.0.0/16"), expires_at=float(moment))
        made.handle_timeout(float(moment))
    made.revoke("bob", "dns")

    assert len(list(iter(made.poll_event, None))) == 2


def test_clients_that_come_and_go_leave_nothing() -> None:
    made = gateway()
    packet = udp(f"{V4.neighbour}:1 > 10.1.0.1:53", bytes(8))

    def visit() -> None:
        made.client_connected("bob", BOB)
        made.authorize("bob", CidrResource("net", "10.1.0.0/16"), expires_at=1e6)
        made.authorize("bob", DnsResource("dns", "example.com"))
        resolve(made, "bob", 4)
        assert made.handle_packet(OUTBOUND, packet).allowed
        assert made.handle_packet(OUTBOUND, fragment(packet, 0, 8)).allowed
        assert made.handle_packet(OUTBOUND, udp(f"{V4.neighbour}:1 > {V4.proxy}:53")).allowed
        made.client_disconnected("bob")

    visit()
    before = sizes(made)
    for _ in range(1_000):
        visit()

    assert sizes(made) == before
