"""What a gateway knows of a client: the values that `Gateway.client` returns.

They are frozen, and nothing in them changes with the gateway. Times are on the host's clock, in
seconds; before the first `now`, so many seconds after it.
"""

from attrs import frozen

from firezone_filter.structures.attribute_docs import documented
from firezone_filter.values.addresses import Address, TunnelAddresses
from firezone_filter.values.resources import Resource


@documented
@frozen
class AuthorizationState:
    """An authorization that has not ended."""

    resource: Resource
    """The resource, as it was last given."""

    expires_at: float | None
    """When it ends; `None` for never."""


@documented
@frozen
class NameState:
    """A call of `Gateway.domain_resolved`, with all that was given."""

    resource_id: str
    """The DNS resource that the name was resolved for."""

    name: str
    """The name, in lower case and without a final dot."""

    proxy_addresses: tuple[Address, ...]
    """The proxy addresses, in the client's order."""

    resolved_addresses: tuple[Address, ...]
    """The addresses that it resolved to, as they were given but for those with a scope. The
    gateway leaves out more: those that a name server must not be able to give access to."""


@documented
@frozen
class ProxyState:
    """A proxy address, and where it leads."""

    address: Address
    """The proxy address."""

    name: str
    """The name that it stands for."""

    real_address: Address | None
    """The real address for new sessions, which the last call that named the proxy address has
    decided; `None` without any of this family."""

    resource_ids: tuple[str, ...]
    """The DNS resources that it was given for, ascending."""


@documented
@frozen
class NatSessionState:
    """A live session of the NAT: one port of the client and one proxy address."""

    protocol: int
    """IANA protocol number: TCP, UDP, ICMP or ICMPv6."""

    client_port: int
    """The client's port, or its ICMP echo id."""

    proxy_address: Address
    """The far address that the client sees."""

    real_address: Address
    """The far address that the resource has."""

    translated_port: int
    """The port, or echo id, that the resource sees in the place of the client's own."""

    ends_at: float
    """When it ends if no packet comes."""


@documented
@frozen
class FlowState:
    """A live flow of a gateway with `GatewayOptions.stateful`, as the client sees it."""

    protocol: int
    """IANA protocol number."""

    client_address: Address
    """The client's address."""

    far_address: Address
    """The resource's address; of a DNS resource the proxy address."""

    client_port: int | None
    """The client's port; `None` unless TCP or UDP."""

    far_port: int | None
    """The resource's port; `None` unless TCP or UDP."""

    icmp_type: int | None
    """The type of the client's ICMP request; `None` for other protocols."""

    echo_id: int | None
    """The id of an ICMP echo request; `None` for everything else."""

    resource_id: str
    """The resource that permitted its first packet, with whose authorization it ends."""

    ends_at: float
    """When it ends if no packet comes."""


@documented
@frozen
class ClientState:
    """A connected client at one moment; what is over at that moment is not in it."""

    client_id: str
    """Names the client."""

    addresses: TunnelAddresses
    """Its tunnel addresses."""

    authorizations: tuple[AuthorizationState, ...]
    """What it is allowed, in the order in which it was given first."""

    names: tuple[NameState, ...]
    """The names of its DNS resources, in the order in which they were given. One is left out
    whose proxy addresses have all been named again later, for the same resource and name. Of very
    many (with their addresses more than 32,768) the oldest are left out; `proxies` has all."""

    proxies: tuple[ProxyState, ...]
    """Its proxy addresses, in the order in which they were first given."""

    sessions: tuple[NatSessionState, ...]
    """Its live sessions of the NAT."""

    flows: tuple[FlowState, ...]
    """Its live flows, in the order in which they began; `()` without `GatewayOptions.stateful`."""
