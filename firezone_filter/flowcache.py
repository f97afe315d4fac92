"""Remembered decisions: exact-match caches in front of everything else.

Invisible but for their speed: only decisions about whole packets of TCP, UDP and translated or
counted ICMP echo, without options or extension headers, are remembered, under all of the packet
that they depended on; whatever else they depended on empties the memory of the client when it
changes.

There are two. One knows flows, by both addresses and both ports: what is permitted, and
what has been prepared for it. The other knows services, by both addresses and the resource's
port: what is permitted or refused to every flow of a client with it, so that a new flow to
where others went is found as well. What is refused pushes out nothing that is permitted, and
no client can push out another's.
"""

from collections import deque
from typing import Final, Generic, Protocol, TypeVar

from firezone_filter.decisions import Drop, Forward, Translate
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.icmp import is_echo
from firezone_filter.packet.numbers import (
    ICMPV4,
    ICMPV6,
    IPV4,
    IPV4_HEADER,
    IPV4_LENGTH,
    IPV6_HEADER,
    TCP,
    UDP,
)

MAX_FLOWS: Final = 2_048
"""Flows remembered of one client, for each direction and protocol: 4,096 a direction, the
oldest out first. A browser has a few hundred. At about 250 bytes a flow, 2 MiB a client."""


MAX_SERVICES: Final = 512
"""Services remembered of one client, for each direction and protocol, permitted ones and
refused ones apart; the oldest out first. At about 250 bytes a service, 1 MiB a client."""


def flow_of(headers: Headers, packet: bytes) -> bytes | None:
    """Return what is the same in all packets of a flow, as it stands in them.

    That is both addresses and both ports, or for ICMP echo type and id. `None` for
    what is not remembered: any other protocol, and what has something before its ports.
    """
    # By the family too: IPv4 options may fill the header up to the length of IPv6's.
    is_ipv4 = len(headers.source) == IPV4_LENGTH
    if headers.fragment is not None or headers.transport != (
        IPV4_HEADER if is_ipv4 else IPV6_HEADER
    ):
        return None
    if headers.protocol in (TCP, UDP):
        return packet[12:24] if is_ipv4 else packet[8:44]
    return echo_flow(packet) if is_echo(headers.protocol, headers.icmp_type) else None


def echo_flow(packet: bytes) -> bytes:
    """Return the flow of a packet of ICMP echo without options or extension headers."""
    # Between type and id there are code and checksum. A byte shorter than what holds ports,
    # so that it never equals the beginning of another packet.
    if packet[0] >> 4 == IPV4:
        return packet[12:21] + packet[24:26]
    return packet[8:41] + packet[44:46]


class PreparedFlow(Protocol):
    """What has been prepared for the packets of one flow in one direction."""

    client_id: str

    def decide(self, packet: bytes, now: float) -> Forward | Translate | None:
        """Decide about a packet; `None` if it has to be judged like the first of a flow."""


T = TypeVar("T")

Flows = dict[bytes, T]
"""Something by both addresses and both ports, as they stand in the packet."""


class FlowTables:
    """The remembered flows of all clients: one look-up finds a flow, whosoever it is.

    Source and destination are in the key, so the client is too: the one that has the near
    address. Decisions say who that is.
    """

    __slots__ = (
        "inbound",
        "outbound",
        "prepared_inbound",
        "prepared_outbound",
        "services_inbound",
        "services_outbound",
    )

    def __init__(self) -> None:
        self.outbound: list[Flows[Forward]] = _by_protocol()
        """By protocol number; all but those of TCP and UDP are empty, and stay so. (Of
        prepared flows there are those of ICMP and ICMPv6 too.)"""

        self.inbound: list[Flows[Forward]] = _by_protocol()
        """The same for what comes back."""

        self.prepared_outbound: list[Flows[PreparedFlow]] = _by_protocol()
        """Flows of which each packet has an effect: it is translated, or counted."""

        self.prepared_inbound: list[Flows[PreparedFlow]] = _by_protocol()
        """The same for what comes back."""

        self.services_outbound: list[Flows[Forward | Drop]] = _by_protocol()
        """What is permitted or refused, by both addresses and the resource's port."""

        self.services_inbound: list[Flows[Forward | Drop]] = _by_protocol()
        """The same for what comes back."""

    def __len__(self) -> int:
        return sum(
            len(plain[protocol]) + len(prepared[protocol])
            for plain, prepared in (
                (self.outbound, self.prepared_outbound),
                (self.inbound, self.prepared_inbound),
            )
            for protocol in _REMEMBERED
        )


_REMEMBERED: Final = (TCP, UDP, ICMPV4, ICMPV6)


