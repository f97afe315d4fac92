"""The state of a client as values (`values.states`), for those who look at a gateway.

Nothing is changed here.
"""

from collections.abc import Container, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from firezone_filter.gateway.client import Client
from firezone_filter.nat.nat import Nat
from firezone_filter.nat.sessions import Session
from firezone_filter.packet.numbers import IPV4_LENGTH, IPV6_LENGTH
from firezone_filter.stateful.flows import Flow
from firezone_filter.stateful.identity import read_identity
from firezone_filter.values.addresses import Address, TunnelAddresses
from firezone_filter.values.states import (
    AuthorizationState,
    ClientState,
    FlowState,
    NameState,
    NatSessionState,
    ProxyState,
)


def client_state(client: Client, now: float, *, with_traffic: bool = True) -> ClientState:
    """Return the state of a client at *now*; without its sessions and flows on request."""
    authorizations = {
        resource_id: AuthorizationState(held.resource, held.expires_at)
        for resource_id, held in client.access.authorizations.items()
        if not held.is_over(now)
    }
    nat, flows = client.nat, client.flows
    sessions = nat.live_sessions(now) if nat is not None and with_traffic else ()
    begun = flows.living(now) if flows is not None and with_traffic else ()
    return ClientState(
        client.id,
        _tunnel_addresses(client),
        tuple(authorizations.values()),
        () if nat is None else tuple(_names(nat, authorizations)),
        () if nat is None else tuple(_proxies(nat, authorizations)),
        tuple(map(_session, sessions)),
        tuple(map(_flow, begun)),
    )


def _tunnel_addresses(client: Client) -> TunnelAddresses:
    by_length = {len(packed): packed for packed in client.addresses}
    ipv4, ipv6 = by_length.get(IPV4_LENGTH), by_length.get(IPV6_LENGTH)
    return TunnelAddresses(
        None if ipv4 is None else IPv4Address(ipv4), None if ipv6 is None else IPv6Address(ipv6)
    )


def _addresses(several: Iterable[bytes]) -> tuple[Address, ...]:
    return tuple(map(ip_address, several))


def _names(nat: Nat, living: Container[str]) -> Iterator[NameState]:
    for one in nat.given:
        if one.resource_id in living:
            yield NameState(
                one.resource_id, one.domain, _addresses(one.proxies), _addresses(one.resolved)
            )


def _proxies(nat: Nat, living: Container[str]) -> Iterator[ProxyState]:
    for packed, proxy in nat.proxies.by_address.items():
        resource_ids = tuple(one for one in proxy.resources if one in living)
        if resource_ids:
            real = None if proxy.target is None else ip_address(proxy.target)
            yield ProxyState(ip_address(packed), proxy.domain, real, resource_ids)


def _session(session: Session) -> NatSessionState:
    (protocol, port, proxy), (_, translated, real) = session.forward_key, session.reverse_key
    return NatSessionState(
        protocol, port, ip_address(proxy), ip_address(real), translated, session.ends_at
    )


def _flow(flow: Flow) -> FlowState:
    ends = read_identity(flow.key)
    return FlowState(
        ends.protocol,
        ip_address(ends.near),
        ip_address(ends.far),
        ends.near_port,
        ends.far_port,
        ends.request,
        ends.echo_id,
        flow.group.resource_id,
        flow.ends_at,
    )
