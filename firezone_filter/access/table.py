"""`ClientFilterTable`: which of the allowed networks answers for an address.

The one module that knows py-radix. Nodes of the tree hold the entries of one network; no
node leaves this module. Nothing is ever rebuilt: a change costs what it touches.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from types import BuiltinMethodType
from typing import Any, Final, Generic, TypeVar, cast

from attrs import frozen
from radix import Radix

from firezone_filter.access.permits import PORT_REASON, compile_filters
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4_LENGTH
from firezone_filter.values.addresses import Address, Network, to_address, to_network
from firezone_filter.values.decisions import Reason
from firezone_filter.values.errors import InvalidPolicy, shown
from firezone_filter.values.resources import Filter, PortRange, to_filters, to_id

# What is kept at a node: its entries; of the one that is asked first, the permitted ports and
# what is said if it permits.
_ENTRIES: Final = "entries"
_BOUNDS: Final = "bounds"
_ANSWER: Final = "answer"

# Positional arguments take 70 ns where keywords take 220 ns. The C part of py-radix takes -1
# for "no mask length", the Python one `None`.
_ALL_BITS: Final = -1 if isinstance(Radix().search_best, BuiltinMethodType) else None
_MAX_PROTOCOL: Final = 255

T = TypeVar("T")


@frozen
class Match:
    """The answer for one address, protocol and port. A refusing one is false."""

    resource_id: str
    """The resource that answers."""

    network: Network
    """Its network that covers the address."""

    reason: Reason | None
    """Why it refuses; `None` if it permits."""

    @property
    def permitted(self) -> bool:
        """Whether the resource permits what was asked for."""
        return self.reason is None

    def __bool__(self) -> bool:
        return self.reason is None


class Entry:
    """What one resource permits in one network. It knows no client: many may share it."""

    __slots__ = (
        "_refusals",
        "bounds",
        "check",
        "filters",
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
        self.resource_id = resource_id
        self.filters = filters
        self.check = compile_filters(filters)
        self.bounds = self.check.bounds
        # Answers are made once, and few there are: making one takes 400 ns.
        self.permitted = Match(resource_id, network, None)
        self._refusals: dict[Reason, Match] = {}

    def refused(self, reason: Reason) -> Match:
        """Return the one answer that refuses for this reason."""
        found = self._refusals.get(reason)
        if found is None:
            found = self._refusals[reason] = Match(self.resource_id, self.network, reason)
        return found


SingleEntry = tuple[Entry]
"""An entry as a tree keeps it while no other has the same network. Trees share that too."""


class NetworkTree(Generic[T]):
    """Entries by their networks. It trusts its callers, who know what is in it."""

    __slots__ = ("_tree",)

    def __init__(self) -> None:
        # The tree itself: its Python shell has nine bound methods, and would be a quarter of
        # what an idle client costs.
        self._tree: Any = Radix().add.__self__

    def put(self, single: SingleEntry, answer: T) -> None:
        """Add an entry, in place of one of the same network and resource id.

        Args:
            single: the entry.
            answer: what `lookup` returns in place of its match, if it can do so at once.
        """
        (entry,) = single
        data = self._tree.add(None, entry.masklen, entry.packed).data
        others = data.get(_ENTRIES)
        if others:
            before, after = _around(others, entry.resource_id)
            if before or after:
                _fill(data, before + single + after)
                return
        data[_ENTRIES] = single
        data[_BOUNDS] = entry.bounds
        data[_ANSWER] = answer

    def take(self, single: SingleEntry) -> None:
        """Take an entry away that is there."""
        (entry,) = single
        data = self._tree.search_exact(None, entry.masklen, entry.packed).data
        before, after = _around(data[_ENTRIES], entry.resource_id)
        if before or after:
            _fill(data, before + after)
        else:
            self._tree.delete(None, entry.masklen, entry.packed)

    def lookup(self, packed: bytes, protocol: int, port: int | None) -> Match | T | None:
        """Answer as `ClientFilterTable.match` does, or what `put` was told to answer.

        Args:
            packed: an address of the resource, in network byte order.
            protocol: IANA protocol number.
            port: the resource's port.
        """
        node = self._tree.search_best(None, _ALL_BITS, packed)
        if node is None:
            return None
        # Mostly the first that is asked for a port is the only one. To ask it here takes 100 ns,
        # by the loop 450 ns. What it says is kept at the node: in a table of 100,000 networks
        # each object in between takes 100 ns, since it is in no cache of the processor.
        data = node.data
        bounds = data[_BOUNDS].get(protocol)
        if bounds is not None and port is not None:
            if bisect_right(bounds, port) & 1:
                return data[_ANSWER]  # type: ignore[no-any-return]
            if len(data[_ENTRIES]) == 1 and node.parent is None:
                return data[_ENTRIES][0].refused(PORT_REASON[protocol])  # type: ignore[no-any-return]
        return _ask_in_turn(node, packed, protocol, port)


def _fill(data: dict[str, object], entries: tuple[Entry, ...]) -> None:
    """Let a node have several entries, or the one that is left of them."""
    data[_ENTRIES] = entries
    data[_BOUNDS] = entries[-1].bounds
    data[_ANSWER] = entries[-1].permitted


def _ask_in_turn(
    node: Any,  # noqa: ANN401 - py-radix has no types
    packed: bytes,
    protocol: int,
    port: int | None,
) -> Match:
    """Ask all entries that cover an address, until one permits; return the answer."""
    icmp = ICMPV4 if len(packed) == IPV4_LENGTH else ICMPV6
    refused: Match | None = None
    # Longest prefix first; `parent` leads to the next shorter one that covers it.
    while node is not None:
        # The greatest id first, as the rule has it for entries of one network.
        for entry in reversed(node.data[_ENTRIES]):
            reason = entry.check.refusal(protocol, port, icmp)
            if reason is None:
                return entry.permitted  # type: ignore[no-any-return]
            if refused is None:
                refused = entry.refused(reason)
        node = node.parent
    return cast("Match", refused)  # of the first: a node has entries


class ClientFilterTable:
    """The networks that one client may reach, and what each permits.

    Usable on its own. It knows no address plan and no special addresses; a `Gateway` asks
    it only about addresses that may belong to a resource.

    When several entries cover an address, one that permits what is asked for beats one
    that does not; then the longer prefix wins; then the greater resource id. So something
    is permitted exactly when *some* covering entry permits it.

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
        """Let *resource_id* permit in *network* what *filters* say.

        The same network and id replace what they said before.

        Args:
            network: the addresses that the entry covers.
            resource_id: names the resource; one may have several networks.
            filters: what is permitted. **None at all permit every protocol.**

        Raises:
            InvalidAddress: not a network, or host bits are set.
            InvalidPolicy: an empty id.
            TypeError: a wrong type; filters that are `None` or a filter by itself.
        """
        entry = Entry(to_network(network), to_id(resource_id), to_filters(filters))
        self._tree.put((entry,), entry.permitted)
        networks = self._entries.setdefault(entry.resource_id, {})
        self._count += entry.network not in networks
        networks[entry.network] = entry

    def revoke(self, resource_id: str) -> bool:
        """Take all networks of *resource_id* away; return whether it had any.

        Raises:
            TypeError: *resource_id* is not a `str`.
        """
        if not isinstance(resource_id, str):
            raise TypeError(f"an id is a str, not {shown(resource_id)}")
        networks = self._entries.pop(resource_id, {})
        for entry in networks.values():
            self._tree.take((entry,))
        self._count -= len(networks)
        return bool(networks)

    def clear(self) -> None:
        """Take everything away."""
        self._tree: NetworkTree[Match] = NetworkTree()
        self._entries: dict[str, dict[Network, Entry]] = {}
        self._count = 0

    def match(
        self, address: str | Address, protocol: int, port: int | None = None
    ) -> Match | None:
        """Return which entry answers for an address, or `None` if none covers it.

        Args:
            address: an address of the resource.
            protocol: IANA protocol number.
            port: the resource's TCP or UDP port; ignored for other protocols. Without one
                only what permits every port permits.

        Raises:
            InvalidAddress: not an address.
            InvalidPolicy: no protocol number (0 to 255), or no port.
            TypeError: a wrong type.
        """
        packed = to_address(address).packed
        if isinstance(protocol, bool) or not isinstance(protocol, int):
            raise TypeError(f"a protocol is an int, not {shown(protocol)}")
        if not 0 <= protocol <= _MAX_PROTOCOL:
            raise InvalidPolicy(f"{shown(protocol)} is not a protocol number (0 to 255)", protocol)
        return self._tree.lookup(packed, protocol, None if port is None else PortRange(port).first)

    def permits(self, address: str | Address, protocol: int, port: int | None = None) -> bool:
        """Tell whether some entry permits it; arguments and errors as `match`."""
        return bool(self.match(address, protocol, port))

    def __contains__(self, resource_id: object) -> bool:
        return resource_id in self._entries

    def __iter__(self) -> Iterator[tuple[Network, str, tuple[Filter, ...]]]:
        """Yield a snapshot of the entries: network, resource id, filters."""
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
    """Return which entries of a network stand before that of a resource, and which behind."""
    if len(entries) == 1 and entries[0].resource_id == resource_id:
        return (), ()  # as nearly always: few resources have one network
    place = bisect_left(entries, resource_id, key=_resource_id)
    is_there = place < len(entries) and entries[place].resource_id == resource_id
    return entries[:place], entries[place + is_there :]


def _resource_id(entry: Entry) -> str:
    return entry.resource_id
