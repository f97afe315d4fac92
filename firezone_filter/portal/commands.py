"""Portal messages as commands to a gateway, checked and ready to be carried out."""

from collections.abc import Mapping

from attrs import frozen

from firezone_filter.values.addresses import TunnelAddresses
from firezone_filter.values.resources import Resource


@frozen
class AuthorizationKey:
    """Names the authorization of a client for a resource, whether or not it exists."""

    client_id: str
    resource_id: str


@frozen
class PortalClient:
    """A client as a message describes it."""

    id: str
    """The id of the client."""

    addresses: TunnelAddresses
    """Its addresses inside the tunnel, one of each family."""

    public_key: bytes | None = None
    """The public key of its end of the tunnel; `None` if the message has none."""


@frozen
class Init:
    """Set the gateway's own addresses, and revoke every authorization that is not listed."""

    addresses: TunnelAddresses

    expiries: Mapping[AuthorizationKey, float]
    """The authorizations that stay, with their new expiry."""


@frozen
class Grant:
    """Authorize a client for a resource."""

    ref: str
    """The reference to repeat in the reply."""

    client: PortalClient

    keeps_session: bool
    """Whether the client keeps its tunnel session; if not, it begins a new one."""

    resource: Resource
    """The resource; one that the client has already keeps its network or pattern."""

    expires_at: float | None = None
    """The end of the permission; `None` for never."""

    is_handed_back: bool = False
    """Whether the message is the host's too: it has credentials and keys for the connection, or
    proxy addresses for a name to resolve."""


@frozen
class FilterUpdate:
    """Change the filters of a resource for each client that has it."""

    grants: tuple[tuple[str, Resource, float | None], ...]
    """For each client: its id, the resource with its new filters, and the unchanged expiry."""


@frozen
class Rejection:
    """Revoke an authorization."""

    key: AuthorizationKey


@frozen
class ExpiryUpdate:
    """Change the end of an authorization."""

    key: AuthorizationKey
    expires_at: float


Command = Init | Grant | FilterUpdate | Rejection | ExpiryUpdate
"""One message is one command. It may call several hooks, none of which will refuse."""
