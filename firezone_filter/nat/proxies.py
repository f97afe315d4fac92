"""Proxy addresses of one client: the name and the real address that each stands for."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from attrs import define, frozen

from firezone_filter.packet.numbers import IPV4_LENGTH, IPV6_LENGTH

MAX_PROXIES: Final = 1_024
"""Proxy addresses of one client. Firezone's clients assign four of each family to a name, so
this is room for 128 names at a time, at about 300 bytes an address."""

_FEW: Final = 4
"""So many resources of one proxy address are asked in turn, which is as quick."""


@frozen
class Resolution:
    """A resolved name, with its proxy addresses and its real ones."""

    domain: str
    """The name, in lower case."""

    proxies: tuple[bytes, ...]
    """The proxy addresses that the client assigned to the name, in the client's order."""

    resolved: tuple[bytes, ...]
    """The name's real addresses, without those that no name may resolve to."""

    all_resolved: tuple[bytes, ...] = ()
    """The same with those, in the order in which they were given."""


class SharedPermits(Protocol):
    """What the resources of one proxy address permit together, kept by the room that judges."""

    def add(self, resource_id: str) -> None:
        """Add a resource."""

    def remove(self, resource_id: str) -> None:
        """Remove a resource, which must be there. This must not raise."""


@define(eq=False)
class ProxyAddress:
    """One proxy address of one client."""

    domain: str
    """The name that it stands for, in lower case."""

    target: bytes | None
    """The real address for new sessions; `None` if the name has none of this family."""

    resources: list[str]
    """Ids of the DNS resources that it was assigned for, ascending."""

    permits: SharedPermits | None = None
    """What these permit together; `None` for few, which are asked in turn."""

    ends_at: float = math.inf
    """When the last of their authorizations ends, as far as that is known."""


class Withdrawal(NamedTuple):
    """What `ProxyTable.withdraw` has done."""

    ended: list[bytes]
    """The proxy addresses that were assigned for the resource alone, and are gone."""

    steps: int
    """How many proxy addresses it took from the resource."""

    is_done: bool
    """Whether the resource has none left."""


