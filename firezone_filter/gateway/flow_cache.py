"""Remembered decisions: exact-match caches in front of everything else.

Invisible but for their speed: only decisions about whole packets of TCP, UDP and translated or
counted ICMP echo, without options or extension headers, are remembered, under all of the packet
that they depended on; whatever else they depended on empties the memory of the client when it
changes.

A flow is both addresses and both ports, as they stand in its packets. What is known of it is
the decision, or what has been prepared where each packet has an effect. What is refused is
never remembered, so it pushes out nothing that is permitted; and no client can push out
another's.
"""

from collections import deque
from typing import Final, Generic, Protocol, TypeVar

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
from firezone_filter.values.decisions import Forward, Translate

MAX_FLOWS: Final = 2_048
"""Flows remembered of one client, for each direction and protocol: 4,096 a direction, the
oldest out first. A browser has a few hundred. At about 250 bytes a flow, 2 MiB a client. What is
prepared for a flow has as many places, at about 900 bytes."""


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


class Ring(Generic[T]):
    """What one client has in one table, in the order in which it came."""

    __slots__ = ("_flows", "_keys")

    def __init__(self, flows: Flows[T]) -> None:
        self._flows = flows
        self._keys: deque[bytes] = deque()

    def remember(self, flow: bytes, value: T) -> None:
        """Remember something about a flow, and forget the oldest if there are too many."""
        if flow not in self._flows:
            self._keys.append(flow)
            if len(self._keys) > MAX_FLOWS:
                del self._flows[self._keys.popleft()]
        self._flows[flow] = value

    def forget(self) -> None:
        """Forget all of it."""
        for flow in self._keys:
            del self._flows[flow]
        self._keys.clear()


class Rings(dict[int, Ring[T]]):
    """What one client has in the tables of one kind, by protocol number.

    Made when they are needed: most clients of a large gateway are idle, and empty rings would
    be a good part of what such a client costs.
    """

    __slots__ = ("_tables",)

    def __init__(self, tables: list[Flows[T]]) -> None:
        super().__init__()
        self._tables = tables

    def __missing__(self, protocol: int) -> Ring[T]:
        ring = self[protocol] = Ring(self._tables[protocol])
        return ring

    def forget(self) -> None:
        """Forget all of it."""
        for ring in self.values():
            ring.forget()


class Age:
    """How often something has changed that prepared flows depend on."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


class FlowMemory:
    """What is remembered of one client."""

    __slots__ = ("_prepared_inbound", "_prepared_outbound", "inbound", "inbound_age", "outbound")

    def __init__(self, tables: FlowTables) -> None:
        self.outbound = Rings(tables.outbound)
        """Decisions about flows, by protocol; flows as they stand in their packets."""
        self.inbound = Rings(tables.inbound)
        """The same for what comes back."""
        self._prepared_outbound = Rings(tables.prepared_outbound)
        self._prepared_inbound = Rings(tables.prepared_inbound)
        self.inbound_age = Age()
        """What comes in around the NAT and was prepared at another age has to be judged anew."""

    def remember_prepared(
        self, headers: Headers, packet: bytes, prepared: PreparedFlow, *, outbound: bool
    ) -> None:
        """Remember what has been prepared for the flow of a packet, if it has one."""
        flow = flow_of(headers, packet)
        if flow is not None:
            rings = self._prepared_outbound if outbound else self._prepared_inbound
            rings[headers.protocol].remember(flow, prepared)

    def forget(self) -> None:
        """Forget all: what the client may do has changed."""
        self.outbound.forget()
        self.inbound.forget()
        self._prepared_outbound.forget()
        self._prepared_inbound.forget()

    def forget_inbound(self) -> None:
        """Forget what comes in around the NAT: a new session may take it over."""
        self.inbound_age.number += 1
        self.inbound.forget()
