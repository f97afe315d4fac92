"""Which proxy address means which name of which client, and until when.

A *lease* is what one client has for one name and IP version. While it lasts, none of its addresses
means another name of that client: so an answer that is cached somewhere stays true. Where a name's
addresses lie is computed from client and name, and a place that is taken makes it the next; what
has been computed is written down before anybody is told (`LeaseStore`), because what was taken is
not known after a restart. Nothing here reads a clock.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Protocol

from attrs import frozen

from firezone_filter.nat.proxies import MAX_PROXIES
from firezone_filter.packet.numbers import IPV4, IPV6
from firezone_filter.values.addresses import Address, Network

LEASE: Final = 86_400.0
"""Seconds that a lease lasts. It is prolonged by an answer only in its second half, so that a name
costs a write a day, and not one for each question."""

MAX_TTL: Final = 300.0
"""The longest that a client may cache proxy addresses, in seconds: permissions change."""

MOST_OF_A_NAME: Final = 4
"""Proxy addresses of a name and version, as Firezone's clients assign them: enough to try another
real address when one does not answer."""

# At most so many places are looked at: the client's own leases, and what the gateway has for other
# names, cannot fill more.
_STEPS: Final = 2 * MAX_PROXIES + 1


@frozen
class Lease:
    """What a client has for one name and IP version."""

    client_id: str
    """The client."""

    name: str
    """The name, in lower case and without a final dot."""

    version: int
    """The IP version: 4 or 6."""

    addresses: tuple[Address, ...]
    """The proxy addresses, in the order in which they were given; at least one."""

    until: float
    """Until when none of them means another name, in Unix seconds. That is at least `LEASE` / 2
    after the last answer with them."""


class LeaseStore(Protocol):
    """Where leases outlive the process."""

    def save(self, lease: Lease) -> None:
        """Put *lease* in the place of the one before, and take its addresses from all others.

        All or nothing; it may raise anything, and has saved nothing then.
        """

    def remove(self, until: float) -> None:
        """Remove all leases that are over at *until*."""


class Leases:
    """The leases of all clients."""

    def __init__(
        self,
        ranges: Iterable[Network],
        store: LeaseStore | None = None,
        kept: Iterable[Lease] = (),
    ) -> None:
        """Begin with the leases that were *kept*, without addresses outside the *ranges*."""
        ranges = tuple(ranges)
        self._pools = {version: _Pool(ranges, version) for version in (IPV4, IPV6)}
        self._store = store
        self._of_client: dict[str, dict[tuple[str, int], Lease]] = {}
        # By client, what has each address. Every address of a lease is in it, and no other.
        self._holders: dict[str, dict[Address, Lease]] = {}
        for one in kept:
            inside = tuple(a for a in one.addresses if any(a in network for network in ranges))
            if inside:
                self._put(Lease(one.client_id, one.name, one.version, inside, one.until))

    def of_client(self, client_id: str) -> tuple[Lease, ...]:
        """Return the leases of a client, also those that are over."""
        return tuple(self._of_client.get(client_id, {}).values())

    def get(self, client_id: str, name: str, version: int) -> Lease | None:
        """Return what a client has for a name, also if it is over."""
        return self._of_client.get(client_id, {}).get((name, version))

    def holder(self, client_id: str, address: Address) -> str | None:
        """Return the name that an address was given to last; `None` for none."""
        lease = self._holders.get(client_id, {}).get(address)
        return None if lease is None else lease.name

    def choose(  # noqa: PLR0913 - each is one fact about the answer
        self,
        client_id: str,
        name: str,
        version: int,
        *,
        wanted: int,
        now: float,
        is_free: Callable[[Address], bool] = lambda _: True,
    ) -> tuple[Address, ...]:
        """Return the addresses that a name has or may have; `hold` is to follow before an answer.

        What it has already it keeps. New ones are chosen until there are *wanted*, or none is
        left.

        Args:
            client_id: the client.
            name: the name, in lower case and without a final dot.
            version: the IP version.
            wanted: how many there should be; more than `MOST_OF_A_NAME` are not given.
            now: Unix time, in seconds.
            is_free: whether the name may have an address, for all that others know of it. One that
                it has and may not have now is not returned, and goes to no other name either.

        Returns:
            The addresses, in the order in which they are given; none if the range is full, or the
            client has all that it may have.
        """
        before = self.get(client_id, name, version)
        addresses = [] if before is None else [a for a in before.addresses if is_free(a)]
        self._add_new(addresses, (client_id, name, version), wanted, now, is_free)
        return tuple(addresses)

    def hold(
        self, client_id: str, name: str, version: int, addresses: Iterable[Address], now: float
    ) -> None:
        """Note that a name has addresses, whoever chose them, in an answer of this moment.

        The answer may be cached for `MAX_TTL`.

        Args:
            client_id: the client.
            name: the name, in lower case and without a final dot.
            version: the IP version.
            addresses: at least one. No other name has them from here on.
            now: Unix time, in seconds.
        """
        before = self.get(client_id, name, version)
        had, until = ((), 0.0) if before is None else (before.addresses, before.until)
        if until < now + LEASE / 2:
            until = now + LEASE
        lease = Lease(client_id, name, version, tuple(dict.fromkeys((*had, *addresses))), until)
        if lease != before:
            if self._store is not None:
                self._store.save(lease)
            self._put(lease)

    def forget_over(self, now: float) -> list[Lease]:
        """Forget the leases that are over at *now*, and return them.

        The store has them until `remove_stored`.
        """
        over = [
            lease
            for leases in self._of_client.values()
            for lease in leases.values()
            if lease.until <= now
        ]
        for lease in over:
            self._remove(lease)
        return over

    def remove_stored(self, now: float) -> None:
        """Remove leases that are over at *now* from the store.

        Raises:
            Exception: whatever the store raises.
        """
        if self._store is not None:
            self._store.remove(now)

    def _add_new(
        self,
        addresses: list[Address],
        key: tuple[str, str, int],
        wanted: int,
        now: float,
        is_free: Callable[[Address], bool],
    ) -> None:
        """Add addresses to those of a name until there are *wanted*."""
        client_id, name, version = key
        missing = min(wanted, MOST_OF_A_NAME) - len(addresses)
        if missing <= 0:
            return
        held = self._holders.get(client_id, {})
        room = MAX_PROXIES - sum(lease.until > now for lease in held.values())
        for number in range(len(addresses), len(addresses) + max(0, min(missing, room))):
            for address in self._pools[version].places(f"{client_id}\0{name}\0{number}"):
                lease = held.get(address)
                is_taken = lease is not None and lease.until > now
                if not is_taken and address not in addresses and is_free(address):
                    addresses.append(address)
                    break

    def _put(self, lease: Lease) -> None:
        """Put a lease in, in the place of what the name had, and of what had its addresses."""
        before = self.get(lease.client_id, lease.name, lease.version)
        if before is not None:
            self._remove(before)
        for address in lease.addresses:
            # Looked up anew each time: removing the last lease of a client removes the dict.
            other = self._holders.get(lease.client_id, {}).get(address)
            if other is not None:
                self._remove(other)
                rest = tuple(one for one in other.addresses if one != address)
                if rest:
                    self._insert(
                        Lease(other.client_id, other.name, other.version, rest, other.until)
                    )
        self._insert(lease)

    def _insert(self, lease: Lease) -> None:
        self._of_client.setdefault(lease.client_id, {})[lease.name, lease.version] = lease
        held = self._holders.setdefault(lease.client_id, {})
        for address in lease.addresses:
            held[address] = lease

    def _remove(self, lease: Lease) -> None:
        leases, held = self._of_client[lease.client_id], self._holders[lease.client_id]
        del leases[lease.name, lease.version]
        for address in lease.addresses:
            del held[address]
        if not leases:
            del self._of_client[lease.client_id], self._holders[lease.client_id]


class _Pool:
    """The proxy addresses of one IP version, in a row."""

    def __init__(self, ranges: Iterable[Network], version: int) -> None:
        # By the place of its first address in the row, each range.
        self._places: list[int] = []
        self._firsts: list[int] = []
        self._size = 0
        for network in ranges:
            # The first and the last address of a range look like a network's own and its
            # broadcast address, with which some clients do not speak.
            if network.version == version and network.prefixlen < network.max_prefixlen - 1:
                self._places.append(self._size)
                self._firsts.append(int(network.network_address) + 1)
                self._size += network.num_addresses - 2
        self._kind = IPv4Address if version == IPV4 else IPv6Address
        self._person = b"proxy v%d" % version

    def places(self, text: str) -> Iterator[Address]:
        """Yield addresses, beginning with one that is computed from a text."""
        if not self._size:
            return
        # An id may be any text of JSON, half a pair of surrogates included.
        digest = blake2b(text.encode(errors="surrogatepass"), digest_size=16, person=self._person)
        start = int.from_bytes(digest.digest())
        for step in range(min(self._size, _STEPS)):
            place = (start + step) % self._size
            part = bisect_right(self._places, place) - 1
            yield self._kind(self._firsts[part] + place - self._places[part])
