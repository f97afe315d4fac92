"""What portal messages ask of a gateway, checked and ready to be carried out."""

from collections.abc import Mapping

from attrs import frozen

from firezone_filter.portal.preflight import PortalClient
from firezone_filter.values.addresses import TunnelAddresses
from firezone_filter.values.resources import Resource


@frozen
class AuthorizationKey:
    """One client's authorization for one resource, whether or not there is one."""

    client_id: str
    resource_id: str


@frozen
class Init:
    """The gateway's own addresses, and every authorization that there shall be."""

    addresses: TunnelAddresses
    expiries: Mapping[AuthorizationKey, float]


@frozen
class Grant:
    """A client may reach a resource."""

    ref: str
    """What the reply repeats."""

    client: PortalClient

    keeps_session: bool
    """Whether the client keeps its tunnel session; else it begins a new one."""

    resource: Resource
    """What it may reach, in the place that the gateway knows it in."""

    expires_at: float | None = None
    """When the permission ends; `None` for never."""

    is_named: bool = False
    """Whether proxy addresses for a name came along, which the host has to resolve."""


@frozen
class FilterUpdate:
    """Clients that have a resource get other filters for it."""

    grants: tuple[tuple[str, Resource, float | None], ...]
    """Client id, the resource with its new filters, and the expiry, which stays."""


@frozen
class Rejection:
    """A client may not reach a resource any more."""

    key: AuthorizationKey


@frozen
class ExpiryUpdate:
    """An authorization ends at another time."""

    key: AuthorizationKey
    expires_at: float


Command = Init | Grant | FilterUpdate | Rejection | ExpiryUpdate
"""What is asked for: as many hooks as it takes, none of which will refuse."""
