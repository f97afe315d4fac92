"""What a gateway has been told, in the words of a policy."""

from collections import defaultdict

from attrs import evolve

from firezone_filter.gateway.gateway import Gateway
from firezone_filter.policy.building import resolved_names, states_of
from firezone_filter.policy.parts import PolicyAuthorization, PolicyClient, PolicyDomain
from firezone_filter.values.addresses import Address, AddressPlan, TunnelAddresses
from firezone_filter.values.resources import DnsResource
from firezone_filter.values.states import ClientState, NameState, ProxyState

Additions = dict[str, list[PolicyDomain]]
"""By resource, what has to be said of names besides, at the end."""


def told_clients(gateway: Gateway) -> tuple[PolicyClient, ...]:
    """Return the clients of a gateway, with all that it has been told of them.

    A gateway of these decides as that one does. A policy says things in its own order, client by
    client and resource by resource. Where the order of calls was another, and two resources share
    a proxy address, or where a gateway has forgotten what it was told, it is said besides where
    a proxy address leads to.
    """
    addresses, plan = gateway.addresses, gateway.address_plan
    states = states_of(gateway)
    clients = {state.client_id: _told(state) for state in states.values()}
    said = resolved_names(addresses, plan, clients.values())
    for client_id, state in states.items():
        additions = _additions(state, said.get(client_id))
        if additions:
            clients[client_id] = _with_additions(clients[client_id], additions, addresses, plan)
    return tuple(clients.values())


def _told(state: ClientState) -> PolicyClient:
    return PolicyClient(
        state.client_id,
        state.addresses,
        [
            PolicyAuthorization(
                one.resource,
                one.expires_at,
                _domains(state.names, one.resource.id)
                if isinstance(one.resource, DnsResource)
                else None,
            )
            for one in state.authorizations
        ],
    )


def _domains(names: tuple[NameState, ...], resource_id: str) -> tuple[PolicyDomain, ...]:
    return tuple(
        PolicyDomain(one.name, one.proxy_addresses, one.resolved_addresses)
        for one in names
        if one.resource_id == resource_id
    )


def _additions(state: ClientState, said: ClientState | None) -> Additions:
    """Return what is to be said besides, since a gateway would else have what is *said*."""
    known = {} if said is None else {proxy.address: proxy for proxy in said.proxies}
    order = {one.resource.id: place for place, one in enumerate(state.authorizations)}
    together: defaultdict[tuple[str, str, Address | None], list[Address]] = defaultdict(list)
    for proxy in state.proxies:
        for resource_id in _unsaid(proxy, known.get(proxy.address), order):
            together[resource_id, proxy.name, proxy.real_address].append(proxy.address)
    additions: Additions = {}
    for (resource_id, name, real), addresses in together.items():
        domain = PolicyDomain(name, addresses, () if real is None else (real,))
        additions.setdefault(resource_id, []).append(domain)
    return additions


def _unsaid(proxy: ProxyState, said: ProxyState | None, order: dict[str, int]) -> set[str]:
    """Return the resources of which is to be said that they have a proxy address."""
    ids = set(proxy.resource_ids) - set(() if said is None else said.resource_ids)
    if ids or (said is not None and said.real_address != proxy.real_address):
        # Of those that share it the last one decides.
        ids.add(max(proxy.resource_ids, key=order.__getitem__))
    return ids


def _with_additions(
    client: PolicyClient, additions: Additions, addresses: TunnelAddresses, plan: AddressPlan
) -> PolicyClient:
    client = evolve(
        client,
        authorizations=[
            evolve(one, domains=(*(one.domains or ()), *additions.get(one.resource.id, ())))
            for one in client.authorizations
        ],
    )
    # Without what that replaces altogether.
    names = resolved_names(addresses, plan, [client])[client.id].names
    return evolve(
        client,
        authorizations=[
            one if one.domains is None else evolve(one, domains=_domains(names, one.resource.id))
            for one in client.authorizations
        ],
    )
