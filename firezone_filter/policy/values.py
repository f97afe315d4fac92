"""`Policy`, as it was written down, and the gateway that it makes."""

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import deep_iterable, instance_of

from firezone_filter.addresses import Address, AddressPlan, TunnelAddresses
from firezone_filter.clock import to_time
from firezone_filter.gateway import Gateway
from firezone_filter.policy.document import Node
from firezone_filter.policy.faults import Faults, Place
from firezone_filter.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
    to_id,
)
from firezone_filter.site import GatewayOptions


def _to_expiry(value: float | None) -> float | None:
    return None if value is None else to_time(value)


def _to_authorizations(
    values: Iterable["PolicyAuthorization"],
) -> tuple["PolicyAuthorization", ...]:
    return tuple(values)


def _to_clients(values: Iterable["PolicyClient"]) -> tuple["PolicyClient", ...]:
    return tuple(values)


@frozen
class PolicyAuthorization:
    """One client's permission for one resource.

    Raises:
        InvalidTime: *expires_at* is not finite.
        TypeError: a wrong type.
    """

    resource: Resource = field(
        validator=instance_of((CidrResource, DnsResource, InternetResource))
    )
    """What the client may reach."""

    expires_at: float | None = field(default=None, converter=_to_expiry)
    """When the permission ends, in Unix seconds; `None` for never."""


@frozen
class PolicyClient:
    """A client, and what it may reach.

    Raises:
        InvalidPolicy: an empty id.
        TypeError: a wrong type.
    """

    id: str = field(converter=to_id)
    """Names the client."""

    addresses: TunnelAddresses = field(validator=instance_of(TunnelAddresses))
    """Its addresses inside the tunnel."""

    authorizations: tuple[PolicyAuthorization, ...] = field(
        default=(),
        converter=_to_authorizations,
        validator=deep_iterable(instance_of(PolicyAuthorization)),
    )
    """What it may reach; nothing where there are none."""


@frozen
class Policy:
    """A gateway's addresses, its clients, and what they may reach.

    By hand or from a file, it says everything once: a tunnel address belongs to one peer
    (and is inside the plan's tunnel ranges), an id stands for one client, and a client has
    one authorization for a resource. Of two, a gateway would let the later one count.

    Raises:
        InvalidPolicy: it does not; with every place where it does not.
        TypeError: a wrong type.
    """

    addresses: TunnelAddresses = field(validator=instance_of(TunnelAddresses))
    """The gateway's own addresses inside the tunnel."""

    address_plan: AddressPlan = field(default=AddressPlan(), validator=instance_of(AddressPlan))
    """Which addresses mean clients, and which stand for DNS resources."""

    clients: tuple[PolicyClient, ...] = field(
        default=(), converter=_to_clients, validator=deep_iterable(instance_of(PolicyClient))
    )
    """The clients, in their order."""

    def __attrs_post_init__(self) -> None:
        top = Node(self, Place(), Faults())
        self._check_addresses(top.child("gateway", 0, None), self.addresses)
        clients = top.child("clients", 1, None)
        for n, client in enumerate(self.clients):
            node = clients.child(n, n, client)
            node.child("id", 0, client.id).claim("client ids", client.id)
            self._check_addresses(node, client.addresses)
            _check_resource_ids(node.child("authorizations", 3, None), client)
        top.faults.unless_any(self)

    def _check_addresses(self, peer: Node, addresses: TunnelAddresses) -> None:
        for order, address in enumerate(addresses.present(), start=1):
            node = peer.child(f"ipv{address.version}", order, str(address))
            check_tunnel_address(node, address, self.address_plan)

    def gateway(
        self,
        now: float | None = None,
        *,
        options: GatewayOptions = GatewayOptions(),  # noqa: B008 - immutable
    ) -> Gateway:
        """Return a new gateway to which every client is connected, with its authorizations.

        Args:
            now: Unix time, in seconds; needed where an authorization expires. One that has
                expired by then is gone, which the gateway's events tell.
            options: what a policy has no say in.

        Raises:
            InvalidTime: *now* is not finite, or missing although an authorization expires:
                without a clock the permission would never end. Or an expiry is more than 50
                years after it.
            TypeError: a wrong type.
        """
        gateway = Gateway(self.addresses, address_plan=self.address_plan, options=options)
        if now is not None:
            gateway.handle_timeout(now)
        for client in self.clients:
            gateway.client_connected(client.id, client.addresses)
            for one in client.authorizations:
                gateway.authorize(client.id, one.resource, expires_at=one.expires_at)
        return gateway


def _check_resource_ids(authorizations: Node, client: PolicyClient) -> None:
    for n, one in enumerate(client.authorizations):
        resource = authorizations.child(n, n, one).child("resource", 0, one.resource)
        resource.child("id", 0, one.resource.id).claim(authorizations.place, one.resource.id)


def check_tunnel_address(node: Node, address: Address, plan: AddressPlan | None) -> None:
    """Report an address at *node* that is outside the tunnel ranges, or another peer's.

    Without a *plan*, since that is faulty itself, nothing is outside.
    """
    if plan is not None and not any(address in network for network in plan.tunnel):
        node.refuse("is outside the tunnel ranges")
    node.claim("tunnel address", address)
