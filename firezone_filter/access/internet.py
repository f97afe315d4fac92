"""The Internet resources of one client: which of them answers for an address.

Each permits every public address but those that it excludes (rules.md, section 5, rule 5).
Of those that permit an address the greatest id answers, of those that refuse it too.
"""

from firezone_filter.access.excluding import ExcludedNetworks, ExcludingIds, Nodes
from firezone_filter.access.liveness import Liveness
from firezone_filter.access.permit_index import FEW
from firezone_filter.structures.names import discard, insert


class InternetAccess:
    """The Internet resources of one client."""

    __slots__ = ("_excluded", "_ids", "_many", "_nodes")

    def __init__(self) -> None:
        self._excluded: dict[str, ExcludedNetworks] = {}
        self._ids: list[str] = []
        self._nodes: dict[str, Nodes] = {}
        # Few are asked in turn, which is as quick and takes less memory.
        self._many: ExcludingIds | None = None

    def __bool__(self) -> bool:
        return bool(self._ids)

    def excluded_by_id(self) -> dict[str, ExcludedNetworks]:
        """Return what each resource excludes, greatest id first: the order of their answers."""
        return {one: self._excluded[one] for one in reversed(self._ids)}

    def put(self, resource_id: str, excluded: ExcludedNetworks) -> None:
        """Add a resource, or replace what it excludes."""
        is_new = resource_id not in self._excluded
        if self._many is not None:
            nodes = excluded.nodes()  # before the first effect, in case that raises
            self._many.discard(resource_id)
            self._nodes[resource_id] = nodes
            self._many.add(resource_id)
        elif len(self._ids) + is_new > FEW:
            all_excluded = {**self._excluded, resource_id: excluded}
            self._nodes = {one: networks.nodes() for one, networks in all_excluded.items()}
            self._many = ExcludingIds(self._nodes)
            for one in all_excluded:
                self._many.add(one)
        self._excluded[resource_id] = excluded
        insert(self._ids, resource_id)

    def remove(self, resource_id: str) -> None:
        """Remove a resource, which must be there."""
        del self._excluded[resource_id]
        discard(self._ids, resource_id)
        if self._many is not None:
            self._many.discard(resource_id)
            del self._nodes[resource_id]
            # At half of the number that makes an index, so that a change to and fro costs little.
            if len(self._ids) <= FEW // 2:
                self._nodes, self._many = {}, None

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
        if self._many is not None:
            first = self._many.greatest(liveness)
            found = self._many.outside(packed, liveness) if is_public else None
            if found is not None:
                return True, found  # safe as below
            return None if first is None else (False, first)
        refusing: str | None = None
        for resource_id in reversed(self._ids):
            if liveness is not None and liveness.is_over(resource_id):
                continue
            # Safe to permit: the address is public, and not excluded.
            if is_public and packed not in self._excluded[resource_id]:
                return True, resource_id
            refusing = refusing or resource_id
        return None if refusing is None else (False, refusing)
