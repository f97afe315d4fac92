"""Remembered decisions: an exact-match cache in front of everything else.

Invisible but for its speed: only `Forward` for a whole TCP or UDP packet without options or
extension headers is remembered, under all of the packet that the decision depended on;
whatever else it depended on empties the memory of the client when it changes. Refused
packets push nothing out, and no client can push out another's.
"""

from typing import Final

from firezone_filter.decisions import Forward
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.numbers import TCP, UDP

MAX_FLOWS: Final = 2_048
"""Flows remembered of one client, for each direction and protocol: 4,096 a direction, the
oldest out first. A browser has a few hundred. At about 250 bytes a flow, 2 MiB a client."""

Flows = dict[bytes, Forward]
"""Decisions by both addresses and both ports, as they stand in the packet."""


class FlowTables:
    """The remembered flows of all clients: one look-up finds a flow, whosoever it is.

    Source and destination are in the key, so the client is too: the one that has the near
    address. Decisions say who that is.
    """

    __slots__ = ("inbound_tcp", "inbound_udp", "outbound_tcp", "outbound_udp")

    def __init__(self) -> None:
        self.outbound_tcp: Flows = {}
        self.outbound_udp: Flows = {}
        self.inbound_tcp: Flows = {}
        self.inbound_udp: Flows = {}

    def table(self, protocol: int, *, outbound: bool) -> Flows:
        """Return the flows of TCP or UDP in one direction."""
        if outbound:
            return self.outbound_tcp if protocol == TCP else self.outbound_udp
        return self.inbound_tcp if protocol == TCP else self.inbound_udp


class _Ring:
    """The keys of one client in one table, in the order in which they came."""

    __slots__ = ("_flows", "_keys", "_oldest")

    def __init__(self, flows: Flows) -> None:
        self._flows = flows
        self._keys: list[bytes] = []
        self._oldest = 0

    def remember(self, key: bytes, decision: Forward) -> None:
        if key in self._flows:
            return
        if len(self._keys) < MAX_FLOWS:
            self._keys.append(key)
        else:
            del self._flows[self._keys[self._oldest]]
            self._keys[self._oldest] = key
            self._oldest = (self._oldest + 1) % MAX_FLOWS
        self._flows[key] = decision

    def forget(self) -> None:
        for key in self._keys:
            del self._flows[key]
        self._keys.clear()
        self._oldest = 0


class FlowMemory:
    """What is remembered of one client."""

    __slots__ = ("_rings", "_tables")

    def __init__(self, tables: FlowTables) -> None:
        self._tables = tables
        # Made when they are needed: most clients of a large gateway are idle, and four
        # empty rings would be a quarter of what such a client costs.
        self._rings: dict[tuple[bool, int], _Ring] = {}

    def remember(
        self, headers: Headers, packet: bytes, decision: Forward, *, outbound: bool
    ) -> None:
        """Remember the decision about a plain, whole packet, if it is one of TCP or UDP."""
        protocol = headers.protocol
        if protocol not in (TCP, UDP):
            return
        ring = self._rings.get((outbound, protocol))
        if ring is None:
            ring = _Ring(self._tables.table(protocol, outbound=outbound))
            self._rings[outbound, protocol] = ring
        ports = packet[headers.transport : headers.transport + 4]
        ring.remember(headers.source + headers.destination + ports, decision)

    def forget(self) -> None:
        """Forget all: what the client may do has changed."""
        for ring in self._rings.values():
            ring.forget()

    def forget_inbound(self) -> None:
        """Forget what comes in: a new session of the NAT may take it over."""
        for (outbound, _), ring in self._rings.items():
            if not outbound:
                ring.forget()
