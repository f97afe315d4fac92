"""Gives clients of a policy addresses that occur in a capture."""

from collections.abc import Iterable
from ipaddress import IPv4Address, ip_network

from attrs import evolve

from firezone_filter.policy import Policy, PolicyClient
from firezone_filter.values.addresses import Address, AddressPlan
from firezone_filter.values.errors import InvalidAddress, UnknownClient


def assign_addresses(policy: Policy, assigned: Iterable[tuple[str, Address]]) -> Policy:
    """Return *policy* with other addresses for some of its clients.

    An address takes the place of the client's address of its family, and joins the tunnel
    ranges if they do not cover it.

    Args:
        policy: the policy.
        assigned: pairs of a client's id and an address; at most one of each family for a client.

    Raises:
        UnknownClient: the policy has no client of that id.
        InvalidAddress: a client gets two addresses of one family, or an address is in the DNS
            ranges.
        InvalidPolicy: an address is another client's, or the gateway's own.
    """
    clients = {client.id: client for client in policy.clients}
    plan = policy.address_plan
    given: set[tuple[str, int]] = set()
    for client_id, address in assigned:
        if client_id not in clients:
            known = ", ".join(map(repr, clients)) or "none"
            raise UnknownClient(
                f"{client_id!r} is no client of the policy; its clients: {known}", client_id
            )
        if (client_id, address.version) in given:
            raise InvalidAddress(
                f"{client_id!r} gets more than one IPv{address.version} address", address
            )
        given.add((client_id, address.version))
        clients[client_id] = _with_address(clients[client_id], address)
        plan = _covering(plan, address)
    return evolve(policy, clients=tuple(clients.values()), address_plan=plan)


def _with_address(client: PolicyClient, address: Address) -> PolicyClient:
    if isinstance(address, IPv4Address):
        addresses = evolve(client.addresses, ipv4=address)
    else:
        addresses = evolve(client.addresses, ipv6=address)
    return evolve(client, addresses=addresses)


def _covering(plan: AddressPlan, address: Address) -> AddressPlan:
    if any(address in network for network in plan.dns_resources):
        raise InvalidAddress(
            f"{address} is in the DNS ranges of the address plan, which no client can be", address
        )
    if any(address in network for network in plan.tunnel):
        return plan
    return evolve(plan, tunnel=(*plan.tunnel, ip_network(address)))