class ProxyTable:
    """The proxy addresses of one client."""

    __slots__ = ("_of_resource", "by_address", "share_permits")

    def __init__(self) -> None:
        self.by_address: dict[bytes, ProxyAddress] = {}
        """The proxy addresses by packed address. Only this class may change the dict."""
        self.share_permits: Callable[[], SharedPermits] | None = None
        """Makes the `permits` of a proxy address that many resources share; `None` for none."""
        self._of_resource: dict[str, list[bytes]] = {}

    def __len__(self) -> int:
        return len(self.by_address)

    def targets(self) -> set[bytes]:
        """Return the real addresses for new sessions."""
        return {proxy.target for proxy in self.by_address.values() if proxy.target is not None}

    def is_renumbered_by(self, resolution: Resolution) -> bool:
        """Tell whether *resolution* gives a known proxy address to another name."""
        known = (self.by_address.get(address) for address in resolution.proxies)
        return any(proxy is not None and proxy.domain != resolution.domain for proxy in known)

    def count_after(self, resolution: Resolution) -> int:
        """Return how many proxy addresses there would be after *resolution*."""
        stay = () if self.is_renumbered_by(resolution) else self.by_address.keys()
        return len({*stay, *resolution.proxies})

    def assign(self, resource_id: str, resolution: Resolution) -> None:
        """Assign proxy addresses to a name, and one of its real addresses to each.

        That is round robin by family, in numeric order of the real addresses: so the order in
        which a name server lists them, which often rotates, does not change the translation.
        """
        self._share(resource_id, resolution.proxies)
        for address, target in _targets(resolution):
            self._assign(resource_id, resolution.domain, address, target)

    def has(self, resource_id: str, resolution: Resolution) -> bool:
        """Tell whether `assign` would change nothing."""
        for address, target in _targets(resolution):
            proxy = self.by_address.get(address)
            if (
                proxy is None
                or (proxy.domain, proxy.target) != (resolution.domain, target)
                or not _place(proxy.resources, resource_id)[1]
            ):
                return False
        return True

    def _assign(self, resource_id: str, domain: str, address: bytes, target: bytes | None) -> None:
        proxy = self.by_address.get(address)
        if proxy is None:
            proxy = self.by_address[address] = ProxyAddress(domain, target, [])
        proxy.target = target
        place, is_there = _place(proxy.resources, resource_id)
        if not is_there:
            proxy.resources.insert(place, resource_id)
            self._of_resource.setdefault(resource_id, []).append(address)

    def _share(self, resource_id: str, addresses: tuple[bytes, ...]) -> None:
        """Take a resource into the permits of those of its proxy addresses that many share.

        All or nothing, and before anything else is changed, since this may raise.
        """
        if self.share_permits is None:
            return
        shared: list[ProxyAddress] = []
        try:
            for address in dict.fromkeys(addresses):
                proxy = self.by_address.get(address)
                if proxy is None or _place(proxy.resources, resource_id)[1]:
                    continue
                if proxy.permits is not None:
                    proxy.permits.add(resource_id)
                elif len(proxy.resources) >= _FEW:
                    permits = self.share_permits()
                    for one in (*proxy.resources, resource_id):
                        permits.add(one)
                    proxy.permits = permits
                else:
                    continue
                shared.append(proxy)
        except BaseException:
            for proxy in shared:
                self._unshare(proxy, resource_id)
            raise

    def _unshare(self, proxy: ProxyAddress, resource_id: str) -> None:
        if proxy.permits is not None:
            proxy.permits.remove(resource_id)
            # At half of the number that makes them, so that a change to and fro costs little.
            if len(proxy.resources) <= _FEW // 2:
                proxy.permits = None

    def shared_permits(self, resource_id: str) -> list[SharedPermits]:
        """Return the permits that a resource has a part in."""
        proxies = (self.by_address[address] for address in self._of_resource.get(resource_id, ()))
        return [proxy.permits for proxy in proxies if proxy.permits is not None]

    def addresses(self, resource_id: str) -> list[bytes]:
        """Return the proxy addresses that were assigned for a resource."""
        return list(self._of_resource.get(resource_id, ()))

    def note_ends(
        self, addresses: Iterable[bytes], ends_at: Callable[[str], float]
    ) -> dict[bytes, float]:
        """Find out when some proxy addresses end; return that for each that there is."""
        ends: dict[bytes, float] = {}
        for address in addresses:
            proxy = self.by_address.get(address)
            if proxy is not None:
                proxy.ends_at = ends[address] = max(map(ends_at, proxy.resources))
        return ends

    def withdraw(self, resource_id: str, most: int | None = None) -> Withdrawal:
        """Take up to *most* proxy addresses from a resource, those that it got last first.

        Until that is done, it has the others still: whoever asks must know that it is over.
        """
        addresses = self._of_resource.get(resource_id, [])
        steps = len(addresses) if most is None else min(most, len(addresses))
        ended: list[bytes] = []
        for _ in range(steps):
            address = addresses.pop()
            proxy = self.by_address[address]
            del proxy.resources[bisect_left(proxy.resources, resource_id)]
            self._unshare(proxy, resource_id)
            if not proxy.resources:
                del self.by_address[address]
                ended.append(address)
        if not addresses:
            self._of_resource.pop(resource_id, None)
        return Withdrawal(ended, steps, not addresses)

    def of_name(self, domain: str) -> list[bytes]:
        """Return the proxy addresses that stand for a name."""
        return [address for address, proxy in self.by_address.items() if proxy.domain == domain]

    def remove(self, addresses: Iterable[bytes]) -> None:
        """Remove proxy addresses, whichever resources they were assigned for."""
        gone = set(addresses)
        resources = {one for address in gone for one in self.by_address[address].resources}
        left = {
            resource_id: [one for one in self._of_resource[resource_id] if one not in gone]
            for resource_id in resources
        }
        # All that needs memory comes first: half done, this could not be mended by a call.
        going, staying = iter(gone), iter(left.items())
        for address in going:
            del self.by_address[address]
        for resource_id, others in staying:
            if others:
                self._of_resource[resource_id] = others
            else:
                del self._of_resource[resource_id]

    def resources(self) -> list[str]:
        """Return the ids of the resources that proxy addresses were assigned for."""
        return list(self._of_resource)

    def clear(self) -> None:
        """Remove all proxy addresses."""
        self.by_address.clear()
        self._of_resource.clear()


def _targets(resolution: Resolution) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield each proxy address with the real one that it gets."""
    targets = sorted(set(resolution.resolved))
    for size in (IPV4_LENGTH, IPV6_LENGTH):
        behind = [target for target in targets if len(target) == size]
        family = [address for address in resolution.proxies if len(address) == size]
        for number, address in enumerate(family):
            yield address, behind[number % len(behind)] if behind else None


def _place(ids: list[str], resource_id: str) -> tuple[int, bool]:
    """Return the place of an id among ascending ones, and whether it is there."""
    place = bisect_left(ids, resource_id)
    return place, place < len(ids) and ids[place] == resource_id
