"""`Policy` and its parts: plain values, and the gateway that one describes."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from attrs import Attribute, field, frozen

from firezone_filter.documents.faults import Faults, Place
from firezone_filter.documents.nodes import Node
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.policy.consistency import (
    ProxyCheck,
    check_name,
    check_tunnel_address,
    refuse_domains,
)
from firezone_filter.values.addresses import (
    Address,
    AddressPlan,
    TunnelAddresses,
    to_addresses,
    to_resolved,
)
from firezone_filter.values.arguments import check_type
from firezone_filter.values.domains import to_domain
from firezone_filter.values.errors import shown
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
    to_id,
)
from firezone_filter.values.times import to_time

T = TypeVar("T")


def _is_a(*kinds: type) -> Callable[[Any, "Attribute[Any]", Any], None]:
    """Return a type validator; that of attrs fails for values that have no `repr`."""

    def check(_: object, attribute: "Attribute[Any]", value: object) -> None:
        check_type(attribute.name, value, *kinds)

    return check


def _to_tuple(name: str, values: Iterable[T], kind: type[T]) -> tuple[T, ...]:
    # Texts and mappings are iterable only by accident: an empty one is a mistake, not "none".
    if isinstance(values, str | bytes | bytearray | memoryview | Mapping) or not isinstance(
        values, Iterable
    ):
        raise TypeError(f"{name} are an iterable of {kind.__name__}, not {shown(values)}")
    several = tuple(values)
    for one in several:
        check_type(f"each of {name}", one, kind)
    return several


def _to_expiry(value: float | None) -> float | None:
    return None if value is None else to_time(value)


def _to_domains(values: Iterable["PolicyDomain"]) -> tuple["PolicyDomain", ...]:
    return _to_tuple("domains", values, PolicyDomain)


def _to_authorizations(
    values: Iterable["PolicyAuthorization"],
) -> tuple["PolicyAuthorization", ...]:
    return _to_tuple("authorizations", values, PolicyAuthorization)


def _to_clients(values: Iterable["PolicyClient"]) -> tuple["PolicyClient", ...]:
    return _to_tuple("clients", values, PolicyClient)


@frozen
class PolicyDomain:
    """One resolved name of a DNS resource: the arguments of `Gateway.domain_resolved`.

    Raises:
        InvalidAddress: an address is malformed, or a proxy address has a scope.
        InvalidPolicy: *name* is not a domain name.
        TypeError: an argument is of the wrong type.
    """

    name: str = field(converter=to_domain)
    """The name, in lower case and without a final dot."""

    proxy_addresses: tuple[Address, ...] = field(converter=to_addresses)
    """The addresses that the client assigned to the name, in the client's order."""

    resolved_addresses: tuple[Address, ...] = field(converter=to_resolved)
    """The addresses that it resolved to, without those that have a scope. A gateway leaves
    out more: the addresses that a name server must not be able to give access to."""


@frozen
class PolicyAuthorization:
    """One client's permission for one resource.

    Raises:
        InvalidTime: *expires_at* is not finite, or 2**33 or more.
        TypeError: an argument is of the wrong type.
    """

    resource: Resource = field(validator=_is_a(CidrResource, DnsResource, InternetResource))
    """The resource that the client may reach."""

    expires_at: float | None = field(default=None, converter=_to_expiry)
    """When the permission ends, in Unix seconds; `None` for never."""

    domains: tuple[PolicyDomain, ...] = field(default=(), converter=_to_domains)
    """Resolved names, for a DNS resource. Where a proxy address stands more than once, for one
    name, its last place decides."""


@frozen
class PolicyClient:
    """A client and its authorizations.

    Raises:
        InvalidPolicy: the id is empty.
        TypeError: an argument is of the wrong type.
    """

    id: str = field(converter=to_id)
    """Names the client."""

    addresses: TunnelAddresses = field(validator=_is_a(TunnelAddresses))
    """Its addresses inside the tunnel."""

    authorizations: tuple[PolicyAuthorization, ...] = field(
        default=(), converter=_to_authorizations
    )
    """Its permissions; without any it may reach nothing."""


