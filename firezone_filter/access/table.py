"""The tree of networks: which resource answers for an address, by longest prefix.

Theory of operation. A packet's far address, protocol and number (port or ICMP type) come in,
already read from well-formed headers; special addresses never get here from a `Gateway`. Rules 2
to 4 of rules.md, section 5, choose between the entries that cover the address: one that
permits the packet comes before one that does not, then the longer prefix wins, then the greater
id. So every covering network is asked, longest prefix first, until an entry permits the packet;
if none does, the refusal of the first one asked stands. An entry that excludes the address does
not cover it, and is passed over as if it were not there.

Each node of the tree is one network, with its entries: a few as a tuple in ascending order of
ids, more as a `PermitIndex`, so that neither a packet nor a change takes longer for many. The
greatest id is asked first, so its bounds and its answer are kept at the node as well: nearly
always they decide. (If that entry excludes anything, its bounds are left out there, and all are
asked.) Nothing else is remembered, and a change concerns its own node alone.

A change that raises has changed nothing: all that may raise comes before the first effect.

This is the one module that knows py-radix, and no node leaves it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from types import BuiltinMethodType
from typing import Any, Final, Generic, NamedTuple, TypeVar

from attrs import frozen
from radix import Radix

from firezone_filter.access.excluding import ExcludedNetworks
from firezone_filter.access.liveness import Liveness
from firezone_filter.access.permit_index import FEW, PermitIndex
from firezone_filter.access.permits import REASON_OF, Bounds, PermitCheck, compile_filters
from firezone_filter.access.special_ranges import is_local_service
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4, IPV4_LENGTH, MAX_BYTE, TCP, UDP
from firezone_filter.structures.attribute_docs import documented
from firezone_filter.values.addresses import (
    Address,
    Network,
    to_address,
    to_network,
    to_networks,
)
from firezone_filter.values.decisions import Reason
from firezone_filter.values.errors import shown
from firezone_filter.values.filters import Filter, to_byte, to_filters, to_port
from firezone_filter.values.resources import check_excluded, to_id

# Keys of a node's data: its entries, and the permitted numbers and the permitting answer of the
# entry that is asked first.
_ENTRIES: Final = "entries"
BOUNDS: Final = "bounds"
ANSWER: Final = "answer"

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
ALL_BITS: Final = -1

# What an entry that excludes a part of its network permits at once: nothing, since whether it
# covers an address at all has to be asked first.
_NOT_AT_ONCE: Final[dict[int, Bounds]] = {}

T = TypeVar("T")


@documented
@frozen
class Match:
    """The answer of `ClientFilterTable.match` for an address, protocol, and port or ICMP type.

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
        """Whether the resource permits the packet at this address."""
        return self.reason is None

    def __bool__(self) -> bool:
        return self.reason is None


