"""What is prepared once for a flow does the same as what is done anew with every packet."""

from ipaddress import ip_address
from struct import pack
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import Forward, Reason, Translate
from firezone_filter.gateway.flow_cache import FlowMemory, FlowTables, PreparedFlow
from firezone_filter.nat.nat import Nat
from firezone_filter.nat.proxies import Resolution
from firezone_filter.nat.sessions import ForwardKey, Lifetimes, Session, SessionTable
from firezone_filter.packet.headers import NO_PORT, Headers, read_headers
from firezone_filter.packet.rewrite import rewrite
from firezone_filter.structures.timers import Deadlines
from tests.builders import ACK, FIN, RST, SYN, patched
from tests.property.pools import DOMAINS, JUST_BEFORE, PROXIES, RESOLVED, TUNNEL
from tests.property.strategies import all_ports, kinds, payloads, versions, whole
from tests.property.wire import turned
from tests.scenes import at

LIMITS = (100, 100)
PERMITTED = Forward("alice", "dns-0")


class Seen(NamedTuple):
    """A packet of a session."""

    outbound: bool
    near: int
    """The client's port, or the id of its echo."""
    port: int
    """The resource's."""
    flags: int
    """Of TCP."""
    wait: float
    """Seconds since the one before."""


seen = st.builds(
    Seen,
    outbound=st.booleans(),
    near=st.sampled_from((5401, 5401, 5402)),
    port=st.sampled_from((443, 443, 443, 444)),
    flags=st.sampled_from((ACK, ACK, ACK, FIN | ACK, FIN | ACK, RST, SYN, SYN | ACK)),
    wait=st.sampled_from((0.0, 1.0, 5.0 - JUST_BEFORE, 5.0, 60.0 - JUST_BEFORE, 60.0, 7_440.0)),
)


class Prepared:
    """A NAT that prepares a flow with its first packet, and asks that about all others."""

    def __init__(self, version: int) -> None:
        self.lifetimes = Lifetimes(Deadlines())
        self.nat = Nat(self.lifetimes, LIMITS, FlowMemory(FlowTables()))
        proxy, real = (ip_address(pool[version][0]).packed for pool in (PROXIES, RESOLVED))
        self.nat.resolve("dns-0", Resolution(DOMAINS[0], (proxy,), (real,)))
        self.flows: dict[tuple[bool, int, int], PreparedFlow] = {}

    def hand_in(self, one: Seen, packet: bytes, now: float) -> Translate | None:
        ends = (one.outbound, one.near, one.port)
        known = self.flows.get(ends)
        decision = None if known is None else known.decide(packet, now)
        if decision is None:
            flow = self.flow(one, packet, now)
            if flow is None:
                return None
            self.flows[ends] = flow
            decision = flow.decide(packet, now)
        assert isinstance(decision, Translate)
        return decision

    def flow(self, one: Seen, packet: bytes, now: float) -> PreparedFlow | None:
        headers = read(packet)
        if one.outbound:
            flow = self.nat.outbound(headers, packet, PERMITTED, now)
            assert not isinstance(flow, Reason)
            return flow
        session = self.nat.session_inbound(headers, packet, now)
        if session is None:
            return None
        return self.nat.inbound(session, headers, packet, PERMITTED)


class Reference:
    """A table of sessions that is told of every packet, one by one."""

    def __init__(self, version: int) -> None:
        self.lifetimes = Lifetimes(Deadlines())
        self.table = SessionTable(self.lifetimes, LIMITS)
        self.proxy, self.real = (
            ip_address(pool[version][0]).packed for pool in (PROXIES, RESOLVED)
        )

    def hand_in(self, one: Seen, packet: bytes, now: float) -> bytes | None:
        headers = read(packet)
        tcp_flags = packet[headers.transport + 13] if headers.protocol == 6 else 0
        port = NO_PORT if headers.icmp_type != NO_PORT else one.port
        if one.outbound:
            session = self.outbound((headers.protocol, one.near, self.proxy), now)
            changed = rewrite(packet, headers.transport, session.outward)
            self.table.see_outbound(session, port, tcp_flags, now)
            return changed
        held = self.table.find_inbound((headers.protocol, one.near, self.real), now)
        if held is None:
            return None
        changed = rewrite(packet, headers.transport, held.inward)
        self.table.see_inbound(held, port, tcp_flags, now)
        return changed

    def outbound(self, key: ForwardKey, now: float) -> Session:
        session = self.table.find_outbound(key, now) or self.table.open(key, self.real, now)
        assert session is not None
        return session


def read(packet: bytes) -> Headers:
    headers = read_headers(packet)
    assert headers is not None
    return headers


def state_of(table: SessionTable) -> list[object]:
    """Return all that is known of sessions, those included that are over."""
    alive = [
        (
            key,
            one.state,
            one.since,
            one.is_steady,
            one.resource_port,
            one._several,
            one.next_state(),
        )
        for key, one in table._forward.items()
    ]
    waiting = [[one.forward_key for one in queue] for queue in table.lifetimes._queues]
    return [alive, table._remembered, waiting]


@given(kind=kinds, version=versions, packets=st.lists(seen, min_size=1, max_size=16))
def test_prepared_flows_keep_their_session_as_a_table_does_that_sees_every_packet(
    kind: str, version: int, packets: list[Seen]
) -> None:
    prepared, reference = Prepared(version), Reference(version)
    now = 0.0

    for one in packets:
        now += one.wait
        near = at(TUNNEL[version][0], one.near)
        far = (PROXIES if one.outbound else RESOLVED)[version][0]
        packet = whole(kind, f"{near} > {at(far, one.port)}", b"odd", flag=one.flags)
        if not one.outbound:
            packet = turned(packet)
        ours, theirs = (
            prepared.hand_in(one, packet, now),
            reference.hand_in(one, packet, now),
        )
        assert (None if ours is None else ours.packet) == theirs
        assert state_of(prepared.nat._sessions) == state_of(reference.table)


checksums = st.one_of(st.sampled_from((0, 1, 0xFFFE, 0xFFFF)), st.integers(0, 0xFFFF))


@given(
    kind=kinds,
    version=versions,
    port=all_ports,
    far_port=all_ports,
    data=payloads,
    transport_checksum=checksums,
    header_checksum=checksums,
)
def test_a_prepared_flow_is_rewritten_like_any_packet_of_its_session(  # noqa: PLR0913 - as many fields
    *,
    kind: str,
    version: int,
    port: int,
    far_port: int,
    data: bytes,
    transport_checksum: int,
    header_checksum: int,
) -> None:
    near = at(TUNNEL[version][0], port)
    nat = Prepared(version).nat
    packet = whole(kind, f"{near} > {at(PROXIES[version][0], far_port)}", data)
    place = (20 if version == 4 else 40) + {"tcp": 16, "udp": 6, "echo": 2}[kind]
    packet = patched(packet, place, pack("!H", transport_checksum))
    if version == 4:
        packet = patched(packet, 10, pack("!H", header_checksum))

    flow = nat.outbound(read(packet), packet, PERMITTED, 0.0)
    assert not isinstance(flow, Reason)
    decision = flow.decide(packet, 0.0)

    (session,) = nat._sessions._forward.values()
    assert isinstance(decision, Translate)
    assert decision.packet == rewrite(packet, read(packet).transport, session.outward)
    back = turned(decision.packet)
    inbound = nat.inbound(session, read(back), back, PERMITTED).decide(back, 0.0)
    assert isinstance(inbound, Translate)
    assert inbound.packet == rewrite(back, read(back).transport, session.inward)
