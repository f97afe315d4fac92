"""Checks of a message against its gateway, before any part of it takes effect.

A message grants as a whole or not at all. It may call several hooks, and none of them may raise
after another has been called: every mistake that a hook would raise for is found here first.
Nothing is changed here.
"""

from collections.abc import Iterable, Mapping

from attrs import frozen

from firezone_filter.access.authorizations import Authorization
from firezone_filter.gateway.checks import (
    check_free,
    check_in_tunnel,
    check_not_own,
    check_proxies,
    to_expiry,
)
from firezone_filter.gateway.clients import ClientTable
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.portal.commands import AuthorizationKey, PortalClient
from firezone_filter.values.addresses import Address, TunnelAddresses


@frozen(eq=False)
class Preflight:
    """The gateway as it will be at `now`: everything that has expired by then counts as gone."""

    context: GatewayContext
    clients: ClientTable

    public_keys: Mapping[str, bytes]
    """The last known public key of each client."""

    now: float
    """The time at which the message takes effect; never before the latest call."""

    def check_own(self, addresses: TunnelAddresses) -> TunnelAddresses:
        """Return *addresses* unless the gateway would refuse them as its own."""
        check_in_tunnel(addresses, self.context)
        check_free(addresses, self.clients, None)
        return addresses

    def check_clients(self, addresses: TunnelAddresses, client_id: str) -> TunnelAddresses:
        """Return *addresses* unless the gateway would refuse them for this client."""
        check_in_tunnel(addresses, self.context)
        check_not_own(addresses, self.context)
        check_free(addresses, self.clients, client_id)
        return addresses

    def check_proxies(self, proxies: tuple[Address, ...]) -> tuple[Address, ...]:
        """Return *proxies* unless the gateway would refuse them as the proxies of a name."""
        check_proxies(proxies, self.context)
        return proxies

    def check_expiry(self, seconds: int) -> int:
        """Return *seconds* unless the gateway would refuse it as an expiry."""
        to_expiry(seconds, self.now)
        return seconds

    def keeps_session(self, client: PortalClient) -> bool:
        """Tell whether the message belongs to the client's present tunnel session.

        Another address or another key means that the client has restarted, and that
        everything of its old session is lost. If either key is unknown, only the addresses
        count.
        """
        return client.id in self.clients.by_id and not self.has_restarted(
            client.id, client.addresses.present(), client.public_key
        )

    def has_restarted(
        self, client_id: str, addresses: Iterable[Address], public_key: bytes | None
    ) -> bool:
        """Tell whether a connected client has another of these addresses or another key now."""
        connected = self.clients.by_id.get(client_id)
        if connected is None:
            return False
        if any(address.packed not in connected.addresses for address in addresses):
            return True
        known = self.public_keys.get(client_id)
        return known is not None and public_key is not None and public_key != known

    def held(self, client_id: str, resource_id: str) -> Authorization | None:
        """Return a client's authorization for a resource, if one will be left at `now`."""
        return self.clients.authorization(client_id, resource_id, self.now)

    def holders(self, resource_id: str) -> list[Authorization]:
        """Return the authorizations for a resource that will be left at `now`."""
        return [held for _, held in self.clients.holders(resource_id, self.now)]

    def all_held(self) -> dict[AuthorizationKey, float | None]:
        """Return the expiry of every authorization that will be left at `now`."""
        return {
            AuthorizationKey(held.client_id, held.resource.id): held.expires_at
            for client in self.clients.by_id.values()
            for held in client.access.authorizations.values()
            if not held.is_over(self.now)
        }
