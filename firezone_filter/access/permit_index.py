"""What the resources that share a place permit together: a network, or a proxy address.

Theory of operation. Of the resources that permit a packet the greatest id answers (rules.md,
section 5, rule 2). Asking them in turn costs as much as there are, most of all for a packet that
none of them permits. So an index has the ids, in ascending order, by what they permit: every
protocol, some protocol without numbers, and the numbers of TCP, UDP and ICMP (`access.permits`),
where a range stands at the few nodes of a tree that tile it. A packet looks only where its
protocol and number stand, and there only at the greatest id. A change touches what the resource
itself permits.

Resources that exclude a part of the network stand in lists of their own kind, which find the
greatest id that does not exclude the packet's address (`access.excluding`).

Liveness. A resource that is over is skipped although it has not been removed yet, if the caller
says how to tell. It is dropped from wherever it was met, since it never lives again: so each is
skipped only once. Ranges of one resource lie apart, so a packet meets each resource once at most.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, Generic, TypeVar
from typing import Protocol as Shape

from firezone_filter.access.excluding import ExcludedNetworks, ExcludingIds, Nodes
from firezone_filter.access.liveness import Liveness
from firezone_filter.access.permits import PermitCheck
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4_LENGTH, IPV6_LENGTH, TCP, UDP
from firezone_filter.structures.names import ManyNames
from firezone_filter.structures.tile_tree import HasNames, TileTree, tiles

FEW: Final = 4
"""So many resources of one place are asked in turn, which is as quick and takes less memory."""

_BITS: Final = {TCP: 16, UDP: 16, ICMPV4: 8, ICMPV6: 8}
"""How many bits the numbers of a protocol have."""

# ICMP of the other IP version is a protocol that no filter names.
_FOREIGN: Final = {IPV4_LENGTH: ICMPV6, IPV6_LENGTH: ICMPV4}
_UNNAMED: Final = -1


class HasCheck(Shape):
    """Something with compiled filters."""

    @property
    def check(self) -> PermitCheck:
        """Its filters, compiled."""

    @property
    def excluded(self) -> ExcludedNetworks | None:
        """The part of the place that it excludes, if any."""


V = TypeVar("V", bound=HasCheck)
N = TypeVar("N", bound=HasNames)


class _Lists(Generic[N]):
    """Lists of ids, by what the resources permit."""

    __slots__ = ("_everything", "_new", "_others", "_trees", "all")

    def __init__(self, new: Callable[[], N]) -> None:
        self._new = new
        self.all = new()
        self._everything = new()
        self._others: dict[int, N] = {}
        self._trees = {protocol: TileTree(bits, new) for protocol, bits in _BITS.items()}

    def add(self, resource_id: str, check: PermitCheck) -> None:
        """Add an id, unless it is there."""
        self.all.add(resource_id)
        if check.everything:
            self._everything.add(resource_id)
            return
        nodes = tiled(check)
        for protocol, tree in self._trees.items():
            tree.add(resource_id, nodes[protocol])
        for protocol in check.others:
            ids = self._others.get(protocol)
            if ids is None:
                ids = self._others[protocol] = self._new()
            ids.add(resource_id)

    def discard(self, resource_id: str, check: PermitCheck) -> None:
        """Remove an id from where it stands, also where it has been dropped before."""
        self.all.discard(resource_id)
        self._everything.discard(resource_id)
        nodes = tiled(check)
        for protocol, tree in self._trees.items():
            tree.discard(resource_id, nodes[protocol])
        for protocol in check.others:
            ids = self._others.get(protocol)
            if ids is not None:
                ids.discard(resource_id)
                if not ids:
                    del self._others[protocol]

    def permitting(self, protocol: int, number: int | None) -> list[N]:
        """Return the lists of those that permit a packet."""
        tree = self._trees.get(protocol)
        if tree is not None:
            # Without a number one resource has to permit them all, and then stands at the root.
            lists = tree.everywhere() if number is None else tree.covering(number)
        else:
            ids = self._others.get(protocol)
            lists = [] if ids is None else [ids]
        if self._everything:
            lists.append(self._everything)
        return lists


class PermitIndex(Generic[V]):
    """The resources of one place, by what they permit."""

    __slots__ = ("_excluded", "_excluding", "_values", "_whole")

    def __init__(self) -> None:
        self._values: dict[str, V] = {}
        self._whole: _Lists[ManyNames] = _Lists(ManyNames)
        # Those that exclude a part of the place, if there are any, and the part by id.
        self._excluding: _Lists[ExcludingIds] | None = None
        self._excluded: dict[str, Nodes] = {}

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, resource_id: str) -> V:
        return self._values[resource_id]

    def values(self) -> list[V]:
        """Return what there is, by ascending ids."""
        return [self._values[resource_id] for resource_id in sorted(self._values)]

    def put(self, resource_id: str, value: V) -> None:
        """Add a resource, or replace it."""
        # Whatever may raise comes before the first effect.
        tiled(value.check)
        excluded = None if value.excluded is None else value.excluded.nodes()
        before = self._values.get(resource_id)
        if before is not None and (
            before.check is not value.check or before.excluded is not value.excluded
        ):
            self._discard(resource_id, before)
        if excluded is None:
            self._whole.add(resource_id, value.check)
        else:
            self._excluded[resource_id] = excluded
            if self._excluding is None:
                self._excluding = _Lists(partial(ExcludingIds, self._excluded))
            self._excluding.add(resource_id, value.check)
        self._values[resource_id] = value

    def remove(self, resource_id: str) -> None:
        """Remove a resource, which must be there."""
        self._discard(resource_id, self._values.pop(resource_id))

    def _discard(self, resource_id: str, value: V) -> None:
        if self._excluding is None or value.excluded is None:
            self._whole.discard(resource_id, value.check)
            return
        self._excluding.discard(resource_id, value.check)
        del self._excluded[resource_id]
        if not self._excluded:
            self._excluding = None

    def winner(
        self, protocol: int, number: int | None, packed: bytes, liveness: Liveness | None = None
    ) -> str | None:
        """Return the greatest id of those that permit a packet; `None` if none does.

        Args:
            protocol: IANA protocol number.
            number: the packet's number, as for `PermitCheck.refusal`.
            packed: the packet's far address, which the place has.
            liveness: tells which resources are over; `None` if none is.
        """
        if protocol == _FOREIGN[len(packed)]:
            protocol = _UNNAMED
        best = ""  # no id is empty
        if self._whole.all:
            for ids in self._whole.permitting(protocol, number):
                found = _greatest(ids, liveness)
                if found is not None and found > best:
                    best = found
        if self._excluding is not None:
            for excluding in self._excluding.permitting(protocol, number):
                found = excluding.outside(packed, liveness)
                if found is not None and found > best:
                    best = found
        return best or None

    def greatest(self, packed: bytes, liveness: Liveness | None = None) -> str | None:
        """Return the greatest id of those that cover an address; `None` if there is none.

        Arguments are those of `winner`.
        """
        found = None if self._excluding is None else self._excluding.all.outside(packed, liveness)
        return self._greater(found, liveness)

    def first(self) -> str | None:
        """Return the greatest id, whatever it excludes; `None` if all are known to be over."""
        return self._greater(None if self._excluding is None else self._excluding.all.greatest())

    def _greater(self, found: str | None, liveness: Liveness | None = None) -> str | None:
        """Return *found*, or the greatest id that excludes nothing if that is greater."""
        greatest = _greatest(self._whole.all, liveness)
        return found if greatest is None or (found is not None and found > greatest) else greatest


def _greatest(ids: ManyNames, liveness: Liveness | None) -> str | None:
    if liveness is not None:
        return liveness.greatest(ids)
    return ids[-1] if ids else None


def tiled(check: PermitCheck) -> dict[int, tuple[int, ...]]:
    """Return the nodes that tile the permitted numbers, by protocol; computed once."""
    if check.nodes is None:
        check.nodes = {
            protocol: tuple(
                node
                for first, after in zip(bounds[::2], bounds[1::2], strict=True)
                for node in tiles(first, after, _BITS[protocol])
            )
            for protocol, bounds in (check.ipv4 | check.ipv6).items()
            if protocol in _BITS
        }
    return check.nodes
