"""The flow cache: exact-match tables of established flows, in front of the judge.

Theory of operation. The flow key is the 5-tuple's addresses and ports as they stand in the
packet; tables are by direction and protocol. One look-up serves all clients, since the
client's own address is part of the key. The cache is invisible but for its speed
(rules.md, section 4, "What may be remembered"):

- Only allowed whole packets without IPv4 options or IPv6 extension headers are stored: TCP
  and UDP, and ICMP echo where it is translated. A refused packet stores nothing, so a scan
  cannot evict a permitted flow.
- A decision depends on the packet's headers, which are in the key or checked again for every
  packet, and on the client's permissions. Every call that changes these invalidates the
  client's entries before it returns (`Client.invalidate`); architecture.md lists the
  calls. A new session, or a new translated flow of `stateful`, invalidates the inbound flows
  that it takes over.
- A flow whose packets each have an effect (translated, tracked, counted) has a handler instead
  of a stored decision, in separate tables. What is prepared for a session, or for a flow of
  `stateful`, goes with it.
- A client's entries in one table form a FIFO queue. At its limit a client evicts its own oldest
  entry; at the limit of all, the client that has most does. So nobody can push out another's
  fair share.
- Where a client has very many entries, an expiry only marks them, and they are removed step by
  step. Meanwhile, and while expired authorizations wait, the cache is closed: the tables that
  `FlowLookup` looks into are empty, and `Gateway` asks for each packet whether its client is
  concerned.

Each table is in shards, by a byte of the client's port. One dict of all clients would stall when
it grows: with a million entries, for 40 ms.

Only packets that have just been permitted are stored, by `FirstPackets._first`,
`Gateway._translate` and `Gateway._commit_allowed`. Storing a flow (`FlowStore`) and taking one out
(`FlowQueue`) have twins in C; limits, ranking and invalidation are Python alone.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from firezone_filter.compiled.twins import compiled, supply
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.structures.generation import Generation
from firezone_filter.structures.heaps import NO_PLACE
from firezone_filter.structures.ranking import Ranking
from firezone_filter.tracking.handlers import FlowHandler
from firezone_filter.values.decisions import Forward

MAX_FLOWS: Final = 2_048
"""Remembered flows of one client in one direction, for TCP and UDP each: together 4,096. A
browser has a few hundred. At 100 to 150 bytes each, 1 MiB a client."""

AT_ONCE: Final = 64
"""Entries that an expiry removes at once; where there are more it marks them."""

ALL: Final = 2**62
"""As many as there are."""

ENTRIES_A_STEP: Final = 8
"""Marked entries removed in one step of upkeep, in about 5 µs."""

# A table number is a kind plus a protocol, so that one method stores into all tables. The
# highest is 250: CPython preallocates integers up to 256, and creating one costs 20 ns.
OUTBOUND: Final = 0
"""Decisions for flows from clients; add the protocol number."""
INBOUND: Final = 64
"""Decisions for flows to clients; add the protocol number."""
HANDLERS: Final = 128
"""Add it to one of the above for the handlers of such flows."""
_PROTOCOL: Final = 63

REMEMBERED: Final = (TCP, UDP, ICMPV4, ICMPV6)
"""The protocols of flows that may be remembered."""

_SHARDS: Final = 256

supply(MAX_FLOWS=MAX_FLOWS)

Shards = Sequence[Mapping[bytes, Any]]
"""A table, by the byte of a key at `shard_at`, then by key."""

_NO_SHARDS: Final[Shards] = (MappingProxyType({}),) * _SHARDS

# Where in a flow key the byte is that tells its shard: the lower one of the client's port or
# echo id. It is as good as random, and not the same for all packets of a busy resource.
OUTBOUND_SHARD: Final = -3
INBOUND_SHARD: Final = -1


def shard_at(table: int) -> int:
    """Return where in the keys of a table the byte is that tells the shard."""
    has_ports = table & _PROTOCOL in (TCP, UDP)
    return OUTBOUND_SHARD if has_ports and not table & INBOUND else INBOUND_SHARD


class HasFlows(Protocol):
    """A session, or a flow of `stateful`, with the keys of the handlers prepared for it."""

    outbound_key: bytes | None
    inbound_key: bytes | None


@compiled
class FlowCount:
    """How many flows are remembered of all clients together."""

    __slots__ = ("count", "limit")

    count: int
    """How many flows are remembered, those of sessions aside."""
    limit: int
    """How many may be, those of sessions aside."""


class FlowCache(FlowCount):
    """The established flows of all clients. Only `ClientFlowCache` may change it."""

    __slots__ = (
        "_doors",
        "_stale",
        "inbound",
        "inbound_handlers",
        "is_open",
        "outbound",
        "outbound_handlers",
        "ranking",
        "tables",
    )

    def __init__(self, limit: int) -> None:
        """Remember at most *limit* flows of all clients together, those of sessions aside."""
        # (Options have no bound, and the twin's field does.)
        self.limit: int = min(limit, ALL)
        self.count = 0
        self.ranking: Ranking[ClientFlowCache] = Ranking()
        """The clients by how many flows of theirs are remembered."""
        self._stale: deque[ClientFlowCache] = deque()
        self.tables: dict[int, list[dict[bytes, Any]]] = {}
        """All entries, by table number, then by shard, then by flow key."""
        # Lists, not dicts of four: an index takes 5 ns, a `get` 30 ns, for every packet.
        self.outbound: list[Shards] = [_NO_SHARDS] * 256
        """Decisions for flows from clients, by protocol number; empty while the cache is
        closed."""
        self.inbound: list[Shards] = [_NO_SHARDS] * 256
        """Decisions for flows to clients, in the same form."""
        self.outbound_handlers: list[Shards] = [()] * 256
        """Handlers of flows from clients, in the same form, or `()`."""
        self.inbound_handlers: list[Shards] = [()] * 256
        """Handlers of flows to clients, in the same form, or `()`."""
        # For each table the list that leads to it, its place there, and what is there when closed.
        self._doors: list[tuple[list[Shards], int, Shards, Shards]] = []
        self.is_open: bool = True

    def __len__(self) -> int:
        return sum(len(flows) for shards in self.tables.values() for flows in shards)

    def shards(self, table: int) -> list[dict[bytes, Any]]:
        """Return a table, made when it is needed."""
        shards = self.tables.get(table)
        if shards is None:
            shards = self.tables[table] = [{} for _ in range(_SHARDS)]
            protocol, nothing = table & _PROTOCOL, () if table & HANDLERS else _NO_SHARDS
            if table & HANDLERS:
                front = self.inbound_handlers if table & INBOUND else self.outbound_handlers
            else:
                front = self.inbound if table & INBOUND else self.outbound
            self._doors.append((front, protocol, shards, nothing))
            if self.is_open:
                front[protocol] = shards
        return shards

    def find(self, table: int, key: bytes) -> Any:  # noqa: ANN401 - a decision or a handler
        """Return an entry, also while the cache is closed; `None` if there is none."""
        shards = self.tables.get(table)
        return None if shards is None else shards[key[shard_at(table)]].get(key)

    def open(self) -> None:
        """Let the four lists lead to the tables, unless marked entries wait to be removed."""
        if self._stale:
            return
        self.is_open = True
        for front, protocol, shards, _ in self._doors:
            front[protocol] = shards

    def close(self) -> None:
        """Let the four lists lead nowhere, since some entries may be out of date."""
        self.is_open = False
        for front, protocol, _, nothing in self._doors:
            front[protocol] = nothing

    def clear(self) -> None:
        """Forget everything, of all clients."""
        for shards in self.tables.values():
            for flows in shards:
                flows.clear()

    def mark(self, client: "ClientFlowCache") -> None:
        """Close the cache until the client's entries have been removed by `forget`."""
        self._stale.append(client)
        self.close()

    def forget(self, most: int) -> int:
        """Remove marked entries in up to *most* steps; return how many steps it took."""
        steps = 0
        while self._stale and steps < most:
            steps += 1
            if self._stale[0].remove_marked(ENTRIES_A_STEP):
                self._stale.popleft()
        return steps


