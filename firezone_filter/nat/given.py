"""What a client's DNS resources have been told of names, kept to be told again.

Decisions never depend on it: what a proxy address leads to stands in `proxies`, and where this has
forgotten something, that is the part which counts.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from firezone_filter.nat.proxies import MAX_PROXIES, Resolution

MAX_PLACES: Final = 32 * MAX_PROXIES
"""So many addresses and names are kept for one client. A client that gives its proxy addresses in
ever other lists must not fill the memory: this is 3 MB at most, and room for 1,024 names with 31
addresses each."""

_KEPT: Final = MAX_PLACES * 3 // 4
"""So many stay when there would be more, so that the oldest need not be looked for each time."""


class GivenName(NamedTuple):
    """One resolution of a name, as it was given."""

    number: int
    """Orders them by the time at which they were given."""

    resource_id: str
    """The DNS resource that it was given for."""

    domain: str
    """The name."""

    proxies: tuple[bytes, ...]
    """The proxy addresses, in the client's order."""

    resolved: tuple[bytes, ...]
    """All that it resolved to, also what no name may resolve to."""

    @property
    def places(self) -> int:
        """What it counts towards `MAX_PLACES`."""
        return 1 + len(self.proxies) + len(self.resolved)


class GivenNames:
    """The names of one client's resources, without those that later ones have replaced."""

    __slots__ = ("_next", "_of_resource", "_places")

    def __init__(self) -> None:
        # By resource and name, in the order in which they were given. None is empty.
        self._of_resource: dict[str, dict[str, tuple[GivenName, ...]]] = {}
        self._places = 0
        self._next = 0

    def __iter__(self) -> Iterator[GivenName]:
        """Return those that are kept, in the order in which they were given."""
        names = (name for names in self._of_resource.values() for name in names.values())
        return iter(sorted(one for several in names for one in several))

    def add(self, resource_id: str, resolution: Resolution) -> None:
        """Keep a resolution; what it replaces, and the oldest of too many, is forgotten.

        An earlier one of the same resource and name is replaced once each of its proxy addresses
        has been named again.
        """
        domain = resolution.domain
        new = GivenName(
            self._next, resource_id, domain, resolution.proxies, resolution.all_resolved
        )
        names = self._of_resource.get(resource_id, {})
        before = names.get(domain, ())
        kept, named = [new], set(new.proxies)
        for one in reversed(before):
            if not named.issuperset(one.proxies):
                named.update(one.proxies)
                kept.append(one)
        names[domain] = tuple(reversed(kept))
        self._of_resource[resource_id] = names
        self._next += 1
        self._places += _places(kept) - _places(before)
        if self._places > MAX_PLACES:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        for one in self:
            if self._places <= _KEPT:
                return
            self._places -= one.places
            names = self._of_resource[one.resource_id]
            names[one.domain] = names[one.domain][1:]
            if not names[one.domain]:
                del names[one.domain]
                if not names:
                    del self._of_resource[one.resource_id]

    def forget(self, resource_id: str) -> None:
        """Forget the names of a resource, if it has any."""
        names = self._of_resource.pop(resource_id, None)
        if names is not None:
            self._places -= sum(map(_places, names.values()))

    def forget_name(self, domain: str) -> None:
        """Forget a name of all resources, if there is any."""
        for resource_id, names in list(self._of_resource.items()):
            self._places -= _places(names.pop(domain, ()))
            if not names:
                del self._of_resource[resource_id]

    def clear(self) -> None:
        """Forget all: the client has numbered its proxy addresses anew."""
        self._of_resource.clear()
        self._places = 0


def _places(names: list[GivenName] | tuple[GivenName, ...]) -> int:
    return sum(one.places for one in names)
