"""Remembered decisions: an exact-match cache in front of everything else.

Invisible but for its speed: only `Forward` for a whole TCP or UDP packet without options or
extension headers is remembered, under all of the packet that the decision depended on;
whatever else it depended on empties the memory of the client when it changes. Refused
packets push nothing out, and no client can push out another's.
"""

from typing import Final

from firezone_filter.decisions import Forward
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.numbers import IPV6_LENGTH, TCP, UDP

MAX_FLOWS: Final = 2_048
"""Flows remembered of one client, for each direction and protocol: 4,096 a direction, the
oldest out first. A browser has a few hundred. At about 250 bytes a flow, 2 MiB a client."""

# Where the transport header begins if nothing stands before it but the IP header. IPv4
# options may fill up to 40 bytes as well.
_PLAIN_IPV4: Final = 20
_PLAIN_IPV6: Final = 40

Flows = dict[bytes, Forward]
"""Decisions by both addresses and both ports, as they stand in the packet."""


class FlowTables:
    """The remembered flows of all clients: one look-up finds a flow, whosoever it is.

    Source and destination are in the key, so the client is too: the one that has the near
    address. Decisions say who that is.
    """

    __slots__ = ("inbound", "outbound")

    def __init__(self) -> None:
        self.outbound = _by_protocol()
        """By protocol number; all but those of TCP and UDP are empty, and stay so."""

        self.inbound = _by_protocol()
        """The same for what comes back."""


def _by_protocol() -> list[Flows]:
    # A list, and not a dict of two, because it is asked with every packet: an index takes
    # 5 ns, a `get` 30 ns.
    tables: list[Flows] = [{}] * 256
    tables[TCP], tables[UDP] = {}, {}
    return tables


class _Ring:
    """The keys of one client in one table, in the order in which they came."""

    __slots__ = ("_flows", "_keys", "_oldest")

    def __init__(self, flows: Flows) -> None:
        self._flows = flows
        self._keys: list[bytes] = []
        self._oldest = 0

    def remember(self, headers: Headers, packet: bytes, decision: Forward) -> None:
        if headers.transport == _PLAIN_IPV4:
            key = packet[12:24]
        elif headers.transport == _PLAIN_IPV6 and len(headers.source) == IPV6_LENGTH:
            key = packet[8:44]
        else:
            # Behind options or extension headers the ports are not where they are looked for.
            return
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
        self._rings: dict[int, _Ring] = {}

    def remember_outbound(self, headers: Headers, packet: bytes, decision: Forward) -> None:
        """Remember the decision about a whole packet, if it is one that is remembered."""
        ring = self._rings.get(headers.protocol) or self._new_ring(headers.protocol)
        if ring is not None:
            ring.remember(headers, packet, decision)

    def remember_inbound(self, headers: Headers, packet: bytes, decision: Forward) -> None:
        """Remember the decision about a whole packet, if it is one that is remembered."""
        ring = self._rings.get(-headers.protocol) or self._new_ring(-headers.protocol)
        if ring is not None:
            ring.remember(headers, packet, decision)

    def _new_ring(self, number: int) -> _Ring | None:
        """Make the ring of a protocol, negative for what comes in; `None` for most."""
        protocol = abs(number)
        if protocol not in (TCP, UDP):
            return None
        tables = self._tables.outbound if number > 0 else self._tables.inbound
        ring = self._rings[number] = _Ring(tables[protocol])
        return ring

    def forget(self) -> None:
        """Forget all: what the client may do has changed."""
        for ring in self._rings.values():
            ring.forget()

    def forget_inbound(self) -> None:
        """Forget what comes in: a new session of the NAT may take it over."""
        for number, ring in self._rings.items():
            if number < 0:
                ring.forget()