@frozen
class Policy:
    """A gateway's addresses, its clients and their authorizations, and its options.

    A policy contradicts itself nowhere, whether it was made by hand or from a file. A tunnel
    address belongs to one peer and is inside the plan's tunnel ranges; an id stands for one
    client; a client has one authorization for a resource. (If there were two, a gateway would
    let the later one count.)

    Only DNS resources have domains, and the name of each must match the resource's pattern.
    Proxy addresses are inside the plan's DNS ranges, and stand once in each list. A client has
    at most 1,024 of them, each for one name: a gateway that hears of a second name takes the
    address away from the first.

    Raises:
        InvalidPolicy: the policy breaks one of these rules; `faults` lists every place.
        TypeError: an argument is of the wrong type.
    """

    addresses: TunnelAddresses = field(validator=_is_a(TunnelAddresses))
    """The gateway's own addresses inside the tunnel."""

    address_plan: AddressPlan = field(default=AddressPlan(), validator=_is_a(AddressPlan))
    """The ranges of tunnel addresses, and of proxy addresses for DNS resources."""

    clients: tuple[PolicyClient, ...] = field(default=(), converter=_to_clients)
    """The clients, in order."""

    options: GatewayOptions = field(default=GatewayOptions(), validator=_is_a(GatewayOptions))
    """The options of the gateway that it describes."""

    def __attrs_post_init__(self) -> None:
        top = Node(self, Place(), Faults())
        self._check_addresses(top.child("gateway", 0, None), self.addresses)
        clients = top.child("clients", 1, None)
        for n, client in enumerate(self.clients):
            node = clients.child(n, n, client)
            node.child("id", 0, client.id).require_unique("client ids", client.id)
            self._check_addresses(node, client.addresses)
            self._check_authorizations(node, client)
        top.faults.raise_if_any()

    def _check_addresses(self, peer: Node, addresses: TunnelAddresses) -> None:
        for order, address in enumerate(addresses.present(), start=1):
            node = peer.child(f"ipv{address.version}", order, str(address))
            check_tunnel_address(node, address, self.address_plan)

    def _check_authorizations(self, peer: Node, client: PolicyClient) -> None:
        authorizations = peer.child("authorizations", 3, None)
        proxies = ProxyCheck(peer, self.address_plan)
        for n, one in enumerate(client.authorizations):
            node = authorizations.child(n, n, one)
            resource = node.child("resource", 0, one.resource)
            resource.child("id", 0, one.resource.id).require_unique(
                authorizations.place, one.resource.id
            )
            _check_domains(node.child("domains", 2, one.domains), one, proxies)
        proxies.check_number()

    def gateway(
        self,
        now: float | None = None,
        *,
        options: GatewayOptions | None = None,
    ) -> Gateway:
        """Return a new gateway with every client connected, and its authorizations and domains.

        Args:
            now: Unix time, in seconds; required if an authorization expires. One that has
                expired by then is left out, with its domains; the gateway reports that by
                events.
            options: all of the gateway's options, in the place of the policy's own. To change
                some of them, hand in `attrs.evolve(policy.options, stateful=True)`.

        Raises:
            InvalidTime: *now* is not finite, 2**33 or more, or missing although an
                authorization expires (without a clock the permission would never end), or an
                expiry is more than 50 years after *now*.
            TypeError: an argument is of the wrong type.
        """
        gateway = Gateway(
            self.addresses,
            address_plan=self.address_plan,
            options=self.options if options is None else options,
        )
        if now is not None:
            gateway.handle_timeout(now)
        for client in self.clients:
            gateway.client_connected(client.id, client.addresses)
            for one in client.authorizations:
                gateway.authorize(client.id, one.resource, expires_at=one.expires_at)
                # An authorization that has expired is gone already: it has no domains to set.
                if one.expires_at is None or now is None or now < one.expires_at:
                    _resolve(gateway, client.id, one)
        return gateway


def _resolve(gateway: Gateway, client_id: str, one: PolicyAuthorization) -> None:
    for domain in one.domains:
        gateway.domain_resolved(
            client_id,
            one.resource.id,
            domain.name,
            proxy_addresses=domain.proxy_addresses,
            resolved_addresses=domain.resolved_addresses,
        )


def _check_domains(domains: Node, one: PolicyAuthorization, proxies: ProxyCheck) -> None:
    pattern = one.resource.pattern() if isinstance(one.resource, DnsResource) else None
    if pattern is None:
        refuse_domains(domains)
    for n, domain in enumerate(one.domains):
        node = domains.child(n, n, domain)
        check_name(node.child("name", 0, domain.name), domain.name, pattern)
        addresses = node.child("proxy_addresses", 1, None)
        for m, address in enumerate(domain.proxy_addresses):
            proxies.add(addresses.child(m, m, str(address)), address, domain.name)
