"""The tree of networks: which resource answers for an address, by longest prefix.

Theory of operation. A packet's far address, protocol and port come in, already read from
well-formed headers; special addresses never get here from a `Gateway`. Rules 2 to 4 of
docs/rules.md, section 5, choose between the entries that cover the address: one that permits
the packet comes before one that does not, then the longer prefix wins, then the greater id.
So every covering network is asked, longest prefix first, until an entry permits the packet;
if none does, the refusal of the first one asked stands.

Each node of the tree is one network, with its entries: a few as a tuple in ascending order of
ids, more as a `PermitIndex`, so that neither a packet nor a change takes longer for many. The
greatest id is asked first, so its ports and its answer are kept at the node as well: nearly
always they decide. Nothing else is remembered, and a change concerns its own node alone.

A change that raises has changed nothing: all that may raise comes before the first effect.

This is the one module that knows py-radix, and no node leaves it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from types import BuiltinMethodType
from typing import Any, Final, Generic, TypeVar

from attrs import frozen
from radix import Radix

from firezone_filter.access.liveness import Liveness
from firezone_filter.access.permit_index import FEW, PermitIndex
from firezone_filter.access.permits import PORT_REASON, compile_filters
from firezone_filter.access.special_ranges import is_local_service
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4_LENGTH
from firezone_filter.values.addresses import Address, Network, to_address, to_network
from firezone_filter.values.decisions import Reason
from firezone_filter.values.errors import InvalidPolicy, shown
from firezone_filter.values.resources import Filter, to_filters, to_id, to_port

# Keys of a node's data: its entries, and the permitted ports and the permitting answer of the
# entry that is asked first.
_ENTRIES: Final = "entries"
_BOUNDS: Final = "bounds"
_ANSWER: Final = "answer"

# Without its C extension py-radix falls back, silently, to a tree in Python whose `delete` is
# broken: after two revocations a third network is still permitted.
if not isinstance(Radix().search_best, BuiltinMethodType):  # pragma: no cover - in another process
    raise ImportError(  # noqa: TRY004 - the installation is wrong, not a type
        "py-radix is installed without its C extension, and its tree in Python loses revocations; "
        "install it where there is a C compiler: "
        "pip install --force-reinstall --no-binary py-radix py-radix"
    )

# Arguments of py-radix are passed by position, in 70 ns where keywords take 220 ns; -1 is its
# "no mask length".
_ALL_BITS: Final = -1
_MAX_PROTOCOL: Final = 255

T = TypeVar("T")


@frozen
class Match:
    """The answer of `ClientFilterTable.match` for an address, protocol and port.

    It is true if the resource permits them, false if it refuses them.
    """

    resource_id: str
    """The resource that answers."""

    network: Network
    """Its network that covers the address."""

    reason: Reason | None
    """Why the resource refuses: `TCP_PORT`, `UDP_PORT`, `ICMP` or `PROTOCOL`; `None` if it
    permits."""

    @property
    def permitted(self) -> bool:
        """Whether the resource permits the protocol and port at this address."""
        return self.reason is None

    def __bool__(self) -> bool:
        return self.reason is None


class Entry:
    """The filters of one resource for one network. Many clients may share an entry."""

    __slots__ = (
        "_refusals",
        "bounds",
        "check",
        "filters",
        "is_local_service",
        "masklen",
        "network",
        "packed",
        "permitted",
        "resource_id",
    )

    def __init__(self, network: Network, resource_id: str, filters: tuple[Filter, ...]) -> None:
        self.network = network
        self.packed = network.network_address.packed
        self.masklen = network.prefixlen
        self.is_local_service = is_local_service(network)
        self.resource_id = resource_id
        self.filters = filters
        self.check = compile_filters(filters)
        self.bounds = self.check.bounds
        # An entry has few different answers, so each is made once: that takes 400 ns.
        self.permitted = Match(resource_id, network, None)
        self._refusals: dict[Reason, Match] = {}

    def refused(self, reason: Reason) -> Match:
        """Return the entry's shared refusal for *reason*."""
        found = self._refusals.get(reason)
        if found is None:
            found = self._refusals[reason] = Match(self.resource_id, self.network, reason)
        return found