_Table = list[dict[bytes, Any]]


@compiled
class FlowQueue:
    """The keys of a client's entries of one direction and protocol."""

    __slots__ = ("at", "keys", "tables")

    at: int
    """Where a key tells the shard."""
    keys: deque[bytes]
    """The keys, oldest first."""
    tables: list[_Table]
    """The tables that they are in: that of decisions, that of handlers, or both."""

    def remove_first(self) -> None:
        """Remove the oldest entry."""
        self.remove(self.keys.popleft())

    def remove(self, key: bytes) -> None:
        """Remove an entry from its table."""
        for shards in self.tables:
            flows = shards[key[self.at]]
            if flows.pop(key, None) is not None and not flows:
                flows.clear()  # an empty dict keeps its memory


class _Queue(FlowQueue):
    """A client's entries of one direction and protocol."""

    __slots__ = ("ends", "ends_before")

    def __init__(self, table: int, tables: list[_Table]) -> None:
        self.tables = tables
        self.keys = deque()
        self.at = shard_at(table)
        # Far address and near port of the latest entries, and of those before them: each set
        # has as many as there are entries at most.
        self.ends: set[bytes] = set()
        self.ends_before: set[bytes] = set()

    def note_end(self, key: bytes) -> None:
        """Take note of the ends of an inbound flow, for `take_over`."""
        self.ends.add(_end(key))
        if len(self.ends) >= MAX_FLOWS:
            self.ends, self.ends_before = set(), self.ends

    def take_over(self, end: bytes) -> None:
        """Remove the flows with such a far address and near port."""
        if end not in self.ends and end not in self.ends_before:
            return
        # Seldom: the client has had direct packets from the very address and to the very port.
        self.ends.discard(end)
        self.ends_before.discard(end)
        for key in self.keys:
            if _end(key) == end:
                # The queue keeps its place for it.
                self.remove(key)


