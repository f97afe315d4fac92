"""The flow cache: exact-match tables of established flows, in front of the judge.

Theory of operation. The flow key is the 5-tuple's addresses and ports as they stand in the
packet; tables are by direction and protocol. One look-up serves all clients, since the
client's own address is part of the key. The cache is invisible but for its speed
(docs/rules.md, section 4, "What may be remembered"):

- Only allowed whole packets without IPv4 options or IPv6 extension headers are stored: TCP
  and UDP, and ICMP echo where it is translated or counted. A refused packet stores nothing,
  so a scan cannot evict a permitted flow.
- A decision depends on the packet's headers, which are in the key or checked again for every
  packet, and on the client's permissions. Every call that changes these invalidates the
  client's entries before it returns (`Client.invalidate`); docs/architecture.md lists the
  calls. A new session invalidates the inbound flows that it may take over.
- A flow whose packets each have an effect (translated, counted) has a handler instead of a
  stored decision, in separate tables.
- A client's entries in one table form a FIFO queue. At its limit a client evicts its own
  oldest entry, never another client's.

`Gateway._judge_and_commit` and its helpers are the only callers of `store`.
"""

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.structures.generation import Generation
from firezone_filter.tracking.handlers import FlowHandler
from firezone_filter.values.decisions import Forward

MAX_FLOWS: Final = 2_048
"""Entries of one client in one table. Each direction and protocol has its table, so TCP and
UDP together have 4,096 decisions a direction; a browser has a few hundred flows. At about 250
bytes an entry, 2 MiB a client; a handler takes about 900 bytes."""

# A table number is a kind plus a protocol, so that one method stores into all tables. The
# highest is 250: CPython preallocates integers up to 256, and creating one costs 20 ns.
OUTBOUND: Final = 0
"""Decisions for flows from clients; add the protocol number."""
INBOUND: Final = 64
"""Decisions for flows to clients; add the protocol number."""
HANDLERS: Final = 128
"""Add it to one of the above for the handlers of such flows."""

_REMEMBERED: Final = (TCP, UDP, ICMPV4, ICMPV6)


class FlowCache:
    """The established flows of all clients. Only `ClientFlowCache` may change it."""

    __slots__ = ("inbound", "inbound_handlers", "outbound", "outbound_handlers", "tables")

    def __init__(self) -> None:
        self.tables: dict[int, dict[bytes, Any]] = {
            kind + handlers + protocol: {}
            for kind in (OUTBOUND, INBOUND)
            for handlers in (0, HANDLERS)
            for protocol in _REMEMBERED
        }
        """All entries, by table number, then by flow key."""
        self.outbound: list[Mapping[bytes, Forward]] = self._by_protocol(OUTBOUND)
        """Decisions for flows from clients, by protocol number, then by flow key."""
        self.inbound: list[Mapping[bytes, Forward]] = self._by_protocol(INBOUND)
        """Decisions for flows to clients, in the same form."""
        self.outbound_handlers: list[Mapping[bytes, FlowHandler]] = self._by_protocol(
            OUTBOUND + HANDLERS
        )
        """Handlers of flows from clients, in the same form."""
        self.inbound_handlers: list[Mapping[bytes, FlowHandler]] = self._by_protocol(
            INBOUND + HANDLERS
        )
        """Handlers of flows to clients, in the same form."""

    def _by_protocol(self, first: int) -> list[Mapping[bytes, Any]]:
        # A list, not a dict of four: an index takes 5 ns, a `get` 30 ns, for every packet.
        # Protocols that are never remembered share one mapping, immutable so that no bug can
        # store into it.
        nothing: Mapping[bytes, Any] = MappingProxyType({})
        # (The sum alone would lead other protocols to the tables of another kind.)
        return [
            self.tables[first + protocol] if protocol in _REMEMBERED else nothing
            for protocol in range(256)
        ]

    def __len__(self) -> int:
        return sum(map(len, self.tables.values()))


class ClientFlowCache:
    """One client's entries in the flow cache."""

    __slots__ = ("_entries", "_tables", "inbound_generation")

    def __init__(self, cache: FlowCache) -> None:
        self._tables = cache.tables
        # By table number: the shared table, and the client's keys in it, oldest first. Made
        # when needed, since most clients of a large gateway are idle.
        self._entries: dict[int, tuple[dict[bytes, Any], deque[bytes]]] = {}
        self.inbound_generation = Generation()
        """Handlers of inbound flows that bypass the NAT belong to one generation; a new NAT
        session, which may take them over, begins the next."""

    def store(self, table: int, key: bytes, value: Forward | FlowHandler) -> None:
        """Store a flow's decision or handler; at the limit, evict this client's oldest entry.

        Args:
            table: `OUTBOUND` or `INBOUND`, plus `HANDLERS` for a handler, plus the protocol.
            key: the flow key.
            value: the decision, or the handler of the flow's next packets.
        """
        entries = self._entries.get(table)
        if entries is None:
            entries = self._entries[table] = (self._tables[table], deque())
        flows, fifo = entries
        if key not in flows:
            fifo.append(key)
            if len(fifo) > MAX_FLOWS:
                del flows[fifo.popleft()]
        flows[key] = value

    def invalidate(self) -> None:
        """Remove all entries, since the client's permissions have changed."""
        for flows, fifo in self._entries.values():
            if fifo:
                _remove(flows, fifo)

    def invalidate_inbound(self) -> None:
        """Remove inbound flows that bypass the NAT, since a new session may take them over.

        Handlers among them are of an old generation from now on, and ask for a new judgement.
        """
        self.inbound_generation.number += 1
        for table in (INBOUND + TCP, INBOUND + UDP):
            if table in self._entries:
                _remove(*self._entries[table])


def _remove(flows: dict[bytes, Any], fifo: deque[bytes]) -> None:
    for key in fifo:
        del flows[key]
    fifo.clear()
