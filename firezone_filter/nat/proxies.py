"""Proxy addresses of one client: the name and the real address that each stands for."""

from bisect import insort
from typing import Final

from attrs import define, frozen

from firezone_filter.packet.numbers import IPV4_LENGTH, IPV6_LENGTH

MAX_PROXIES: Final = 1_024
"""Proxy addresses of one client. Firezone's clients assign four of each family to a name, so
this is room for 128 names at a time, at about 300 bytes an address."""


@frozen
class Resolution:
    """A resolved name, with its proxy addresses and its real ones."""

    domain: str
    """The name, in lower case."""

    proxies: tuple[bytes, ...]
    """The proxy addresses that the client assigned to the name, in the client's order."""

    resolved: tuple[bytes, ...]
    """The name's real addresses, without those that no name may resolve to."""


@define(eq=False)
class ProxyAddress:
    """One proxy address of one client."""

    domain: str
    """The name that it stands for, in lower case."""

    target: bytes | None
    """The real address for new sessions; `None` if the name has none of this family."""

    resources: list[str]
    """Ids of the DNS resources that it was assigned for, ascending."""


class ProxyTable:
    """The proxy addresses of one client."""

    __slots__ = ("by_address",)

    def __init__(self) -> None:
        self.by_address: dict[bytes, ProxyAddress] = {}
        """The proxy addresses by packed address. Only this class may change the dict."""

    def __len__(self) -> int:
        return len(self.by_address)

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
        targets = sorted(set(resolution.resolved))
        for size in (IPV4_LENGTH, IPV6_LENGTH):
            behind = [target for target in targets if len(target) == size]
            family = [address for address in resolution.proxies if len(address) == size]
            for number, address in enumerate(family):
                target = behind[number % len(behind)] if behind else None
                self._assign(resource_id, resolution.domain, address, target)

    def _assign(self, resource_id: str, domain: str, address: bytes, target: bytes | None) -> None:
        proxy = self.by_address.get(address)
        if proxy is None:
            self.by_address[address] = ProxyAddress(domain, target, [resource_id])
        else:
            proxy.target = target
            if resource_id not in proxy.resources:
                insort(proxy.resources, resource_id)

    def revoke(self, resource_id: str) -> list[bytes]:
        """Remove a resource; return the proxy addresses that were assigned for it alone."""
        ended = []
        for address, proxy in list(self.by_address.items()):
            if resource_id in proxy.resources:
                proxy.resources.remove(resource_id)
            if not proxy.resources:
                del self.by_address[address]
                ended.append(address)
        return ended

    def clear(self) -> None:
        """Remove all proxy addresses."""
        self.by_address.clear()