_Place = tuple[_Table, _Queue]
"""A table, and the queue of a client's entries in it."""

_Prepared = tuple[dict[bytes, None], _Table, int]
"""Keys of what is prepared for sessions; its table, and where a key tells the shard."""


@compiled
class FlowStore:
    """What storing a flow of one client looks at; a subclass does the rest."""

    __slots__ = ("_cache", "_marked", "_places", "_room")

    _cache: FlowCache
    # By the number of a table. Made when needed, since most clients of a large gateway are idle.
    _places: dict[int, _Place]
    _marked: deque[_Queue] | None
    # A queue that gets longer needs attention: an eviction, or a higher rank.
    _room: int

    def store(self, table: int, key: bytes, value: Forward | FlowHandler) -> None:
        """Store a flow's decision or handler; at a limit, an oldest entry is evicted.

        Args:
            table: `OUTBOUND` or `INBOUND`, plus `HANDLERS` for a handler, plus the protocol.
            key: the flow key.
            value: the decision, or the handler of the flow's next packets.
        """
        try:
            shards, queue = self._places[table]
        except KeyError:
            # Nothing is remembered until the entries that are out of date have been removed.
            if self._marked is not None:
                return
            shards, queue = self._place(table)
        flows = shards[key[queue.at]]
        if key not in flows:
            cache = self._cache
            if cache.count >= cache.limit and not self._is_room_made():
                return
            cache.count += 1
            keys = queue.keys
            keys.append(key)
            # One comparison for the limit and the rank: this is for the first packet of every
            # flow, and each takes 40 ns.
            if len(keys) > self._room:
                if len(keys) > MAX_FLOWS:
                    queue.remove_first()
                    cache.count -= 1
                else:
                    self._rank_higher(queue)
        flows[key] = value

    def _place(self, table: int) -> _Place:
        """Return where entries of a table go that has none yet."""
        raise NotImplementedError

    def _is_room_made(self) -> bool:
        """Evict an entry at the limit of all; return whether there is room."""
        raise NotImplementedError

    def _rank_higher(self, queue: _Queue) -> None:
        """Let the client rank higher, whose queue has got longer than `_room`."""
        raise NotImplementedError