class Entry:
    """The filters of one resource for one network. Many clients may share an entry."""

    __slots__ = (
        "_refusals",
        "bounds",
        "check",
        "exclude",
        "excluded",
        "filters",
        "is_local_service",
        "masklen",
        "network",
        "packed",
        "permitted",
        "resource_id",
    )

    def __init__(
        self,
        network: Network,
        resource_id: str,
        filters: tuple[Filter, ...],
        exclude: tuple[Network, ...] = (),
    ) -> None:
        self.network: Network = network
        self.packed: bytes = network.network_address.packed
        self.masklen: int = network.prefixlen
        self.is_local_service: bool = is_local_service(network)
        self.resource_id: str = resource_id
        self.filters: tuple[Filter, ...] = filters
        self.exclude: tuple[Network, ...] = exclude
        self.excluded: ExcludedNetworks | None = ExcludedNetworks(exclude) if exclude else None
        self.check: PermitCheck = compile_filters(filters)
        self.bounds: dict[int, Bounds] = (
            self.check.ipv4 if network.version == IPV4 else self.check.ipv6
        )
        if exclude:
            self.bounds = _NOT_AT_ONCE
        # An entry has few different answers, so each is made once: that takes 400 ns.
        self.permitted: Match = Match(resource_id, network, None)
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

    __slots__ = ("tree",)

    def __init__(self) -> None:
        # The C tree alone, without its Python wrapper: the wrapper keeps nine bound methods,
        # a quarter of the memory of an idle client.
        self.tree: Any = Radix().add.__self__

    def put(self, single: SingleEntry, answer: T) -> None:
        """Add an entry, replacing one of the same network and resource id.

        Args:
            single: the entry, as a tuple of one.
            answer: stands for the entry's permitting `Match`. `lookup` returns either: the
                answer wherever the entry is alone at its node and decides at once.
        """
        (entry,) = single
        data = self.tree.add(None, entry.masklen, entry.packed).data
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
        data[BOUNDS] = entry.bounds
        data[ANSWER] = answer

    def take(self, single: SingleEntry) -> None:
        """Remove an entry, which must be there."""
        (entry,) = single
        data = self.tree.search_exact(None, entry.masklen, entry.packed).data
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
            self.tree.delete(None, entry.masklen, entry.packed)

    def lookup(self, packed: bytes, protocol: int, number: int | None) -> Match | T | None:
        """Return the answer for an address, protocol and number; `None` if no entry covers it.

        Args:
            packed: an address of the resource, in network byte order.
            protocol: IANA protocol number.
            number: the resource's port, or the ICMP type, as for `PermitCheck.refusal`.

        Returns:
            As `ClientFilterTable.match`, but perhaps the answer that `put` was given in place
            of a permitting `Match`.
        """
        node = self.tree.search_best(None, ALL_BITS, packed)
        if node is None:
            return None
        # With a number, the first entry asked is nearly always the only one. Asking it here takes
        # 100 ns, the loop 450 ns. Its bounds and answer are kept at the node because in a tree
        # of 100,000 networks each object in between is a cache miss of the CPU, of 100 ns.
        data = node.data
        bounds = data[BOUNDS].get(protocol)
        if bounds is not None and number is not None:
            # The first entry permits the packet, so no other can come before it: it has the
            # longest prefix and there the greatest id.
            if bisect_right(bounds, number) & 1:
                return data[ANSWER]  # type: ignore[no-any-return]
            # It refuses. If no other network covers the address, that is final unless another
            # entry of this one permits the port.
            if node.parent is None:
                entries = data[_ENTRIES]
                if type(entries) is tuple:
                    if len(entries) == 1:
                        return entries[0].refused(REASON_OF[protocol])  # type: ignore[no-any-return]
                else:
                    return _of_many(entries, data[ANSWER], packed, protocol, number)
        return _ask_in_turn(node, packed, protocol, number)

    def lookup_living(
        self, packed: bytes, protocol: int, number: int, liveness: Liveness
    ) -> Match | None:
        """Return the answer as if every entry that is over had been removed.

        Args:
            packed: an address, protocol and number, as for `lookup`.
            protocol: see there.
            number: see there.
            liveness: tells which resources are over.
        """
        node = self.tree.search_best(None, ALL_BITS, packed)
        return None if node is None else _ask_in_turn(node, packed, protocol, number, liveness)

    def covering(self, packed: bytes) -> Iterator[Entry]:
        """Yield the entries whose network has an address, in the order in which they are asked.

        Those that exclude the address are among them.
        """
        node = self.tree.search_best(None, ALL_BITS, packed)
        while node is not None:
            entries: _Entries = node.data[_ENTRIES]
            yield from reversed(entries if isinstance(entries, tuple) else entries.values())
            node = node.parent


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
    if isinstance(entries, tuple):
        first: Entry | None = entries[-1]
    else:
        greatest = entries.first()
        first = None if greatest is None else entries[greatest]
    data[_ENTRIES] = entries
    data[BOUNDS] = _NOT_AT_ONCE if first is None else first.bounds
    data[ANSWER] = None if first is None else first.permitted


def _of_many(
    index: PermitIndex[Entry], first: Match, packed: bytes, protocol: int, number: int
) -> Match:
    """Return the answer of a node of many entries about a number that the first refuses."""
    # Most packets that get here are refused, and this saves them a fifth of the time.
    winner = index.winner(protocol, number, packed)
    if winner is not None:
        return index[winner].permitted
    return index[first.resource_id].refused(REASON_OF[protocol])


def _ask_in_turn(
    node: Any,  # noqa: ANN401 - py-radix has no types
    packed: bytes,
    protocol: int,
    number: int | None,
    liveness: Liveness | None = None,
) -> Match | None:
    """Ask the entries that cover an address until one permits; return its answer.

    If none permits, the answer is the refusal of the first; `None` if there is none: all are
    over, or exclude the address.
    """
    icmp = ICMPV4 if len(packed) == IPV4_LENGTH else ICMPV6
    refused: Match | None = None
    # Longest prefix first; `parent` is the node of the next shorter prefix that covers it.
    while node is not None:
        entries: _Entries = node.data[_ENTRIES]
        if not isinstance(entries, tuple):
            winner = entries.winner(protocol, number, packed, liveness)
            # Safe to permit, whatever a longer prefix has refused: a packet is permitted if
            # any covering resource permits it (section 5, rule 2).
            if winner is not None:
                return entries[winner].permitted
            # None of them permits the packet, so the one asked first says why.
            greatest = None if refused is not None else entries.greatest(packed, liveness)
            entries = () if greatest is None else (entries[greatest],)
        # Of one network, the greatest id first (section 5, rule 2).
        for entry in reversed(entries):
            if liveness is not None and liveness.is_over(entry.resource_id):
                continue
            # What a resource excludes is not part of it: the entry has no say, and its refusal
            # would name one that has nothing to do with the address (section 5, rule 1).
            if entry.excluded is not None and packed in entry.excluded:
                continue
            reason = entry.check.refusal(protocol, number, icmp)
            if reason is None:  # safe as above
                return entry.permitted
            if refused is None:
                refused = entry.refused(reason)
        node = node.parent
    return refused


class TableEntry(NamedTuple):
    """An entry of a `ClientFilterTable`, as iteration returns it."""

    network: Network
    """The addresses that it covers, but for those that it excludes."""

    resource_id: str
    """The resource."""

    filters: tuple[Filter, ...]
    """The permitted protocols, ports and types; without any, every protocol is permitted."""

    exclude: tuple[Network, ...]
    """Networks inside `network` that it does not cover."""


