"""Section 9: `Policy.of`, what a gateway has been told."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from attrs import evolve

from firezone_filter import (
    CidrResource,
    DnsResource,
    Gateway,
    GatewayOptions,
    InternetResource,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    Tcp,
    TunnelAddresses,
)
from firezone_filter.nat import given
from firezone_filter.policy.parts import PolicyTest
from tests.hooked import tell

NOW = 1_000.0
OWN, ALICE, BOB = (TunnelAddresses(f"100.64.0.{number}") for number in (1, 2, 3))
P = [IPv4Address("100.96.0.0") + number for number in range(5)]
P6 = IPv6Address("fd00:2021:1111:8000::1")
A, B, C = (f"10.0.0.{number}" for number in (5, 6, 7))
GIT, ALSO = DnsResource("git", "*.example.com"), DnsResource("also", "*.example.com")
DB = CidrResource("db", "10.0.0.0/24", [Tcp(5432)], "Database", ["10.0.0.128/25"])


def name(proxies: list[IPv4Address], *real: str, label: str = "git") -> PolicyDomain:
    return PolicyDomain(f"{label}.example.com", proxies, real)


def alice(*granted: PolicyAuthorization) -> Policy:
    return Policy(OWN, clients=[PolicyClient("alice", ALICE, granted)])


def gateway_for(*resources: DnsResource) -> Gateway:
    gateway = Policy(OWN, clients=[PolicyClient("alice", ALICE)]).gateway(NOW)
    for resource in resources:
        gateway.authorize("alice", resource)
    return gateway


def said(gateway: Gateway) -> dict[str, tuple[PolicyDomain, ...] | None]:
    """Return what a policy of a gateway says of the names; a gateway of it leads where it does."""
    policy = Policy.of(gateway)
    again = policy.gateway(NOW)
    assert set(again.client("alice").proxies) == set(gateway.client("alice").proxies)
    assert Policy.of(again) == policy
    policy.apply(gateway)
    assert Policy.of(gateway) == policy
    return {one.resource.id: one.domains for one in policy.clients[0].authorizations}


@pytest.mark.parametrize(
    "policy",
    [
        Policy(OWN),
        Policy(OWN, options=GatewayOptions(stateful=True, own_filters=[Tcp(1)])),
        Policy(OWN, clients=[PolicyClient("bob", BOB), PolicyClient("alice", ALICE)]),
        alice(PolicyAuthorization(DB, NOW + 5), PolicyAuthorization(InternetResource("web"))),
        alice(
            PolicyAuthorization(GIT, domains=[name(P[1:3], A, "127.0.0.1", A), name(P[1:2], B)]),
            PolicyAuthorization(DB),
            PolicyAuthorization(
                ALSO, NOW + 9, [name(P[1:3], C), name([], A, label="www"), name(P[3:], label="x")]
            ),
        ),
        alice(PolicyAuthorization(GIT, domains=[])),
    ],
    ids=["empty", "options", "clients", "authorizations", "names", "no names"],
)
def test_a_policy_is_read_back_as_it_was(policy: Policy) -> None:
    assert Policy.of(policy.gateway(NOW)) == policy


def test_missing_domains_and_tests_and_what_is_over_are_not_read_back() -> None:
    policy = alice(PolicyAuthorization(GIT), PolicyAuthorization(DB, NOW))
    assert Policy.of(policy.gateway(NOW)) == alice(PolicyAuthorization(GIT, domains=[]))


def test_clients_are_in_the_order_of_their_connection_and_authorizations_in_that_of_giving() -> (
    None
):
    gateway = gateway_for(GIT, ALSO)
    gateway.client_connected("bob", BOB)
    gateway.client_connected("alice", ALICE)
    for resource in (ALSO, GIT, DB, ALSO):
        gateway.authorize("alice", resource)
    policy = Policy.of(gateway)
    assert [client.id for client in policy.clients] == ["bob", "alice"]
    assert [one.resource for one in policy.clients[1].authorizations] == [ALSO, GIT, DB]


def test_where_the_order_of_calls_was_another_the_last_resource_says_where_a_proxy_leads() -> None:
    gateway = gateway_for(ALSO, GIT)
    tell(gateway, "alice", "git", name(P[1:4], A))
    tell(gateway, "alice", "also", name(P[1:3], B))
    assert said(gateway) == {
        "also": (name(P[1:3], B),),
        "git": (name(P[1:4], A), name(P[1:3], B)),
    }


def test_what_that_replaces_altogether_is_left_out() -> None:
    gateway = gateway_for(ALSO, GIT)
    tell(gateway, "alice", "git", name(P[1:3], A))
    tell(gateway, "alice", "also", name(P[1:3]))
    assert said(gateway) == {"also": (name(P[1:3]),), "git": (name(P[1:3]),)}


def test_a_proxy_leads_to_where_a_resource_has_said_that_is_gone() -> None:
    gateway = gateway_for(GIT, ALSO)
    tell(gateway, "alice", "git", name(P[1:4], A))
    tell(gateway, "alice", "also", name(P[2:4], B, C))
    gateway.revoke("alice", "also")
    assert said(gateway) == {
        "git": (name(P[1:4], A), name(P[2:3], B), name(P[3:4], C)),
    }


def test_what_a_gateway_has_forgotten_is_said_by_where_proxies_lead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway = gateway_for(ALSO, GIT)
    with monkeypatch.context() as patched:
        patched.setattr(given, "MAX_PLACES", 4)
        patched.setattr(given, "_KEPT", 4)
        tell(gateway, "alice", "git", PolicyDomain("git.example.com", [*P[1:3], P6], [A, B]))
        tell(gateway, "alice", "also", name(P[1:2], C))
    assert len(gateway.client("alice").names) == 1
    assert said(gateway) == {
        "also": (name(P[1:2], C),),
        "git": (
            name(P[1:2], C),
            name(P[2:3], B),
            PolicyDomain("git.example.com", [P6], []),
        ),
    }


def test_tests_are_not_read_back_and_change_nothing() -> None:
    policy = alice(PolicyAuthorization(DB))
    tested = evolve(policy, tests=[PolicyTest("db", "alice", allow=["tcp 10.0.0.5:5432"])])
    gateway = tested.gateway(NOW)
    tested.apply(gateway)
    assert Policy.of(gateway) == policy
