"""What the resources that share a place permit together: a network, or a proxy address.

Theory of operation. Of the resources that permit a packet the greatest id answers (docs/rules.md,
section 5, rule 2). Asking them in turn costs as much as there are, most of all for a packet that
none of them permits. So an index has the ids, in ascending order, by what they permit: every
protocol, ICMP, and the ports of TCP and of UDP, where a range of ports stands at the few nodes of
a tree that tile it. A packet looks only where its protocol and port stand, and there only at the
greatest id. A change touches what the resource itself permits.

Liveness. A resource that is over is skipped although it has not been removed yet, if the caller
says how to tell. It is dropped from wherever it was met, since it never lives again: so each is
skipped only once. Ranges of one resource lie apart, so a packet meets each resource once at most.
"""

from typing import Final, Generic, Protocol, TypeVar

from firezone_filter.access.liveness import Liveness
from firezone_filter.access.permits import PermitCheck
from firezone_filter.packet.numbers import TCP, UDP
from firezone_filter.structures.names import ManyNames
from firezone_filter.structures.tile_tree import TileTree, tiles

FEW: Final = 4
"""So many resources of one place are asked in turn, which is as quick and takes less memory."""

_PORT_BITS: Final = 16


class HasCheck(Protocol):
    """Something with compiled filters."""

    @property
    def check(self) -> PermitCheck:
        """Its filters, compiled."""


V = TypeVar("V", bound=HasCheck)


class PermitIndex(Generic[V]):
    """The resources of one place, by what they permit."""

    __slots__ = ("_everything", "_icmp", "_ids", "_ports", "_values")

    def __init__(self) -> None:
        self._values: dict[str, V] = {}
        self._ids = ManyNames()
        self._everything = ManyNames()
        self._icmp = ManyNames()
        self._ports = {protocol: TileTree(_PORT_BITS, ManyNames) for protocol in (TCP, UDP)}

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, resource_id: str) -> V:
        return self._values[resource_id]

    def values(self) -> list[V]:
        """Return what there is, by ascending ids."""
        return [self._values[resource_id] for resource_id in sorted(self._values)]

    def put(self, resource_id: str, value: V) -> None:
        """Add a resource, or replace it."""
        check = value.check
        nodes = _nodes(check)
        before = self._values.get(resource_id)
        if before is None:
            self._ids.add(resource_id)
        elif before.check is not check:
            self._discard(resource_id, before.check)
        if check.everything:
            self._everything.add(resource_id)
        else:
            for protocol, ports in self._ports.items():
                ports.add(resource_id, nodes[protocol])
            if check.icmp:
                self._icmp.add(resource_id)
        self._values[resource_id] = value

    def remove(self, resource_id: str) -> None:
        """Remove a resource, which must be there."""
        self._discard(resource_id, self._values.pop(resource_id).check)
        self._ids.discard(resource_id)

    def _discard(self, resource_id: str, check: PermitCheck) -> None:
        nodes = _nodes(check)
        self._everything.discard(resource_id)
        self._icmp.discard(resource_id)
        for protocol, ports in self._ports.items():
            ports.discard(resource_id, nodes[protocol])

    def winner(
        self, protocol: int, port: int | None, icmp: int, liveness: Liveness | None = None
    ) -> str | None:
        """Return the greatest id of those that permit a packet; `None` if none does.

        Arguments but the last are those of `PermitCheck.refusal`.
        """
        ports = self._ports.get(protocol)
        if ports is not None:
            # Without a port one resource has to permit them all, and then stands at the root.
            lists = ports.everywhere() if port is None else ports.covering(port)
        else:
            lists = [self._icmp] if protocol == icmp else []
        if self._everything:
            lists.append(self._everything)
        best = ""  # no id is empty
        for ids in lists:
            if liveness is not None:
                liveness.drop_over(ids)
            if ids and ids[-1] > best:
                best = ids[-1]
        return best or None

    def greatest(self, liveness: Liveness | None = None) -> str | None:
        """Return the greatest id of all; `None` if there is none, or all are over."""
        ids = self._ids
        if liveness is not None:
            liveness.drop_over(ids)
        return ids[-1] if ids else None


def _nodes(check: PermitCheck) -> dict[int, tuple[int, ...]]:
    """Return the nodes that tile the permitted ports, by protocol; computed once."""
    if check.nodes is None:
        check.nodes = {
            protocol: tuple(
                node
                for first, after in zip(bounds[::2], bounds[1::2], strict=True)
                for node in tiles(first, after, _PORT_BITS)
            )
            for protocol, bounds in check.bounds.items()
        }
    return check.nodes
