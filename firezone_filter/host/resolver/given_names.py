"""`GivenNames`: proxy addresses for the names that clients ask for, and where they lead."""

import asyncio
import time
from collections.abc import Callable
from hashlib import blake2b

from firezone_filter.host.resolver.access import Access
from firezone_filter.host.resolver.leases import Lease, Leases
from firezone_filter.host.resolver.resolutions import Resolved
from firezone_filter.packet.numbers import IPV4, IPV6
from firezone_filter.values.addresses import Address


class GivenNames:
    """Gives proxy addresses to names, and tells the gateway."""

    def __init__(
        self, access: Access, leases: Leases, clock: Callable[[], float] = time.time
    ) -> None:
        """Give addresses by *leases*; *clock* returns Unix time, and never runs backwards."""
        self._access = access
        self._leases = leases
        self._clock = clock
        # Names of which the gateway may have proxy addresses that are in no lease.
        self._left: dict[tuple[str, str], None] = {}

    def give(
        self, client_id: str, name: str, version: int, resolved: Resolved
    ) -> tuple[Address, ...]:
        """Return the proxy addresses of a name that has real ones, for an answer.

        Returns:
            The addresses, in an order that differs from client to client, so that not all of them
            go to the same real address; none if the client can have no more of them.

        Raises:
            NamesFullError: the gateway says so.
        """
        now = self._clock()
        proxies = self._leases.choose(
            client_id,
            name,
            version,
            wanted=len(resolved.addresses),
            now=now,
            is_free=lambda address: self._access.holder(client_id, address) in {None, name},
        )
        if not proxies:
            return ()
        try:
            # First, since what the gateway has no room for must not take up room here.
            self._access.tell(client_id, name, proxies, resolved.addresses)
            self._hold(client_id, name, version, proxies, now)
        except BaseException:
            self._left[client_id, name] = None
            raise
        text = f"{client_id}\0{name}".encode(errors="surrogatepass")
        first = blake2b(text, digest_size=1).digest()[0] % len(proxies)
        return proxies[first:] + proxies[:first]

    def note(self, client_id: str, name: str, addresses: tuple[Address, ...]) -> None:
        """Note an answer with proxy addresses of one version that the policy itself has given.

        If the policy gives them up, no other name gets them while the answer may be cached.
        """
        self._hold(client_id, name, addresses[0].version, addresses, self._clock())

    def _hold(
        self,
        client_id: str,
        name: str,
        version: int,
        addresses: tuple[Address, ...],
        now: float,
    ) -> None:
        for address in addresses:
            before = self._leases.holder(client_id, address)
            if before is not None and before != name:
                # That may have been the last address of its lease.
                self._left[client_id, before] = None
        self._leases.hold(client_id, name, version, addresses, now)

    def of_client(self, client_id: str) -> list[Lease]:
        """Return the leases of a client that last, and whose names it may reach."""
        now = self._clock()
        return [
            lease
            for lease in self._leases.of_client(client_id)
            if lease.until > now and self._access.is_open(client_id, lease.name)
        ]

    def of_name(self, name: str, version: int) -> list[Lease]:
        """Return the leases of a name that last, of connected clients that may reach it."""
        now = self._clock()
        return [
            lease
            for client_id in self._access.clients()
            if (lease := self._leases.get(client_id, name, version)) is not None
            and lease.until > now
            and self._access.is_open(client_id, name)
        ]

    def name_of(self, client_id: str, address: Address) -> str | None:
        """Return the name that a proxy address stands for; `None` if it stands for none."""
        held = self._access.holder(client_id, address)
        return self._leases.holder(client_id, address) if held is None else held

    async def forget_over(self) -> None:
        """End leases that are over, and take back what the gateway has beyond those that last.

        A name that has sessions leads nowhere, and is taken back by a later call.

        Raises:
            LeaseFileError: what is over cannot be removed from the file. It has ended all the
                same.
        """
        now = self._clock()
        over = self._leases.forget_over(now)
        self._left |= {(lease.client_id, lease.name): None for lease in over}
        for client_id, name in list(self._left):
            lasting = (self._leases.get(client_id, name, version) for version in (IPV4, IPV6))
            keep = {address for lease in lasting if lease for address in lease.addresses}
            if self._access.take_back(client_id, name, keep):
                del self._left[client_id, name]
            # Packets come between: a name takes 3 ms where a client has 16,384 stateful flows.
            await asyncio.sleep(0)
        if over:
            self._leases.remove_stored(now)

    def retell(self, lease: Lease, real: tuple[Address, ...]) -> None:
        """Tell the gateway where the proxy addresses of a lease lead now.

        Raises:
            NamesFullError: the gateway says so; it does not without real addresses.
        """
        client_id, name = lease.client_id, lease.name
        # What the policy has given since, to this name or another, leads where it says. Without
        # real addresses only what the gateway has is told: nothing is made to lead nowhere.
        fixed = self._access.fixed(client_id, name) or ()
        holders = {None, name} if real else {name}
        proxies = tuple(
            address
            for address in lease.addresses
            if address not in fixed and self._access.holder(client_id, address) in holders
        )
        if proxies:
            self._access.tell(client_id, name, proxies, real)
