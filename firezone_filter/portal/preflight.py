"""A gateway at the moment of a message: what it has then, and what it would refuse.

Nothing is changed here. A message has many effects or none, so that none of its hooks may
find a mistake after another one has been called: all of them are found here.
"""

from collections.abc import Mapping

from attrs import frozen

from firezone_filter.access.authorizations import Authorization
from firezone_filter.gateway.checks import (
    check_free,
    check_in_tunnel,
    check_not_own,
    check_proxies,
    to_expiry,
)
from firezone_filter.gateway.clients import Roster
from firezone_filter.gateway.context import Site
from firezone_filter.values.addresses import Address, TunnelAddresses


@frozen
class PortalClient:
    """A client, as a message describes it."""

    id: str
    """Names the client."""

    addresses: TunnelAddresses
    """Its addresses inside the tunnel, one of each family."""

    public_key: bytes | None = None
    """The key of its end of the tunnel; `None` where the message does not say."""


@frozen(eq=False)
class Preflight:
    """The gateway as it will be at `now`, before the message: what is due by then is gone."""

    site: Site
    roster: Roster

    public_keys: Mapping[str, bytes]
    """The public key that each client was last seen with."""

    now: float
    """When the message takes effect; not before any other call."""

    def check_own(self, addresses: TunnelAddresses) -> TunnelAddresses:
        """Return *addresses* if they can become the gateway's own."""
        check_in_tunnel(addresses, self.site)
        check_free(addresses, self.roster, None)
        return addresses

    def check_clients(self, addresses: TunnelAddresses, client_id: str) -> TunnelAddresses:
        """Return *addresses* if they can be those of the client."""
        check_in_tunnel(addresses, self.site)
        check_not_own(addresses, self.site)
        check_free(addresses, self.roster, client_id)
        return addresses

    def check_proxies(self, proxies: tuple[Address, ...]) -> tuple[Address, ...]:
        """Return *proxies* if a client can have them for a name."""
        check_proxies(proxies, self.site)
        return proxies

    def check_expiry(self, seconds: int) -> int:
        """Return *seconds* if a permission can end then."""
        to_expiry(seconds, self.now)
        return seconds

    def keeps_session(self, client: PortalClient) -> bool:
        """Tell whether the tunnel session that the client has is the one of the message.

        Another address or another key means that the client has restarted, and has lost
        whatever its old session had. A key that nobody has told means nothing.
        """
        connected = self.roster.clients.get(client.id)
        if connected is None or connected.addresses != client.addresses.packed():
            return False
        known = self.public_keys.get(client.id)
        return known is None or client.public_key is None or client.public_key == known

    def held(self, client_id: str, resource_id: str) -> Authorization | None:
        """Return a client's authorization for a resource, if there will be one."""
        held = self.roster.authorization(client_id, resource_id)
        return held if held is not None and self._lasts(held) else None

    def holders(self, resource_id: str) -> list[Authorization]:
        """Return the authorizations that there will be for a resource."""
        return [held for _, held in self.roster.holders(resource_id) if self._lasts(held)]

    def _lasts(self, held: Authorization) -> bool:
        return held.expires_at is None or held.expires_at > self.now