def _by_protocol() -> list[Flows[T]]:
    # A list, and not a dict of two, because it is asked with every packet: an index takes
    # 5 ns, a `get` 30 ns.
    tables: list[Flows[T]] = [{}] * 256
    for protocol in _REMEMBERED:
        tables[protocol] = {}
    return tables


class _Ring(Generic[T]):
    """What one client has in one table, in the order in which it came."""

    __slots__ = ("_flows", "_keys", "_maximum")

    def __init__(self, flows: Flows[T], maximum: int = MAX_FLOWS) -> None:
        self._flows = flows
        self._maximum = maximum
        self._keys: deque[bytes] = deque()

    def remember(self, key: bytes, value: T) -> None:
        if key not in self._flows:
            self._keys.append(key)
            if len(self._keys) > self._maximum:
                del self._flows[self._keys.popleft()]
        self._flows[key] = value

    def forget(self) -> None:
        for key in self._keys:
            del self._flows[key]
        self._keys.clear()


class Age:
    """How often something has changed that prepared flows depend on."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


class FlowMemory:
    """What is remembered of one client."""

    __slots__ = (
        "_inbound",
        "_outbound",
        "_prepared",
        "_refused",
        "_services",
        "_tables",
        "inbound_age",
    )

    def __init__(self, tables: FlowTables) -> None:
        self._tables = tables
        # Made when they are needed: most clients of a large gateway are idle, and empty
        # rings would be a good part of what such a client costs. By protocol number,
        # negative for what comes in.
        self._outbound: dict[int, _Ring[Forward]] = {}
        self._inbound: dict[int, _Ring[Forward]] = {}
        self._prepared: dict[int, _Ring[PreparedFlow]] = {}
        self._services: dict[int, _Ring[Forward | Drop]] = {}
        self._refused: dict[int, _Ring[Forward | Drop]] = {}
        self.inbound_age = Age()
        """What comes in around the NAT and was prepared at another age has to be judged anew."""

    def remember_outbound(self, protocol: int, flow: bytes, decision: Forward) -> None:
        """Remember the decision about a flow; *flow* as it stands in its packets."""
        ring = self._outbound.get(protocol)
        if ring is None:
            ring = self._outbound[protocol] = _Ring(self._tables.outbound[protocol])
        ring.remember(flow, decision)

    def remember_inbound(self, protocol: int, flow: bytes, decision: Forward) -> None:
        """Remember the decision about a flow; *flow* as it stands in its packets."""
        ring = self._inbound.get(protocol)
        if ring is None:
            ring = self._inbound[protocol] = _Ring(self._tables.inbound[protocol])
        ring.remember(flow, decision)

    def remember_service_outbound(
        self, protocol: int, flow: bytes, decision: Forward | Drop
    ) -> None:
        """Remember the decision about a flow for all of the client with the same service."""
        rings = self._services if type(decision) is Forward else self._refused
        ring = rings.get(protocol)
        if ring is None:
            ring = _Ring(self._tables.services_outbound[protocol], MAX_SERVICES)
            rings[protocol] = ring
        ring.remember(flow[:-4] + flow[-2:], decision)

    def remember_service_inbound(
        self, protocol: int, flow: bytes, decision: Forward | Drop
    ) -> None:
        """Remember the decision about a flow for all of the client with the same service."""
        rings = self._services if type(decision) is Forward else self._refused
        ring = rings.get(-protocol)
        if ring is None:
            ring = _Ring(self._tables.services_inbound[protocol], MAX_SERVICES)
            rings[-protocol] = ring
        ring.remember(flow[:-2], decision)

    def remember_prepared(
        self, headers: Headers, packet: bytes, flow: PreparedFlow, *, outbound: bool
    ) -> None:
        """Remember what has been prepared for the flow of a packet, if it has one."""
        key = flow_of(headers, packet)
        if key is None:
            return
        protocol = headers.protocol
        if outbound:
            number, tables = protocol, self._tables.prepared_outbound
        else:
            number, tables = -protocol, self._tables.prepared_inbound
        ring = self._prepared.get(number)
        if ring is None:
            ring = self._prepared[number] = _Ring(tables[protocol])
        ring.remember(key, flow)

    def forget(self) -> None:
        """Forget all: what the client may do has changed."""
        for rings in (self._outbound, self._inbound):
            for ring in rings.values():
                ring.forget()
        for prepared in self._prepared.values():
            prepared.forget()
        for services in (self._services, self._refused):
            for service in services.values():
                service.forget()

    def forget_inbound(self) -> None:
        """Forget what comes in around the NAT: a new session may take it over."""
        self.inbound_age.number += 1
        for ring in self._inbound.values():
            ring.forget()
