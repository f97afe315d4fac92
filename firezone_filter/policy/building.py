"""Gateways made of the parts of a policy: to run with, and to ask."""

from collections.abc import Iterable

from attrs import evolve

from firezone_filter.gateway.gateway import Gateway
from firezone_filter.gateway.states import client_state
from firezone_filter.policy.parts import PolicyAuthorization, PolicyClient
from firezone_filter.values.addresses import AddressPlan, TunnelAddresses
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.states import ClientState


def build_gateway(
    addresses: TunnelAddresses,
    plan: AddressPlan,
    options: GatewayOptions,
    clients: Iterable[PolicyClient],
    now: float | None,
) -> Gateway:
    """Return a new gateway with every client connected, and its authorizations and names.

    Arguments and errors are those of `Policy` and `Policy.gateway`.
    """
    gateway = Gateway(addresses, address_plan=plan, options=options)
    if now is not None:
        gateway.handle_timeout(now)
    for client in clients:
        gateway.client_connected(client.id, client.addresses)
        for one in client.authorizations:
            gateway.authorize(client.id, one.resource, expires_at=one.expires_at)
            # An authorization that has expired is gone already: it has no names to set.
            if one.expires_at is None or now is None or now < one.expires_at:
                resolve(gateway, client.id, one)
    return gateway


def resolve(gateway: Gateway, client_id: str, one: PolicyAuthorization) -> None:
    """Tell a gateway the names of an authorization that it has."""
    for domain in one.domains or ():
        gateway.domain_resolved(
            client_id,
            one.resource.id,
            domain.name,
            proxy_addresses=domain.proxy_addresses,
            resolved_addresses=domain.resolved_addresses,
        )


def resolved_names(
    addresses: TunnelAddresses, plan: AddressPlan, clients: Iterable[PolicyClient]
) -> dict[str, ClientState]:
    """Return the state of those clients that have names, as a new gateway of them has it.

    They have nothing there but the DNS resources with names; none of these ever ends.
    """
    named = []
    for client in clients:
        those = [evolve(one, expires_at=None) for one in client.authorizations if one.domains]
        if those:
            named.append(evolve(client, authorizations=those))
    if not named:
        return {}
    return states_of(build_gateway(addresses, plan, GatewayOptions(), named, None))


def states_of(gateway: Gateway, at: float | None = None) -> dict[str, ClientState]:
    """Return the states of all clients by id, without sessions and flows.

    Args:
        gateway: the gateway; it may be asked before that time has come.
        at: the time; `None` for the latest `now`.
    """
    now = gateway._now if at is None else at  # noqa: SLF001 - of one library
    clients = gateway._clients.by_id.values()  # noqa: SLF001 - as above
    return {client.id: client_state(client, now, with_traffic=False) for client in clients}


def unexpired(clients: Iterable[PolicyClient], at: float | None) -> tuple[PolicyClient, ...]:
    """Return the clients with the authorizations that are not over at *at*; `None`: all."""
    return tuple(
        evolve(
            client,
            authorizations=[
                one
                for one in client.authorizations
                if at is None or one.expires_at is None or at < one.expires_at
            ],
        )
        for client in clients
    )


def living(clients: Iterable[PolicyClient], at: float | None) -> tuple[PolicyClient, ...]:
    """Return the clients with the authorizations that are not over at *at*, all without end.

    A gateway of these needs no clock, and permits for ever what a policy permits at that moment.
    With `None` nothing has expired.
    """
    return tuple(
        evolve(
            client,
            authorizations=[
                one if one.expires_at is None else evolve(one, expires_at=None)
                for one in client.authorizations
            ],
        )
        for client in unexpired(clients, at)
    )