class ClientFlowCache(FlowStore):
    """One client's entries in the flow cache."""

    __slots__ = (
        "_has_sessions",
        "_prepared",
        "_queues",
        "inbound_generation",
        "rank",
    )

    def __init__(self, cache: FlowCache) -> None:
        self._cache = cache
        # By the number of the table of decisions.
        self._queues: dict[int, _Queue] = {}
        self._places = {}
        # The same for what is prepared for sessions; its keys come and go in any order.
        self._prepared: dict[int, _Prepared] = {}
        self._marked = None
        self._room = 0
        self.rank: int = NO_PLACE
        self._has_sessions = False
        self.inbound_generation: Generation = Generation()
        """Handlers of inbound flows that bypass the NAT belong to one generation; a new NAT
        session or translated flow, which may take them over, begins the next."""

    @property
    def count(self) -> int:
        """How many flows of the client are remembered, those of sessions aside."""
        return sum(len(queue.keys) for queue in self._queues.values())

    @property
    def is_stale(self) -> bool:
        """Whether the client's entries are out of date, and wait to be removed."""
        return self._marked is not None

    # --- Storing ---------------------------------------------------------------------------

    def store_noted(self, table: int, key: bytes, value: Forward | FlowHandler) -> None:
        """Store a flow that a session may take over, if it is one to a client with a NAT.

        Arguments are those of `store`.
        """
        self.store(table, key, value)
        if self._has_sessions and table & INBOUND:
            place = self._places.get(table)
            if place is not None:
                place[1].note_end(key)

    def _place(self, table: int) -> _Place:
        """Return where entries of a table go that has none yet."""
        shards = self._cache.shards(table)
        # With flow records a client has both: flows without a resource have no record.
        queue = self._queues.get(table & ~HANDLERS)
        if queue is None:
            queue = self._queues[table & ~HANDLERS] = _Queue(table, [])
            self._room = 0
        queue.tables.append(shards)
        place = self._places[table] = (shards, queue)
        return place

    def prepare(self, session: HasFlows, table: int, key: bytes, value: FlowHandler) -> None:
        """Store the handler of a flow of a session, one at a time for each direction.

        Args:
            session: the session, or the flow of `stateful`, with which it goes.
            table: as for `store`.
            key: the flow key.
            value: the handler.
        """
        if self._marked is not None:
            return
        if table & INBOUND:
            before, session.inbound_key = session.inbound_key, key
        else:
            before, session.outbound_key = session.outbound_key, key
        if before is not None and before != key:
            self._release(table, before)
        prepared = self._prepared.get(table)
        if prepared is None:
            prepared = self._prepared[table] = ({}, self._cache.shards(table), shard_at(table))
        keys, shards, at = prepared
        keys[key] = None
        shards[key[at]][key] = value

    def release(self, session: HasFlows, protocol: int) -> None:
        """Remove what has been prepared for a session, which has ended."""
        if session.outbound_key is not None:
            self._release(OUTBOUND + HANDLERS + protocol, session.outbound_key)
        if session.inbound_key is not None:
            self._release(INBOUND + HANDLERS + protocol, session.inbound_key)

    def _release(self, table: int, key: bytes) -> None:
        prepared = self._prepared.get(table)
        # (Otherwise it has been invalidated since.)
        if prepared is not None and key in prepared[0]:
            keys, shards, at = prepared
            del keys[key]
            if not keys:
                del self._prepared[table]
            flows = shards[key[at]]
            flows.pop(key, None)
            if not flows:
                flows.clear()  # an empty dict keeps its memory

    def _rank_higher(self, queue: _Queue) -> None:
        """Let the client rank higher, whose queue has got longer than `_room`."""
        # However the queues grow up to here, together they do not have more than the rank says.
        # Those that are longer by now come here with their next entry.
        room = self._room = min(len(queue.keys) + len(queue.keys) // 4 + 8, MAX_FLOWS)
        self._cache.ranking.put(
            self, sum(max(_length(queue), room) for queue in self._queues.values())
        )

    def expect_growth(self) -> None:
        """Rank anew with the next entry: the rank has become the exact count."""
        self._room = 0

    def _is_room_made(self) -> bool:
        """Evict the oldest entry of the client that has most; return whether there is room."""
        most = self._cache.ranking.greatest()
        if most is None or not most.count:
            return False
        max(most._queues.values(), key=_length).remove_first()  # noqa: SLF001 - of this class
        self._cache.count -= 1
        return True

    # --- Removing --------------------------------------------------------------------------

    def invalidate(self) -> None:
        """Remove all entries, since the client's permissions have changed.

        If this raises, nothing that was remembered is left, of any client.
        """
        try:
            for queue in self._take_all():
                while queue.keys:
                    queue.remove_first()
        except BaseException:
            self._cache.clear()
            raise

    def mark(self) -> None:
        """Take all entries for out of date; remove them now or, if they are many, in steps."""
        prepared = sum(len(keys) for keys, _, _ in self._prepared.values())
        if self.count + prepared <= AT_ONCE:
            self.invalidate()
        else:
            self._marked = deque(self._take_all())
            self._cache.mark(self)

    def _take_all(self) -> list[_Queue]:
        """Return the queues of all entries, which count no more and are to be removed."""
        taken = list(self._queues.values())
        for queue in taken:
            self._cache.count -= len(queue.keys)
        for table, (keys, shards, _) in self._prepared.items():
            queue = _Queue(table, [shards])
            queue.keys.extend(keys)
            taken.append(queue)
        self._queues, self._places, self._prepared = {}, {}, {}
        return taken

    def remove_marked(self, most: int) -> bool:
        """Remove up to *most* entries that are out of date; return whether those were all."""
        while self._marked:
            queue = self._marked[0]
            while queue.keys and most:
                queue.remove_first()
                most -= 1
            if queue.keys:
                return False
            self._marked.popleft()
        self._marked = None
        return True

    def close(self) -> None:
        """Remove everything, since the client has disconnected."""
        self.remove_marked(ALL)
        self.invalidate()
        self._cache.ranking.leave(self)

    # --- New sessions ----------------------------------------------------------------------

    def expect_sessions(self) -> None:
        """Prepare for `invalidate_inbound`: the client is going to have a NAT.

        What it has remembered by then is invalidated in the same call.
        """
        self._has_sessions = True

    def invalidate_inbound(self, protocol: int, port: int, far: bytes) -> None:
        """Remove inbound flows that bypass the NAT, since a session takes them over.

        It is a new one or, with `stateful`, one of which a new flow begins.

        Handlers among them are of an old generation from now on, and ask for a new judgement.

        Args:
            protocol: the session's protocol.
            port: its translated port or echo id.
            far: its real address.
        """
        self.inbound_generation.number += 1
        queue = self._queues.get(INBOUND + protocol)
        if queue is not None:
            queue.take_over(far + port.to_bytes(2))


def _length(queue: _Queue) -> int:
    return len(queue.keys)


def _end(key: bytes) -> bytes:
    """Return far address and near port of an inbound flow key."""
    return key[: len(key) // 2 - 2] + key[-2:]
