"""Networks that resources exclude: which of many resources answers for an address all the same.

CIDR and Internet resources may exclude networks (rules.md, section 5, rules 1 and 5). Of
resources that are equal otherwise, the greatest id answers that does not exclude the address.

Theory of operation. The greatest id is asked first; if it excludes the address, so may thousands
more. So the ids are indexed by the networks that they exclude, of which those of one resource do
not overlap: then the number of resources from some id on that exclude an address is a sum over
the networks that cover it, and a binary search finds the greatest id that does not.

Liveness. Resources that are over but not yet removed are skipped, if the caller says how to tell.
Those with the greatest ids are noted as such once and for all, since none ever lives again.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from firezone_filter.access.liveness import Liveness
from firezone_filter.access.special_ranges import NOT_INTERNET, RangeMap
from firezone_filter.packet.numbers import IPV4_LENGTH, IPV6_LENGTH
from firezone_filter.structures.names import Names, discard, insert
from firezone_filter.structures.tile_tree import TileTree, tiles
from firezone_filter.values.addresses import Network

Nodes = dict[int, tuple[int, ...]]
"""Nodes of the trees of both families, by the length of an address."""


class ExcludedNetworks:
    """The networks that a resource excludes, compiled. Clients share them."""

    __slots__ = ("_networks", "_nodes", "_ranges")

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self._networks = networks
        # Any flag will do: an address has it if a network covers it.
        self._ranges = RangeMap((network, NOT_INTERNET) for network in networks)
        self._nodes: Nodes | None = None

    def __contains__(self, packed: bytes) -> bool:
        return bool(self._ranges.flags(packed))

    def nodes(self) -> Nodes:
        """Return the nodes that tile them, by the length of an address; computed once."""
        if self._nodes is None:
            ipv4 = (one for one in self._networks if isinstance(one, IPv4Network))
            ipv6 = (one for one in self._networks if isinstance(one, IPv6Network))
            self._nodes = {
                IPV4_LENGTH: _tile(collapse_addresses(ipv4)),
                IPV6_LENGTH: _tile(collapse_addresses(ipv6)),
            }
        return self._nodes


def _tile(networks: Iterable[Network]) -> tuple[int, ...]:
    return tuple(
        node
        for network in networks
        for node in tiles(
            int(network.network_address),
            int(network.broadcast_address) + 1,
            network.max_prefixlen,
        )
    )


class ExcludingIds:
    """Ids of resources that exclude networks: the greatest that does not exclude an address."""

    __slots__ = ("_ids", "_living", "_nodes", "_trees")

    def __init__(self, nodes: Mapping[str, Nodes]) -> None:
        """Begin without any; *nodes* has what each id excludes, as long as the id is here."""
        self._nodes = nodes
        self._ids: list[str] = []
        # So many of the ids, from the least on, may still live; the others are over.
        self._living = 0
        self._trees: dict[int, TileTree[Names]] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, resource_id: str) -> None:
        """Add a resource, unless it is there."""
        count = len(self._ids)
        place = insert(self._ids, resource_id)
        if len(self._ids) == count:
            return
        # A new one with the greatest id may live, whatever is over below it.
        self._living = self._living + 1 if place <= self._living else len(self._ids)
        for size, of_family in self._nodes[resource_id].items():
            if of_family:
                tree = self._trees.get(size)
                if tree is None:
                    tree = self._trees[size] = TileTree(8 * size, Names)
                tree.add(resource_id, of_family)

    def discard(self, resource_id: str) -> None:
        """Remove a resource, if it is there; it still excludes what it did when it was added."""
        count = len(self._ids)
        place = discard(self._ids, resource_id)
        if len(self._ids) == count:
            return
        self._living -= place < self._living
        for size, of_family in self._nodes[resource_id].items():
            if of_family:
                self._trees[size].discard(resource_id, of_family)

    def greatest(self, liveness: Liveness | None = None) -> str | None:
        """Return the greatest id, whatever it excludes; `None` if all are over."""
        count = self._count(liveness)
        return self._ids[count - 1] if count else None

    def outside(self, packed: bytes, liveness: Liveness | None = None) -> str | None:
        """Return the greatest id that does not exclude an address; `None` if there is none."""
        ids, place, tree = self._ids, self._count(liveness), self._trees.get(len(packed))
        lists = [] if tree is None else tree.covering(int.from_bytes(packed))
        if len(lists) == 1 and len(lists[0]) == len(ids):
            return None  # as often where many exclude the same
        while place:
            place = _search(ids, place, lists) if lists else place
            if not place:
                break
            resource_id = ids[place - 1]
            if liveness is None or not liveness.is_over(resource_id):
                return resource_id
            place = liveness.living(ids, place - 1)
        return None

    def _count(self, liveness: Liveness | None) -> int:
        """Return how many of the ids are left without the greatest, as far as those are over."""
        if liveness is None:
            return self._living
        count = liveness.living(self._ids, self._living)
        if liveness.drops:
            self._living = count
        return count


def _search(ids: list[str], count: int, lists: list[Names]) -> int:
    """Return how many ids there are, of the first *count*, up to the last that is in no list.

    No id is in two of the lists.
    """
    if len(lists) == 1:
        return _search_one(ids, count, lists[0])
    listed = [(names, bisect_right(names, ids[count - 1])) for names in lists]

    def unlisted(place: int) -> int:
        """Return how many are in no list, of those from a place on."""
        start = ids[place]
        return count - place - sum(end - bisect_left(names, start) for names, end in listed)

    if unlisted(count - 1):
        return count  # as nearly always
    if not unlisted(0):
        return 0
    # Some from `low` on are in no list, none from `high` on.
    low, high = 0, count - 1
    while high - low > 1:
        middle = (low + high) // 2
        if unlisted(middle):
            low = middle
        else:
            high = middle
    return high


def _search_one(ids: list[str], count: int, names: list[str]) -> int:
    """Return what `_search` does for a single list, as it nearly always is."""
    end = bisect_right(names, ids[count - 1])
    # All of the last `low` are in the list; of the last `high` one is not. Some comparisons of
    # neighbours instead of bisections: a tenth of the time.
    low, high = 0, end + 1
    while high - low > 1:
        middle = (low + high) // 2
        if names[end - middle] == ids[count - middle]:
            low = middle
        else:
            high = middle
    return count - low