SingleEntry = tuple[Entry]
"""The entries of a node that has only one. Trees share the tuple too, to save memory."""


class NetworkTree(Generic[T]):
    """Entries by network. Callers keep track of its content; nothing is checked here."""

    __slots__ = ("_tree",)

    def __init__(self) -> None:
        # The C tree alone, without its Python wrapper: the wrapper keeps nine bound methods,
        # a quarter of the memory of an idle client.
        self._tree: Any = Radix().add.__self__

    def put(self, single: SingleEntry, answer: T) -> None:
        """Add an entry, replacing one of the same network and resource id.

        Args:
            single: the entry, as a tuple of one.
            answer: stands for the entry's permitting `Match`. `lookup` returns either: the
                answer wherever the entry is alone at its node and decides at once.
        """
        (entry,) = single
        data = self._tree.add(None, entry.masklen, entry.packed).data
        others = data.get(_ENTRIES)
        if others:
            if type(others) is not tuple:
                others.put(entry.resource_id, entry)
                _fill(data, others)
                return
            before, after = _around(others, entry.resource_id)
            if before or after:
                _fill(data, _compact(before + single + after))
                return
        data[_ENTRIES] = single
        data[_BOUNDS] = entry.bounds
        data[_ANSWER] = answer

    def take(self, single: SingleEntry) -> None:
        """Remove an entry, which must be there."""
        (entry,) = single
        data = self._tree.search_exact(None, entry.masklen, entry.packed).data
        entries = data[_ENTRIES]
        if type(entries) is not tuple:
            entries.remove(entry.resource_id)
            # At half of the number that makes an index, so that a change to and fro costs little.
            _fill(data, entries if len(entries) > FEW // 2 else tuple(entries.values()))
            return
        before, after = _around(entries, entry.resource_id)
        if before or after:
            _fill(data, before + after)
        else:
            self._tree.delete(None, entry.masklen, entry.packed)

    def lookup(self, packed: bytes, protocol: int, port: int | None) -> Match | T | None:
        """Return the answer for an address, protocol and port; `None` if no entry covers it.

        Args:
            packed: an address of the resource, in network byte order.
            protocol: IANA protocol number.
            port: the resource's port, as for `PermitCheck.refusal`.

        Returns:
            As `ClientFilterTable.match`, but perhaps the answer that `put` was given in place
            of a permitting `Match`.
        """
        node = self._tree.search_best(None, _ALL_BITS, packed)
        if node is None:
            return None
        # For a port, the first entry asked is nearly always the only one. Asking it here takes
        # 100 ns, the loop 450 ns. Its bounds and answer are kept at the node because in a tree
        # of 100,000 networks each object in between is a cache miss of the CPU, of 100 ns.
        data = node.data
        bounds = data[_BOUNDS].get(protocol)
        if bounds is not None and port is not None:
            # The first entry permits the port, so no other can come before it: it has the
            # longest prefix and there the greatest id.
            if bisect_right(bounds, port) & 1:
                return data[_ANSWER]  # type: ignore[no-any-return]
            # It refuses. If no other network covers the address, that is final unless another
            # entry of this one permits the port.
            if node.parent is None:
                entries = data[_ENTRIES]
                if type(entries) is tuple:
                    if len(entries) == 1:
                        return entries[0].refused(PORT_REASON[protocol])  # type: ignore[no-any-return]
                else:
                    return _of_many(entries, data[_ANSWER], protocol, port)
        return _ask_in_turn(node, packed, protocol, port)

    def lookup_living(
        self, packed: bytes, protocol: int, port: int, liveness: Liveness
    ) -> Match | None:
        """Return the answer as if every entry that is over had been removed.

        Args:
            packed: an address, protocol and port, as for `lookup`.
            protocol: see there.
            port: see there.
            liveness: tells which resources are over.
        """
        node = self._tree.search_best(None, _ALL_BITS, packed)
        return None if node is None else _ask_in_turn(node, packed, protocol, port, liveness)


_Entries = tuple[Entry, ...] | PermitIndex[Entry]


def _compact(entries: tuple[Entry, ...]) -> _Entries:
    """Return the form in which a node keeps its entries."""
    if len(entries) <= FEW:
        return entries
    index: PermitIndex[Entry] = PermitIndex()
    for entry in entries:
        index.put(entry.resource_id, entry)
    return index


def _fill(data: dict[str, object], entries: _Entries) -> None:
    """Set the entries of a node that has, or just had, several of them."""
    first = entries[-1] if isinstance(entries, tuple) else _first(entries, None)
    data[_ENTRIES] = entries
    data[_BOUNDS] = {} if first is None else first.bounds
    data[_ANSWER] = None if first is None else first.permitted


def _first(index: PermitIndex[Entry], liveness: Liveness | None) -> Entry | None:
    """Return the entry that is asked first; `None` if all are over."""
    greatest = index.greatest(liveness)
    return None if greatest is None else index[greatest]


def _of_many(index: PermitIndex[Entry], first: Match, protocol: int, port: int) -> Match:
    """Return the answer of a node of many entries about a port that the first refuses."""
    # Most packets that get here are refused, and this saves them a fifth of the time.
    winner = index.winner(protocol, port, ICMPV4)
    if winner is not None:
        return index[winner].permitted
    return index[first.resource_id].refused(PORT_REASON[protocol])


def _ask_in_turn(
    node: Any,  # noqa: ANN401 - py-radix has no types
    packed: bytes,
    protocol: int,
    port: int | None,
    liveness: Liveness | None = None,
) -> Match | None:
    """Ask the entries that cover an address until one permits; return its answer.

    If none permits, the answer is the refusal of the first; `None` if all are over.
    """
    icmp = ICMPV4 if len(packed) == IPV4_LENGTH else ICMPV6
    refused: Match | None = None
    # Longest prefix first; `parent` is the node of the next shorter prefix that covers it.
    while node is not None:
        entries: _Entries = node.data[_ENTRIES]
        if not isinstance(entries, tuple):
            winner = entries.winner(protocol, port, icmp, liveness)
            # Safe to permit, whatever a longer prefix has refused: a packet is permitted if
            # any covering resource permits it (section 5, rule 2).
            if winner is not None:
                return entries[winner].permitted
            # None of them permits the packet, so the one asked first says why.
            first = _first(entries, liveness)
            entries = () if first is None else (first,)
        # Of one network, the greatest id first (section 5, rule 2).
        for entry in reversed(entries):
            if liveness is not None and liveness.is_over(entry.resource_id):
                continue
            reason = entry.check.refusal(protocol, port, icmp)
            if reason is None:  # safe as above
                return entry.permitted
            if refused is None:
                refused = entry.refused(reason)
        node = node.parent
    return refused


class ClientFilterTable:
    """A table of the networks that one client may reach, and the filters of each.

    It can be used without a `Gateway`. It knows no address plan and no special addresses:
    `0.0.0.0/0` covers every IPv4 address here, loopback and multicast among them.

    If several entries cover an address, one that permits the protocol and port comes before
    one that does not; then the longer prefix wins; then the greater resource id, compared by
    code points. So a packet is permitted if, and only if, *some* covering entry permits it.

    >>> table = ClientFilterTable()
    >>> table.allow("10.0.0.0/24", "db", [Tcp(5432)])
    >>> table.permits("10.0.0.5", 6, 5432)
    True
    >>> table.match("10.0.0.5", 6, 22).reason
    <Reason.TCP_PORT: 'tcp-port'>
    """

    __slots__ = ("_count", "_entries", "_tree")

    def __init__(self) -> None:
        self.clear()

    def allow(
        self, network: str | Network | Address, resource_id: str, filters: Iterable[Filter] = ()
    ) -> None:
        """Add an entry: a resource permits *filters* in *network*.

        An entry with the same network and resource id is replaced.

        Args:
            network: the addresses that the entry covers; host bits must be 0.
            resource_id: names the resource, which may have several networks; not empty.
            filters: the permitted protocols and ports. **Without any, every protocol is
                permitted.**

        Raises:
            InvalidAddress: *network* is not a network, or has host bits set.
            InvalidPolicy: *resource_id* is empty.
            TypeError: a wrong type, also `None` or a single filter for *filters*.
        """
        entry = Entry(to_network(network), to_id(resource_id), to_filters(filters))
        self._tree.put((entry,), entry.permitted)
        networks = self._entries.setdefault(entry.resource_id, {})
        self._count += entry.network not in networks
        networks[entry.network] = entry

    def revoke(self, resource_id: str) -> bool:
        """Remove all entries of *resource_id*.

        Returns:
            Whether it had any.

        Raises:
            TypeError: *resource_id* is not a `str`.
        """
        if not isinstance(resource_id, str):
            raise TypeError(f"an id is a str, not {shown(resource_id)}")
        networks = self._entries.get(resource_id)
        if networks is None:
            return False
        taken = []
        try:
            for entry in networks.values():
                self._tree.take((entry,))
                taken.append(entry)
        except BaseException:
            # All or nothing: half a resource is something that nobody has asked for.
            for entry in taken:
                self._tree.put((entry,), entry.permitted)
            raise
        del self._entries[resource_id]
        self._count -= len(networks)
        return True

    def clear(self) -> None:
        """Remove all entries."""
        self._tree: NetworkTree[Match] = NetworkTree()
        self._entries: dict[str, dict[Network, Entry]] = {}
        self._count = 0

    def match(
        self, address: str | Address, protocol: int, port: int | None = None
    ) -> Match | None:
        """Return the answer for an address, protocol and port.

        Args:
            address: the resource's end of a packet.
            protocol: IANA protocol number, 0 to 255. ICMP (1) is permitted by `Icmp` at IPv4
                addresses only, ICMPv6 (58) at IPv6 addresses only.
            port: the resource's TCP or UDP port, 0 to 65,535; ignored for other protocols.
                With `None`, TCP or UDP is permitted only by an entry that permits every port.

        Returns:
            A true `Match` of the entry that permits it; otherwise a false one, of the best
            entry that covers the address, with the reason of its refusal; `None` if no entry
            covers the address.

        Raises:
            InvalidAddress: *address* is not an address.
            InvalidPolicy: *protocol* is not a protocol number, or *port* not a port.
            TypeError: a wrong type.
        """
        packed = to_address(address).packed
        if isinstance(protocol, bool) or not isinstance(protocol, int):
            raise TypeError(f"a protocol is an int, not {shown(protocol)}")
        if not 0 <= protocol <= _MAX_PROTOCOL:
            raise InvalidPolicy(f"{shown(protocol)} is not a protocol number (0 to 255)", protocol)
        return self._tree.lookup(packed, protocol, None if port is None else to_port(port))

    def permits(self, address: str | Address, protocol: int, port: int | None = None) -> bool:
        """Tell whether an entry permits the address, protocol and port.

        Arguments and errors are those of `match`.
        """
        return bool(self.match(address, protocol, port))

    def __contains__(self, resource_id: object) -> bool:
        return resource_id in self._entries

    def __iter__(self) -> Iterator[tuple[Network, str, tuple[Filter, ...]]]:
        """Iterate over a snapshot of the entries: network, resource id, filters."""
        return iter(
            [
                (entry.network, entry.resource_id, entry.filters)
                for networks in self._entries.values()
                for entry in networks.values()
            ]
        )

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        networks = ", ".join(f"{resource_id}: {network}" for network, resource_id, _ in self)
        return f"<ClientFilterTable {networks or 'empty'}>"


def _around(
    entries: tuple[Entry, ...], resource_id: str
) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Return the entries of a network with smaller ids than a resource's, and with greater."""
    if len(entries) == 1 and entries[0].resource_id == resource_id:
        return (), ()  # nearly always: resources seldom share a network
    place = bisect_left(entries, resource_id, key=_resource_id)
    is_there = place < len(entries) and entries[place].resource_id == resource_id
    return entries[:place], entries[place + is_there :]


def _resource_id(entry: Entry) -> str:
    return entry.resource_id
