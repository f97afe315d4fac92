"""The Internet resources of one client: which of them answers for an address.

Each permits every public address but those that it excludes (docs/rules.md, section 5, rule 5).
Of those that permit an address the greatest id answers, of those that refuse it too.

Theory of operation. The greatest id is asked first; if it excludes the address, so may thousands
more. So many resources are indexed by the networks that they exclude, of which those of one
resource do not overlap: then the number of resources from some id on that exclude an address is
a sum over the networks that cover it, and a binary search finds the greatest id that does not.

Liveness. Resources that are over but not yet removed are skipped, if the caller says how to tell.
Those with the greatest ids are noted as such once and for all, since none ever lives again.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Final

from firezone_filter.access.liveness import Liveness
from firezone_filter.access.permit_index import FEW
from firezone_filter.access.special_ranges import NOT_INTERNET, RangeMap
from firezone_filter.packet.numbers import IPV4_LENGTH, IPV6_LENGTH
from firezone_filter.structures.names import Names, discard, insert
from firezone_filter.structures.tile_tree import TileTree, tiles
from firezone_filter.values.addresses import Network

_SIZES: Final = (IPV4_LENGTH, IPV6_LENGTH)

_Nodes = dict[int, tuple[int, ...]]
"""Nodes of both trees, by the length of an address."""

_Trees = dict[int, TileTree[Names]]
"""Ids by the networks that they exclude, by the length of an address."""


class ExcludedNetworks:
    """The networks that an Internet resource excludes, compiled. Clients share them."""

    __slots__ = ("_networks", "_nodes", "_ranges")

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self._networks = networks
        self._ranges = RangeMap((network, NOT_INTERNET) for network in networks)
        self._nodes: _Nodes | None = None

    def __contains__(self, packed: bytes) -> bool:
        return bool(self._ranges.flags(packed))

    def nodes(self) -> _Nodes:
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


class InternetAccess:
    """The Internet resources of one client."""

    __slots__ = ("_excluded", "_ids", "_living", "_trees")

    def __init__(self) -> None:
        self._excluded: dict[str, ExcludedNetworks] = {}
        self._ids: list[str] = []
        # So many of the ids, from the least on, may still live; the others are over.
        self._living = 0
        self._trees: _Trees | None = None

    def __bool__(self) -> bool:
        return bool(self._ids)

    def put(self, resource_id: str, excluded: ExcludedNetworks) -> None:
        """Add a resource, or replace what it excludes."""
        before = self._excluded.get(resource_id)
        is_new = before is None
        if self._trees is not None:
            # Computed before the first effect, in case that raises.
            nodes, old = excluded.nodes(), {} if before is None else before.nodes()
            _discard(self._trees, resource_id, old)
            _add(self._trees, resource_id, nodes)
        elif len(self._ids) + is_new > FEW:
            trees = {size: TileTree(8 * size, Names) for size in _SIZES}
            for other, networks in (*self._excluded.items(), (resource_id, excluded)):
                _add(trees, other, networks.nodes())
            self._trees = trees
        self._excluded[resource_id] = excluded
        if is_new:
            place = insert(self._ids, resource_id)
            # A new one with the greatest id may live, whatever is over below it.
            self._living = self._living + 1 if place <= self._living else len(self._ids)

    def remove(self, resource_id: str) -> None:
        """Remove a resource, which must be there."""
        if self._trees is not None:
            _discard(self._trees, resource_id, self._excluded[resource_id].nodes())
        del self._excluded[resource_id]
        place = discard(self._ids, resource_id)
        self._living -= place < self._living
        # At half of the number that makes an index, so that a change to and fro costs little.
        if len(self._ids) <= FEW // 2:
            self._trees = None

    def best(
        self, packed: bytes, *, is_public: bool, liveness: Liveness | None = None
    ) -> tuple[bool, str] | None:
        """Return the resource that answers for an address, and before it whether it permits.

        Args:
            packed: an address outside the DNS ranges.
            is_public: whether that belongs to the Internet at all.
            liveness: tells which resources are over; `None` if none is.

        Returns:
            `None` if there is no resource, or all are over.
        """
        ids = self._ids
        if liveness is not None:
            self._living = liveness.living(ids, self._living)
        if not self._living:
            return None
        first = ids[self._living - 1]
        if not is_public:
            return False, first
        place = self._living if self._trees is None else self._search(self._trees, packed)
        while place:
            place -= 1
            resource_id = ids[place]
            if liveness is not None and liveness.is_over(resource_id):
                continue
            # Safe to permit: the address is public, and not excluded.
            if packed not in self._excluded[resource_id]:
                return True, resource_id
        return False, first

    def _search(self, trees: _Trees, packed: bytes) -> int:
        """Return how many ids there are up to the greatest that permits a public address."""
        ids, living = self._ids, self._living
        lists = trees[len(packed)].covering(int.from_bytes(packed))
        if not lists:
            return living
        if sum(map(len, lists)) == len(ids):
            return 0
        # Up to the last that may live: those behind it do not answer any more.
        excluding = [(names, bisect_right(names, ids[living - 1])) for names in lists]

        def permitting(place: int) -> int:
            """Return how many permit the address, of those from a place on."""
            start = ids[place]
            return living - place - sum(end - bisect_left(one, start) for one, end in excluding)

        if not permitting(0):
            return 0
        # Some from `low` on permit it, none from `high` on.
        low, high = 0, living
        while high - low > 1:
            middle = (low + high) // 2
            if permitting(middle):
                low = middle
            else:
                high = middle
        return high


def _add(trees: _Trees, resource_id: str, nodes: _Nodes) -> None:
    for size, of_family in nodes.items():
        trees[size].add(resource_id, of_family)


def _discard(trees: _Trees, resource_id: str, nodes: _Nodes) -> None:
    for size, of_family in nodes.items():
        trees[size].discard(resource_id, of_family)
