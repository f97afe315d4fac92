"""The flow cache: exact-match tables of established flows, in front of the judge.

Theory of operation. A flow is found by its key, the addresses and ports as they stand in its
packets, so one look-up serves all clients: the client's own address is part of the key. The
cache is invisible but for its speed:

- Only allowed whole packets without IPv4 options or IPv6 extension headers get in: TCP and
  UDP, and ICMP echo where it is translated or counted. A refused packet stores nothing, so a
  scan evicts no flow that is permitted.
- An entry depends on the packet (all of it in the key, or checked with every packet), and on
  what the client may do. Whatever changes the latter invalidates the client's entries in the
  same call (`Client.invalidate`); docs/architecture.md lists these calls.
- A flow whose packets each have an effect (translated, counted) has a handler instead of a
  decision, in tables of its own.
- A client's entries form one FIFO queue a table; its own oldest entry is evicted when it has
  too many, and no client can evict another's.

`commit` is the only caller of `store`.
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
"""Entries of one client in one table, that is for each direction and protocol: 4,096 decisions
a direction. A browser has a few hundred flows. At about 250 bytes an entry, 2 MiB a client; a
handler takes about 900 bytes."""

# Tables are numbered, kind plus protocol, so that one method stores into all of them. The
# greatest number is 250: CPython keeps the small ones ready, and another costs 20 ns.
OUTBOUND: Final = 0
"""Decisions about flows from clients; the protocol number is added."""
INBOUND: Final = 64
"""Decisions about flows to clients."""
HANDLERS: Final = 128
"""Added to one of the above: the handlers of such flows."""

_REMEMBERED: Final = (TCP, UDP, ICMPV4, ICMPV6)


class FlowCache:
    """The established flows of all clients. Only `ClientFlowCache` changes it."""

    __slots__ = ("inbound", "inbound_handlers", "outbound", "outbound_handlers", "tables")

    def __init__(self) -> None:
        self.tables: dict[int, dict[bytes, Any]] = {
            kind + handlers + protocol: {}
            for kind in (OUTBOUND, INBOUND)
            for handlers in (0, HANDLERS)
            for protocol in _REMEMBERED
        }
        """Everything, by table number, then by flow key."""
        self.outbound: list[Mapping[bytes, Forward]] = self._by_protocol(OUTBOUND)
        """Decisions by protocol number, then by flow key."""
        self.inbound: list[Mapping[bytes, Forward]] = self._by_protocol(INBOUND)
        """The same for flows to clients."""
        self.outbound_handlers: list[Mapping[bytes, FlowHandler]] = self._by_protocol(
            OUTBOUND + HANDLERS
        )
        """Handlers of flows whose packets each have an effect: translated, or counted."""
        self.inbound_handlers: list[Mapping[bytes, FlowHandler]] = self._by_protocol(
            INBOUND + HANDLERS
        )
        """The same for flows to clients."""

    def _by_protocol(self, first: int) -> list[Mapping[bytes, Any]]:
        # A list, not a dict of four: an index takes 5 ns, a `get` 30 ns, with every packet.
        # Protocols that are never remembered share one mapping that nothing can get into.
        nothing: Mapping[bytes, Any] = MappingProxyType({})
        return [self.tables.get(first + protocol, nothing) for protocol in range(256)]

    def __len__(self) -> int:
        return sum(map(len, self.tables.values()))


class ClientFlowCache:
    """One client's entries in the flow cache."""

    __slots__ = ("_entries", "_tables", "inbound_generation")

    def __init__(self, cache: FlowCache) -> None:
        self._tables = cache.tables
        # Each table with the client's keys in it, oldest first. Made when needed, since most
        # clients of a large gateway are idle.
        self._entries: dict[int, tuple[dict[bytes, Any], deque[bytes]]] = {}
        self.inbound_generation = Generation()
        """Handlers of inbound flows that bypass the NAT belong to one generation; a new NAT
        session, which may take them over, begins the next."""

    def store(self, table: int, key: bytes, value: Forward | FlowHandler) -> None:
        """Store the decision about a flow, or its handler, and evict the oldest if need be.

        Args:
            table: `OUTBOUND` or `INBOUND`, plus `HANDLERS` for a handler, plus the protocol.
            key: the flow key.
            value: what its next packets get.
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
        """Remove everything: what the client may do has changed."""
        for flows, fifo in self._entries.values():
            if fifo:
                _remove(flows, fifo)

    def invalidate_inbound(self) -> None:
        """Remove inbound flows that bypass the NAT: a new session may take them over."""
        self.inbound_generation.number += 1
        for table in (INBOUND + TCP, INBOUND + UDP):
            if table in self._entries:
                _remove(*self._entries[table])


def _remove(flows: dict[bytes, Any], fifo: deque[bytes]) -> None:
    for key in fifo:
        del flows[key]
    fifo.clear()