class ClientFilterTable:
    """A table of the networks that one client may reach, and the filters of each.

    It can be used without a `Gateway`. It knows no address plan and no special addresses:
    `0.0.0.0/0` covers every IPv4 address here, loopback and multicast among them.

    If several entries cover an address, one that permits the packet comes before one that does
    not; then the longer prefix wins; then the greater resource id, compared by code points. So a
    packet is permitted if, and only if, *some* covering entry permits it. An entry does not cover
    what it excludes, as if that were no part of its network; others may.

    >>> table = ClientFilterTable()
    >>> table.allow("10.0.0.0/24", "db", [Tcp(5432)])
    >>> table.permits("10.0.0.5", 6, 5432)
    True
    >>> table.match("10.0.0.5", 6, 22).reason
    <Reason.TCP_PORT: 'tcp-port'>
    >>> table.allow("10.0.0.0/8", "ping", [Icmp.echo()], exclude=["10.9.0.0/16"])
    >>> table.permits("10.1.0.5", 1, icmp_type=8), table.permits("10.9.0.5", 1, icmp_type=8)
    (True, False)
    """

    __slots__ = ("_count", "_entries", "_tree")

    def __init__(self) -> None:
        self.clear()

    def allow(
        self,
        network: str | Network | Address,
        resource_id: str,
        filters: Iterable[Filter] = (),
        exclude: Iterable[str | Network | Address] = (),
    ) -> None:
        """Add an entry: a resource permits *filters* in *network*.

        An entry with the same network and resource id is replaced.

        Args:
            network: the addresses that the entry covers; host bits must be 0.
            resource_id: names the resource, which may have several networks; not empty.
            filters: the permitted protocols, ports and types. **Without any, every protocol is
                permitted.**
            exclude: networks inside *network*, and not all of it, that the entry does not cover.

        Raises:
            InvalidAddress: *network* or one of *exclude* is not a network, or has host bits set;
                or one of *exclude* does not lie inside *network*, or is all of it.
            InvalidPolicy: *resource_id* is empty.
            TypeError: a wrong type, also `None` or a single filter for *filters*, and `None` or a
                single network for *exclude*.
        """
        whole, excluded = to_network(network), to_networks(exclude)
        check_excluded(whole, excluded)
        entry = Entry(whole, to_id(resource_id), to_filters(filters), excluded)
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
        self,
        address: str | Address,
        protocol: int,
        port: int | None = None,
        *,
        icmp_type: int | None = None,
    ) -> Match | None:
        """Return the answer for an address, protocol, and port or ICMP type.

        Args:
            address: the resource's end of a packet.
            protocol: IANA protocol number, 0 to 255. ICMP (1) is permitted by `Icmp` at IPv4
                addresses only, ICMPv6 (58) at IPv6 addresses only.
            port: the resource's TCP or UDP port, 0 to 65,535; ignored for other protocols.
                With `None`, TCP or UDP is permitted only by an entry that permits every port.
            icmp_type: the type of ICMP or ICMPv6, 0 to 255; ignored for other protocols. With
                `None`, ICMP is permitted only by an entry that permits every type. ICMP errors
                are judged by the packet that they quote, not by their type; so ask about that.

        Returns:
            A true `Match` of the entry that permits it; otherwise a false one, of the best
            entry that covers the address, with the reason of its refusal; `None` if no entry
            covers the address.

        Raises:
            InvalidAddress: *address* is not an address.
            InvalidPolicy: *protocol* is not a protocol number, *port* not a port, or *icmp_type*
                not an ICMP type.
            TypeError: a wrong type.
        """
        packed = to_address(address).packed
        # Asked here, because `to_byte` takes 100 ns to find nothing wrong.
        if type(protocol) is not int or not 0 <= protocol <= MAX_BYTE:
            to_byte("a protocol number", protocol)
        if port is not None:
            to_port(port)
        if icmp_type is not None:
            to_byte("an ICMP type", icmp_type)
        number = port if protocol in (TCP, UDP) else icmp_type  # of others, any will do
        return self._tree.lookup(packed, protocol, number)

    def permits(
        self,
        address: str | Address,
        protocol: int,
        port: int | None = None,
        *,
        icmp_type: int | None = None,
    ) -> bool:
        """Tell whether an entry permits the address, protocol, and port or ICMP type.

        Arguments and errors are those of `match`.
        """
        return bool(self.match(address, protocol, port, icmp_type=icmp_type))

    def __contains__(self, resource_id: object) -> bool:
        return resource_id in self._entries

    def __iter__(self) -> Iterator[TableEntry]:
        """Iterate over a snapshot of the entries: network, resource id, filters, exclude."""
        return iter(
            [
                TableEntry(entry.network, entry.resource_id, entry.filters, entry.exclude)
                for networks in self._entries.values()
                for entry in networks.values()
            ]
        )

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        networks = ", ".join(
            f"{entry.resource_id}: {' without '.join(map(str, (entry.network, *entry.exclude)))}"
            for entry in self
        )
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
