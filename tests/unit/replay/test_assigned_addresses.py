"""Addresses of a capture for the clients of a policy."""

from ipaddress import ip_address, ip_network

import pytest

from firezone_filter.policy import Policy, PolicyClient
from firezone_filter.replay.assigned_addresses import assign_addresses
from firezone_filter.values.addresses import TunnelAddresses
from firezone_filter.values.errors import (
    FirezoneFilterError,
    InvalidAddress,
    InvalidPolicy,
    UnknownClient,
)
from tests.captures import CLIENT, CLIENT_6, GATEWAY, policy


def assigned(*pairs: str, to: Policy | None = None) -> Policy:
    split = [pair.rsplit("=", 1) for pair in pairs]
    addresses = [(client_id, ip_address(address)) for client_id, address in split]
    return assign_addresses(to or policy(), addresses)


def test_without_addresses_the_policy_stays_as_it_is() -> None:
    assert assigned() == policy()


@pytest.mark.parametrize(
    ("pairs", "addresses", "added"),
    [
        (["alice=192.168.1.5"], ["192.168.1.5", CLIENT_6], ["192.168.1.5/32"]),
        (["alice=2001:db8::5"], [CLIENT, "2001:db8::5"], ["2001:db8::5/128"]),
        (
            ["alice=192.168.1.5", "alice=2001:db8::5"],
            ["192.168.1.5", "2001:db8::5"],
            ["192.168.1.5/32", "2001:db8::5/128"],
        ),
        (["alice=100.64.0.9"], ["100.64.0.9", CLIENT_6], []),
    ],
    ids=["IPv4", "IPv6", "both", "in the plan already"],
)
def test_an_address_replaces_that_of_its_family_and_joins_the_plan(
    pairs: list[str], addresses: list[str], added: list[str]
) -> None:
    after = assigned(*pairs)
    assert list(map(str, after.clients[0].addresses.present())) == addresses
    before = policy().address_plan.tunnel
    assert after.address_plan.tunnel == (*before, *map(ip_network, added))
    assert after.clients[0].authorizations == policy().clients[0].authorizations


def test_clients_may_swap_their_addresses() -> None:
    bob = PolicyClient("bob", TunnelAddresses("100.64.0.3"))
    two = Policy(policy().addresses, clients=(*policy().clients, bob))
    after = assigned("alice=100.64.0.3", f"bob={CLIENT}", to=two)
    assert [str(client.addresses.ipv4) for client in after.clients] == ["100.64.0.3", CLIENT]


@pytest.mark.parametrize(
    ("pairs", "error", "complaint"),
    [
        (["eve=192.168.1.5"], UnknownClient, "'eve' is no client of the policy; its clients: 'al"),
        (["alice=10.0.0.1", "alice=10.0.0.2"], InvalidAddress, "'alice' gets more than one IPv4"),
        (["alice=100.96.0.5"], InvalidAddress, "100.96.0.5 is in the DNS ranges"),
        (["alice=fd00:2021:1111:8000::5"], InvalidAddress, "is in the DNS ranges"),
        ([f"alice={GATEWAY}"], InvalidPolicy, "is already gateway.ipv4"),
    ],
    ids=["unknown", "two", "DNS range", "DNS range, IPv6", "the gateway's"],
)
def test_an_address_that_cannot_be_is_refused(
    pairs: list[str], error: type[FirezoneFilterError], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        assigned(*pairs)


def test_a_policy_without_clients_has_none_to_name() -> None:
    empty = Policy(TunnelAddresses(GATEWAY))
    with pytest.raises(UnknownClient, match="its clients: none"):
        assigned("alice=10.0.0.1", to=empty)
